"""names: paths and words of any kind -> text that a line, an XML file or a URL can hold; reels of 8 letters."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote_from_bytes

from dhhcli.base.text import escaped, one_line
from dhhcli.search.result import Row

REEL_LETTERS = 8  # CMX 3600 holds no more
RESERVED = ("AX", "BL", "AUX")  # what CMX 3600 calls material without a reel, and black


def xml_text(text: str) -> str:
    """Text of characters that XML 1.0 allows (section 2.2); the markup characters are the XML writer's to escape."""
    return "".join(c if c not in "\ufffe\uffff" else escaped(c) for c in one_line(text))


def sequence_name(rows: Sequence[Row], otherwise: str) -> str:
    """Of a timeline: the name that most of its shots have, of equals that of the best; else what was asked with."""
    names = [row.name for row in rows if row.name]
    if 2 * len(names) < len(rows) or not names:
        return otherwise
    return max(dict.fromkeys(names), key=names.count)


def file_url(path: Path, host: str = "") -> str:
    """``file://host/...`` of an absolute path, byte for byte: everything but letters, digits, "/" and -._~ as %XX."""
    return f"file://{host}{quote_from_bytes(os.fsencode(path))}"


def reels(paths: Iterable[Path]) -> dict[Path, str]:
    """A reel of at most eight of A-Z, 0-9 and _ for every path: the beginning of its name, numbered where two collide.

    Eight letters of "A001C001_230101_R1AB.mov" and of its next clip are the same, and an editing system would
    take both for one tape.
    """
    named: dict[Path, str] = {}
    taken = set(RESERVED)
    for path in paths:
        if path in named:
            continue
        plain = unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode()
        letters = re.sub(r"[^A-Z0-9]+", "_", plain.upper()).strip("_")[:REEL_LETTERS] or "REEL"
        reel, number = letters, 1
        while reel in taken:
            number += 1
            reel = f"{letters[: REEL_LETTERS - len(str(number))]}{number}"
        taken.add(reel)
        named[path] = reel
    return named
