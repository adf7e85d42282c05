"""Makefile: the first Python that is new enough makes the environment, or one line says that there is none."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="needs make")

# stands for a Python: answers whether it is new enough, makes an environment whose Python does nothing
STAND_IN = """#!/bin/sh
case "$1" in
-c) exit {too_old} ;;
-m) mkdir -p "$3/bin" && printf '#!/bin/sh\\n' >"$3/bin/python" && chmod +x "$3/bin/python" && echo {name} >made.by ;;
esac
exit {fails}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The Makefile in a folder of its own, and a PATH of what it calls and nothing else."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("touch", "rm", "mkdir", "chmod"):
        found = shutil.which(name)
        assert found
        (tmp_path / "bin" / name).symlink_to(found)
    return tmp_path


def stand_in(place: Path, name: str, *, too_old: bool = False, fails: bool = False) -> None:
    path = place / "bin" / name
    path.write_text(STAND_IN.format(name=name, too_old=int(too_old), fails=int(fails)))
    path.chmod(0o755)


def make(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    assert MAKE
    command = [MAKE, ".venv/installed", *words]
    environment = {"PATH": str(place / "bin")}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_the_first_that_is_new_enough_is_taken(place: Path) -> None:
    stand_in(place, "python3.11", too_old=True)  # as a shim that finds nothing behind it
    stand_in(place, "python3.13")
    stand_in(place, "python3")
    done = make(place)
    assert done.returncode == 0, done.stderr
    assert (place / "made.by").read_text() == "python3.13\n"
    assert (place / ".venv" / "installed").exists()
    (place / "made.by").unlink()
    (place / ".venv" / "installed").unlink()
    assert make(place).returncode == 0
    assert not (place / "made.by").exists()  # an environment that is there is kept


def test_a_python_can_be_named(place: Path) -> None:
    stand_in(place, "python3.11")
    stand_in(place, "mine")
    assert make(place, "PYTHON=mine").returncode == 0
    assert (place / "made.by").read_text() == "mine\n"


@pytest.mark.parametrize("words", [(), ("PYTHON=old",)])
def test_none_that_is_new_enough_is_one_line(place: Path, words: tuple[str, ...]) -> None:
    stand_in(place, "python3", too_old=True)
    stand_in(place, "old", too_old=True)
    done = make(place, *words)
    assert done.returncode == 2
    first, *rest = done.stderr.splitlines()
    assert first.startswith("no Python 3.11 or newer among: ")
    assert ("old" if words else "python3.14 python3 python") in first
    assert [line for line in rest if not line.startswith("make:")] == []
    assert not (place / ".venv").exists()


def test_half_an_environment_is_taken_away(place: Path) -> None:
    stand_in(place, "python3.12", fails=True)
    assert make(place).returncode == 2
    assert (place / "made.by").exists()
    assert not (place / ".venv").exists()
