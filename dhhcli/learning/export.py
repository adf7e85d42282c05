"""export: folded backbone, hash layers -> bytes of ONNX and of safetensors, as weights.py lays them down."""

import hashlib
import io
import warnings

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ..hashing import HashLayers
from .backbone import Backbone, to_input


class _Pipeline(nn.Module):
    """Normalisation inside the graph, so that whoever runs it cannot get it wrong."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, crops: Tensor) -> Tensor:
        features: Tensor = self.backbone(to_input(crops))
        return features


def to_onnx(backbone: Backbone) -> bytes:
    """Backbone without batch normalisation -> ONNX, input ``crops`` (n, 64, 64, 3) uint8, output ``features`` (n, d).

    Uses torch's exporter from TorchScript: a straight line of convolutions is what it does well, and it needs only the
    package onnx beside torch.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its deprecation
        torch.onnx.export(
            _Pipeline(backbone.eval()),
            (torch.zeros(2, 64, 64, 3, dtype=torch.uint8),),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=17,
            input_names=["crops"],
            output_names=["features"],
            dynamic_axes={"crops": {0: "n"}, "features": {0: "n"}},
        )
    return buffer.getvalue()


def backbone_safetensors(backbone: Backbone) -> bytes:
    """The backbone's weights, float32, for torch."""
    return save({name: value.detach().cpu().contiguous() for name, value in backbone.state_dict().items()})


def hash_safetensors(layers: HashLayers, onnx: bytes) -> bytes:
    """Hash layers of one length, ``hash.{still,track}.{weight,bias}``; the file names the backbone it belongs to.

    The track layer, nearly all of it, is stored in half precision: its codes differ from those of single precision in
    less than one bit in a thousand.
    """
    tensors = {
        "hash.still.weight": torch.from_numpy(layers.still_weight),
        "hash.still.bias": torch.from_numpy(layers.still_bias),
        "hash.track.weight": torch.from_numpy(layers.track_weight).half(),
        "hash.track.bias": torch.from_numpy(layers.track_bias),
    }
    return save(tensors, {"backbone": hashlib.sha256(onnx).hexdigest()})
