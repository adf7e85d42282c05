"""image_networks: face pack -> network that hashes single pictures (n, K), trained by the losses of ddah, dcbh or dmh.

The plain loop that these three rivals share: epochs over all pictures in a random order, Adam, a rate that is halved
every so many epochs as published, or falls along a cosine where there is time for few. Everything random of step t
comes from generators seeded with (seed, epoch) and (seed, t, picture), so a resumed run (loop.py) repeats what an
uninterrupted one would have done.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dhhcli.errors import UsageError
from dhhcli.research.baselines.deep import dcbh, ddah, dmh
from dhhcli.research.datasets.augmentation import imitate_frames
from dhhcli.research.datasets.pack import FacePack, fingerprint
from dhhcli.research.training.engine.distributed import Devices, gather, halves_pay
from dhhcli.research.training.engine.loop import Report, train_task
from dhhcli.research.training.networks.backbone import to_input

SIZES = (32, 64)  # pixels: the papers' and ours
Name = Literal["ddah", "dcbh", "dmh"]
Rate = Literal["halved", "cosine"]
PAPERS = {
    "ddah": "Xiong et al., Discriminative Deep Attention-Aware Hashing for Face Image Retrieval, PRICAI 2019",
    "dcbh": "Jang, Jeong, Lee and Cho, Deep Clustering and Block Hashing Network for Face Image Retrieval, ACCV 2018",
    "dmh": "Pan, Deep Metric Hashing, master's thesis, 2019",
}


@dataclass(frozen=True)
class StillSettings:
    """How a network of single pictures is trained; saved beside the weights and compared on resume.

    Batch, rate and halvings are DDAH's (DCBH: the same batch and its own weight decay); 300 epochs are chosen, and so
    is what DMH does not say.
    """

    method: Name = "ddah"
    lengths: tuple[int, ...] = (48,)
    size: int = 32  # side of the crops, pixels
    epochs: float = 300.0
    batch: int = 256
    rate: float = 1e-3
    falls: Rate = "halved"
    halve_every: int = 100  # epochs
    weight_decay: float = 1e-4
    strength: float = 0.5  # of imitating film on the pictures, at most (research/datasets/augmentation.py)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # measured where the run starts
    seed: int = 0
    quantisation: float = 0.0  # weight of the quantisation loss
    centre: float = 0.0  # weight of the centre loss
    margin: float = 0.0  # of the face spatial loss

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            UsageError: a number is out of its range.
        """
        ranges = {
            "size": self.size in SIZES,
            "epochs": self.epochs > 0,
            "batch": self.batch >= 2,
            "rate": self.rate > 0,
            "falls": self.falls in get_args(Rate),
            "halve_every": self.halve_every >= 1,
            "weight_decay": self.weight_decay >= 0,
            "strength": 0 <= self.strength <= 1,
            "precision": self.precision in ("auto", "float32", "bfloat16"),
            "quantisation": self.quantisation >= 0,
            "centre": self.centre >= 0 if self.method != "ddah" else not self.centre,
            "margin": self.margin >= 0 if self.method == "ddah" else not self.margin,
        }
        wrong = [f"{name} {getattr(self, name)}" for name, right in ranges.items() if not right]
        if wrong:
            raise UsageError(f"{', '.join(wrong)}: out of range, or {self.method} has no such thing")

    @classmethod
    def of(cls, method: Name, lengths: Sequence[int], seed: int) -> "StillSettings":
        """The method's own."""
        base = cls(lengths=tuple(sorted(set(lengths))), seed=seed)
        match method:
            case "ddah":
                return replace(base, method=method, quantisation=ddah.QUANTISATION, margin=ddah.MARGIN)
            case "dcbh":
                quantisation, centre = dcbh.QUANTISATION, dcbh.CENTRE
                return replace(base, method=method, weight_decay=2e-4, quantisation=quantisation, centre=centre)
            case "dmh":
                return replace(base, method=method, quantisation=dmh.QUANTISATION, centre=dmh.CENTRE)

    def rows(self, length: int) -> slice:
        """Where the bits of one length stand among those of all."""
        first = sum(self.lengths[: self.lengths.index(length)])
        return slice(first, first + length)


def build(settings: StillSettings, people: int) -> nn.Module:
    """The method's network, its layers drawn from torch's global generator."""
    s = settings
    match s.method:
        case "ddah":
            return ddah.Ddah(s.lengths, people, size=s.size, margin=s.margin, quantisation=s.quantisation)
        case "dcbh":
            return dcbh.Dcbh(s.lengths, people, quantisation=s.quantisation, centre=s.centre)
        case "dmh":
            return dmh.Dmh(s.lengths, people, quantisation=s.quantisation, centre=s.centre)


class Pictures(nn.Module):
    """The task: a network on batches of pictures with people."""

    def __init__(self, network: nn.Module, pack: FacePack, settings: StillSettings, devices: Devices) -> None:
        super().__init__()
        self.network = network
        self.pack, self.settings, self.devices = pack, settings, devices
        self.who = np.unique(pack.identity, return_inverse=True)[1]  # (n,) from 0, nobody left out
        self.an_epoch = max(1, len(pack) // settings.batch)  # steps; what is left over comes in another epoch
        self.steps = max(1, round(settings.epochs * self.an_epoch))
        self.bf16 = False

    def optimiser(self) -> torch.optim.Optimizer:
        centres = [p for name, p in self.named_parameters() if name.endswith("centres")]
        rest = [p for name, p in self.named_parameters() if not name.endswith("centres")]
        groups: list[dict[str, Any]] = [{"params": rest, "weight_decay": self.settings.weight_decay}]
        if centres:
            groups.append({"params": centres})
        return torch.optim.Adam(groups, lr=self.settings.rate)

    def stage(self, step: int) -> str:  # noqa: ARG002
        return self.settings.method

    def draw(self, step: int) -> tuple[npt.NDArray[np.uint8], Tensor]:
        s, batch = self.settings, min(self.settings.batch, len(self.pack))
        epoch, place = divmod(step, self.an_epoch)
        order = np.random.default_rng([s.seed, 12, epoch]).permutation(len(self.pack))
        rows = order[place * batch : (place + 1) * batch]
        share = self.devices.share(batch)
        crops = []
        for k in range(share.start, share.stop):
            rng = np.random.default_rng([s.seed, 13, step, k])
            strength = s.strength * float(rng.random())
            crops.append(imitate_frames(self.pack.pictures[rows[k]], 1, rng, size=s.size, strength=strength))
        return np.concatenate(crops), torch.from_numpy(self.who[rows[share.rows]])

    def losses(self, step: int, batch: Any, optimiser: torch.optim.Optimizer) -> tuple[Tensor, dict[str, Tensor]]:
        crops, who = batch
        for group in optimiser.param_groups:
            group["lr"] = self.rate_at(step)
        device = self.devices.device
        inputs = to_input(torch.from_numpy(crops).to(device)).contiguous(memory_format=torch.channels_last)
        whole = min(self.settings.batch, len(self.pack))

        def mean(each: Tensor) -> Tensor:
            return gather(each, self.devices, whole).mean()

        descend: Callable[..., tuple[Tensor, dict[str, Tensor]]] = self.network.losses  # type: ignore[assignment]
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return descend(inputs, who.to(device), mean)

    def rate_at(self, step: int) -> float:
        """Halved every so many epochs, or half a period of a cosine over the whole run."""
        s = self.settings
        if s.falls == "cosine":
            return s.rate * (1 + math.cos(math.pi * step / self.steps)) / 2
        return float(s.rate * 0.5 ** (step // (self.an_epoch * s.halve_every)))


def train_stills(
    pack: FacePack, settings: StillSettings, folder: Path, devices: Devices
) -> Iterator[tuple[Report, nn.Module]]:
    """Train, or go on training, yielding the network every 250 steps and at the end.

    Raises:
        TrainingError: the checkpoint is damaged or was made with other settings, or the loss is no longer a number.
        UsageError: the pack shows one person, or there are more processes than pictures in a batch.
    """
    people = len(np.unique(pack.identity))
    if people < 2:
        raise UsageError(f"{pack.path}: people are told apart by other people; give another pack with --data")
    with torch.random.fork_rng(devices=[]):  # layers start from torch's global generator, which is put back
        torch.manual_seed(settings.seed)
        network = build(settings, people)
    task = Pictures(network, pack, settings, devices)
    task.to(devices.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if settings.precision == "auto":
        inputs = to_input(torch.zeros(32, settings.size, settings.size, 3, dtype=torch.uint8)).to(devices.device)
        task.bf16 = halves_pay(copy.deepcopy(network), inputs, folder / "precision.json", devices)
    else:
        task.bf16 = settings.precision == "bfloat16"
    stamp = asdict(settings) | {"data": fingerprint(pack)}
    for report in train_task(task, task, task.steps, folder / "checkpoint.safetensors", stamp, devices):
        yield report, network
