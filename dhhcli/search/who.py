"""who: rows of an answer + the names given in a codes file -> the same rows, with who is in them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dhhcli.search.result import Row
from dhhcli.search.scope import Ints, extents
from dhhcli.storage.names import Names, places_of
from dhhcli.storage.shard import Shard


def with_names(shard: Shard, names: Names, rows: Sequence[Row], shots: Sequence[int]) -> list[Row]:
    """Rows with ``name`` and ``names``; ``shots``: the row in the shard's table of each. Reads only their videos.

    Where nobody has a name, nothing is read at all.
    """
    if not names or not rows:
        return list(rows)
    tracks = _named_tracks(shard, names, set(shots))
    there: dict[int, list[str]] = {}
    for shot, name in tracks.values():
        there.setdefault(shot, []).append(name)
    return [
        replace(
            row,
            name=tracks[row.track][1] if row.track in tracks else None,
            names=tuple(sorted(set(there[shot]))) if shot in there else None,
        )
        for row, shot in zip(rows, shots, strict=True)
    ]


def _named_tracks(shard: Shard, names: Names, shots: set[int]) -> dict[int, tuple[int, str]]:
    """Track -> shot and name, of every named track in some shots."""
    contents = {place.content for places in names.values() for place in places}
    videos = sorted(set(shard.shots_rows(np.array(sorted(shots), np.int64))["video"].tolist()))
    starts = extents(shard, "track")
    found: dict[int, tuple[int, str]] = {}
    for video in videos:
        if shard.video(video).fingerprint not in contents:
            continue
        own = np.arange(starts[video], starts[video + 1])
        held = shard.track_rows(own)["shot"]
        inside = np.isin(held, np.array(sorted(shots), np.int64))
        said = _names_of(shard, names, own[inside])
        for track, shot, name in zip(own[inside].tolist(), held[inside].tolist(), said, strict=True):
            if name is not None:
                found[track] = (shot, name)
    return found


def _names_of(shard: Shard, names: Names, tracks: Ints) -> list[str | None]:
    """The name of each track (k,), None for nobody's."""
    wanted = {place: name for name, places in names.items() for place in places}
    return [wanted.get(place) for place in places_of(shard, tracks)]
