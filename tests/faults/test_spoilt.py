"""Spoilt: whatever step of whatever writing command goes wrong, nothing is lost, doubled or left behind (spoil.py)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(sys.platform != "linux", reason="faults are injected by LD_PRELOAD")
def test_nothing_is_lost_whatever_goes_wrong(tmp_path: Path) -> None:
    """A few faults; DHH_FAULTS says how many, or ``all``."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no compiler")
    library = tmp_path / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "faults.c"], check=True, timeout=60)
    wanted = os.environ.get("DHH_FAULTS", "8")
    words = [sys.executable, str(HERE / "spoil.py"), "--library", str(library)]
    words += [] if wanted == "all" else ["--sample", wanted]
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent / "support"), str(HERE)])
    variables = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " faults, 0 went wrong" in done.stdout
