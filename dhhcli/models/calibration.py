"""calibration: distances (n,) and soft scores (n,) of pairs -> probability (n,) of one person, false match rate (n,).

What `fit.py` learned from people whom the network never saw lies in the weights' record under ``calibration``,
one curve for each kind of pair (a still against a track, ...). A curve is two tables:

- *false matches*: how many pairs of different people were at or below each distance. Pairs of the same two people are
  not independent, so nothing below 3 / (pairs of people) is ever claimed: the rule of three (Hanley and
  Lippman-Hand, JAMA 1983), the 95 % bound where nothing was seen, with people and not pictures counted.
- *log ratio*: steps of log p(pair | same person) / p(pair | different people), never rising with distance and, within
  a distance, with the soft score; held within what the same rule allows.

Distances weighed by how sure the asking bits are (``soft_codes``) have curves of their own, `Calibration.soft`: on
people held out, curves of Hamming distances are off by 0.12 on average where 0.1 or more is promised, their own by 0.04
(48 bits). Their tables are by whole bits of the weighed distance, their steps by quarters of a bit.

The probability needs the odds before looking: ``prior`` is the share of the footage's face tracks that are of the
person. It is stored beside the curves (0.01: one track in a hundred); a person who is rarer than that is less likely
than the figure says, one who is all over the footage more likely.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Doubles
from dhhcli.errors import WeightsError

VERSION: Final = 1
PRIOR: Final = 0.01
KINDS: Final = ("still-track", "track-still", "still-still", "track-track")  # query first
STEPS_A_BIT: Final = 4  # the soft score, or what a weighed distance is beyond whole bits, divides each into so many
WORDS: Final = ((0.9, "very likely"), (0.5, "likely"), (0.1, "unsure"), (0.0, "unlikely"))
Distances = npt.NDArray[np.integer[Any]]


def in_words(confidence: float) -> str:
    """A probability as words: from 0.9 very likely, from 0.5 likely, from 0.1 unsure, below unlikely."""
    return next(word for least, word in WORDS if confidence >= least or least == 0.0)


@dataclass(frozen=True)
class Spread:
    """Where within its possible range the soft score of a pair usually lies; 0 and 1 are the ends of the range."""

    low: float
    high: float


def score_place(distances: Distances, scores: npt.NDArray[np.floating[Any]], bits: int) -> Doubles:
    """Where soft scores (n,) lie in what their distances (n,) allow: 0 .. 1.

    Each of h differing bits adds 0.5 to 1 to the score, each of the others 0 to 0.5: h / 2 <= score <= (K + h) / 2.
    """
    return np.clip((np.asarray(scores, np.float64) - np.asarray(distances) / 2) / (bits / 2), 0.0, 1.0)


def whole_bits(scores: npt.NDArray[np.floating[Any]], bits: int) -> npt.NDArray[np.int64]:
    """Weighed distances (n,), in bits -> the whole bits of them, at most K: what curves of these take as distances."""
    return np.asarray(np.minimum(np.floor(scores), bits), np.int64)


def cells(
    distances: Distances, scores: npt.NDArray[np.floating[Any]], bits: int, spread: Spread | None
) -> npt.NDArray[np.int64]:
    """Number of the cell of each pair, 0 .. 4 (K + 1) - 1: in the order of a ranking, by distance, then by score.

    spread: None: scores are weighed distances, distances their `whole_bits`.
    """
    if spread is None:
        beyond = np.clip(np.asarray(scores, np.float64) - np.asarray(distances), 0.0, 1.0)
        quarter = np.minimum((beyond * STEPS_A_BIT).astype(np.int64), STEPS_A_BIT - 1)
        return np.asarray(STEPS_A_BIT * np.asarray(distances, np.int64) + quarter)
    place = score_place(distances, scores, bits)
    within = np.clip((place - spread.low) / (spread.high - spread.low), 0.0, 1.0)
    quarter = np.minimum((within * STEPS_A_BIT).astype(np.int64), STEPS_A_BIT - 1)
    return np.asarray(STEPS_A_BIT * np.asarray(distances, np.int64) + quarter)


@dataclass(frozen=True, eq=False)
class Curve:
    """What is known of one kind of pair; K bits."""

    bits: int
    spread: Spread | None  # None: of weighed distances
    false_matches: npt.NDArray[np.int64]  # (K + 1,) pairs of different people at or below each distance
    true_rate: Doubles  # (K + 1,) share of pairs of one person at or below each distance
    people_pairs: int
    first_cells: npt.NDArray[np.int64]  # (s,) where each step begins, from 0
    log_ratios: Doubles  # (s,) never rising

    @property
    def floor(self) -> float:
        """The least false match rate that the number of people allows to claim."""
        return min(1.0, 3.0 / self.people_pairs)

    @property
    def false_rate(self) -> Doubles:
        """(K + 1,) share of pairs of different people at or below each distance, at least ``floor``."""
        return np.maximum(self.false_matches / max(1, int(self.false_matches[-1])), self.floor)

    def false_match_rate(self, distances: Distances, *, photos: int = 1) -> Doubles:
        """(n,) -> (n,): how often somebody else comes as near to the nearest of some photos, at most.

        Photos of one person are alike, so the rate rises less than ``photos``-fold; this is the union bound, which
        holds however alike they are.
        """
        return np.asarray(np.minimum(1.0, photos * self.false_rate[np.asarray(distances)]))

    def log_ratio(self, distances: Distances, scores: npt.NDArray[np.floating[Any]], *, photos: float = 1.0) -> Doubles:
        """(n,), (n,) -> (n,): log of how many times likelier a pair is if it is of one person.

        ``photos``: independent photos k of which these are the nearest. With F and G the shares of pairs of different
        people and of one person at or below a distance, the nearest of k has density k f (1 - F)^(k - 1), so the
        ratio g / f is multiplied by ((1 - G) / (1 - F))^(k - 1): that the nearest of many is still far speaks
        against, that it is near speaks nearly as much as with one.
        """
        cell = cells(distances, scores, self.bits, self.spread)
        single = self.log_ratios[np.searchsorted(self.first_cells, cell, side="right") - 1]
        if photos <= 1:
            return np.asarray(single)
        tiny = 1e-6
        others = np.log(np.maximum(1 - self.true_rate, tiny)) - np.log(np.maximum(1 - self.false_rate, tiny))
        others = np.minimum.accumulate(np.minimum(others, 0.0))
        return np.asarray(single + (photos - 1) * others[np.asarray(distances)])


@dataclass(frozen=True, eq=False)
class Calibration:
    """The curves of some weights."""

    curves: Mapping[str, Curve]
    prior: float
    alike: float  # q photos of a person are worth q ** alike independent ones
    soft: "Calibration | None" = None  # of weighed distances; None: not learnt

    def confidence(
        self, distances: Distances, scores: npt.NDArray[np.floating[Any]], *, kind: str = "still-track", photos: int = 1
    ) -> Doubles:
        """(n,), (n,) -> (n,): probability that a pair is of one person, if ``prior`` of all tracks were that person.

        Never rises along a ranking by distance, then score. ``photos``: how many photos these are the nearest of.
        """
        ratio = self.log_ratio(distances, scores, kind=kind, photos=photos)
        return sigmoid(ratio + math.log(self.prior / (1 - self.prior)))

    def log_ratio(
        self, distances: Distances, scores: npt.NDArray[np.floating[Any]], *, kind: str = "still-track", photos: int = 1
    ) -> Doubles:
        """(n,), (n,) -> (n,): see ``Curve.log_ratio``."""
        return self.curves[kind].log_ratio(distances, scores, photos=photos**self.alike)

    def false_match_rate(self, distances: Distances, *, kind: str = "still-track", photos: int = 1) -> Doubles:
        """(n,) -> (n,): see ``Curve.false_match_rate``."""
        return self.curves[kind].false_match_rate(distances, photos=photos)


def sigmoid(x: Doubles) -> Doubles:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(x))))


def to_record(calibration: Calibration) -> dict[str, Any]:
    """The part of ``record["calibration"]`` that ``from_record`` reads."""
    return {
        "version": VERSION,
        "prior": calibration.prior,
        **_learnt(calibration),
        **({"soft": _learnt(calibration.soft)} if calibration.soft else {}),
    }


def _learnt(calibration: Calibration) -> dict[str, Any]:
    return {
        "alike": round(calibration.alike, 4),
        "kinds": {kind: _curve_record(curve) for kind, curve in calibration.curves.items()},
    }


def _curve_record(curve: Curve) -> dict[str, Any]:
    return {
        **({"spread": [round(curve.spread.low, 4), round(curve.spread.high, 4)]} if curve.spread else {}),
        "people_pairs": curve.people_pairs,
        "false_matches": curve.false_matches.tolist(),
        "true_rate": np.round(curve.true_rate, 4).tolist(),
        "first_cells": curve.first_cells.tolist(),
        "log_ratios": np.round(curve.log_ratios, 4).tolist(),
    }


def from_record(record: Mapping[str, Any], bits: int, path: Path) -> Calibration | None:
    """``record["calibration"]`` of weights of K bits; None where the record has none.

    Raises:
        WeightsError: it is of another version, or not what ``to_record`` writes.
    """
    stored = record.get("calibration")
    if stored is None:
        return None
    again = f"make it anew: dhh calibrate PACK --weights {path}"
    try:
        version = stored["version"]
        if version != VERSION:
            raise WeightsError(f"{path}: calibration version {version!r}, this dhh reads {VERSION}; {again}")
        prior = float(stored["prior"])
        _require(0 < prior < 1, f"prior {prior} is not between 0 and 1")
        found = _read(stored, bits, prior, weighed=False)
        if "soft" in stored:  # records of before weighed distances have none
            found = replace(found, soft=_read(stored["soft"], bits, prior, weighed=True))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise WeightsError(f"{path}: calibration is damaged ({type(error).__name__}: {error}); {again}") from None
    return found


def _read(stored: Mapping[str, Any], bits: int, prior: float, *, weighed: bool) -> Calibration:
    alike = float(stored["alike"])
    _require(0 <= alike <= 1, f"alike {alike} is not between 0 and 1")
    return Calibration({kind: _curve(stored["kinds"][kind], bits, weighed=weighed) for kind in KINDS}, prior, alike)


def _curve(stored: Mapping[str, Any], bits: int, *, weighed: bool) -> Curve:
    low, high = (0.0, 1.0) if weighed else (float(end) for end in stored["spread"])
    curve = Curve(
        bits,
        None if weighed else Spread(low, high),
        np.array(stored["false_matches"], np.int64),
        np.array(stored["true_rate"], np.float64),
        int(stored["people_pairs"]),
        np.array(stored["first_cells"], np.int64),
        np.array(stored["log_ratios"], np.float64),
    )
    _require(low < high, f"spread from {low} to {high}")
    _require(curve.people_pairs > 0, f"{curve.people_pairs} pairs of people")
    for name, table in (("false_matches", curve.false_matches), ("true_rate", curve.true_rate)):
        _require(table.shape == (bits + 1,), f"{name} has shape {table.shape}, {bits} bits need ({bits + 1},)")
        _require(bool(table[0] >= 0 and (np.diff(table) >= 0).all()), f"{name} falls, is negative or no number")
    _require(curve.true_rate[-1] <= 1 and curve.false_matches[-1] > 0, "rates above 1, or of nothing")
    steps, ratios = curve.first_cells, curve.log_ratios
    _require(steps.ndim == 1 and steps.shape == ratios.shape and len(steps) > 0, "steps and their ratios differ")
    _require(steps[0] == 0 and bool((np.diff(steps) > 0).all()), "steps do not rise from 0")
    _require(bool(np.isfinite(ratios).all() and (np.diff(ratios) <= 0).all()), "ratios rise with distance")
    return curve


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
