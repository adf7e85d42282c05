"""hashtrain: conditioned backbone + face pack -> hash layers (K bits), then backbone and hash layers jointly.

Two stages on equation 5's triplet loss over pairs of stills and tracks:

1. the hash layers alone, on cached features of imitated frames (the backbone stands still, so a step costs a
   hundredth of the whole network's);
2. everything jointly, from pictures, with the teacher's distance kept as a regulariser where the pack brings one.

The paper trains everything jointly from the start; its order stays possible by setting ``hash_steps`` to 0.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..covariance import triangle
from ..imitation import imitate_frames
from ..packs import FacePack
from .backbone import FEATURES, Backbone, to_input
from .batches import Pair, draw_frames, draw_pairs, rows_by_person
from .checkpoint import load_checkpoint, save_checkpoint
from .condition import HOMOGENEOUS, TAUGHT, pin_homogeneous
from .itq import itq
from .logcov import log_covariance
from .losses import contrast, heterogeneous_triplets
from .model import HashModel


@dataclass(frozen=True)
class HashSettings:
    """Both stages; saved beside the weights."""

    bits: int = 48
    alpha: float = 8.0
    lambda1: float = 1.0
    lambda2: float = 1.0
    triplet: float = 1.0  # weight of equation 5
    contrast: float = 0.0  # weight of the contrastive loss
    scale: float = 20.0  # its inverse temperature
    divide: bool = True
    dropout: float = 0.1
    gain: float = 1.0  # condition.py
    rest: float = 0.1
    frames: int = 8  # a track, in training
    hash_people: int = 64
    hash_pairs: int = 2
    hash_steps: int = 3000
    still_rate: float = 2e-3
    track_rate: float = 5e-5
    weight_decay: float = 1e-4
    joint_people: int = 16
    joint_pairs: int = 2
    joint_steps: int = 300
    joint_rate: float = 1e-4
    keep_teacher: float = 4.0
    seed: int = 0
    bf16: bool = True


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Cached features of a pack, float16."""

    looks: Tensor  # (n, r, d): r unrelated looks of every photo, the first one untouched
    shots: Tensor  # (n, t, d): one shot of t frames of every photo


@torch.no_grad()
def extract(backbone: Backbone, crops: np.ndarray, *, bf16: bool = True, batch: int = 256) -> Tensor:
    """Crops (n, s, s, 3) uint8 -> features (n, 320) float32, evaluation mode."""
    backbone.eval()
    parts = []
    for first in range(0, len(crops), batch):
        inputs = to_input(torch.from_numpy(crops[first : first + batch]))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            parts.append(backbone(inputs.contiguous(memory_format=torch.channels_last)).float())
    return torch.cat(parts)


def empty_bank(photos: int, *, looks: int = 4, frames: int = 6) -> FeatureBank:
    """Room for so many photos."""
    return FeatureBank(
        torch.zeros(photos, looks, FEATURES, dtype=torch.float16),
        torch.zeros(photos, frames, FEATURES, dtype=torch.float16),
    )


def fill_bank(bank: FeatureBank, backbone: Backbone, pack: FacePack, *, seed: int = 0) -> Iterator[int]:
    """Compute every feature of a bank, in place; yields how many photos are done, 512 at a time."""
    looks, frames = bank.looks.shape[1], bank.shots.shape[1]

    def draw(first: int) -> np.ndarray:
        rng = np.random.default_rng([seed, 2, first])
        crops = []
        for picture in pack.pictures[first : first + 512]:
            crops += [imitate_frames(picture, 1, rng, strength=float(k > 0)) for k in range(looks)]
            crops.append(imitate_frames(picture, frames, rng))
        return np.concatenate(crops)

    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(draw, 0)
        for first in range(0, len(pack), 512):
            crops = pending.result()
            pending = pool.submit(draw, first + 512 if first + 512 < len(pack) else 0)
            features = extract(backbone, crops).to(torch.float16).view(-1, looks + frames, FEATURES)
            bank.looks[first : first + 512] = features[:, :looks]
            bank.shots[first : first + 512] = features[:, looks:]
            yield min(first + 512, len(pack))


JOINT_REPORT = 50


def pad(tracks: list[Tensor], frames: int) -> tuple[Tensor, Tensor]:
    """Tracks of (m_i, d) -> (n, frames, d) with zero frames behind, and the m_i (n,)."""
    padded = torch.zeros(len(tracks), frames, tracks[0].shape[1])
    for row, track in enumerate(tracks):
        padded[row, : len(track)] = track
    return padded, torch.tensor([len(track) for track in tracks])


def bank_batch(
    bank: FeatureBank, pairs: list[Pair], frames: int, rng: np.random.Generator
) -> tuple[Tensor, list[Tensor]]:
    """Features of the pairs out of the bank: stills (n, d) and tracks n x (m_i <= frames, d)."""
    looks, longest = bank.looks.shape[1], min(frames, bank.shots.shape[1])
    stills, tracks = [], []
    for pair in pairs:
        stills.append(bank.looks[pair.still, int(rng.integers(looks))])
        if len(pair.track) == 1:
            tracks.append(bank.shots[pair.track[0], : int(rng.integers(1, longest + 1))].float())
        else:
            rows = torch.tensor(pair.track)
            tracks.append(bank.looks[rows, torch.from_numpy(rng.integers(0, looks, len(rows)))].float())
    return torch.stack(stills).float(), tracks


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A torch generator seeded from a numpy one: all randomness comes from one seed, none of it is global."""
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def _identities(pairs: list[Pair]) -> Tensor:
    return torch.tensor([pair.identity for pair in pairs])


def code_losses(stills: Tensor, tracks: Tensor, ids: Tensor, settings: HashSettings) -> dict[str, Tensor]:
    """Every term on the codes of a batch of pairs, unweighted: still k and track k are of person ``ids[k]``."""
    terms = heterogeneous_triplets(stills, tracks, ids, ids, settings.alpha)
    losses = {"cross": terms.cross, "still": terms.still, "track": terms.track}
    if settings.contrast:
        there = contrast(stills, tracks, ids, ids, settings.scale)
        losses["contrast"] = (there + contrast(tracks, stills, ids, ids, settings.scale)) / 2
    return losses


def total(losses: dict[str, Tensor], settings: HashSettings) -> Tensor:
    """Equation 5 with its lambdas, plus the contrastive loss."""
    triplets = losses["cross"] + settings.lambda1 * losses["still"] + settings.lambda2 * losses["track"]
    loss = settings.triplet * triplets
    return loss + settings.contrast * losses["contrast"] if settings.contrast else loss


def train_hash(
    model: HashModel, bank: FeatureBank, identity: np.ndarray, settings: HashSettings
) -> Iterator[tuple[int, dict[str, float]]]:
    """Stage 1, in place, yielding every 250 steps and at the end."""
    start_from_bank(model, bank, identity, settings.seed)
    people = rows_by_person(identity)
    optimiser = torch.optim.AdamW(
        [
            {"params": model.still.parameters(), "lr": settings.still_rate},
            {"params": model.track.parameters(), "lr": settings.track_rate},
        ],
        weight_decay=settings.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [settings.still_rate, settings.track_rate], total_steps=settings.hash_steps, pct_start=0.1
    )
    sums: dict[str, float] = {}
    for step in range(settings.hash_steps):
        rng = np.random.default_rng([settings.seed, 3, step])
        pairs = draw_pairs(
            people,
            identity,
            count=settings.hash_people,
            pairs=settings.hash_pairs,
            frames=settings.frames,
            rng=rng,
        )
        stills, tracks = bank_batch(bank, pairs, settings.frames, rng)
        padded, counts = pad(tracks, settings.frames)
        generator = torch_generator(rng)
        codes_s, codes_t = model.hash_stills(stills, generator), model.hash_tracks(padded, counts, generator)
        ids = _identities(pairs)
        losses = code_losses(codes_s, codes_t, ids, settings)
        loss = total(losses, settings)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if (step + 1) % 250 == 0 or step + 1 == settings.hash_steps:
            yield step + 1, {k: v / 250 for k, v in sums.items()}
            sums = {}


@torch.no_grad()
def start_from_bank(model: HashModel, bank: FeatureBank, identity: np.ndarray, seed: int) -> None:
    """Start the still layer as ITQ of the people's mean features, and the track layer like it."""
    taught = bank.looks[..., :TAUGHT].float().mean(dim=1).numpy().astype(np.float64)
    people = np.stack([taught[rows].mean(axis=0) for rows in rows_by_person(identity, at_least=1)])
    weight, bias = itq(people, model.still.out_features, np.random.default_rng([seed, 5]))
    model.still.weight.zero_()
    model.still.weight[:, :TAUGHT] = 2.0 * torch.from_numpy(weight)
    model.still.bias.copy_(2.0 * torch.from_numpy(bias))
    sample = bank.shots[:: max(1, len(bank.shots) // 256)].float()
    counts = torch.full((len(sample),), sample.shape[1])
    vectors = log_covariance(sample, eps=model.eps, counts=counts if model.divide else None)
    rows, columns, _ = triangle(sample.shape[2])
    cross = torch.from_numpy(np.flatnonzero((columns == HOMOGENEOUS) & (rows < TAUGHT)))
    entries = vectors[:, cross]
    mean = sample[..., :TAUGHT].mean(dim=1)
    model.tracks_like_stills(float((mean * entries).sum() / entries.square().sum()), HOMOGENEOUS)


class Whole(torch.nn.Module):
    """Backbone and hash layers together, for one optimiser and one checkpoint."""

    def __init__(self, backbone: Backbone, model: HashModel) -> None:
        super().__init__()
        self.backbone, self.model = backbone, model


def picture_batch(
    pack: FacePack, pairs: list[Pair], frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[int]]:
    """Crops of all pairs end to end, stills first: (n + sum m_i, 64, 64, 3) uint8, and the m_i."""
    drawn = [draw_frames(pack, pair, frames, rng) for pair in pairs]
    crops = np.concatenate([np.stack([still for still, _ in drawn]), *(track for _, track in drawn)])
    return crops, [len(track) for _, track in drawn]


def train_joint(
    whole: Whole, pack: FacePack, settings: HashSettings, checkpoint: Path
) -> Iterator[tuple[int, dict[str, float], Whole]]:
    """Stage 2, yielding every 50 steps and at the end; resumes from ``checkpoint``.

    Every random choice of step t comes from a generator seeded with (seed, t), dropout included.

    Raises:
        TrainingError: the checkpoint is damaged or was made with other settings.
    """
    backbone, model = whole.backbone, whole.model
    whole.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(
        whole,
        multi_avg_fn=get_ema_multi_avg_fn(0.98),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )
    optimiser = torch.optim.AdamW(
        [
            {"params": backbone.parameters(), "lr": settings.joint_rate, "weight_decay": 0.0},
            {"params": model.still.parameters(), "lr": settings.still_rate / 4},
            {"params": model.track.parameters(), "lr": settings.track_rate / 4},
        ],
        weight_decay=settings.weight_decay,
    )
    rates = [float(group["lr"]) for group in optimiser.param_groups]
    start = load_checkpoint(checkpoint, asdict(settings), whole, average, optimiser)
    people = rows_by_person(pack.identity)
    teacher = torch.from_numpy(pack.teacher)
    known = torch.isfinite(teacher).all(dim=1)
    centred = teacher - teacher[known].mean(dim=0)
    sums: dict[str, float] = {}

    def draw(step: int) -> tuple[list[Pair], np.ndarray, list[int], torch.Generator]:
        rng = np.random.default_rng([settings.seed, 4, step])
        pairs = draw_pairs(
            people,
            pack.identity,
            count=settings.joint_people,
            pairs=settings.joint_pairs,
            frames=settings.frames,
            rng=rng,
        )
        return pairs, *picture_batch(pack, pairs, settings.frames, rng), torch_generator(rng)

    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(draw, start)
        for step in range(start, settings.joint_steps):
            pairs, crops, lengths, generator = pending.result()
            pending = pool.submit(draw, step + 1)
            share = step / settings.joint_steps
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * min(1.0, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * share))
            inputs = to_input(torch.from_numpy(crops)).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.bf16):
                features = backbone(inputs)
            features = features.float()
            stills, *tracks = features.split([len(pairs), *lengths])
            padded, counts = pad(list(tracks), settings.frames)
            ids = _identities(pairs)
            losses = code_losses(
                model.hash_stills(stills, generator), model.hash_tracks(padded, counts, generator), ids, settings
            )
            rows = [pair.still for pair in pairs] + [
                row
                for pair, m in zip(pairs, lengths, strict=True)
                for row in (pair.track if len(pair.track) > 1 else pair.track * m)
            ]
            taught = known[rows]
            error = features[taught, :TAUGHT] / settings.gain - centred[rows][taught]
            distil = error.square().sum(dim=1).mean() if taught.any() else features.sum() * 0
            loss = total(losses, settings) + settings.keep_teacher * distil
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(whole.parameters(), 10.0)
            optimiser.step()
            pin_homogeneous(backbone)
            average.update_parameters(whole)
            for name, value in (losses | {"distil": distil}).items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            if (step + 1) % JOINT_REPORT == 0 or step + 1 == settings.joint_steps:
                save_checkpoint(checkpoint, step + 1, asdict(settings), whole, average, optimiser)
                yield step + 1, {k: v / JOINT_REPORT for k, v in sums.items()}, cast(Whole, average.module)
                sums = {}
    if start >= settings.joint_steps:
        yield start, {}, cast(Whole, average.module)
