"""ablation: features of a network (n, d) -> hash layers without one part or another, and the mAP each of them reaches.

The paper's ablations (Qiao et al., TIP 2019): no matrix logarithm; the mean of some frames in its place; lambda, alpha
and the number of frames m; and, beyond the paper, D^T D divided by m. Every variant is trained alike from the same
random start, on the same batches of features of one finished network, by the paper's loss alone (equation 5), so the
figures compare with each other and not with those of shipped weights. What a track layer sees is centred and scaled to
one (a linear map, which the layer could have learnt), because vectors with and without a logarithm differ in size by
orders of magnitude and one learning rate has to suit all.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from dhhcli.errors import PackError, UsageError
from dhhcli.models.binary_codes import hamming, pack
from dhhcli.models.extractor import FeatureExtractor
from dhhcli.models.weights import load_weights, resolve_weights
from dhhcli.research.datasets.pack import merge_packs, read_pack
from dhhcli.research.datasets.protocol import read_protocol
from dhhcli.research.evaluation.metrics import mean_average_precision
from dhhcli.research.training.ablation_data import TRAIN_FRAMES, Bank, Held, hold_out, make_bank
from dhhcli.research.training.engine.distributed import Devices
from dhhcli.research.training.engine.loop import train_task
from dhhcli.research.training.hash_stage import identities, torch_generator
from dhhcli.research.training.networks.log_covariance import log_covariance, pack_triangle
from dhhcli.research.training.networks.losses import heterogeneous_triplets
from dhhcli.research.training.sampler import Pair, draw_pairs, rows_by_person

# how frames (m, d) become one vector: upper triangle of log(D^T D + eps I), of D^T D, or their mean
TrackMap = Literal["log", "none", "mean"]


@dataclass(frozen=True)
class Variant:
    """What is varied; everything else is the same for all."""

    name: str
    alpha: float
    map: TrackMap = "log"
    divide: bool = False
    lambda1: float = 1.0
    lambda2: float = 1.0
    frames: int = TRAIN_FRAMES  # of a track in training, at most


@dataclass(frozen=True)
class AblationSettings:
    """How every variant is trained, and what is measured."""

    bits: int = 48
    steps: int = 300
    people: int = 32  # a batch
    pairs: int = 3  # a person
    rate: float = 1e-3
    track_rate: float = 1e-4
    dropout: float = 0.4
    eps: float = 1e-3
    frames: tuple[int, ...] = (1, 2, 5, 10, 15, 20, 30)  # of a validation shot
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """One line of the table; ``frames`` is the number m of the validation tracks (a set's 6 photos are one track)."""

    variant: str
    frames: int
    query: str
    database: str
    mean_ap: float
    queries: int
    items: int


def variants(bits: int) -> tuple[Variant, ...]:
    """The paper's ablations at some length of code; the first is the paper's own choice."""
    whole = Variant("paper", bits / 8)
    alphas = [bits * part / 24 for part in (1, 2, 4, 6, 7)]  # below K / 3
    return (
        whole,
        replace(whole, name="divided by m", divide=True),
        replace(whole, name="no log", map="none"),
        replace(whole, name="no log, divided by m", map="none", divide=True),
        replace(whole, name="mean frame", map="mean"),
        *(replace(whole, name=f"lambda {both:g}", lambda1=both, lambda2=both) for both in (0.0, 0.1, 10.0)),
        replace(whole, name="lambda1 0", lambda1=0.0),
        replace(whole, name="lambda2 0", lambda2=0.0),
        *(replace(whole, name=f"alpha {alpha:g}", alpha=alpha) for alpha in alphas),
        *(replace(whole, name=f"trained on {m} frames", frames=m) for m in (1, 2, 4)),
    )


def describe(tracks: Tensor, counts: Tensor, variant: Variant, eps: float) -> Tensor:
    """Frames (n, m, d) padded with zero frames, true numbers of frames (n,) -> vectors (n, d) or (n, d (d + 1) / 2)."""
    each = counts.to(tracks.dtype)[:, None]
    if variant.map == "mean":
        return tracks.sum(dim=1) / each
    if variant.map == "log":
        return log_covariance(tracks, eps=eps, counts=counts if variant.divide else None)
    second = pack_triangle(tracks.mT @ tracks)
    return second / each if variant.divide else second


class Layers(nn.Module):
    """Both hash layers of a variant; the track layer's input is centred and scaled as training tracks are."""

    def __init__(self, sample: Tensor, d: int, bits: int, generator: torch.Generator) -> None:
        super().__init__()
        self.mean = sample.mean(dim=0)
        spread = (sample - self.mean).square().mean().sqrt()
        self.scale = 1.0 / spread if spread > 0 else spread + 1.0
        self.still, self.track = (self._layer(n, bits, generator) for n in (d, sample.shape[1]))

    @staticmethod
    def _layer(inputs: int, bits: int, generator: torch.Generator) -> nn.Linear:
        with torch.random.fork_rng(devices=[]):  # torch's own start comes from its global generator: put back
            layer = nn.Linear(inputs, bits)
        bound = inputs**-0.5
        with torch.no_grad():
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.zero_()
        return layer

    def logits(self, kind: Literal["still", "track"], x: Tensor) -> Tensor:
        """(n, d) or (n, d (d + 1) / 2) -> (n, K); the bit is 1 from 0 on."""
        logits: Tensor = self.still(x) if kind == "still" else self.track((x - self.mean) * self.scale)
        return logits


@dataclass(frozen=True, eq=False)
class VariantBatch:
    """What one step sees: n pairs of one person each."""

    stills: Tensor  # (n, d)
    tracks: Tensor  # (n, m, d), zero frames behind
    counts: Tensor  # (n,) true numbers of frames
    ids: Tensor  # (n,)
    noise: torch.Generator  # of dropout


class Training:
    """The task: both layers of a variant, by the paper's loss; variants of one seed see the same batches."""

    def __init__(self, layers: Layers, bank: Bank, variant: Variant, settings: AblationSettings) -> None:
        self.layers, self.bank, self.variant, self.settings = layers, bank, variant, settings
        self.people = rows_by_person(bank.identity)
        self.schedule: torch.optim.lr_scheduler.LRScheduler | None = None

    def optimiser(self) -> torch.optim.Optimizer:
        s, layers = self.settings, self.layers
        rates = [s.rate, s.rate if self.variant.map == "mean" else s.track_rate]
        optimiser = torch.optim.Adam(
            [{"params": layers.still.parameters()}, {"params": layers.track.parameters()}], lr=s.rate
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=s.steps, pct_start=0.1)
        return optimiser

    def stage(self, step: int) -> str:  # noqa: ARG002
        return self.variant.name

    def draw(self, step: int) -> VariantBatch:
        s = self.settings
        rng = np.random.default_rng([s.seed, 9, step])
        pairs = draw_pairs(self.people, self.bank.identity, count=s.people, pairs=s.pairs, frames=TRAIN_FRAMES, rng=rng)
        noise = torch_generator(rng)
        drawn = [_features_of(self.bank, pair, train_frames(self.bank, self.variant), rng) for pair in pairs]
        stills = torch.stack([still for still, _ in drawn])
        tracks = pad_sequence([track for _, track in drawn], batch_first=True)
        counts = torch.tensor([len(track) for _, track in drawn])
        return VariantBatch(stills, tracks, counts, identities(pairs), noise)

    def losses(
        self,
        step: int,
        batch: VariantBatch,
        optimiser: torch.optim.Optimizer,  # noqa: ARG002
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if step and self.schedule:
            self.schedule.step()
        dropout = self.settings.dropout
        vectors = describe(batch.tracks, batch.counts, self.variant, self.settings.eps)
        terms = heterogeneous_triplets(
            torch.sigmoid(self.layers.logits("still", _drop(batch.stills, dropout, batch.noise))),
            torch.sigmoid(self.layers.logits("track", _drop(vectors, dropout, batch.noise))),
            batch.ids,
            batch.ids,
            self.variant.alpha,
        )
        loss = terms.total(self.variant.lambda1, self.variant.lambda2)
        return loss, {"loss": loss}


def train_frames(bank: Bank, variant: Variant) -> int:
    """Frames of a training track, at most."""
    return min(variant.frames, bank.shots.shape[1])


def train_variant(bank: Bank, variant: Variant, settings: AblationSettings) -> Layers:
    """Hash layers of one variant, on the CPU.

    Raises:
        TrainingError: the loss is no longer a number.
    """
    frames = train_frames(bank, variant)
    sample = bank.shots[:: max(1, len(bank.shots) // 256), :frames].contiguous()
    start = torch.Generator().manual_seed(settings.seed)
    described = describe(sample, torch.full((len(sample),), frames), variant, settings.eps)
    layers = Layers(described, sample.shape[2], settings.bits, start)
    task = Training(layers, bank, variant, settings)
    for _ in train_task(task, layers, settings.steps, None, {}, Devices(torch.device("cpu"))):
        pass
    return layers


def _drop(x: Tensor, dropout: float, generator: torch.Generator) -> Tensor:
    return x * (torch.rand(x.shape, generator=generator) >= dropout) / (1 - dropout)


def _features_of(bank: Bank, pair: Pair, frames: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A still (d,) and a track (m, d) out of the bank."""
    still = bank.looks[pair.still, int(rng.integers(bank.looks.shape[1]))]
    if len(pair.track) == 1:
        return still, bank.shots[pair.track[0], :frames]
    rows = torch.tensor(pair.track)[:frames]
    return still, bank.looks[rows, torch.from_numpy(rng.integers(0, bank.looks.shape[1], len(rows)))]


@torch.no_grad()
def measure(layers: Layers, held: Held, variant: Variant, settings: AblationSettings) -> Iterator[Outcome]:
    """mAP of a variant's codes: stills and sets both ways, stills and shots both ways for every number of frames."""

    def codes(kind: Literal["still", "track"], x: Tensor) -> npt.NDArray[np.uint8]:
        return pack(layers.logits(kind, x).numpy() >= 0)

    stills = codes("still", held.stills)
    counts = torch.tensor([len(track) for track in held.sets])
    sets = describe(pad_sequence(list(held.sets), batch_first=True), counts, variant, settings.eps)
    yield from _both_ways(variant.name, int(counts.max()), "set", stills, codes("track", sets), held, held.set_people)
    for m in settings.frames:
        # spread over the shot, as a sampler of frames would take them
        taken = held.shots[:, np.linspace(0, held.shots.shape[1] - 1, m).round().astype(int)]
        shots = describe(taken, torch.full((len(taken),), m), variant, settings.eps)
        yield from _both_ways(variant.name, m, "shot", stills, codes("track", shots), held, held.shot_people)


def _both_ways(
    name: str,
    m: int,
    kind: str,
    stills: npt.NDArray[np.uint8],
    tracks: npt.NDArray[np.uint8],
    held: Held,
    people: npt.NDArray[np.int64],
) -> Iterator[Outcome]:
    distance, same = hamming(stills, tracks), held.still_people[:, None] == people[None]
    yield Outcome(name, m, "still", kind, mean_average_precision(distance, same), *same.shape)
    yield Outcome(name, m, kind, "still", mean_average_precision(distance.T, same.T), *same.T.shape)


def ablate(
    data: Sequence[Path],
    pack_path: Path,
    protocol_path: Path,
    weights_name: str | None,
    settings: AblationSettings,
    *,
    people: int = 400,
    note: Callable[[str], None] = lambda _: None,
) -> list[Outcome]:
    """The whole table on the features of some weights.

    Args:
        data: face packs to train on.
        pack_path: face pack of other people.
        protocol_path: what to ask of them.
        weights_name: as everywhere.
        settings: the same for all variants.
        people: how many to train on, at most.
        note: is told what is going on.

    Raises:
        PackError: a pack or the protocol cannot be read, or do not belong together.
        UsageError: fewer than two people to train on.
        WeightsError: the weights cannot be used.
    """
    protocol = read_protocol(protocol_path)
    faces = read_pack(pack_path)
    last = max((row for p in protocol for row in (*p.queries, *p.shots, *sum(p.sets, ()))), default=-1)
    if last >= len(faces):
        raise PackError(f"{protocol_path}: names row {last}, but {pack_path} has {len(faces)} crops; pair them rightly")
    for kind in ("queries", "sets", "shots"):
        if not any(getattr(person, kind) for person in protocol):
            raise PackError(f"{protocol_path}: names no {kind}; the ablations need queries, sets and shots")
    extract = FeatureExtractor(load_weights(resolve_weights(weights_name)).onnx_path, threads=os.cpu_count() or 1)
    train = merge_packs([read_pack(path) for path in data])
    if len(rows_by_person(train.identity)) < 2:
        raise UsageError(f"{data[0]}: a triplet needs two people of two photos or more; give another pack with --data")
    bank = make_bank(train, extract, people, settings.seed)
    note(f"features of {len(bank.identity)} photos of {len(np.unique(bank.identity))} people")
    held = hold_out(faces, protocol, extract)
    outcomes: list[Outcome] = []
    every = variants(settings.bits)
    for number, variant in enumerate(every, 1):
        found = list(measure(train_variant(bank, variant, settings), held, variant, settings))
        outcomes += found
        note(f"{number}/{len(every)} {variant.name}: still -> set mAP {found[0].mean_ap:.4f}")
    return outcomes
