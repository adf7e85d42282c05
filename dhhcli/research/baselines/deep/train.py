"""train: face packs + the name of a rival method -> weights (K bits) that encode, query and evaluate use.

``dhh train --method``: ddah, dcbh and dmh train networks of their own (image_networks.py), dnnh, dsh and hashnet a
layer on the features of finished weights (feature_layers.py) and, with ``--set backbone_steps=N``, then the backbone
too (end_to_end.py), and all others are fitted on features (fitted.py). Methods between photos and videos (cvh, cmssh,
pdh, mlbe, mm-nn, plmh, her) hash a track's log-covariance as DHH does; the rest hash single pictures, and a track gets
the bits that most of its frames have. In the folder: ``checkpoint*.safetensors``, from which a killed run goes on,
``features.safetensors`` where there are any, ``log.jsonl``, ``training.png``, then NAME.onnx and for each length
NAME-BITS.json and NAME-BITS.safetensors (models/weights.py).

Several lengths share a network of ddah, dcbh and dmh, which their papers do not do: train one at a time to compare with
them to the letter.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dhhcli.base.patience import in_all, to_come
from dhhcli.errors import UsageError
from dhhcli.models.extractor import FeatureExtractor
from dhhcli.models.hash_layers import HashLayers
from dhhcli.models.weights import load_weights, resolve_weights
from dhhcli.research.baselines.deep.end_to_end import train_deep
from dhhcli.research.baselines.deep.export import export_network
from dhhcli.research.baselines.deep.feature_layers import FeatureSettings, Layer, train_layers
from dhhcli.research.baselines.deep.fitted import PAPERS as FITTED_PAPERS
from dhhcli.research.baselines.deep.fitted import FittedSettings, fit_layers
from dhhcli.research.baselines.deep.image_networks import StillSettings, train_stills
from dhhcli.research.baselines.deep.validation import code_maps
from dhhcli.research.baselines.names import FITTED
from dhhcli.research.datasets.pack import FacePack, fingerprint, take
from dhhcli.research.datasets.splits import closed_set
from dhhcli.research.training.engine.checkpoint import read_tensors, save_stage
from dhhcli.research.training.engine.run import TrainingRun, open_run
from dhhcli.research.training.engine.whole import hashed, seen, trained
from dhhcli.research.training.feature_bank import LOOKS, few_of_each, look_twice
from dhhcli.research.training.networks.backbone import Backbone
from dhhcli.research.training.publishing.export import read_backbone, to_onnx
from dhhcli.research.training.publishing.publish import layer_record, write_layers

METHODS = ("ddah", "dcbh", "dmh", "dnnh", "dsh", "hashnet", *FITTED)
Settings = StillSettings | FeatureSettings | FittedSettings
FEATURE_PAPERS = {
    "dnnh": "Lai et al., Simultaneous Feature Learning and Hash Coding with Deep Neural Networks, CVPR 2015",
    "dsh": "Liu et al., Deep Supervised Hashing for Fast Image Retrieval, CVPR 2016",
    "hashnet": "Cao et al., HashNet: Deep Learning to Hash by Continuation, ICCV 2017",
}


def settings_of(method: str, lengths: Sequence[int], seed: int) -> Settings:
    """A method's own settings.

    Raises:
        UsageError: no such method.
    """
    match method:
        case "ddah" | "dcbh" | "dmh":
            return StillSettings.of(method, lengths, seed)
        case "dnnh" | "dsh" | "hashnet":
            return FeatureSettings.of(method, lengths, seed)
        case _ if method in FITTED:
            return FittedSettings.of(method, lengths, seed)
    raise UsageError(f"--method {method}: no such method; there are dhh, {', '.join(METHODS)}")


def run_method(
    data: Sequence[Path],
    out: Path,
    settings: Settings,
    *,
    name: str | None = None,
    validate: Path | None = None,
    protocol: Path | None = None,
    terms: str = "not stated",
    threads: int | None = None,
    features_of: str | None = None,
    hold_out: int = 0,
) -> Iterator[str]:
    """Train, or go on training, in folder ``out``; yields a line for every report. The first process writes.

    Args:
        data: face packs or folders of people.
        out: made where it is missing.
        settings: of the method.
        name: weights are called NAME-BITS; default: the method.
        validate: face pack of other people, for figures; with ``protocol``.
        protocol: what is asked of whom there.
        terms: of the data, for the record.
        threads: of the CPU.
        features_of: weights whose backbone's features methods without a network hash; default: the shipped ones.
        hold_out: so many people keep ten pictures out of training, for figures on known people (splits.py).

    Raises:
        PackError: a pack or the protocol cannot be read.
        TrainingError: ``out`` holds a run with other settings or data, or a loss is no longer a number.
        UsageError: ``validate`` without ``protocol``, or the other way round; too few people; ``features_of`` for a
            method with a network of its own.
        WeightsError: ``features_of`` cannot be used.
    """
    if features_of is not None and isinstance(settings, StillSettings):
        raise UsageError(f"--features-of: {settings.method} trains a network of its own; leave it out")

    def choose(faces: FacePack) -> FacePack:
        return take(faces, closed_set(faces, hold_out)[0]) if hold_out else faces

    with open_run(
        data, out, validate=validate, protocol=protocol, terms=terms, threads=threads, choose=choose
    ) as training:
        record = training.record(asdict(settings), method=settings.method, hold_out=hold_out)
        stem = name or settings.method
        if isinstance(settings, StillSettings):
            lines = _own_network(training, settings, stem, record)
        elif isinstance(settings, FittedSettings):
            # nothing in it can be shared out: the others have nothing to do
            lines = _fitted(training, settings, stem, record, features_of) if training.devices.first else iter(())
        else:
            lines = _on_features(training, settings, stem, record, features_of)
        yield from training.lines(lines)


def _own_network(training: TrainingRun, settings: StillSettings, stem: str, record: dict[str, Any]) -> Iterator[str]:
    final: nn.Module | None = None
    for report, network in train_stills(training.faces, settings, training.folder, training.devices):
        if not training.devices.first:
            continue
        final = copy.deepcopy(network).cpu().eval()
        if report.losses:
            figures = code_maps(final, settings.lengths, training.validation, settings.size)
            yield training.log.write(report.stage, report.step, report.steps, report.losses | figures)
    if final is not None:
        yield from export_network(final, settings, training.folder, stem, record, training.validation)


def _on_features(
    training: TrainingRun, settings: FeatureSettings, stem: str, record: dict[str, Any], features_of: str | None
) -> Iterator[str]:
    out, devices, log = training.folder, training.devices, training.log
    weights = load_weights(resolve_weights(features_of))
    backbone = read_backbone(weights) if settings.backbone_steps else Backbone()  # an error now, not after the layers
    homogeneous = bool(weights.record["model"].get("homogeneous", False))
    faces = few_of_each(training.faces, settings.most, settings.seed)
    extractor = FeatureExtractor(weights.onnx_path, threads=torch.get_num_threads())
    stamp = {"data": fingerprint(faces), "network": weights.record["files"]["onnx"]["sha256"], "looks": LOOKS}
    kept = out / "features.safetensors"
    stored = read_tensors(kept, stamp | {"seed": settings.seed})
    a_batch, method = settings.people * settings.photos, settings.method
    to_come(
        [
            seen("faces", LOOKS * len(faces)),
            *(hashed(f"{method} {K} steps", settings.steps * a_batch) for K in settings.lengths),
            trained(f"{method} and backbone steps", settings.backbone_steps * a_batch),
        ]
    )
    if stored is None:
        parts: list[npt.NDArray[np.float32]] = []
        for first in range(0, len(faces), 1024):
            with in_all("faces", LOOKS * len(faces), first=LOOKS * first):
                parts.append(extractor(look_twice(faces.pictures[first : first + 1024], first, settings.seed)))
            yield f"features: {min(first + 1024, len(faces))} of {len(faces)} crops"
        stored = {"features": torch.from_numpy(np.concatenate(parts)).view(len(faces), LOOKS, -1)}
        if devices.first:
            save_stage(kept, stored, stamp | {"seed": settings.seed})
    features = stored["features"]
    use = features.shape[2] - homogeneous  # the constant feature says nothing; the bias is there
    layers: dict[int, Layer] = {}
    for report, layer in train_layers(features[..., :use], faces.identity, settings, out, stamp, devices):
        if report.losses:
            yield log.write(report.stage, report.step, report.steps, report.losses)
        if report.step >= report.steps:
            layers[layer.bits] = layer
    found = {K: layer.linear() for K, layer in layers.items()}
    onnx = weights.onnx_path.read_bytes()
    if settings.backbone_steps:
        for report, network in train_deep(faces, backbone, layers, settings, out, stamp, devices):
            final = copy.deepcopy(network).cpu().eval() if devices.first else network
            if devices.first and report.losses:
                figures = code_maps(final, settings.lengths, training.validation)
                yield log.write(report.stage, report.step, report.steps, report.losses | figures)
        if devices.first:
            found, onnx = {K: final.linear(K) for K in settings.lengths}, to_onnx(final.backbone)
    if devices.first:
        hashes = {}
        for K, (weight, bias) in found.items():
            padded, none = np.pad(weight, ((0, 0), (0, int(homogeneous)))), np.empty((K, 0), np.float32)
            hashes[K] = HashLayers(padded, bias, none, np.zeros(K, np.float32), framewise=True)
        words = layer_record(weights, FEATURE_PAPERS[settings.method], record, hashes[settings.lengths[0]])
        yield from write_layers(out, stem, hashes, onnx, words, training.validation)


def _fitted(
    training: TrainingRun, settings: FittedSettings, stem: str, record: dict[str, Any], features_of: str | None
) -> Iterator[str]:
    weights, out = load_weights(resolve_weights(features_of)), training.folder
    fitted = fit_layers(training.faces, weights, settings, out, torch.get_num_threads())
    layers = {one.bits: one for one in fitted}
    words = layer_record(weights, FITTED_PAPERS[settings.method], record, next(iter(layers.values())))
    yield from write_layers(out, stem, layers, weights.onnx_path.read_bytes(), words, training.validation)
