"""evaluation/verification.py against plain counting, and against ties broken at random."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.research.evaluation.verification import balanced_accuracy, best_threshold, rates, verify

Distances = st.lists(st.integers(0, 6), min_size=1, max_size=12)


def counted(same: list[int], other: list[int], false_accept_rate: float) -> float:
    """Mean over ties: others in order; the share of a tie that the rate has room for is accepted, of both kinds."""
    room, accepted = false_accept_rate * len(other), 0.0
    for distance in sorted({*same, *other}):
        tied = other.count(distance)
        if tied > room:
            return (accepted + same.count(distance) * room / tied) / len(same)
        room -= tied
        accepted += same.count(distance)
    return 1.0


@settings(deadline=None, max_examples=40)
@given(Distances, Distances, st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]))
def test_true_accepts_are_those_of_counting(same: list[int], other: list[int], rate: float) -> None:
    found = rates(np.array(same), np.array(other)).true_accepts_at(rate)
    assert found == pytest.approx(counted(same, other, rate), abs=1e-9)


def test_ties_are_the_mean_over_random_acceptance() -> None:
    """One of 8 others is accepted on average where each pair of the tie at 2 is accepted with probability 1/3."""
    same, other = np.array([1, 2, 2, 3]), np.array([2, 2, 2, 3, 4, 4, 4, 4])
    rng = np.random.default_rng(0)
    drawn = [[((pairs < 2) | ((pairs == 2) & (rng.random(len(pairs)) < 1 / 3))).mean() for pairs in (same, other)]
             for _ in range(4000)]  # fmt: skip
    true, false = np.mean(drawn, axis=0)
    assert false == pytest.approx(1 / 8, abs=0.005)
    assert rates(same, other).true_accepts_at(1 / 8) == pytest.approx(true, abs=0.01)


@settings(deadline=None, max_examples=40)
@given(Distances, Distances)
def test_equal_error_is_where_the_rates_meet(same: list[int], other: list[int]) -> None:
    curve = rates(np.array(same), np.array(other))
    error = curve.equal_error()
    assert 0 <= error <= 1
    steps = np.linspace(0, 1, 2001)  # look everywhere, at every share of every tie
    position = np.linspace(0, len(curve.false_accepts) - 1, len(steps))
    far = np.interp(position, range(len(curve.false_accepts)), curve.false_accepts)
    frr = 1 - np.interp(position, range(len(curve.true_accepts)), curve.true_accepts)
    assert far[np.argmin(abs(far - frr))] == pytest.approx(error, abs=1e-2)


@settings(deadline=None, max_examples=40)
@given(Distances, Distances)
def test_no_threshold_is_better_than_the_best(same: list[int], other: list[int]) -> None:
    a, b = np.array(same), np.array(other)
    best = max(
        (sum(d <= t for d in same) / len(same) + sum(d > t for d in other) / len(other)) / 2 for t in np.arange(-1.5, 8)
    )
    assert balanced_accuracy(a, b, best_threshold(a, b)) == pytest.approx(best)


def test_verify_against_plain_loops() -> None:
    rng = np.random.default_rng(0)
    people = np.repeat([3, 5, 8, 9, 12], 4)
    points = np.repeat(rng.normal(size=(5, 3)), 4, axis=0) + 0.6 * rng.normal(size=(20, 3))
    distances = np.round(4 * np.linalg.norm(points[:, None] - points[None], axis=2))
    halves = {3: 0, 5: 1, 8: 0, 9: 1, 12: 0}
    pairs = [(halves[people[i]], halves[people[j]], people[i] == people[j], distances[i, j])
             for i, j in combinations(range(20), 2)]  # fmt: skip

    def accuracy(side: int, t: float) -> float:
        own = [(alike, d) for a, b, alike, d in pairs if a == b == side]
        same, other = [d for alike, d in own if alike], [d for alike, d in own if not alike]
        return float((sum(d <= t for d in same) / len(same) + sum(d > t for d in other) / len(other)) / 2)

    grid = np.arange(-0.5, distances.max() + 1)  # whole distances: every threshold there is, lowest first
    chosen = [max(grid, key=lambda t: (round(accuracy(side, t), 12), -t)) for side in (0, 1)]
    found = verify(distances, people)
    assert found is not None
    assert found.balanced_accuracy == pytest.approx((accuracy(1, chosen[0]) + accuracy(0, chosen[1])) / 2)
    same, other = [int(d) for *_, alike, d in pairs if alike], [int(d) for *_, alike, d in pairs if not alike]
    assert (found.same_pairs, found.other_pairs) == (len(same), len(other)) == (30, 160)
    assert found.tar_at_far_1e2 == pytest.approx(counted(same, other, 1e-2))
    assert found.tar_at_far_1e3 == pytest.approx(counted(same, other, 1e-3))


def test_people_far_apart_make_no_errors() -> None:
    people = np.repeat(np.arange(4), 3)
    distances = (people[:, None] != people[None]).astype(int) * 10
    found = verify(distances, people)
    assert found is not None
    assert (found.balanced_accuracy, found.tar_at_far_1e3, found.equal_error) == (1.0, 1.0, 0.0)


def test_what_cannot_be_measured_is_not() -> None:
    assert verify(np.zeros((3, 3)), np.array([0, 1, 2])) is None
    assert verify(np.zeros((3, 3)), np.array([7, 7, 7])) is None
    halves = verify(np.array([[0, 1, 2], [1, 0, 2], [2, 2, 0]]), np.array([0, 0, 1]))
    assert halves is not None
    assert math.isnan(halves.balanced_accuracy)
    with pytest.raises(ValueError, match="both are needed"):
        rates(np.empty(0), np.ones(3))
