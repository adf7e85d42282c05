"""suggesting: people who have no name -> names they may have: of somebody they look like, of their photos' folder.

Looks: what most of an unnamed person's tracks have in each bit against the same of the sure tracks of everybody who is
named; what the distance is worth says the calibration. Folders: of photos that show one face, those in one folder that
are of one person; confidence is then their share. Nobody is suggested who is seen at once with the named one, or of
whom a track was said not to be them.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.models.binary_codes import hamming, pack, unpack
from dhhcli.people.joining import calibration_of, everybody
from dhhcli.people.moments import at_once
from dhhcli.storage.codes_file import Shard
from dhhcli.storage.track_id import track_ids
from dhhcli.storage.who.book import people_in, tracks_in
from dhhcli.storage.who.cast import Cast
from dhhcli.storage.who.names import checked_name

LEAST: Final = 0.1  # confidence
SAMPLE: Final = 200  # tracks of a person that their code is made of
PHOTOS: Final = 2  # of a folder that have to be one person's
NO_NAMES: Final = frozenset(
    {"photos", "pictures", "images", "faces", "people", "dcim", "camera", "downloads", "desktop"}
)


@dataclass(frozen=True)
class Suggestion:
    """A name for somebody."""

    person: int
    tracks: int
    name: str
    confidence: float
    because: str  # "looks" or "folder"
    track_id: str  # of a track that shows them
    video: Path  # where that is


def suggestions(codes_path: Path, *, within: float | None = None, weights: str | None = None) -> list[Suggestion]:
    """Names for people who have none, the surest first. Raises as ``find_people``, and WeightsError without a
    calibration where somebody is named.
    """
    shard, cast, joined, _ = everybody(codes_path, within, weights)
    with shard:
        rows = _rows_of(joined.number)
        found = [*_by_folder(shard, cast, joined.number)]
        if cast.names:
            found += _by_looks(codes_path, shard, cast, rows, weights)
        best: dict[tuple[int, str], tuple[float, str]] = {}
        for person, name, confidence, because in sorted(found, key=lambda one: -one[2]):
            best.setdefault((person, name), (confidence, because))
        lines = []
        for (person, name), (confidence, because) in best.items():
            track = rows[person][:1]
            video = shard.video(int(shard.track_rows(track)["video"][0])).path
            word = track_ids(shard, track)[0]
            lines.append(Suggestion(person, len(rows[person]), name, confidence, because, word, video))
        return sorted(lines, key=lambda line: (-line.confidence, line.person, line.name))


Found = tuple[int, str, float, str]


def _rows_of(number: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    order = np.argsort(number, kind="stable")
    people, first = np.unique(number[order], return_index=True)
    return dict(zip(people.tolist(), np.split(order, first[1:]), strict=True))


def _code(shard: Shard, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """What most of some tracks have in each bit, (1, B)."""
    some = rows[:: -(-len(rows) // SAMPLE)]
    return np.asarray(pack(unpack(shard.code_rows(some), shard.tag.bits).mean(axis=0, keepdims=True) >= 0.5))


def _by_looks(
    codes_path: Path, shard: Shard, cast: Cast, rows: dict[int, NDArray[np.int64]], weights: str | None
) -> Iterator[Found]:
    calibration = calibration_of(codes_path, shard.tag, weights)
    _, sure = people_in(shard, cast)
    named = {number: rows[number] for number in cast.names if number in rows}
    named = {number: own[sure[own]] if sure[own].any() else own for number, own in named.items()}
    others = [number for number in rows if number not in cast.names]
    if not named or not others:
        return
    codes = np.concatenate([_code(shard, rows[number]) for number in others])
    for number, own in named.items():
        distances = hamming(_code(shard, own), codes)[0]
        worth = calibration.confidence(distances, distances.astype(np.float32), kind="track-track", photos=1)
        for at in np.flatnonzero(worth >= LEAST).tolist():
            if not _apart(shard, cast, number, rows[number], rows[others[at]]):
                yield others[at], cast.names[number], round(float(worth[at]), 3), "looks"


def _apart(shard: Shard, cast: Cast, number: int, own: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Whether two people are seen at once, or a track of the other was said not to be the first."""
    never = {row for row, whom in cast.never if whom == number}
    if never and never & set(cast.find(tracks_in(shard, other)).tolist()):
        return True
    both = np.concatenate([own, other])
    pairs = at_once(shard.track_rows(both)) < len(own)
    return bool((pairs[:, 0] != pairs[:, 1]).any())


def _by_folder(shard: Shard, cast: Cast, number: NDArray[np.int64]) -> Iterator[Found]:
    counts = shard.pictures()
    first = np.cumsum([0, *(count for count, _ in counts)])
    folders: dict[Path, Counter[int]] = {}
    for video, start, (count, _) in zip(shard.videos, first, counts, strict=False):
        if video.still and count == 1:
            folders.setdefault(video.path.parent, Counter())[int(number[start])] += 1
    for folder, seen in sorted(folders.items()):
        (person, photos), *_ = seen.most_common(1)
        words = folder.name.replace("_", " ")
        if photos < PHOTOS or 2 * photos <= seen.total() or person in cast.names or not _is_name(words):
            continue
        yield person, checked_name(words), round(photos / seen.total(), 3), "folder"


def _is_name(words: str) -> bool:
    """Whether a folder may be called after somebody: letters and no digits, and no word for pictures."""
    return words.casefold() not in NO_NAMES and any(map(str.isalpha, words)) and not any(map(str.isdigit, words))
