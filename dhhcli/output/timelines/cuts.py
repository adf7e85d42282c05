"""cuts: rows + their Media -> Cut: frames [start, end) of a source, with handles, in the order that is wanted."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dhhcli.errors import UsageError
from dhhcli.media.timecode import format_timecode, frames_a_day, parse_timecode
from dhhcli.output.formats import Order
from dhhcli.output.timelines.source_media import Media
from dhhcli.search.result import Row

SEQUENCE_START = "01:00:00:00"  # of a sequence that is made here; an hour, as is the custom


@dataclass(frozen=True)
class Handles:
    """What is added before and after every shot: frames, or else seconds."""

    frames: int = 0
    seconds: Fraction = Fraction(0)

    def of(self, media: Media) -> int:
        """In frames of a source."""
        return self.frames or round(self.seconds * media.rate)


def parse_handles(text: str) -> Handles:
    """ "12f" -> frames; "1.5s" or "1.5" -> seconds. Raises UsageError."""
    match = re.fullmatch(r"([0-9]{1,9})f|([0-9]{1,6}(?:\.[0-9]{1,6})?)s?", text.strip())
    if not match:
        raise UsageError(f"--handles {text}: expected frames like 12f or seconds like 0.5s")
    return Handles(frames=int(match[1])) if match[1] else Handles(seconds=Fraction(match[2]))


@dataclass(frozen=True)
class Cut:
    """A piece of a source; frames count from its first frame."""

    row: Row
    media: Media
    start: int
    end: int  # exclusive
    face: int  # frame where the face shows best
    start_time: Fraction  # exact time of `start` and `end` since the first frame, s; they differ from the grid of
    end_time: Fraction  # frames where the frame rate varies or the container rounds

    @property
    def title(self) -> str:
        """Name of its marker."""
        sure = self.row.confidence_in_words.partition(" ")[0]
        return f"#{self.row.rank} {sure or f'{self.row.distance:g}/{self.row.bits}'}"

    @property
    def comment(self) -> str:
        """What a person wants to know of it, in one line."""
        row = self.row
        likely = f"{words}, " if (words := row.confidence_in_words.partition(" ")[2]) else ""
        differ = f"{row.distance:g} of {row.bits} bits differ"
        return f"shot {row.shot}, {likely}{differ}, face at {self.media.label(self.face)}"


def cuts(
    rows: Iterable[Row], media: Mapping[Path, Media], *, handles: Handles | None = None, order: Order = Order.rank
) -> list[Cut]:
    """One cut a row, with handles as far as the source goes; by rank, or by path and time."""
    found = [_cut(row, media[row.video], handles or Handles()) for row in rows]
    if order is Order.time:
        found.sort(key=lambda cut: (cut.media.path, cut.start, cut.row.rank))
    return found


def _cut(row: Row, media: Media, handles: Handles) -> Cut:
    start_time, end_time = _exact(row.start_seconds, media), _exact(row.end_seconds, media)
    first = min(max(round(start_time * media.rate), 0), media.length - 1)
    last = min(max(round(end_time * media.rate), first + 1), media.length)
    face = _face(row, media, first, last)
    extra = handles.of(media)
    start, end = max(0, first - extra), min(media.length, last + extra)
    return Cut(
        row=row,
        media=media,
        start=start,
        end=end,
        face=face,
        start_time=max(Fraction(0), start_time - (first - start) / media.rate),
        end_time=end_time + (end - last) / media.rate,
    )


def _exact(seconds: float, media: Media) -> Fraction:
    """The pts that a row's rounded seconds came from, as seconds since the first frame."""
    return round((Fraction(seconds) - media.delay) / media.time_base) * media.time_base


def _face(row: Row, media: Media, first: int, last: int) -> int:
    """The frame that the row's label names; labels come again after a day."""
    try:
        number = parse_timecode(row.face_at, media.rate) - media.first
    except ValueError:  # rows of a file that had no frame rate then
        return first
    offset = (number - first) % frames_a_day(media.rate, drop=media.drop)
    return min(first + offset, last - 1)


@dataclass(frozen=True)
class Event:
    """A cut on a timeline; frames of the timeline's rate, counted from its start."""

    cut: Cut
    at: int
    length: int
    face: int


@dataclass(frozen=True)
class Timeline:
    """Cuts one after another (a sequence), or where they lie in their source (`of_source`)."""

    name: str
    rate: Fraction
    drop: bool
    first: int  # number of its first frame, counted from 00:00:00:00
    events: tuple[Event, ...]
    of_source: bool = False

    @property
    def length(self) -> int:
        """Frames."""
        return max((event.at + event.length for event in self.events), default=0)

    def label(self, frame: int) -> str:
        """Timecode of a frame counted from the start."""
        return format_timecode(self.first + frame, self.rate, drop=self.drop)

    def media(self) -> list[Media]:
        """The sources, each once, in the order of their first use."""
        return list(dict.fromkeys(event.cut.media for event in self.events))


def sequence(name: str, found: list[Cut]) -> Timeline:
    """All cuts one after another, from 01:00:00:00, in the rate and counting that most of them have.

    Lengths of cuts of another rate are rounded to its frames. Raises ValueError for no cuts.
    """
    countings = [(cut.media.rate, cut.media.drop) for cut in found]
    rate, drop = max(countings, key=lambda counting: (countings.count(counting), -countings.index(counting)))
    start = SEQUENCE_START.replace(":00:00:00", ":00:00;00") if drop else SEQUENCE_START
    events: list[Event] = []
    at = 0
    for cut in found:
        frames = rate / cut.media.rate  # of the sequence, a frame of the source
        length = max(1, round((cut.end - cut.start) * frames))
        face = min(round((cut.face - cut.start) * frames), length - 1)
        events.append(Event(cut, at, length, at + face))
        at += length
    return Timeline(name, rate, drop, parse_timecode(start, rate), tuple(events))


def source_timeline(found: list[Cut]) -> Timeline:
    """The cuts of one source where they lie in it, by time. Raises ValueError for no cuts, or of several sources."""
    media = found[0].media
    if any(cut.media != media for cut in found):
        raise ValueError("cuts of several sources")
    ordered = sorted(found, key=lambda cut: (cut.start, cut.end))
    events = tuple(Event(cut, cut.start, cut.end - cut.start, cut.face) for cut in ordered)
    return Timeline(media.path.name, media.rate, media.drop, media.first, events, of_source=True)


def by_video(found: Iterable[Cut]) -> list[list[Cut]]:
    """The cuts of every video, in the order in which the videos come first."""
    groups: dict[Path, list[Cut]] = {}
    for cut in found:
        groups.setdefault(cut.media.path, []).append(cut)
    return list(groups.values())
