"""Every command of README and the guides runs, in order, in a folder with the sample film; it ends as the page says.

Blocks that say ``sh`` or ``console`` are run, line by line; what is more than one command, by bash. A line may state
the code it ends with (``# exit code 3``). Lines with a program that is not installed here (OTHERS) are left out.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_docs import ROOT, ids
from typer.testing import CliRunner

from dhhcli.cli.app import app
from dhhcli.media.sample import Sample

PAGES = [ROOT / "README.md", ROOT / "docs" / "install.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
OTHERS = ("jq", "ffmpeg")  # programs that guides use and a machine may lack; all else must be there
STATED = re.compile(r"#.*\bexit code (\d+)\b")


def commands(page: Path) -> list[str]:
    """Lines to run, continued ones joined, with the words after # that may state how they end."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ").strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def programs(line: str) -> set[str]:
    """What a line starts, in every part of a pipe."""
    return {part.split()[0] for part in re.split(r"[|;&]+", without_quotes(line)) if part.split()}


def without_quotes(line: str) -> str:
    return re.sub(r"'[^']*'|\"[^\"]*\"", "", line.partition(" #")[0])


@pytest.fixture(scope="session")
def bin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the command ``dhh`` of the Python that runs the tests."""
    folder = tmp_path_factory.mktemp("bin")
    script = f"#!{sys.executable}\nfrom dhhcli.cli.app import main\n\nmain()\n"
    (folder / "dhh").write_text(script)
    (folder / "dhh").chmod(0o755)
    return folder


@pytest.fixture
def desk(sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as guides have it: a film, photos of two people under all their names, codes of the film."""
    ada, bob = sample.photos
    (tmp_path / "videos").mkdir()
    (tmp_path / "more").mkdir()
    (tmp_path / "faces").mkdir()
    shutil.copy2(sample.film, tmp_path / "videos" / "film.mp4")
    shutil.copy2(ada, tmp_path / "more" / "portrait.jpg")
    for name in ("face.jpg", "face2.jpg", "ann.jpg", "ann2.jpg", "faces/ann.jpg"):
        shutil.copy2(ada, tmp_path / name)
    for name in ("friend.jpg", "bob.jpg", "faces/bob.jpg"):
        shutil.copy2(bob, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for name in ("DHH_CODES", "DHH_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    code, said = run("dhh encode videos/", tmp_path, tmp_path)
    assert code == 0, said
    return tmp_path


def run(line: str, folder: Path, bin_folder: Path) -> tuple[int, str]:
    """Exit code and what was said. A plain line of dhh runs in this process, which saves its start."""
    if not re.search(r"[|;&<>*$]", without_quotes(line)) and line.startswith("dhh "):
        result = CliRunner().invoke(app, shlex.split(line, comments=True)[1:])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output
    environment = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-o", "pipefail", "-c", line]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_of_a_page_run(page: Path, desk: Path, bin_folder: Path) -> None:
    lines = commands(page)
    assert lines, "a guide shows commands"
    for line in lines:
        if any(program in OTHERS and shutil.which(program) is None for program in programs(line)):
            continue
        stated = STATED.search(line)
        code, said = run(line, desk, bin_folder)
        assert code == (int(stated[1]) if stated else 0), f"{line}\nended with {code}\n{said}"
        assert "Traceback" not in said


def test_a_command_that_fails_would_be_seen(desk: Path, bin_folder: Path) -> None:
    assert run("dhh query nobody.jpg | cat", desk, bin_folder)[0] == 1
    assert run("dhh query nobody.jpg", desk, bin_folder)[0] == 1
    assert run("dhh query --beautify", desk, bin_folder)[0] == 2


@pytest.mark.usefixtures("desk")
def test_lines_of_python_run(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert any("film.mp4" in line and "00:00:01:15" in line for line in printed), printed


def test_only_programs_that_are_known_are_used() -> None:
    used = {program for page in PAGES for line in commands(page) for program in programs(line)}
    assert used <= {"dhh", "find", "rm", *OTHERS}
