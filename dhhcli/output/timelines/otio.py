"""otio: Timelines -> OpenTimelineIO, as .otio (JSON) or as .otioz (with the media in it).

opentimelineio, an extra, is imported only here. Its objects and their JSON are used; its bundle writer is not, because
it refuses two files of one name.
"""

import zipfile
from collections.abc import Sequence
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
    from opentimelineio import schema


VERSION = "1.0.0"  # of the bundle's layout: content.otio, version.txt, media/


def otio(timelines: Sequence[Timeline]) -> bytes:
    """JSON of the timeline, or of a collection where there are several."""
    return _document(timelines, {media: file_url(media.path) for line in timelines for media in line.media()})


def otioz(timeline: Timeline, stream: IO[bytes]) -> None:
    """A bundle with whole copies of the source files, not compressed. Raises EditError where one cannot be read."""
    inside: dict[Media, str] = {}
    taken: set[str] = set()
    for media in timeline.media():
        inside[media] = _unique(one_line(media.path.name), taken)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, strict_timestamps=False) as bundle:
        bundle.writestr("version.txt", VERSION)
        urls = {media: f"media/{quote(name)}" for media, name in inside.items()}
        bundle.writestr("content.otio", _document([timeline], urls))
        for media, name in inside.items():
            try:
                bundle.write(media.path, f"media/{name}")
            except OSError as error:
                raise EditError(
                    f"{one_line(str(media.path))}: cannot be put into the bundle ({error.strerror or error}); "
                    "take otio, which refers to it"
                ) from None


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
    track.extend([_clip(event, urls[event.cut.media]) for event in line.events])
    return timeline


def _clip(event: Event, url: str) -> "schema.Clip":
    from opentimelineio import opentime, schema

    cut, media = event.cut, event.cut.media

    def span(first: int, length: int) -> opentime.TimeRange:
        rate = float(media.rate)
        return opentime.TimeRange(opentime.RationalTime(first, rate), opentime.RationalTime(length, rate))

    row = cut.row
    facts = {
        "rank": row.rank,
        "distance": row.distance,
        "bits": row.bits,
        "confidence": row.confidence,
        "false_rate": row.false_rate,
        "shot": row.shot,
        "face_at": media.label(cut.face),
        "box": list(row.box),
        "drop_frame": media.drop,
    }
    name = one_line(media.path.name)
    reference = schema.ExternalReference(url, span(media.first, media.length))
    reference.name = name
    clip = schema.Clip(name, reference, span(media.first + cut.start, cut.end - cut.start), metadata={"dhh": facts})
    clip.markers.append(
        schema.Marker(
            cut.title,
            span(media.first + cut.face, 1),
            schema.MarkerColor.GREEN,
            {"dhh": facts},
            cut.comment,
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
