"""end_to_end: crops (n, 64, 64, 3) of some photos of some people -> backbone and hash values (n, K), trained together.

By dnnh, dsh or hashnet, as the paper has its deep baselines: the hash layer was trained on the features of the backbone
that everybody starts from (feature_layers.py), and now both are. Codes of several lengths share the backbone, each with
its own layer, their losses averaged (one length: the methods' own way). A layer that starts at random would first spoil
the backbone: twenty steps took .05 off the features' mAP.

Chosen here: Adam, the layers' rate ten times the backbone's (HashNet's public code), both falling along half a period
of a cosine; pictures imitated as film at a random strength, as for the other networks (image_networks.py). The backbone
comes as it ships: batch normalisation folded into its convolutions, so nothing depends on the batch; its feature that
is constant stays so. Everything random of step t comes from a generator seeded with (seed, t); a resumed run (loop.py)
repeats what an uninterrupted one would have done.
"""

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dhhcli.research.baselines.deep.feature_layers import FeatureSettings, Layer, as_linear, draw_rows
from dhhcli.research.datasets.augmentation import imitate_frames
from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.training.engine.distributed import Devices, gather, halves_pay
from dhhcli.research.training.engine.loop import Report, train_task
from dhhcli.research.training.networks.backbone import Backbone, to_input
from dhhcli.research.training.sampler import rows_by_person

STRENGTH = 0.5  # of imitating film on the pictures, at most (research/datasets/augmentation.py)
FASTER = 10.0  # the layers' rate in units of the backbone's


class DeepHash(nn.Module):
    """A backbone and a hash layer for each length.

    Args:
        backbone: d features, or more, of which the layers see the first d.
        layers: length of code -> what baselines/deep/feature_layers.py trained; not copied.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, backbone: Backbone, layers: Mapping[int, Layer]) -> None:
        super().__init__()
        some = next(iter(layers.values()))  # they have the features in common
        self.register_buffer("mean", some.mean)
        self.register_buffer("spread", torch.tensor(some.spread))
        self.backbone = backbone
        self.hashes = nn.ModuleDict({str(K): layer.hash for K, layer in layers.items()})

    def forward(self, crops: Tensor) -> Tensor:
        """Hash values (n, sum of all K) of crops (n, 3, s, s); a bit is 1 where its value is not negative."""
        standard = self.standard(self.backbone(crops))
        return torch.cat([layer(standard) for layer in self.hashes.values()], dim=1)

    def standard(self, features: Tensor) -> Tensor:
        """Features (n, d or more) as the layers see them, (n, d)."""
        return (features[:, : len(self.mean)].float() - self.mean) / self.spread

    def linear(self, bits: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Weight (K, d) and bias (K,) of one length on the first d of the backbone's features as they are."""
        layer, device = self.hashes[str(bits)], self.mean.device
        return as_linear(lambda probes: layer(self.standard(probes.to(device))), len(self.mean))


class PeoplesPhotos(nn.Module):
    """The task: such a network on batches of some photos of some people."""

    def __init__(self, network: DeepHash, pack: FacePack, settings: FeatureSettings, devices: Devices) -> None:
        super().__init__()
        self.network = network
        self.pack, self.settings, self.devices = pack, settings, devices
        self.people = rows_by_person(pack.identity)
        self.bf16 = False

    def optimiser(self) -> torch.optim.Optimizer:
        s = self.settings
        groups: list[dict[str, Any]] = [
            {"params": self.network.hashes.parameters(), "weight_decay": s.weight_decay},
            {"params": self.network.backbone.parameters()},  # what it was trained with is in it
        ]
        return torch.optim.Adam(groups)

    def stage(self, step: int) -> str:  # noqa: ARG002
        return f"{self.settings.method} and backbone"

    def draw(self, step: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        rng = np.random.default_rng([self.settings.seed, 18, step])
        rows = draw_rows(self.people, self.settings, rng)
        strengths = STRENGTH * rng.random(len(rows))
        crops = []
        for k in range(*self.devices.share(len(rows)).rows.indices(len(rows))):
            own = np.random.default_rng([self.settings.seed, 19, step, k])
            crops.append(imitate_frames(self.pack.pictures[rows[k]], 1, own, strength=float(strengths[k])))
        return np.concatenate(crops), self.pack.identity[rows]

    def losses(self, step: int, batch: Any, optimiser: torch.optim.Optimizer) -> tuple[Tensor, dict[str, Tensor]]:
        crops, who = batch
        for group, rate in zip(optimiser.param_groups, self.rates_at(step), strict=True):
            group["lr"] = rate
        device = self.devices.device
        inputs = to_input(torch.from_numpy(crops).to(device)).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bf16):
            features = self.network.backbone(inputs)
        features = self.network.standard(gather(features.float(), self.devices, len(who)))
        people = torch.from_numpy(who).to(device)
        terms: dict[str, Tensor] = {}
        total = features.new_zeros(())
        for layer in self.network.hashes.values():
            loss, each = layer.losses(features, people, self.settings.steps + step)  # type: ignore[operator]
            total = total + loss / len(self.network.hashes)
            for name, value in each.items():
                terms[name] = terms.get(name, features.new_zeros(())) + value / len(self.network.hashes)
        return total, terms

    def rates_at(self, step: int) -> tuple[float, float]:
        """Of the layers and of the backbone."""
        falling = self.settings.backbone_rate * (1 + math.cos(math.pi * step / self.settings.backbone_steps)) / 2
        return FASTER * falling, falling


def train_deep(
    pack: FacePack,
    backbone: Backbone,
    layers: Mapping[int, Layer],
    settings: FeatureSettings,
    folder: Path,
    stamp: dict[str, Any],
    devices: Devices,
) -> Iterator[tuple[Report, DeepHash]]:
    """Train, or go on training, yielding the network every 250 steps and at the end.

    Args:
        pack: pictures and people, as the layers were trained on their features.
        backbone: where to start; a copy is trained.
        layers: where to start, by length; copies are trained.
        settings: with one of ``backbone_steps`` or more.
        folder: of the checkpoint.
        stamp: what the data and the backbone are; compared on resume.
        devices: what to run on.

    Raises:
        TrainingError: the checkpoint is damaged or was made with other settings, or the loss is no longer a number.
        UsageError: there are more processes than pictures in a batch.
    """
    network = copy.deepcopy(DeepHash(backbone, layers))
    task = PeoplesPhotos(network, pack, settings, devices)
    task.to(devices.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs = to_input(torch.zeros(32, 64, 64, 3, dtype=torch.uint8)).to(devices.device)
    task.bf16 = halves_pay(copy.deepcopy(network.backbone), inputs, folder / "precision.json", devices)
    made_with, checkpoint = asdict(settings) | stamp, folder / "checkpoint-backbone.safetensors"
    for report in train_task(task, task, settings.backbone_steps, checkpoint, made_with, devices):
        yield report, network
