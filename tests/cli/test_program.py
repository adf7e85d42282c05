"""dhh as a program among others: interrupts, pipes, closed streams, imports, usage, JSON lines of every command."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from commands import COLUMNS, INTERRUPTIBLE, python
from synthetic import scene, write_video
from typer.testing import Result

from dhhcli.cli.app import app, main
from dhhcli.index.build import build
from dhhcli.media.sample import Sample

Run = Callable[..., Result]


def test_interrupt_keeps_finished_files_and_says_130(sample: Sample, tmp_path: Path) -> None:
    videos = [tmp_path / f"{i}.mp4" for i in range(4)]
    for video in videos:
        video.write_bytes(sample.film.read_bytes())
    command = [sys.executable, "-c", INTERRUPTIBLE, "encode", *map(str, videos)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        try:
            rest = process.communicate(timeout=60)[1]
        finally:
            process.kill()  # leaving the block waits for it
    assert first.startswith("[1/4]"), first + rest
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    assert "interrupted; " in rest
    from dhhcli.storage.codes_file import open_shard

    with open_shard(tmp_path / "codes.h5") as shard:
        assert videos[0] in [video.path for video in shard.videos]
        assert not shard.damaged_videos()


def test_an_interrupt_before_a_command_begins_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dhhcli.cli.app.take_interrupts", lambda: None)
    monkeypatch.setattr("dhhcli.cli.app.app", interrupted)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130


# --------------------------------------------------------------------------------------------- being a good program


@pytest.mark.parametrize("words", [["--help"], ["query", "--help"], ["--version"]])
def test_help_into_a_closed_pipe_is_no_error(words: list[str]) -> None:
    script = f'"{sys.executable}" -c "from dhhcli.cli.app import main; main()" "$@" | true'
    command, root = ["bash", "-o", "pipefail", "-c", script, "bash", *words], Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=root)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_pipe_is_no_error(encoded: Path, sample: Sample) -> None:
    script = f'"{sys.executable}" -c "from dhhcli.cli.app import main; main()" query "$0" --codes "$1" | head -n 1'
    command = ["bash", "-o", "pipefail", "-c", script, str(sample.photos[0]), str(encoded)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == COLUMNS
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("words", "redirect", "code", "says"),
    [
        (["info", "CODES"], ">&-", 1, "dhh: error: Bad file descriptor\n"),
        (["info", "CODES"], ">/dev/full", 1, "dhh: error: No space left on device\n"),
        (["--version"], ">/dev/full", 1, "dhh: error: No space left on device\n"),
        (["info", "CODES"], "<&-", 0, ""),
        (["info", "CODES"], "2>&-", 0, ""),
        (["info", "nowhere.h5"], "2>&-", 1, ""),
        (["export", "-", "-f", "edl", "-c", "CODES"], "<&-", 3, "-: nobody was found, so there is nothing to export\n"),
    ],
)
def test_streams_that_are_closed_or_full(encoded: Path, words: list[str], redirect: str, code: int, says: str) -> None:
    given = [str(encoded) if word == "CODES" else word for word in words]
    script = f'"{sys.executable}" -c "from dhhcli.cli.app import main; main()" "$@" {redirect}'
    command, root = ["bash", "-c", script, "bash", *given], Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=root)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == (says != "")
    assert (done.stdout == "") == (redirect.startswith(">") or code != 0)


def test_usage_errors_exit_with_2(dhh: Run) -> None:
    for words in (["query"], ["query", "a.jpg", "--nonsense"], ["encode"], ["index"], ["query", "a.jpg", "--top", "0"]):
        assert dhh(*words).exit_code == 2, words


@pytest.mark.parametrize(
    "words",
    [
        ["query", "a.jpg", "--merge", "nan"],
        ["query", "a.jpg", "--merge", "inf"],
        ["people", "c.h5", "--within", "nan"],
        ["name", "c.h5", "1", "Ada", "--within", "nan"],
        ["encode", "a.mp4", "--watch", "--every", "nan"],
        ["encode", "a.mp4", "--watch", "--every", "1e300"],
        ["calibrate", "p.h5", "--prior", "nan"],
        ["index", "c.h5", "--seed", "-1"],
        ["ablate", "p.h5", "-d", "q.h5", "--protocol", "p.json", "--seed", "-1"],
    ],
)
def test_numbers_that_are_none_or_out_of_range_are_refused(dhh: Run, words: list[str]) -> None:
    result = dhh(*words)
    assert result.exit_code == 2, result.stderr
    assert f"Invalid value for '{words[-2]}'" in result.stderr
    assert result.stdout == ""


def test_version_and_help(dhh: Run) -> None:
    from dhhcli.base.version import __version__

    assert dhh("--version").stdout == f"dhh {__version__}\n"
    shown = dhh("--help").stdout
    for command in ("encode", "query", "index", "train", "evaluate", "ablate", "sample"):
        assert command in shown
        assert dhh(command, "--help").exit_code == 0


HEAVY = ("torch", "faiss", "av", "h5py", "cv2", "onnxruntime", "scenedetect", "numpy", "matplotlib", "skimage")


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, dhhcli.cli.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert python(code).strip() == "[]"


@pytest.mark.parametrize("indexed", [False, True])
def test_query_imports_only_what_it_uses(encoded: Path, sample: Sample, tmp_path: Path, indexed: bool) -> None:
    codes = Path(shutil.copy(encoded, tmp_path / "codes.h5"))
    if indexed:
        build(codes, "flat", np.random.default_rng(0))
    code = (
        "import sys\nfrom dhhcli.cli.app import app\n"
        "try:\n    app(['query', sys.argv[1], '--codes', sys.argv[2]])\n"
        "except SystemExit:\n    pass\n"
        "unwanted = ('torch', 'av', 'scenedetect', 'matplotlib', 'skimage', 'faiss', 'rich', 'pydantic', 'scipy', "
        "'sklearn', 'numpy.random', 'numpy.ma', 'multiprocessing', 'dhhcli.index.ivf', "
        "'dhhcli.encoding.run', 'dhhcli.media.video')\n"
        "print('imported', [m for m in unwanted if m in sys.modules])"
    )
    lines = python(code, sample.photos[0], codes).splitlines()
    assert lines[0].startswith("rank")
    assert len(lines) > 2
    assert lines[-1] == "imported []"


def test_a_query_ends_with_all_its_words_and_its_code(encoded: Path, sample: Sample, dhh: Run) -> None:
    """The process ends at once, without taking apart what it has imported."""
    script = "from dhhcli.cli.app import main; main()"
    for more, code in (([], 0), (["--max-distance", "0"], 3), (["--face", "99"], 1)):
        words = ["query", str(sample.photos[0]), "--codes", str(encoded), *more]
        command, root = [sys.executable, "-c", script, *words], Path(__file__).parents[2]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
        same = dhh(*words)
        assert (done.returncode, done.stdout, done.stderr) == (code, same.stdout, same.stderr)
        assert same.exit_code == code


def test_encode_does_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom dhhcli.cli.app import app\n"
        "try:\n    app(['encode', sys.argv[1], '--out', sys.argv[2]])\n"
        "except SystemExit:\n    pass\n"
        "print('imported', [m for m in ('torch', 'matplotlib', 'skimage') if m in sys.modules])"
    )
    film = write_video(tmp_path / "sky.mp4", [scene(1)] * 5)
    assert python(code, film, tmp_path / "c.h5").splitlines()[-1] == "imported []"


def test_exactly_one_opencv_wheel_is_installed() -> None:
    """opencv-python and opencv-python-headless share the folder cv2: together one breaks the other."""
    from importlib.metadata import distributions

    names = {(d.metadata["Name"] or "").lower() for d in distributions()}
    assert len([name for name in names if name.startswith("opencv")]) == 1


def test_nothing_is_written_outside_the_named_files(clip: Path, dhh: Run, tmp_path: Path) -> None:
    assert dhh("encode", clip, "--out", "codes.h5").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes.h5", "codes.h5.lock"]


# ---------------------------------------------------------------------------------------------- JSON lines


def strict(line: str) -> dict[str, object]:
    """A line as any JSON reader takes it: Python's own also reads NaN and Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    found = json.loads(line, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def test_every_command_that_says_json_prints_lines_of_it(encoded: Path, sample: Sample, dhh: Run) -> None:
    Path("codes.h5").write_bytes(encoded.read_bytes())
    assert dhh("name", "codes.h5", "1", 'A "quoted" name').exit_code == 0
    photo = sample.photos[0]
    cases: list[tuple[tuple[str | Path, ...], int]] = [
        (("query", photo), 5),
        (("query", photo, sample.photos[1], "--each", "--top", "2"), 4),
        (("query", photo, "--explain", "1"), 1),
        (("info",), 1),
        (("info", "--list"), 1),
        (("people",), 2),
        (("people", "--together"), 1),
        (("name", "codes.h5"), 1),
        (("forget", "codes.h5", "--track", "0", "--dry-run"), 1),
    ]
    for words, count in cases:
        result = dhh(*words, "--json")
        assert result.exit_code == 0, result.stderr
        lines = [strict(line) for line in result.stdout.splitlines()]
        assert len(lines) == count, words
        assert all(line.keys() == lines[0].keys() for line in lines)
    tested = {str(words[0]) for words, _ in cases} | {
        "evaluate",
        "ablate",
        "calibrate",
        "encode",
        "doctor",
    }  # in their own files
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    commands = group.commands.items()
    assert {name for name, one in commands if any("--json" in option.opts for option in one.params)} == tested
