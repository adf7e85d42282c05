"""ddah.py, dcbh.py, dmh.py: losses against loops, masks, shapes; image_networks.py: that all of them learn."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import toy_pack
from torch import Tensor, nn

from dhhcli.errors import UsageError
from dhhcli.models.binary_codes import hamming, pack
from dhhcli.research.baselines.deep.dcbh import Dcbh, block_hash, block_quantisation
from dhhcli.research.baselines.deep.ddah import ChannelAttention, Ddah, SpatialNet, min_max
from dhhcli.research.baselines.deep.dmh import Dmh
from dhhcli.research.baselines.deep.image_networks import Name, Pictures, StillSettings, build, train_stills
from dhhcli.research.datasets.augmentation import centre
from dhhcli.research.datasets.pack import FacePack, take
from dhhcli.research.evaluation.metrics import mean_average_precision
from dhhcli.research.training.engine.distributed import Devices
from dhhcli.research.training.networks.backbone import to_input
from dhhcli.research.training.networks.losses import centre_loss, towards_one

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

ONE = Devices(torch.device("cpu"))
NAMES: tuple[Name, ...] = ("ddah", "dcbh", "dmh")


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_the_shared_terms_agree_with_loops() -> None:
    values, centres = numbers(4, 3), numbers(4, 3, seed=1)
    for i in range(4):
        near = sum((float(a) - float(b)) ** 2 for a, b in zip(values[i], centres[i], strict=True)) / 2
        assert float(centre_loss(values, centres)[i]) == pytest.approx(near)
        off = sum(abs(abs(float(a)) - 1) for a in values[i])
        assert float(towards_one(values)[i]) == pytest.approx(off)
    assert torch.autograd.gradcheck(centre_loss, (values.requires_grad_(), centres.requires_grad_()))


def test_block_hashing_agrees_with_a_loop() -> None:
    features = numbers(3, 12)  # two bits of six features
    h = block_hash(features)
    assert h.shape == (3, 2)
    for i in range(3):
        quantise = 0.0
        for k in range(2):
            powers = [math.exp(float(x)) for x in features[i, 6 * k : 6 * k + 6]]
            expected = max(powers) / sum(powers) - 0.5
            assert float(h[i, k]) == pytest.approx(expected)
            quantise += abs(0.5 - abs(expected)) / 2
        assert float(block_quantisation(h)[i]) == pytest.approx(quantise)
    assert torch.autograd.gradcheck(block_hash, (features.requires_grad_(),))


def test_a_bit_of_dcbh_is_set_where_one_feature_outweighs_the_rest() -> None:
    alike, one = torch.zeros(1, 6), torch.tensor([[9.0, 0, 0, 0, 0, 0]])
    assert float(block_hash(alike)) == pytest.approx(1 / 6 - 0.5)
    assert 0.49 < float(block_hash(one)) < 0.5


def test_dcbh_starts_with_balanced_bits() -> None:
    torch.manual_seed(0)
    network = Dcbh((64,), 3)
    with torch.no_grad():
        values = block_hash(network.heads[0](torch.randn(200, 768)))
    assert 0.45 < float((values >= 0).float().mean()) < 0.6


def test_min_max_is_a_picture_at_a_time() -> None:
    maps = torch.tensor([[[0.0, 1.0], [2.0, 4.0]], [[5.0, 5.0], [5.0, 5.0]]])
    assert min_max(maps).tolist() == [[[0.0, 0.25], [0.5, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]


@pytest.mark.parametrize("size", [32, 64])
def test_a_mask_covers_its_picture(size: int) -> None:
    torch.manual_seed(0)
    mask = SpatialNet().eval()(torch.randn(3, 3, size, size))
    assert mask.shape == (3, 1, size, size)
    assert mask.flatten(1).amin(dim=1).tolist() == [0, 0, 0]
    assert mask.flatten(1).amax(dim=1).tolist() == [1, 1, 1]


def test_channels_are_weighed_one_by_one() -> None:
    torch.manual_seed(0)
    attend, maps = ChannelAttention(4, 3).eval(), torch.rand(2, 4, 3, 3) + 1
    ratio = (attend(maps) / maps).detach()
    for i in range(2):
        weights = ratio[i, :, 0, 0]
        assert torch.allclose(ratio[i], weights[:, None, None].expand(4, 3, 3))
        assert (float(weights.min()), float(weights.max())) == pytest.approx((0, 1))


def test_ddah_takes_pictures_of_both_sizes() -> None:
    torch.manual_seed(0)
    for size in (32, 64):
        network = Ddah((8, 12), 3, size=size).eval()
        with torch.no_grad():
            assert network(torch.randn(2, 3, size, size)).shape == (2, 20)


def slow_ddah(network: Ddah, crops: Tensor, who: Tensor) -> tuple[Tensor, Tensor]:
    """L_a and L_b of one length, picture by picture."""
    found = []
    for inputs in (crops * network.spatial(crops), crops):
        half = network.heads[0](network.hashing(inputs))
        total = torch.zeros(())
        for values, person in zip(half, who, strict=True):
            logits = network.classes[0](torch.tanh(values))
            total = total + logits.logsumexp(0) - logits[int(person)]
            for value in values:
                total = total + 0.001 * (value.abs() - 1).abs()
        found.append(total / len(crops))
    return found[0], found[1]


@pytest.mark.parametrize("margin", [-50.0, 0.1, 50.0])
def test_one_backward_pass_does_both_losses_of_ddah(margin: float) -> None:
    """The hash network's gradient is that of L_a + L_b, the spatial network's that of the hinge."""
    torch.manual_seed(0)
    network = Ddah((8,), 3, margin=margin)
    crops, who = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    masked, plain = slow_ddah(network, crops, who)
    hinge = (margin - plain + masked).clamp_min(0)
    rest = [p for name, p in network.named_parameters() if not name.startswith("spatial")]
    expected_rest = torch.autograd.grad(masked + plain, rest, retain_graph=True)
    spatial = list(network.spatial.parameters())
    expected_spatial = torch.autograd.grad(hinge, spatial, allow_unused=True)
    loss, terms = network.losses(crops, who, torch.mean)
    assert float(terms["masked"].detach()) == pytest.approx(float(masked.detach()), rel=1e-5)
    assert float(terms["plain"].detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
    assert float(terms["spatial"].detach()) == pytest.approx(float(hinge.detach()), rel=1e-4)
    loss.backward()  # type: ignore[no-untyped-call]
    for parameter, gradient in zip([*rest, *spatial], [*expected_rest, *expected_spatial], strict=True):
        wanted = torch.zeros_like(parameter) if gradient is None else gradient
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, wanted, rtol=1e-3, atol=1e-5)
    moved = max(float(p.grad.abs().max()) for p in spatial if p.grad is not None)
    assert (moved > 0) == (margin > -50)


def test_running_statistics_of_ddah_are_those_of_masked_pictures() -> None:
    torch.manual_seed(0)
    network = Ddah((8,), 3)
    crops, who = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    norm = network.heads[0][1]  # type: ignore[index]
    with torch.no_grad():
        values = network.heads[0][0](network.hashing(crops * network.spatial(crops)))  # type: ignore[index]
        network.losses(crops, who, torch.mean)
    assert torch.allclose(norm.running_mean, 0.1 * values.mean(dim=0), atol=1e-6)
    assert norm.momentum == 0.1


@pytest.mark.parametrize("make", [Dcbh, Dmh])
def test_losses_agree_with_loops(make: type[Dcbh] | type[Dmh]) -> None:
    torch.manual_seed(0)
    network = make((8,), 3).eval()
    crops, who = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        head: Any = network.heads[0]
        head.centres.copy_(torch.randn_like(head.centres))
        loss, _ = network.losses(crops, who, torch.mean)
        total = 0.0
        for i in range(4):
            person = int(who[i])
            if isinstance(network, Dcbh):
                features = head(network.pooled(crops))[i]
                values = block_hash(features[None])[0]
                codes = torch.tanh(values)
                total += _slow_entropy(head.code_classes, codes, person)
                total += _slow_entropy(head.feature_classes, features, person)
                total += 0.1 * sum(abs(0.5 - abs(float(h))) for h in values) / 8
                total += 1e-4 * _slow_square(features, head.centres[person]) / 2
            else:
                codes = torch.tanh(network(crops)[i])
                total += _slow_entropy(head.classes, codes, person)
                total += 0.1 * sum(1 - abs(float(u)) for u in codes) / 8
                total += 0.01 * _slow_square(codes, head.centres[person]) / 2
    assert float(loss) == pytest.approx(total / 4, rel=1e-4)


def _slow_square(a: Tensor, b: Tensor) -> float:
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


def _slow_entropy(classes: nn.Module, code: Tensor, person: int) -> float:
    powers = [math.exp(float(logit)) for logit in classes(code)]
    return -math.log(powers[person] / sum(powers))


@pytest.mark.parametrize("method", NAMES)
def test_several_lengths_share_one_network(method: Name) -> None:
    """Their loss is the mean of the lengths', and the values stand side by side."""
    torch.manual_seed(0)
    settings = StillSettings.of(method, (8, 12, 8), 0)
    assert settings.lengths == (8, 12)
    network = build(settings, 3).eval()
    crops, who = torch.randn(3, 3, 32, 32), torch.tensor([0, 1, 2])
    descend: Callable[..., tuple[Tensor, dict[str, Tensor]]] = network.losses  # type: ignore[assignment]
    with torch.no_grad():
        values = network(crops)
        whole, _ = descend(crops, who, torch.mean)
        heads, parts = network.heads, []
        classes = getattr(network, "classes", None)
        for number, K in enumerate(settings.lengths):
            network.heads = heads[number : number + 1]  # type: ignore[index]
            if classes is not None:
                network.classes = classes[number : number + 1]
            assert torch.equal(network(crops), values[:, settings.rows(K)])
            parts.append(float(descend(crops, who, torch.mean)[0]))
    assert values.shape == (3, 20)
    assert float(whole) == pytest.approx(sum(parts) / 2, rel=1e-5)


def dim_pack(contrast: float, light: int) -> FacePack:
    """Five people of six photos, in any light."""
    faces = toy_pack(people=5, photos=6)
    lights = np.random.default_rng(1).integers(0, light, (len(faces), 1, 1, 3))
    return replace(faces, pictures=(faces.pictures * contrast + lights).astype(np.uint8))


@pytest.mark.parametrize(
    ("method", "contrast", "light", "epochs"), [("ddah", 0.5, 120, 15), ("dcbh", 0.7, 50, 8), ("dmh", 0.7, 50, 10)]
)
def test_the_loss_falls_and_new_pictures_of_known_people_are_found(
    method: Name, contrast: float, light: int, epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dhhcli.research.training.engine.loop.REPORT_EVERY", 4)
    faces = dim_pack(contrast, light)
    held = np.arange(len(faces)) % 6 >= 4
    seen, new = take(faces, np.flatnonzero(~held)), take(faces, np.flatnonzero(held))
    base = StillSettings.of(method, (16,), 0)
    settings = replace(base, epochs=epochs, batch=10, rate=2e-3, falls="cosine", strength=0.2, precision="float32")
    torch.manual_seed(settings.seed)
    network = build(settings, 5)
    before, losses = _map(network, new), []
    for report, trained in train_stills(seen, settings, tmp_path, ONE):
        network = trained
        terms = ("masked", "codes", "features", "classify")
        losses.append(sum(report.losses[name] for name in terms if name in report.losses))
    assert losses[-1] < 0.7 * losses[0]
    assert _map(network, new) > before + 0.2


@torch.no_grad()
def _map(network: nn.Module, faces: FacePack) -> float:
    """Of single bits by Hamming distance; normalised by the batch, since running statistics take longer than a test."""
    crops = np.stack([centre(picture, 32) for picture in faces.pictures])
    codes = pack(network.train()(to_input(torch.from_numpy(crops))).numpy() >= 0)
    same = faces.identity[:, None] == faces.identity[None]
    return mean_average_precision(hamming(codes, codes), same, ~np.eye(len(same), dtype=bool))


@pytest.mark.parametrize("method", NAMES)
def test_a_run_killed_at_any_step_ends_the_same(method: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhhcli.research.training.engine.loop.REPORT_EVERY", 1)
    faces = toy_pack(people=3, photos=2)
    settings = replace(StillSettings.of(method, (8,), 0), epochs=3, batch=4, precision="float32")
    *_, (report, whole) = train_stills(faces, settings, tmp_path / "whole", ONE)
    assert (report.step, report.steps) == (3, 3)
    for _ in range(3):
        next(train_stills(faces, settings, tmp_path / "stopped", ONE))
    *_, (report, resumed) = train_stills(faces, settings, tmp_path / "stopped", ONE)
    assert report.losses == {}  # nothing was left to do
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_an_epoch_shows_every_picture_once_and_rates_fall() -> None:
    faces = toy_pack(people=3, photos=4)
    settings = replace(StillSettings.of("dcbh", (8,), 0), epochs=4, batch=4, halve_every=2)
    task = Pictures(build(settings, 3), faces, settings, ONE)
    assert (task.an_epoch, task.steps) == (3, 12)
    people = torch.cat([task.draw(step)[1] for step in range(3)])
    assert sorted(people.tolist()) == sorted(faces.identity.tolist())
    assert [task.rate_at(step) for step in (0, 5, 6, 11)] == [1e-3, 1e-3, 5e-4, 5e-4]
    cosine = Pictures(build(settings, 3), faces, replace(settings, falls="cosine"), ONE)
    assert [cosine.rate_at(step) for step in (0, 6)] == pytest.approx([1e-3, 5e-4])
    decays = {group["weight_decay"]: len(group["params"]) for group in task.optimiser().param_groups}
    assert decays[0] == 1  # the centres
    assert set(decays) == {0, 2e-4}


def test_settings_that_are_refused() -> None:
    assert StillSettings.of("ddah", (12,), 0).margin == 0.1
    for change, message in (
        ({"size": 48}, "size 48"),
        ({"margin": -1.0}, "margin -1.0"),
        ({"centre": 0.1}, "centre 0.1: out of range, or ddah has no such thing"),
    ):
        with pytest.raises(UsageError, match=message):
            replace(StillSettings.of("ddah", (12,), 0), **change)
    with pytest.raises(UsageError, match=r"margin 0\.5"):
        replace(StillSettings.of("dmh", (12,), 0), margin=0.5)
    with pytest.raises(UsageError, match="people are told apart by other people"):
        list(train_stills(toy_pack(people=1), StillSettings.of("dmh", (12,), 0), Path("none"), ONE))
