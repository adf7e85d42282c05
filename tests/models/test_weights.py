"""models/weights.py: written, read back, and everything that must be refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from dhhcli.errors import WeightsError
from dhhcli.models import weights as module
from dhhcli.models.hash_layers import HashLayers, hash_stills, hash_tracks
from dhhcli.models.log_covariance import log_covariance
from dhhcli.models.weights import load_hash_layers, load_weights, resolve_weights, write_weights

BITS, FEATURES = 6, 4
RECORD: dict[str, Any] = {"model": {"eps": 0.01, "divide": True}, "training": {"licence": "research only"}}


def layers() -> HashLayers:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    return HashLayers(
        draw(BITS, FEATURES), draw(BITS), draw(BITS, FEATURES * (FEATURES + 1) // 2), draw(BITS), 0.01, True
    )


def tensors() -> dict[str, Any]:
    made = layers()
    return {
        "hash.still.weight": made.still_weight,
        "hash.still.bias": made.still_bias,
        "hash.track.weight": made.track_weight,
        "hash.track.bias": made.track_bias,
    }


def written(folder: Path, data: dict[str, Any] | None = None, record: dict[str, Any] = RECORD) -> Path:
    return write_weights(
        folder,
        "tiny",
        bits=BITS,
        safetensors=save(tensors() if data is None else data),
        onnx=b"a network",
        record=record,
    )


def edit(path: Path, change: Callable[[Any], object]) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def refused(path: Path, says: str) -> str:
    with pytest.raises(WeightsError, match=says) as caught:
        load_weights(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "new folder")
    assert path == tmp_path / "new folder" / "tiny.json"
    found = load_weights(path)
    assert (found.name, found.bits) == ("tiny", BITS)
    assert found.onnx_path.read_bytes() == b"a network"
    assert found.safetensors_path == path.with_suffix(".safetensors")
    assert len(found.fingerprint) == 64
    assert found.record["training"]["licence"] == "research only"
    assert sorted(p.name for p in path.parent.iterdir()) == ["tiny.json", "tiny.onnx", "tiny.safetensors"]


def test_codes_of_two_lengths_share_a_network(tmp_path: Path) -> None:
    paths = [
        write_weights(
            tmp_path,
            name,
            bits=BITS,
            safetensors=save(tensors()),
            onnx=b"a network",
            record=RECORD,
            network="shared",
            backbone=b"the same",
        )
        for name in ("one", "two")
    ]
    found = [load_weights(path) for path in paths]
    assert [weights.onnx_path.name for weights in found] == ["shared.onnx"] * 2
    assert [weights.safetensors_path.name for weights in found] == ["one.safetensors", "two.safetensors"]
    names = ["one.json", "one.safetensors", "shared.onnx", "shared.safetensors", "two.json", "two.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_the_network_in_integers_is_verified_too(tmp_path: Path) -> None:
    path = write_weights(
        tmp_path, "one", bits=BITS, safetensors=save(tensors()), onnx=b"a network", record=RECORD, int8=b"a quick one"
    )
    quick = load_weights(path).int8_path
    assert quick == tmp_path / "one-int8.onnx"
    assert quick.read_bytes() == b"a quick one"
    assert load_weights(written(tmp_path / "older")).int8_path is None
    quick.write_bytes(b"another one")
    refused(path, "one-int8.onnx: SHA-256 is")
    quick.unlink()
    refused(path, "one-int8.onnx: cannot be read")


def test_a_network_needs_a_name_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one file"):
        write_weights(tmp_path, "one", bits=BITS, safetensors=b"", onnx=b"", record=RECORD, backbone=b"the same")


def test_the_first_format_reads_alike(tmp_path: Path) -> None:
    path = written(tmp_path)
    edit(path, lambda record: record.update(format_version=1))
    assert load_weights(path).bits == BITS


@pytest.mark.parametrize(("model", "mirrored"), [({"mirror": True}, True), ({}, False), (None, False), ([], False)])
def test_whether_stills_are_mirrored(tmp_path: Path, model: Any, mirrored: bool) -> None:
    path = written(tmp_path)
    edit(path, lambda record: record.update(model=model))
    assert load_weights(path).mirror is mirrored


def test_half_precision_is_read_as_single(tmp_path: Path) -> None:
    data = tensors()
    data["hash.track.weight"] = data["hash.track.weight"].astype(np.float16)
    found = load_hash_layers(load_weights(written(tmp_path, data)))
    assert found.track_weight.dtype == np.float32
    np.testing.assert_array_equal(found.track_weight, data["hash.track.weight"].astype(np.float32))


def test_hash_layers_come_back_unchanged(tmp_path: Path) -> None:
    found, made = load_hash_layers(load_weights(written(tmp_path))), layers()
    for name in ("still_weight", "still_bias", "track_weight", "track_bias"):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))
        assert getattr(found, name).dtype == np.float32
    assert (found.eps, found.divide, found.bits) == (0.01, True, BITS)


def test_tracks_false_leaves_the_large_tensor_unread(tmp_path: Path) -> None:
    """It works where the tensor is not even there."""
    data = tensors()
    del data["hash.track.weight"]
    found = load_weights(written(tmp_path, data))
    without = load_hash_layers(found, tracks=False)
    np.testing.assert_array_equal(without.still_weight, layers().still_weight)
    assert without.track_weight.size == 0
    with pytest.raises(WeightsError, match=r"hash\.track\.weight"):
        load_hash_layers(found)


def test_the_fingerprint_follows_the_weights(tmp_path: Path) -> None:
    first = load_weights(written(tmp_path / "a")).fingerprint
    assert load_weights(written(tmp_path / "b")).fingerprint == first
    other = tensors()
    other["hash.still.bias"] = other["hash.still.bias"] + 1
    assert load_weights(written(tmp_path / "c", other)).fingerprint != first


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_an_altered_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path)
    file = path.with_suffix(suffix)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert f"tiny{suffix}" in refused(path, "SHA-256")


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_a_missing_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path)
    path.with_suffix(suffix).unlink()
    assert f"tiny{suffix}" in refused(path, "cannot be read")


def test_a_missing_record_names_what_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "shipped_folder", lambda: tmp_path)
    refused(tmp_path / "none.json", "none: no such weights; shipped are: none")  # as it was typed
    refused(tmp_path / "runs" / "mine.json", "runs/mine.json: no such weights; .* by the path of their record")
    written(tmp_path)
    refused(tmp_path / "none.json", "no such weights; shipped are: tiny")


EXPANSIONS = {"still": "gaussian", "track": "tanh"}


def expanded() -> dict[str, Any]:
    """Three anchors for photos, five hidden units for tracks."""
    rng = np.random.default_rng(1)

    def draw(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    vector = FEATURES * (FEATURES + 1) // 2
    return tensors() | {
        "hash.still.weight": draw(BITS, 3),
        "hash.track.weight": draw(BITS, 5),
        "expansion.still.weight": draw(2, FEATURES),
        "expansion.still.bias": draw(2),
        "expansion.still.points": draw(3, 2),
        "expansion.still.width": np.array([1.5], np.float32),
        "expansion.track.weight": draw(5, vector).astype(np.float16),
        "expansion.track.bias": draw(5),
    }


def with_expansions(folder: Path, data: dict[str, Any], expansions: Any = EXPANSIONS) -> Path:
    return written(folder, data, RECORD | {"model": RECORD["model"] | {"expansions": expansions}})


def test_expansions_are_read_and_need_a_later_dhh(tmp_path: Path) -> None:
    data = expanded()
    path = with_expansions(tmp_path, data)
    assert json.loads(path.read_text())["format_version"] == 3  # who reads up to 2 refuses
    assert json.loads(written(tmp_path / "plain").read_text())["format_version"] == 2
    found = load_hash_layers(load_weights(path))
    still, track = found.still_expansion, found.track_expansion
    assert still is not None
    assert track is not None
    assert (still.kind, still.size, track.kind, track.size) == ("gaussian", 3, "tanh", 5)
    features = np.random.default_rng(2).normal(size=(7, FEATURES)).astype(np.float32)
    z = features @ data["expansion.still.weight"].T + data["expansion.still.bias"]
    near = np.exp(-np.square(z[:, None] - data["expansion.still.points"]).sum(axis=2) / 1.5)
    bits = near @ data["hash.still.weight"].T + data["hash.still.bias"] >= 0
    np.testing.assert_array_equal(hash_stills(found, features) >= 0.5, bits)
    vector = log_covariance(features, eps=0.01, divide=True)
    hidden = np.tanh(data["expansion.track.weight"].astype(float) @ vector + data["expansion.track.bias"])
    bits = data["hash.track.weight"] @ hidden + data["hash.track.bias"] >= 0
    np.testing.assert_array_equal(hash_tracks(found, [features])[0] >= 0.5, bits)
    without = load_hash_layers(load_weights(path), tracks=False)
    assert without.track_expansion is None
    np.testing.assert_array_equal(hash_stills(without, features), hash_stills(found, features))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"expansion.still.points": None}, "gaussian without 'points'"),
        ({"expansion.still.points": np.zeros((3, 4), np.float32)}, "gaussian of "),
        ({"expansion.still.width": np.array([0], np.float32)}, r"gaussian of width 0\.0"),
        ({"hash.still.weight": np.zeros((BITS, FEATURES), np.float32)}, "do not make 6 bit codes"),
        ({"hash.track.weight": np.zeros((BITS, 4), np.float32)}, "do not make 6 bit codes"),
        ({"expansion.track.weight": np.zeros((5, 11), np.float16)}, "do not make 6 bit codes"),
    ],
)
def test_expansions_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    data = {name: array for name, array in (expanded() | change).items() if array is not None}
    weights = load_weights(with_expansions(tmp_path, data))
    with pytest.raises(WeightsError, match=says) as caught:
        load_hash_layers(weights)
    assert str(caught.value).startswith(str(weights.safetensors_path))


@pytest.mark.parametrize("expansions", [{"still": "fourier"}, {"face": "tanh"}, ["tanh"], {"still": ["tanh"]}, 3])
def test_unknown_expansions_are_refused(tmp_path: Path, expansions: Any) -> None:
    weights = load_weights(with_expansions(tmp_path, expanded(), expansions))
    with pytest.raises(WeightsError, match=r"this dhh knows gaussian, local, tanh, cosine, settled of still and track"):
        load_hash_layers(weights)


@pytest.mark.parametrize("version", [0, 4, "2", None])
def test_an_unknown_version_is_refused(tmp_path: Path, version: object) -> None:
    path = written(tmp_path)
    edit(path, lambda record: record.update(format_version=version))
    refused(path, "upgrade dhh or train anew")


def test_a_later_version_is_called_that_even_when_laid_out_anew(tmp_path: Path) -> None:
    path = tmp_path / "later.json"
    path.write_text(json.dumps({"format": "dhh-weights", "format_version": 4, "parts": []}))
    refused(path, "version 4, this dhh reads")


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    edit(path, lambda record: record.update(format="something-else"))
    refused(path, "'something-else' version 2")


@pytest.mark.parametrize("key", ["format", "format_version", "bits", "files"])
def test_a_record_without_its_keys_is_refused(tmp_path: Path, key: str) -> None:
    path = written(tmp_path)
    edit(path, lambda record: record.pop(key))
    refused(path, key)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe" * 3000, b'{"files": 3}'])
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(data)
    refused(path, "not a weights record")


def test_a_record_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    path = written(tmp_path / "inner")
    (tmp_path / "tiny.onnx").write_bytes(b"a network")
    edit(path, lambda record: record["files"]["onnx"].update(name="../tiny.onnx"))
    assert load_weights(path).onnx_path == tmp_path / "inner" / "tiny.onnx"


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("hash.still.weight", (BITS + 1, FEATURES)),
        ("hash.still.bias", (BITS - 1,)),
        ("hash.track.weight", (BITS, FEATURES)),
        ("hash.track.weight", (BITS - 1, 10)),
        ("hash.track.bias", (BITS + 2,)),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    found = load_weights(written(tmp_path, tensors() | {name: np.zeros(shape, np.float32)}))
    with pytest.raises(WeightsError, match="do not make 6 bit codes"):
        load_hash_layers(found)


def test_a_record_that_does_not_say_how_to_use_the_layers_is_refused(tmp_path: Path) -> None:
    found = load_weights(written(tmp_path, record={"model": {"eps": 0.1}}))
    with pytest.raises(WeightsError, match="divide"):
        load_hash_layers(found)


def test_names_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "shipped_folder", lambda: tmp_path)
    monkeypatch.delenv("DHH_WEIGHTS", raising=False)
    assert resolve_weights() == tmp_path / "dhh-128.json"
    assert resolve_weights("dhh-24") == tmp_path / "dhh-24.json"
    assert resolve_weights("mine.json") == Path("mine.json")
    assert resolve_weights("some/where/mine") == Path("some/where/mine.json")
    monkeypatch.setenv("DHH_WEIGHTS", "dhh-12")
    assert resolve_weights() == tmp_path / "dhh-12.json"
    assert resolve_weights("dhh-24") == tmp_path / "dhh-24.json"  # what is asked for beats the environment
    monkeypatch.setenv("DHH_WEIGHTS", str(tmp_path / "own.json"))
    assert resolve_weights() == tmp_path / "own.json"
    monkeypatch.setenv("DHH_WEIGHTS", "")
    assert resolve_weights() == tmp_path / "dhh-128.json"


def test_a_write_that_fails_leaves_the_old_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dhhcli.base.atomic_write.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path, tensors() | {"more": np.zeros(3, np.float32)})
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert load_weights(path).bits == BITS


def test_writing_over_weights_leaves_no_other_files(tmp_path: Path) -> None:
    written(tmp_path)
    other = tensors()
    other["hash.still.bias"] = other["hash.still.bias"] * 2
    path = written(tmp_path, other)
    np.testing.assert_array_equal(load_hash_layers(load_weights(path)).still_bias, other["hash.still.bias"])
    assert len(list(tmp_path.iterdir())) == 3
