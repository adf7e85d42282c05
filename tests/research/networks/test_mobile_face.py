"""mobile_face: sizes, slopes that go away, a last layer for another side, ONNX; make_sface: what it refuses."""

import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from dhhcli.research.training.networks.mobile_face import FEATURES, NATIVE, MobileFace, resized_state
from dhhcli.research.training.publishing.export import crops_to_onnx

TOOL = Path(__file__).parents[3] / "tools" / "make_sface.py"


@pytest.fixture(scope="module")
def net() -> MobileFace:
    torch.manual_seed(0)
    made = MobileFace(32).eval()
    with torch.no_grad():
        for name, values in made.named_parameters():
            if name.endswith("slope"):
                values.uniform_(-0.2, 0.5)
    return made


@pytest.fixture(scope="module")
def crops() -> torch.Tensor:
    return torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_sface", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_slopes_are_prelu_and_end_as_relu(net: MobileFace, crops: torch.Tensor) -> None:
    x = torch.linspace(-2, 2, 9).reshape(1, 1, 1, 9).expand(1, 32, 1, 9)
    slope = net.layers[1].slope.reshape(1, 32, 1, 1)  # type: ignore[operator]
    torch.testing.assert_close(net.layers[1](x), torch.where(x > 0, x, slope * x))
    half = MobileFace(32).eval()
    half.load_state_dict(net.state_dict())
    half.set_keep(0.5)
    before = half(crops)
    half.bake()
    torch.testing.assert_close(half(crops), before)
    half.set_keep(0)
    assert (half.layers[1](x) == x.clamp(min=0)).all()


def test_a_last_layer_for_another_side_sums_the_same() -> None:
    """Where the map is the same everywhere, only the sum over the places counts."""
    state = {
        "last.weight": torch.rand(4, 6, 7, 7, generator=torch.Generator().manual_seed(2)),
        "last.bias": torch.ones(4),
    }
    for side in (64, 80, 96, NATIVE):
        small = resized_state(state, side)
        assert small["last.weight"].shape[2:] == (side // 16, side // 16)
        torch.testing.assert_close(small["last.weight"].sum((2, 3)), state["last.weight"].sum((2, 3)))
    torch.testing.assert_close(resized_state(state, NATIVE)["last.weight"], state["last.weight"])


def test_onnx_computes_the_same(net: MobileFace, crops: torch.Tensor) -> None:
    session = onnxruntime.InferenceSession(crops_to_onnx(net), providers=["CPUExecutionProvider"])
    found = session.run(None, {"crops": crops.numpy()})[0]
    assert found.shape == (3, FEATURES)
    np.testing.assert_allclose(found, net(crops).detach().numpy(), atol=1e-4)


def test_weights_in_blocks_are_multiplied_out(tool: ModuleType) -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-128, 128, (5, 3)).astype(np.int8)
    scale, zero = rng.random((3, 3), dtype=np.float32), np.ones((3, 3), dtype=np.int8)
    node = helper.make_node("DequantizeLinear", ["w", "s", "z"], ["out"], axis=0, block_size=2)
    constants = [numpy_helper.from_array(a, n) for a, n in ((weight, "w"), (scale, "s"), (zero, "z"))]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, [5, 3])
    model: onnx.ModelProto = helper.make_model(helper.make_graph([node], "g", [], [output], constants))
    found = tool.read_values(model)["out"]
    for row in range(5):
        for column in range(3):
            assert found[row, column] == pytest.approx((int(weight[row, column]) - 1) * scale[row // 2, column])


def test_another_file_is_refused(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"something else")
    with pytest.raises(ValueError, match="SHA-256"):
        tool.read_model(tmp_path / "m.onnx")
    with zipfile.ZipFile(tmp_path / "m.whl", "w") as wheel:
        wheel.writestr("x.py", "")
    with pytest.raises(ValueError, match="no face_recognition_sface"):
        tool.read_model(tmp_path / "m.whl")
