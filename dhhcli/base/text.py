"""text: text of anywhere -> text that is safe and right in a line of words."""

import unicodedata


def one_line(text: str) -> str:
    r"""Text without line breaks, control characters and bytes that are no UTF-8: those become \n, \x07, \udcff.

    Nothing else is changed, so an ordinary name stays as an application looks for it.
    """
    return "".join(c if unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") else escaped(c) for c in text)


def counted(number: int, what: str) -> str:
    """``1 video``, ``2 videos``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
