"""rivals/trained.py: layers trained at once, and weights of ``dhh train --method`` as methods of a comparison."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rivalry import made_people, mean_ap
from synthetic import toy_pack

from dhhcli.errors import UsageError
from dhhcli.features import FeatureExtractor
from dhhcli.figures import Loaded, load_all
from dhhcli.hashing import HashLayers, hash_stills
from dhhcli.learning.backbone import Backbone, fold_batch_norm
from dhhcli.learning.export import hash_safetensors, to_onnx
from dhhcli.learning.featurehash import FeatureSettings
from dhhcli.packs import Person
from dhhcli.rivals import TRAINED, method
from dhhcli.rivals.compare import compare, named, plan
from dhhcli.rivals.protocol import Looks
from dhhcli.rivals.split import protocol_split
from dhhcli.rivals.trained import from_weights, name_of
from dhhcli.weights import write_weights

pytestmark = pytest.mark.usefixtures("one_thread")


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
    at_hand = from_weights(one, str(one.weights.record["files"]["onnx"]["sha256"]))
    computed = from_weights(one, "another network")
    np.testing.assert_array_equal(at_hand.stills(looks), expected)
    np.testing.assert_array_equal(computed.stills(wrong), expected)
    for fitted, each in ((at_hand, looks), (computed, wrong)):
        tracks = [Looks(each.crops[:2], each.features[:2]), Looks(each.crops[2:], each.features[2:])]
        np.testing.assert_array_equal(np.concatenate(fitted.videos(tracks)), expected)


def test_weights_of_rivals_take_part_in_a_comparison(weights: Path, tmp_path: Path) -> None:
    faces = toy_pack(people=4, photos=6)
    people = [Person(i, (6 * i, 6 * i + 1), ((6 * i + 2, 6 * i + 3, 6 * i + 4),), ()) for i in range(4)]
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
