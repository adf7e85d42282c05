"""train: face packs -> weights, in four stages that each leave a file, so that a killed run goes on where it was.

1. ``pretrain.safetensors``: the backbone as a classifier and as the teacher's student (pretrain.py);
2. ``bank.safetensors``: features of imitated frames, laid out for the log-covariance (condition.py, bank.py);
3. ``hash-BITS.safetensors``: the hash layers on the bank (hashtrain.py);
4. ``joint-BITS.safetensors``: everything jointly (joint.py);

then NAME.safetensors, NAME.onnx and NAME.json (weights.py), with the figures reached on ``validate``.
Every report is one JSON object in ``log.jsonl``; ``training.png`` plots them.
"""

import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from .. import __version__
from ..codes import binarise, hamming, pack
from ..errors import TrainingError, UsageError
from ..evaluate import evaluate
from ..files import write_atomically
from ..hashing import hash_stills, hash_tracks
from ..imitation import centre
from ..metrics import cosine_distances, mean_average_precision
from ..packs import FacePack, Person, merge_packs, read_pack, read_protocol
from ..weights import write_weights
from .bank import FeatureBank, empty_bank, extract, fill_bank
from .checkpoint import read_tensors
from .condition import Conditioned, layout
from .export import to_onnx, to_safetensors
from .hashtrain import HashSettings, train_hash
from .joint import Whole, train_joint
from .model import HashModel
from .plot import plot_log
from .pretrain import PretrainSettings, pretrain

LAYOUT_PHOTOS = 4096  # of the pack, for the mean and the covariance of the features


@dataclass(frozen=True)
class Plan:
    """Settings of every stage; written into the record of the weights."""

    pretrain: PretrainSettings
    hash: HashSettings

    @classmethod
    def of(cls, bits: int, seed: int, *, backbone_steps: int, hash_steps: int, joint_steps: int) -> "Plan":
        """The default recipe at another length of code, of other length or from another seed."""
        return cls(
            replace(PretrainSettings(), steps=backbone_steps, seed=seed),
            replace(HashSettings(), bits=bits, hash_steps=hash_steps, joint_steps=joint_steps, seed=seed),
        )


@dataclass(frozen=True, eq=False)
class Validation:
    """People who are never trained on."""

    pack_path: Path
    protocol_path: Path
    faces: FacePack
    people: tuple[Person, ...]

    def figures(self, network: nn.Module, size: int = 64, model: HashModel | None = None) -> dict[str, float]:
        """mAP still -> set and still -> still on untouched photos of some size: features, and codes of ``model``."""
        stills = [(row, person.identity) for person in self.people for row in person.queries]
        sets = [(photos, person.identity) for person in self.people for photos in person.sets]
        rows = sorted({row for row, _ in stills} | {row for photos, _ in sets for row in photos})
        crops = np.stack([centre(self.faces.pictures[row], size) for row in rows])
        place = {row: i for i, row in enumerate(rows)}
        features = extract(network, crops).numpy()
        queries = features[[place[row] for row, _ in stills]]
        tracks = [features[[place[row] for row in photos]] for photos, _ in sets]
        who = np.array([identity for _, identity in stills])
        same = who[:, None] == np.array([identity for _, identity in sets])[None]
        others = ~np.eye(len(who), dtype=bool)
        mean = features.mean(axis=0)
        centred, means = queries - mean, np.stack([track.mean(axis=0) for track in tracks]) - mean
        found = {
            "map_still_set": mean_average_precision(cosine_distances(centred, means), same),
            "map_still_still": mean_average_precision(
                cosine_distances(centred, centred), who[:, None] == who[None], others
            ),
        }
        if model is not None:
            layers = model.layers()
            still_codes = pack(binarise(hash_stills(layers, queries)))
            track_codes = pack(binarise(hash_tracks(layers, tracks)))
            found["map_codes_still_set"] = mean_average_precision(hamming(still_codes, track_codes), same)
            found["map_codes_still_still"] = mean_average_precision(
                hamming(still_codes, still_codes), who[:, None] == who[None], others
            )
        return found


def run(
    data: Sequence[Path],
    out: Path,
    plan: Plan,
    *,
    name: str | None = None,
    validate: Path | None = None,
    protocol: Path | None = None,
    terms: str = "not stated",
    threads: int | None = None,
) -> Iterator[str]:
    """Train, or go on training, in folder ``out``; yields a line for every report.

    Raises:
        PackError: a pack or the protocol cannot be read.
        TrainingError: ``out`` holds a run with other settings.
    """
    if threads:
        torch.set_num_threads(threads)
    if bool(validate) != bool(protocol):
        raise UsageError("--validate and --protocol go together: people to measure on, and how")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out}: cannot be made ({error.strerror}); name another folder with --out") from None
    packs = [read_pack(path) for path in data]
    sources = [{"file": pack.path.name, "crops": len(pack)} for pack in packs]
    faces = merge_packs(packs)
    del packs  # decoded twice otherwise: 19 kB a crop
    validation = (
        Validation(validate, protocol, read_pack(validate), read_protocol(protocol)) if validate and protocol else None
    )
    log = Log(out / "log.jsonl")
    yield f"{len(faces)} crops of {len(np.unique(faces.identity))} people; {torch.get_num_threads()} threads"

    for report, backbone, heads in pretrain(faces, plan.pretrain, out):
        figures = validation.figures(backbone, report.size) if validation and report.losses else {}
        student, head = backbone, heads.teacher
        yield log.write("backbone", report.step, report.steps, report.losses | figures)
    rows = np.linspace(0, len(faces) - 1, min(LAYOUT_PHOTOS, len(faces)), dtype=np.int64)
    plain = extract(student, np.stack([centre(faces.pictures[row]) for row in rows]), bf16=False)
    network = Conditioned(student, *layout(plain, head, gain=plan.hash.gain, rest=plan.hash.rest))

    bank = empty_bank(len(faces))
    bank_path, bank_settings = out / "bank.safetensors", _bank_settings(plan)
    stored = read_tensors(bank_path, bank_settings)
    if stored is None:
        for done in fill_bank(bank, network.folded(), faces, seed=plan.hash.seed):
            if done % 4096 == 0:
                yield f"features of imitated frames: {done} of {len(faces)} photos"
        _save(bank_path, {"looks": bank.looks, "shots": bank.shots}, bank_settings)
    else:
        bank = FeatureBank(stored["looks"], stored["shots"])

    model = HashModel(plan.hash.bits, divide=plan.hash.divide, dropout=plan.hash.dropout)
    hash_path = out / f"hash-{plan.hash.bits}.safetensors"
    stored = read_tensors(hash_path, asdict(plan))
    if stored is None:
        for step, losses in train_hash(model, bank, faces.identity, plan.hash):
            yield log.write("hash", step, plan.hash.hash_steps, losses)
        _save(hash_path, model.state_dict(), asdict(plan))
    else:
        model.load_state_dict(stored)

    final = Whole(network, model)
    for step, losses, whole in train_joint(final, faces, plan.hash, out / f"joint-{plan.hash.bits}.safetensors"):
        figures = validation.figures(whole.network, model=whole.model) if validation and losses else {}
        final = whole
        yield log.write("joint", step, plan.hash.joint_steps, losses | figures)
    plot_log(out / "log.jsonl", out / "training.png")
    yield from finish(final, faces, plan, out, name, validation, sources, terms)


def finish(
    final: Whole,
    faces: FacePack,
    plan: Plan,
    out: Path,
    name: str | None,
    validation: Validation | None,
    sources: list[dict[str, Any]],
    terms: str,
) -> Iterator[str]:
    """Export, measure what was exported, write its record."""
    name = name or f"dhh-{plan.hash.bits}"
    backbone, model = final.network.folded(), final.model
    record: dict[str, Any] = {
        "input": {"size": 64, "order": "BGR", "mean": [127.5] * 3, "std": [127.5] * 3, "dtype": "uint8"},
        "model": {
            "backbone": "table2",
            "features": model.still.in_features,
            "eps": model.eps,
            "divide": model.divide,
            "homogeneous": True,
            "paper": "Qiao et al., Deep Heterogeneous Hashing for Face Video Retrieval, IEEE TIP 2019",
        },
        "training": {
            "data": sources,
            "crops": len(faces),
            "people": len(np.unique(faces.identity)),
            "terms": terms,
            "settings": asdict(plan),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "dhh": __version__,
            "torch": str(torch.__version__),
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        },
        "metrics": {},
    }
    tensors, onnx = to_safetensors(backbone, model), to_onnx(backbone)
    path = write_weights(out, name, bits=plan.hash.bits, safetensors=tensors, onnx=onnx, record=record)
    if validation:
        scores = evaluate(validation.pack_path, validation.protocol_path, str(path))
        record["metrics"] = {
            "data": validation.pack_path.name,
            "measure": "mean average precision, ties by expectation",
            "figures": [asdict(score) for score in scores],
        }
        path = write_weights(out, name, bits=plan.hash.bits, safetensors=tensors, onnx=onnx, record=record)
        for score in scores:
            yield f"{score.representation} {score.query} -> {score.database}: mAP {score.mean_ap:.4f}"
    yield f"wrote {path}"


class Log:
    """One JSON object a report, appended; a line of words back."""

    def __init__(self, path: Path) -> None:
        self.path, self.began = path, time.monotonic()

    def write(self, stage: str, step: int, steps: int, values: dict[str, float]) -> str:
        """Append a report and put it into words."""
        entry = {
            "stage": stage,
            "step": step,
            "steps": steps,
            "seconds": round(time.monotonic() - self.began, 1),
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry | values) + "\n")
        words = ", ".join(f"{key} {value:.4f}" for key, value in values.items())
        return f"{stage} {step}/{steps}: {words}"


def _save(path: Path, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
    data = save({k: v.contiguous() for k, v in tensors.items()}, {"settings": json.dumps(settings, sort_keys=True)})
    write_atomically(path, data)


def _bank_settings(plan: Plan) -> dict[str, Any]:
    """What the bank depends on: codes of every length share it."""
    return {"pretrain": asdict(plan.pretrain), "gain": plan.hash.gain, "rest": plan.hash.rest, "seed": plan.hash.seed}
