"""pairs: face pack + backbone -> every pair of its stills and tracks: distances (q, n), scores (q, n), who is who.

Every person gives stills and imitated tracks, most of one photo each, as film shows them: 1 to 30 frames, faces of 12
to 160 pixels; some of several unlike photos. Tracks of film that the pack holds are taken as they are. A track is never
compared with a photo that it was made of.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Ints
from dhhcli.errors import PackError
from dhhcli.models.binary_codes import UNIT, binarise, hamming, pack, soft_codes, weighed_distances
from dhhcli.models.calibration import KINDS, whole_bits
from dhhcli.models.extractor import Extract, still_features
from dhhcli.models.hash_layers import HashLayers, hash_stills, hash_tracks
from dhhcli.research.datasets.augmentation import centre, imitate_frames, imitate_shot
from dhhcli.research.datasets.pack import FacePack

STILLS: Final = 8  # at most, a person
TRACKS: Final = 4
FRAMES: Final = (1, 2, 3, 5, 8, 13, 20, 30)  # a track
SIDES: Final = (12, 160)  # pixels across a face as filmed, evenly on a log scale; 64 is the network's input
PHOTOS_A_SET: Final = 6
LEAST_PEOPLE: Final = 20
DRAWS: Final = 8  # groups of so many photos a person


@dataclass(frozen=True, eq=False)
class Material:
    """Features of what is compared. Rows are rows of the pack, -1 where a track has fewer."""

    stills: npt.NDArray[np.float32]  # (s, d)
    still_people: Ints  # (s,)
    still_rows: Ints  # (s, 1)
    tracks: tuple[npt.NDArray[np.float32], ...]  # (m_i, d) each
    track_people: Ints  # (t,)
    track_rows: Ints  # (t, 6); of film the first frame's stands for all


def material(
    faces: FacePack,
    extract: Extract,
    rng: np.random.Generator,
    *,
    film: Extract | None = None,
    mirror: bool = False,
) -> Material:
    """Stills and imitated tracks of everybody in a pack.

    ``extract`` looks at stills, from both sides where ``mirror``; ``film`` at tracks, default ``extract``.

    Raises:
        PackError: fewer than 20 people have two photos.
    """
    look = film or extract
    still_rows: list[int] = []
    track_rows: list[tuple[int, ...]] = []
    tracks: list[npt.NDArray[np.float32]] = []
    several = 0

    def add(rows: Sequence[int], crops: npt.NDArray[np.uint8]) -> None:
        track_rows.append(tuple(rows))
        tracks.append(look(crops))

    for person in np.unique(faces.identity):
        own = faces.identity == person
        rows = rng.permutation(np.flatnonzero(own & (faces.track < 0))).tolist()
        films = np.unique(faces.track[own & (faces.track >= 0)])
        several += len(rows) + len(films) > 1
        still_rows += rows[:STILLS]
        for row in rows[-TRACKS:]:
            add([row], imitate_frames(faces.pictures[row], int(rng.choice(FRAMES)), rng, side=_side(rng)))
        if len(rows) >= PHOTOS_A_SET:
            photos = rows[-PHOTOS_A_SET:]
            add(photos, imitate_shot(faces.pictures[photos], rng, side=_side(rng)))
        for one in rng.permutation(films)[:TRACKS]:
            frames = np.flatnonzero(own & (faces.track == one))
            kept = frames[np.linspace(0, len(frames) - 1, min(len(frames), FRAMES[-1])).round().astype(int)]
            add([int(kept[0])], np.stack([centre(picture) for picture in faces.pictures[kept]]))
    if several < LEAST_PEOPLE:
        raise PackError(
            f"{faces.path}: {several} people with two photos or more; calibration needs {LEAST_PEOPLE}, better hundreds"
        )
    if not still_rows:
        raise PackError(f"{faces.path}: holds tracks only; calibration needs photos too")
    padded = np.full((len(track_rows), PHOTOS_A_SET), -1, np.int64)
    for track, photos in enumerate(track_rows):
        padded[track, : len(photos)] = photos
    stills = still_features(extract, np.stack([centre(faces.pictures[row]) for row in still_rows]), mirror=mirror)
    return Material(
        stills,
        faces.identity[still_rows],
        np.array(still_rows)[:, None],
        tuple(tracks),
        faces.identity[padded[:, 0]],
        padded,
    )


def _side(rng: np.random.Generator) -> int:
    """Pixels across a face as filmed; the network looks at no more than 64."""
    low, high = np.log(SIDES)
    return min(64, round(float(np.exp(rng.uniform(low, high)))))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Everything that asks (q,) against everything that is asked (n,)."""

    distances: npt.NDArray[np.int32]  # (q, n)
    scores: npt.NDArray[np.float32]  # (q, n)
    asking: Ints  # (q,) people
    asked: Ints  # (n,)
    usable: npt.NDArray[np.bool_]  # (q, n) no photo in common
    weighed: bool = False  # scores are weighed distances, in bits, distances the whole bits of them

    @property
    def same(self) -> npt.NDArray[np.bool_]:
        """(q, n) of one person."""
        return np.asarray(self.asking[:, None] == self.asked[None])

    def among(self, people: Ints) -> "Pairs":
        """What is left when only some people are there."""
        q, n = np.isin(self.asking, people), np.isin(self.asked, people)
        both = np.ix_(q, n)
        return replace(
            self,
            distances=self.distances[both],
            scores=self.scores[both],
            asking=self.asking[q],
            asked=self.asked[n],
            usable=self.usable[both],
        )


def all_pairs(found: Material, layers: HashLayers, *, weighed: bool = False) -> dict[str, Pairs]:
    """Pairs of every kind in ``KINDS``, by Hamming distance or by weighed ones."""
    soft = {"still": hash_stills(layers, found.stills), "track": hash_tracks(layers, found.tracks)}
    people = {"still": found.still_people, "track": found.track_people}
    rows = {"still": found.still_rows, "track": found.track_rows}
    pairs = {}
    for kind in KINDS:
        query, item = kind.split("-")
        codes = pack(binarise(soft[item]))
        if weighed:
            scores = (weighed_distances(soft_codes(soft[query]), codes) / UNIT).astype(np.float32)
            distances = whole_bits(scores, layers.bits).astype(np.int32)
        else:
            q, bits = soft[query].astype(np.float64), binarise(soft[item]).astype(np.float64)
            scores = (q @ (1 - bits).T + (1 - q) @ bits.T).astype(np.float32)
            distances = hamming(pack(binarise(soft[query])), codes)
        usable = ~_shared(rows[query], rows[item])
        pairs[kind] = Pairs(distances, scores, people[query], people[item], usable, weighed)
    return pairs


def _shared(a: Ints, b: Ints) -> npt.NDArray[np.bool_]:
    """(q, i), (n, j) rows of a pack -> (q, n): is any row in both?"""
    shared = np.zeros((len(a), len(b)), bool)
    for left in a.T:
        for right in b.T:
            shared |= (left[:, None] == right[None]) & (left[:, None] >= 0)
    return shared


def nearest_of(pairs: Pairs, photos: int, rng: np.random.Generator, *, draws: int = DRAWS) -> Pairs:
    """Pairs of random groups of ``photos`` of one person, each item by the nearest photo: distance, then score.

    People with fewer photos ask nothing; what shares a photo with any of a group is not usable.
    """
    groups = []
    for person in np.unique(pairs.asking):
        own = np.flatnonzero(pairs.asking == person)
        if len(own) >= photos:
            groups += [rng.choice(own, photos, replace=False) for _ in range(draws)]
    rows = np.array(groups, np.int64).reshape(-1, photos)
    n = len(pairs.asked)
    distances, scores = np.empty((len(rows), n), np.int32), np.empty((len(rows), n), np.float32)
    usable = np.empty((len(rows), n), bool)
    for g, group in enumerate(rows):
        order = np.lexsort((pairs.scores[group], pairs.distances[group]), axis=0)[0]  # (n,)
        distances[g], scores[g] = pairs.distances[group][order, np.arange(n)], pairs.scores[group][order, np.arange(n)]
        usable[g] = pairs.usable[group].all(axis=0)
    return Pairs(distances, scores, pairs.asking[rows[:, 0]], pairs.asked, usable, pairs.weighed)
