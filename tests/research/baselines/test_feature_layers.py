"""dnnh.py, dsh.py, hashnet.py: losses against loops; feature_layers.py: they learn, and are linear in the end."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dhhcli.errors import UsageError
from dhhcli.models.binary_codes import hamming, pack
from dhhcli.research.baselines.deep.dnnh import Dnnh, piecewise_threshold
from dhhcli.research.baselines.deep.dsh import Dsh, pair_loss
from dhhcli.research.baselines.deep.feature_layers import FeatureSettings, Layer, Name, train_layers
from dhhcli.research.baselines.deep.hashnet import Hashnet, beta_at, weighted_likelihood
from dhhcli.research.evaluation.metrics import mean_average_precision
from dhhcli.research.training.engine.distributed import Devices

pytestmark = pytest.mark.usefixtures("one_thread")

ONE = Devices(torch.device("cpu"))
WHO = torch.tensor([0, 0, 1, 2, 1])


def values(n: int = 5, bits: int = 4, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, bits)))


def test_dsh_agrees_with_a_loop_over_pairs() -> None:
    codes, margin, alpha = values(), 3.0, 0.2
    contrastive, quantise = [], []
    for i in range(5):
        for j in range(i + 1, 5):
            near = sum((float(a) - float(b)) ** 2 for a, b in zip(codes[i], codes[j], strict=True))
            contrastive.append(near / 2 if WHO[i] == WHO[j] else max(margin - near, 0) / 2)
            quantise.append(alpha * sum(abs(abs(float(a)) - 1) for a in torch.cat([codes[i], codes[j]])))
    found = pair_loss(codes, WHO, margin, alpha)
    assert float(found[0]) == pytest.approx(sum(contrastive) / 10)
    assert float(found[1]) == pytest.approx(sum(quantise) / 10)
    leaf = codes.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: torch.stack(pair_loss(x, WHO, margin, alpha)), (leaf,))


def test_hashnet_agrees_with_a_loop_over_pairs() -> None:
    codes = torch.tanh(values())
    same, total = 0, 0.0
    pairs = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    same = sum(int(WHO[i] == WHO[j]) for i, j in pairs)
    assert same == 2
    for i, j in pairs:
        inner = 2.5 * sum(float(a) * float(b) for a, b in zip(codes[i], codes[j], strict=True))
        alike = WHO[i] == WHO[j]
        total += len(pairs) / (same if alike else 8) * (math.log1p(math.exp(inner)) - inner * bool(alike))
    assert float(weighted_likelihood(codes, WHO, 2.5)) == pytest.approx(total / len(pairs))
    leaf = values().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: weighted_likelihood(torch.tanh(x), WHO, 2.5), (leaf,))


def test_hashnet_without_a_pair_of_one_person_is_a_number() -> None:
    assert math.isfinite(float(weighted_likelihood(values(3), torch.arange(3), 1.0)))


def test_tanh_steepens_as_published() -> None:
    assert [beta_at(step) for step in (0, 199, 200, 1000)] == pytest.approx([1, 1, math.sqrt(2), math.sqrt(6)])


def test_dnnh_agrees_with_a_loop_over_triplets() -> None:
    torch.manual_seed(0)
    network, features = Dnnh(6, 4).double(), values(5, 6)
    codes = np.empty((5, 4))
    for i in range(5):
        middle = network.divide(features[i])
        for k in range(4):
            x = float((middle[50 * k : 50 * k + 50] @ network.encode[k] + network.bias[k]).detach())
            soft = 1 / (1 + math.exp(-x))
            codes[i, k] = 0 if soft < 0.25 else 1 if soft > 0.75 else soft
    hinges = []
    for u in range(5):
        for v in range(5):
            for w in range(5):
                if u != v and WHO[u] == WHO[v] and WHO[u] != WHO[w]:
                    near, far = ((codes[u] - codes[x]) ** 2 for x in (v, w))
                    hinges.append(max(0.0, 1 + near.sum() - far.sum()))
    loss, _ = network.losses(features, WHO, 0)
    assert float(loss.detach()) == pytest.approx(sum(hinges) / len(hinges))


def test_the_threshold_of_dnnh_has_three_pieces() -> None:
    soft = torch.tensor([0.0, 0.2, 0.3, 0.5, 0.7, 0.8])
    assert piecewise_threshold(soft).tolist() == pytest.approx([0, 0, 0.3, 0.5, 0.7, 1])


@pytest.mark.parametrize("make", [Dnnh, Dsh, Hashnet])
def test_every_bit_has_a_value(make: type[Dnnh] | type[Dsh] | type[Hashnet]) -> None:
    assert make(6, 4)(torch.zeros(3, 6)).shape == (3, 4)


def people(n: int = 8, photos: int = 6) -> tuple[Tensor, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Features (n * photos, 2, 16) in which a few directions say who it is and the others shout."""
    rng = np.random.default_rng(3)
    identity = np.repeat(np.arange(n), photos)
    who = rng.normal(size=(n, 16)) * (np.arange(16) < 6)
    features = who[identity][:, None] + rng.normal(size=(len(identity), 2, 16)) * np.where(np.arange(16) < 6, 0.3, 2.5)
    return torch.from_numpy(features.astype(np.float32) + 5), identity


SMALL = FeatureSettings(lengths=(24,), people=6, photos=4, steps=150, rate=5e-3)


@pytest.mark.parametrize("method", ["dnnh", "dsh", "hashnet"])
def test_the_loss_falls_and_new_photos_are_found(method: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhhcli.research.training.engine.loop.REPORT_EVERY", 10)
    features, identity = people()
    held = np.arange(len(identity)) % 6 >= 4
    settings = replace(SMALL, method=method)
    maps, losses = [], []
    torch.manual_seed(0)
    layer = Layer(features[~held], identity[~held], 24, settings, ONE.device)
    maps.append(_map(layer, features[held, 0], identity[held]))
    for report, trained in train_layers(features[~held], identity[~held], settings, tmp_path, {}, ONE):
        losses.append(sum(report.losses.values()))
        layer = trained
    maps.append(_map(layer, features[held, 0], identity[held]))
    assert losses[-1] < 0.7 * losses[0]
    assert maps[1] > maps[0] + 0.2


def _map(layer: Layer, features: Tensor, identity: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    weight, bias = layer.linear()
    codes = pack(features.numpy() @ weight.T + bias >= 0)
    same = identity[:, None] == identity[None]
    return mean_average_precision(hamming(codes, codes), same, ~np.eye(len(same), dtype=bool))


@pytest.mark.parametrize("method", ["dnnh", "dsh", "hashnet"])
def test_what_is_left_is_one_linear_layer(method: Name) -> None:
    features, identity = people()
    torch.manual_seed(1)
    layer = Layer(features, identity, 12, replace(SMALL, method=method), ONE.device)
    weight, bias = layer.linear()
    assert (weight.shape, bias.shape) == ((12, 16), (12,))
    with torch.no_grad():
        expected = layer.hash((features[:, 0] - layer.mean) / layer.spread)
    np.testing.assert_allclose(features[:, 0].numpy() @ weight.T + bias, expected.numpy(), atol=1e-4)


def test_a_batch_is_some_photos_of_some_people() -> None:
    features, identity = people()
    layer = Layer(features, identity, 12, SMALL, ONE.device)
    drawn, who = layer.draw(3)
    assert drawn.shape == (24, 16)
    assert sorted(np.bincount(who.numpy(), minlength=8).tolist()) == [0, 0, 4, 4, 4, 4, 4, 4]
    assert torch.equal(drawn, layer.draw(3)[0])


def test_a_killed_run_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhhcli.research.training.engine.loop.REPORT_EVERY", 2)
    features, identity = people()
    settings = replace(SMALL, lengths=(8, 12), steps=4)

    def layers(folder: Path) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        folder.mkdir(exist_ok=True)
        every = train_layers(features, identity, settings, folder, {}, ONE)
        return [layer.linear()[0] for report, layer in every if report.step == report.steps]

    whole = layers(tmp_path / "whole")
    (tmp_path / "stopped").mkdir()
    for _ in range(3):
        next(train_layers(features, identity, settings, tmp_path / "stopped", {}, ONE))
    for a, b in zip(whole, layers(tmp_path / "stopped"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_settings_and_data_that_are_refused(tmp_path: Path) -> None:
    assert FeatureSettings.of("dsh", (48, 12, 12), 3).lengths == (12, 48)
    assert [FeatureSettings.of(method, (12,), 0).people for method in ("dnnh", "dsh", "hashnet")] == [16, 32, 32]
    with pytest.raises(UsageError, match=r"photos 1, rate 0\.0: out of range"):
        FeatureSettings(photos=1, rate=0.0)
    with pytest.raises(UsageError, match="two people of two photos"):
        list(train_layers(torch.zeros(3, 2, 4), np.array([0, 0, 1]), SMALL, tmp_path, {}, ONE))
