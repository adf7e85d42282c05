"""Weights of strangers: whatever is in them, one line, no other file read, and no memory to speak of."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from commands import one_line
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save
from typer.testing import Result

from dhhcli.errors import WeightsError
from dhhcli.media.sample import Sample
from dhhcli.models.network import load_network
from dhhcli.models.weights import load_weights, resolve_weights, write_weights

Run = Callable[..., Result]
FEATURES = 3


def layers(**more: Any) -> bytes:
    arrays = {
        "hash.still.weight": np.ones((8, FEATURES), np.float32),
        "hash.still.bias": np.zeros(8, np.float32),
        "hash.track.weight": np.ones((8, 6), np.float32),
        "hash.track.bias": np.zeros(8, np.float32),
    }
    return save(arrays | more)


def network(*nodes: Any, constants: tuple[Any, ...] = (), out: str = "mean", shape: Any = FEATURES) -> bytes:
    """The mean colour of the crop, and what else is wanted."""
    first = [
        helper.make_node("Cast", ["crops"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f"], ["mean"], axes=[1, 2], keepdims=0),
    ]
    graph = helper.make_graph(
        [*first, *nodes],
        "g",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["n", 64, 64, 3])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["n", shape])],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def weights(folder: Path, onnx_data: bytes, tensors: bytes | None = None, **record: Any) -> Path:
    return write_weights(
        folder,
        "w",
        bits=8,
        safetensors=tensors or layers(),
        onnx=onnx_data,
        record={"model": {"eps": 1e-3, "divide": False}} | record,
    )


def enlarge(count: int) -> bytes:
    """Adds the mean of that many ones."""
    return network(
        helper.make_node("ConstantOfShape", ["n_ones"], ["ones"], value=helper.make_tensor("v", 1, [1], [1.0])),
        helper.make_node("ReduceMean", ["ones"], ["one"], axes=[0], keepdims=1),
        helper.make_node("Add", ["mean", "one"], ["out"]),
        constants=(numpy_helper.from_array(np.array([count], np.int64), "n_ones"),),
        out="out",
    )


def doubled(times: int) -> bytes:
    """A tensor laid beside itself again and again."""
    nodes = [helper.make_node("Concat", [f"d{at}", f"d{at}"], [f"d{at + 1}"], axis=1) for at in range(times)]
    return network(
        helper.make_node("Identity", ["mean"], ["d0"]),
        *nodes,
        helper.make_node("ReduceMean", [f"d{times}"], ["one"], axes=[1], keepdims=1),
        helper.make_node("Add", ["mean", "one"], ["out"]),
        out="out",
    )


def external(location: str) -> bytes:
    tensor: Any = TensorProto(
        name="there", data_type=TensorProto.FLOAT, dims=[FEATURES], data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", location), ("offset", "0"), ("length", str(4 * FEATURES))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return network(helper.make_node("Add", ["mean", "there"], ["out"]), constants=(tensor,), out="out")


def hidden() -> bytes:
    """The same under keys of fields that have a bit above the 32nd, which protobuf drops."""

    def key(number: int, kind: int, above: int = 0) -> bytes:
        value, found = (number << 3 | kind) + (above << 32), bytearray()
        while value > 127:
            found.append(value & 127 | 128)
            value >>= 7
        return bytes([*found, value])

    def field(number: int, data: bytes, above: int = 0) -> bytes:
        return key(number, 2, above) + bytes([len(data)]) + data

    where = field(1, b"location") + field(2, b"secret.bin")
    tensor = key(1, 0) + bytes([FEATURES]) + key(2, 0) + b"\x01" + field(8, b"there")
    tensor += field(13, where, above=1) + key(14, 0, above=1) + b"\x01"
    plain = onnx.load_from_string(network(helper.make_node("Add", ["mean", "there"], ["out"]), out="out"))
    graph = plain.graph.SerializeToString() + field(5, tensor)
    plain.ClearField("graph")
    return bytes(plain.SerializeToString() + field(7, b"")[:1] + _length(len(graph)) + graph)


def _length(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _length(value >> 7)


def claimed() -> bytes:
    tensor = TensorProto(name="there", data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 20], raw_data=b"\0" * 12)
    return network(helper.make_node("Add", ["mean", "there"], ["out"]), constants=(tensor,), out="out")


def looping() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["still"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    return network(
        helper.make_node("Loop", ["many", "yes", "mean"], ["out"], body=body),
        constants=(
            numpy_helper.from_array(np.array(1 << 60, np.int64), "many"),
            numpy_helper.from_array(np.array(True), "yes"),
        ),
        out="out",
    )


def functions() -> bytes:
    model: Any = onnx.load_from_string(network())
    model.functions.append(
        helper.make_function(
            "f", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 17)]
        )
    )
    return bytes(model.SerializeToString())


NAN = numpy_helper.from_array(np.full(FEATURES, np.nan, np.float32), "nan")
GRAPHS: dict[str, tuple[Callable[[], bytes], str]] = {
    "external": (lambda: external("secret.bin"), r"tensors in other files \(external data\)"),
    "external above": (lambda: external("../secret.bin"), r"external data"),
    "external, hidden": (hidden, "no network in ONNX"),
    "terabytes": (lambda: enlarge(10**12), "not a network that onnxruntime loads"),
    "gigabytes": (lambda: enlarge(5 * 10**8), "not a network that onnxruntime loads"),
    "doubling": (lambda: doubled(40), "not a network that onnxruntime loads"),
    "claimed": (claimed, "not a network that onnxruntime loads"),
    "loop": (looping, "without end|graphs inside"),
    "functions": (functions, "functions of its own"),
    "nan": (lambda: network(helper.make_node("Add", ["mean", "nan"], ["out"]), constants=(NAN,), out="out"), "finite"),
    "other width": (
        lambda: network(helper.make_node("Concat", ["mean", "mean"], ["out"], axis=1), out="out", shape=6),
        "makes 6 features, w.safetensors takes 3",
    ),
    "domain": (lambda: network(helper.make_node("X", ["mean"], ["out"], domain="evil"), out="out"), "not known"),
    "empty": (lambda: b"", "ONNX"),
    "cut": (lambda: network()[:-5], "cut short|ONNX|not a network"),
    "noise": (lambda: b"\xff" * 1000, "cut short|ONNX|not a network"),
    "deep": (lambda: network().replace(b"", b"", 1) + b"\x3a\x02\x0a\x00" * 30000, "operators|ONNX|loads"),
}


@pytest.mark.parametrize("which", GRAPHS)
def test_a_graph_that_is_none_of_ours_is_one_line(tmp_path: Path, which: str) -> None:
    make, words = GRAPHS[which]
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "secret.bin").write_bytes(np.ones(FEATURES, np.float32).tobytes())
    (tmp_path / "secret.bin").write_bytes(np.ones(FEATURES, np.float32).tobytes())
    path = weights(tmp_path / "w", make())
    with pytest.raises(WeightsError, match=words) as caught:
        load_network(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_good_one_loads(tmp_path: Path) -> None:
    loaded = load_network(str(weights(tmp_path, enlarge(1000))), film=True)
    found = loaded.extract(np.full((100, 64, 64, 3), 7, np.uint8))
    assert found.shape == (100, FEATURES)
    assert np.allclose(found, 8)


def test_memory_stays_bounded(tmp_path: Path) -> None:
    """In processes of their own, as what was used once stays counted."""
    for name, data in (("a", enlarge(10**12)), ("b", enlarge(4 * 10**8)), ("c", doubled(40))):
        path = weights(tmp_path / name, data)
        code = (
            "import sys; from dhhcli.models.network import load_network\n"
            "try: load_network(sys.argv[1])\n"
            "except Exception as error: print(type(error).__name__)\n"
            # not ru_maxrss, which begins with what the parent had
            "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
        )
        said = subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, text=True, check=True, timeout=120
        ).stdout.split()
        assert said[0] == "WeightsError"
        assert int(said[1]) < 1 << 20  # KiB


@pytest.mark.parametrize(
    "tensors",
    [
        layers(**{"hash.still.weight": np.full((8, FEATURES), np.nan, np.float32)}),
        layers(**{"hash.track.bias": np.full(8, np.inf, np.float32)}),
        layers(**{"hash.track.weight": np.full((8, 6), -np.inf, np.float32)}),
        layers(**{"hash.still.weight": np.array(1, np.float32)}),
        layers(**{"hash.still.weight": np.ones((8, 0), np.float32)}),
        layers(**{"hash.still.weight": np.ones((7, FEATURES), np.float32)}),
        layers(**{"hash.still.bias": np.ones((1, 8), np.float32)}),
        b"\xff" * 100,
        (1 << 40).to_bytes(8, "little") + b"{}",
        len(b'{"hash.still.weight":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}').to_bytes(8, "little")
        + b'{"hash.still.weight":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}'
        + b"\0" * 4,
    ],
)
def test_layers_that_are_no_numbers_are_one_line(tmp_path: Path, tensors: bytes) -> None:
    with pytest.raises(WeightsError, match=r"w\.safetensors|w\.onnx") as caught:
        load_network(str(weights(tmp_path, network(), tensors)))
    assert "\n" not in str(caught.value)


DEEP = "[" * 100_000
RECORDS: list[Any] = [
    {"bits": -8},
    {"bits": 0},
    {"bits": 10**30},
    {"bits": 1e308},
    {"bits": True},
    {"bits": "8"},
    {"bits": [8]},
    {"model": {"eps": float("nan"), "divide": False}},
    {"model": {"eps": -1, "divide": False}},
    {"model": {"eps": 10**400, "divide": False}},
    {"model": {"eps": [], "divide": False}},
    {"model": 3},
    {"model": {"eps": 1e-3, "divide": False, "tracks": []}},
    {"model": {"eps": 1e-3, "divide": False, "expansions": {"still": []}}},
    {"files": []},
    {"files": {"safetensors": 3}},
    {"files": {"safetensors": {"name": "../w.safetensors", "sha256": ""}}},
    {"files": {"safetensors": {"name": "a\0b", "sha256": ""}}},
    {"files": {"safetensors": {"name": "..", "sha256": ""}}},
    {"files": {"safetensors": {"name": "", "sha256": ""}}},
    {"files": {"safetensors": {"name": "a" * 100_000, "sha256": ""}}},
    {"files": {"safetensors": {"name": ["w"], "sha256": 3}}},
    {"format_version": 10**30},
    {"format_version": [[[]]]},
    {"format": "x\x1b[31m" * 100},
]


@pytest.mark.parametrize("change", RECORDS, ids=[str(number) for number in range(len(RECORDS))])
def test_an_absurd_record_is_one_line(tmp_path: Path, change: dict[str, Any], sample: Sample, dhh: Run) -> None:
    path = weights(tmp_path / "w", network())
    record = json.loads(path.read_text())
    if isinstance(change.get("files"), dict):
        change = {"files": record["files"] | change["files"]}
    path.write_text(json.dumps(record | change))
    one_line(dhh("encode", sample.photos[0], "--weights", path), 1, "w")


@pytest.mark.parametrize(
    "data", [DEEP.encode(), b'{"a":' * 100_000, b"", b"\xff", b"1" * 10_000, b"null", b"[]", b'"x"', b"NaN", b"\0" * 99]
)
def test_a_record_that_is_none_is_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "w.json"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"w\.json"):
        load_weights(path)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        load_weights(Path("/dev/zero.json"))
    (tmp_path / "w.json").mkdir()
    with pytest.raises(WeightsError):
        load_weights(tmp_path / "w.json")
    path = weights(tmp_path / "x", network())
    (tmp_path / "x" / "w.onnx").unlink()
    (tmp_path / "x" / "w.onnx").symlink_to("/dev/zero")
    with pytest.raises(WeightsError):
        load_weights(path)


@pytest.mark.parametrize("name", ["dhh-12", "dhh-48", "dhh-128"])
def test_shipped_networks_pass_the_same_examination(tmp_path: Path, name: str) -> None:
    """Copied elsewhere they are anybody's, and make the same of a picture."""
    shipped = load_weights(resolve_weights(name))
    for path in (shipped.record_path, shipped.onnx_path, shipped.safetensors_path, shipped.int8_path):
        assert path is not None
        (tmp_path / path.name).write_bytes(path.read_bytes())
    crops = np.random.default_rng(0).integers(0, 256, (70, 64, 64, 3), dtype=np.uint8)
    one, other = load_network(name, film=True), load_network(str(tmp_path / f"{name}.json"), film=True)
    assert (one.extract(crops) == other.extract(crops)).all()
    assert (one.film_extract(crops) == other.film_extract(crops)).all()
