"""research/training/networks/itq.py against what can be checked by looking everywhere."""

from collections.abc import Callable

import numpy as np
import pytest

from dhhcli.base.arrays import Matrix
from dhhcli.research.training.networks.itq import itq, random_rotations, rotation


def loss(
    Z: np.ndarray[tuple[int, ...], np.dtype[np.float64]], R: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> float:
    """What ITQ lowers: the squared distance of the rotated points from their own signs."""
    return float(np.square(np.sign(Z @ R) - Z @ R).sum())


def test_in_the_plane_it_finds_the_best_of_all_angles() -> None:
    """Four clusters on the axes are worst where they lie and best after an eighth of a turn."""
    rng = np.random.default_rng(0)
    Z = np.repeat([[1.0, 0], [-1, 0], [0, 1], [0, -1]], 50, axis=0) + 0.05 * rng.normal(size=(200, 2))
    angles = np.linspace(0, np.pi, 721)
    best = min(loss(Z, np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])) for a in angles)
    found = loss(Z, rotation(Z, np.random.default_rng(1)))
    assert found == pytest.approx(best, rel=1e-3)
    assert found < 0.5 * loss(Z, np.eye(2))


@pytest.mark.parametrize("k", [1, 3, 16])
def test_rotation_is_orthogonal_and_better_than_its_start(k: int) -> None:
    Z = np.random.default_rng(0).normal(size=(300, k)) * np.linspace(2, 0.5, k)
    R = rotation(Z, np.random.default_rng(1))
    start = rotation(Z, np.random.default_rng(1), iterations=0)
    np.testing.assert_allclose(R @ R.T, np.eye(k), atol=1e-10)
    assert loss(Z, R) <= loss(Z, start) + 1e-9


@pytest.mark.parametrize("bits", [4, 10, 23])
@pytest.mark.parametrize("start", [itq, random_rotations])
def test_bits_are_balanced_and_of_unit_variance(bits: int, start: Callable[..., tuple[Matrix, Matrix]]) -> None:
    """Also more bits than the ten dimensions give."""
    X = np.random.default_rng(0).normal(size=(500, 10)) + 5
    weight, bias = start(X, bits, np.random.default_rng(1))
    outputs = X @ weight.T + bias
    assert weight.shape == (bits, 10)
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(outputs.std(axis=0), 1, atol=1e-9)
    assert len(np.unique((outputs >= 0).T, axis=0)) == bits  # no bit twice


def test_bits_of_random_rotations_estimate_the_angle() -> None:
    """The share of differing bits is the angle over pi: the property that makes it locality-sensitive."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 8))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    X = np.concatenate([X, -X])  # their mean is 0
    weight, bias = random_rotations(X, 4000, rng)
    bits = X[:20] @ weight.T + bias >= 0
    for a in range(0, 20, 2):
        angle = np.arccos(X[a] @ X[a + 1])
        assert (bits[a] != bits[a + 1]).mean() == pytest.approx(angle / np.pi, abs=0.03)
    first = weight[:8] / np.linalg.norm(weight[:8], axis=1, keepdims=True)
    np.testing.assert_allclose(first @ first.T, np.eye(8), atol=1e-10)


def test_the_same_generator_gives_the_same_bits() -> None:
    X = np.random.default_rng(0).normal(size=(100, 6))
    first, second = (itq(X, 5, np.random.default_rng(3))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
