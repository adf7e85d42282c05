"""export: network and hash layers -> bytes of ONNX and of safetensors, as models/weights.py lays them down."""

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from dhhcli.errors import WeightsError
from dhhcli.models.hash_layers import HashLayers
from dhhcli.models.weights import Weights
from dhhcli.research.training.networks.backbone import Backbone, to_input

LARGE = 256  # numbers: smaller tensors (biases, slopes) stay in single precision


class _Pipeline(nn.Module):
    """Normalisation inside the graph, and shrinking, so that whoever runs it cannot get it wrong."""

    def __init__(self, backbone: nn.Module, size: int) -> None:
        super().__init__()
        self.backbone, self.shrink = backbone, 64 // size

    def forward(self, crops: Tensor) -> Tensor:
        inputs = to_input(crops)
        if self.shrink > 1:
            inputs = functional.avg_pool2d(inputs, self.shrink)
        features: Tensor = self.backbone(inputs)
        return features


def to_onnx(backbone: nn.Module, size: int = 64) -> bytes:
    """Network -> ONNX, input ``crops`` (n, 64, 64, 3) uint8, output ``features`` (n, d).

    Uses torch's exporter from TorchScript: a straight line of convolutions is what it does well, and it needs only the
    package onnx beside torch.

    Args:
        backbone: a network in evaluation mode, on the CPU.
        size: side of the crops it was trained on, a divisor of 64: larger ones are averaged first.
    """
    return crops_to_onnx(_Pipeline(backbone.eval(), size))


def crops_to_onnx(network: nn.Module) -> bytes:
    """A network in evaluation mode, on the CPU, that takes crops (n, 64, 64, 3) uint8 itself -> ONNX as ``to_onnx``."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its deprecation
        torch.onnx.export(
            network,
            (torch.zeros(2, 64, 64, 3, dtype=torch.uint8),),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=17,
            input_names=["crops"],
            output_names=["features"],
            dynamic_axes={"crops": {0: "n"}, "features": {0: "n"}},
        )
    return _with_size(buffer.getvalue(), network)


def _with_size(onnx: bytes, network: nn.Module) -> bytes:
    """The same, saying how many features come out, where the exporter did not see it."""
    import onnx as form

    model = form.load_from_string(onnx)
    size = model.graph.output[0].type.tensor_type.shape.dim[1]
    if size.HasField("dim_value"):
        return onnx
    network.eval()  # the exporter has left it as it was
    with torch.no_grad():
        size.dim_value = network(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).shape[1]
    return bytes(model.SerializeToString())


def in_halves(onnx: bytes) -> bytes:
    """ONNX with float32 weights -> the same with weights stored in half precision and computed with in single.

    Half the bytes to ship and to read at every start. Rounding moves features by 1e-3 of their length.
    """
    import onnx as form

    model = form.load_from_string(onnx)
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = form.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < LARGE:
            continue
        name = tensor.name
        tensor.CopyFrom(form.numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(form.helper.make_node("Cast", [f"{name}.half"], [name], to=form.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def backbone_safetensors(backbone: Backbone) -> bytes:
    """The backbone's weights, float32, for torch."""
    return save({name: value.detach().cpu().contiguous() for name, value in backbone.state_dict().items()})


def read_backbone(weights: Weights) -> Backbone:
    """The backbone of finished weights for torch, without batch normalisation.

    Raises:
        WeightsError: they bring none, or it is not the one that the record describes.
    """
    try:
        entry = weights.record["files"]["backbone"]
        path, expected = weights.record_path.parent / Path(entry["name"]).name, str(entry["sha256"])
    except (KeyError, TypeError):
        raise WeightsError(
            f"{weights.record_path}: names no backbone that can be trained on; take weights of `dhh train --method dhh`"
        ) from None
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != expected:
            raise WeightsError(f"{path}: not the file that {weights.record_path.name} describes; reinstall it")
        tensors = load(data)
        last = list(Backbone(batch_norm=False).state_dict())[-1]
        backbone = Backbone(batch_norm=False, features=len(tensors[last]))
        backbone.load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        words = str(error).splitlines()[0]
        raise WeightsError(f"{path}: not a Table II backbone ({words}); reinstall it") from None
    return backbone


def hash_safetensors(layers: HashLayers, onnx: bytes) -> bytes:
    """Hash layers of one length, ``hash.{still,track}.{weight,bias}``; the file names the backbone it belongs to.

    What takes in log-covariances, nearly all of it, is stored in half precision: codes differ from those of single
    precision in less than one bit in a thousand. Methods that hash pictures only have none. Expansions (feature_map.py)
    are ``expansion.{still,track}.*``.
    """
    tensors = {"hash.still.weight": layers.still_weight, "hash.still.bias": layers.still_bias}
    if not layers.framewise:
        tensors |= {"hash.track.weight": layers.track_weight, "hash.track.bias": layers.track_bias}
    for of, expansion in (("still", layers.still_expansion), ("track", layers.track_expansion)):
        if expansion:
            tensors |= {f"expansion.{of}.{name}": array for name, array in expansion.arrays().items()}
    large = "expansion.track.weight" if layers.track_expansion else "hash.track.weight"
    stored = {name: torch.from_numpy(np.ascontiguousarray(array)).float() for name, array in tensors.items()}
    if large in stored:
        stored[large] = stored[large].half()
    return save(stored, {"backbone": hashlib.sha256(onnx).hexdigest()})
