"""interrupts: Ctrl-C, once or many times, at any moment -> one KeyboardInterrupt, no traceback, exit code 130.

Who presses three times in a row means one thing, and a second KeyboardInterrupt would hit what puts things in order
after the first. So the first is raised, more within PATIENCE seconds are the same one, and a later one ends the process
on the spot: what is on disk is safe at every moment (storage/codes_file.py), and workers end with who started them.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final, NoReturn

PATIENCE: Final = 1.0
INTERRUPTED: Final = 130
SHOW_CURSOR: Final = b"\x1b[?25h"  # a live line hides it

_first: list[float] = []  # when the first came


def interrupted() -> bool:
    """Whether Ctrl-C was pressed."""
    return bool(_first)


def end_by_interrupt() -> NoReturn:
    """End the process now, without taking anything apart: nothing may be raised any more."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError, ValueError):
        sys.stderr.flush()
        if sys.stderr.isatty():
            os.write(2, SHOW_CURSOR)
    os._exit(INTERRUPTED)


def take_interrupts() -> None:
    """From now on Ctrl-C is what the module says; left alone where it is ignored, or a program's own."""
    if signal.getsignal(signal.SIGINT) in (signal.SIG_DFL, signal.default_int_handler):
        signal.signal(signal.SIGINT, _pressed)
        sys.unraisablehook = _again_if_lost(sys.unraisablehook)


def _pressed(_number: int, _frame: FrameType | None) -> None:
    now = time.monotonic()
    if not _first:
        _first.append(now)
        raise KeyboardInterrupt
    if now - _first[0] > PATIENCE:
        end_by_interrupt()


Hook = Callable[["sys.UnraisableHookArgs"], object]


def _again_if_lost(before: Hook) -> Hook:
    """Where Python can raise nothing, in a destructor or a callback of C, it drops what is raised: raise it later."""

    def hook(lost: "sys.UnraisableHookArgs") -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            before(lost)
            return
        _first.clear()
        signal.raise_signal(signal.SIGINT)

    return hook
