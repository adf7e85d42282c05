"""identities: codes file (n, B) -> people: number, name, screen time, best track of each, and who is seen with whom.

People are groups of tracks (clustering.py) and keep their numbers (joining.py, storage/who/cast.py). They come by
falling screen time, then by falling number of tracks, then by number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Rows
from dhhcli.errors import DhhError
from dhhcli.media.timing.timecode import source_timecode
from dhhcli.models.binary_codes import hamming
from dhhcli.people.clustering import EXACT
from dhhcli.people.joining import everybody
from dhhcli.people.moments import clock, shared_shots, track_seconds
from dhhcli.storage.codes_file import Shard, open_shard
from dhhcli.storage.track_id import track_ids
from dhhcli.storage.who.cast import Cast

COMPANIONS: Final = 5  # said of each person
FACES: Final = 6  # pictures of each person
# seconds on two cores: of two tracks in a file of few, of a track and of two tracks in one of many
A_PAIR, A_TRACK, A_FAR_PAIR = 1.5e-7, 1e-4, 2.3e-9
CLEAR: Final = 0.5  # the best track's face has at least this share of the largest one's size


@dataclass(frozen=True)
class Companion:
    """Somebody who is seen with a person. As text "2 (7)"."""

    person: int
    shots: int  # that they share

    def __str__(self) -> str:
        return f"{self.person} ({self.shots})"


@dataclass(frozen=True)
class Person:
    """One person, in the order of the TSV's columns."""

    person: int  # number, from 1
    name: str  # "" for nobody known
    seconds: float  # on screen; photos add none
    tracks: int
    shots: int  # and photos
    videos: int  # and photos
    first_seen: str  # source timecode; "" in a photo
    video: Path  # where that is
    shot: int
    track: int  # row of the track that shows the person best
    track_id: str  # what means it for ever (storage/track_id.py)
    seen_with: tuple[Companion, ...]  # other people, by the shots they share


@dataclass(frozen=True)
class Together:
    """Two people who share shots."""

    person: int
    name: str
    other: int
    other_name: str
    shots: int  # and photos
    seconds: float  # both at once


@dataclass(frozen=True, eq=False)
class People:
    """Who is in a codes file."""

    people: tuple[Person, ...]  # those with enough tracks
    together: tuple[Together, ...]  # of these, most shots first
    faces: tuple[tuple[Rows, tuple[bytes, ...]], ...]  # of each, if asked for: tracks and their pictures
    number: Rows  # (n,) person of every track, also of those not shown
    notes: tuple[str, ...]

    @property
    def portraits(self) -> tuple[tuple[str, bytes], ...]:
        """Of each with faces, number and name, and the JPEG of the clearest; b"" for none."""
        return tuple(
            (f"{person.person} {person.name}".rstrip(), jpegs[0])
            for person, (_, jpegs) in zip(self.people, self.faces, strict=True)
        )


def grouping_takes(codes_path: Path) -> tuple[int, float] | None:
    """How many tracks a codes file has, and about how many seconds it takes to group them where nobody is known yet;
    None for one that cannot be read."""
    try:
        with open_shard(codes_path) as shard:
            n = len(shard)
    except (DhhError, OSError):
        return None
    return n, (n * n * A_PAIR if n <= EXACT else n * A_TRACK + n * n * A_FAR_PAIR)


def find_people(
    codes_path: Path,
    *,
    min_tracks: int = 1,
    within: float | None = None,
    weights: str | None = None,
    faces: bool = False,
) -> People:
    """Group the tracks of a codes file by who they show; whoever is new gets a number, which is kept beside it.

    Args:
        codes_path: the codes file.
        min_tracks: people with fewer tracks are counted, not shown; named ones always are.
        within: bits that the tracks of one person may be apart on average; None: by the calibration.
        weights: name or record of the weights that made it; None: found by their fingerprint.
        faces: also pick some tracks of each person that show how alike they are, with their pictures.

    Raises:
        MissingPathError, ShardError: there are no codes, or they are damaged or another model's.
        NamesError: the names beside it cannot be used.
        WeightsError: the weights cannot be used, or are not calibrated and ``within`` is not given.
        UsageError: ``within`` is less than none or more than all bits.
    """
    shard, cast, joined, notes = everybody(codes_path, within, weights)
    with shard:
        tracks = shard.track_rows(np.arange(len(shard)))
        return _described(shard, tracks, joined.number, cast, min_tracks, notes, faces=faces)


def _described(
    shard: Shard,
    tracks: NDArray[np.void],
    number: Rows,
    cast: Cast,
    min_tracks: int,
    notes: Sequence[str],
    *,
    faces: bool,
) -> People:
    count = int(number.max(initial=0))
    sizes = np.bincount(number, minlength=count + 1)
    seconds = np.bincount(number, track_seconds(shard, tracks), count + 1)
    name = {person: known for person, known in cast.names.items() if person <= count and sizes[person]}
    order = np.lexsort((np.arange(count + 1), -sizes, -seconds.round(6)))
    shown = [person for person in order[sizes[order] > 0].tolist() if sizes[person] >= min_tracks or person in name]
    together = _together(shard, tracks, number, shown, name)
    companions = _companions(together)
    order = np.argsort(number, kind="stable")  # rows of each person in the order of the file: by video, then in time
    ends = np.cumsum(sizes)
    people, pictures = [], []
    for person in shown:
        own = order[ends[person - 1] : ends[person]]
        own = own[np.lexsort((own, tracks["start_pts"][own], tracks["video"][own]))]
        first = tracks[own[0]]
        video = shard.video(int(first["video"]))
        at = (int(first["start_pts"]) - video.start_pts) * video.time_base
        picked = _faces(shard, tracks, own)
        people.append(
            Person(
                person=person,
                name=name.get(person, ""),
                seconds=round(float(seconds[person]), 3),
                tracks=len(own),
                shots=len(np.unique(tracks["shot"][own])),
                videos=len(np.unique(tracks["video"][own])),
                first_seen=""
                if video.still
                else source_timecode(at, video.frame_rate, video.start_timecode, drop=video.drop_frame),
                video=video.path,
                shot=int(shard.shots_rows(np.array([first["shot"]]))[0]["number"]),
                track=int(picked[0]),
                track_id=track_ids(shard, picked[:1])[0],
                seen_with=companions.get(person, ()),
            )
        )
        if faces:
            pictures.append((picked, tuple(shard.picture(int(track)) for track in picked)))
    words = (*notes, *_notes(int((sizes > 0).sum()), len(shown), min_tracks))
    return People(tuple(people), tuple(together), tuple(pictures), number, words)


def _notes(count: int, shown: int, min_tracks: int) -> tuple[str, ...]:
    if not count:
        return ("nobody: the codes file holds no face tracks",)
    fewer = count - shown
    return (f"{fewer} more people with fewer than {min_tracks} tracks; --min-tracks 1 shows them",) if fewer else ()


def _faces(shard: Shard, tracks: NDArray[np.void], own: Rows) -> Rows:
    """At most FACES tracks of one person: the clear one that is most like all, then others from alike to unlike."""
    codes = np.asarray(shard.codes[own])
    sample = codes[:: max(1, len(own) // 256)]
    typical = hamming(codes, np.ascontiguousarray(sample)).mean(axis=1)
    sizes = tracks["face_px"][own]
    clear = sizes >= CLEAR * sizes.max()
    best = int(np.lexsort((own, typical, ~clear))[0])
    order = np.lexsort((own, typical))
    rest = order[order != best]
    few = min(len(rest), FACES - 1)
    picked = rest[np.linspace(0, len(rest) - 1, few).round().astype(np.int64)] if few else rest
    return own[np.concatenate([[best], picked]).astype(np.int64)]


def _together(
    shard: Shard, tracks: NDArray[np.void], number: Rows, shown: Sequence[int], name: dict[int, str]
) -> list[Together]:
    """Pairs of shown people by falling number of shared shots, then seconds at once, then numbers."""
    ticks, frame = clock(shard)
    known = np.isin(number, np.array(shown, np.int64))
    found: dict[tuple[int, int], list[float]] = {}
    for own in shared_shots(tracks, np.flatnonzero(known)):
        video = int(tracks["video"][own[0]])
        begin, end = tracks["start_pts"][own].astype(np.float64), tracks["end_pts"][own].astype(np.float64)
        pairs: dict[tuple[int, int], float] = {}
        for i, j in zip(*np.triu_indices(len(own), 1), strict=True):
            a, b = sorted((int(number[own[i]]), int(number[own[j]])))
            if a != b:
                shared = min(end[i], end[j]) - max(begin[i], begin[j])
                lasted = shared * ticks[video] + frame[video] if shared >= 0 else 0.0
                pairs[a, b] = pairs.get((a, b), 0.0) + lasted
        for pair, lasted in pairs.items():
            shots = found.setdefault(pair, [0, 0.0])
            shots[0] += 1
            shots[1] += lasted
    lines = [
        Together(a, name.get(a, ""), b, name.get(b, ""), int(shots), round(float(lasted), 3))
        for (a, b), (shots, lasted) in found.items()
    ]
    return sorted(lines, key=lambda line: (-line.shots, -line.seconds, line.person, line.other))


def _companions(together: Sequence[Together]) -> dict[int, tuple[Companion, ...]]:
    others: dict[int, list[Companion]] = {}
    for line in together:
        for person, other in ((line.person, line.other), (line.other, line.person)):
            others.setdefault(person, []).append(Companion(other, line.shots))
    return {person: tuple(found[:COMPANIONS]) for person, found in others.items()}
