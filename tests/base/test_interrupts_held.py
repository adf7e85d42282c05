"""What is started while interrupts are held never sees Ctrl-C; whoever started it gets what came meanwhile."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dhhcli.base.interrupts import interrupts_held

CHILD = """
import multiprocessing, time
from pathlib import Path
from dhhcli.base.interrupts import interrupts_held
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    with interrupts_held():
        child.start()
    lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("SigBlk")))
    child.kill()
    child.join()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="which signals are blocked is read from /proc")
def test_the_first_process_is_as_deaf_as_all_others() -> None:
    """A program of its own: with its first process comes a helper, whose start unblocks SIGINT."""
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout, 16) >> (signal.SIGINT - 1) & 1


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be blocked here")
def test_what_came_meanwhile_comes_when_all_is_started() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    done = []
    try:
        with pytest.raises(KeyboardInterrupt), interrupts_held():  # noqa: PT012
            signal.raise_signal(signal.SIGINT)
            done.append("all is started")
        assert done == ["all is started"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with interrupts_held():
            pass
    finally:
        signal.signal(signal.SIGINT, before)
