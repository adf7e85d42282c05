"""journal: `codes.h5.people`, who is who beside a codes file <-> its lines, checked one by one.

A line is the CRC-32 of what follows in eight hexadecimal digits, a space, and a JSON object in ASCII:

    c2a1b9f0 {"format":"dhh people","version":1,"bits":128,"weights":"<SHA-256>","dhh":"0.2.0","steps":1}
    9be5a810 {"step":0,"op":"base",...}
    51d00b2c {"step":1,"op":"name",...}

The first says what the file is, which weights made the codes, and how many steps were written with it; each other one
is a step (storage/who/cast.py). A step is added at the end and flushed to the disk: killed half way, the file ends in a
line that is not whole, which is as if it had never been begun, and the next writer cuts it off. Any other line that is
not what its sum says is damage. From time to time, and whenever something is forgotten, the file is written anew,
atomically, with old steps folded into its base.
"""

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, Final

from dhhcli.base.atomic_write import sync_folder, write_atomically
from dhhcli.base.version import __version__
from dhhcli.errors import NamesError
from dhhcli.models.model_tag import ModelTag

FORMAT: Final = "dhh people"
VERSION: Final = 1
LARGEST: Final = 1 << 30  # bytes: fifty million tracks
Entry = dict[str, Any]


@dataclass(frozen=True)
class Journal:
    """What a file holds."""

    weights: str  # SHA-256 (hex) of those that made the codes; "" without a file
    entries: tuple[Entry, ...]  # steps, the base first
    size: int  # bytes of the lines that are whole


NOTHING: Final = Journal("", (), 0)


def people_path(codes_path: Path) -> Path:
    """`codes.h5.people`."""
    home = codes_path.resolve()
    return home.with_name(f"{home.name}.people")


def read_journal(codes_path: Path) -> Journal:
    """The steps beside a codes file; none where there is no such file.

    Raises:
        NamesError: it is damaged, foreign, or of another version.
    """
    path = people_path(codes_path)
    try:
        if path.stat().st_size > LARGEST:
            raise NamesError(f"{path}: {path.stat().st_size:,} bytes, no people file is as large; move it elsewhere")
        data = path.read_bytes()
    except FileNotFoundError:
        return NOTHING
    except OSError as error:
        raise NamesError(f"{path}: cannot be read ({error.strerror}); restore it, or move it elsewhere") from None
    lines = data.split(b"\n")
    size = len(data) - len(lines.pop())  # what follows the last line's end was not written whole
    found: list[Entry] = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = _entry(line)
        except ValueError as error:
            added = found and number > 1 + _count(found[0].get("steps"))
            if number == len(lines) and added:  # a disk may keep the end of a line and lose its middle
                size -= len(line) + 1
                break
            raise NamesError(
                f"{path}: damaged or no people file (line {number}: {error}); restore it, or move it elsewhere"
            ) from None
        found.append(entry)
    if not found:
        raise NamesError(f"{path}: damaged or no people file (no whole line); restore it, or move it elsewhere")
    head = found[0]
    if head.get("format") != FORMAT or head.get("version") != VERSION or not isinstance(head.get("weights"), str):
        raise NamesError(
            f"{path}: {head.get('format')!r} version {head.get('version')!r}, this dhh reads {FORMAT!r} version "
            f"{VERSION}; upgrade dhh"
        )
    if len(found) - 1 < _count(head.get("steps")):
        raise NamesError(f"{path}: damaged (ends too early); restore it, or move it elsewhere")
    return Journal(head["weights"], tuple(found[1:]), size)


def add_entry(codes_path: Path, journal: Journal, entry: Entry) -> None:
    """Put a step behind those of the journal, on the disk when this returns. The lock is held, and the file there."""
    path = people_path(codes_path)
    with path.open("r+b") as file:
        file.truncate(journal.size)
        file.seek(journal.size)
        file.write(_line(entry))
        file.flush()
        os.fsync(file.fileno())


def write_journal(codes_path: Path, tag: ModelTag, entries: Sequence[Entry]) -> None:
    """Write the file anew, atomically; without entries it is removed. The lock is held."""
    path = people_path(codes_path)
    for left in path.parent.glob(f"{escape(path.name)}.*.tmp"):  # of killed writers: they hold what may be forgotten
        left.unlink(missing_ok=True)
    if not entries:
        path.unlink(missing_ok=True)
        if path.parent.exists():
            sync_folder(path.parent)
        return
    made = {"bits": tag.bits, "weights": tag.fingerprint, "dhh": __version__}
    head = {"format": FORMAT, "version": VERSION, **made, "steps": len(entries)}
    write_atomically(path, b"".join(_line(entry) for entry in (head, *entries)))


def _count(value: object) -> int:
    return value if type(value) is int else 0


def _line(entry: Entry) -> bytes:
    text = json.dumps(entry, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _entry(line: bytes) -> Entry:
    """The object of a line. Raises ValueError."""
    if line[8:9] != b" " or line[:8] != b"%08x" % zlib.crc32(line[9:]):
        raise ValueError("its checksum is another")
    try:
        entry = json.loads(line[9:])
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(entry, dict):
        raise ValueError("no object")
    return entry
