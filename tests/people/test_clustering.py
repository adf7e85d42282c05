"""Grouping: average linkage as a slow loop does it, never two people of one moment in a group, the same in few."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from agreement import agreement
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.models.binary_codes import hamming, pack
from dhhcli.models.calibration import Curve, Spread
from dhhcli.people.clustering import group_tracks, limit_of, linked, mean_distances, usual_distances
from dhhcli.people.neighbours import summed

K = 48


def curve(false_rate: np.ndarray, bits: int = K) -> Curve:
    matches = np.round(1_000_000 * false_rate).astype(np.int64)
    return Curve(bits, Spread(0, 1), matches, np.ones(bits + 1), 10**9, np.array([0]), np.array([0.0]))


def strangers(mean: float, spread: float = 4.0, bits: int = K) -> Curve:
    """Strangers at distances around a mean."""
    rate = 1 / (1 + np.exp((mean - np.arange(bits + 1)) / spread * 1.7))
    return curve(rate / rate[-1], bits)


def people_codes(
    rng: np.random.Generator, people: int, tracks: int, flips: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Codes (people x tracks, B) around a random centre each, shuffled, and whose they are."""
    who = rng.permutation(np.repeat(np.arange(people), tracks))
    centres = rng.random((people, K)) < 0.5
    return pack(centres[who] ^ (rng.random((len(who), K)) < flips)), who


def slow_groups(distances: np.ndarray, apart: list[tuple[int, int]], limit: float) -> list[frozenset[int]]:
    """Average linkage as it is defined: the two nearest groups become one, while they may."""
    groups = [frozenset([i]) for i in range(len(distances))]
    never = {frozenset(pair) for pair in apart}
    while True:
        best: tuple[float, Any] = (np.inf, None)
        for a, b in combinations(groups, 2):
            if not any(frozenset((i, j)) in never for i in a for j in b):
                best = min(best, (np.mean([distances[i, j] for i in a for j in b]), (a, b)), key=lambda pair: pair[0])
        if best[0] > limit:
            return sorted(groups, key=min)
        a, b = best[1]
        groups = [group for group in groups if group not in (a, b)] + [a | b]


def sets(labels: np.ndarray) -> list[frozenset[int]]:
    return [frozenset(np.flatnonzero(labels == label).tolist()) for label in dict.fromkeys(labels.tolist())]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.floats(0.1, 1.0), st.integers(0, 6))
def test_linkage_is_what_a_slow_loop_does(seed: int, n: int, limit: float, apart: int) -> None:
    rng = np.random.default_rng(seed)
    square = rng.random((n, n))  # all different, so no ties
    square = np.triu(square, 1) + np.triu(square, 1).T
    pairs = rng.integers(0, n, (apart, 2))
    kept = square.copy()
    np.fill_diagonal(kept, np.inf)
    kept[pairs[:, 0], pairs[:, 1]] = kept[pairs[:, 1], pairs[:, 0]] = np.inf
    labels = linked(kept, np.ones(n), limit)
    assert sets(labels) == slow_groups(square, [(a, b) for a, b in pairs.tolist() if a != b], limit)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 6))
def test_distances_of_groups_are_means_over_their_tracks(seed: int, n: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    bits, weights = rng.random((n, K)) < 0.5, rng.uniform(0.5, 2, n)
    label = np.arange(n) % groups
    count = min(n, groups)
    groups_of = summed(pack(bits), weights, K, label, np.full(n, -1))
    found = mean_distances(groups_of)[np.triu_indices(count, 1)]
    single = np.outer(weights, weights) * hamming(pack(bits), pack(bits))
    expected = [single[np.ix_(label == a, label == b)].mean() for a, b in combinations(range(count), 2)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 30), st.integers(0, K), st.booleans())
def test_nobody_is_two_people_at_once(seed: int, n: int, apart: int, limit: int, few: bool) -> None:
    rng = np.random.default_rng(seed)
    codes = pack(rng.random((n, K)) < 0.5)
    pairs = rng.integers(0, n, (apart, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    names = rng.integers(-3, 2, n).clip(-1)
    groups = group_tracks(codes, K, pairs, limit, exact=0 if few else n, neighbours=4)
    assert not (groups[pairs[:, 0]] == groups[pairs[:, 1]]).any()
    assert list(dict.fromkeys(groups.tolist())) == list(range(groups.max() + 1))  # by first track
    named = group_tracks(codes, K, pairs[:0], limit, names=names, exact=0 if few else n, neighbours=4)
    for name in range(2):
        assert len(np.unique(named[names == name])) <= 1
    assert not set(named[names == 0]) & set(named[names == 1])


@pytest.mark.parametrize("exact", [0, 100])
def test_groups_are_average_linkage(exact: int) -> None:
    """Over all distances, and over neighbours that hold all that are near enough."""
    rng = np.random.default_rng(3)
    codes, _ = people_codes(rng, 4, 5, flips=0.2)
    weights = rng.uniform(0.5, 2, len(codes))  # no ties
    pairs = np.array([(0, 1), (2, 9), (4, 19)])
    square = hamming(codes, codes) / np.sqrt(np.outer(weights, weights))
    for limit in (5.0, 18.0, 40.0):
        groups = group_tracks(codes, K, pairs, limit, usual=weights, exact=exact)
        assert sets(groups) == slow_groups(square, [(a, b) for a, b in pairs.tolist()], limit)


def test_people_are_found_by_all_distances_and_by_few_neighbours() -> None:
    rng = np.random.default_rng(0)
    codes, who = people_codes(rng, 40, 10)
    exact = agreement(group_tracks(codes, K, np.empty((0, 2), int), 14), who)
    few = agreement(group_tracks(codes, K, np.empty((0, 2), int), 14, exact=1, neighbours=5), who)
    assert exact.f > 0.99
    assert few.precision > 0.95
    assert few.recall > 0.95


def test_the_same_twice() -> None:
    codes, _ = people_codes(np.random.default_rng(0), 30, 10, flips=0.2)
    runs = [group_tracks(codes, K, np.empty((0, 2), int), 16, exact=1, neighbours=3) for _ in range(2)]
    assert (runs[0] == runs[1]).all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_tracks(n: int) -> None:
    codes = pack(np.zeros((n, K), bool))
    assert group_tracks(codes, K, np.empty((0, 2), int), 0).tolist() == [0] * n
    assert len(usual_distances(codes, strangers(24))) == n


def test_the_limit_is_where_the_calibration_says() -> None:
    rate = np.linspace(0, 1, K + 1) ** 3
    assert rate[limit_of(curve(rate), 0.01)] <= 0.01 < rate[limit_of(curve(rate), 0.01) + 1]
    assert limit_of(curve(np.ones(K + 1))) == 0  # every distance is usual among strangers


def test_what_is_usual_is_a_quantile_with_imagined_strangers() -> None:
    """As a loop: the 75th of every hundred distances to the others and to 40 strangers of the calibration."""
    rng = np.random.default_rng(1)
    codes, _ = people_codes(rng, 20, 4)
    known = strangers(24)
    expected = np.searchsorted(known.false_rate, 0.75)
    imagined = [int(np.searchsorted(known.false_rate, (i + 0.5) / 40)) for i in range(40)]
    for track, usual in enumerate(usual_distances(codes, known)):
        others = [int(hamming(codes[[track]], codes[[j]])[0, 0]) for j in range(len(codes)) if j != track]
        distances = sorted(others + imagined)
        assert usual == distances[int(np.ceil(0.75 * len(distances))) - 1] / expected
    assert (usual_distances(codes, None) == 1).all()


def test_alike_strangers_are_told_apart() -> None:
    """Everybody's codes share most bits, as before one camera: distances shrink, groups stay."""
    rng = np.random.default_rng(2)
    codes, who = people_codes(rng, 12, 12, flips=0.03)
    bits = np.unpackbits(codes, axis=1, count=K, bitorder="little").astype(bool)
    bits[:, 16:] = False  # 16 bits vary: strangers are 8 apart, not 24
    codes = pack(bits)
    known = strangers(24)
    plain = agreement(group_tracks(codes, K, np.empty((0, 2), int), 11), who)
    relative = agreement(group_tracks(codes, K, np.empty((0, 2), int), 11, usual=usual_distances(codes, known)), who)
    assert plain.precision < 0.3
    assert relative.precision > 0.8
    assert relative.recall > 0.8


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=15))
def test_agreement_is_what_slow_loops_count(labels: list[tuple[int, int]]) -> None:
    n = len(labels)
    found = agreement(*np.array(labels).T)
    group, person = ([[a[side] == b[side] for b in labels] for a in labels] for side in (0, 1))
    both = [sum(g and p for g, p in zip(group[i], person[i], strict=True)) for i in range(n)]
    assert found.precision == pytest.approx(np.mean([both[i] / sum(group[i]) for i in range(n)]))
    assert found.recall == pytest.approx(np.mean([both[i] / sum(person[i]) for i in range(n)]))
    pairs = list(combinations(range(n), 2))
    a = sum(group[i][j] and person[i][j] for i, j in pairs)
    b, c = sum(group[i][j] for i, j in pairs), sum(person[i][j] for i, j in pairs)
    assert found.pairs_f == pytest.approx(2 * a / (b + c) if b + c else 1)
    expected = b * c / len(pairs) if pairs else 0
    assert found.rand == pytest.approx((a - expected) / ((b + c) / 2 - expected) if (b + c) / 2 != expected else 1)
