"""From SFace: poor frames, ReLUs in closed form, distillation that resumes, hash layers, a network for film."""

from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from synthetic import write_pack
from typer.testing import Result

from dhhcli.base.onnx_session import start_session
from dhhcli.errors import TrainingError, UsageError
from dhhcli.media.sample import Sample
from dhhcli.models.hash_layers import hash_stills, hash_tracks
from dhhcli.models.log_covariance import log_covariance
from dhhcli.research.datasets.degradation import degrade, morph
from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.train import train_by
from dhhcli.research.training.engine import loop
from dhhcli.research.training.engine.distributed import Devices
from dhhcli.research.training.from_sface.agreement import agreement
from dhhcli.research.training.from_sface.distil import (
    DistilSettings,
    ask_teachers,
    clean_losses,
    distil,
    rate_at,
)
from dhhcli.research.training.from_sface.hash_start import start_layers, still_weights
from dhhcli.research.training.from_sface.run import read_sface
from dhhcli.research.training.networks.laid_out import LaidOut
from dhhcli.research.training.networks.mobile_face import MobileFace, Slope
from dhhcli.research.training.networks.relu import equalise, without_slopes
from dhhcli.research.training.publishing.export import crops_to_onnx, in_halves
from dhhcli.research.training.publishing.split_prelu import split_prelus

pytestmark = pytest.mark.slow

SIDE = 16  # pixels: the smallest network there is
CPU = Devices(torch.device("cpu"))
FEW = DistilSettings(steps=4, batch=6, bank=5, bf16=False)


def small_net(seed: int = 0, slope: float = 0.2) -> MobileFace:
    torch.manual_seed(seed)
    net = MobileFace(SIDE).eval()
    for layer in net.layers:
        if isinstance(layer, Slope):
            torch.nn.init.constant_(layer.slope, slope)
    return net


def faces(count: int = 8) -> FacePack:
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 256, (count, 10, 10, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    identity = np.arange(count)
    teacher = np.full((count, 128), np.nan, np.float32)
    return FacePack(
        Path("free.h5"), pictures, identity, tuple(map(str, identity)), np.full(count, 64.0, np.float32), teacher
    )


def test_a_degraded_face_is_a_crop_and_strength_0_leaves_the_middle() -> None:
    picture, other = faces().pictures[:2]
    rng = np.random.default_rng(0)
    assert (degrade(picture, rng, 0.0) == picture[8:72, 8:72]).all()
    seen = [degrade(picture, rng) for _ in range(60)]
    assert {(crop.shape, crop.dtype) for crop in seen} == {((64, 64, 3), np.dtype(np.uint8))}
    assert len({crop.tobytes() for crop in seen}) > 40
    again = np.random.default_rng(7), np.random.default_rng(7)
    assert (degrade(picture, again[0]) == degrade(picture, again[1])).all()
    mixed = morph(picture, other, rng)
    assert mixed.shape == picture.shape
    assert 0 < np.abs(mixed.astype(int) - picture).mean() < 128


def test_relus_follow_the_prelus_they_take_the_place_of() -> None:
    net, crops = (
        small_net(),
        torch.from_numpy(np.stack([degrade(p, np.random.default_rng(1), 0.3) for p in faces(24).pictures])),
    )
    made = without_slopes(net, crops, torch.Generator().manual_seed(0))
    assert all(not layer.slope.any() for layer in made.layers if isinstance(layer, Slope))
    plain = MobileFace(SIDE).eval()
    plain.load_state_dict(net.state_dict())
    plain.set_keep(0.0)
    with torch.no_grad():
        wanted = net(crops)
        wrong, left = ((other(crops) - wanted).square().mean() for other in (plain, made))
    assert left < 0.5 * wrong


def test_equal_ranges_leave_the_function_as_it_is() -> None:
    net = small_net(slope=0.0)
    net.set_keep(0.0)
    crops = torch.from_numpy(np.stack([p[8:72, 8:72] for p in faces().pictures]))
    with torch.no_grad():
        before = net(crops)
        weights = next(net.parameters()).clone()
        equalise(net, crops)
        assert not torch.equal(next(net.parameters()), weights)
        torch.testing.assert_close(net(crops), before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("second", [False, True])
def test_losses_are_what_loops_sum(second: bool) -> None:
    rng = np.random.default_rng(4)
    other = rng.normal(size=(8, 5)).astype(np.float32) if second else None
    teachers = ask_teachers(small_net(), faces().pictures, other, bf16=False)
    made, rows, bank = torch.randn(4, 128), [0, 3, 5, 6], [1, 2, 7]
    got = clean_losses(made, torch.tensor(rows), torch.tensor(bank), teachers)

    def alike(a: int, b: int) -> float:
        found = [float(teachers.sface[a] @ teachers.sface[b])]
        if teachers.second is not None:
            found.append(float(teachers.second[a] @ teachers.second[b]))
        return sum(found) / len(found)

    unit = made / made.norm(dim=1, keepdim=True)
    n = range(len(rows))
    square = sum(float((made[i] - teachers.sface[rows[i]] * teachers.length[rows[i]]).square().sum()) for i in n) / 4
    cosine = sum(1 - float(unit[i] @ teachers.sface[rows[i]]) for i in n) / 4
    pairs = [(i, j) for i in n for j in n if i != j]
    inside = sum((float(unit[i] @ unit[j]) - alike(rows[i], rows[j])) ** 2 for i, j in pairs) / 12
    cross = sum((float(unit[i] @ teachers.sface[rows[j]]) - alike(rows[i], rows[j])) ** 2 for i, j in pairs) / 12
    outside = sum((float(unit[i] @ teachers.sface[b]) - alike(rows[i], b)) ** 2 for i in n for b in bank) / 12
    assert float(got["square"]) == pytest.approx(square, rel=1e-4)
    assert float(got["cosine"]) == pytest.approx(cosine, rel=1e-4)
    assert float(got["relations"]) == pytest.approx(inside + cross + outside, rel=1e-4)


def test_a_distillation_goes_on_as_if_it_had_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "REPORT_EVERY", 2)
    pack, guide = faces(), small_net()
    teachers = ask_teachers(guide, pack.pictures, None, bf16=False)

    def trained(folder: Path, reports: int) -> MobileFace:
        folder.mkdir(exist_ok=True)
        net = small_net(1, slope=0.0)
        net.set_keep(0.0)
        for report in islice(distil(net, guide, pack, teachers, FEW, folder, stamp=asdict(FEW), devices=CPU), reports):
            assert set(report.losses) == {"apart", "turned", "square", "cosine", "relations"}
        return net

    whole = trained(tmp_path / "whole", 2)
    trained(tmp_path / "halves", 1)  # cut off after two of four steps
    again = trained(tmp_path / "halves", 2)
    for one, two in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
    assert not any(layer.slope.any() for layer in whole.layers if isinstance(layer, Slope))
    start = small_net(1, slope=0.0)
    assert not torch.equal(whole.last.weight, start.last.weight)


def test_the_rate_rises_and_falls() -> None:
    settings = replace(FEW, steps=100, warmup=10)
    rates = [rate_at(step, settings) for step in range(100)]
    assert rates[0] < rates[9] == max(rates) <= settings.rate
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 0.03 * settings.rate


def test_directions_are_those_on_which_both_networks_agree() -> None:
    rng = np.random.default_rng(0)
    shared, own, other = rng.normal(size=(400, 3)), rng.normal(size=(400, 3)), rng.normal(size=(400, 3))
    features = torch.from_numpy(np.concatenate([shared, 2 * own], 1)).float()
    second = torch.from_numpy(np.concatenate([shared, other], 1)).float()
    directions, ratio = agreement(features, second)
    assert (directions[:3, :3].abs().sum() > 5 * directions[3:, :3].abs().sum()).item()
    assert ratio[:3].min() > 2 > ratio[3:].max()
    centred = features - features.mean(0)
    torch.testing.assert_close((centred @ directions).var(0, correction=0), torch.ones(6), rtol=1e-3, atol=1e-3)
    alone, flat = agreement(features, None)
    torch.testing.assert_close((centred @ alone).var(0, correction=0), torch.ones(6), rtol=1e-3, atol=1e-3)
    assert flat.tolist() == [1.0] * 6


def test_a_track_of_one_still_has_the_still_s_bits() -> None:
    rng = np.random.default_rng(2)
    clean = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(200, 12))).float(), dim=1)
    laid = torch.cat([clean, torch.ones(200, 1)], 1)
    shots = laid[:, None] + 0.02 * torch.from_numpy(rng.normal(size=(200, 5, 13))).float()
    layers = start_layers(clean, None, shots, [8, 16, 30], eps=0.3, seed=0)
    for bits, own in layers.items():
        still, track = hash_stills(own, laid.numpy()), hash_tracks(own, list(shots.numpy()))
        assert still.shape == (200, bits)
        assert ((still >= 0.5) == (track >= 0.5)).mean() > 0.95
        assert np.abs(still - 0.5).max() < 0.49
        vector = log_covariance(shots[0].numpy(), eps=0.3, divide=True)
        assert own.track_weight.shape == (bits, len(vector))
    assert still_weights(clean, None, 16, np.random.default_rng(1)).shape == (16, 12)
    with pytest.raises(TrainingError, match="all alike"):
        still_weights(clean[:1].expand(9, 12), None, 96, np.random.default_rng(1))


def test_features_are_laid_out_by_their_length() -> None:
    class Given(torch.nn.Module):
        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            return crops

    found = LaidOut(Given(), 5.0)(torch.tensor([[3.0, 4.0], [30.0, 40.0]]))
    expected = [[0.6, 0.8, 1.0], [0.6 * 10**0.5, 0.8 * 10**0.5, 10**0.5]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_weights_in_halves_compute_nearly_the_same() -> None:
    whole = crops_to_onnx(LaidOut(small_net(), 2.0))
    halves = in_halves(whole)
    assert len(halves) < 0.6 * len(whole)
    onnx.checker.check_model(onnx.load_from_string(halves))
    crops = np.stack([p[8:72, 8:72] for p in faces().pictures])
    one, two = (start_session(model).run(None, {"crops": crops})[0] for model in (whole, halves))
    assert one.shape == (8, 129)
    assert np.abs(one - two).max() < 5e-3 * np.abs(one).max()


def test_the_recipe_makes_weights_that_index_film(dhh: Callable[..., Result], sample: Sample, tmp_path: Path) -> None:
    """From one command to an answer; SFace's place is taken by a network of its form that knows nothing."""
    torch.manual_seed(0)
    net = MobileFace(112)
    for layer in (*net.layers, net.last):
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)  # else nothing is left after 27 layers
    save_file(net.state_dict(), tmp_path / "s.safetensors")
    write_pack(tmp_path / "free.h5", 6, 1, seed=0)
    few = [word for name in ("fitted_on", "ranged_on", "shots") for word in ("--set", f"{name}=6")]
    few += ["--set", "distil.batch=4", "--backbone-steps", "1", "--bits", "16", "--bits", "96", "--threads", "2"]
    words = ["train", "--recipe", "sface", "--data", "free.h5", "--backbone-from", "s.safetensors", "--out", "run"]
    words += few
    result = dhh(*words)
    assert result.exit_code == 0, result.stderr
    assert "distil 1/1: " in result.stderr
    assert {path.name for path in (tmp_path / "run").glob("dhh*")} == {
        "dhh.onnx", "dhh-int8.onnx", "dhh-16.json", "dhh-16.safetensors", "dhh-96.json", "dhh-96.safetensors",
    }  # fmt: skip
    again = dhh(*words)
    assert again.exit_code == 0, again.stderr
    assert "distil" not in again.stderr  # done already
    done = dhh("encode", sample.film, "--weights", "run/dhh-96.json", "--out", "codes.h5")
    assert done.exit_code == 0, done.stderr
    found = dhh("query", sample.photos[0], "--codes", "codes.h5", "--weights", "run/dhh-96.json")
    assert found.exit_code == 0, found.stderr
    other = dhh(*words, "--seed", "1")
    assert (other.exit_code, "was made with other settings" in other.stderr) == (1, True)


def test_what_the_recipe_cannot_do_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--backbone-from"):
        train_by("sface", [tmp_path / "x.h5"], tmp_path, [64], seed=0)
    with pytest.raises(UsageError, match="--patience"):
        train_by("sface", [tmp_path / "x.h5"], tmp_path, [64], seed=0, patience=3)
    with pytest.raises(TrainingError, match="not SFace"):
        read_sface(tmp_path / "missing.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(TrainingError, match="not SFace"):
        read_sface(tmp_path / "other.safetensors")


def test_prelus_are_taken_apart_without_changing_a_bit() -> None:
    """Slopes below zero and above one too; in both ways in which networks are laid out."""
    net = small_net()
    torch.manual_seed(1)
    for layer in net.layers:
        if isinstance(layer, Slope):
            torch.nn.init.normal_(layer.slope, 0.1, 0.6)
    whole = crops_to_onnx(LaidOut(net, 1.0))
    apart = split_prelus(whole)
    kinds = [node.op_type for node in onnx.load_from_string(apart).graph.node]
    prelus = [node.op_type for node in onnx.load_from_string(whole).graph.node].count("PRelu")
    assert prelus > 0
    assert kinds.count("PRelu") == 0
    assert kinds.count("Clip") >= prelus
    onnx.checker.check_model(onnx.load_from_string(apart))
    crops = faces(4).pictures[:, 8:-8, 8:-8]
    for plain in (False, True):
        before, after = (
            start_session(data, plain=plain).run(None, {"crops": np.ascontiguousarray(crops)})[0]
            for data in (whole, apart)
        )
        np.testing.assert_array_equal(before, after)
    assert split_prelus(apart) == apart
