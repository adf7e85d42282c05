"""describing: rows of a table, numbers of people -> what a page shows of them, as JSON."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dhhcli.base.arrays import Rows
from dhhcli.base.text import one_line
from dhhcli.media.playable import playable
from dhhcli.media.timing.timecode import source_timecode
from dhhcli.review.table import Table, picked_faces
from dhhcli.search.result import Row
from dhhcli.storage.record import VideoRecord
from dhhcli.storage.track_id import track_ids

KEY = 16  # hexadecimal digits of a content that name it in an address
FACES = 4  # of each person in the list


def about_person(table: Table, person: int, faces: int = FACES) -> dict[str, Any]:
    """A person of the list."""
    own = table.rows(person)
    return {
        "person": person,
        "name": table.names.get(person, ""),
        "seconds": float(table.total[person]),
        "tracks": len(own),
        "shots": len(np.unique(table.tracks["shot"][own])),
        "videos": len(np.unique(table.tracks["video"][own])),
        "sure": int(table.sure[own].sum()),
        "faces": picked_faces(table, person, faces).tolist() if len(own) else [],
    }


def about_tracks(table: Table, rows: Rows) -> list[dict[str, Any]]:
    """Tracks of a person, as they lie in the footage."""
    return [about_track(table, int(row)) for row in rows]


def about_track(table: Table, row: int, hit: Row | None = None) -> dict[str, Any]:
    """A track; ``hit``: as an answer has it."""
    track = table.tracks[row]
    video = table.shard.video(int(track["video"]))
    person = int(table.number[row])
    found = {
        "row": row,
        "id": track_ids(table.shard, np.array([row], np.int64))[0],
        "video": one_line(video.path.name),
        "path": one_line(str(video.path)),
        "shot": int(table.shard.shots_rows(np.array([track["shot"]]))[0]["number"]),
        "at": _timecode(video, int(track["best_pts"])),
        "still": video.still,
        "seconds": round(float(table.seconds[row]), 2),
        "person": person,
        "name": table.names.get(person, ""),
        "sure": bool(table.sure[row]),
        "media": video.fingerprint[:KEY],
        "type": None if video.still else _kind(video.path, video.mtime_ns),
        "from": _of_file(video, int(track["best_pts"])),
    }
    if hit:
        found |= {"start": hit.start, "end": hit.end, "distance": hit.distance, "bits": hit.bits}
        found |= {"confidence": hit.confidence, "words": hit.confidence_in_words, "until": hit.end_seconds}
    return found


def _of_file(video: VideoRecord, pts: int) -> float:
    """Seconds as players count."""
    return 0.0 if video.still else round(float(video.delay + (pts - video.start_pts) * video.time_base), 3)


def _timecode(video: VideoRecord, pts: int) -> str:
    if video.still:
        return ""
    seconds = (pts - video.start_pts) * video.time_base
    return source_timecode(seconds, video.frame_rate, video.start_timecode, drop=video.drop_frame)


@lru_cache(maxsize=4096)
def _kind(path: Path, mtime_ns: int) -> str | None:  # noqa: ARG001  (a file that was written anew is asked anew)
    return playable(path)
