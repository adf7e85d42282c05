"""export: folded backbone + hash layers -> bytes of safetensors and of ONNX, as weights.py lays them down."""

import io
import warnings

import torch
from safetensors.torch import save
from torch import Tensor, nn

from .backbone import Backbone, to_input
from .model import HashModel


class _Pipeline(nn.Module):
    """Normalisation inside the graph, so that whoever runs it cannot get it wrong."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, crops: Tensor) -> Tensor:
        features: Tensor = self.backbone(to_input(crops))
        return features


def to_onnx(backbone: Backbone) -> bytes:
    """Backbone without batch normalisation -> ONNX, input ``crops`` (n, 64, 64, 3) uint8, output ``features`` (n, 320).

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


def to_safetensors(backbone: Backbone, model: HashModel) -> bytes:
    """All weights, float32: ``backbone.*`` and ``hash.{still,track}.{weight,bias}``."""
    tensors = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    tensors |= {f"hash.{name}": value for name, value in model.state_dict().items()}
    return save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
