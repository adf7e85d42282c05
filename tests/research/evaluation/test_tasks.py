"""research/evaluation/tasks.py on distances that can be counted by hand."""

import numpy as np
import numpy.typing as npt
import pytest

from dhhcli.research.evaluation.tasks import Group, directions, results

Vector = npt.NDArray[np.float64]


def distance(a: Vector, b: Vector) -> Vector:
    return np.asarray(abs(a[:, None] - b[None]))


def test_figures_of_a_line() -> None:
    groups = {
        "still": Group(np.array([0.0, 10.0]), np.array([1, 2])),
        "set": Group(np.array([1.0, 2.0, 11.0, 4.0]), np.array([1, 2, 2, 3])),
    }
    found = {(r.line.query, r.line.database): r for r in results("w", "codes", groups, distance)}
    assert set(found) == {("still", "set"), ("set", "still"), ("set", "set")}  # a still has no other of its person
    line = found["still", "set"].line
    # still 1 finds 1, 2, 3, 2: AP 1; still 2 (at 10): 11 (2), 4 (3), 2 (2), 1: AP (1 + 2/3) / 2
    assert line.mean_ap == pytest.approx((1 + (1 + 2 / 3) / 2) / 2)
    assert line.precision_at_1 == 1
    assert line.precision_at_5 == pytest.approx((1 / 5 + 2 / 5) / 2)
    # same: 1, 1, 8; others: 2, 4, 10... the nearest pair of two people is at 2, so two of three come before it
    assert line.recall_at_fmr_1e2 == pytest.approx(2 / 3)
    assert (line.queries, line.items) == (2, 4)
    np.testing.assert_allclose(found["still", "set"].curve.recall, [3 / 4, 3 / 4, 1, 1])


def test_everybody_is_somebody() -> None:
    groups = {"still": Group(np.array([0.0, 1.0]), np.array([1, 1]))}
    (only,) = results("w", "codes", groups, distance)
    assert only.line.mean_ap == 1
    assert only.line.recall_at_fmr_1e2 is None  # no pair of two people to set a threshold on


def test_directions_name_unlike_kinds_first() -> None:
    assert list(directions(["a", "b"])) == [("a", "b"), ("b", "a"), ("a", "a"), ("b", "b")]
