"""terms: arguments, and for "-" the lines of standard input -> words that name people (probe.py looks them up).

A line is what an argument would be, or a JSON object with ``photo`` (a path) or ``track`` (a row of the codes file), as
the lines of ``dhh query --json`` are; their ``video`` and ``shot`` are checked. With ``-0`` words end with NUL bytes:
a path may hold anything then, and there is no JSON.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from dhhcli.errors import NobodyError, UsageError
from dhhcli.media.files.discover import VIDEO_SUFFIXES
from dhhcli.storage.track_id import is_track_id

STDIN: Final = "-"
CAMERA: Final = re.compile(r"(IMG|DSC|DSCF|DSCN|PXL|MVI|VID|GOPR|photo|image|scan|frame)(?=[\W\d_]|$)", re.IGNORECASE)
TELLS: Final = re.compile(r"[^\W\d_]{2}")  # a word in a file's name
EXPECTED: Final = "a photo, a folder of photos of one person, a video, track:N, shot:VIDEO:N or name:NAME"


@dataclass(frozen=True)
class FileTerm:
    """A photo or a video."""

    path: Path


@dataclass(frozen=True)
class TrackTerm:
    """A track of the codes file; video and shot: where it must be, if that is known."""

    row: int | str  # or what means it for ever (storage/track_id.py)
    video: Path | None = None
    shot: int | None = None


@dataclass(frozen=True)
class ShotTerm:
    """A shot of the codes file."""

    video: str
    number: int


@dataclass(frozen=True)
class NameTerm:
    """Somebody who was given a name (storage/who/names.py)."""

    name: str


Word = FileTerm | TrackTerm | ShotTerm | NameTerm


def parse_word(text: str) -> Word:
    """``track:12``, ``shot:film.mp4:6``, ``name:Ada``, or else the path of a photo or video.

    A file whose name begins so is named with its folder, ``./track:12``. Raises UsageError.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind == "track":
        if is_track_id(rest):
            return TrackTerm(rest.lower())
        if not re.fullmatch(r"[0-9]{1,18}", rest):
            raise UsageError(f"{text}: expected track:N, with what the column track or track_id shows")
        return TrackTerm(int(rest))
    if colon and kind == "shot":
        match = re.fullmatch(r"(.+):(\d{1,9})", rest, re.DOTALL)
        if not match:
            raise UsageError(f"{text}: expected shot:VIDEO:N, say shot:film.mp4:6")
        return ShotTerm(match[1], int(match[2]))
    if colon and kind == "name":
        if not rest.strip():
            raise UsageError(f"{text}: expected name:NAME; dhh name shows the names")
        return NameTerm(rest)
    if not text:
        raise UsageError(f"an empty word: expected {EXPECTED}")
    return FileTerm(Path(text))


def text_of(word: Word) -> str:
    """The word again."""
    match word:
        case FileTerm(path):
            return str(path)
        case TrackTerm(row):
            return f"track:{row}"
        case ShotTerm(video, number):
            return f"shot:{video}:{number}"
        case NameTerm(name):
            return f"name:{name}"


def asked_name(words: Sequence[Word]) -> str:
    """What an answer about one person is called: by the name, the photo, or the folder that says more than a number.

    ``people/Ada/03.jpg`` is Ada 03, ``IMG_0412.jpg`` in Ada is Ada IMG_0412, and several photos of Ada are Ada.
    """
    word = words[0]
    match word:
        case NameTerm(name):
            return name
        case FileTerm(path):
            if is_folder(word):
                return path.resolve().name or str(path)
            stem, home = path.stem, path.absolute().parent
            homes = {one.path.absolute().parent for one in words if isinstance(one, FileTerm)}
            if len(words) > 1 and len(homes) == 1 and home.name:
                return home.name
            return stem if not home.name or TELLS.search(CAMERA.sub("", stem)) else f"{home.name} {stem}"
        case _:
            return text_of(word).replace(":", " ")


def is_folder(word: Word) -> bool:
    """Whether a word names a folder, whose photos are all of one person."""
    return isinstance(word, FileTerm) and os.path.isdir(word.path)  # noqa: PTH112  (pathlib raises for endless names)


def is_film(word: Word) -> bool:
    """Whether a word names a video file, which has to be decoded."""
    return isinstance(word, FileTerm) and word.path.suffix.lower() in VIDEO_SUFFIXES


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
        return FileTerm(Path(photo))
    if type(track) is int and track >= 0:
        if video is None or shot is None:
            return TrackTerm(track)
        if isinstance(video, str) and type(shot) is int:
            return TrackTerm(track, Path(video), shot)
    raise UsageError(f'{where}: expected "photo" with a path, or "track" with a number, as dhh query --json prints it')
