"""distil: SFace + faces that may be anybody's -> a network for film, quick, and steady where frames are poor.

The student starts as SFace without its PReLUs (networks/relu.py). It sees poor frames (datasets/degradation.py):

- for a share ``same`` of a batch, faces mixed of two among them, it is asked for what SFace itself makes of the very
  same frame, so that it stays SFace where the few faces at hand say little;
- for the rest, for what SFace makes of the clean picture, length included (what is uncertain becomes short), and for
  the similarities to the rest of the batch and to a bank of other faces that SFace and a second teacher, where the pack
  brings one, give to the clean pictures.

Photos go on being looked at by SFace itself, so both networks share one space. No identities are used.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from dhhcli.research.datasets.augmentation import centre
from dhhcli.research.datasets.degradation import degrade, morph
from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.training.engine.distributed import Devices
from dhhcli.research.training.engine.loop import Report, train_task
from dhhcli.research.training.networks.mobile_face import MobileFace, Slope

LENGTHS: Final = (0.6, 1.4)  # within which a feature's length, over the mean, is asked for


@dataclass(frozen=True)
class DistilSettings:
    """Saved beside the weights and compared on resume."""

    steps: int = 1200
    batch: int = 48
    rate: float = 8e-5  # at 2e-4 what SFace knows is lost: docs/research/backbone.md
    floor: float = 0.02  # of the rate, at the end
    warmup: int = 40
    weight_decay: float = 1e-4
    same: float = 0.6  # share of a batch that follows SFace on the same frame
    mixed: float = 0.5  # share of those that are mixed of two faces
    strength: float = 0.95  # of the degradation
    bank: int = 512  # other faces that similarities are taken to
    relate: float = 20.0  # weight of the similarities
    square: float = 0.5  # weight of the squared error to the clean feature
    clip: float = 5.0  # norm of the gradient
    seed: int = 0
    bf16: bool = True


@dataclass(frozen=True, eq=False)
class Teachers:
    """What is asked for, of the clean pictures."""

    sface: Tensor  # (n, 128), unit length: mean of the picture and its mirror image
    length: Tensor  # (n,) of SFace's feature, over their mean
    scale: float  # that mean
    second: Tensor | None  # (n, e), unit length


@dataclass(frozen=True, eq=False)
class Batch:
    """Poor frames, and the rows of the faces they show where the clean picture is asked for."""

    crops: Tensor  # (b, 64, 64, 3) uint8; the first b - len(rows) follow SFace on the same frame
    rows: Tensor  # (r,)
    bank: Tensor  # (k,) rows of others


@torch.no_grad()
def look(net: MobileFace, crops: npt.NDArray[np.uint8], *, bf16: bool, at_once: int = 64) -> Tensor:
    """Features (n, 128) float32 of crops (n, 64, 64, 3)."""
    parts = []
    for part in np.array_split(crops, max(1, -(-len(crops) // at_once))):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            parts.append(net(torch.from_numpy(part)).float())
    return torch.cat(parts)


def ask_teachers(
    net: MobileFace, pictures: npt.NDArray[np.uint8], second: npt.NDArray[np.floating[Any]] | None, *, bf16: bool
) -> Teachers:
    """Features of the clean pictures (n, 80, 80, 3) by SFace; ``second`` (n, e): another network's, or None."""
    clean = np.stack([centre(picture) for picture in pictures])
    one, two = (look(net, crops, bf16=bf16) for crops in (clean, np.ascontiguousarray(clean[:, :, ::-1])))
    length = (one.norm(dim=1) + two.norm(dim=1)) / 2
    scale = float(length.mean())
    unit = functional.normalize(functional.normalize(one) + functional.normalize(two))
    other = None if second is None else functional.normalize(torch.from_numpy(np.asarray(second, np.float32)))
    return Teachers(unit, (length / scale).clamp(*LENGTHS), scale, other)


def clean_losses(made: Tensor, rows: Tensor, bank: Tensor, teachers: Teachers) -> dict[str, Tensor]:
    """Of features ``made`` (r, 128), over the teacher's mean length, of poor frames of the faces ``rows`` (r,)."""
    aim, unit = teachers.sface[rows], functional.normalize(made)
    others = teachers.sface[bank]
    inside, outside = _similarities(teachers, rows, rows), _similarities(teachers, rows, bank)
    off = 1 - torch.eye(len(made))
    pairs = off.sum().clamp_min(1)
    relations = ((unit @ unit.T - inside).square() * off).sum() / pairs
    relations = relations + ((unit @ aim.T - inside).square() * off).sum() / pairs
    return {
        "square": (made - aim * teachers.length[rows, None]).square().sum(1).mean(),
        "cosine": 1 - (unit * aim).sum(1).mean(),
        "relations": relations + (unit @ others.T - outside).square().mean(),
    }


def _similarities(teachers: Teachers, rows: Tensor, columns: Tensor) -> Tensor:
    """What the teachers say of faces ``rows`` (r,) and ``columns`` (c,), in the mean: (r, c)."""
    found = teachers.sface[rows] @ teachers.sface[columns].T
    if teachers.second is None:
        return found
    return (found + teachers.second[rows] @ teachers.second[columns].T) / 2


class FilmStudent(nn.Module):
    """The task of training (engine/loop.py); the student alone is trained."""

    def __init__(
        self, net: MobileFace, guide: MobileFace, faces: FacePack, teachers: Teachers, settings: DistilSettings
    ) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._guide = (guide.eval().to(memory_format=torch.channels_last),)  # type: ignore[call-overload]  # no part of it
        self._faces, self._teachers, self._settings = faces, teachers, settings

    def optimiser(self) -> torch.optim.Optimizer:
        """AdamW on everything but the slopes, which stay 0."""
        slopes = {id(layer.slope) for layer in self.net.layers if isinstance(layer, Slope)}
        trained = [value for value in self.net.parameters() if id(value) not in slopes]
        return torch.optim.AdamW(trained, lr=self._settings.rate, weight_decay=self._settings.weight_decay)

    def stage(self, step: int) -> str:  # noqa: ARG002  (as tasks have it)
        """One stage."""
        return "distil"

    def draw(self, step: int) -> Batch:
        """Poor frames of faces drawn anew, each perhaps mirrored."""
        wanted, pictures = self._settings, self._faces.pictures
        rng = np.random.default_rng([wanted.seed, 20, step])
        same = round(wanted.same * wanted.batch)
        rows = rng.integers(0, len(pictures), wanted.batch)
        crops = []
        for place, row in enumerate(rows):
            picture = pictures[row]
            if place < same and rng.random() < wanted.mixed:
                picture = morph(picture, pictures[rng.integers(len(pictures))], rng)
            if rng.random() < 0.5:
                picture = np.ascontiguousarray(picture[:, ::-1])
            crops.append(degrade(picture, rng, wanted.strength))
        bank = torch.from_numpy(rng.integers(0, len(pictures), wanted.bank))
        return Batch(torch.from_numpy(np.stack(crops)), torch.from_numpy(rows[same:]), bank)

    def losses(self, step: int, batch: Batch, optimiser: torch.optim.Optimizer) -> tuple[Tensor, dict[str, Tensor]]:
        """Both parts of the batch, weighed by their shares."""
        wanted, teachers = self._settings, self._teachers
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, wanted)
        same = len(batch.crops) - len(batch.rows)
        with torch.autocast("cpu", torch.bfloat16, enabled=wanted.bf16):
            made = self.net(batch.crops)
        made = made.float() / teachers.scale
        terms: dict[str, Tensor] = {}
        loss = made.new_zeros(())
        if same:
            aim = look(self._guide[0], batch.crops[:same].numpy(), bf16=wanted.bf16) / teachers.scale
            terms["apart"] = (made[:same] - aim).square().sum(1).mean()
            terms["turned"] = 1 - functional.cosine_similarity(made[:same], aim).mean()
            loss = loss + wanted.same * 2 * (terms["apart"] + terms["turned"])
        if len(batch.rows):
            clean = clean_losses(made[same:], batch.rows, batch.bank, teachers)
            terms |= clean
            weighed = wanted.square * clean["square"] + clean["cosine"] + wanted.relate * clean["relations"]
            loss = loss + (1 - wanted.same) * weighed
        return loss, terms


def rate_at(step: int, settings: DistilSettings) -> float:
    """Learning rate: a linear warm-up under half a cosine."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / max(1, settings.steps)))
    return settings.rate * min(1.0, (step + 1) / settings.warmup) * (settings.floor + (1 - settings.floor) * cosine)


def distil(
    net: MobileFace,
    guide: MobileFace,
    faces: FacePack,
    teachers: Teachers,
    settings: DistilSettings,
    out: Path,
    *,
    stamp: dict[str, Any],
    devices: Devices,
) -> Iterator[Report]:
    """Train ``net`` in place, on the CPU, every process alike; resumes from ``out``/distil.safetensors.

    Raises:
        TrainingError: the checkpoint is damaged or was made with other settings, or the loss is no longer a number.
    """
    task = FilmStudent(net, guide, faces, teachers, settings)
    checkpoint = out / "distil.safetensors"
    yield from train_task(task, task, settings.steps, checkpoint, stamp, devices, clip=settings.clip)
