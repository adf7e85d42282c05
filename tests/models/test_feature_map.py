"""models/feature_map.py: every kind against a slow twin, and out of arrays again."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.models.feature_map import KINDS, Expansion, Kind, from_arrays, settle

Matrix = np.ndarray[Any, np.dtype[np.float64]]
N, R, Q, M = 7, 5, 3, 4


def drawn(kind: Kind, seed: int = 0) -> Expansion:
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(9, M))
    return Expansion(kind, rng.normal(size=(Q, R)), rng.normal(size=Q), rng.normal(size=(M, Q)), 1.7, A.T @ A)


def slow(one: Expansion, x: Matrix) -> list[float]:
    """One vector, number by number."""
    z = [sum(float(one.weight[i, j]) * float(x[j]) for j in range(R)) + float(one.bias[i]) for i in range(Q)]
    near = [math.exp(-sum((z[i] - float(p[i])) ** 2 for i in range(Q)) / one.width) for p in one.points]
    match one.kind:
        case "gaussian":
            return near
        case "local":
            return [w / sum(near) * number for w in near for number in z]
        case "tanh":
            return [math.tanh(number) for number in z]
        case "cosine":
            return [math.cos(number) for number in z]
    length = math.sqrt(sum(number**2 for number in z))
    target = [sum(float(p[i]) * z[i] for i in range(Q)) / length for p in one.points]
    code = [1.0 if t >= 0 else -1.0 for t in np.linalg.inv(one.gram + np.eye(M)) @ target]
    for _ in range(10):
        for k in range(M):
            rest = sum(code[j] * float(one.gram[j, k]) for j in range(M) if j != k)
            code[k] = 1.0 if target[k] - rest >= 0 else -1.0
    return code


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_what_its_formula_says(kind: Kind) -> None:
    one, x = drawn(kind), np.random.default_rng(1).normal(size=(N, R))
    found = one(x)
    assert found.shape == (N, one.size)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [slow(one, row) for row in x], atol=1e-12)
    assert one(x[:0]).shape == (0, one.size)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_make_the_same_again_in_single_precision(kind: Kind) -> None:
    one, x = drawn(kind), np.random.default_rng(1).normal(size=(N, R))
    again = from_arrays(kind, {name: array.astype(np.float32) for name, array in one.arrays().items()})
    assert again.size == one.size
    found = again(x.astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, one(x), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_that_do_not_fit_are_refused(kind: Kind) -> None:
    arrays = {name: array.astype(np.float32) for name, array in drawn(kind).arrays().items()}
    for name, array in arrays.items():
        with pytest.raises(ValueError, match=f"{kind} without '{name}'"):
            from_arrays(kind, {other: value for other, value in arrays.items() if other != name})
        wrong = np.zeros((2, 2, 2), np.float32) if name == "width" else array[:-1]
        if name == "points" and kind != "settled":
            wrong = array[:, :-1]  # fewer points would be no mistake
        with pytest.raises(ValueError, match=kind if name != "width" else "size"):
            from_arrays(kind, arrays | {name: wrong})
    if "width" in arrays:
        for width in (0.0, -1.0, np.nan, np.inf):
            with pytest.raises(ValueError, match="of width"):
                from_arrays(kind, arrays | {"width": np.array([width], np.float32)})


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="'fourier' is none of gaussian, local, tanh, cosine, settled"):
        from_arrays("fourier", {})


def test_far_from_every_point_the_nearest_counts() -> None:
    one = drawn("local")
    x = np.full((1, R), 1e4)
    assert np.isfinite(one(x)).all()
    z = one.weight @ x[0] + one.bias
    nearest = np.square(z - one.points).sum(axis=1).argmin()
    np.testing.assert_allclose(one(x).reshape(M, Q)[nearest], z)


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(deadline=None, max_examples=50)
def test_settled_signs_cannot_be_bettered_by_one(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(bits + 2, bits))
    gram, target = A.T @ A, rng.normal(size=(5, bits)) * 3
    for h, t in zip(settle(target, gram), target, strict=True):

        def value(code: Matrix, t: Matrix = t) -> float:
            return float(code @ t - code @ gram @ code / 2)

        assert {*h.tolist()} <= {-1.0, 1.0}
        best = max(value(np.array(code)) for code in itertools.product([-1.0, 1.0], repeat=bits))
        assert value(h) <= best + 1e-9
        assert all(value(h) >= value(h * np.where(np.arange(bits) == k, -1, 1)) - 1e-9 for k in range(bits))
