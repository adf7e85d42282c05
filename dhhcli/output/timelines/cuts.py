"""cuts: rows + their Media -> Cut: frames [start, end) of a source, with handles, in the order that is wanted."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dhhcli.errors import UsageError
from dhhcli.media.sound import Sound
from dhhcli.media.timing.timecode import counting_rate, format_timecode, frames_a_day, parse_timecode
from dhhcli.models.calibration import in_words
from dhhcli.output.formats import Order
from dhhcli.output.timelines.source_media import Media
from dhhcli.search.result import Row

COLOURS = {"very likely": "GREEN", "likely": "CYAN", "unsure": "YELLOW", "unlikely": "RED"}  # of markers
MOST_RATE = 240  # frames a second of a timeline
BLUE = "BLUE"  # where there is no confidence
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


def parse_rate(text: str) -> tuple[Fraction, bool]:
    """ "25", "23.976", "29.97df", "30000/1001" -> exact frames a second, and whether labels are drop-frame.

    Raises UsageError.
    """
    match = re.fullmatch(r"([0-9]{1,6}(?:[./][0-9]{1,6})?)\s*(df|ndf)?", text.strip().lower())
    try:
        said = Fraction(match[1]) if match else Fraction(0)
    except ZeroDivisionError:
        said = Fraction(0)
    rate = counting_rate(said)
    drop = bool(match and match[2] == "df")
    if not 1 <= said <= MOST_RATE:
        raise UsageError(f"--rate {text}: expected frames a second, say 25, 23.976 or 29.97df")
    if drop and (rate.denominator == 1 or frames_a_day(rate, drop=True) == frames_a_day(rate)):
        raise UsageError(f"--rate {text}: drop-frame labels are of 29.97 and 59.94 frames a second only")
    return rate, drop


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
        who = f"{self.row.name} " if self.row.name else ""
        return f"{who}#{self.row.rank} {sure or f'{self.row.distance:g}/{self.row.bits}'}"

    @property
    def clip(self) -> str:
        """Name of its clip: whom it shows, where they have a name, and the source."""
        return f"{self.row.name} - {self.media.path.name}" if self.row.name else self.media.path.name

    @property
    def colour(self) -> str:
        """Of its marker, by confidence: a word that every format with colours knows."""
        return BLUE if self.row.confidence is None else COLOURS[in_words(self.row.confidence)]

    @property
    def comment(self) -> str:
        """What a person wants to know of it, in one line."""
        row = self.row
        likely = f"{words}, " if (words := row.confidence_in_words.partition(" ")[2]) else ""
        differ = f"{row.distance:g} of {row.bits} bits differ"
        others = [name for name in row.names or () if name != row.name]
        beside = f", with {', '.join(others)}" if others else ""
        return f"shot {row.shot}, {likely}{differ}, face at {self.media.label(self.face)}{beside}"


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
class Piece:
    """Where one sound of a cut is heard: frames [start, end) of the source, [at, at + length) of a timeline."""

    event: Event
    sound: Sound
    start: int
    end: int
    at: int
    length: int

    @property
    def whole(self) -> bool:
        """Whether it is heard as long as the picture is seen."""
        return (self.at, self.length) == (self.event.at, self.event.length)


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

    @property
    def main(self) -> Media:
        """The source that says how large the pictures are: the first of the timeline's rate, else the first."""
        sources = self.media()
        return next((media for media in sources if media.rate == self.rate), sources[0])

    @property
    def sample_rate(self) -> int:
        """Samples a second of most of its sounds; 48,000 where there are none."""
        rates = [sound.rate for media in self.media() for sound in media.sounds]
        return max(rates, key=lambda rate: (rates.count(rate), rate), default=48_000)

    def pieces(self, event: Event) -> list[Piece]:
        """What is heard of a cut's sounds, in the file's order; a sound that is not there yet is left out."""
        found, frames = [], self.rate / event.cut.media.rate
        for sound in event.cut.media.sounds:
            first, last = event.cut.media.heard(sound)
            start, end = max(event.cut.start, first), min(event.cut.end, last)
            if start < end:
                at = event.at + round((start - event.cut.start) * frames)
                until = event.at + event.length
                if end < event.cut.end:
                    until = min(until, event.at + round((end - event.cut.start) * frames))
                if at < until:
                    found.append(Piece(event, sound, start, end, at, until - at))
        return found


def most_common(found: Sequence[Cut]) -> tuple[Fraction, bool]:
    """The rate and counting that most cuts have, of equals the first. Raises ValueError for no cuts."""
    countings = [(cut.media.rate, cut.media.drop) for cut in found]
    return max(countings, key=lambda counting: (countings.count(counting), -countings.index(counting)))


def sequence(name: str, found: list[Cut], counting: tuple[Fraction, bool] | None = None) -> Timeline:
    """All cuts one after another, from 01:00:00:00, in a rate and counting, by default those that most of them have.

    A cut of another rate lasts as many of the timeline's frames as come nearest to its own time; what is rounded of
    one is made up for by the next, so that none begins more than half a frame off; but a cut of less than a frame is
    shown for one, and one of the timeline's own rate loses none for it. Raises ValueError for no cuts.
    """
    rate, drop = counting or most_common(found)
    start = SEQUENCE_START.replace(":00:00:00", ":00:00;00") if drop else SEQUENCE_START
    events: list[Event] = []
    at, exact = 0, Fraction(0)
    for cut in found:
        frames = rate / cut.media.rate  # of the sequence, a frame of the source
        exact += (cut.end - cut.start) * frames
        length = cut.end - cut.start if frames == 1 else max(1, round(exact) - at)
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
