"""confidence: distances and scores (p, n) of rows to the p people of a question -> what a row is worth, which to keep.

A row of several people (``--with``) claims that all of them are there: its confidence is the product of theirs, as if
what makes one of them mistaken had nothing to do with the others, and its false match rate is the worst of theirs.
People whom a row must not be near to (``--not``, ``--without``) change neither: what is left of somebody's tracks when
those nearer to another person are gone is theirs at least as often as before.

The odds before looking are the share of the tracks that is the person's (search/share.py). What the curves say is held
back by `FOOTAGE` and `HELD_BACK`, chosen on film and on webcam sessions: as they are, strangers were "likely" in one
question of 14 to 22 (docs/research/confidence.md).

Confidence goes by what the answer is ranked by, so that it never rises down a list: by `Rank.soft` by the weighed
distance, with the curves that were learnt on such. Rows of stored tracks alone are sure of all their bits: these are
Hamming distances, and have the curves of Hamming distances.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dhhcli.models.binary_codes import UNIT
from dhhcli.models.calibration import STEPS_A_BIT, Calibration, sigmoid, whole_bits
from dhhcli.search.options import Rank
from dhhcli.search.question.probe import Asked
from dhhcli.search.ranking import Hit
from dhhcli.search.result import Chance, Row

FOOTAGE: Final = 0.8  # what a log ratio is worth in footage: the curves are learnt on tracks imitated from photos
HELD_BACK: Final = 0.9  # and what is taken off it: an answer shows the nearest of many tracks
THERE: Final = 0.1  # confidence from which somebody is taken to be in a shot: worth a look, calibration.WORDS
Distances = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Limits:
    """How good a row has to be; None: no limit."""

    min_confidence: float | None = None
    max_false_rate: float | None = None
    max_distance: int | None = None

    @property
    def calibrated(self) -> tuple[str, ...]:
        """Options that need a calibration."""
        given = (("--min-confidence", self.min_confidence), ("--max-false-rate", self.max_false_rate))
        return tuple(option for option, limit in given if limit is not None)


NO_LIMITS: Final = Limits()


@dataclass(frozen=True, eq=False)
class ConfidenceModel:
    """What rows are worth to a question: the people who are wanted, the asked one first."""

    calibration: Calibration
    people: tuple[Asked, ...]
    rank: Rank = Rank.soft
    priors: tuple[float, ...] = ()  # the share of the tracks that each of them is (search/share.py); (): the stored one

    def curves_of(self, person: Asked) -> tuple[Calibration, bool]:
        """What holds for a person's distances, and whether these are weighed ones."""
        soft = self.calibration.soft if self.rank is Rank.soft and person.unsure else None
        return (soft, True) if soft else (self.calibration, False)

    @property
    def shares(self) -> tuple[float, ...]:
        """One for each of the people."""
        return self.priors or (self.calibration.prior,) * len(self.people)

    def log_ratio(
        self, person: Asked, distances: npt.NDArray[np.integer[Any]], scores: npt.NDArray[np.floating[Any]]
    ) -> npt.NDArray[np.float64]:
        """(n,), (n,) to the nearest row of a person -> (n,): log of how many times likelier a track is if it is theirs.

        Of photos, however many there are, it is what the nearest says: a further photo that is no nearer takes nothing
        away. Stored tracks, which a name may have many of, are the nearest of so many (``Curve.log_ratio``).
        """
        curves, weighed = self.curves_of(person)
        d = whole_bits(scores, person.soft.shape[1]) if weighed else distances
        rows = 1 if person.kind == "still-track" else len(person.soft)
        return FOOTAGE * curves.log_ratio(d, scores, kind=person.kind, photos=rows) - HELD_BACK

    def each(self, distances: Distances, scores: Scores) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(p, n), (p, n) -> confidence (n,), rounded to six digits, and false match rate (n,)."""
        confidence, false_rate = np.ones(distances.shape[1]), np.zeros(distances.shape[1])
        for person, share, d, s in zip(self.people, self.shares, distances, scores, strict=True):
            confidence *= sigmoid(self.log_ratio(person, d, s) + math.log(share / (1 - share)))
            curves, weighed = self.curves_of(person)
            d = whole_bits(s, person.soft.shape[1]) if weighed else d
            rate = curves.false_match_rate(d, kind=person.kind, photos=len(person.soft))
            false_rate = np.maximum(false_rate, rate)
        return np.round(confidence, 6), false_rate

    def chances(self, hits: Sequence[Hit]) -> list[Chance]:
        """Of the hits of a search."""
        if not hits:
            return []
        claims = [[(claim.distance, claim.score) for claim in hit.claims] for hit in hits]
        distances, scores = np.array(claims, np.float64).transpose(2, 1, 0)  # (p, n) each
        confidence, false_rate = self.each(distances.astype(np.int32), scores.astype(np.float32))
        return [Chance(float(p), float(r)) for p, r in zip(confidence, false_rate, strict=True)]

    def keep(self, limits: Limits, distances: Distances, scores: Scores) -> npt.NDArray[np.bool_]:
        """(p, n), (p, n) -> (n,): which rows keep to both calibrated limits."""
        confidence, false_rate = self.each(distances, scores)
        least = 0.0 if limits.min_confidence is None else limits.min_confidence
        most = 1.0 if limits.max_false_rate is None else limits.max_false_rate
        return np.asarray((confidence >= least) & (false_rate <= most))

    def reach(self, limits: Limits, bits: int) -> float:
        """The largest distance, of those ranked by, at which a row may keep to the limits, -1 where none does.

        Confidence falls with the score, so the best score at each distance decides; a row of several people is never
        better than any of them.
        """
        alone = (replace(self, people=(one,), priors=(s,)) for one, s in zip(self.people, self.shares, strict=True))
        return max((worth._own_reach(limits, bits) for worth in alone), default=-1)

    def _own_reach(self, limits: Limits, bits: int) -> float:
        """Of one person."""
        if self.curves_of(self.people[0])[1]:
            # confidence is the same within a step, which the next one's beginning ends; the last has no end
            steps = np.arange(STEPS_A_BIT * (bits + 1), dtype=np.float32)[None] / np.float32(STEPS_A_BIT)
            kept = np.flatnonzero(self.keep(limits, whole_bits(steps, bits).astype(np.int32), steps))
            if len(kept) == steps.shape[1]:
                return 2 * bits
            return float(steps[0, kept[-1]]) + 1 / STEPS_A_BIT - 1 / UNIT if len(kept) else -1
        distances = np.arange(bits + 1, dtype=np.int32)[None]
        kept = np.flatnonzero(self.keep(limits, distances, (distances / 2).astype(np.float32)))
        return int(kept[-1]) if len(kept) else -1


def never_rising(chances: Sequence[Chance]) -> list[Chance]:
    """Chances of ranked hits, none more likely than one before it.

    Several people are ranked by the one who is less sure, and where there are codes of frames by their average:
    neither is what confidence goes by.
    """
    least, found = 1.0, []
    for chance in chances:
        least = min(least, chance.confidence)
        found.append(replace(chance, confidence=least))
    return found


def somebody(rows: Sequence[Row]) -> bool:
    """Whether a row is worth a look; rows of weights that are not calibrated promise nothing and count."""
    return any(row.confidence is None or row.confidence >= THERE for row in rows)


def probably_nobody(rows: Sequence[Row]) -> str:
    """Words for rows of which none is worth a look; the figure is cut, so that it never looks like the limit."""
    best = max(row.confidence or 0.0 for row in rows)
    return f"probably nobody: the best shot has a confidence of {math.floor(1000 * best) / 1000:g}, less than {THERE:g}"


def nobody(best: Chance, limits: Limits) -> str:
    """Words for an answer that the limits left empty. best: what the nearest row is worth."""
    wanted = [] if limits.min_confidence is None else [f"above a confidence of {limits.min_confidence:g}"]
    wanted += [] if limits.max_false_rate is None else [f"within a false match rate of {limits.max_false_rate:g}"]
    return (
        f"nobody found {' and '.join(wanted)}: the nearest shot has a confidence of {best.confidence:.2g} "
        f"and a false match rate of {best.false_rate:.2g}"
    )
