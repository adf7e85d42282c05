"""feature_layers: features (n, r, d) of a finished backbone + people -> a linear hash (K, d) by dnnh, dsh or hashnet.

The paper's deep baselines start from the backbone that everybody starts from; here it stands still, so all that is
trained is the layer on top, one for each length of code, in seconds (end_to_end.py goes on from there through the
backbone). Everything random of step t comes from a generator seeded with (seed, K, t); a resumed run (loop.py) repeats
what an uninterrupted one would have done.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dhhcli.errors import UsageError
from dhhcli.research.baselines.deep.dnnh import Dnnh
from dhhcli.research.baselines.deep.dsh import Dsh
from dhhcli.research.baselines.deep.hashnet import Hashnet
from dhhcli.research.training.engine.distributed import Devices
from dhhcli.research.training.engine.loop import Report, train_task
from dhhcli.research.training.sampler import rows_by_person

Name = Literal["dnnh", "dsh", "hashnet"]


@dataclass(frozen=True)
class FeatureSettings:
    """How a hash layer on finished features is trained; saved beside the weights and compared on resume.

    Batches, steps and rate are chosen here; the constants of the losses stand in the methods' own modules.
    """

    method: Name = "dsh"
    lengths: tuple[int, ...] = (48,)
    people: int = 32  # a batch
    photos: int = 4  # a person
    most: int = 32  # photos of a person whose features are computed
    steps: int = 3000
    rate: float = 1e-3
    weight_decay: float = 5e-4
    backbone_steps: int = 0  # after those, through the backbone (baselines/deep/end_to_end.py)
    backbone_rate: float = 1e-5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            UsageError: a number is out of its range.
        """
        ranges = {
            "people": self.people >= 2,
            "photos": self.photos >= 2,
            "most": self.most >= 2,
            "steps": self.steps >= 1,
            "rate": self.rate > 0,
            "backbone_steps": self.backbone_steps >= 0,
            "backbone_rate": self.backbone_rate > 0,
            "weight_decay": self.weight_decay >= 0,
        }
        wrong = [f"{name} {getattr(self, name)}" for name, right in ranges.items() if not right]
        if wrong:
            raise UsageError(f"{', '.join(wrong)}: out of range")

    @classmethod
    def of(cls, method: Name, lengths: Sequence[int], seed: int) -> "FeatureSettings":
        """The method's own; DNNH's triplets grow with the batch cubed, so it gets half of one and half of the steps."""
        base = cls(method=method, lengths=tuple(sorted(set(lengths))), seed=seed)
        return replace(base, people=16, steps=1500) if method == "dnnh" else base


class Layer(nn.Module):
    """The task: one hash layer on batches of some photos of some people.

    Args:
        features: (n, r, d), r looks of every photo.
        identity: (n,) people.
        bits: K.
        settings: the rest.
        device: where it is trained.
    """

    def __init__(
        self,
        features: Tensor,
        identity: npt.NDArray[np.int64],
        bits: int,
        settings: FeatureSettings,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.bank, self.identity, self.bits, self.settings, self.device = features, identity, bits, settings, device
        self.people = rows_by_person(identity)
        flat = features.flatten(0, 1)
        self.mean, self.spread = flat.mean(dim=0), float(flat.std(dim=0).square().mean().sqrt())
        d = features.shape[2]
        self.hash = hash_layer(settings.method, d, bits)

    def optimiser(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.settings.rate, weight_decay=self.settings.weight_decay)

    def stage(self, step: int) -> str:  # noqa: ARG002
        return f"{self.settings.method} {self.bits}"

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self.settings.seed, 15, self.bits, step])
        rows = draw_rows(self.people, self.settings, rng)
        looks = torch.from_numpy(rng.integers(0, self.bank.shape[1], len(rows)))
        return self.bank[torch.from_numpy(rows), looks], torch.from_numpy(self.identity[rows])

    def losses(self, step: int, batch: Any, optimiser: torch.optim.Optimizer) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        features, who = batch
        descend: Callable[..., tuple[Tensor, dict[str, Tensor]]] = self.hash.losses  # type: ignore[assignment]
        return descend(self.standard(features).to(self.device), who.to(self.device), step)

    def standard(self, features: Tensor) -> Tensor:
        """Features (n, d) about their mean, in units of their spread: what the layer sees."""
        return (features.float() - self.mean.to(features.device)) / self.spread

    def linear(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Weight (K, d) and bias (K,) on features as they are: a bit is 1 where weight @ x + bias is not negative."""
        return as_linear(lambda probes: self.hash(self.standard(probes).to(self.device)), len(self.mean))


def hash_layer(method: Name, features: int, bits: int) -> nn.Module:
    """The method's layer (n, d) -> (n, K), drawn from torch's global generator."""
    make: dict[Name, Callable[[int, int], nn.Module]] = {"dnnh": Dnnh, "dsh": Dsh, "hashnet": Hashnet}
    return make[method](features, bits)


def draw_rows(
    people: Sequence[npt.NDArray[np.int64]], settings: FeatureSettings, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Rows of a batch: some people, of each of them some photos."""
    chosen = rng.choice(len(people), min(settings.people, len(people)), replace=False)
    return np.concatenate([rng.permutation(people[who])[: settings.photos] for who in chosen])


@torch.no_grad()
def as_linear(
    values: Callable[[Tensor], Tensor], features: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Weight (K, d) and bias (K,) of an affine map (n, d) -> (n, K), from what it makes of the unit vectors."""
    found = values(torch.cat([torch.zeros(1, features), torch.eye(features)])).double().cpu()
    return (found[1:] - found[0]).T.float().numpy().copy(), found[0].float().numpy().copy()


def train_layers(
    features: Tensor,
    identity: npt.NDArray[np.int64],
    settings: FeatureSettings,
    folder: Path,
    stamp: dict[str, Any],
    devices: Devices,
) -> Iterator[tuple[Report, Layer]]:
    """Train a layer for every length, or go on, yielding it every 250 steps and at its end.

    Args:
        features: (n, r, d) float, r looks of every photo.
        identity: (n,) people.
        settings: how.
        folder: of the checkpoints, one a length.
        stamp: what the features are of; compared on resume.
        devices: several processes all do the same.

    Raises:
        TrainingError: a checkpoint is damaged or was made with other settings, or a loss is no longer a number.
        UsageError: fewer than two people have two photos.
    """
    if len(rows_by_person(identity)) < 2:
        raise UsageError("pairs need two people of two photos or more; give another pack with --data")
    for bits in settings.lengths:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            task = Layer(features, identity, bits, settings, devices.device)
        task.to(devices.device)
        # what comes after these steps does not matter to them
        made_with = {k: v for k, v in asdict(settings).items() if not k.startswith("backbone_")} | stamp
        path = folder / f"checkpoint-{bits}.safetensors"
        for report in train_task(task, task, settings.steps, path, made_with, devices):
            yield report, task


def fit_layer(
    features: npt.NDArray[np.float32], identity: npt.NDArray[np.int64], settings: FeatureSettings
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Features (n, d) with people (n,) -> weight (K, d) and bias (K,) of one length; on the CPU, nothing is kept.

    Raises:
        UsageError: fewer than two people have two photos.
    """
    with TemporaryDirectory() as folder:
        one = Devices(torch.device("cpu"))
        *_, (_, layer) = train_layers(torch.from_numpy(features)[:, None], identity, settings, Path(folder), {}, one)
    return layer.linear()
