"""Interrupts: Ctrl-C once or three times, at any moment: no traceback, exit code 130, nobody left, no hang.

DHH_INTERRUPTS says how many moments of each command are tried.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from synthetic import write_pack

from dhhcli.media.sample import Sample
from dhhcli.storage.codes_file import open_shard

MOMENTS = int(os.environ.get("DHH_INTERRUPTS", "1"))
# whoever runs the tests in the background of a shell has SIGINT ignored
START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from dhhcli.cli.start import main; "
COMMANDS = {
    "query": ["query", "PHOTO", "-c", "CODES"],
    "people": ["people", "CODES"],
    "index": ["index", "CODES"],
    "encode": ["encode", "FILM", "-o", "new.h5", "-j", "1"],
    "encode, two at a time": ["encode", "FILM", "PHOTO", "-o", "new.h5", "-j", "2"],
    "encode on a cluster": ["encode", "FILM", "PHOTO", "-o", "new.h5", "--cluster", "local:1"],
    "train": ["train", "-d", "PACK", "-o", "run", "--bits", "16", "--backbone-steps", "100", "--threads", "1"],
}
LONGER = {"encode": 2.5, "train": 6.0}  # seconds of which a moment is drawn


def _somebody_left(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.name == "nt", reason="no groups of processes that are sent a signal")
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("command", COMMANDS)
def test_interrupts_at_any_moment(command: str, times: int, sample: Sample, encoded: Path, tmp_path: Path) -> None:
    codes = tmp_path / "codes.h5"
    codes.write_bytes(encoded.read_bytes())
    there = {"PHOTO": str(sample.photos[0]), "CODES": str(codes), "FILM": str(sample.film)}
    if command == "train":
        there["PACK"] = str(write_pack(tmp_path / "faces.h5", 4, 3, 0))
    words = [there.get(word, word) for word in COMMANDS[command]]
    code = START + "print('begun', flush=True); main()"
    draw = random.Random(f"{command} {times} {os.environ.get('DHH_SEED', '')}")
    for _ in range(MOMENTS):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(draw.uniform(0, LONGER.get(command.split(",")[0], 0.8)))
        for _ in range(times):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does
                time.sleep(draw.choice([0, 0.01, 0.1]))
        try:
            _, said = process.communicate(timeout=60)  # ends only when workers have closed it too
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"hung: {process.communicate()[1]}") from None
        assert "Traceback" not in said, said
        assert "Exception ignored" not in said, said
        assert process.returncode in (0, 130, -signal.SIGINT), said
        deadline = time.monotonic() + 20
        while _somebody_left(process.pid):
            assert time.monotonic() < deadline, "a process is left"
            time.sleep(0.05)
        for file in (codes, tmp_path / "new.h5"):
            if file.exists():
                with open_shard(file) as shard:
                    assert not shard.damaged_videos()
