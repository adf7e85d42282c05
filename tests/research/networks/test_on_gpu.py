"""Networks on a GPU: what they make of crops, and a step of training, are what the processor makes."""

import copy

import numpy as np
import pytest
import torch

from dhhcli.research.training.feature_bank import extract
from dhhcli.research.training.networks.backbone import Backbone, to_input

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def crops(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)


def test_features_are_those_of_the_processor(crops: np.ndarray) -> None:
    torch.manual_seed(0)
    network = Backbone().eval()
    expected = extract(network, crops, bf16=False).numpy()
    found = extract(copy.deepcopy(network).cuda(), crops, bf16=False).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-2 * np.abs(expected).max())


def test_a_step_goes_where_the_processor_goes(crops: np.ndarray) -> None:
    torch.manual_seed(0)
    network = Backbone().train()
    moved = []
    for device in ("cpu", "cuda"):
        own = copy.deepcopy(network).to(device)
        own(to_input(torch.from_numpy(crops).to(device))).square().mean().backward()
        moved.append([one.grad.cpu() for one in own.parameters() if one.grad is not None])
    for expected, found in zip(*moved, strict=True):
        likeness = torch.nn.functional.cosine_similarity(expected.flatten(), found.flatten(), dim=0)
        assert float(expected.norm()) < 1e-6 or float(likeness) > 0.99
