"""limits and question: what rows are worth, against loops over rows and people; the rows that photos make."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.models.calibration import Calibration
from dhhcli.models.hash_layers import hash_tracks
from dhhcli.models.weights import load_hash_layers, load_weights, resolve_weights
from dhhcli.search.confidence import FOOTAGE, HELD_BACK, ConfidenceModel, Limits, nobody
from dhhcli.search.options import Fuse
from dhhcli.search.question.probe import Asked, kind_of, photo_rows
from dhhcli.search.ranking import Claim, Hit
from dhhcli.search.result import Chance

K = 128


def person(rows: int, kind: str) -> Asked:
    """Of stored tracks: Hamming distances, whatever is ranked by."""
    return Asked(np.zeros((rows, K), np.float32), ("x",) * rows, kind, (), np.empty(0, np.int64), ())


people = st.lists(
    st.builds(person, st.integers(1, 5), st.sampled_from(["still-track", "track-track"])), min_size=1, max_size=3
)


def rows_of(rng: np.random.Generator, p: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and scores (p, n) that can be: h / 2 <= score <= (K + h) / 2."""
    distances = rng.integers(0, 70, (p, n)).astype(np.int32)
    return distances, (distances / 2 + rng.random((p, n)) * K / 2).astype(np.float32)


def slow_chance(
    calibration: Calibration, wanted: Sequence[Asked], distances: np.ndarray, scores: np.ndarray
) -> tuple[float, float]:
    """One row: the product of everybody's confidence, the worst of their rates. Photos are one, tracks are counted."""
    confidence, rate = 1.0, 0.0
    for one, distance, score in zip(wanted, distances, scores, strict=True):
        d, s = np.array([distance]), np.array([score])
        rows = 1 if one.kind == "still-track" else len(one.soft)
        ratio = FOOTAGE * float(calibration.log_ratio(d, s, kind=one.kind, photos=rows)[0]) - HELD_BACK
        confidence *= 1 / (1 + math.exp(-ratio) * 0.99 / 0.01)
        rate = max(rate, float(calibration.false_match_rate(d, kind=one.kind, photos=len(one.soft))[0]))
    return round(confidence, 6), rate


@given(
    wanted=people,
    seed=st.integers(0, 2**32),
    confidence=st.one_of(st.none(), st.floats(0, 1)),
    rate=st.one_of(st.none(), st.floats(0, 1)),
)
@settings(max_examples=80, deadline=None)
def test_limits_keep_what_loops_keep(
    calibration: Calibration, wanted: list[Asked], seed: int, confidence: float | None, rate: float | None
) -> None:
    distances, scores = rows_of(np.random.default_rng(seed), len(wanted), 30)
    worth, limits = ConfidenceModel(calibration, tuple(wanted)), Limits(confidence, rate)
    each = [slow_chance(calibration, wanted, distances[:, at], scores[:, at]) for at in range(30)]
    kept = worth.keep(limits, distances, scores)
    for at, (p, r) in enumerate(each):
        assert kept[at] == ((confidence is None or p >= confidence) and (rate is None or r <= rate))
    hits = [
        Hit(at + 1, 0, 0.0, 0, 0, 1, tuple(Claim(0, int(d), float(s)) for d, s in zip(*pair, strict=True)))
        for at, pair in enumerate(zip(distances.T, scores.T, strict=True))
    ]
    chances = worth.chances(hits)
    assert [c.confidence for c in chances] == pytest.approx([p for p, _ in each], abs=1e-9)
    assert [c.false_rate for c in chances] == pytest.approx([r for _, r in each])
    # nothing that is kept lies beyond the radius
    radius = worth.reach(limits, K)
    assert not kept[distances.max(axis=0) > radius].any()
    assert -1 <= radius <= K


def test_the_radius_is_no_larger_than_it_must_be(calibration: Calibration) -> None:
    for kind, rows in (("still-track", 1), ("track-track", 3)):
        worth = ConfidenceModel(calibration, (person(rows, kind),))
        for limits in (Limits(0.5), Limits(None, 0.001), Limits(0.1, 0.01)):
            radius = worth.reach(limits, K)
            distances = np.array([[radius, radius + 1]], np.int32)
            assert worth.keep(limits, distances, (distances / 2).astype(np.float32)).tolist() == [True, False]
        assert worth.reach(Limits(), K) == K
        assert worth.reach(Limits(1.0, 0.0), K) == -1


def test_words_for_nobody() -> None:
    best = Chance(0.25, 0.004)
    tail = "the nearest shot has a confidence of 0.25 and a false match rate of 0.004"
    assert nobody(best, Limits(0.5)) == f"nobody found above a confidence of 0.5: {tail}"
    assert nobody(best, Limits(0.5, 0.001)) == (
        f"nobody found above a confidence of 0.5 and within a false match rate of 0.001: {tail}"
    )


def test_rows_of_photos() -> None:
    layers = load_hash_layers(load_weights(resolve_weights("dhh-128")))
    rng = np.random.default_rng(0)
    soft = rng.random((3, K), np.float32)
    features = rng.standard_normal((3, layers.still_weight.shape[1]), np.float32)
    together = hash_tracks(layers, [features])
    assert (photo_rows(soft, features, layers, Fuse.best) == soft).all()
    assert (photo_rows(soft, features, layers, Fuse.set) == together).all()
    assert (photo_rows(soft, features, layers, Fuse.both) == np.concatenate([soft, together])).all()
    for way in Fuse:
        assert (photo_rows(soft[:1], features[:1], layers, way) == soft[:1]).all()
        assert kind_of(1, way) == "still-track"
    assert [kind_of(2, way) for way in Fuse] == ["still-track", "track-track", "still-track"]
