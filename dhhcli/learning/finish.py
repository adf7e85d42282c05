"""finish: trained network and hash layers -> weights for each length of code, measured and calibrated, with records."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..calibrate import calibrated_if_enough
from ..evaluate import ProtocolFeatures, all_scores
from ..packs import FacePack
from ..weights import load_hash_layers, load_weights, write_weights
from .export import backbone_safetensors, hash_safetensors, to_onnx
from .hashtrain import HashSettings
from .joint import Whole
from .quantise import backbone_to_int8
from .validation import Validation


def finish(
    final: Whole,
    faces: FacePack,
    settings: HashSettings,
    out: Path,
    name: str,
    training: dict[str, Any],
    validation: Validation | None,
) -> Iterator[str]:
    """Export every length, measure and calibrate what was exported, write its record.

    faces: the training crops, which set the ranges of the backbone in integers.
    """
    backbone = final.network.folded()
    onnx, tensors = to_onnx(backbone), backbone_safetensors(backbone)
    int8 = backbone_to_int8(onnx, faces, np.random.default_rng([settings.seed, 8]))
    features: ProtocolFeatures | None = None  # the same for every length
    paths: list[Path] = []
    for length in settings.lengths:
        layers = final.model.layers(settings.rows(length))
        record: dict[str, Any] = {
            "input": {"size": 64, "order": "BGR", "mean": [127.5] * 3, "std": [127.5] * 3, "dtype": "uint8"},
            "model": {
                "backbone": "table2",
                "features": settings.features,
                "eps": layers.eps,
                "divide": layers.divide,
                "homogeneous": True,
                "mirror": True,
                "paper": "Qiao et al., Deep Heterogeneous Hashing for Face Video Retrieval, IEEE TIP 2019",
            },
            "training": training,
            "metrics": {},
        }
        stem = f"{name}-{length}"

        write = partial(
            write_weights,
            out,
            stem,
            bits=length,
            safetensors=hash_safetensors(layers, onnx),
            onnx=onnx,
            network=name,
            backbone=tensors,
            int8=int8,
        )
        path = write(record=record)
        if validation:
            features = features or validation.features(path.with_name(f"{name}.onnx"))
            scores = all_scores(features, load_hash_layers(load_weights(path)), homogeneous=True)
            record["metrics"] = {
                "data": validation.pack_path.name,
                "measure": "mean average precision, ties by expectation",
                "figures": [asdict(score) for score in scores],
            }
            path = write(record=record)
            for score in scores:
                yield f"{stem}: {score.representation} {score.query} -> {score.database}: mAP {score.mean_ap:.4f}"
        yield f"wrote {path}"
        paths.append(path)
    if validation:
        yield from calibrated_if_enough(validation.pack_path, paths)
