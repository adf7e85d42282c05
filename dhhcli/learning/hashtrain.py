"""hashtrain: feature bank + identities -> hash layers (K bits), started by ITQ, trained on pairs of stills and tracks.

The paper trains backbone and hash layers jointly from random hash layers; here the hash layers come first, on cached
features (a step costs a tenth of the whole network's), and joint.py goes on from there. ``hash_steps=0`` leaves
them as ITQ made them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..covariance import triangle
from .bank import FeatureBank, bank_batch, pad
from .batches import Pair, draw_pairs, rows_by_person
from .condition import HOMOGENEOUS, TAUGHT
from .itq import itq
from .logcov import log_covariance
from .losses import contrast, heterogeneous_triplets
from .model import HashModel

REPORT_EVERY = 250  # steps


@dataclass(frozen=True)
class HashSettings:
    """Both stages; saved beside the weights.

    Where it leaves the paper (Qiao et al., TIP 2019): D^T D is divided by m, dropout is 0.1 instead of 0.4, the
    triplets weigh 0.2 beside a contrastive loss of weight 1 (250 steps of triplets alone took the start by ITQ from a
    still -> set mAP of 0.661 to 0.657 on cached features, 250 steps of the contrastive loss alone to 0.687), AdamW
    with a falling rate instead of SGD.
    """

    bits: int = 48
    alpha: float = 8.0
    lambda1: float = 1.0
    lambda2: float = 1.0
    triplet: float = 0.2  # weight of equation 5
    contrast: float = 1.0  # weight of the contrastive loss
    scale: float = 20.0  # its inverse temperature
    divide: bool = True
    dropout: float = 0.1
    gain: float = 1.0  # condition.py
    rest: float = 0.02
    frames: int = 8  # a track, in training
    hash_people: int = 64
    hash_pairs: int = 2
    hash_steps: int = 250
    still_rate: float = 2e-3
    track_rate: float = 1e-4
    weight_decay: float = 1e-4
    joint_people: int = 32
    joint_pairs: int = 2
    joint_frames: int = 3  # of a track, in joint training: more people a batch are worth more than more frames
    joint_steps: int = 1500
    joint_rate: float = 5e-4
    keep_teacher: float = 4.0
    seed: int = 0
    bf16: bool = True


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A torch generator seeded from a numpy one: all randomness comes from one seed, none of it is global."""
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def identities(pairs: list[Pair]) -> Tensor:
    """Who each pair is of, (n,)."""
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
    model: HashModel, bank: FeatureBank, identity: npt.NDArray[np.int64], settings: HashSettings
) -> Iterator[tuple[int, dict[str, float]]]:
    """Stage 1, in place, yielding every 250 steps and at the end."""
    start_from_bank(model, bank, identity, settings.seed)
    if settings.hash_steps == 0:
        return
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
        ids = identities(pairs)
        losses = code_losses(codes_s, codes_t, ids, settings)
        loss = total(losses, settings)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == settings.hash_steps:
            yield step + 1, {k: v / REPORT_EVERY for k, v in sums.items()}
            sums = {}


@torch.no_grad()
def start_from_bank(model: HashModel, bank: FeatureBank, identity: npt.NDArray[np.int64], seed: int) -> None:
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
