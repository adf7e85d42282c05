"""export: a trained network of the image methods -> ONNX and safetensors beside its record."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from dhhcli.models.hash_layers import HashLayers
from dhhcli.research.baselines.deep.image_networks import PAPERS, StillSettings
from dhhcli.research.training.publishing.export import to_onnx
from dhhcli.research.training.publishing.publish import INPUT, write_layers
from dhhcli.research.training.validation import Validation


def export_network(
    final: nn.Module,
    settings: StillSettings,
    out: Path,
    stem: str,
    training: dict[str, Any],
    validation: Validation | None,
) -> Iterator[str]:
    """Weights of every length from a network in evaluation mode, on the CPU."""
    total = sum(settings.lengths)
    onnx = to_onnx(final, settings.size)
    layers = {
        K: HashLayers(  # the network's outputs are the hash values: a length's layer picks its own
            np.eye(total, dtype=np.float32)[settings.rows(K)],
            np.zeros(K, np.float32),
            np.empty((K, 0), np.float32),
            np.zeros(K, np.float32),
            framewise=True,
        )
        for K in settings.lengths
    }
    model = {
        "backbone": settings.method,
        "features": total,
        "tracks": "majority",
        "homogeneous": False,
        "mirror": False,
        "paper": PAPERS[settings.method],
    }
    record = {"input": INPUT, "model": model, "training": training, "metrics": {}}
    yield from write_layers(out, stem, layers, onnx, record, validation)
