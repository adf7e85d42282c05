"""Ctrl-C while the program is still being imported: over at once, no traceback."""

import os
import signal
import subprocess
import sys

import pytest

CODE = """
import os, signal, sys
from importlib.abc import MetaPathFinder

at, how = sys.argv[1:]

class Stopping(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == at:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.SIG_IGN if how == "ignored" else signal.default_int_handler)
sys.meta_path.insert(0, Stopping())
from dhhcli.cli.start import main
sys.argv[1:] = ["--version"]
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that one process sends to itself so")
@pytest.mark.parametrize("module", ["dhhcli.cli.app", "dhhcli.cli.commands"])
def test_an_interrupt_while_importing_is_no_traceback(module: str) -> None:
    def run(how: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", CODE, module, how]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)

    stopped = run("usual")
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (-signal.SIGINT, "", "")
    ignored = run("ignored")  # as in the background of a script
    assert (ignored.returncode, ignored.stderr) == (0, "")


def test_threads_of_products_do_not_keep_cores_busy() -> None:
    """Before numpy is imported, and the user's own wish stands."""
    code = "import os, sys; from dhhcli.cli.start import main; sys.argv[1:] = ['--version']\n"
    code += "try: main()\nfinally: print(os.environ['OPENBLAS_THREAD_TIMEOUT'], 'numpy' in sys.modules)"

    def said(**variables: str) -> list[str]:
        here = {name: value for name, value in os.environ.items() if name != "OPENBLAS_THREAD_TIMEOUT"}
        words = [sys.executable, "-c", code]
        done = subprocess.run(words, env=here | variables, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.split()[-2:]

    assert said() == ["4", "False"]
    assert said(OPENBLAS_THREAD_TIMEOUT="20") == ["20", "False"]
