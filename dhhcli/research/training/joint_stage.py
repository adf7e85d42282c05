"""joint_stage: conditioned backbone + hash layers + face pack -> all of it trained together, from pictures.

The triplets of the paper's equation 5 and the contrastive loss on the codes, with the distance to the teacher kept as
a regulariser where the pack brings one (the codes of few people seen often must not cost what many people taught).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.training.engine.distributed import Devices, gather, halves_pay
from dhhcli.research.training.engine.early_stopping import EarlyStop
from dhhcli.research.training.engine.loop import Report, moving_average, train_task
from dhhcli.research.training.feature_bank import pad
from dhhcli.research.training.feature_layout import Conditioned
from dhhcli.research.training.hash_stage import HashSettings, code_losses, identities, torch_generator, total
from dhhcli.research.training.networks.backbone import to_input
from dhhcli.research.training.networks.hash_model import HashModel
from dhhcli.research.training.pretrain import relational
from dhhcli.research.training.sampler import Pair, draw_frames, draw_pairs, rows_by_person

REPORT_EVERY = 100  # steps


class JointModel(nn.Module):
    """Network, teacher's head and hash layers under one roof, for one optimiser and one checkpoint.

    Never in training mode: batch normalisation keeps the statistics of pre-training, because frames of one shot are
    too alike to take new ones from, and dropout has a generator of its own.
    """

    def __init__(self, network: Conditioned, teacher: nn.Linear, model: HashModel) -> None:
        super().__init__()
        self.network, self.teacher, self.model = network, teacher, model

    def train(self, mode: bool = True) -> "JointModel":  # noqa: ARG002
        return super().train(False)


def picture_batch(
    pack: FacePack, pairs: list[Pair], frames: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """Crops of all pairs end to end, stills first: (n + sum m_i, 64, 64, 3) uint8, and the m_i."""
    drawn = [draw_frames(pack, pair, frames, rng) for pair in pairs]
    crops = np.concatenate([np.stack([still for still, _ in drawn]), *(track for _, track in drawn)])
    return crops, [len(track) for _, track in drawn]


@dataclass(frozen=True, eq=False)
class JointBatch:
    """What one step sees."""

    pairs: list[Pair]
    crops: npt.NDArray[np.uint8]  # (n + sum m_i, 64, 64, 3): stills, then tracks end to end
    lengths: list[int]  # m_i of each track
    generator: torch.Generator  # of dropout

    @property
    def rows(self) -> list[int]:
        """Where in the pack each crop is from."""
        tracks = [
            row
            for pair, m in zip(self.pairs, self.lengths, strict=True)
            for row in (pair.track if len(pair.track) > 1 else pair.track * m)
        ]
        return [pair.still for pair in self.pairs] + tracks


class Joint:
    """The task: equation 5 and the contrastive loss on codes of pairs, and staying near the teacher.

    Args:
        whole: what is trained, on its device.
        pack: pictures to train on.
        settings: see ``HashSettings``.
        precision: file that says whether bfloat16 pays, measured at the first step.
        devices: whose share of a batch goes through the backbone.
    """

    def __init__(
        self, whole: JointModel, pack: FacePack, settings: HashSettings, precision: Path, devices: Devices
    ) -> None:
        self.whole, self.pack, self.settings = whole, pack, settings
        self.precision, self.devices = precision, devices
        self.people = rows_by_person(pack.identity, track=pack.track)
        self.teacher = torch.from_numpy(pack.teacher)
        self.known = torch.isfinite(self.teacher).all(dim=1)
        self.bf16: bool | None = None
        self.rates: list[float] = []  # of the optimiser's groups, at most

    def optimiser(self) -> torch.optim.Optimizer:
        s, whole = self.settings, self.whole
        groups: list[dict[str, Any]] = [
            {"params": whole.network.parameters(), "lr": s.joint_rate, "weight_decay": 0.0},
            {"params": whole.teacher.parameters(), "lr": s.joint_rate, "weight_decay": 0.0},
            {"params": whole.model.still.parameters(), "lr": s.still_rate / s.joint_slower},
            {"params": whole.model.track.parameters(), "lr": s.track_rate / s.joint_slower},
        ]
        self.rates = [float(group["lr"]) for group in groups]
        return torch.optim.AdamW(groups, weight_decay=s.weight_decay)

    def stage(self, step: int) -> str:  # noqa: ARG002
        return "joint"

    def draw(self, step: int) -> JointBatch:
        s, pack = self.settings, self.pack
        rng = np.random.default_rng([s.seed, 4, step])
        pairs = draw_pairs(
            self.people,
            pack.identity,
            count=s.joint_people,
            pairs=s.joint_pairs,
            frames=s.joint_frames,
            rng=rng,
            track=pack.track,
        )
        return JointBatch(pairs, *picture_batch(pack, pairs, s.joint_frames, rng), torch_generator(rng))

    def losses(
        self, step: int, batch: JointBatch, optimiser: torch.optim.Optimizer
    ) -> tuple[Tensor, dict[str, Tensor]]:
        s, devices, whole = self.settings, self.devices, self.whole
        for group, rate in zip(optimiser.param_groups, self.rates, strict=True):
            falling = 0.5 * (1 + math.cos(math.pi * (step / s.joint_steps)))
            group["lr"] = rate * min(1.0, (step + 1) / s.joint_warmup) * falling
        own = torch.from_numpy(batch.crops[devices.share(len(batch.crops)).rows]).to(devices.device)
        inputs = to_input(own).contiguous(memory_format=torch.channels_last)
        if self.bf16 is None:
            self.bf16 = s.bf16 and halves_pay(whole.network.backbone, inputs, self.precision, devices)
        with torch.autocast(devices.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            plain = whole.network.backbone(inputs)
        plain = gather(plain.float(), devices, len(batch.crops))
        stills, *tracks = torch.split(whole.network.lay_out(plain), [len(batch.pairs), *batch.lengths])
        padded, counts = pad(list(tracks), s.joint_frames)
        still_codes = whole.model.hash_stills(stills, batch.generator)
        track_codes = whole.model.hash_tracks(padded, counts, batch.generator)
        losses = code_losses(still_codes, track_codes, identities(batch.pairs).to(devices.device), s)
        loss = total(losses, s)
        rows = batch.rows
        taught = self.known[rows]
        if taught.sum() > 1:
            student = whole.teacher(plain[taught.to(devices.device)])
            target = self.teacher[rows][taught].to(devices.device)
            losses["distil"] = (student - target).square().sum(dim=1).mean()
            losses["relate"] = relational(student, target)
            loss = loss + s.keep_teacher * (losses["distil"] + losses["relate"])
        return loss, losses


def train_joint(
    whole: JointModel,
    pack: FacePack,
    settings: HashSettings,
    checkpoint: Path,
    *,
    stamp: dict[str, Any],
    stop: EarlyStop | None = None,
    devices: Devices | None = None,
) -> Iterator[tuple[Report, JointModel]]:
    """Stage 2, yielding every 100 steps and at the end; resumes from ``checkpoint``.

    Every random choice of step t comes from a generator seeded with (seed, t), dropout included.

    Args:
        whole: trained in place; what is yielded is its moving average.
        pack: pictures to train on.
        settings: see ``HashSettings``.
        checkpoint: path of the checkpoint.
        stamp: what the checkpoint must have been made with: the settings of this and earlier stages, and the data.
        stop: the caller notes its figures there between reports; when it is over, the best weights are the last ones.
        devices: what to run on (default: the CPU, one process); every process works on its share of each batch.

    Raises:
        TrainingError: the checkpoint is damaged or was made with other settings or data, or the loss is no longer a
            number.
    """
    devices = devices or Devices(torch.device("cpu"))
    whole.to(devices.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    whole.eval()
    average = moving_average(whole, settings.joint_ema)
    for report in train_task(
        Joint(whole, pack, settings, checkpoint.with_name("precision.json"), devices),
        whole,
        settings.joint_steps,
        checkpoint,
        stamp,
        devices,
        average=average,
        stop=stop,
        clip=settings.joint_clip,
        every=REPORT_EVERY,
    ):
        yield report, cast(JointModel, average.module)
