"""Curves fitted on pairs, against counts, loops and densities that are known."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.models.calibration import STEPS_A_BIT, cells
from dhhcli.research.calibration.curve_fit import falling, fit_curve, how_alike
from dhhcli.research.calibration.held_out import held_out, reliability
from dhhcli.research.calibration.pairs import Pairs, nearest_of

BITS = 32


def drawn(people: int, each: int, seed: int, *, near: float = 0.15) -> Pairs:
    """Pictures of so many people: codes differ in 15 % of the bits within people and half of them between."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(people), each)
    same = owner[:, None] == owner[None]
    distances = np.where(same, rng.binomial(BITS, near, same.shape), rng.binomial(BITS, 0.5, same.shape))
    scores = distances / 2 + rng.uniform(0.3, 0.7, same.shape) * BITS / 2
    return Pairs(
        distances.astype(np.int32),
        scores.astype(np.float32),
        owner,
        owner,
        ~np.eye(len(owner), dtype=bool),
    )


def nearest_falling(values: list[float], weights: list[float]) -> list[float]:
    """The minimax formula of isotonic regression, turned round: min over a <= i of max over b >= i of mean(a .. b)."""
    n = len(values)

    def mean(a: int, b: int) -> float:
        return sum(v * w for v, w in zip(values[a : b + 1], weights[a : b + 1], strict=True)) / sum(weights[a : b + 1])

    return [min(max(mean(a, b) for b in range(i, n)) for a in range(i + 1)) for i in range(n)]


@settings(deadline=None)  # the first call imports scipy
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 5)), min_size=1, max_size=9))
def test_falling_is_isotonic_regression(points: list[tuple[float, float]]) -> None:
    values, weights = [v for v, _ in points], [w for _, w in points]
    got = falling(np.array(values), np.array(weights))
    assert got.tolist() == pytest.approx(nearest_falling(values, weights), abs=1e-9)


def test_a_curve_counts_false_matches_and_weighs_people_alike() -> None:
    pairs = drawn(30, 3, 0)
    got = fit_curve(pairs, BITS)
    for distance in range(BITS + 1):
        count = sum(
            1
            for q in range(len(pairs.asking))
            for n in range(len(pairs.asked))
            if pairs.asking[q] != pairs.asked[n] and pairs.distances[q, n] <= distance
        )
        assert got.false_matches[distance] == count
    shares = []
    for person in range(30):
        own = [
            int(pairs.distances[q, n])
            for q in np.flatnonzero(pairs.asking == person)
            for n in np.flatnonzero(pairs.asked == person)
            if q != n
        ]
        shares.append([sum(h <= distance for h in own) / len(own) for distance in range(BITS + 1)])
    assert got.true_rate.tolist() == pytest.approx(np.mean(shares, axis=0).tolist())
    assert got.people_pairs == 30 * 29 // 2
    assert got.floor == 3 / got.people_pairs


def test_a_person_with_many_pictures_counts_once() -> None:
    """Nine pictures of one person who looks different each time do not outweigh ten people with two alike."""
    owner = np.array([0] * 9 + [p for p in range(1, 11) for _ in range(2)])
    same = owner[:, None] == owner[None]
    distances = np.where(same, np.where(owner[:, None] == 0, 12, 2), 20).astype(np.int32)
    pairs = Pairs(distances, (distances / 2 + 4).astype(np.float32), owner, owner, ~np.eye(len(owner), dtype=bool))
    assert fit_curve(pairs, BITS).true_rate[2] == pytest.approx(10 / 11)


def test_log_ratios_come_near_the_true_densities() -> None:
    pairs = drawn(250, 3, 1)
    got = fit_curve(pairs, BITS)
    assert (np.diff(got.log_ratios) < 0).all()
    for distance in (4, 6, 8, 10):
        truth = distance * (math.log(0.15) - math.log(0.5)) + (BITS - distance) * (math.log(0.85) - math.log(0.5))
        score = np.array([distance / 2 + BITS / 4])  # the score says nothing here
        assert float(got.log_ratio(np.array([distance]), score)[0]) == pytest.approx(truth, abs=1.2)
    most = math.log(got.people_pairs / 3)
    assert got.log_ratios.max() <= most + 1e-4
    assert got.log_ratios.min() >= -most - 1e-4


def test_steps_begin_at_the_first_cell() -> None:
    got = fit_curve(drawn(40, 3, 2), BITS)
    assert got.first_cells[0] == 0
    assert (np.diff(got.first_cells) > 0).all()
    assert got.first_cells[-1] < STEPS_A_BIT * (BITS + 1)
    every = np.arange(BITS + 1)
    assert cells(every, every / 2, BITS, got.spread).tolist() == (STEPS_A_BIT * every).tolist()


def test_nearest_of_a_group_is_what_a_loop_finds() -> None:
    pairs = drawn(6, 5, 3)
    got = nearest_of(pairs, 3, np.random.default_rng(1), draws=2)
    again = np.random.default_rng(1)
    row = 0
    for person in range(6):
        own = np.flatnonzero(pairs.asking == person)
        for group in [again.choice(own, 3, replace=False) for _ in range(2)]:
            for n in range(len(pairs.asked)):
                nearest = min((int(pairs.distances[q, n]), float(pairs.scores[q, n])) for q in group)
                assert (int(got.distances[row, n]), float(got.scores[row, n])) == nearest
                assert got.usable[row, n] == (n not in group)
            assert got.asking[row] == person
            row += 1
    assert row == len(got.asking)
    assert len(nearest_of(pairs, 6, np.random.default_rng(1)).asking) == 0


@pytest.mark.parametrize("alike", [True, False])
def test_how_alike_photos_are(alike: bool) -> None:
    """Copies of one photo are worth one; photos that have nothing in common are worth as many as they are."""
    pairs = drawn(120, 4, 4)
    if alike:
        first = np.repeat(np.arange(0, 480, 4), 4)
        pairs = Pairs(pairs.distances[first], pairs.scores[first], pairs.asking, pairs.asked, pairs.usable)
    got = how_alike(pairs, nearest_of(pairs, 4, np.random.default_rng(0)), 4)
    assert got == pytest.approx(0.0 if alike else 1.0, abs=0.05)


def test_nothing_to_measure_on_counts_as_independent() -> None:
    pairs = drawn(1, 4, 5)
    assert how_alike(pairs, nearest_of(pairs, 2, np.random.default_rng(0)), 2) == 1.0


# ---------------------------------------------------------------------------------------- held-out people


def test_reliability_of_figures_known_by_hand() -> None:
    predicted = np.array([0.05, 0.05, 0.95, 0.95])
    same = np.array([False, False, True, False])
    line, bins = reliability(predicted, same, np.full(4, 0.25), ("w", "bits", "still-track", 1), 0.25)
    assert line.log_loss == pytest.approx(-(2 * math.log(0.95) + math.log(0.95) + math.log(0.05)) / 4)
    assert line.brier == pytest.approx((2 * 0.05**2 + 0.05**2 + 0.95**2) / 4)
    assert line.ece == pytest.approx((0.05 + abs(0.95 - 0.5)) / 2)
    assert line.ece_found == pytest.approx(0.45)
    assert line.log_loss_of_prior == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))
    assert [b.predicted for b in bins] == pytest.approx([0.05, 0.95])
    assert [(b.observed, b.same, b.other) for b in bins] == [(0.0, 0, 2), (0.5, 1, 1)]


def in_all_kinds(pairs: Pairs) -> dict[str, Pairs]:
    return dict.fromkeys(("still-track", "track-still", "still-still", "track-track"), pairs)


def test_probabilities_hold_for_other_people() -> None:
    figures, bins = held_out(in_all_kinds(drawn(160, 5, 6)), "w", BITS, 0.01, np.random.default_rng(0))
    assert [(line.kind, line.photos) for line in figures][-1] == ("still-track", 4)
    for line in figures:
        assert line.log_loss < 0.2 * line.log_loss_of_prior
        assert line.ece < 0.004
    assert {line.kind for line in figures} == {line.kind for line in bins}
    sure = [line for line in bins if line.predicted > 0.85 and line.photos == 1]
    assert sure
    assert all(line.observed > 0.75 for line in sure)


def test_codes_that_say_nothing_promise_nothing() -> None:
    figures, bins = held_out(in_all_kinds(drawn(60, 5, 7, near=0.5)), "w", BITS, 0.01, np.random.default_rng(0))
    for line in figures:
        assert line.log_loss > 0.9 * line.log_loss_of_prior
    # noise on a few people may promise a little, but not much: one draw in a thousand is promised more than a tenth
    weights: npt.NDArray[np.float64] = np.array([line.same + line.other for line in bins], float)
    far = np.array([line.predicted > 0.1 for line in bins])
    assert weights[far].sum() < 0.001 * weights.sum()
