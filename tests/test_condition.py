"""learning/condition.py: what each of the 320 features is after conditioning."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dhhcli.learning.backbone import FEATURES, Backbone, to_input
from dhhcli.learning.condition import HOMOGENEOUS, TAUGHT, Conditioned, layout

GAIN, REST = 2.5, 0.3


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def teacher_head() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(FEATURES, TAUGHT)


@pytest.fixture(scope="module")
def features() -> Tensor:
    """(1500, 320): correlated, of unlike scales, far from centred."""
    mixed = normal(1500, FEATURES) @ (normal(FEATURES, FEATURES, seed=1) / FEATURES**0.5)
    scaled: Tensor = mixed * torch.linspace(0.5, 3.0, FEATURES)
    return scaled + normal(FEATURES, seed=2)


def apply(features: Tensor, head: nn.Linear) -> Tensor:
    matrix, offset = layout(features, head, gain=GAIN, rest=REST)
    assert matrix.shape == (FEATURES, FEATURES)
    assert offset.shape == (FEATURES,)
    laid_out: Tensor = features @ matrix.T + offset
    return laid_out


def test_the_first_128_are_the_centred_head_times_gain(features: Tensor) -> None:
    head = teacher_head()
    with torch.no_grad():
        taught = head(features)
    expected = GAIN * (taught - taught.mean(dim=0))
    torch.testing.assert_close(apply(features, head)[:, :TAUGHT], expected, rtol=1e-3, atol=1e-3)


def test_the_rest_is_white(features: Tensor) -> None:
    rest = apply(features, teacher_head())[:, TAUGHT:HOMOGENEOUS]
    assert rest.shape[1] == 191
    torch.testing.assert_close(rest.mean(dim=0), torch.zeros(191), rtol=0, atol=1e-3)
    torch.testing.assert_close(torch.cov(rest.T), REST**2 * torch.eye(191), rtol=0, atol=1e-3)


def test_the_rest_holds_nothing_that_the_head_reads(features: Tensor) -> None:
    """Its directions are orthogonal to the head's rows, and all but the weakest of them are there."""
    head = teacher_head()
    matrix, _ = layout(features, head, gain=GAIN, rest=REST)
    rows = nn.functional.normalize(matrix[TAUGHT:HOMOGENEOUS])
    assert (rows @ nn.functional.normalize(head.weight.detach()).T).abs().max() < 1e-4
    assert torch.linalg.matrix_rank(matrix[:HOMOGENEOUS].double()) == HOMOGENEOUS


def test_the_last_is_one_whatever_the_picture(features: Tensor) -> None:
    matrix, offset = layout(features, teacher_head(), gain=GAIN, rest=REST)
    assert (matrix[HOMOGENEOUS] == 0).all()
    assert offset[HOMOGENEOUS] == 1


def test_directions_without_variance_stay_finite() -> None:
    """Fewer people than directions: some are empty, and whitening must not blow up on them."""
    few = normal(60, FEATURES)
    matrix, offset = layout(few, teacher_head(), gain=GAIN, rest=REST)
    assert torch.isfinite(matrix).all()
    assert torch.isfinite(offset).all()


def test_a_conditioned_backbone_computes_the_layout() -> None:
    torch.manual_seed(1)
    backbone = Backbone().eval()
    pictures = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    inputs = to_input(torch.from_numpy(pictures))
    head = teacher_head()
    with torch.no_grad():
        before = backbone(inputs)
        fitted = before.mean(dim=0) + before.std() * normal(800, FEATURES)
        matrix, offset = layout(fitted, head, gain=GAIN, rest=REST)
        conditioned = Conditioned(backbone, matrix, offset)
        after = conditioned.folded()(inputs)
        unfolded = conditioned(inputs)
        expected_taught = GAIN * (head(before) - head(fitted.mean(dim=0)))
    torch.testing.assert_close(after, before @ matrix.T + offset, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(after[:, :TAUGHT], expected_taught, rtol=1e-3, atol=1e-3)
    assert (after[:, HOMOGENEOUS] == 1).all()
    torch.testing.assert_close(unfolded, after, rtol=1e-3, atol=1e-3)
    assert (unfolded[:, HOMOGENEOUS] == 1).all()
