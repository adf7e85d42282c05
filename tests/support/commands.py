"""What tests of the command line share: columns, rows, the one line of an error, a fresh process."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from typer.testing import Result

PROGRAM = "from dhhcli.cli.app import main; main()"
COLUMNS = [
    "rank",
    "distance",
    "bits",
    "confidence",
    "false_rate",
    "video",
    "shot",
    "start",
    "end",
    "start_seconds",
    "end_seconds",
    "start_frame",
    "end_frame",
    "face_at",
    "face_frame",
    "box",
    "tracks",
    "track",
    "track_id",
    "name",
    "names",
]


def read(path: Path) -> npt.NDArray[np.uint8]:
    """A picture (h, w, 3) BGR."""
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture, np.uint8)


def rows_of(result: Result) -> list[dict[str, str]]:
    """A TSV answer as one dict a row."""
    header, *lines = result.stdout.splitlines()
    assert header.split("\t") == COLUMNS
    return [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in lines]


def one_line(result: Result, code: int, *parts: str) -> None:
    """The command ended with ``code``, wrote nothing to stdout and one line with these parts to stderr."""
    assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr)
    assert result.stdout == ""
    assert result.stderr.startswith("dhh: error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    for part in parts:
        assert part in result.stderr, result.stderr


def python(code: str, *arguments: str | Path) -> str:
    """Run Python in a fresh process and return what it printed: for what an import brings with it."""

    command = [sys.executable, "-c", code, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


# Whoever runs the tests in the background of a shell has SIGINT ignored, and so have all processes started from there.
INTERRUPTIBLE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from dhhcli.cli.app import main; main()"
)


def on_pty(words: list[str], folder: Path, **variables: str) -> str:
    """What a command shows on a terminal."""
    import pty  # Windows has none

    ours, theirs = pty.openpty()
    said: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                said.append(data)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "400", **variables}
    subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], cwd=folder, env=environment, stdout=theirs, stderr=theirs, timeout=120
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    return b"".join(said).decode(errors="surrogateescape")
