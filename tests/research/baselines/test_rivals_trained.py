"""trained.py: layers trained at once, and weights of ``dhh train --method`` as methods of a comparison."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rivalry import made_people, mean_ap
from synthetic import toy_pack

from dhhcli.errors import UsageError
from dhhcli.models.extractor import FeatureExtractor
from dhhcli.models.hash_layers import HashLayers, hash_stills, hash_tracks
from dhhcli.models.weights import write_weights
from dhhcli.research.baselines.base import Looks
from dhhcli.research.baselines.comparison.run import compare, named, plan
from dhhcli.research.baselines.comparison.trained import from_weights, name_of
from dhhcli.research.baselines.deep.feature_layers import FeatureSettings
from dhhcli.research.baselines.feature_cache import FeatureStore
from dhhcli.research.baselines.names import TRAINED
from dhhcli.research.baselines.registry import method
from dhhcli.research.baselines.split import protocol_split
from dhhcli.research.datasets.protocol import ProtocolPerson
from dhhcli.research.evaluation.tables import Loaded, load_all
from dhhcli.research.training.networks.backbone import Backbone, fold_batch_norm
from dhhcli.research.training.publishing.export import hash_safetensors, to_onnx

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frame-wise weights of 12 bits called after DSH, of DHH with both layers, on one random backbone."""
    torch.manual_seed(0)
    folder, rng = tmp_path_factory.mktemp("trained"), np.random.default_rng(0)
    onnx = to_onnx(fold_batch_norm(Backbone().eval()))
    for name, framewise in (("dsh-12", True), ("dhh-12", False)):
        still = rng.normal(size=(12, 320)).astype(np.float32)
        track = rng.normal(size=(12, 0 if framewise else 320 * 321 // 2)).astype(np.float32)
        bias = rng.normal(size=12).astype(np.float32)
        layers = HashLayers(still, bias, track, bias.copy(), framewise=framewise)
        model = {"eps": 0.1, "divide": False, "features": 320} | ({"tracks": "majority"} if framewise else {})
        record = {"model": model, "training": {"method": "dsh"} if framewise else {}}
        write_weights(
            folder, name, bits=12, safetensors=hash_safetensors(layers, onnx), onnx=onnx, record=record, network="net"
        )
    return folder


def loaded(path: Path) -> Loaded:
    return load_all([str(path)])[0]


@pytest.mark.parametrize("name", ["dnnh", "dsh", "hashnet"])
def test_layers_are_trained_on_what_all_are_fitted_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FeatureSettings.of
    monkeypatch.setattr(FeatureSettings, "of", lambda *words: replace(whole(*words), steps=150, rate=5e-3))
    made = made_people()
    one = method(name)
    assert (one.name, one.kind) == (name, "frame-wise")

    def stills(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        return one.fit(made.training, 16, np.random.default_rng(seed)).stills(made.stills)

    fitted = one.fit(made.training, 16, np.random.default_rng(0))
    found = fitted.stills(made.stills)
    assert found.shape == (len(made.stills), 16)
    assert mean_ap(found, fitted.videos(made.tracks), made) > made.chance + 0.3
    np.testing.assert_array_equal(found, stills(0))
    assert (found != stills(1)).any()


@pytest.mark.parametrize("name", ["ddah", "dcbh", "dmh"])
def test_networks_are_not_trained_on_the_way(name: str) -> None:
    assert name in TRAINED
    with pytest.raises(UsageError, match=f"dhh train --method {name} --bits 24"):
        method(name).fit(made_people().training, 24, np.random.default_rng(0))


def test_features_at_hand_are_used_and_others_computed(weights: Path) -> None:
    one = loaded(weights / "dsh-12.json")
    assert name_of(one) == "dsh"
    crops = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    features = FeatureExtractor(one.weights.onnx_path)(crops)
    expected = hash_stills(one.layers, features) >= 0.5
    looks = Looks(crops, features)
    wrong = Looks(crops, np.zeros_like(features))
    at_hand, computed = from_weights(one, None), from_weights(one, FeatureStore(one.weights))
    np.testing.assert_array_equal(at_hand.stills(looks), expected)
    np.testing.assert_array_equal(computed.stills(wrong), expected)
    for fitted, each in ((at_hand, looks), (computed, wrong)):
        tracks = [Looks(each.crops[:2], each.features[:2]), Looks(each.crops[2:], each.features[2:])]
        np.testing.assert_array_equal(np.concatenate(fitted.videos(tracks)), expected)


def made(folder: Path, name: str, onnx: bytes, method: str, bits: int, network: str) -> str:
    """Weights with a layer for tracks, called after a rival."""
    rng = np.random.default_rng(bits)
    still, track = (rng.normal(size=(bits, r)).astype(np.float32) for r in (320, 320 * 321 // 2))
    layers = HashLayers(still, np.zeros(bits, np.float32), track, np.zeros(bits, np.float32), 0.1)
    record = {"model": {"eps": 0.1, "divide": False, "features": 320}, "training": {"method": method}}
    data = hash_safetensors(layers, onnx)
    return str(write_weights(folder, name, bits=bits, safetensors=data, onnx=onnx, record=record, network=network))


def test_a_network_runs_once_for_all_lengths(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of both lengths, video-wise and frame-wise, as numbers that come from the network alone."""
    torch.manual_seed(1)
    onnx = to_onnx(fold_batch_norm(Backbone().eval()))  # not DHH's
    names = [made(tmp_path, f"her-{bits}", onnx, "her", bits, "theirs") for bits in (12, 16)]
    names += [str(weights / "dhh-12.json")]
    ran: list[tuple[str, int]] = []
    whole = FeatureExtractor.__call__
    paths: dict[int, str] = {}
    start = FeatureExtractor.__init__

    def opened(self: FeatureExtractor, path: Path, threads: int = 1) -> None:
        start(self, path, threads)
        paths[id(self)] = path.name

    def counted(self: FeatureExtractor, crops: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> object:
        ran.append((paths[id(self)], len(crops)))
        return whole(self, crops)

    monkeypatch.setattr(FeatureExtractor, "__init__", opened)
    monkeypatch.setattr(FeatureExtractor, "__call__", counted)
    faces = toy_pack(people=4, photos=6)
    people = [ProtocolPerson(i, (6 * i, 6 * i + 1), ((6 * i + 2, 6 * i + 3, 6 * i + 4),), ()) for i in range(4)]
    split = protocol_split(faces, faces, people)
    cells = compare(split, plan(named("her"), (), 3, names, tmp_path / "out"))
    assert [(cell.method, cell.bits, cell.seed, cell.kind) for cell in cells] == [
        ("her", 12, 0, "video-wise"),
        ("her", 16, 0, "video-wise"),
    ]
    pictures = 4 * (2 + 3)
    assert sum(n for name, n in ran if name == "theirs.onnx") == pictures
    assert sum(n for name, n in ran if name == "net.onnx") == pictures
    one, looks = loaded(Path(names[1])), split.asked["set"].pictures
    frames = whole(FeatureExtractor(one.weights.onnx_path), looks)
    expected = hash_tracks(one.layers, np.split(frames, 4)) >= 0.5
    found = from_weights(one, FeatureStore(one.weights)).videos(
        [Looks(crops, np.zeros((3, 1), np.float32)) for crops in np.split(looks, 4)]
    )
    np.testing.assert_array_equal(np.concatenate(found), expected)
    ran.clear()
    compare(split, plan(named("her,itq"), (), 1, names, tmp_path / "out"))
    assert not [name for name, _ in ran if name == "theirs.onnx"]  # kept on disk


def test_weights_of_rivals_take_part_in_a_comparison(weights: Path, tmp_path: Path) -> None:
    faces = toy_pack(people=4, photos=6)
    people = [ProtocolPerson(i, (6 * i, 6 * i + 1), ((6 * i + 2, 6 * i + 3, 6 * i + 4),), ()) for i in range(4)]
    split = protocol_split(faces, faces, people)
    names = [str(weights / "dsh-12.json"), str(weights / "dhh-12.json")]
    wanted = plan(named("dhh,dsh,ddah"), (), 3, names, tmp_path)
    assert wanted.bits == (12,)
    said: list[str] = []
    cells = compare(split, wanted, said.append)
    assert [(cell.method, cell.bits, cell.seed, cell.kind) for cell in cells] == [
        ("dhh", 12, 0, "video-wise"),
        ("dsh", 12, 0, "frame-wise"),
    ]
    left_out = "ddah: no weights of 12 bits among --weights (dhh train --method ddah); left out"
    assert left_out in said
    assert {result.line.representation for result in cells[1].results} >= {"average", "minimum", "majority"}
    again = compare(split, plan(named("dsh"), (), 3, names, tmp_path))
    assert again[0].results[0].line == cells[1].results[0].line
    (weights / "copy-12.json").write_text((weights / "dsh-12.json").read_text())
    with pytest.raises(UsageError, match="dsh-12 and copy-12 are one method's of one length"):
        plan(named("dsh"), (), 1, [names[0], str(weights / "copy-12.json")], None)
