"""fit: face pack of people not trained on + weights -> curves in the weights' record, and how they hold."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dhhcli.base.atomic_write import write_atomically
from dhhcli.errors import PackError
from dhhcli.models.calibration import PRIOR, Calibration, from_record, to_record
from dhhcli.models.extractor import FeatureExtractor
from dhhcli.models.hash_layers import HashLayers
from dhhcli.models.network import quick_extractor
from dhhcli.models.weights import Weights, load_hash_layers, load_weights, resolve_weights
from dhhcli.research.calibration.curve_fit import fit_curve, how_alike
from dhhcli.research.calibration.held_out import PHOTOS, Bin, HeldOut, held_out
from dhhcli.research.calibration.pairs import Material, Pairs, all_pairs, material, nearest_of
from dhhcli.research.datasets.pack import read_pack


@dataclass(frozen=True)
class Calibrated:
    """Curves fitted on everybody, and what held-out halves said."""

    calibration: Calibration
    held_out: tuple[HeldOut, ...]
    bins: tuple[Bin, ...]

    def record(self, faces: str, people: int) -> dict[str, Any]:
        """What goes under ``record["calibration"]``."""
        kept = [{k: _short(v) for k, v in asdict(line).items() if k != "weights"} for line in self.held_out]
        return to_record(self.calibration) | {"data": faces, "people": people, "held_out": kept}


def _short(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def calibrate(
    found: Material, layers: HashLayers, rng: np.random.Generator, *, prior: float = PRIOR, name: str = ""
) -> Calibrated:
    """Learn the curves of some hash layers from features of people whom the network was never trained on."""
    bits, soft = (
        _learn(all_pairs(found, layers, weighed=weighed), layers, rng, prior, name) for weighed in (False, True)
    )
    return Calibrated(
        replace(bits.calibration, soft=soft.calibration), soft.held_out + bits.held_out, soft.bins + bits.bins
    )


def _learn(
    kinds: Mapping[str, Pairs], layers: HashLayers, rng: np.random.Generator, prior: float, name: str
) -> Calibrated:
    figures, bins = held_out(kinds, name, layers.bits, prior, rng)
    curves = {kind: fit_curve(pairs, layers.bits, prior) for kind, pairs in kinds.items()}
    single = kinds["still-track"]
    alike = how_alike(single, nearest_of(single, PHOTOS, rng), PHOTOS)
    return Calibrated(Calibration(curves, prior, alike), tuple(figures), tuple(bins))


def write_calibration(weights: Weights, part: Mapping[str, Any]) -> None:
    """Put ``part`` under ``calibration`` in the weights' record, atomically; nothing else in it changes.

    Codes stay valid: their fingerprint is of the hash layers' file, which is not touched.
    """
    mark = "calibration goes here"
    text = json.dumps(weights.record | {"calibration": mark}, indent=2, ensure_ascii=False)
    tables = re.sub(r"\[[-+.\deE,\s]*\]", lambda table: " ".join(table.group().split()), json.dumps(part, indent=2))
    text = text.replace(json.dumps(mark), tables.replace("\n", "\n  "))
    write_atomically(weights.record_path, f"{text}\n".encode())


def calibrate_weights(
    pack_path: Path, names: Sequence[str | None], *, prior: float = PRIOR, seed: int = 0
) -> Iterator[tuple[Weights, Calibrated]]:
    """Calibrate weights on the people of a pack and write it into their records, one after the other.

    Raises:
        PackError: the pack cannot be read, or holds too few people.
        WeightsError: some weights cannot be used; said before anything is written.
    """
    chosen = [load_weights(resolve_weights(name)) for name in names]
    layers = [load_hash_layers(weights) for weights in chosen]
    faces = read_pack(pack_path)
    known: dict[tuple[str, bool], Material] = {}  # weights of several lengths share a backbone
    for weights, own in zip(chosen, layers, strict=True):
        backbone = (str(weights.record["files"]["onnx"]["sha256"]), weights.mirror)
        if backbone not in known:
            extract = FeatureExtractor(weights.onnx_path, threads=os.cpu_count() or 1)
            film = quick_extractor(weights, extract, os.cpu_count() or 1)
            known[backbone] = material(faces, extract, np.random.default_rng(seed), film=film, mirror=weights.mirror)
        done = calibrate(known[backbone], own, np.random.default_rng(seed), prior=prior, name=weights.name)
        part = done.record(pack_path.name, len(np.unique(faces.identity)))
        from_record({"calibration": part}, weights.bits, weights.record_path)  # what cannot be read is not written
        write_calibration(weights, part)
        yield weights, done


def calibrated_if_enough(pack_path: Path, records: Sequence[Path]) -> Iterator[str]:
    """After training: ``calibrate_weights`` where the pack holds enough people; yields what was done, or why not."""
    try:
        for weights, done in calibrate_weights(pack_path, [str(path) for path in records]):
            held = done.held_out[0]
            yield f"{weights.name}: calibrated, log loss {held.log_loss:.4f}, of the prior {held.log_loss_of_prior:.4f}"
    except PackError as error:
        yield f"not calibrated: {error}"
