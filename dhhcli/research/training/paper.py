"""paper: face pack -> backbone and hash layers (K bits), by the recipe as published.

The named setting ``dhh train --recipe paper``: Qiao, Wang, Shan and Chen, Deep Heterogeneous Hashing for Face Video
Retrieval (TIP 2019), with the constants of the authors' public code where the paper gives none.

1. ``paper-backbone.safetensors``: the Table II network without batch normalisation as a face classifier (plain softmax
   over people); ``pretrain_steps=0`` leaves it random: training from scratch.
2. ``paper-BITS.safetensors``: everything jointly on second-order batches of pairs. Stage one takes all three triplet
   terms of equation 5 with the hash layers at ten times the rate, stage two ("cross") the term between stills and
   tracks alone, with another margin and one rate for all. SGD, one fixed rate, no division of D^T D by m.

What the paper leaves open and was chosen here: the classifier's batch, rate and length, the lengths of both stages, the
margins of lengths it does not name (K / 8 and, in stage two, K / 3: its 4 of 12 bits). Its videos are film; a face pack
holds photos, so tracks are shots imitated from one photo and sets of photos, at most 30 frames (sampler.py).

Everything random of step t comes from generators seeded with (seed, stage, t), so a resumed run repeats what an
uninterrupted one would have done, and several processes (training/engine/distributed.py) draw what one would.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from dhhcli.base.patience import Part, to_come
from dhhcli.errors import UsageError
from dhhcli.models.log_covariance import EPS
from dhhcli.research.datasets.augmentation import imitate_frames
from dhhcli.research.datasets.pack import FacePack, fingerprint
from dhhcli.research.training.engine.distributed import Devices, gather, halves_pay
from dhhcli.research.training.engine.loop import Report, train_task
from dhhcli.research.training.engine.run import TrainingRun, open_run
from dhhcli.research.training.engine.whole import trained
from dhhcli.research.training.hash_stage import HashSettings, torch_generator
from dhhcli.research.training.networks.backbone import FEATURES, Backbone, to_input
from dhhcli.research.training.networks.hash_model import HashModel
from dhhcli.research.training.networks.losses import heterogeneous_triplets
from dhhcli.research.training.publishing.export import backbone_safetensors, to_onnx
from dhhcli.research.training.publishing.publish import dhh_record, write_layers
from dhhcli.research.training.sampler import Pair, draw_frames, draw_pairs, rows_by_person

ALPHAS = {12: 2.0, 24: 6.0, 48: 6.0}  # the paper's, on YouTube Celebrities
Precision = Literal["auto", "float32", "bfloat16"]
CLASSIFIER_SETTINGS = ("size", "momentum", "weight_decay", "precision", "seed")  # beside its own, pretrain_*


@dataclass(frozen=True)
class PaperSettings:
    """The recipe; saved beside the weights and compared on resume."""

    bits: int = 48
    alpha: float = 6.0  # margin of stage one
    cross_alpha: float = 16.0  # margin of stage two
    lambda1: float = 1.0
    lambda2: float = 1.0
    eps: float = EPS
    divide: bool = False
    dropout: float = 0.4
    people: int = 6  # a batch
    pairs: int = 5  # a person
    frames: int = 30  # a track, at most
    size: int = 64  # side of the crops, pixels
    steps: int = 100_000  # both stages
    cross_share: float = 0.2  # of the steps, the last
    rate: float = 1e-4
    hash_rate: float = 10.0  # times the rate, in stage one
    momentum: float = 0.9
    weight_decay: float = 5e-4
    pretrain_steps: int = 20_000
    pretrain_batch: int = 64
    pretrain_rate: float = 1e-2
    precision: Precision = "auto"  # measured where the run starts
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            UsageError: a margin is not below K / 3 (equation 4), or a number is out of its range.
        """
        third = self.bits / 3
        if not 0 < self.alpha < third or not 0 < self.cross_alpha <= third:
            raise UsageError(
                f"margins {self.alpha:g} and {self.cross_alpha:g} of {self.bits} bits: alpha has to be below "
                f"{third:g}, cross_alpha at most that"
            )
        ranges = {
            "dropout": 0 <= self.dropout < 1,
            "people": self.people >= 2,
            "pairs": self.pairs >= 1,
            "frames": self.frames >= 1,
            "size": self.size >= 16,
            "steps": self.steps >= 0,
            "cross_share": 0 <= self.cross_share <= 1,
            "rate": self.rate > 0,
            "hash_rate": self.hash_rate > 0,
            "momentum": 0 < self.momentum < 1,
            "weight_decay": self.weight_decay >= 0,
            "pretrain_steps": self.pretrain_steps >= 0,
            "pretrain_batch": self.pretrain_batch >= 1,
            "pretrain_rate": self.pretrain_rate > 0,
            "eps": self.eps > 0,
            "precision": self.precision in get_args(Precision),
        }
        wrong = [f"{name} {getattr(self, name)}" for name, right in ranges.items() if not right]
        if wrong:
            raise UsageError(f"{', '.join(wrong)}: out of range")
        if not self.steps and not self.pretrain_steps:
            raise UsageError("no steps of the classifier and none of the pairs: there is nothing to train")

    @classmethod
    def of(
        cls, bits: int, seed: int, *, backbone_steps: int | None = None, joint_steps: int | None = None
    ) -> "PaperSettings":
        """The recipe at some length of code, from some seed; None: as long as the default."""
        base = cls()
        return replace(
            base,
            bits=bits,
            alpha=ALPHAS.get(bits, bits / 8),
            cross_alpha=bits / 3,
            seed=seed,
            pretrain_steps=base.pretrain_steps if backbone_steps is None else backbone_steps,
            steps=base.steps if joint_steps is None else joint_steps,
        )

    @property
    def cross_from(self) -> int:
        """First step of stage two."""
        return self.steps - round(self.cross_share * self.steps)


class Classify(nn.Module):
    """Part one: backbone and a linear layer over everybody in the pack, plain softmax."""

    def __init__(self, pack: FacePack, settings: PaperSettings, devices: Devices) -> None:
        super().__init__()
        self.backbone = Backbone(batch_norm=False)
        self.classes = nn.Linear(FEATURES, int(pack.identity.max()) + 1)
        self.pack, self.settings, self.devices = pack, settings, devices
        self.bf16 = False

    def optimiser(self) -> torch.optim.Optimizer:
        s = self.settings
        return torch.optim.SGD(
            self.parameters(), lr=s.pretrain_rate, momentum=s.momentum, weight_decay=s.weight_decay, foreach=True
        )

    def stage(self, step: int) -> str:  # noqa: ARG002
        return "classifier"

    def draw(self, step: int) -> tuple[npt.NDArray[np.uint8], Tensor]:
        s, pack = self.settings, self.pack
        share = self.devices.share(s.pretrain_batch)
        rows = np.random.default_rng([s.seed, 6, step]).integers(len(pack), size=s.pretrain_batch)
        crops = [
            imitate_frames(pack.pictures[rows[k]], 1, np.random.default_rng([s.seed, 6, step, k]), size=s.size)
            for k in range(share.start, share.stop)
        ]
        return np.concatenate(crops), torch.from_numpy(pack.identity[rows[share.rows]])

    def losses(self, step: int, batch: Any, optimiser: torch.optim.Optimizer) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        crops, who = batch
        logits = self.classes(run_backbone(self.backbone, crops, self.devices, bf16=self.bf16))
        each = functional.cross_entropy(logits, who.to(logits.device), reduction="none")
        loss = gather(each, self.devices, self.settings.pretrain_batch).mean()
        return loss, {"classify": loss}


@dataclass(frozen=True, eq=False)
class PairBatch:
    """What one step sees: all pairs, and the crops of this process's share of them."""

    pairs: list[Pair]
    crops: npt.NDArray[np.uint8]  # (k + sum m_i, s, s, 3): stills, then tracks end to end
    lengths: list[int]  # m_i of each of the k tracks
    generator: torch.Generator


class Hashing(nn.Module):
    """Part two: backbone and both hash layers on pairs of one still and one track, both stages."""

    def __init__(
        self, backbone: Backbone, model: HashModel, pack: FacePack, settings: PaperSettings, devices: Devices
    ) -> None:
        super().__init__()
        self.backbone, self.model = backbone, model
        self.pack, self.settings, self.devices = pack, settings, devices
        self.people = rows_by_person(pack.identity, track=pack.track)
        self.bf16 = False

    def optimiser(self) -> torch.optim.Optimizer:
        s = self.settings
        groups = [{"params": list(self.backbone.parameters())}, {"params": list(self.model.parameters())}]
        return torch.optim.SGD(groups, lr=s.rate, momentum=s.momentum, weight_decay=s.weight_decay, foreach=True)

    def stage(self, step: int) -> str:
        return "pairs" if step < self.settings.cross_from else "cross"

    def draw(self, step: int) -> PairBatch:
        s = self.settings
        rng = np.random.default_rng([s.seed, 7, step])
        pairs = draw_pairs(
            self.people,
            self.pack.identity,
            count=s.people,
            pairs=s.pairs,
            frames=s.frames,
            rng=rng,
            track=self.pack.track,
        )
        share = self.devices.share(len(pairs))
        drawn = [
            draw_frames(self.pack, pairs[k], s.frames, np.random.default_rng([s.seed, 7, step, k]), size=s.size)
            for k in range(share.start, share.stop)
        ]
        crops = np.concatenate([np.stack([still for still, _ in drawn]), *(track for _, track in drawn)])
        return PairBatch(pairs, crops, [len(track) for _, track in drawn], torch_generator(rng))

    def losses(self, step: int, batch: PairBatch, optimiser: torch.optim.Optimizer) -> tuple[Tensor, dict[str, Tensor]]:
        s, devices, n = self.settings, self.devices, len(batch.pairs)
        share = devices.share(n)
        first = step < s.cross_from
        optimiser.param_groups[1]["lr"] = s.rate * (s.hash_rate if first else 1.0)
        features = run_backbone(self.backbone, batch.crops, devices, bf16=self.bf16)
        stills, *tracks = torch.split(features, [len(batch.lengths), *batch.lengths])
        counts = torch.tensor(batch.lengths, device=features.device)
        still_codes = self.model.hash_stills(stills, batch.generator, share)
        padded = pad_sequence(list(tracks), batch_first=True)
        track_codes = self.model.hash_tracks(padded, counts, batch.generator, share)
        ids = torch.tensor([pair.identity for pair in batch.pairs], device=features.device)
        terms = heterogeneous_triplets(
            gather(still_codes, devices, n),
            gather(track_codes, devices, n),
            ids,
            ids,
            s.alpha if first else s.cross_alpha,
        )
        loss = terms.total(s.lambda1, s.lambda2) if first else terms.cross
        return loss, {"cross": terms.cross, "still": terms.still, "track": terms.track}


def run_backbone(backbone: Backbone, crops: npt.NDArray[np.uint8], devices: Devices, *, bf16: bool) -> Tensor:
    """Crops (n, s, s, 3) uint8 -> features (n, d) float32, differentiable."""
    inputs = to_input(torch.from_numpy(crops).to(devices.device)).contiguous(memory_format=torch.channels_last)
    with torch.autocast(devices.device.type, dtype=torch.bfloat16, enabled=bf16):
        features: Tensor = backbone(inputs)
    return features.float()


def train_paper(
    pack: FacePack, settings: PaperSettings, folder: Path, devices: Devices
) -> Iterator[tuple[Report, Backbone, HashModel]]:
    """The whole recipe, yielding every 250 steps and at the end of each part; resumes from the files in ``folder``.

    The modules that come with a report are those in training, on their device; until the classifier is done the hash
    layers are as they start.

    Raises:
        TrainingError: a checkpoint is damaged or was made with other settings, or a loss is no longer a number.
        UsageError: the pack has fewer than two people of two photos, or there are more processes than items.
    """
    if len(rows_by_person(pack.identity, track=pack.track)) < 2:
        raise UsageError(
            f"{pack.path}: a triplet needs two people of two photos or more; give another pack with --data"
        )
    with torch.random.fork_rng(devices=[]):  # layers start from torch's global generator, which is put back
        torch.manual_seed(settings.seed)
        classify = Classify(pack, settings, devices)
        model = HashModel(settings.bits, eps=settings.eps, divide=settings.divide, dropout=settings.dropout)
    backbone = classify.backbone
    whole = Hashing(backbone, model, pack, settings, devices)
    for part in (classify, whole):
        part.to(devices.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if settings.precision == "auto":
        inputs = to_input(torch.zeros(32, settings.size, settings.size, 3, dtype=torch.uint8)).to(devices.device)
        classify.bf16 = whole.bf16 = halves_pay(backbone, inputs, folder / "precision.json", devices)
    else:
        classify.bf16 = whole.bf16 = settings.precision == "bfloat16"
    # one classifier serves codes of every length: only what it depends on is compared on resume
    every = asdict(settings)
    own = {k: v for k, v in every.items() if k.startswith("pretrain_") or k in CLASSIFIER_SETTINGS}
    data = {"data": fingerprint(pack)}
    if settings.pretrain_steps:
        path = folder / "paper-backbone.safetensors"
        for report in train_task(classify, classify, settings.pretrain_steps, path, own | data, devices):
            yield report, backbone, model
    if settings.steps:
        path = folder / f"paper-{settings.bits}.safetensors"
        for report in train_task(whole, whole, settings.steps, path, every | data, devices):
            yield report, backbone, model


def run_paper(
    data: Sequence[Path],
    out: Path,
    every: Sequence[PaperSettings],
    *,
    name: str = "dhh",
    validate: Path | None = None,
    protocol: Path | None = None,
    terms: str = "not stated",
    threads: int | None = None,
) -> Iterator[str]:
    """Train by the paper's recipe, or go on training, in folder ``out``; yields a line for every report.

    Each length of code gets a network of its own, as in the paper; they share the classifier that they start from. Of
    several processes only the first yields and writes.

    Raises:
        PackError: a pack or the protocol cannot be read.
        TrainingError: ``out`` holds a run with other settings or data, or a loss is no longer a number.
        UsageError: ``validate`` without ``protocol``, or the other way round; too few people for triplets.
    """
    with open_run(data, out, validate=validate, protocol=protocol, terms=terms, threads=threads) as training:
        to_come([part for settings in every for part in parts_of(settings, first=settings is every[0])])
        yield from training.lines(line for settings in every for line in _train_length(training, settings, name))


def parts_of(settings: PaperSettings, *, first: bool) -> tuple[Part, ...]:
    """All that is counted for one length of code, with its cost; the classifier is trained for the ``first``."""
    classified = settings.pretrain_steps * settings.pretrain_batch if first else 0
    pairs = settings.steps * settings.people * settings.pairs * (1 + settings.frames)
    return trained("classifier steps", classified, settings.size), trained("pairs steps", pairs, settings.size)


def _train_length(training: TrainingRun, settings: PaperSettings, name: str) -> Iterator[str]:
    """One length of code: train, report, write the weights."""
    validation, first = training.validation, training.devices.first
    codes = replace(HashSettings(), lengths=(settings.bits,))
    for report, backbone, model in train_paper(training.faces, settings, training.folder, training.devices):
        if not first:
            continue
        final = copy.deepcopy(backbone).cpu(), copy.deepcopy(model).cpu()
        figures: dict[str, float] = {}
        if validation and report.losses:
            hashed = None if report.stage == "classifier" else final[1]
            figures = validation.figures(final[0], settings.size, hashed, codes)
        if report.losses:
            yield training.log.write(report.stage, report.step, report.steps, report.losses | figures)
    if first:
        folded, layers = final[0], final[1].layers()
        record = training.record(asdict(settings), recipe="paper")
        yield from write_layers(
            training.folder,
            name,
            {settings.bits: layers},
            to_onnx(folded),
            dhh_record(layers, record, homogeneous=False, mirror=False),
            validation,
            network=f"{name}-{settings.bits}-backbone",
            backbone=backbone_safetensors(folded),
        )
