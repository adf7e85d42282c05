"""pictures: track, or key of a content -> JPEG of a face or a frame, or the file that plays: what the codes name."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from dhhcli.errors import DhhError, MissingPathError
from dhhcli.media.playable import playable
from dhhcli.output.sheets.frame_grabs import Stills, shot_stills
from dhhcli.review.describing import KEY
from dhhcli.review.state import Review
from dhhcli.review.table import Table
from dhhcli.search.result import Row, saved_videos

WIDTH = 800  # pixels of a photo


def face(table: Table, content: str, row: int) -> bytes:
    """JPEG of a track of the codes as they were called then; b"" for none. Raises MissingPathError for others."""
    if content != table.shard.content[:KEY] or not 0 <= row < len(table.number):
        raise MissingPathError("the codes file has changed; reload the page")
    return table.shard.picture(row)


def media_file(table: Table, key: str) -> tuple[Path, str]:
    """A video of the codes file by the beginning of its content, and its MIME type; any copy that is there will do.

    Raises MissingPathError where there is none that a browser plays.
    """
    for video in table.shard.videos:
        if video.fingerprint[:KEY] == key and not video.still:
            kind = playable(video.path)
            if kind:
                return video.path, kind
    raise MissingPathError("no video of the codes file that a browser plays is there")


def still(review: Review, track: str, which: str) -> bytes:
    """JPEG of a shot's first, best, middle or last frame; of a photo the photo. b"" where it cannot be read."""
    table, row = review.table(), review.row_of(track)
    video = table.shard.video(int(table.tracks[row.track]["video"]))
    if video.still:
        return _photo(video.path, row.box, video.mtime_ns)
    found = _stills(review.codes, table.shard.content, row)
    return {"first": found.first, "best": found.best, "middle": found.middle, "last": found.last}.get(which, b"")


@lru_cache(maxsize=256)
def _stills(codes: Path, content: str, row: Row) -> Stills:  # noqa: ARG001  (of these codes and no others)
    try:
        return shot_stills([row], saved_videos(codes, [row]))[0][0]
    except DhhError:
        return Stills()


@lru_cache(maxsize=64)
def _photo(path: Path, box: tuple[int, int, int, int], mtime_ns: int) -> bytes:  # noqa: ARG001
    import cv2

    from dhhcli.media.photo import read_photo

    try:
        picture = read_photo(path)
    except DhhError:
        return b""
    scale = min(1.0, WIDTH / picture.shape[1])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    shown = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    left, top, right, bottom = np.rint(np.array(box) * scale).astype(int).tolist()
    cv2.rectangle(shown, (left - 2, top - 2), (right + 2, bottom + 2), (60, 200, 255), 2, cv2.LINE_AA)
    return bytes(cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes())
