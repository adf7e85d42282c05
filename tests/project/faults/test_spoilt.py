"""Whatever goes wrong, and whoever is at it: nothing is lost, doubled, left behind, brought down, or a traceback.

A sample of what spoil.py, storm.py and mutate.py do by hand; DHH_FAULTS says how many faults, or ``all``.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE, TESTS = Path(__file__).parent, Path(__file__).parents[2]
PATHS = os.pathsep.join(map(str, (TESTS.parent, TESTS / "support", TESTS / "storage", HERE)))
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs forks, and faults by LD_PRELOAD")


def done(*words: str, **more: str) -> str:
    """What a program of this folder prints, which must end well."""
    variables = os.environ | {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"} | more
    command = [sys.executable, str(HERE / words[0]), *words[1:]]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_nothing_is_lost_whatever_goes_wrong(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no compiler")
    library = tmp_path / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "faults.c"], check=True, timeout=60)
    wanted = os.environ.get("DHH_FAULTS", "8")
    words = ["spoil.py", *([] if wanted == "all" else ["--sample", wanted])]
    assert "faults, 0 went wrong" in done(*words, LD_PRELOAD=str(library))


def test_many_at_once_end_as_one_after_the_other() -> None:
    assert "; 0 wrong" in done("storm.py", "--seconds", os.environ.get("DHH_STORM", "3"))


def test_mutated_files_are_an_answer_or_one_line() -> None:
    said = done("mutate.py", "--photos", "50", "--codes", "10", "--videos", "2")
    assert said.count("| 0 |") >= 3
