"""track_id: video content, times and box of a track -> a word that means it for ever; and back to its rows (k,).

Rows of a codes file change whenever something is encoded or forgotten, so a row that was printed once may be somebody
else by now. The word, ``3fa91c07-5b2e90d1``, is made of what names and tombstones go by too: the first half of the
content of the video, the second of when and where in the picture the track is. All copies of a video have the same.
"""

import hashlib
import re
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from dhhcli.base.arrays import Rows
from dhhcli.errors import ShardError
from dhhcli.storage.shard import Shard
from dhhcli.storage.who.names import Place, places_of

HALF: Final = 8  # hexadecimal digits
FORM: Final = re.compile(rf"[0-9a-f]{{{HALF}}}-[0-9a-f]{{{HALF}}}")


def track_id(place: Place) -> str:
    """The word for a place."""
    moment = struct.pack("<3q4f", place.start_pts, place.end_pts, place.best_pts, *place.box)
    return f"{place.content[:HALF]}-{hashlib.sha256(moment).hexdigest()[:HALF]}"


def track_ids(shard: Shard, rows: Rows) -> list[str]:
    """The words for some tracks (k,) of a shard."""
    return [track_id(place) for place in places_of(shard, rows)]


def is_track_id(text: str) -> bool:
    """Whether a text may be such a word; a row is a number."""
    return bool(FORM.fullmatch(text.lower()))


def rows_called(shard: Shard, word: str, where: str) -> Rows:
    """Rows (k,) of the track that a word means, k > 1 where there are copies of its video.

    Raises ShardError, which begins with ``where``, where there is none, or where two tracks share the word.
    """
    wanted = word.lower()
    found: dict[Place, list[int]] = {}
    first = 0
    for video, (count, _) in zip(shard.videos, shard.pictures(), strict=True):
        if count and video.fingerprint[:HALF] == wanted[:HALF]:
            rows = np.arange(first, first + count)
            for row, place in zip(rows.tolist(), places_of(shard, rows), strict=True):
                if track_id(place) == wanted:
                    found.setdefault(place, []).append(row)
        first += count
    if not found:
        raise ShardError(f"{where}: holds no track {word} (any more); see the column track_id of dhh query")
    if len(found) > 1:
        rows_in_words = ", ".join(str(row) for own in found.values() for row in own)
        raise ShardError(f"{where}: {word} may be any of the tracks {rows_in_words}; name the right one by that number")
    return np.array(next(iter(found.values())), np.int64)


def rows_meant(shard: Shard, words: Sequence[int | str], where: str) -> Rows:
    """Rows (k,), rising and once each, that numbers and words mean.

    Raises ShardError as ``rows_called``, and for a number beyond the last row, or a text that is neither.
    """
    rows: set[int] = set()
    for word in words:
        if isinstance(word, str) and is_track_id(word):
            rows |= set(rows_called(shard, word, where).tolist())
            continue
        if isinstance(word, str) and not re.fullmatch(r"[0-9]{1,18}", word):
            raise ShardError(
                f"{where}: {word!r} is no track; give its track_id or its number, as dhh query prints them"
            )
        if not 0 <= int(word) < len(shard):
            raise ShardError(f"{where}: has tracks 0 to {len(shard) - 1}; see the column track of dhh query")
        rows.add(int(word))
    return np.array(sorted(rows), np.int64)
