"""dhh: face packs -> weights, in four stages that each leave a file, so that a killed run goes on where it was.

1. ``pretrain.safetensors``: the backbone as a classifier and as the teacher's student (pretrain.py);
2. ``bank.safetensors``: features of imitated frames, laid out for the log-covariance (feature_layout.py,
   feature_bank.py);
3. ``hash.safetensors``: the hash layers on the bank (hash_stage.py);
4. ``joint.safetensors``: everything jointly (joint_stage.py);

then the weights (publish.py, weights.py): NAME.onnx, the backbone, and for each length of code NAME-BITS.json and
NAME-BITS.safetensors, with the figures reached on ``validate``. Every stage's file says which settings and data it was
made with, and goes on with no others. Every report is one JSON object in ``log.jsonl``; ``training.png`` plots them.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from dhhcli.base.patience import Part, done_so_far, to_come
from dhhcli.errors import PackError, TrainingError, UsageError
from dhhcli.research.datasets.augmentation import centre
from dhhcli.research.datasets.pack import FacePack, fingerprint, take
from dhhcli.research.training.engine.checkpoint import read_tensors, save_stage
from dhhcli.research.training.engine.early_stopping import EarlyStop
from dhhcli.research.training.engine.run import TrainingRun, open_run
from dhhcli.research.training.engine.whole import growing, hashed, seen, trained
from dhhcli.research.training.feature_bank import FeatureBank, empty_bank, extract, fill_bank
from dhhcli.research.training.feature_layout import Conditioned, layout
from dhhcli.research.training.hash_stage import HashSettings, train_hash
from dhhcli.research.training.joint_stage import JointModel, train_joint
from dhhcli.research.training.networks.hash_model import HashModel
from dhhcli.research.training.pretrain import PretrainSettings, pretrain, size_at
from dhhcli.research.training.publishing.export import backbone_safetensors, to_onnx
from dhhcli.research.training.publishing.publish import dhh_record, write_layers
from dhhcli.research.training.publishing.quantise import backbone_to_int8
from dhhcli.research.training.sampler import rows_by_person

PHOTOS: Final = "photos of the feature bank"


@dataclass(frozen=True)
class DhhSettings:
    """Settings of every stage; written into the record of the weights."""

    pretrain: PretrainSettings
    hash: HashSettings

    @classmethod
    def of(
        cls,
        lengths: Sequence[int],
        seed: int,
        *,
        backbone_steps: int | None = None,
        hash_steps: int | None = None,
        joint_steps: int | None = None,
    ) -> "DhhSettings":
        """The default recipe at other lengths of code, with other numbers of steps (None: as it is), another seed."""

        plain, hashed = PretrainSettings(), HashSettings()
        return cls(
            replace(plain, seed=seed, steps=plain.steps if backbone_steps is None else backbone_steps),
            replace(
                hashed,
                lengths=tuple(sorted(set(lengths))),
                seed=seed,
                hash_steps=hashed.hash_steps if hash_steps is None else hash_steps,
                joint_steps=hashed.joint_steps if joint_steps is None else joint_steps,
            ),
        )


def run(
    data: Sequence[Path],
    out: Path,
    plan: DhhSettings,
    *,
    name: str = "dhh",
    validate: Path | None = None,
    protocol: Path | None = None,
    terms: str = "not stated",
    threads: int | None = None,
    start_from: Path | None = None,
    patience: int = 0,
) -> Iterator[str]:
    """Train, or go on training, in folder ``out``; yields a line for every report.

    Raises:
        PackError: a pack or the protocol cannot be read, or nobody in the packs has two photos.
        TrainingError: ``out`` holds a run with other settings or data.
        UsageError: ``validate`` without ``protocol``, or the other way round.
    """
    if patience and not validate:
        raise UsageError("--patience stops by the figures on other people: give --validate and --protocol")
    with open_run(data, out, validate=validate, protocol=protocol, terms=terms, threads=threads) as training:
        if not rows_by_person(training.faces.identity, track=training.faces.track):
            raise PackError(f"{data[0]}: nobody has two photos or clips; training needs people seen more than once")
        yield from training.lines(_train(training, plan, name, start_from, patience))


def _train(
    training: TrainingRun, plan: DhhSettings, name: str, start_from: Path | None, patience: int
) -> Iterator[str]:
    out, faces, devices = training.folder, training.faces, training.devices
    validation, log = training.validation, training.log
    to_come(parts_of(plan, len(faces)))
    made_with: dict[str, Any] = {"data": fingerprint(faces), "pretrain": asdict(plan.pretrain)}
    if start_from is not None:
        try:
            made_with["start_from"] = hashlib.sha256(start_from.read_bytes()).hexdigest()
        except OSError as error:
            raise TrainingError(
                f"{start_from}: cannot be read ({error.strerror}); name a pretrain.safetensors of another run"
            ) from None
    if patience:
        made_with["patience"] = patience
    stop = EarlyStop(out / "pretrain-best.safetensors", patience, made_with) if patience else None
    for report, pretrained in pretrain(
        faces, plan.pretrain, out, stamp=made_with, start_from=start_from, stop=stop, devices=devices
    ):
        student, head = pretrained.backbone, pretrained.heads.teacher
        if report.losses:
            size = size_at(report.step - 1, plan.pretrain)
            figures = validation.figures(student, size) if validation else {}
            # smaller crops are not what will be looked at
            if stop and devices.first and size == plan.pretrain.sizes[-1][1]:
                stop.note(figures["map_still_set"], pretrained)
            yield log.write(report.stage, report.step, report.steps, report.losses | figures)

    made_with = made_with | {"hash": asdict(plan.hash)}
    some = few_photos(faces, plan.hash)
    plain = extract(student, np.stack([centre(picture) for picture in some.pictures]), bf16=False)
    network = Conditioned(
        student,
        *layout(
            plain,
            torch.from_numpy(some.identity),
            size=plan.hash.features,
            shrink=plan.hash.shrink,
            power=plan.hash.power,
        ),
    ).to(devices.device)
    bank = empty_bank(len(some), plan.hash.features)
    stored = read_tensors(out / "bank.safetensors", made_with)
    if stored is None:
        for done in fill_bank(bank, network.folded().to(devices.device), some, seed=plan.hash.seed):
            done_so_far(PHOTOS, done, len(some))
            if done % 4096 == 0:
                yield f"features of imitated frames: {done} of {len(some)} photos"
        if devices.first:
            save_stage(out / "bank.safetensors", {"looks": bank.looks, "shots": bank.shots}, made_with)
    else:
        bank = FeatureBank(stored["looks"], stored["shots"])

    model = HashModel(
        plan.hash.bits,
        features=plan.hash.features,
        eps=plan.hash.eps,
        divide=plan.hash.divide,
        dropout=plan.hash.dropout,
    )
    stored = read_tensors(out / "hash.safetensors", made_with)
    if stored is None:
        for report in train_hash(model, bank, some.identity, plan.hash, track=some.track):
            yield log.write(report.stage, report.step, report.steps, report.losses)
        if devices.first:
            save_stage(out / "hash.safetensors", model.state_dict(), made_with)
    else:
        model.load_state_dict(stored)

    final = JointModel(network, head, model)
    stop = EarlyStop(out / "joint-best.safetensors", patience, made_with) if patience else None
    for report, whole in train_joint(
        final, faces, plan.hash, out / "joint.safetensors", stamp=made_with, stop=stop, devices=devices
    ):
        final = whole
        if report.losses:
            figures = validation.figures(whole.network, model=whole.model, settings=plan.hash) if validation else {}
            if stop and devices.first:
                codes = [value for key, value in figures.items() if key.split("_")[1].isdigit()]
                stop.note(sum(codes) / len(codes), whole)
            yield log.write(report.stage, report.step, report.steps, report.losses | figures)
    if not devices.first:
        return
    backbone = final.network.folded()
    layers = {K: final.model.layers(plan.hash.rows(K)) for K in plan.hash.lengths}
    record = dhh_record(layers[plan.hash.lengths[0]], training.record(made_with), homogeneous=True, mirror=True)
    onnx = to_onnx(backbone)
    int8 = backbone_to_int8(onnx, faces, np.random.default_rng([plan.hash.seed, 8]))  # ranged on the training crops
    tensors = backbone_safetensors(backbone)
    yield from write_layers(out, name, layers, onnx, record, validation, backbone=tensors, int8=int8)


def parts_of(plan: DhhSettings, crops: int) -> tuple[Part, ...]:
    """All that is counted, with its cost."""
    first, second = plan.pretrain, plan.hash
    looks = sum(part.shape[1] for part in (empty_bank(1, 1).looks, empty_bank(1, 1).shots))
    return (
        growing("backbone steps", first.steps * first.batch, first.sizes),
        seen(PHOTOS, min(second.photos, crops) * looks),
        hashed("hash steps", second.hash_steps * second.hash_people * second.hash_pairs),
        trained(
            "joint steps", second.joint_steps * second.joint_people * second.joint_pairs * (1 + second.joint_frames)
        ),
    )


def few_photos(faces: FacePack, settings: HashSettings) -> FacePack:
    """The photos of the bank: at most ``photos``, of people who have two or more, as many of each as can be."""
    people = rows_by_person(faces.identity, track=faces.track)
    rng = np.random.default_rng([settings.seed, 6])
    turns = [(turn, rng.random(), row) for rows in people for turn, row in enumerate(rng.permutation(rows).tolist())]
    return take(faces, np.array(sorted(row for _, _, row in sorted(turns)[: settings.photos])))
