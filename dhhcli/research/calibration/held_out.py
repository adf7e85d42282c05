"""held_out: pairs (q, n) of every kind -> how curves of half of the people hold on the other half: figures and bins."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Doubles
from dhhcli.models.calibration import KINDS, Calibration
from dhhcli.research.calibration.curve_fit import fit_curve, how_alike, person_weights
from dhhcli.research.calibration.pairs import Pairs, nearest_of

PHOTOS: Final = 4  # of one person, in the measurement of several photos
EDGES: Final = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
FOUND: Final = 0.1  # from this probability on, an answer is worth a look


@dataclass(frozen=True)
class Bin:
    """One line of a reliability table: what was promised to people not fitted on, and what came."""

    weights: str
    rank: str  # by soft bits or by bits
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
    rank: str
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
    predicted: Doubles, same: npt.NDArray[np.bool_], weights: Doubles, of: tuple[str, str, str, int], prior: float
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
    rank = "soft" if all(pairs.weighed for pairs in kinds.values()) else "bits"
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
            weights[same] = prior * _normalised(person_weights(unknown))
            weights[~same] = (1 - prior) * _normalised(np.ones((~same).sum()))
            parts.append((predicted, same, weights / 2))
        predicted, same, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
        if not same.any() or same.all():
            continue  # nobody has so many photos
        line, bins = reliability(predicted, same, weights / weights.sum(), (name, rank, kind, photos), prior)
        figures.append(line)
        tables += bins
    return figures, tables


def _normalised(weights: Doubles) -> Doubles:
    return np.asarray(weights / max(weights.sum(), 1e-12))
