"""export: rows + the videos they are of -> files of a format: bytes, one file or one a video."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final

from dhhcli.base.atomic_write import write_stream_atomically
from dhhcli.base.text import one_line
from dhhcli.errors import EditError
from dhhcli.media.sound import Sound
from dhhcli.output.formats import MARKERS, Format, Order, SequenceLayout
from dhhcli.output.places import check_place
from dhhcli.output.timelines.captions import chapters, webvtt
from dhhcli.output.timelines.cuts import Cut, Handles, Timeline, by_video, cuts, sequence, source_timeline
from dhhcli.output.timelines.edl import edl
from dhhcli.output.timelines.fcp7 import fcp7
from dhhcli.output.timelines.fcpxml import fcpxml
from dhhcli.output.timelines.ffconcat import ffconcat
from dhhcli.output.timelines.markers import avid_markers, resolve_markers
from dhhcli.output.timelines.names import sequence_name
from dhhcli.output.timelines.otio import otio, otioz
from dhhcli.output.timelines.source_media import media_of
from dhhcli.search.result import Row
from dhhcli.storage.record import VideoRecord

Writer = Callable[[IO[bytes]], object]
Counting = tuple[Fraction, bool]  # frames a second, and whether labels are drop-frame
SOUNDING: Final = (Format.edl, Format.otio, Format.otioz, Format.fcpxml, Format.fcp7)  # they can hold sound
ONE: Final[dict[Format, Callable[[Timeline], bytes]]] = {
    Format.edl: edl,
    Format.resolve: resolve_markers,
    Format.avid: avid_markers,
    Format.webvtt: webvtt,
    Format.ffconcat: ffconcat,
    Format.chapters: chapters,
}
MANY: Final[dict[Format, Callable[[Sequence[Timeline]], bytes]]] = {
    Format.otio: otio,
    Format.fcpxml: fcpxml,
    Format.fcp7: fcp7,
}
NO_SOUNDS: Final[Mapping[Path, tuple[Sound, ...]]] = MappingProxyType({})


@dataclass(frozen=True)
class TimelineFile:
    """One file to be: whose (None: several videos'), and what writes it."""

    video: Path | None
    write: Writer
    part: str = ""  # what tells it from the other files, where that is not the video

    def data(self) -> bytes:
        """Everything, in memory."""
        stream = BytesIO()
        self.write(stream)
        return stream.getvalue()


def timelines(
    found: list[Cut], wanted: Format, layout: SequenceLayout | None, name: str, counting: Counting | None = None
) -> list[Timeline]:
    """One of all cuts, or one a video. A video's markers lie on its own timeline; its cuts, one after another.

    An EDL counts in one rate, so there is one a rate. A sequence of a video is called after whom it shows and the file.
    """
    layout = layout or (SequenceLayout.video if wanted in MARKERS else SequenceLayout.stringout)
    if layout is SequenceLayout.stringout:
        rates = list(dict.fromkeys(cut.media.rate for cut in found)) if wanted is Format.edl else [None]
        return [sequence(name, [cut for cut in found if rate in (None, cut.media.rate)], counting) for rate in rates]
    groups = by_video(found)
    if wanted in MARKERS:
        return [source_timeline(group) for group in groups]
    return [sequence(_of_video(group), group, counting) for group in groups]


def _of_video(group: Sequence[Cut]) -> str:
    who = sequence_name([cut.row for cut in group], "")
    source = group[0].media.path.name
    return f"{who} - {source}" if who else source


def films(rows: Sequence[Row], videos: Mapping[Path, tuple[VideoRecord, int]]) -> list[Row]:
    """The rows that a timeline can hold: photos have no frames to count."""
    return [row for row in rows if not videos[row.video][0].still]


def export(
    rows: Sequence[Row],
    videos: Mapping[Path, tuple[VideoRecord, int]],
    wanted: Format,
    *,
    handles: Handles,
    order: Order = Order.rank,
    layout: SequenceLayout | None = None,
    name: str = "dhh",
    counting: Counting | None = None,
    sounds: Mapping[Path, tuple[Sound, ...]] = NO_SOUNDS,
) -> list[TimelineFile]:
    """Files of a timeline format; none for no rows. videos: of every row, its record and the end of its last frame.

    layout: None takes what suits the format. name: of a timeline that holds everything and shows nobody who has a
    name. counting: of sequences; None: as most of what is in one. sounds: what timelines are to have of videos' sound.

    Photos among the rows are left out. Raises EditError where there is nothing else, or the format cannot hold what was
    found.
    """
    if not rows:
        return []
    rows = films(rows, videos)
    if not rows:
        raise EditError(f"every shot found is a photo, and {wanted} is of videos; leave --format out to see them")
    media = {row.video: media_of(*videos[row.video], sounds.get(row.video, ())) for row in rows}
    found = cuts(rows, media, handles=handles, order=order)
    lines = timelines(found, wanted, layout, sequence_name(rows, name), counting)
    if wanted in MANY:
        data = MANY[wanted](lines)
        return [TimelineFile(None, lambda stream: stream.write(data))]
    by_rate = wanted is Format.edl and layout is not SequenceLayout.video
    return [_file(line, wanted, several=len(lines) > 1, by_rate=by_rate) for line in lines]


def _file(line: Timeline, wanted: Format, *, several: bool, by_rate: bool) -> TimelineFile:
    sources = line.media()
    rate = f"{float(line.rate):.3f}".rstrip("0").rstrip(".")
    video = sources[0].path if several and not by_rate and len(sources) == 1 else None
    part = "" if video or not several else f"{rate}{'df' if line.drop else ''}"
    return TimelineFile(video, _writer(line, wanted), part)


def _writer(line: Timeline, wanted: Format) -> Writer:
    if wanted is Format.otioz:
        return lambda stream: otioz(line, stream)
    data = ONE[wanted](line)  # now: what it cannot hold is said before anything is written
    return lambda stream: stream.write(data)


def write_files(files: Sequence[TimelineFile], out: Path) -> list[str]:
    """Write them and say what was written.

    With several files, each has its video's name before the suffix, or its frame rate: cut.edl becomes cut.a001.edl,
    or cut.29.97.edl. Raises EditError
    where one cannot be written, DhhError where a video or a codes file would be replaced.
    """
    notes = []
    places = _places(files, out)
    for path in places:  # before the first is written
        check_place(path)
    for file, path in zip(files, places, strict=True):
        try:
            write_stream_atomically(path, file.write)
        except OSError as error:
            raise EditError(f"{path}: cannot be written ({error.strerror or error}); name another with --out") from None
        notes.append(f"{one_line(str(path))}: {path.stat().st_size:,} bytes")
    return notes


def _places(files: Sequence[TimelineFile], out: Path) -> list[Path]:
    """A path a file, no two alike."""
    if len(files) == 1:
        return [out]
    places: list[Path] = []
    taken: set[str] = set()
    for file in files:
        stem = one_line(file.video.stem if file.video else file.part)[:60]
        number, name = 1, f"{out.stem}.{stem}{out.suffix}"
        while name.casefold() in taken:
            number += 1
            name = f"{out.stem}.{stem}-{number}{out.suffix}"
        taken.add(name.casefold())
        places.append(out.with_name(name))
    return places
