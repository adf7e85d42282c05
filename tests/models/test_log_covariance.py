"""models/log_covariance.py against scipy's matrix logarithm and closed forms."""

import math
import warnings

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.base.arrays import Matrix
from dhhcli.models.log_covariance import EPS, log_covariance, spectral, triangle


def upper(Y: Matrix) -> Matrix:
    """Upper triangle row by row, off-diagonals times sqrt(2): the slow twin."""
    d = len(Y)
    return np.array([Y[i, j] * (1.0 if i == j else math.sqrt(2)) for i in range(d) for j in range(i, d)])


def unfold(vector: Matrix, d: int) -> Matrix:
    """The symmetric matrix that a vector stands for."""
    Y = np.empty((d, d))
    rows, columns, weights = triangle(d)
    Y[rows, columns] = Y[columns, rows] = vector / weights
    return Y


def logarithm(D: Matrix, eps: float) -> Matrix:
    """log(D^T D + eps I) by scipy, d x d."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy wants 2e-13, we ask for 1e-9
        return np.asarray(scipy.linalg.logm(D.T @ D + eps * np.eye(D.shape[1])).real)


def frames(m: int, d: int, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).normal(size=(m, d))


@pytest.mark.parametrize("eps", [EPS, 0.1, 2.0])
@pytest.mark.parametrize(("m", "d"), [(1, 1), (1, 6), (3, 8), (7, 8), (8, 8), (9, 8), (30, 8), (4, 1)])
def test_is_the_matrix_logarithm(m: int, d: int, eps: float) -> None:
    D = frames(m, d)
    found = log_covariance(D, eps=eps)
    assert found.shape == (d * (d + 1) // 2,)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, upper(logarithm(D, eps)), atol=1e-9)


@pytest.mark.parametrize("d", [4, 12])  # 4: more frames than features, 12: fewer
def test_identical_frames_have_a_closed_form(d: int) -> None:
    x = frames(1, d)[0]
    Y = math.log(EPS) * np.eye(d) + math.log1p(6 * (x @ x) / EPS) * np.outer(x, x) / (x @ x)
    np.testing.assert_allclose(log_covariance(np.tile(x, (6, 1))), upper(Y), atol=1e-9)


@pytest.mark.parametrize("m", [1, 3, 9])
def test_zero_frames_give_log_eps(m: int) -> None:
    np.testing.assert_allclose(log_covariance(np.zeros((m, 5))), upper(math.log(EPS) * np.eye(5)), atol=1e-12)


@pytest.mark.parametrize("m", [2, 5, 11])
def test_appended_zero_frames_change_nothing(m: int) -> None:
    D = frames(m, 6)
    padded = np.vstack([D, np.zeros((4, 6))])
    np.testing.assert_allclose(log_covariance(padded), log_covariance(D), atol=1e-10)


def test_both_sides_of_m_equal_d_agree() -> None:
    """The Gram form (m <= d) and the direct form (m > d) on the same D^T D."""
    D = frames(5, 5)
    np.testing.assert_allclose(log_covariance(D), log_covariance(np.vstack([D, np.zeros(5)])), atol=1e-10)


@settings(deadline=None, max_examples=40)
@given(m=st.integers(1, 12), d=st.integers(1, 7), seed=st.integers(0, 10**6))
def test_the_order_of_the_frames_does_not_matter(m: int, d: int, seed: int) -> None:
    D = frames(m, d, seed)
    shuffled = np.random.default_rng(seed + 1).permutation(D)
    np.testing.assert_allclose(log_covariance(shuffled), log_covariance(D), atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(m=st.integers(1, 9), d=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_turns_with_the_features(m: int, d: int, seed: int) -> None:
    """Y(D Q) = Q^T Y(D) Q for orthogonal Q."""
    D = frames(m, d, seed)
    Q = np.linalg.qr(frames(d, d, seed + 1))[0]
    turned = Q.T @ unfold(log_covariance(D), d) @ Q
    np.testing.assert_allclose(unfold(log_covariance(D @ Q), d), turned, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(m=st.integers(1, 9), n=st.integers(1, 9), d=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_vectors_are_as_far_apart_as_the_matrices(m: int, n: int, d: int, seed: int) -> None:
    A, B = frames(m, d, seed), 3 * frames(n, d, seed + 1)
    apart = np.linalg.norm(logarithm(A, EPS) - logarithm(B, EPS))
    assert np.linalg.norm(log_covariance(A) - log_covariance(B)) == pytest.approx(apart, abs=1e-8)


@pytest.mark.parametrize(("m", "d"), [(3, 8), (20, 8)])
def test_divide_divides_the_covariance_by_m(m: int, d: int) -> None:
    D = frames(m, d)
    np.testing.assert_allclose(log_covariance(D, divide=True), upper(logarithm(D / math.sqrt(m), EPS)), atol=1e-9)


def test_divided_a_repeated_track_stays_the_same() -> None:
    D = frames(3, 8)
    twice = np.vstack([D, D])
    np.testing.assert_allclose(log_covariance(twice, divide=True), log_covariance(D, divide=True), atol=1e-9)
    assert np.abs(log_covariance(twice) - log_covariance(D)).max() > 0.1


def test_float32_features_are_computed_in_float64() -> None:
    D = frames(4, 9).astype(np.float32)
    np.testing.assert_array_equal(log_covariance(D), log_covariance(D.astype(np.float64)))


def test_large_features_of_one_face_keep_their_precision() -> None:
    """Nearly identical long features: f(G) reaches 1 / eps, and D cancels it again."""
    D = 30 * np.ones((12, 40)) / math.sqrt(40) + 1e-3 * frames(12, 40)
    np.testing.assert_allclose(log_covariance(D), upper(logarithm(D, EPS)), atol=1e-6)


@pytest.mark.parametrize(
    "features", [np.empty((0, 4)), np.zeros(4), np.full((2, 4), np.nan), np.array([[1.0, np.inf]])]
)
def test_refuses_what_is_no_set_of_frames(features: Matrix) -> None:
    with pytest.raises(ValueError, match="expected finite features"):
        log_covariance(features)


def test_spectral_is_continuous_at_zero() -> None:
    x = np.array([0.0, 5e-324, 1e-310, 1e-200, 1e-12, 1e-8])
    series = 1 / EPS - x / (2 * EPS**2) + x**2 / (3 * EPS**3)
    np.testing.assert_allclose(spectral(x, EPS), series, rtol=1e-13)
    assert spectral(np.array([5.0]), EPS)[0] == pytest.approx(math.log1p(5 / EPS) / 5)
