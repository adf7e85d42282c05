"""text: text of anywhere -> text that is safe and right in a line of words."""

import codecs
import unicodedata
from typing import Any, Final

# Embeddings, overrides and isolates of writing direction: what follows them is shown in another order than it has.
TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_CELL: Final = str.maketrans({"\\": "\\\\"})


def one_line(text: str) -> str:
    r"""Text without line breaks, control characters, turns of direction and bytes that are no UTF-8: those become \n,
    \x07, \u202e, \udcff.

    Nothing else is changed, so an ordinary name stays as an application looks for it.
    """
    return "".join(escaped(c) if _acts(c) or unicodedata.category(c) == "Cs" else c for c in text)


def in_a_cell(text: str) -> str:
    r"""Text for a cell of TSV: backslash and what ends a line or a cell, or what a terminal acts on, are escaped; the
    rest, bytes that are no UTF-8 too, goes out as it came in.
    """
    return "".join(escaped(c) if _acts(c) else c for c in text.translate(_CELL))


def on_a_terminal(text: str) -> str:
    r"""Lines for a terminal: as they are, but for what it would act on. Tabs and line breaks stay."""
    return "".join(
        escaped(c) if c not in "\t\r\n" and (_acts(c) or unicodedata.category(c) == "Cs") else c for c in text
    )


def _acts(character: str) -> bool:
    """Whether a terminal does something else at this character than to show it."""
    return unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in TURNING


def _escape_unknown(error: UnicodeError) -> tuple[str | bytes, int]:
    """How text is written where an encoding lacks a letter: bytes of a path go out as they came in, else an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = bytearray()
    for character in error.object[error.start : error.end]:
        code = ord(character)
        found += bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else escaped(character).encode("ascii")
    return bytes(found), error.end


codecs.register_error("dhh-escape", _escape_unknown)


def take_any_text(stream: Any) -> None:
    """Make a text stream write what its encoding cannot hold as escapes, instead of failing."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="dhh-escape")


def counted(number: int, what: str) -> str:
    """``1 video``, ``2 videos``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
