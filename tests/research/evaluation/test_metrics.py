"""research/evaluation/metrics.py against the mean over every order of the ties."""

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.research.evaluation.metrics import (
    average_precision,
    cosine_distances,
    expected_hits,
    mean_average_precision,
    ranking,
    squared_distances,
)

Vector = npt.NDArray[np.int64]
Items = list[tuple[int, bool]]  # distance, relevant


def precision_of_order(relevant: list[bool]) -> Fraction:
    """Average precision of one order: the mean of (relevant so far / place) over relevant places."""
    hits, total = 0, Fraction(0)
    for place, here in enumerate(relevant, start=1):
        if here:
            hits += 1
            total += Fraction(hits, place)
    return total / hits


def slow_average_precision(items: Items) -> float:
    """Mean over every order of the items that is sorted by distance."""
    orders = [
        [items[i][1] for i in order]
        for order in itertools.permutations(range(len(items)))
        if all(items[i][0] <= items[j][0] for i, j in itertools.pairwise(order))
    ]
    return float(sum(map(precision_of_order, orders), Fraction(0)) / len(orders))


def split(items: Items) -> tuple[Vector, npt.NDArray[np.bool_]]:
    return np.array([d for d, _ in items]), np.array([r for _, r in items], dtype=bool)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
def test_is_the_mean_over_all_orders_of_the_ties(items: Items) -> None:
    found = average_precision(*split(items))
    if any(relevant for _, relevant in items):
        assert found == pytest.approx(slow_average_precision(items), abs=1e-12)
    else:
        assert math.isnan(found)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.booleans(), min_size=1, max_size=30).filter(any), st.randoms(use_true_random=False))
def test_without_ties_it_is_the_textbook_formula(relevant: list[bool], shuffle: random.Random) -> None:
    items = list(enumerate(relevant))
    shuffle.shuffle(items)
    assert average_precision(*split(items)) == pytest.approx(float(precision_of_order(relevant)))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40).filter(
        lambda items: any(r for _, r in items)
    ),
    st.integers(0, 1000),
)
def test_the_order_of_the_database_does_not_matter(items: Items, seed: int) -> None:
    distances, relevant = split(items)
    order = np.random.default_rng(seed).permutation(len(items))
    score = average_precision(distances, relevant)
    assert 0 < score <= 1 + 1e-12
    assert average_precision(distances[order], relevant[order]) == pytest.approx(score, abs=1e-12)
    assert average_precision(distances * 2.5 - 7, relevant) == pytest.approx(score, abs=1e-12)


def test_known_lists() -> None:
    best = average_precision(np.array([1, 2, 3, 4]), np.array([True, True, False, False]))
    assert best == pytest.approx(1.0)
    worst = average_precision(np.array([4, 3, 2, 1]), np.array([True, True, False, False]))
    assert worst == pytest.approx((1 / 3 + 2 / 4) / 2)
    tied = average_precision(np.zeros(2), np.array([True, False]))
    assert tied == pytest.approx((1 + 1 / 2) / 2)
    assert average_precision(np.zeros(5), np.ones(5, bool)) == pytest.approx(1.0)


def test_mean_leaves_out_queries_with_nothing_relevant() -> None:
    distances = np.array([[1, 2], [1, 2], [1, 2]])
    relevant = np.array([[True, False], [False, True], [False, False]])
    assert mean_average_precision(distances, relevant) == pytest.approx((1 + 1 / 2) / 2)
    assert math.isnan(mean_average_precision(distances, np.zeros((3, 2), bool)))


def test_keep_takes_a_querys_own_photo_out_of_its_database() -> None:
    distances = np.array([[0, 3, 2], [3, 0, 1], [2, 1, 0]])
    people = np.array([0, 0, 1])
    relevant = people[:, None] == people[None]
    keep = ~np.eye(3, dtype=bool)
    # query 0: order 2 (other), 1 (same) -> 1/2; query 1: order 2 (other), 0 (same) -> 1/2; query 2: nobody
    assert mean_average_precision(distances, relevant, keep) == pytest.approx(0.5)
    assert mean_average_precision(distances, relevant) > 0.8


def test_distances_are_those_of_two_loops() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 7)).astype(np.float32), rng.normal(size=(5, 7)).astype(np.float32)
    b[0] = a[0]
    for i, x in enumerate(a.astype(np.float64)):
        for j, y in enumerate(b.astype(np.float64)):
            assert squared_distances(a, b)[i, j] == pytest.approx(sum((x - y) ** 2), abs=1e-12)
            cosine = sum(x * y) / math.sqrt(sum(x * x)) / math.sqrt(sum(y * y))
            assert cosine_distances(a, b)[i, j] == pytest.approx(1 - cosine, abs=1e-12)
    assert (squared_distances(a, a) >= 0).all()


def slow_hits(items: Items) -> list[float]:
    """Relevant items among the first k places, k = 1..n: the mean over every order that is sorted by distance."""
    orders = [
        [items[i][1] for i in order]
        for order in itertools.permutations(range(len(items)))
        if all(items[i][0] <= items[j][0] for i, j in itertools.pairwise(order))
    ]
    return [sum(sum(order[:k]) for order in orders) / len(orders) for k in range(1, len(items) + 1)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
def test_expected_hits_are_the_mean_over_all_orders_of_the_ties(items: Items) -> None:
    assert expected_hits(*split(items)).tolist() == pytest.approx(slow_hits(items))


def test_the_curve_is_the_mean_over_queries_that_have_anything_relevant() -> None:
    distances = np.array([[0, 1, 1, 2], [2, 1, 0, 0], [1, 2, 3, 4]])
    relevant = np.array([[0, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 0]], bool)
    found = ranking(distances, relevant)
    lists = [
        slow_hits(list(zip(d.tolist(), r.tolist(), strict=True))) for d, r in zip(distances, relevant, strict=True)
    ]
    for k in range(1, 5):
        assert found.precision[k - 1] == pytest.approx(sum(hits[k - 1] / k for hits in lists[:2]) / 2)
        assert found.recall[k - 1] == pytest.approx(sum(hits[k - 1] / hits[-1] for hits in lists[:2]) / 2)
        assert found.precision_at(k) == pytest.approx(found.precision[k - 1])
    assert found.recall[-1] == 1
    assert found.precision_at(8) == pytest.approx(2 / 8)  # two relevant items, and four places that hold nothing


def test_the_curve_leaves_out_what_is_not_kept() -> None:
    distances = np.array([[0, 3, 2], [3, 0, 1], [2, 1, 0]])
    people = np.array([0, 0, 1])
    found = ranking(distances, people[:, None] == people[None], ~np.eye(3, dtype=bool))
    np.testing.assert_allclose(found.precision, [0, 1 / 2])
    np.testing.assert_allclose(found.recall, [0, 1])
    nothing = ranking(distances, np.zeros((3, 3), bool))
    assert len(nothing.precision) == 0
    assert math.isnan(nothing.precision_at(1))
