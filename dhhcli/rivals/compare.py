"""compare: methods x bits x seeds on one split -> a cell each (figures, curves), kept on disk as soon as it is there.

All methods share one backbone's features, one draw of training videos, and the same photos and videos to ask with; a
seed decides what a method itself draws (directions, anchors, samples, starts). Asking again computes what is missing: a
cell's name holds the fingerprints of the data and of the weights.
"""

import json
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ..directions import Line, Result
from ..errors import UsageError, WeightsError
from ..evaluate import is_homogeneous
from ..figures import Loaded, load_all
from ..files import write_atomically
from ..metrics import Ranking
from ..weights import resolve_weights
from . import METHODS, method
from .measure import Asked, code_results, feature_results
from .own import OWN, own_method
from .protocol import Covariance, Method, Training
from .split import Split, looks_of, training_of
from .store import FeatureStore

FORMAT = 1  # of cells
POINTS = 101  # of a kept curve
LENGTHS = (12, 24, 48)  # the paper's
ALIASES = {
    "frames": ("features", "dhh", "frames", "itq", "lsh", "random"),
    "fitted": ("features", "dhh", *METHODS, "random"),
    "all": ("features", "dhh", "frames", *METHODS, "random"),
}
NAMES = (*OWN, *METHODS)


@dataclass(frozen=True)
class Cell:
    """What is computed and kept at once."""

    method: str
    bits: int  # 0: real numbers
    seed: int
    kind: str
    fit_seconds: float
    results: tuple[Result, ...]  # Line.weights is the method, Line.representation the way a video is searched


@dataclass(frozen=True)
class Plan:
    """What is compared."""

    methods: tuple[str, ...]
    bits: tuple[int, ...] = LENGTHS
    seeds: int = 1
    folder: Path | None = None  # where cells and features are kept
    threads: int = 1
    first_seed: int = 0
    own: dict[int, Loaded] = field(default_factory=dict)  # bits -> weights of dhh
    rivals: tuple[Loaded, ...] = ()  # weights of other trained methods: a row each, whatever ``methods`` are


@dataclass(frozen=True)
class Job:
    """A cell to be."""

    method: str
    bits: int
    seed: int
    made: Loaded | None  # weights that hash, or whose features are fitted on; None: there are none
    given: bool = False  # the weights are the method


def named(text: str) -> tuple[str, ...]:
    """Names of methods out of ``itq,ksh`` or ``all``; a name of several stands for those.

    Raises:
        UsageError: a name is unknown, or there is none.
    """
    found: dict[str, None] = {}
    for name in (part.strip() for part in text.split(",")):
        if name not in NAMES and name not in ALIASES:
            raise UsageError(f"--compare: no method called {name!r}; there are {', '.join((*ALIASES, *NAMES))}")
        # 'frames' alone is also a method: in a list it is that one
        several = ALIASES.get(name, ()) if name != "frames" or text.strip() == "frames" else ()
        found |= dict.fromkeys(several or (name,))
    return tuple(found)


def plan(
    methods: tuple[str, ...],
    bits: Sequence[int],
    seeds: int,
    weights: Sequence[str],
    folder: Path | None,
    *,
    threads: int = 1,
    first_seed: int = 0,
) -> Plan:
    """Weights of every length found and verified, before anything is computed.

    Weights of dhh are those of ``dhh`` and ``frames``, and their backbone gives the features that methods are fitted
    on; without any, the shipped ones. Weights of a frame-wise method (``dhh train --method``) are rows of their own.

    Raises:
        UsageError: several weights of dhh of one length, or of several backbones.
        WeightsError: weights cannot be used, or are of lengths that are not asked for.
    """
    named_ones = load_all(weights) if weights else []
    rivals = tuple(one for one in named_ones if one.layers.framewise)
    loaded = [one for one in named_ones if not one.layers.framewise]
    lengths = tuple(dict.fromkeys(bits or sorted(one.layers.bits for one in named_ones) or LENGTHS))
    for one in named_ones:
        if one.layers.bits not in lengths:
            raise WeightsError(f"{one.name}: codes of {one.layers.bits} bits; give --bits {one.layers.bits} too")
    missing = [length for length in lengths if length not in [one.layers.bits for one in loaded]]
    if loaded and missing and {"dhh", "frames"} & {*methods}:
        raise WeightsError(f"--bits {missing[0]}: none of --weights is of dhh and that length, and methods include dhh")
    if not loaded:
        shipped = [f"dhh-{length}" for length in lengths if resolve_weights(f"dhh-{length}").is_file()]
        loaded = load_all(shipped)  # none of these lengths: the default's backbone
    own: dict[int, Loaded] = {}
    for one in loaded:
        if one.layers.bits in own:
            both = f"{own[one.layers.bits].name} and {one.name}"
            raise UsageError(f"--weights: {both} are of one length; name one of them")
        own[one.layers.bits] = one
    if len({_backbone(one) for one in loaded}) > 1:
        raise UsageError("--weights: of several backbones; methods are fitted on the features of one")
    return Plan(methods, lengths, seeds, folder, threads, first_seed, own, rivals)


def _backbone(one: Loaded) -> str:
    return str(one.weights.record["files"]["onnx"]["sha256"])


def compare(split: Split, wanted: Plan, note: Callable[[str], None] = lambda _: None) -> list[Cell]:
    """Every cell, from disk where it is there.

    Raises:
        DhhError: what a method's ``fit`` raises.
    """
    identity = split.fingerprint()
    sources: dict[str, Source] = {}
    cells = []
    jobs = _jobs(wanted)
    for number, job in enumerate(jobs, 1):
        if job.made is None:
            note(f"{job.method}: no weights of {job.bits} bits; left out")
            continue
        stem = f"{job.method} {job.bits} {job.seed}"
        key = sha256(f"{FORMAT} {identity} {job.made.weights.fingerprint} {stem}".encode()).hexdigest()
        file = f"{stem.replace(' ', '-')}-{key[:12]}.json"
        path = wanted.folder / "cells" / file if wanted.folder else None
        cell = read_cell(path) if path else None
        if cell is None:
            backbone = _backbone(job.made)
            if backbone not in sources:
                sources[backbone] = Source(split, job.made, wanted.folder, wanted.threads)
            cell = _cell(job, sources[backbone])
            if path:
                write_cell(path, cell)
        first = cell.results[0].line
        note(
            f"{number}/{len(jobs)} {job.method} {job.bits or ''} seed {job.seed}: {first.query} -> {first.database} "
            f"{first.mean_ap:.4f}, fitted in {cell.fit_seconds:.1f} s"
        )
        cells.append(cell)
    return cells


def _jobs(wanted: Plan) -> list[Job]:
    """Cells in the order of the table; what draws nothing is done once, what has no bits at one length."""
    some = next(iter(wanted.own.values()))
    jobs = []
    for name in wanted.methods:
        for bits in (0,) if name == "features" else wanted.bits:
            made = wanted.own.get(bits, None if name in ("dhh", "frames") else some)
            seeds = 1 if name in ("features", "dhh", "frames") else wanted.seeds
            jobs += [Job(name, bits, wanted.first_seed + seed, made) for seed in range(seeds)]
    named_ones: dict[tuple[str, int], int] = {}
    for one in wanted.rivals:
        training = one.weights.record.get("training")
        name = str(training.get("method", one.name)) if isinstance(training, dict) else one.name
        place = name, one.layers.bits
        named_ones[place] = named_ones.get(place, -1) + 1
        jobs.append(Job(name, one.layers.bits, named_ones[place], one, given=True))
    return jobs


class Source:
    """One backbone's view of a split; computed when it is asked for."""

    def __init__(self, split: Split, made: Loaded, folder: Path | None, threads: int) -> None:
        self.split = split
        self.store = FeatureStore(made.weights, folder / "features" if folder else None, threads)
        self.covariance = Covariance(made.layers.eps, made.layers.divide, is_homogeneous(made.weights))

    @cached_property
    def asked(self) -> Asked:
        """Photos and videos to ask with."""
        return _asked(self.split, self.store, self.covariance)

    @cached_property
    def training(self) -> Training:
        """What methods are fitted on."""
        return training_of(self.split, self.store, self.covariance)


def _asked(split: Split, store: FeatureStore, covariance: Covariance) -> Asked:
    looks = {kind: looks_of(things, store, covariance) for kind, things in split.asked.items()}
    return Asked(
        {kind: each[0] for kind, each in looks.items() if split.asked[kind].photos},
        {kind: each for kind, each in looks.items() if not split.asked[kind].photos},
        {kind: things.people for kind, things in split.asked.items()},
        split.ways,
    )


def _cell(job: Job, source: Source) -> Cell:
    name, bits, seed = job.method, job.bits, job.seed
    if name == "features" or job.made is None:
        return Cell(name, bits, seed, "", 0.0, tuple(map(_thin, feature_results(name, source.asked))))
    rng = np.random.default_rng([seed, 20, bits, zlib.crc32(name.encode())])
    training = source.training if name in METHODS and not job.given else None  # before the clock starts
    start = time.perf_counter()
    if training is not None:
        rival: Method = method(name)
        kind, fitted = rival.kind, rival.fit(training, bits, rng)
    else:
        kind, fitted = own_method("frames" if job.given else name, job.made, bits, rng)
    seconds = time.perf_counter() - start
    return Cell(name, bits, seed, kind, seconds, tuple(map(_thin, code_results(name, fitted, source.asked))))


def _thin(result: Result) -> Result:
    """The curve at even steps of the list's length on a logarithmic scale: 101 points instead of all."""
    n = len(result.curve.precision)
    kept = np.unique(np.geomspace(1, n, POINTS).round().astype(int)) - 1 if n else np.empty(0, int)
    return replace(result, curve=Ranking(result.curve.precision[kept], result.curve.recall[kept]))


def write_cell(path: Path, cell: Cell) -> None:
    """Keep a cell, atomically."""
    whole = {name.name: getattr(cell, name.name) for name in fields(cell) if name.name != "results"}
    whole["results"] = [
        asdict(one.line) | {key: np.round(getattr(one.curve, key), 6).tolist() for key in ("precision", "recall")}
        for one in cell.results
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(whole) + "\n").encode())


def read_cell(path: Path) -> Cell | None:
    """A kept cell; None where there is none, or not a whole one."""
    try:
        whole: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = []
        for one in whole.pop("results"):
            curve = Ranking(*(np.array(one.pop(key), np.float64) for key in ("precision", "recall")))
            found.append(Result(Line(**one), curve))
        return Cell(**whole, results=tuple(found)) if found else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
