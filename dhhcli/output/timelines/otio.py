"""otio: Timelines -> OpenTimelineIO, as .otio (JSON) or as .otioz (with the media in it).

opentimelineio, an extra, is imported only here. Its objects and their JSON are used; its bundle writer is not, because
it refuses two files of one name.
"""

import shutil
import zipfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from dhhcli.base.extras import require
from dhhcli.base.text import one_line
from dhhcli.errors import EditError
from dhhcli.output.timelines.cuts import Event, Timeline
from dhhcli.output.timelines.names import file_url
from dhhcli.output.timelines.source_media import Media

if TYPE_CHECKING:
    from opentimelineio import opentime, schema


VERSION = "1.0.0"  # of the bundle's layout: content.otio, version.txt, media/


def otio(timelines: Sequence[Timeline]) -> bytes:
    """JSON of the timeline, or of a collection where there are several."""
    return _document(timelines, {media: file_url(media.path) for line in timelines for media in line.media()})


def otioz(timeline: Timeline, stream: IO[bytes]) -> None:
    """A bundle with whole copies of the source files, not compressed. Raises EditError where one cannot be read.

    Nothing in it has a date: the same bytes whenever and in whatever time zone it is written.
    """
    inside: dict[Media, str] = {}
    taken: set[str] = set()
    for media in timeline.media():
        inside[media] = _unique(one_line(media.path.name), taken)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as bundle:
        bundle.writestr(_undated("version.txt"), VERSION)
        urls = {media: f"media/{quote(name)}" for media, name in inside.items()}
        bundle.writestr(_undated("content.otio"), _document([timeline], urls))
        for media, name in inside.items():
            try:
                inner = _undated(f"media/{name}", media.path.stat().st_size)
                with media.path.open("rb") as source, bundle.open(inner, "w") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
            except OSError as error:
                raise EditError(
                    f"{one_line(str(media.path))}: cannot be put into the bundle ({error.strerror or error}); "
                    "take otio, which refers to it"
                ) from None


def _undated(name: str, size: int = 0) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.file_size, made.external_attr = size, 0o644 << 16
    return made


def _document(timelines: Sequence[Timeline], urls: dict[Media, str]) -> bytes:
    require("otio", "OpenTimelineIO")
    from opentimelineio import schema

    made = [_timeline(line, urls) for line in timelines]
    root = made[0] if len(made) == 1 else schema.SerializableCollection("dhh", made)
    return f"{root.to_json_string()}\n".encode()


def _timeline(line: Timeline, urls: dict[Media, str]) -> "schema.Timeline":
    from opentimelineio import opentime, schema

    timeline = schema.Timeline(one_line(line.name), None, opentime.RationalTime(line.first, float(line.rate)))
    track = schema.Track("V1", kind=schema.TrackKind.Video)
    timeline.tracks.append(track)
    track.extend([_clip(line, event, urls[event.cut.media]) for event in line.events])
    for number in range(max(len(media.sounds) for media in line.media())):
        track = schema.Track(f"A{number + 1}", kind=schema.TrackKind.Audio)
        timeline.tracks.append(track)
        track.extend(_sounds(line, number, urls))
    return timeline


def _sounds(line: Timeline, number: int, urls: dict[Media, str]) -> "Iterator[schema.Item]":
    """What is heard of every source's sound of a number, and gaps."""
    from opentimelineio import opentime, schema

    at = 0
    pieces = [piece for event in line.events for piece in line.pieces(event)]
    for piece in pieces:
        cut, media = piece.event.cut, piece.event.cut.media
        if piece.sound.stream != number:
            continue
        if piece.at > at:
            silence = opentime.RationalTime(piece.at - at, float(line.rate))
            yield schema.Gap(source_range=opentime.TimeRange(opentime.RationalTime(0, float(line.rate)), silence))
        facts = {"stream": number, "channels": piece.sound.channels, "sample_rate": piece.sound.rate}
        first, last = media.heard(piece.sound)
        reference = schema.ExternalReference(urls[media], _span(media.rate, media.first + first, last - first))
        reference.name = one_line(media.path.name)
        span = _shown(line, media, piece.start, piece.end - piece.start, piece.length)
        yield schema.Clip(one_line(cut.clip), reference, span, metadata={"dhh": facts})
        at = piece.at + piece.length


def _shown(line: Timeline, media: Media, start: int, frames: int, length: int) -> "opentime.TimeRange":
    """A piece of a source; of another rate, it lasts the whole number of the timeline's frames that its place has."""
    from opentimelineio import opentime

    span = _span(media.rate, media.first + start, frames)
    if media.rate == line.rate:
        return span
    return opentime.TimeRange(span.start_time, opentime.RationalTime(length, float(line.rate)))


def _span(rate: Fraction, first: int, length: int) -> "opentime.TimeRange":
    from opentimelineio import opentime

    return opentime.TimeRange(opentime.RationalTime(first, float(rate)), opentime.RationalTime(length, float(rate)))


def _clip(line: Timeline, event: Event, url: str) -> "schema.Clip":
    from opentimelineio import schema

    cut, media = event.cut, event.cut.media

    def span(first: int, length: int) -> "opentime.TimeRange":
        return _span(media.rate, first, length)

    row = cut.row
    facts = {
        "rank": row.rank,
        "distance": row.distance,
        "bits": row.bits,
        "confidence": row.confidence,
        "false_rate": row.false_rate,
        "name": row.name,
        "names": list(row.names or ()),
        "shot": row.shot,
        "face_at": media.label(cut.face),
        "box": list(row.box),
        "drop_frame": media.drop,
    }
    reference = schema.ExternalReference(url, span(media.first, media.length))
    reference.name = one_line(media.path.name)
    shown = _shown(line, media, cut.start, cut.end - cut.start, event.length)
    clip = schema.Clip(one_line(cut.clip), reference, shown, metadata={"dhh": facts})
    clip.markers.append(
        schema.Marker(
            one_line(cut.title),
            span(media.first + cut.face, 1),
            cut.colour,
            {"dhh": facts},
            one_line(cut.comment),
        )
    )
    return clip


def _unique(name: str, taken: set[str]) -> str:
    path, number = PurePosixPath(name), 1
    wanted = name
    while wanted.casefold() in taken:
        number += 1
        wanted = f"{path.stem}-{number}{path.suffix}"
    taken.add(wanted.casefold())
    return wanted
