"""terminals: a program in a terminal that answers as kitty, iTerm2, one with sixels or none -> what it was sent."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from commands import PROGRAM

# what terminals of these kinds answer to kitty's question, for their name, the size of a character and their attributes
ANSWERS: Final = {
    "kitty": b"\x1b_Gi=31;OK\x1b\\\x1bP>|kitty(0.36.4)\x1b\\\x1b[6;20;10t\x1b[?62;c",
    "iterm2": b"\x1bP>|iTerm2 3.4.23\x1b\\\x1b[6;18;9t\x1b[?64;1;2;4;6;17;18;21;22c",
    "sixel": b"\x1bP>|foot(1.16.2)\x1b\\\x1b[6;18;9t\x1b[?62;4;22c",
    "plain": b"\x1b[?1;2c",
    "silent": b"",
}
SIZE: Final = re.compile(r"\x1b\[([0-9]+)([A-Z])")


@contextmanager
def terminal_of(kind: str) -> Iterator[tuple[int, list[bytes]]]:
    """The program's end of a terminal, and what was written to it so far; asked for its attributes, it answers."""
    ours, theirs = pty.openpty()
    seen: list[bytes] = []
    over = threading.Event()

    def answer() -> None:
        owed = True
        while not over.is_set():
            if not select.select([ours], [], [], 0.01)[0]:
                continue
            try:
                seen.append(os.read(ours, 1 << 16))
            except OSError:  # nobody is there any more
                return
            if owed and b"\x1b[c" in b"".join(seen):
                owed = False
                os.write(ours, ANSWERS[kind])

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield theirs, seen
    finally:
        over.set()
        thread.join()
        os.close(theirs)
        os.close(ours)


@dataclass
class Told:
    """What a program told its terminal. seconds: of every piece since it was started."""

    code: int
    text: bytes
    pieces: list[tuple[float, bytes]] = field(default_factory=list)


def in_terminal(
    words: Sequence[str | Path],
    kind: str = "silent",
    columns: int = 80,
    lines: int = 40,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Told:
    """Run ``dhh`` in a terminal of its own, as long as it takes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    # its own session with this terminal, as a shell's programs have; no preexec_fn, because there are threads here
    begin = f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); {PROGRAM}"
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", begin, *map(str, words)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=kept | {"TERM": "xterm-256color"} | dict(environment),
    )
    os.close(theirs)
    told = Told(0, b"")
    owed = True
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # it has ended
            break
        if not piece:
            break
        told.pieces.append((time.monotonic() - began, piece))
        told.text += piece
        if owed and b"\x1b[c" in told.text:
            owed = False
            os.write(ours, ANSWERS[kind])
    told.code = process.wait()
    os.close(ours)
    return told


@dataclass
class Screen:
    """What a terminal shows: lines of text, and pictures with the line and column where each begins."""

    lines: list[str]
    pictures: list[tuple[int, int, str]]
    cursor: tuple[int, int]


def screen_of(text: str) -> Screen:
    """Text with pictures, as terminals of all three kinds act on it; anything else that they act on is an error."""
    lines: list[str] = [""]
    pictures: list[tuple[int, int, str]] = []
    row = column = at = 0
    kept = (0, 0)
    while at < len(text):
        if text[at] == "\n":
            row, column, at = row + 1, 0, at + 1  # a terminal in its usual mode begins a line, too
            lines += [""] * (row + 1 - len(lines))
        elif text[at] == "\r":
            column, at = 0, at + 1
        elif text.startswith("\x1b7", at):
            kept, at = (row, column), at + 2
        elif text.startswith("\x1b8", at):
            (row, column), at = kept, at + 2
        elif found := SIZE.match(text, at):
            number, at = int(found[1]), found.end()
            if found[2] == "A":
                row -= number
            elif found[2] == "B":
                row += number
            elif found[2] == "G":
                column = number - 1
            else:
                raise AssertionError(found[0])
            assert 0 <= row < len(lines), "the cursor left the lines there are"
        elif text.startswith(("\x1b_G", "\x1bP"), at):
            end = text.index("\x1b\\", at) + 2
            if text.startswith("\x1b_Gq=2,m=", at):  # goes on with the picture before
                first = pictures.pop()
                pictures.append((*first[:2], first[2].removesuffix("\x1b\\") + text[at:end].partition(";")[2]))
                at = end
                continue
            pictures.append((row, column, text[at:end]))
            row, column, at = row + 3, column + 8, end  # some terminals move the cursor, each in its way
        elif text.startswith("\x1b]1337;", at):
            end = text.index("\a", at) + 1
            pictures.append((row, column, text[at:end]))
            row, column, at = row + 4, 0, end
        else:
            assert text[at] >= " ", f"a terminal would act on {text[at : at + 8]!r}"
            lines[row] = lines[row].ljust(column) + text[at]
            column, at = column + 1, at + 1
    return Screen(lines, pictures, (row, column))
