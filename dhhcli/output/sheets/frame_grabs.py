"""frame_grabs: rows + videos -> JPEG files of each shot's first, middle, last frame and of the best face's.

Everything here is for people to look at: a video that is not there, or does not decode at some place, gives empty
bytes and one line of words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dhhcli.base.patience import done_so_far
from dhhcli.errors import DhhError, EditError
from dhhcli.output.timelines.cuts import Cut, cuts
from dhhcli.output.timelines.source_media import Media, media_of
from dhhcli.search.result import Row
from dhhcli.storage.record import VideoRecord

WIDTH = 400  # pixels
BOX = (60, 200, 255)  # BGR


@dataclass(frozen=True)
class Stills:
    """JPEG files of one row; b"" where there is none."""

    first: bytes = b""
    best: bytes = b""  # with a box around the face
    middle: bytes = b""
    last: bytes = b""


def shot_stills(rows: Sequence[Row], videos: Mapping[Path, tuple[VideoRecord, int]]) -> tuple[list[Stills], list[str]]:
    """Stills of every row, and words about the videos that could not be read. Opens each video once."""
    found = {row.rank: Stills() for row in rows}
    notes = []
    paths = list(dict.fromkeys(row.video for row in rows))
    for number, path in enumerate(paths):
        done_so_far("files' pictures", number, len(paths))
        own = [row for row in rows if row.video == path]
        try:
            media = media_of(*videos[path])
            found |= _of_video(cuts(own, {path: media}), media)
        except EditError:  # no frame rate: nothing to find its frames by
            notes.append(f"{path}: no frames on the sheet, it has no frame rate")
        except (DhhError, OSError) as error:
            notes.append(f"no frames of it on the sheet: {error}")
    return [found[row.rank] for row in rows], notes


def _of_video(found: Sequence[Cut], media: Media) -> dict[int, Stills]:
    from dhhcli.media.video import open_video

    stills = {}
    with open_video(media.path) as video:

        def still(seconds: Fraction, box: tuple[int, int, int, int] | None = None) -> bytes:
            import cv2

            frame = video.at(media.origin + seconds, counted=media.counted)
            if frame is None:
                return b""
            picture = frame.bgr(width=min(WIDTH, media.width))
            if box:
                scale = picture.shape[1] / media.width
                left, top, right, bottom = (round(edge * scale) for edge in box)
                cv2.rectangle(picture, (left - 2, top - 2), (right + 2, bottom + 2), BOX, 2, cv2.LINE_AA)
            return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 78])[1].tobytes())

        for cut in found:
            step = 1 / media.rate
            stills[cut.row.rank] = Stills(
                first=still(cut.start_time + step / 4),
                best=still((cut.face + Fraction(1, 4)) * step, cut.row.box),
                middle=still((cut.start_time + cut.end_time) / 2),
                last=still(max(cut.start_time, cut.end_time - step / 2)),
            )
    return stills
