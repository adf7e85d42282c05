"""Generated parts of README and docs are what the program says today, and promises about imports hold."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import reference

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "dhhcli"


def test_generated_parts_are_up_to_date() -> None:
    pages = [
        page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if "[[[cog" in page.read_text()
    ]
    assert len(pages) > 5
    folders = [word for folder in ("tools", "tests/support") for word in ("-I", str(ROOT / folder))]
    command = [sys.executable, "-m", "cogapp", "--check", "--diff", *folders, *map(str, pages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"run `make docs`\n{done.stdout}{done.stderr}"


def test_every_module_is_on_the_map() -> None:
    assert reference.unlisted() == set()


def test_every_module_says_its_arrow() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.stem == "__init__" and path.parent != PACKAGE:
            assert path.read_text(encoding="utf-8") == "", f"{path}: importing a module must not import its neighbours"
            continue
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]
        name = path.parent.name if path.stem == "__init__" else path.stem
        assert first.startswith(f"{'dhh' if name == 'dhhcli' else name}: "), f"{path}: {first}"


def imports(path: Path, *, everywhere: bool) -> set[str]:
    """Top-level names of the packages a file imports; at module level only unless ``everywhere``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda path: path.stem)
def test_the_command_line_imports_nothing_heavy_at_its_top(path: Path) -> None:
    light = {
        "dhhcli",
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "enum",
        "functools",
        "gc",
        "importlib",
        "os",
        "sys",
        "pathlib",
    }
    light |= {"signal", "subprocess", "time", "types", "typing", "typer"}
    assert imports(path, everywhere=False) <= light


def test_no_module_uses_a_global_seed() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "np.random.seed" not in text, path
        assert "random.seed(" not in text, path
