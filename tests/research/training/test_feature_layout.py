"""training/feature_layout.py: what each of the features is after conditioning."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from dhhcli.research.training.feature_layout import Conditioned, layout
from dhhcli.research.training.networks.backbone import FEATURES, Backbone, to_input

SHRINK, POWER = 0.7, 0.4


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.fixture(scope="module")
def people() -> tuple[Tensor, Tensor]:
    """(600, 20) features of 100 people: who it is shows in the first five, light in the next five; off centre."""
    identity = torch.arange(600) % 100
    features = 0.1 * normal(600, 20)
    features[:, :5] += normal(100, 5, seed=1)[identity]
    features[:, 5:10] += 3 * normal(600, 5, seed=2)
    return features + normal(20, seed=3), identity


def laid_out(features: Tensor, identity: Tensor, size: int) -> Tensor:
    matrix, offset = layout(features, identity, size=size, shrink=SHRINK, power=POWER)
    assert matrix.shape == (size, features.shape[1])
    assert offset.shape == (size,)
    found: Tensor = features @ matrix.T + offset
    return found


def test_the_directions_are_fisher_s_with_shrinkage(people: tuple[Tensor, Tensor]) -> None:
    """The slow way: scatters by loops over people, and scipy's generalised eigenvalue problem."""
    features, identity = people
    X = features.double().numpy()
    X = X - X.mean(axis=0)
    within, between = np.zeros((20, 20)), np.zeros((20, 20))
    for person in range(100):
        own = X[identity.numpy() == person]
        mean = own.mean(axis=0)
        between += np.outer(mean, mean) / 100
        for x in own:
            within += np.outer(x - mean, x - mean) / (600 - 100)
    within += SHRINK * np.trace(within) / 20 * np.eye(20)
    _, vectors = scipy.linalg.eigh(between, within)
    expected = vectors[:, ::-1][:, :5].T
    matrix, _ = layout(features, identity, size=6, shrink=SHRINK, power=POWER)
    for found, wanted in zip(matrix[:5].double().numpy(), expected, strict=True):
        cosine = found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted)
        assert abs(cosine) == pytest.approx(1, abs=1e-4)


def test_what_tells_people_apart_comes_first_and_light_does_not_count(people: tuple[Tensor, Tensor]) -> None:
    features, identity = people
    found = laid_out(features, identity, 6)[:, :5]
    means = torch.stack([found[identity == person].mean(dim=0) for person in range(100)])
    within = (found - means[identity]).square().mean()
    assert found.square().mean() > 5 * within  # of the features as they come, light is nine tenths


def test_centred_and_of_the_wanted_length(people: tuple[Tensor, Tensor]) -> None:
    found = laid_out(*people, 9)[:, :-1]
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(8), rtol=0, atol=1e-5)
    assert float(found.square().sum(dim=1).mean()) == pytest.approx(POWER, rel=1e-3)


@pytest.mark.parametrize("size", [2, 12, 21])
def test_the_last_is_one_whatever_the_picture(people: tuple[Tensor, Tensor], size: int) -> None:
    matrix, offset = layout(*people, size=size, shrink=SHRINK, power=POWER)
    assert (matrix[-1] == 0).all()
    assert offset[-1] == 1
    assert torch.linalg.matrix_rank(matrix[:-1].double()) == size - 1


@pytest.mark.parametrize("size", [0, 1, 22])
def test_other_sizes_are_refused(people: tuple[Tensor, Tensor], size: int) -> None:
    with pytest.raises(ValueError, match="2 to 21"):
        layout(*people, size=size, shrink=SHRINK, power=POWER)


@pytest.mark.parametrize("identity", [torch.arange(8), torch.zeros(8, dtype=torch.int64), torch.arange(8) // 2])
def test_few_photos_stay_finite(identity: Tensor) -> None:
    """Everybody once, one person only, fewer photos than directions."""
    matrix, offset = layout(normal(8, 30), identity, size=12, shrink=SHRINK, power=POWER)
    assert torch.isfinite(matrix).all()
    assert torch.isfinite(offset).all()


def test_a_conditioned_backbone_computes_the_layout() -> None:
    torch.manual_seed(1)
    backbone = Backbone().eval()
    pictures = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    inputs = to_input(torch.from_numpy(pictures))
    with torch.no_grad():
        before = backbone(inputs)
        fitted = before.mean(dim=0) + before.std() * normal(800, FEATURES)
        matrix, offset = layout(fitted, torch.arange(800) // 4, size=64, shrink=1.0, power=POWER)
        conditioned = Conditioned(backbone, matrix, offset)
        folded, unfolded = conditioned.folded()(inputs), conditioned(inputs)
    expected = before @ matrix.T + offset
    torch.testing.assert_close(folded, expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(unfolded, expected, rtol=1e-3, atol=1e-3)
    assert (folded[:, -1] == 1).all()
    assert (unfolded[:, -1] == 1).all()
