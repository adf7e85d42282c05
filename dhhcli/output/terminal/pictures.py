"""pictures: a terminal's answers to a few questions -> how it shows pictures (kitty, iTerm2, sixel), or None.

A terminal is asked only when it is ours to ask: standard output, our controlling terminal, in the foreground, with
nothing typed ahead. What it cannot do it leaves unanswered; the last question is one that every terminal answers, so
that the wait ends there, and after WAIT seconds where even that is not so.
"""

import os
import re
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Final

WAIT: Final = 0.15  # seconds
MOST: Final = 4096  # bytes of answers
CELL: Final = (8, 16)  # pixels of a character where the terminal does not say
LARGEST_CELL: Final = 64
# They show these on the screen instead of leaving them out.
DEAF: Final = ("", "dumb", "linux", "emacs", "eterm", "eterm-color")
DEAF_PROGRAMS: Final = ("Apple_Terminal",)
# a picture that is only looked at, as kitty's protocol says to ask; name and version; pixels of a character; and the
# attributes of a terminal, which are answered last
QUESTIONS: Final = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[>0q\x1b[16t\x1b[c"
LAST: Final = re.compile(rb"\x1b\[\?([0-9;]*)c")
KITTY: Final = re.compile(rb"\x1b_Gi=31;OK\x1b\\")
NAME: Final = re.compile(rb"\x1bP>\|([^\x1b]*)\x1b\\")
PIXELS: Final = re.compile(rb"\x1b\[6;([0-9]{1,4});([0-9]{1,4})t")
OF_ITERM2: Final = (b"iTerm2", b"WezTerm")
SIXEL: Final = b"4"  # among the attributes


class Way(StrEnum):
    """How a terminal is sent a picture."""

    kitty = "kitty"
    iterm2 = "iterm2"
    sixel = "sixel"


@dataclass(frozen=True)
class Able:
    """What a terminal can do. cell: pixels of a character, width and height."""

    way: Way
    cell: tuple[int, int] = CELL


def may_show(stream: IO[str] | None = None, *, wanted: bool | None = None) -> bool:
    """Whether a stream may be a terminal that shows pictures, as far as can be said without asking it.

    wanted: what the user said; True wins over NO_COLOR, nothing over a pipe.
    """
    stream = stream or sys.stdout
    if wanted is False or not stream.isatty():
        return False
    if os.environ.get("TERM", "") in DEAF or os.environ.get("TERM_PROGRAM") in DEAF_PROGRAMS:
        return False
    return wanted is True or not os.environ.get("NO_COLOR")


def able(stream: IO[str] | None = None) -> Able | None:
    """What the terminal that a stream writes to can do; None where it does not say, or may not be asked."""
    try:
        import termios  # not on Windows
    except ImportError:
        return None
    stream = stream or sys.stdout
    try:
        fd = os.open(os.ttyname(stream.fileno()), os.O_RDWR | os.O_NOCTTY)  # standard output may be for writing only
    except (OSError, ValueError):
        return None
    try:
        stream.flush()
        return read_answers(ask(fd)) if os.tcgetpgrp(fd) == os.getpgrp() else None
    except (OSError, termios.error):  # another session's terminal, or one that went away
        return None
    finally:
        os.close(fd)


def ask(fd: int, wait: float = WAIT) -> bytes:
    """What a terminal answers within ``wait`` seconds, without showing it; b"" where somebody typed ahead."""
    with _unechoed(fd):
        if select.select([fd], [], [], 0)[0]:
            return b""  # what was typed is the shell's
        os.write(fd, QUESTIONS)
        found, end = b"", time.monotonic() + wait
        while not LAST.search(found) and len(found) < MOST:
            if not select.select([fd], [], [], max(0.0, end - time.monotonic()))[0]:
                break
            more = os.read(fd, MOST)
            if not more:
                break
            found += more
        return found


@contextmanager
def _unechoed(fd: int) -> Iterator[None]:
    """A terminal that hands over letters as they come and shows none of them; Ctrl-C ends us as ever."""
    import termios

    before = termios.tcgetattr(fd)
    quiet = termios.tcgetattr(fd)
    quiet[3] &= ~(termios.ICANON | termios.ECHO)
    try:
        termios.tcsetattr(fd, termios.TCSANOW, quiet)
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSANOW, before)


def read_answers(found: bytes) -> Able | None:
    """A terminal's answers -> what it can do; where it knows several ways, the one that costs it least."""
    name = NAME.search(found)
    attributes = LAST.search(found)
    if KITTY.search(found):
        way = Way.kitty
    elif name and name[1].startswith(OF_ITERM2):
        way = Way.iterm2
    elif attributes and SIXEL in attributes[1].split(b";")[1:]:  # the first is the terminal's class
        way = Way.sixel
    else:
        return None
    pixels = PIXELS.search(found)
    cell = (int(pixels[2]), int(pixels[1])) if pixels else CELL
    return Able(way, cell if all(2 <= side <= LARGEST_CELL for side in cell) else CELL)
