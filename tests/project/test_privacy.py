"""Nothing leaves the machine and nothing is written but what was asked for."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import write_pack

from dhhcli.base.onnx_session import TELEMETRY_OFF
from dhhcli.media.sample import Sample

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# Notes and refuses every socket, and every question for a host's address; what a library does in C comes by here too.
GUARD = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void note(const char *what, const char *of) {
    const char *log = getenv("SOCKET_LOG");
    int file = log ? open(log, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (file >= 0) { dprintf(file, "%s %s\n", what, of ? of : ""); close(file); }
}
int socket(int domain, int type, int protocol) {
    (void)type; (void)protocol;
    char number[16]; snprintf(number, sizeof number, "%d", domain); note("socket", number);
    errno = EACCES; return -1;
}
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    (void)service; (void)hints; (void)found; note("getaddrinfo", node); return EAI_FAIL;
}
"""


def environment(folder: Path) -> dict[str, str]:
    """As a user has it: no words of a test or a build machine, which would silence a library too; HOME is empty."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "DHH_", "PYTEST", "ORT_"))
    }
    for name in ("CI", "TF_BUILD", "GITHUB_ACTIONS", *TELEMETRY_OFF):
        kept.pop(name, None)
    home = folder / "home"
    home.mkdir()
    return kept | {"HOME": str(home), "USERPROFILE": str(home), "MPLBACKEND": "Agg", "PYTHONDONTWRITEBYTECODE": "1"}


def guard(folder: Path) -> dict[str, str]:
    """Variables that forbid sockets, where there is a compiler; else none, and only files are looked at."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler or sys.platform != "linux":
        return {}
    source, library = folder / "guard.c", folder / "guard.so"
    source.write_text(GUARD)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library), "SOCKET_LOG": str(folder / "sockets")}


def test_nothing_is_sent_and_nothing_written_but_the_codes(sample: Sample, tmp_path: Path) -> None:
    variables = environment(tmp_path) | guard(tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    for words in (
        ["encode", sample.film, "-j", "1"],
        ["encode", sample.film, *sample.photos, "-j", "2"],  # in processes of their own
        ["query", sample.photos[0]],
        ["query", sample.film],
        ["people"],
        ["people", "--sheet", "people.html"],
        ["index", "codes.h5"],
        ["name", "codes.h5", "1", "Ada"],
    ):
        command = [sys.executable, "-m", "dhhcli.cli.app", *map(str, words)]
        command[1:3] = ["-c", "from dhhcli.cli.app import main; main()"]
        subprocess.run(command, cwd=work, env=variables, check=True, capture_output=True, timeout=300)
    assert not list((tmp_path / "home").rglob("*"))
    assert not (tmp_path / "sockets").exists(), (tmp_path / "sockets").read_text()
    written = {"codes.h5", "codes.h5.lock", "codes.h5.faiss", "codes.h5.faiss.json", "codes.h5.people", "people.html"}
    assert {path.name for path in work.rglob("*")} == written


def test_training_sends_nothing_and_writes_only_its_folder(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    variables = environment(tmp_path) | guard(tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    write_pack(work / "faces.h5", 4, 3, 0)
    steps = [word for stage in ("backbone", "hash", "joint") for word in (f"--{stage}-steps", "1")]
    small: tuple[str, ...] = (
        "pretrain.batch=4",
        "hash.features=16",
        "hash.photos=8",
        "hash.frames=2",
        "hash.hash_people=2",
    )
    small += ("hash.joint_people=2", "hash.joint_pairs=1")
    words = ["train", "-d", "faces.h5", "-o", "run", "--bits", "16", *steps]
    words += [word for one in small for word in ("--set", one)]
    command = [sys.executable, "-c", "from dhhcli.cli.app import main; main()", *words]
    subprocess.run(command, cwd=work, env=variables, check=True, capture_output=True, timeout=300)
    assert (work / "run" / "dhh-16.json").exists()
    assert {path.name for path in work.iterdir()} == {"faces.h5", "run"}
    assert not list((tmp_path / "home").rglob("*"))
    assert not (tmp_path / "sockets").exists(), (tmp_path / "sockets").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for what onnxruntime does on Linux")
def test_every_way_to_onnxruntime_turns_telemetry_off(tmp_path: Path) -> None:
    """A program of somebody else's that imports a module of ours; the network's in training too."""
    variables = environment(tmp_path)
    for module in (
        "dhhcli.models.extractor",
        "dhhcli.research.training.publishing.quantise",
        "dhhcli.encoding.workers",
    ):
        code = f"import sys, {module}; from dhhcli.base.onnx_session import start_session; import onnxruntime"
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=variables, check=True, timeout=120)
    assert not list((tmp_path / "home").rglob("*"))


def importers(folder: Path) -> list[Path]:
    """Modules that import onnxruntime without the one that turns telemetry off, before it."""
    bare = []
    for path in sorted(folder.rglob("*.py")):
        found = []
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                found += [(node.lineno, name.name) for name in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.append((node.lineno, node.module))
        theirs = [line for line, name in found if name.split(".")[0] == "onnxruntime"]
        ours = [line for line, name in found if name == "dhhcli.base.onnx_session"]
        if theirs and min(ours, default=sys.maxsize) > min(theirs):
            bare.append(path)
    return bare


def test_nobody_imports_onnxruntime_unasked() -> None:
    bare = [*importers(ROOT / "dhhcli"), *importers(ROOT / "tools")]
    assert bare == [ROOT / "dhhcli" / "base" / "onnx_session.py"]
