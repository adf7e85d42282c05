"""What a release says of itself agrees, and its source archive holds what a developer needs."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

from dhhcli.base.version import __version__

ROOT = Path(__file__).parents[2]


def test_changes_begin_with_this_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$", changes, flags=re.MULTILINE)
    assert next(name for name, _ in sections if name != "Unreleased") == __version__
    assert [date for _, date in sections] == sorted((date for _, date in sections), reverse=True)


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    date = re.search(rf"^## \[{re.escape(__version__)}\] - (\S+)$", changes, flags=re.MULTILINE)
    assert date
    assert f"\nversion: {__version__}\n" in citation
    assert f"\ndate-released: {date[1]}\n" in citation
    assert "title: Deep Heterogeneous Hashing for Face Video Retrieval" in citation


def test_hooks_before_a_commit_are_those_of_make_check() -> None:
    hooks = re.findall(r"entry: (\S+)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    check = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    assert set(hooks) == set(re.findall(r"\$\(VENV\)/bin/(\S+)", check))


def test_the_source_archive_holds_the_documents(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (archive,) = tmp_path.glob(f"dhhcli-{__version__}.tar.gz")
    with tarfile.open(archive) as files:
        held = {name.partition("/")[2] for name in files.getnames()}
    pages = [path for folder in ("", "docs") for path in (ROOT / folder).glob("**/*.md" if folder else "*.md")]
    wanted = {str(page.relative_to(ROOT)) for page in pages}
    wanted |= {"CITATION.cff", ".pre-commit-config.yaml", "Makefile", "tools/reference.py", "weights/dhh-128.json"}
    assert wanted - held == set()
