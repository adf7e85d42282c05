"""who: rows of an answer + who is who in a codes file -> the same rows, with who is in them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dhhcli.base.arrays import Ints
from dhhcli.search.question.scope import extents
from dhhcli.search.result import Row
from dhhcli.storage.shard import Shard
from dhhcli.storage.who.book import tracks_in
from dhhcli.storage.who.cast import Cast


def with_names(shard: Shard, cast: Cast, rows: Sequence[Row], shots: Sequence[int]) -> list[Row]:
    """Rows with ``name`` and ``names``; ``shots``: the row in the shard's table of each. Reads only their videos.

    Where nobody has a name, nothing is read at all.
    """
    if not cast.names or not rows:
        return list(rows)
    tracks = _named_tracks(shard, cast, set(shots))
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


def _named_tracks(shard: Shard, cast: Cast, shots: set[int]) -> dict[int, tuple[int, str]]:
    """Track -> shot and name, of every track of somebody with a name in some shots."""
    wanted = np.array(sorted(shots), np.int64)
    videos = sorted(set(shard.shots_rows(wanted)["video"].tolist()))
    starts = extents(shard, "track")
    found: dict[int, tuple[int, str]] = {}
    for video in videos:
        if shard.video(video).fingerprint not in cast.videos:
            continue
        own = np.arange(starts[video], starts[video + 1])
        held = shard.track_rows(own)["shot"]
        inside = np.isin(held, wanted)
        said = _names_of(shard, cast, own[inside])
        for track, shot, name in zip(own[inside].tolist(), held[inside].tolist(), said, strict=True):
            if name is not None:
                found[track] = (shot, name)
    return found


def _names_of(shard: Shard, cast: Cast, tracks: Ints) -> list[str | None]:
    """The name of whom each track (k,) shows, None where they have none."""
    person = np.concatenate([cast.person, np.zeros(1, np.int32)])[cast.find(tracks_in(shard, tracks))]
    return [cast.names.get(number) for number in person.tolist()]
