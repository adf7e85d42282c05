"""words: arguments, and for each "-" the lines of standard input -> words that name people (question.py).

A line is what an argument would be, or a JSON object with ``photo`` (a path) or ``track`` (a row of the codes file), as
the lines of ``dhh query --json`` are; their ``video`` and ``shot`` are checked. With ``-0`` words end with NUL bytes:
a path may hold anything then, and there is no JSON.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from .errors import NobodyError, UsageError
from .question import File, Track, Word, parse_word

STDIN = "-"


def read_words(arguments: Iterable[str], stream: IO[bytes], *, nul: bool = False) -> tuple[Word, ...]:
    """Words of arguments, in order; ``stream`` is read for the argument "-".

    Raises:
        UsageError: a word or line names nobody, "-" comes twice, or ``nul`` without it.
        NobodyError: all there is is an empty stream.
    """
    given = list(arguments)
    if given.count(STDIN) > 1 or (nul and STDIN not in given):
        raise UsageError("-0 says how standard input is split; give - once" if nul else "- stands twice; give it once")
    found: list[Word] = []
    for text in given:
        found += _read(stream, nul=nul) if text == STDIN else [parse_word(text)]
    if given and not found:
        raise NobodyError("nobody is asked for: standard input is empty")
    return tuple(found)


def _read(stream: IO[bytes], *, nul: bool) -> Iterator[Word]:
    if nul:
        yield from (parse_word(os.fsdecode(part)) for part in stream.read().split(b"\0") if part)
        return
    for number, line in enumerate(stream, start=1):
        text = os.fsdecode(line).rstrip("\r\n")
        if text.startswith("{"):
            yield _of_json(text, f"standard input: line {number}")
        elif text:
            yield parse_word(text)


def _of_json(text: str, where: str) -> Word:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError(f"{where}: not JSON; a file whose name begins with a brace is named ./{text[:20]}") from None
    photo, track, video, shot = (value.get(name) for name in ("photo", "track", "video", "shot"))
    if isinstance(photo, str) and photo and "\0" not in photo:
        return File(Path(photo))
    if type(track) is int and track >= 0:
        if video is None or shot is None:
            return Track(track)
        if isinstance(video, str) and type(shot) is int:
            return Track(track, Path(video), shot)
    raise UsageError(f'{where}: expected "photo" with a path, or "track" with a number, as dhh query --json prints it')
