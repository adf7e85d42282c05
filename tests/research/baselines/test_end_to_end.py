"""end_to_end.py: dnnh, dsh and hashnet train the backbone too: gradients, learning, resuming, what ships."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save
from synthetic import scene, toy_pack, write_pack
from torch import Tensor
from typer.testing import Result

from dhhcli.errors import UsageError, WeightsError
from dhhcli.models.binary_codes import hamming, pack
from dhhcli.models.extractor import FeatureExtractor
from dhhcli.models.hash_layers import hash_stills
from dhhcli.models.weights import load_hash_layers, load_weights
from dhhcli.research.baselines.deep.end_to_end import DeepHash, PeoplesPhotos, train_deep
from dhhcli.research.baselines.deep.feature_layers import FeatureSettings, Layer, Name
from dhhcli.research.datasets.augmentation import centre
from dhhcli.research.datasets.pack import FacePack, read_pack
from dhhcli.research.evaluation.metrics import mean_average_precision
from dhhcli.research.training.engine.distributed import Devices
from dhhcli.research.training.feature_bank import extract
from dhhcli.research.training.networks.backbone import Backbone, fold_batch_norm, to_input
from dhhcli.research.training.publishing.export import read_backbone

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

CPU = torch.device("cpu")
ONE = Devices(CPU)
METHODS: tuple[Name, ...] = ("dnnh", "dsh", "hashnet")
SMALL = FeatureSettings(lengths=(8, 12), people=4, photos=2, steps=4, backbone_steps=4, backbone_rate=1e-4)


def backbone() -> Backbone:
    torch.manual_seed(0)
    return fold_batch_norm(Backbone().eval())


def features_of(faces: FacePack) -> Tensor:
    return extract(backbone(), np.stack([centre(picture) for picture in faces.pictures]), bf16=False)


def layers_of(faces: FacePack, settings: FeatureSettings) -> dict[int, Layer]:
    """Layers as they are before the backbone moves; here not trained at all."""
    torch.manual_seed(1)
    return {K: Layer(features_of(faces)[:, None], faces.identity, K, settings, CPU) for K in settings.lengths}


def ends(faces: FacePack, settings: FeatureSettings, folder: Path) -> DeepHash:
    folder.mkdir(exist_ok=True)
    *_, (_, network) = train_deep(faces, backbone(), layers_of(faces, settings), settings, folder, {}, ONE)
    return network


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_the_mean_of_the_lengths_on_the_backbones_features(method: Name) -> None:
    """Term by term what the method's own module says of each length, the features standardised by hand."""
    faces, settings = toy_pack(5, 3), replace(SMALL, method=method)
    layers = layers_of(faces, settings)
    task = PeoplesPhotos(DeepHash(backbone(), layers), faces, settings, ONE)
    crops, who = task.draw(2)
    assert sorted(np.unique(who, return_counts=True)[1].tolist()) == [2, 2, 2, 2]
    F = features_of(faces)
    with torch.no_grad():
        loss, _ = task.losses(2, (crops, who), task.optimiser())
        features = (backbone()(to_input(torch.from_numpy(crops))) - F.mean(dim=0)) / F.var(dim=0).mean().sqrt()
        people = torch.from_numpy(who)
        each = [layer.hash.losses(features, people, 6)[0] for layer in layers.values()]  # type: ignore[operator]
    assert float(loss) == pytest.approx((float(each[0]) + float(each[1])) / 2, rel=1e-4)


def test_rates_fall() -> None:
    faces, settings = toy_pack(5, 3), replace(SMALL, backbone_steps=100, backbone_rate=0.1)
    task = PeoplesPhotos(DeepHash(backbone(), layers_of(faces, settings)), faces, settings, ONE)
    layers, below = zip(*map(task.rates_at, range(100)), strict=True)
    assert (layers[0], below[0], below[50]) == (1.0, 0.1, 0.05)
    assert all(a > b > 0 for a, b in pairwise(below))


@pytest.mark.parametrize(("method", "steps"), [("dnnh", 20), ("dsh", 40), ("hashnet", 20)])
def test_it_learns_and_moves_the_backbone(
    method: Name, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dhhcli.research.training.engine.loop.REPORT_EVERY", 5)
    faces = murky(toy_pack(6, 4))
    batch = replace(SMALL, people=6, photos=4)
    settings = replace(batch, method=method, lengths=(16,), backbone_steps=steps, backbone_rate=3e-5)
    (tmp_path / "precision.json").write_text(json.dumps({"bf16": False}))
    layers = layers_of(faces, settings)
    before, losses = _map(DeepHash(backbone(), layers), faces), []
    for report, trained in train_deep(faces, backbone(), layers, settings, tmp_path, {}, ONE):
        losses.append(sum(report.losses.values()))
        network = trained
    assert losses[-1] < 0.8 * losses[0]
    assert _map(network, faces) > before + 0.05
    both = zip(network.backbone.parameters(), backbone().parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in both)


def murky(faces: FacePack) -> FacePack:
    """The same people, most of each picture something else."""
    other = np.stack([scene(100 + k, 80, 80) for k in range(len(faces))])
    mixed = np.round(0.5 * faces.pictures + 0.5 * other).astype(np.uint8)
    return replace(faces, pictures=mixed)


def _map(network: DeepHash, faces: FacePack) -> float:
    values = extract(network, np.stack([centre(picture) for picture in faces.pictures]), bf16=False)
    codes = pack(values.numpy() >= 0)
    same = faces.identity[:, None] == faces.identity[None]
    return mean_average_precision(hamming(codes, codes), same, ~np.eye(len(same), dtype=bool))


def test_a_killed_run_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhhcli.research.training.engine.loop.REPORT_EVERY", 1)
    faces = toy_pack(5, 3)
    whole = ends(faces, SMALL, tmp_path / "whole").state_dict()
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    (stopped / "precision.json").write_bytes((tmp_path / "whole" / "precision.json").read_bytes())
    for _ in range(2):
        next(train_deep(faces, backbone(), layers_of(faces, SMALL), SMALL, stopped, {}, ONE))
    for name, value in ends(faces, SMALL, stopped).state_dict().items():
        assert torch.equal(value, whole[name]), name


@pytest.mark.parametrize("method", METHODS)
def test_what_is_left_is_a_backbone_and_linear_layers(method: Name) -> None:
    faces, settings = toy_pack(5, 3), replace(SMALL, method=method)
    network = DeepHash(backbone(), layers_of(faces, settings)).eval()
    features = features_of(faces).numpy()
    expected = extract(network, np.stack([centre(picture) for picture in faces.pictures]), bf16=False).numpy()
    found = [features @ weight.T + bias for weight, bias in map(network.linear, settings.lengths)]
    np.testing.assert_allclose(np.hstack(found), expected, atol=1e-3 * np.abs(expected).max())


def test_settings_that_are_refused() -> None:
    with pytest.raises(UsageError, match=r"backbone_steps -1, backbone_rate 0\.0: out of range"):
        replace(SMALL, backbone_steps=-1, backbone_rate=0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("deep") / "train.h5"
    write_pack(path, 4, 4, seed=0)
    return path


WORDS = ("--bits", "12", "--bits", "8", "--set", "backbone_steps=3", "--set", "steps=3", "--set", "people=3")


def test_what_ships_is_what_was_trained(
    dhh: Callable[..., Result], data: Path, full_weights: Path, tmp_path: Path
) -> None:
    words = ["train", "--method", "hashnet", "--data", data, "--out", "run", "--features-of", full_weights, *WORDS]
    result = dhh(*words, "--threads", "1")
    assert result.exit_code == 0, result.stderr
    assert any(line.startswith("hashnet and backbone 3/3: likelihood ") for line in result.stderr.splitlines())
    weights, base = load_weights(tmp_path / "run" / "hashnet-12.json"), load_weights(full_weights)
    assert weights.record["files"]["onnx"]["sha256"] != base.record["files"]["onnx"]["sha256"]
    assert weights.record["training"]["settings"]["backbone_steps"] == 3
    faces = read_pack(data)
    crops = np.stack([centre(picture) for picture in faces.pictures])
    features = FeatureExtractor(weights.onnx_path)(crops)
    np.testing.assert_array_equal(features[:, -1], 1)  # the constant feature
    checkpoint = load_file(tmp_path / "run" / "checkpoint-backbone.safetensors")
    trained = Backbone(batch_norm=False, features=128)
    prefix = "model.network.backbone."
    state = {name.removeprefix(prefix): value for name, value in checkpoint.items() if name.startswith(prefix)}
    trained.load_state_dict(state)
    np.testing.assert_allclose(features, extract(trained, crops, bf16=False), atol=1e-3)
    mean, spread = (checkpoint[f"model.network.{name}"] for name in ("mean", "spread"))
    layer = [checkpoint[f"model.network.hashes.12.hash.{name}"] for name in ("weight", "bias")]
    values = (torch.from_numpy(features[:, :-1]) - mean) / spread @ layer[0].T + layer[1]
    soft = hash_stills(load_hash_layers(weights), features)
    np.testing.assert_allclose(soft, torch.sigmoid(values), atol=1e-3)
    assert dhh(*words, "--threads", "1").exit_code == 0  # goes on where it was: nothing is left to do
    assert load_weights(tmp_path / "run" / "hashnet-12.json").fingerprint == weights.fingerprint


def test_weights_without_a_backbone_to_train_are_refused(
    dhh: Callable[..., Result], data: Path, other_weights: Path, full_weights: Path, tmp_path: Path
) -> None:
    words = ["train", "--method", "dsh", "--data", data, "--out", "run", *WORDS, "--features-of"]
    result = dhh(*words, other_weights)
    assert (result.exit_code, result.stderr) == (
        1,
        f"16 crops of 4 people; 1 threads\ndhh: error: {other_weights}: names no backbone that can be trained on; "
        "take weights of `dhh train --method dhh`\n",
    )
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in full_weights.parent.iterdir():
        (copies / path.name).write_bytes(path.read_bytes())
    (copies / "full.safetensors").write_bytes(save({"other": torch.zeros(2)}))
    result = dhh(*words, copies / full_weights.name)
    assert (result.exit_code, result.stderr) == (
        1,
        f"16 crops of 4 people; 1 threads\ndhh: error: {copies / 'full.safetensors'}: "
        "not the file that full-32.json describes; reinstall it\n",
    )


def test_a_backbone_of_another_kind_is_refused(full_weights: Path, tmp_path: Path) -> None:
    import hashlib

    other = save({"other": torch.zeros(2)})
    (tmp_path / "x.safetensors").write_bytes(other)
    weights = load_weights(full_weights)
    entry = {"name": "x.safetensors", "sha256": hashlib.sha256(other).hexdigest()}
    record = weights.record | {"files": weights.record["files"] | {"backbone": entry}}
    with pytest.raises(WeightsError, match="not a Table II backbone"):
        read_backbone(replace(weights, record=record, record_path=tmp_path / "x.json"))
