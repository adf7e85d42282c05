"""joint_stage: conditioned backbone + hash layers + face pack -> all of it trained together, from pictures.

The triplets of the paper's equation 5 and the contrastive loss on the codes, with the distance to the teacher kept as
a regulariser where the pack brings one (the codes of few people seen often must not cost what many people taught).
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dhhcli.base.prefetch import drawn_ahead
from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.training.engine.checkpoint import load_checkpoint, save_checkpoint
from dhhcli.research.training.engine.distributed import (
    Devices,
    agree,
    average_gradients,
    first_says,
    gather,
    halves_pay,
    same_weights,
)
from dhhcli.research.training.engine.early_stopping import EarlyStop
from dhhcli.research.training.feature_bank import pad
from dhhcli.research.training.feature_layout import Conditioned
from dhhcli.research.training.hash_stage import HashSettings, code_losses, identities, torch_generator, total
from dhhcli.research.training.networks.backbone import to_input
from dhhcli.research.training.networks.hash_model import HashModel
from dhhcli.research.training.pretrain import relational
from dhhcli.research.training.sampler import Pair, draw_frames, draw_pairs, rows_by_person

REPORT_EVERY = 100  # steps


class Whole(nn.Module):
    """Network, teacher's head and hash layers under one roof, for one optimiser and one checkpoint."""

    def __init__(self, network: Conditioned, teacher: nn.Linear, model: HashModel) -> None:
        super().__init__()
        self.network, self.teacher, self.model = network, teacher, model


def picture_batch(
    pack: FacePack, pairs: list[Pair], frames: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """Crops of all pairs end to end, stills first: (n + sum m_i, 64, 64, 3) uint8, and the m_i."""
    drawn = [draw_frames(pack, pair, frames, rng) for pair in pairs]
    crops = np.concatenate([np.stack([still for still, _ in drawn]), *(track for _, track in drawn)])
    return crops, [len(track) for _, track in drawn]


def train_joint(
    whole: Whole,
    pack: FacePack,
    settings: HashSettings,
    checkpoint: Path,
    *,
    stamp: dict[str, Any],
    stop: EarlyStop | None = None,
    devices: Devices | None = None,
) -> Iterator[tuple[int, dict[str, float], Whole]]:
    """Stage 2, yielding every 100 steps and at the end; resumes from ``checkpoint``.

    Every random choice of step t comes from a generator seeded with (seed, t), dropout included. Batch normalisation
    keeps the statistics of pre-training: frames of one shot are too alike to take new ones from.

    Args:
        whole: trained in place; what is yielded is its moving average.
        pack: pictures to train on.
        settings: see ``HashSettings``.
        checkpoint: path of the checkpoint.
        stamp: what the checkpoint must have been made with: the settings of this and earlier stages, and the data.
        stop: the caller notes its figures there between reports; when it is over, the best weights are the last ones.
        devices: what to run on (default: the CPU, one process); every process works on its share of each batch.

    Raises:
        TrainingError: the checkpoint is damaged or was made with other settings or data.
    """
    devices = devices or Devices(torch.device("cpu"))
    device = devices.device
    network, model = whole.network, whole.model
    whole.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    whole.eval()  # batch normalisation; dropout has a generator of its own
    average = AveragedModel(
        whole,
        multi_avg_fn=get_ema_multi_avg_fn(settings.joint_ema),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )
    optimiser = torch.optim.AdamW(
        [
            {"params": network.parameters(), "lr": settings.joint_rate, "weight_decay": 0.0},
            {"params": whole.teacher.parameters(), "lr": settings.joint_rate, "weight_decay": 0.0},
            {"params": model.still.parameters(), "lr": settings.still_rate / settings.joint_slower},
            {"params": model.track.parameters(), "lr": settings.track_rate / settings.joint_slower},
        ],
        weight_decay=settings.weight_decay,
    )
    rates = [float(group["lr"]) for group in optimiser.param_groups]
    start = agree(load_checkpoint(checkpoint, stamp, whole, average, optimiser), devices, "the step to go on from")
    same_weights(whole, devices)
    averaged = cast(Whole, average.module)
    if start >= settings.joint_steps or (stop and stop.over()):
        if stop and stop.figures():
            stop.restore(averaged)
        yield start, {}, averaged
        return
    people = rows_by_person(pack.identity, track=pack.track)
    teacher = torch.from_numpy(pack.teacher)
    known = torch.isfinite(teacher).all(dim=1)
    sums: dict[str, float] = {}
    reported = start
    bf16: bool | None = None  # measured at the first step

    def draw(step: int) -> tuple[list[Pair], npt.NDArray[np.uint8], list[int], torch.Generator]:
        rng = np.random.default_rng([settings.seed, 4, step])
        pairs = draw_pairs(
            people,
            pack.identity,
            count=settings.joint_people,
            pairs=settings.joint_pairs,
            frames=settings.joint_frames,
            rng=rng,
            track=pack.track,
        )
        return pairs, *picture_batch(pack, pairs, settings.joint_frames, rng), torch_generator(rng)

    for step, (pairs, crops, lengths, generator) in drawn_ahead(draw, start, settings.joint_steps):
        share = step / settings.joint_steps
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * min(1.0, (step + 1) / settings.joint_warmup) * 0.5 * (1 + math.cos(math.pi * share))
        own = torch.from_numpy(crops[devices.share(len(crops)).rows])
        inputs = to_input(own.to(device)).contiguous(memory_format=torch.channels_last)
        if bf16 is None:
            bf16 = settings.bf16 and halves_pay(
                network.backbone, inputs, checkpoint.with_name("precision.json"), devices
            )
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            plain = network.backbone(inputs)
        plain = gather(plain.float(), devices, len(crops))
        stills, *tracks = torch.split(network.lay_out(plain), [len(pairs), *lengths])
        padded, counts = pad(list(tracks), settings.joint_frames)
        codes = model.hash_stills(stills, generator), model.hash_tracks(padded, counts, generator)
        losses = code_losses(*codes, identities(pairs).to(device), settings)
        loss = total(losses, settings)
        rows = [pair.still for pair in pairs] + [
            row
            for pair, m in zip(pairs, lengths, strict=True)
            for row in (pair.track if len(pair.track) > 1 else pair.track * m)
        ]
        taught = known[rows]
        if taught.sum() > 1:
            student, target = whole.teacher(plain[taught.to(device)]), teacher[rows][taught].to(device)
            losses["distil"] = (student - target).square().sum(dim=1).mean()
            losses["relate"] = relational(student, target)
            loss = loss + settings.keep_teacher * (losses["distil"] + losses["relate"])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(whole, devices)
        nn.utils.clip_grad_norm_(whole.parameters(), settings.joint_clip)
        optimiser.step()
        average.update_parameters(whole)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == settings.joint_steps:
            if devices.first:
                save_checkpoint(checkpoint, step + 1, stamp, whole, average, optimiser)
            yield step + 1, {k: v / (step + 1 - reported) for k, v in sums.items()}, averaged
            sums, reported = {}, step + 1
            if stop and first_says(devices.first and stop.over(), devices):
                break
    if stop and stop.figures():
        stop.restore(averaged)
        yield step + 1, {}, averaged
