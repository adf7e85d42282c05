"""training/networks/losses.py against three nested loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dhhcli.research.training.networks.losses import TripletTerms, contrast, heterogeneous_triplets, triplet_sum


def slow_triplets(
    anchors: Tensor, others: Tensor, anchor_ids: list[int], other_ids: list[int], alpha: float, same: bool
) -> list[float]:
    """J(u, v, w) of every valid triplet (equation 3)."""
    found = []
    for u in range(len(anchors)):
        for v in range(len(others)):
            for w in range(len(others)):
                if same and u == v:
                    continue  # nobody is their own positive
                if anchor_ids[u] != other_ids[v] or anchor_ids[u] == other_ids[w]:
                    continue
                near = sum((float(a) - float(b)) ** 2 for a, b in zip(anchors[u], others[v], strict=True))
                far = sum((float(a) - float(b)) ** 2 for a, b in zip(anchors[u], others[w], strict=True))
                found.append(max(0.0, alpha + near - far))
    return found


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def codes(n: int, seed: int, bits: int = 6) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((n, bits)))


@settings(deadline=None, max_examples=30)
@given(
    still_ids=st.lists(st.integers(0, 2), min_size=1, max_size=5),
    track_ids=st.lists(st.integers(0, 2), min_size=1, max_size=5),
    alpha=st.floats(0.0, 3.0),
    seed=st.integers(0, 1000),
)
def test_agrees_with_three_nested_loops(still_ids: list[int], track_ids: list[int], alpha: float, seed: int) -> None:
    stills, tracks = codes(len(still_ids), seed), codes(len(track_ids), seed + 1)
    terms = heterogeneous_triplets(stills, tracks, torch.tensor(still_ids), torch.tensor(track_ids), alpha)
    cross = slow_triplets(stills, tracks, still_ids, track_ids, alpha, same=False)
    cross += slow_triplets(tracks, stills, track_ids, still_ids, alpha, same=False)
    assert float(terms.cross) == pytest.approx(mean(cross), abs=1e-9)
    still = slow_triplets(stills, stills, still_ids, still_ids, alpha, same=True)
    assert float(terms.still) == pytest.approx(mean(still), abs=1e-9)
    track = slow_triplets(tracks, tracks, track_ids, track_ids, alpha, same=True)
    assert float(terms.track) == pytest.approx(mean(track), abs=1e-9)
    total = mean(cross) + 0.5 * mean(still) + 2 * mean(track)
    assert float(terms.total(0.5, 2.0)) == pytest.approx(total, abs=1e-9)


def test_one_triplet_by_hand() -> None:
    """|u - v|^2 = 1, |u - w|^2 = 2: J = 4 + 1 - 2."""
    u, others = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    total, count = triplet_sum(u, others, torch.tensor([7]), torch.tensor([7, 8]), 4.0, same=False)
    assert (float(total), int(count)) == (3.0, 1)


@pytest.mark.parametrize("ids", [[0, 0, 0], [0]])
def test_a_batch_with_no_triplet_is_zero_with_a_zero_gradient(ids: list[int]) -> None:
    """One person only: there is no negative."""
    stills, tracks = codes(len(ids), 0).requires_grad_(), codes(len(ids), 1).requires_grad_()
    people = torch.tensor(ids)
    loss = heterogeneous_triplets(stills, tracks, people, people, 2.0).total(1.0, 1.0)
    assert float(loss.detach()) == 0.0
    loss.backward()  # type: ignore[no-untyped-call]
    for leaf in (stills, tracks):
        assert leaf.grad is not None
        assert (leaf.grad == 0).all()


def test_people_with_one_picture_have_no_triplet_among_stills() -> None:
    people = torch.arange(4)
    terms = heterogeneous_triplets(codes(4, 0), codes(4, 1), people, people, 2.0)
    assert float(terms.still) == float(terms.track) == 0.0
    assert float(terms.cross) > 0.0


def test_codes_that_satisfy_the_margin_cost_nothing() -> None:
    stills = torch.eye(4).repeat_interleave(2, dim=0)
    people = torch.arange(4).repeat_interleave(2)
    terms = heterogeneous_triplets(stills, stills, people, people, 2.0)
    assert float(terms.total(1.0, 1.0)) == 0.0
    assert float(heterogeneous_triplets(stills, stills, people, people, 2.5).cross) == pytest.approx(0.5)


def test_gradient_is_that_of_finite_differences() -> None:
    stills, tracks = codes(4, 0).requires_grad_(), codes(4, 1).requires_grad_()
    people = torch.tensor([0, 0, 1, 1])

    def total(a: Tensor, b: Tensor) -> Tensor:
        return heterogeneous_triplets(a, b, people, people, 2.0).total(1.0, 1.0)

    assert torch.autograd.gradcheck(total, (stills, tracks))


def test_gradient_of_equal_codes_is_finite() -> None:
    """All codes alike (a collapsed network): distances are 0, and squared distances have a gradient there."""
    same = torch.full((6, 5), 0.5, requires_grad=True)
    people = torch.tensor([0, 0, 1, 1, 2, 2])
    terms = heterogeneous_triplets(same, same * 1.0, people, people, 2.0)
    assert isinstance(terms, TripletTerms)
    terms.total(1.0, 1.0).backward()  # type: ignore[no-untyped-call]
    assert same.grad is not None
    assert torch.isfinite(same.grad).all()


@settings(deadline=None, max_examples=30)
@given(
    anchor_ids=st.lists(st.integers(0, 3), min_size=1, max_size=5),
    other_ids=st.lists(st.integers(0, 3), min_size=1, max_size=5),
    seed=st.integers(0, 1000),
)
def test_contrast_agrees_with_a_plain_loop(anchor_ids: list[int], other_ids: list[int], seed: int) -> None:
    anchors, others, scale = codes(len(anchor_ids), seed), codes(len(other_ids), seed + 1), 7.0
    each = []
    for u, own in zip(anchors, anchor_ids, strict=True):
        scores = [
            scale * sum((2 * float(a) - 1) * (2 * float(b) - 1) for a, b in zip(u, v, strict=True)) / len(u)
            for v in others
        ]
        whole = math.log(sum(math.exp(score) for score in scores))
        positive = [whole - score for score, who in zip(scores, other_ids, strict=True) if who == own]
        if positive:
            each.append(mean(positive))
    found = contrast(anchors, others, torch.tensor(anchor_ids), torch.tensor(other_ids), scale)
    assert float(found) == pytest.approx(mean(each), abs=1e-9)


def test_contrast_on_bits_is_a_softmax_over_hamming_distances() -> None:
    anchors, others = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[0.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    found = contrast(anchors, others, torch.tensor([1]), torch.tensor([1, 2]), 3.0)
    near, far = math.exp(3 * (1 - 2 * 1 / 4)), math.exp(3 * (1 - 2 * 2 / 4))
    assert float(found) == pytest.approx(-math.log(near / (near + far)))


def test_contrast_with_nobody_in_common_is_zero_with_a_zero_gradient() -> None:
    anchors = codes(2, 0).requires_grad_()
    loss = contrast(anchors, codes(3, 1), torch.tensor([0, 1]), torch.tensor([2, 2, 3]), 5.0)
    assert float(loss.detach()) == 0.0
    loss.backward()  # type: ignore[no-untyped-call]
    assert anchors.grad is not None
    assert (anchors.grad == 0).all()
