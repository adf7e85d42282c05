"""The frame-wise rivals, each against a closed form, scikit-learn or a slow twin."""

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from rivalry import made_people
from sklearn.decomposition import PCA

from dhhcli.research.baselines.base import Framewise, Looks
from dhhcli.research.baselines.image import dbc, ksh, lsh, sh, ssh
from dhhcli.research.baselines.svm import class_bits, machines

Matrix = np.ndarray[Any, np.dtype[np.float64]]


def hashed(fitted: Framewise, features: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return fitted.stills(Looks(np.empty((len(features), 0, 0, 3), np.uint8), features.astype(np.float32)))


def test_lsh_parts_two_vectors_as_often_as_their_angle_says() -> None:
    """Charikar's theorem: angle / pi, here 60 degrees around the mean, over 20,000 hyperplanes."""
    training = made_people().training
    mean = training.features.astype(np.float64).mean(axis=0)
    a, b = np.zeros((2, len(mean)))
    a[0], b[:2] = 1, (np.cos(np.pi / 3), np.sin(np.pi / 3))
    bits = hashed(lsh.fit(training, 20_000, np.random.default_rng(0)), np.stack([mean + a, mean + b]))
    assert (bits[0] != bits[1]).mean() == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / 20_000))


def test_sh_takes_the_smoothest_waves_of_a_box() -> None:
    """Sides 3 and 1: one, two and three waves along the long side, then one along the short, which ties with three."""
    assert sh.modes(np.array([3.0, 1.0]), 5) == [(0, 1), (0, 2), (0, 3), (1, 1), (0, 4)]
    assert sh.modes(np.array([1.0, 1.0]), 2) == [(0, 1), (1, 1)]


def test_sh_bits_are_the_signs_of_sines_along_scikit_learn_s_directions() -> None:
    training = made_people().training
    features = training.features.astype(np.float64)
    bits = hashed(sh.fit(training, 10, np.random.default_rng(0)), features)
    z = PCA(10).fit_transform(features)
    a, b = z.min(axis=0), z.max(axis=0)
    for k, (direction, m) in enumerate(sh.modes(b - a, 10)):
        x = z[:, direction]
        wave = np.sin(np.pi / 2 + m * np.pi * (x - a[direction]) / (b[direction] - a[direction])) > 0
        share = (wave == bits[:, k]).mean()  # a turned direction turns odd waves over
        assert max(share, 1 - share) > 0.995


def test_ssh_scatter_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    X, people = rng.normal(size=(12, 4)), rng.integers(0, 3, 12)
    S = np.where(people[:, None] == people, 1.0, -1.0)
    np.testing.assert_allclose(ssh.pair_scatter(X, people), X.T @ S @ X, atol=1e-12)


def test_ssh_without_labels_is_pca_and_with_them_finds_the_direction_of_people(monkeypatch: pytest.MonkeyPatch) -> None:
    training = made_people().training
    features = training.features.astype(np.float64)
    monkeypatch.setattr(ssh, "ETA", 1e9)
    bits = hashed(ssh.fit(training, 4, np.random.default_rng(0)), features)
    signs = PCA(4).fit_transform(features) >= 0
    share = (signs == bits).mean(axis=0)
    assert (np.maximum(share, 1 - share) > 0.995).all()


def distances_term(bits: np.ndarray[Any, Any], people: np.ndarray[Any, Any]) -> float:
    """Mean distance of pairs of one person minus that of pairs of two, by loops."""
    within: list[float] = []
    between: list[float] = []
    for i, j in itertools.combinations(range(len(bits)), 2):
        (within if people[i] == people[j] else between).append(float((bits[i] != bits[j]).mean()))
    return float(np.mean(within) - np.mean(between))


def test_class_bits_follow_the_subgradient_of_all_pairs() -> None:
    """The first person's bits, from the derivative of a sum over pairs, written as loops."""
    rng = np.random.default_rng(1)
    people = np.repeat(np.arange(4), 5)
    signs = np.where(rng.random((20, 6)) < 0.5, 1.0, -1.0)
    chosen = class_bits([signs], [people], 4)
    for k in range(6):
        own = [signs[j, k] for j in range(20) if people[j] == 0]
        other = [signs[j, k] for j in range(20) if people[j] != 0]
        assert chosen[0, k] == (sum(own) / len(own) - sum(other) / len(other) >= 0)


def test_dbc_lowers_the_term_it_starts_from() -> None:
    made = made_people(spread=0.8)
    features = made.training.features
    bits = hashed(dbc.fit(made.training, 12, np.random.default_rng(0)), features)
    before = PCA(12).fit_transform(features) >= 0
    people = made.training.feature_people
    assert distances_term(bits, people) < distances_term(before, people) - 0.05


def test_machines_predict_what_can_be_predicted_and_keep_constants() -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    target = np.stack([X[:, 0] > 0.2, np.ones(200, bool), np.zeros(200, bool)], axis=1)
    weight, bias = machines(X, target)
    assert ((X @ weight.T + bias >= 0) == target).mean(axis=0).tolist() == [pytest.approx(1, abs=0.03), 1, 1]


def residue(people: np.ndarray[Any, Any], found: Matrix, bits: int) -> Matrix:
    S = np.where(people[:, None] == people, 1.0, -1.0)
    return bits * S - found @ found.T


def test_ksh_residue_and_gradient_are_those_of_the_whole_matrix() -> None:
    rng = np.random.default_rng(0)
    people = rng.integers(0, 4, 15)
    R = ksh.Residue(people, 6)
    R.found = np.where(rng.random((15, 2)) < 0.5, 1.0, -1.0)
    whole = residue(people, R.found, 6)
    v = rng.normal(size=(15, 3))
    np.testing.assert_allclose(R(v), whole @ v, atol=1e-10)
    K, a = rng.normal(size=(15, 5)), rng.normal(size=5)

    def slow(a: Matrix) -> float:
        phi = 2 / (1 + np.exp(-K @ a)) - 1
        return -float(phi @ whole @ phi)

    value, gradient = ksh.objective(a, K, R)
    assert value == pytest.approx(slow(a))
    numeric = [(slow(a + h) - slow(a - h)) / 2e-6 for h in 1e-6 * np.eye(5)]
    np.testing.assert_allclose(gradient / 2, np.array(numeric) / 2, rtol=1e-5, atol=1e-6)


def test_ksh_starts_at_the_strongest_generalised_eigenvector() -> None:
    rng = np.random.default_rng(1)
    people, K = rng.integers(0, 3, 20), rng.normal(size=(20, 4))
    a = ksh.start(K, ksh.Residue(people, 8))
    whole = residue(people, np.empty((20, 0)), 8)
    values = scipy.linalg.eigvals(K.T @ whole @ K, K.T @ K).real
    assert (a @ K.T @ whole @ K @ a) / (a @ K.T @ K @ a) == pytest.approx(values.max(), rel=1e-6)


def test_ksh_codes_come_near_the_wanted_inner_products() -> None:
    made = made_people()
    people = made.training.feature_people
    wanted = np.where(people[:, None] == people, 1.0, -1.0)
    errors = []
    for one in (ksh, lsh):
        codes = np.where(hashed(one.fit(made.training, 12, np.random.default_rng(0)), made.training.features), 1.0, -1)
        errors.append(float(np.square(codes @ codes.T / 12 - wanted).mean()))
    assert errors[0] < 0.8 * errors[1]
