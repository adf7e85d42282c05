"""publish: hash layers of every length + a network (ONNX) -> weights on disk, measured on other people, calibrated.

How every training ends: ours (dhh.py), the paper's recipe (paper.py), and all rivals (baselines/deep/train.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from dhhcli.models.hash_layers import HashLayers
from dhhcli.models.weights import Weights, load_hash_layers, load_weights, write_weights
from dhhcli.research.calibration.fit import calibrated_if_enough
from dhhcli.research.evaluation.protocol import ProtocolFeatures, all_scores
from dhhcli.research.training.publishing.export import hash_safetensors
from dhhcli.research.training.validation import Validation

INPUT = {"size": 64, "order": "BGR", "mean": [127.5] * 3, "std": [127.5] * 3, "dtype": "uint8"}
MEASURE = "mean average precision, ties by expectation"


def dhh_record(layers: HashLayers, training: dict[str, Any], *, homogeneous: bool, mirror: bool) -> dict[str, Any]:
    """What the record of DHH's weights says; every length of code has its own layers and the same record."""
    model = {
        "backbone": "table2",
        "features": layers.still_weight.shape[1],
        "eps": layers.eps,
        "divide": layers.divide,
        "homogeneous": homogeneous,
        "mirror": mirror,
        "paper": "Qiao et al., Deep Heterogeneous Hashing for Face Video Retrieval, IEEE TIP 2019",
    }
    return {"input": INPUT, "model": model, "training": training, "metrics": {}}


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
    name: str,
    layers: Mapping[int, HashLayers],
    onnx: bytes,
    record: dict[str, Any],
    validation: Validation | None,
    *,
    network: str | None = None,
    backbone: bytes | None = None,
    int8: bytes | None = None,
) -> Iterator[str]:
    """Write NAME-BITS of every length, measure what was written, calibrate it; yields a line for every figure.

    Args:
        out: folder.
        name: of the weights.
        layers: length of code -> its hash layers.
        onnx: the network that they share.
        record: what the records say beside files and figures.
        validation: people to measure on; None: no figures, no calibration.
        network: stem of the network's files; default ``name``.
        backbone: the network as safetensors, where it can be trained on.
        int8: the network in integers, where there is one.
    """
    paths = []
    features: ProtocolFeatures | None = None  # the same for every length
    for K, own in layers.items():
        stem = f"{name}-{K}"
        write = partial(
            write_weights,
            out,
            stem,
            bits=K,
            safetensors=hash_safetensors(own, onnx),
            onnx=onnx,
            network=network or name,
            backbone=backbone,
            int8=int8,
        )
        path = write(record=record)
        if validation:
            weights = load_weights(path)
            features = features or validation.features(weights)
            scores = all_scores(features, load_hash_layers(weights), homogeneous=record["model"]["homogeneous"])
            figures = [asdict(score) for score in scores]
            measured = {"data": validation.pack_path.name, "measure": MEASURE, "figures": figures}
            path = write(record=record | {"metrics": measured})
            for score in scores:
                yield f"{stem}: {score.representation} {score.query} -> {score.database}: mAP {score.mean_ap:.4f}"
        yield f"wrote {path}"
        paths.append(path)
    if validation:
        yield from calibrated_if_enough(validation.pack_path, paths)
