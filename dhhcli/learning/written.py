"""written: hash layers of every length + a network (ONNX) -> weights on disk, measured on other people, calibrated.

What all rivals that `dhh train --method` knows have in common when they are done (methods.py).
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..calibrate import calibrated_if_enough
from ..evaluate import all_scores, protocol_features
from ..features import FeatureExtractor
from ..hashing import HashLayers
from ..weights import Weights, load_hash_layers, load_weights, write_weights
from .export import hash_safetensors, to_onnx
from .stillhash import PAPERS, StillSettings
from .validation import Validation

INPUT = {"size": 64, "order": "BGR", "mean": [127.5] * 3, "std": [127.5] * 3, "dtype": "uint8"}
MEASURE = "mean average precision, ties by expectation"


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


def layer_record(weights: Weights, paper: str, training: dict[str, Any], layers: HashLayers) -> dict[str, Any]:
    """What a layer's record says: most of it is that of the weights whose features it hashes."""
    kept = {key: weights.record["model"][key] for key in ("backbone", "features") if key in weights.record["model"]}
    bent = {"still": layers.still_expansion, "track": layers.track_expansion}
    expansions = {of: one.kind for of, one in bent.items() if one}
    how = {"tracks": "majority"} if layers.framewise else {"eps": layers.eps, "divide": layers.divide}
    model = (
        kept
        | how
        | ({"expansions": expansions} if expansions else {})
        | {
            "homogeneous": bool(weights.record["model"].get("homogeneous", False)),
            "mirror": weights.mirror,
            "paper": paper,
        }
    )
    training = training | {"features_of": weights.name}
    return {"input": weights.record.get("input", INPUT), "model": model, "training": training, "metrics": {}}


def write_layers(
    out: Path,
    stem: str,
    layers: dict[int, HashLayers],
    onnx: bytes,
    record: dict[str, Any],
    validation: Validation | None,
) -> Iterator[str]:
    """Write every length, measure what was written, calibrate it."""
    paths = []
    features = None
    for K, own in layers.items():
        name = f"{stem}-{K}"

        def write(record: dict[str, Any], name: str = name, own: HashLayers = own) -> Path:
            data = hash_safetensors(own, onnx)
            return write_weights(out, name, bits=own.bits, safetensors=data, onnx=onnx, record=record, network=stem)

        path = write(record)
        if validation:
            weights = load_weights(path)
            if features is None:
                run = FeatureExtractor(weights.onnx_path, threads=torch.get_num_threads())
                features = protocol_features(validation.faces, validation.people, run, mirror=weights.mirror)
            scores = all_scores(features, load_hash_layers(weights), homogeneous=record["model"]["homogeneous"])
            figures = [asdict(score) for score in scores]
            measured = {"data": validation.pack_path.name, "measure": MEASURE, "figures": figures}
            path = write(record | {"metrics": measured})
            for score in scores:
                yield f"{name}: {score.representation} {score.query} -> {score.database}: mAP {score.mean_ap:.4f}"
        yield f"wrote {path}"
        paths.append(path)
    if validation:
        yield from calibrated_if_enough(validation.pack_path, paths)
