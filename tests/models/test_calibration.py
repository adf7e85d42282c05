"""Distances and soft scores as probabilities: what is promised, what may never be, what a damaged record says."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhhcli.errors import WeightsError
from dhhcli.models.binary_codes import binarise
from dhhcli.models.calibration import (
    KINDS,
    Calibration,
    Curve,
    Spread,
    cells,
    from_record,
    in_words,
    score_place,
    sigmoid,
    to_record,
    whole_bits,
)

BITS = 8


def curve(ratios: tuple[float, ...] = (4.0, 1.0, -3.0), first: tuple[int, ...] = (0, 9, 20)) -> Curve:
    return Curve(
        bits=BITS,
        spread=Spread(0.25, 0.5),
        false_matches=np.array([0, 0, 1, 10, 60, 200, 600, 900, 1000]),
        true_rate=np.array([0.3, 0.6, 0.8, 0.9, 0.95, 1.0, 1.0, 1.0, 1.0]),
        people_pairs=300,
        first_cells=np.array(first),
        log_ratios=np.array(ratios),
    )


def calibration() -> Calibration:
    return Calibration({kind: curve() for kind in KINDS}, 0.01, 0.5)


@pytest.mark.parametrize(
    ("confidence", "words"),
    [
        (1.0, "very likely"),
        (0.9, "very likely"),
        (0.899, "likely"),
        (0.5, "likely"),
        (0.49, "unsure"),
        (0.1, "unsure"),
        (0.099, "unlikely"),
        (0.0, "unlikely"),
    ],
)
def test_words(confidence: float, words: str) -> None:
    assert in_words(confidence) == words


@given(st.lists(st.floats(0, 1), min_size=BITS, max_size=BITS), st.lists(st.booleans(), min_size=BITS, max_size=BITS))
def test_a_soft_score_lies_where_its_distance_allows(soft: list[float], code: list[bool]) -> None:
    bits = np.array(soft)
    distance = int((binarise(bits[None])[0] != np.array(code)).sum())
    score = float(np.where(code, 1 - bits, bits).sum())
    assert distance / 2 - 1e-9 <= score <= (BITS + distance) / 2 + 1e-9
    place = float(score_place(np.array([distance]), np.array([score]), BITS)[0])
    assert place == pytest.approx((score - distance / 2) / (BITS / 2), abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, BITS), st.floats(0, 1)), min_size=1, max_size=30))
def test_nothing_gets_better_down_a_ranking(pairs: list[tuple[int, float]]) -> None:
    ranked = sorted((h, h / 2 + share * BITS / 2) for h, share in pairs)
    distances, scores = np.array([h for h, _ in ranked]), np.array([s for _, s in ranked])
    assert (np.diff(cells(distances, scores, BITS, Spread(0.25, 0.5))) >= 0).all()
    for photos in (1, 3, 20):
        assert (np.diff(calibration().confidence(distances, scores, photos=photos)) <= 1e-12).all()
        assert (np.diff(calibration().false_match_rate(distances, photos=photos)) >= 0).all()


def test_false_match_rate_counts_and_claims_no_more_than_people_allow() -> None:
    got = curve().false_match_rate(np.arange(BITS + 1))
    floor = 3 / 300
    expected = [max(floor, count / 1000) for count in (0, 0, 1, 10, 60, 200, 600, 900, 1000)]
    assert got.tolist() == pytest.approx(expected)
    assert curve().false_match_rate(np.array([4]), photos=5).tolist() == pytest.approx([0.3])  # union bound
    assert curve().false_match_rate(np.array([6]), photos=5).tolist() == [1.0]


def test_confidence_is_bayes_rule() -> None:
    distances, scores = np.array([0, 4, 8]), np.array([1.0, 3.5, 6.0])
    steps = cells(distances, scores, BITS, Spread(0.25, 0.5))
    for step, got in zip(steps, calibration().confidence(distances, scores), strict=True):
        ratio = math.exp(4.0 if step < 9 else 1.0 if step < 20 else -3.0)
        assert got == pytest.approx(0.01 * ratio / (0.01 * ratio + 0.99))


def test_the_nearest_of_many_photos_is_worth_less_when_it_is_far() -> None:
    distances, scores = np.array([0, 3]), np.array([1.0, 2.5])
    one, many = calibration().confidence(distances, scores), calibration().confidence(distances, scores, photos=9)
    near, far = many / one
    assert far < near < 1
    # of k photos: g / f times ((1 - G) / (1 - F)) ** (k - 1), k = 9 ** 0.5
    logit = np.log(many / (1 - many)) - np.log(one / (1 - one))
    assert logit[1] == pytest.approx(2 * (math.log(0.1) - math.log(0.99)))


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def test_a_record_brings_back_what_went_in() -> None:
    found = from_record({"calibration": to_record(calibration())}, BITS, Path("w.json"))
    assert found is not None
    assert (found.prior, found.alike) == (0.01, 0.5)
    distances, scores = np.repeat(np.arange(BITS + 1), 5), np.tile(np.linspace(0, 8, 5), BITS + 1)
    for kind in KINDS:
        assert (
            found.confidence(distances, scores, kind=kind) == calibration().confidence(distances, scores, kind=kind)
        ).all()
        assert found.curves[kind].false_rate.tolist() == curve().false_rate.tolist()


def weighed() -> Calibration:
    """Curves of weighed distances beside those of bits: of other people, and by quarters of a bit."""
    soft = {kind: replace(curve(), spread=None, people_pairs=7) for kind in KINDS}
    return replace(calibration(), soft=Calibration(soft, 0.01, 0.25))


def test_a_record_brings_back_curves_of_weighed_distances() -> None:
    record = to_record(weighed())
    found = from_record({"calibration": record}, BITS, Path("w.json"))
    assert found is not None
    assert found.soft is not None
    assert (found.soft.prior, found.soft.alike, found.alike) == (0.01, 0.25, 0.5)
    assert {curve.people_pairs for curve in found.soft.curves.values()} == {7}
    assert {curve.spread for curve in found.soft.curves.values()} == {None}
    assert "spread" not in record["soft"]["kinds"]["still-track"]
    assert "soft" not in to_record(calibration())
    for broken in ({"alike": 2, "kinds": record["soft"]["kinds"]}, {"alike": 0.5, "kinds": {}}, "often"):
        with pytest.raises(WeightsError, match=r"w\.json: calibration .*dhh calibrate PACK --weights"):
            from_record({"calibration": record | {"soft": broken}}, BITS, Path("w.json"))


@given(scores=st.lists(st.integers(0, BITS * 64 + 9), min_size=2, max_size=40), photos=st.integers(1, 9))
def test_nothing_gets_better_down_a_ranking_by_weighed_distances(scores: list[int], photos: int) -> None:
    soft = weighed().soft
    assert soft is not None
    ranked = np.sort(np.array(scores)) / 64
    whole = whole_bits(ranked, BITS)
    assert (whole <= ranked).all()
    assert whole.max() <= BITS
    confidence = soft.confidence(whole, ranked, photos=photos)
    assert (np.diff(confidence) <= 1e-12).all()
    assert (np.diff(soft.false_match_rate(whole, photos=photos)) >= 0).all()


def test_quarters_of_a_bit_are_cells_of_their_own() -> None:
    scores = np.array([0, 0.25, 0.99, 1, 7.75, 8, 8.5])
    assert cells(whole_bits(scores, BITS), scores, BITS, None).tolist() == [0, 1, 3, 4, 31, 32, 34]


def test_weights_without_calibration_have_none() -> None:
    assert from_record({"bits": 8}, BITS, Path("w.json")) is None


def changed(*path: str, to: Any) -> dict[str, Any]:
    record = copy.deepcopy(to_record(calibration()))
    place: Any = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return record


@pytest.mark.parametrize(
    "record",
    [
        changed("version", to=2),
        changed("prior", to=1.5),
        changed("prior", to="often"),
        changed("alike", to=-1),
        changed("kinds", to={}),
        changed("kinds", "still-track", "spread", to=[1, 0]),
        changed("kinds", "still-track", "people_pairs", to=0),
        changed("kinds", "still-track", "false_matches", to=[1, 2, 3]),
        changed("kinds", "still-track", "false_matches", to=[9, 8, 7, 6, 5, 4, 3, 2, 1]),
        changed("kinds", "still-track", "true_rate", to=[0.5] * 8 + [1.5]),
        changed("kinds", "still-track", "first_cells", to=[1, 2, 3]),
        changed("kinds", "still-track", "first_cells", to=[0, 2]),
        changed("kinds", "still-track", "first_cells", to=[0, 5, 5]),
        changed("kinds", "still-track", "log_ratios", to=[1.0, 2.0, 3.0]),
        changed("kinds", "still-track", "log_ratios", to=[1.0, float("nan"), -3.0]),
        "probably",
        {},
    ],
)
def test_a_damaged_calibration_is_refused_in_words(record: Any) -> None:
    with pytest.raises(WeightsError, match=r"w\.json: calibration .*dhh calibrate PACK --weights"):
        from_record({"calibration": record}, BITS, Path("w.json"))
