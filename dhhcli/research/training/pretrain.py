"""pretrain: face pack (pictures, identities, teacher embeddings) -> backbone that tells people apart.

The paper pre-trains the backbone as a face classifier. Here that is a margin softmax (CosFace, Wang et al.,
CVPR 2018) over all people, together with distillation where the pack brings a teacher's embeddings: a linear
head on the features has to land on the teacher's 128 numbers, and distances inside the batch have to match
the teacher's (relational distillation, Park et al., CVPR 2019). Small crops first (progressive resizing),
AdamW, one warm-up and cosine decay, exponential moving average of the weights.

Everything random in step t comes from a generator seeded with the run's seed and t, so a resumed run repeats what an
uninterrupted one would have done.
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
from torch.nn import functional

from dhhcli.errors import TrainingError
from dhhcli.research.datasets.augmentation import imitate_frames
from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.training.engine.checkpoint import read_averaged
from dhhcli.research.training.engine.distributed import Devices, gather, halves_pay
from dhhcli.research.training.engine.early_stopping import EarlyStop
from dhhcli.research.training.engine.loop import Report, moving_average, train_task
from dhhcli.research.training.networks.backbone import FEATURES, Backbone, to_input

CLIP = 5.0  # norm of the gradient


@dataclass(frozen=True)
class PretrainSettings:
    """One pre-training run; saved beside its weights and compared on resume."""

    steps: int = 28000
    batch: int = 64
    rate: float = 1.5e-3
    weight_decay: float = 0.02
    warmup: int = 200
    sizes: tuple[tuple[float, int], ...] = ((0.35, 40), (0.7, 52), (1.0, 64))  # (until this share, pixels)
    scale: float = 24.0  # CosFace s
    margin: float = 0.2  # CosFace m
    classify: float = 0.02  # weight of the margin softmax
    distil: float = 4.0  # weight of the squared error to the teacher
    relate: float = 4.0  # weight of the matching of distances inside the batch
    mild: float = 0.5  # share of the pictures that are degraded less than film would, down to not at all
    ema: float = 0.998
    seed: int = 0
    batch_norm: bool = True
    bf16: bool = True  # where it is faster (devices.halves_pay)


class PretrainHeads(nn.Module):
    """What pre-training puts on top of the features and throws away afterwards."""

    def __init__(self, people: int) -> None:
        super().__init__()
        self.teacher = nn.Linear(FEATURES, 128)
        self.classes = nn.Parameter(torch.randn(people, FEATURES) * 0.05)


class Pretraining(nn.Module):
    """Backbone and heads under one roof, so that one optimiser, average and checkpoint hold both."""

    def __init__(self, people: int, *, batch_norm: bool) -> None:
        super().__init__()
        self.backbone = Backbone(batch_norm=batch_norm)
        self.heads = PretrainHeads(people)


def start_weights(model: Pretraining, path: Path) -> None:
    """Load another run's averaged weights, in place; heads only where they fit (as many people).

    Raises:
        TrainingError: the file is no checkpoint of pre-training, or of another backbone.
    """
    tensors = read_averaged(path)
    own = model.state_dict()
    fitting = {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
    missing = [name for name in own if name.startswith("backbone.") and name not in fitting]
    if missing:
        raise TrainingError(
            f"{path}: holds no {missing[0]} of this backbone; name a pretrain.safetensors of another run"
        )
    model.load_state_dict(own | fitting)


def cosface(features: Tensor, classes: Tensor, identity: Tensor, scale: float, margin: float) -> Tensor:
    """Large margin cosine loss: cross entropy of s (cos - m [own class]); (n, d), (p, d), (n,) -> scalar."""
    cosine = functional.normalize(features) @ functional.normalize(classes).T  # (n, p)
    own = functional.one_hot(identity, len(classes)).to(cosine.dtype)
    return functional.cross_entropy(scale * (cosine - margin * own), identity)


def relational(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the two sets' pairwise Euclidean distances: (n, d), (n, e) -> scalar."""
    return (torch.pdist(student) - torch.pdist(teacher)).square().mean()


def rate_at(step: int, settings: PretrainSettings) -> float:
    """Learning rate: linear warm-up, then half a cosine down to a two-hundredth."""
    if step < settings.warmup:
        return settings.rate * (step + 1) / settings.warmup
    progress = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.rate * (0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * progress)))


def size_at(step: int, settings: PretrainSettings) -> int:
    """Side of the training crops at a step, pixels."""
    return next(size for until, size in settings.sizes if step < until * settings.steps or until >= 1)


def draw_batch(
    pack: FacePack, step: int, settings: PretrainSettings
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Crops (batch, s, s, 3) and their rows; each epoch is one permutation of the pack."""
    epochs, places = np.divmod(step * settings.batch + np.arange(settings.batch), len(pack))
    rows = np.empty(settings.batch, np.int64)
    for epoch in np.unique(epochs):
        order = np.random.default_rng([settings.seed, 0, epoch]).permutation(len(pack))
        rows[epochs == epoch] = order[places[epochs == epoch]]
    rng = np.random.default_rng([settings.seed, 1, step])
    size = size_at(step, settings)

    def frame(row: int) -> npt.NDArray[np.uint8]:
        strength = 1.0 if rng.random() >= settings.mild else float(rng.random())
        return imitate_frames(pack.pictures[row], 1, rng, size=size, strength=strength)

    return np.concatenate([frame(row) for row in rows.tolist()]), rows


class Pretrain:
    """The task: margin softmax over all people of a pack, and distillation where it brings a teacher's embeddings.

    Args:
        model: backbone and heads, on its device.
        pack: pictures, identities, teacher.
        settings: see ``PretrainSettings``.
        precision: file that says whether bfloat16 pays, measured at the first step.
        devices: whose share of a batch goes through the backbone.
    """

    def __init__(
        self, model: Pretraining, pack: FacePack, settings: PretrainSettings, precision: Path, devices: Devices
    ) -> None:
        self.model, self.pack, self.settings = model, pack, settings
        self.precision, self.devices = precision, devices
        self.identity, self.teacher = torch.from_numpy(pack.identity), torch.from_numpy(pack.teacher)
        self.known = torch.isfinite(self.teacher).all(dim=1)
        self.bf16: bool | None = None

    def optimiser(self) -> torch.optim.Optimizer:
        s, parameters = self.settings, list(self.model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": s.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=s.rate)

    def stage(self, step: int) -> str:  # noqa: ARG002
        return "backbone"

    def draw(self, step: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        return draw_batch(self.pack, step, self.settings)  # one generator draws all of it: shares are cut off later

    def losses(self, step: int, batch: Any, optimiser: torch.optim.Optimizer) -> tuple[Tensor, dict[str, Tensor]]:
        (crops, rows), s, devices = batch, self.settings, self.devices
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, s)
        own = torch.from_numpy(crops[devices.share(len(crops)).rows]).to(devices.device)
        inputs = to_input(own).contiguous(memory_format=torch.channels_last)
        if self.bf16 is None:
            self.bf16 = s.bf16 and halves_pay(self.model.backbone, inputs, self.precision, devices)
        with torch.autocast(devices.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            features = self.model.backbone(inputs)
        features = gather(features.float(), devices, len(crops))
        heads, identity = self.model.heads, self.identity[rows].to(devices.device)
        losses = {"classify": s.classify * cosface(features, heads.classes, identity, s.scale, s.margin)}
        taught = self.known[rows]
        if taught.sum() > 1:
            target = self.teacher[rows][taught].to(devices.device)
            student = heads.teacher(features[taught.to(devices.device)])
            losses["distil"] = s.distil * (student - target).square().sum(dim=1).mean()
            losses["relate"] = s.relate * relational(student, target)
        return torch.stack(list(losses.values())).sum(), losses


def pretrain(
    pack: FacePack,
    settings: PretrainSettings,
    folder: Path,
    *,
    stamp: dict[str, Any],
    start_from: Path | None = None,
    stop: EarlyStop | None = None,
    checkpoint_every: int = 250,
    devices: Devices | None = None,
) -> Iterator[tuple[Report, Pretraining]]:
    """Train, yielding every ``checkpoint_every`` steps (and at the end) a report and the averaged weights.

    Resumes from ``folder/pretrain.safetensors`` when it is there and was made with the same settings; a run
    that was already complete yields its weights once more, with a report that holds no losses.

    Args:
        pack: pictures, identities, teacher.
        settings: see ``PretrainSettings``.
        folder: where the checkpoint lies.
        stamp: what the checkpoint must have been made with: the settings, and the data.
        start_from: another run's checkpoint; its averaged weights are where this run starts (heads included when
            that run had the same people).
        stop: the caller notes its figures there between reports; when it is over, the best weights are the last ones.
        checkpoint_every: steps.
        devices: what to run on (default: the CPU, one process); every process works on its share of each batch.

    Raises:
        TrainingError: the checkpoint in ``folder`` is damaged, or was made with other settings or data; the loss is no
            longer a number; or ``start_from`` is no such checkpoint.
    """
    devices = devices or Devices(torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):  # torch's layers start from its global generator, which is put back
        torch.manual_seed(settings.seed)
        model = Pretraining(int(pack.identity.max()) + 1, batch_norm=settings.batch_norm)
    task = Pretrain(model, pack, settings, folder / "precision.json", devices)
    if task.known.any():  # start at the mean: the teacher's embeddings are far from centred
        with torch.no_grad():
            model.heads.teacher.bias.copy_(task.teacher[task.known].mean(dim=0))
    if start_from is not None:
        start_weights(model, start_from)
    model.to(devices.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = moving_average(model, settings.ema)
    for report in train_task(
        task,
        model,
        settings.steps,
        folder / "pretrain.safetensors",
        stamp,
        devices,
        average=average,
        stop=stop,
        clip=CLIP,
        every=checkpoint_every,
    ):
        yield report, cast(Pretraining, average.module)
