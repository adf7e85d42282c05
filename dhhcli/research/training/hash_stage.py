"""hash_stage: feature bank + identities -> hash layers, started by rotations, trained on pairs of stills and tracks.

The paper trains backbone and hash layers jointly from random hash layers; here the hash layers come first, on cached
features (a step costs a tenth of the whole network's), and joint_stage.py goes on from there. ``hash_steps=0`` leaves
them as they started. Codes of several lengths are trained side by side (one layer, a loss each, their mean), so the
backbone that they share is learnt once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dhhcli.models.log_covariance import triangle
from dhhcli.research.training.engine.distributed import Devices
from dhhcli.research.training.engine.loop import Report, train_task
from dhhcli.research.training.feature_bank import FeatureBank, bank_batch, pad
from dhhcli.research.training.networks.hash_model import HashModel
from dhhcli.research.training.networks.itq import itq, random_rotations
from dhhcli.research.training.networks.log_covariance import log_covariance
from dhhcli.research.training.networks.losses import contrast, heterogeneous_triplets
from dhhcli.research.training.sampler import Pair, draw_pairs, rows_by_person


@dataclass(frozen=True)
class HashSettings:
    """Both stages; saved beside the weights.

    Where it leaves the paper (Qiao et al., TIP 2019): D^T D is divided by m, dropout is 0.1 instead of 0.4, the
    triplets weigh little beside a contrastive loss of weight 1 (triplets alone end below the start by ITQ, 0.657 for
    0.661), AdamW with a falling rate instead of SGD. What was tried: docs/research/experiments.md#codes-48-bits.
    """

    lengths: tuple[int, ...] = (128,)  # bits of the codes that are trained together
    alpha: float = 1 / 6  # margin of the triplets, share of a code's bits; the paper: below a third
    lambda1: float = 1.0
    lambda2: float = 1.0
    triplet: float = 5.0  # weight of equation 5, distances as shares of the bits
    contrast: float = 1.0  # weight of the contrastive loss
    scale: float = 20.0  # its inverse temperature
    divide: bool = True
    eps: float = 0.3  # of the log-covariance; the paper's 1e-3 costs up to 0.05 of mAP on these features
    dropout: float = 0.1
    features: int = 128  # training/feature_layout.py
    shrink: float = 1.0
    power: float = 0.4
    photos: int = 6000  # in the bank, of people with two or more
    frames: int = 8  # a track, in training
    hash_people: int = 64
    hash_pairs: int = 2
    hash_steps: int = 0  # 250 helped the first network and not the second
    still_rate: float = 2e-3
    track_rate: float = 1e-4
    weight_decay: float = 1e-4
    joint_people: int = 32
    joint_pairs: int = 2
    joint_frames: int = 2  # of a track, in joint training: more people a batch are worth more than more frames
    joint_steps: int = 300  # more lets the features slip
    joint_rate: float = 1e-4  # at 5e-4 the features of a backbone that was trained to its end fell apart
    joint_slower: float = 40.0  # the hash layers' rates are divided by it: they learn the training people by heart
    joint_warmup: int = 20
    joint_clip: float = 10.0  # norm of the gradient
    joint_ema: float = 0.99
    keep_teacher: float = 4.0
    seed: int = 0
    bf16: bool = True

    @property
    def bits(self) -> int:
        """Outputs of the hash layers: all lengths together."""
        return sum(self.lengths)

    def rows(self, length: int) -> slice:
        """Where the codes of one length lie among the outputs."""
        first = sum(self.lengths[: self.lengths.index(length)])
        return slice(first, first + length)


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A torch generator seeded from a numpy one: all randomness comes from one seed, none of it is global."""
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def identities(pairs: list[Pair]) -> Tensor:
    """Who each pair is of, (n,)."""
    return torch.tensor([pair.identity for pair in pairs])


def code_losses(stills: Tensor, tracks: Tensor, ids: Tensor, settings: HashSettings) -> dict[str, Tensor]:
    """Every term on the codes of a batch of pairs, unweighted, the mean over the lengths.

    Args:
        stills: (n, sum of the lengths) relaxed codes.
        tracks: (n, sum of the lengths); still k and track k are of person ``ids[k]``.
        ids: (n,).
        settings: margin, temperature and lengths.
    """
    losses: dict[str, Tensor] = {}
    for length in settings.lengths:
        still, track = stills[:, settings.rows(length)], tracks[:, settings.rows(length)]
        terms = heterogeneous_triplets(still, track, ids, ids, settings.alpha * length)
        # shares of a code's bits, so that long codes do not outweigh short ones
        each = {"cross": terms.cross / length, "still": terms.still / length, "track": terms.track / length}
        if settings.contrast:
            there = contrast(still, track, ids, ids, settings.scale)
            each["contrast"] = (there + contrast(track, still, ids, ids, settings.scale)) / 2
        for name, value in each.items():
            losses[name] = losses.get(name, torch.zeros_like(value)) + value / len(settings.lengths)
    return losses


def total(losses: dict[str, Tensor], settings: HashSettings) -> Tensor:
    """Equation 5 with its lambdas, plus the contrastive loss."""
    triplets = losses["cross"] + settings.lambda1 * losses["still"] + settings.lambda2 * losses["track"]
    loss = settings.triplet * triplets
    return loss + settings.contrast * losses["contrast"] if settings.contrast else loss


class Hash:
    """The task: equation 5 and the contrastive loss on the hash layers' codes of pairs out of a bank."""

    def __init__(
        self,
        model: HashModel,
        bank: FeatureBank,
        identity: npt.NDArray[np.int64],
        settings: HashSettings,
        track: npt.NDArray[np.int64] | None,
    ) -> None:
        self.model, self.bank, self.settings = model, bank, settings
        self.identity, self.track = identity, track
        self.people = rows_by_person(identity, track=track)
        self.schedule: torch.optim.lr_scheduler.LRScheduler | None = None

    def optimiser(self) -> torch.optim.Optimizer:
        s = self.settings
        optimiser = torch.optim.AdamW(
            [
                {"params": self.model.still.parameters(), "lr": s.still_rate},
                {"params": self.model.track.parameters(), "lr": s.track_rate},
            ],
            weight_decay=s.weight_decay,
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, [s.still_rate, s.track_rate], total_steps=s.hash_steps, pct_start=0.1
        )
        return optimiser

    def stage(self, step: int) -> str:  # noqa: ARG002
        return "hash"

    def draw(self, step: int) -> tuple[list[Pair], Tensor, list[Tensor], torch.Generator]:
        s = self.settings
        rng = np.random.default_rng([s.seed, 3, step])
        pairs = draw_pairs(
            self.people,
            self.identity,
            count=s.hash_people,
            pairs=s.hash_pairs,
            frames=s.frames,
            rng=rng,
            track=self.track,
        )
        return pairs, *bank_batch(self.bank, pairs, s.frames, rng), torch_generator(rng)

    def losses(self, step: int, batch: Any, optimiser: torch.optim.Optimizer) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        pairs, stills, tracks, generator = batch
        if step and self.schedule:
            self.schedule.step()
        padded, counts = pad(tracks, self.settings.frames)
        still_codes = self.model.hash_stills(stills, generator)
        track_codes = self.model.hash_tracks(padded, counts, generator)
        losses = code_losses(still_codes, track_codes, identities(pairs), self.settings)
        return total(losses, self.settings), losses


def train_hash(
    model: HashModel,
    bank: FeatureBank,
    identity: npt.NDArray[np.int64],
    settings: HashSettings,
    *,
    track: npt.NDArray[np.int64] | None = None,
) -> Iterator[Report]:
    """Stage 1, in place on the CPU, yielding every 250 steps and at the end; nothing where there are no steps.

    Short enough to begin again where it was killed. Several processes all do the same.

    Args:
        model: hash layers, started here.
        bank: features of n photos.
        identity: (n,) people.
        settings: see ``HashSettings``.
        track: (n,) real tracks (sampler.py).

    Raises:
        TrainingError: the loss is no longer a number.
    """
    start_from_bank(model, bank, identity, settings)
    if settings.hash_steps:
        task = Hash(model, bank, identity, settings, track)
        yield from train_task(task, model, settings.hash_steps, None, {}, Devices(torch.device("cpu")))


@torch.no_grad()
def start_from_bank(
    model: HashModel, bank: FeatureBank, identity: npt.NDArray[np.int64], settings: HashSettings
) -> None:
    """Start the still layer from the people's mean features, a rotation a length, and the track layer like it.

    Codes shorter than the features start as ITQ leaves them, longer ones as random rotations: what ITQ fits to the
    training people then costs more than it saves (docs/research/experiments.md). The last feature is the constant 1
    (feature_layout.py) and is left out of the still layer.
    """
    last = bank.looks.shape[2] - 1
    looks = bank.looks[..., :last].float().mean(dim=1).numpy().astype(np.float64)
    people = np.stack([looks[rows].mean(axis=0) for rows in rows_by_person(identity, at_least=1)])
    model.still.weight.zero_()
    for number, length in enumerate(settings.lengths):
        start = itq if length < last else random_rotations
        weight, bias = start(people, length, np.random.default_rng([settings.seed, 5, number]))
        model.still.weight[settings.rows(length), :last] = 2.0 * torch.from_numpy(weight).float()
        model.still.bias[settings.rows(length)] = 2.0 * torch.from_numpy(bias).float()
    sample = bank.shots[:: max(1, len(bank.shots) // 256)].float()
    counts = torch.full((len(sample),), sample.shape[1])
    vectors = log_covariance(sample, eps=model.eps, counts=counts if model.divide else None)
    rows, columns, _ = triangle(last + 1)
    entries = vectors[:, torch.from_numpy(np.flatnonzero((columns == last) & (rows < last)))]
    mean = sample[..., :last].mean(dim=1)
    model.tracks_like_stills(float((mean * entries).sum() / entries.square().sum()), last)
