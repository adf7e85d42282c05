"""calibrate: face pack of people not trained on + weights -> curves of ``calibration.py``, and how they hold.

Every person gives stills and imitated tracks, most of one photo each, as film shows them: 1 to 30 frames, faces of 12
to 160 pixels; some of several unlike photos. Tracks of film that the pack holds are taken as they are. A track is never
compared with a photo that it was made of. All pairs of pictures are compared; what a person's own pairs say counts once
a person, however many there are.

Measured on held-out halves of 333 people (128 and 48 bit weights, log loss at odds of 1 to 99; the odds alone 0.0560):
isotonic 0.0317 and 0.0348, logistic 0.0315 and 0.0348. Where more than 0.8 was promised to 48 bits, logistic said 0.87
for what was 0.74, isotonic 0.92 for 0.85: so isotonic it is. Curves that know the face's size as filmed gain 0.0003 and
0.0002, the number of frames nothing: small faces are missed more often (at one false match in a hundred 28 % of those
of 12 to 16 pixels are found, 70 % of those of 64 and more), but not taken for others more often (0.7 and 1.0 %). So the
curves do not depend on them, and confidence never rises down a list.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .calibration import (
    KINDS,
    PRIOR,
    STEPS_A_BIT,
    Calibration,
    Curve,
    Floats,
    Spread,
    cells,
    from_record,
    score_place,
    to_record,
)
from .codes import binarise, hamming, pack
from .errors import PackError
from .features import Extract, FeatureExtractor, still_features
from .files import write_atomically
from .hashing import HashLayers, hash_stills, hash_tracks
from .imitation import centre, imitate_frames, imitate_shot
from .packs import FacePack, read_pack
from .weights import Weights, load_hash_layers, load_weights, resolve_weights

STILLS: Final = 8  # at most, a person
TRACKS: Final = 4
FRAMES: Final = (1, 2, 3, 5, 8, 13, 20, 30)  # a track
SIDES: Final = (12, 160)  # pixels across a face as filmed, evenly on a log scale; 64 is the network's input
PHOTOS_A_SET: Final = 6
LEAST_PEOPLE: Final = 20
PHOTOS: Final = 4  # of one person, in the measurement of how alike they are
DRAWS: Final = 8  # groups of so many photos a person
EDGES: Final = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
FOUND: Final = 0.1  # from this probability on, an answer is worth a look

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Material:
    """Features of what is compared. Rows are rows of the pack, -1 where a track has fewer."""

    stills: npt.NDArray[np.float32]  # (s, d)
    still_people: Ints  # (s,)
    still_rows: Ints  # (s, 1)
    tracks: tuple[npt.NDArray[np.float32], ...]  # (m_i, d) each
    track_people: Ints  # (t,)
    track_rows: Ints  # (t, 6); of film the first frame's stands for all


def material(faces: FacePack, extract: Extract, rng: np.random.Generator, *, mirror: bool = False) -> Material:
    """Stills and imitated tracks of everybody in a pack; ``mirror``: stills are looked at from both sides.

    Raises:
        PackError: fewer than 20 people have two photos.
    """
    still_rows: list[int] = []
    track_rows: list[tuple[int, ...]] = []
    tracks: list[npt.NDArray[np.float32]] = []
    several = 0

    def add(rows: Sequence[int], crops: npt.NDArray[np.uint8]) -> None:
        track_rows.append(tuple(rows))
        tracks.append(extract(crops))

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
        for film in rng.permutation(films)[:TRACKS]:
            frames = np.flatnonzero(own & (faces.track == film))
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

    @property
    def same(self) -> npt.NDArray[np.bool_]:
        """(q, n) of one person."""
        return np.asarray(self.asking[:, None] == self.asked[None])

    def among(self, people: Ints) -> "Pairs":
        """What is left when only some people are there."""
        q, n = np.isin(self.asking, people), np.isin(self.asked, people)
        both = np.ix_(q, n)
        return Pairs(self.distances[both], self.scores[both], self.asking[q], self.asked[n], self.usable[both])


def all_pairs(found: Material, layers: HashLayers) -> dict[str, Pairs]:
    """Pairs of every kind in ``KINDS``."""
    soft = {"still": hash_stills(layers, found.stills), "track": hash_tracks(layers, found.tracks)}
    people = {"still": found.still_people, "track": found.track_people}
    rows = {"still": found.still_rows, "track": found.track_rows}
    pairs = {}
    for kind in KINDS:
        query, item = kind.split("-")
        q, bits = soft[query].astype(np.float64), binarise(soft[item]).astype(np.float64)
        pairs[kind] = Pairs(
            hamming(pack(binarise(soft[query])), pack(binarise(soft[item]))),
            (q @ (1 - bits).T + (1 - q) @ bits.T).astype(np.float32),
            people[query],
            people[item],
            ~_shared(rows[query], rows[item]),
        )
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
    return Pairs(distances, scores, pairs.asking[rows[:, 0]], pairs.asked, usable)


def how_alike(single: Pairs, group: Pairs, photos: int) -> float:
    """Exponent a: ``photos`` of a person are mistaken for somebody else as often as photos ** a independent ones.

    Measured at the largest distance where one photo is mistaken in at most one of a hundred pairs (or at the least
    distance where it is at all); 1 where there is nothing to measure on, as if photos were independent.
    """
    one = _false_rate(single.among(np.unique(group.asking)))
    several = _false_rate(group)
    if one is None or several is None:
        return 1.0
    mistaken = np.flatnonzero(one > 0)
    at = max(int(mistaken[0]), int(np.searchsorted(one, 0.01, side="right")) - 1)
    if several[at] >= 1:
        return 1.0
    # 1 - (1 - F)^k of k independent photos
    independent = math.log1p(-float(several[at])) / math.log1p(-float(one[at]))
    return float(np.clip(math.log(max(independent, 1.0)) / math.log(photos), 0.0, 1.0))


def _false_rate(pairs: Pairs) -> Floats | None:
    others = pairs.distances[~pairs.same & pairs.usable]
    if not len(others):
        return None
    return np.asarray(np.cumsum(np.bincount(others)) / len(others))


def falling(values: Floats, weights: Floats) -> Floats:
    """The sequence (n,) that never rises and is nearest to ``values`` in weighted squares: pool adjacent violators
    (Ayer et al., Annals of Mathematical Statistics 1955).
    """
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        block = (value, weight, 1)
        while blocks and blocks[-1][0] < block[0]:
            mean, mass, count = blocks.pop()
            total = mass + block[1]
            block = ((mean * mass + block[0] * block[1]) / total, total, count + block[2])
        blocks.append(block)
    return np.array([mean for mean, _, count in blocks for _ in range(count)])


def fit_curve(pairs: Pairs, bits: int, prior: float = PRIOR) -> Curve:
    """The curve of some pairs: both tables of ``calibration.Curve``.

    The isotonic fit is of the probability at ``prior``, where answers are decided; each person's pairs weigh alike.
    """
    same, other = pairs.same & pairs.usable, ~pairs.same & pairs.usable
    people = len(np.unique(np.concatenate([pairs.asking, pairs.asked])))
    people_pairs = max(1, people * (people - 1) // 2)
    places = score_place(pairs.distances, pairs.scores, bits)
    low, high = np.quantile(places[pairs.usable], [0.05, 0.95])
    spread = Spread(round(float(low), 4), max(round(float(high), 4), round(float(low), 4) + 1e-3))
    weights = _person_weights(pairs)
    n = STEPS_A_BIT * (bits + 1)
    genuine = np.bincount(
        cells(pairs.distances[same], pairs.scores[same], bits, spread), weights=weights, minlength=n
    ) / max(weights.sum(), 1e-12)
    false = np.bincount(cells(pairs.distances[other], pairs.scores[other], bits, spread), minlength=n)
    mass = prior * genuine + (1 - prior) * false / max(1, false.sum())
    seen = np.flatnonzero(mass)
    chance = falling((prior * genuine / np.maximum(mass, 1e-300))[seen], mass[seen])
    with np.errstate(divide="ignore"):
        ratios = np.asarray(np.log(chance) - np.log1p(-chance) - math.log(prior / (1 - prior)), np.float64)
    most = math.log(max(1.0, people_pairs / 3))
    ratios = np.asarray(np.round(np.clip(ratios, -most, most), 4), np.float64)
    begins = np.flatnonzero(np.r_[True, np.diff(ratios) != 0])
    near = np.bincount(pairs.distances[same], weights=weights, minlength=bits + 1)
    return Curve(
        bits=bits,
        spread=spread,
        false_matches=np.cumsum(false.reshape(-1, STEPS_A_BIT).sum(axis=1)).astype(np.int64),
        true_rate=np.minimum(np.cumsum(near) / max(weights.sum(), 1e-12), 1.0),
        people_pairs=people_pairs,
        first_cells=np.r_[0, seen[begins[1:] - 1] + 1].astype(np.int64),  # cells never seen go with the farther step
        log_ratios=ratios[begins],
    )


def _person_weights(pairs: Pairs) -> Floats:
    """(pairs of one person,) weights, in the order of ``[pairs.same & pairs.usable]``: each person's sum to 1."""
    asking, _ = np.nonzero(pairs.same & pairs.usable)
    _, inverse, counts = np.unique(pairs.asking[asking], return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[inverse])


@dataclass(frozen=True)
class Bin:
    """One line of a reliability table: what was promised to people not fitted on, and what came."""

    weights: str
    kind: str
    photos: int  # how many were asked with together
    predicted: float  # mean probability
    observed: float  # share of pairs of one person, at the prior's odds
    same: int  # pairs of one person
    other: int  # pairs of different people


@dataclass(frozen=True)
class HeldOut:
    """How curves fitted on half of the people hold on the other half, both ways, at the prior's odds."""

    weights: str
    kind: str
    photos: int
    log_loss: float
    log_loss_of_prior: float  # of saying the prior each time
    brier: float
    ece: float  # expected calibration error over all pairs: mean |observed - predicted| over the bins
    ece_found: float  # over the pairs of probability 0.1 and more
    same: int
    other: int


def reliability(
    predicted: Floats, same: npt.NDArray[np.bool_], weights: Floats, of: tuple[str, str, int], prior: float
) -> tuple[HeldOut, list[Bin]]:
    """Probabilities (n,), truth (n,) and weights (n,) that sum to 1 -> figures, and the bins that hold anything."""
    p = np.clip(predicted, 1e-9, 1 - 1e-9)
    place = np.clip(np.searchsorted(EDGES, predicted, side="right") - 1, 0, len(EDGES) - 2)
    bins, gaps, found, missed = [], 0.0, 0.0, 0.0
    for number in np.unique(place):
        inside = place == number
        mass = weights[inside].sum()
        mean = float((weights[inside] * predicted[inside]).sum() / mass)
        truth = float((weights[inside] * same[inside]).sum() / mass)
        bins.append(Bin(*of, mean, truth, int(same[inside].sum()), int((~same[inside]).sum())))
        gaps += mass * abs(mean - truth)
        if EDGES[number] >= FOUND:
            found, missed = found + mass, missed + mass * abs(mean - truth)
    return HeldOut(
        *of,
        log_loss=float(-(weights * np.where(same, np.log(p), np.log1p(-p))).sum()),
        log_loss_of_prior=-prior * math.log(prior) - (1 - prior) * math.log(1 - prior),
        brier=float((weights * (predicted - same) ** 2).sum()),
        ece=float(gaps),
        ece_found=float(missed / found) if found else 0.0,
        same=int(same.sum()),
        other=int((~same).sum()),
    ), bins


def held_out(
    kinds: Mapping[str, Pairs], name: str, bits: int, prior: float, rng: np.random.Generator
) -> tuple[list[HeldOut], list[Bin]]:
    """Fit on half of the people, look at the other half, and the other way round: every kind, then several photos."""
    people = np.unique(np.concatenate([p for pairs in kinds.values() for p in (pairs.asking, pairs.asked)]))
    drawn = rng.permutation(people)
    halves = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
    figures, tables = [], []
    for kind, photos in [*((kind, 1) for kind in KINDS), ("still-track", PHOTOS)]:
        parts = []
        for fitted, other in (halves, halves[::-1]):
            known, unknown = kinds[kind].among(fitted), kinds[kind].among(other)
            alike = 1.0
            if photos > 1:
                alike = how_alike(known, nearest_of(known, photos, rng), photos)
                unknown = nearest_of(unknown, photos, rng)
            calibration = Calibration({kind: fit_curve(known, bits, prior)}, prior, alike)
            kept = unknown.usable
            same = unknown.same[kept]
            predicted = calibration.confidence(unknown.distances[kept], unknown.scores[kept], kind=kind, photos=photos)
            weights = np.empty(len(same))
            weights[same] = prior * _normalised(_person_weights(unknown))
            weights[~same] = (1 - prior) * _normalised(np.ones((~same).sum()))
            parts.append((predicted, same, weights / 2))
        predicted, same, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
        if not same.any() or same.all():
            continue  # nobody has so many photos
        line, bins = reliability(predicted, same, weights / weights.sum(), (name, kind, photos), prior)
        figures.append(line)
        tables += bins
    return figures, tables


def _normalised(weights: Floats) -> Floats:
    return np.asarray(weights / max(weights.sum(), 1e-12))


@dataclass(frozen=True)
class Calibrated:
    """Curves fitted on everybody, and what held-out halves said."""

    calibration: Calibration
    held_out: tuple[HeldOut, ...]
    bins: tuple[Bin, ...]

    def record(self, faces: str, people: int) -> dict[str, Any]:
        """What goes under ``record["calibration"]``."""
        kept = [{k: _short(v) for k, v in asdict(line).items() if k != "weights"} for line in self.held_out]
        return to_record(self.calibration) | {"data": faces, "people": people, "held_out": kept}


def _short(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def calibrate(
    found: Material, layers: HashLayers, rng: np.random.Generator, *, prior: float = PRIOR, name: str = ""
) -> Calibrated:
    """Learn the curves of some hash layers from features of people whom the network was never trained on."""
    kinds = all_pairs(found, layers)
    figures, bins = held_out(kinds, name, layers.bits, prior, rng)
    curves = {kind: fit_curve(pairs, layers.bits, prior) for kind, pairs in kinds.items()}
    single = kinds["still-track"]
    alike = how_alike(single, nearest_of(single, PHOTOS, rng), PHOTOS)
    return Calibrated(Calibration(curves, prior, alike), tuple(figures), tuple(bins))


def write_calibration(weights: Weights, part: Mapping[str, Any]) -> None:
    """Put ``part`` under ``calibration`` in the weights' record, atomically; nothing else in it changes.

    Codes stay valid: their fingerprint is of the hash layers' file, which is not touched.
    """
    mark = "calibration goes here"
    text = json.dumps(weights.record | {"calibration": mark}, indent=2, ensure_ascii=False)
    tables = re.sub(r"\[[-+.\deE,\s]*\]", lambda table: " ".join(table.group().split()), json.dumps(part, indent=2))
    text = text.replace(json.dumps(mark), tables.replace("\n", "\n  "))
    write_atomically(weights.record_path, f"{text}\n".encode())


def calibrate_weights(
    pack_path: Path, names: Sequence[str | None], *, prior: float = PRIOR, seed: int = 0
) -> Iterator[tuple[Weights, Calibrated]]:
    """Calibrate weights on the people of a pack and write it into their records, one after the other.

    Raises:
        PackError: the pack cannot be read, or holds too few people.
        WeightsError: some weights cannot be used; said before anything is written.
    """
    chosen = [load_weights(resolve_weights(name)) for name in names]
    layers = [load_hash_layers(weights) for weights in chosen]
    faces = read_pack(pack_path)
    known: dict[tuple[str, bool], Material] = {}  # weights of several lengths share a backbone
    for weights, own in zip(chosen, layers, strict=True):
        backbone = (str(weights.record["files"]["onnx"]["sha256"]), weights.mirror)
        if backbone not in known:
            extract = FeatureExtractor(weights.onnx_path, threads=os.cpu_count() or 1)
            known[backbone] = material(faces, extract, np.random.default_rng(seed), mirror=weights.mirror)
        done = calibrate(known[backbone], own, np.random.default_rng(seed), prior=prior, name=weights.name)
        part = done.record(pack_path.name, len(np.unique(faces.identity)))
        from_record({"calibration": part}, weights.bits, weights.record_path)  # what cannot be read is not written
        write_calibration(weights, part)
        yield weights, done
