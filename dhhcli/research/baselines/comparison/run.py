"""run: methods x bits x seeds on one split -> a cell each (figures, curves), kept on disk as soon as it is there.

All methods share one backbone's features, one draw of training videos, and the same photos and videos to ask with; a
seed decides what a method itself draws (directions, anchors, samples, starts). Asking again computes what is missing:
a cell's name holds the fingerprints of the data, of the weights and of the method's own code.
"""

import json
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from dhhcli.base.atomic_write import write_atomically
from dhhcli.base.patience import Part, done_so_far, to_come
from dhhcli.errors import UsageError, WeightsError
from dhhcli.models.weights import resolve_weights
from dhhcli.research.baselines.base import Covariance, Fitted, Training
from dhhcli.research.baselines.comparison.measure import ComparisonData, code_results, feature_results
from dhhcli.research.baselines.comparison.own import OWN, own_method
from dhhcli.research.baselines.comparison.trained import NETWORKS, from_weights, is_rival, name_of
from dhhcli.research.baselines.feature_cache import FeatureStore
from dhhcli.research.baselines.names import FITTED, METHODS, TRAINED
from dhhcli.research.baselines.registry import method, source_of
from dhhcli.research.baselines.split import Split, looks_of, training_of
from dhhcli.research.evaluation.metrics import Ranking
from dhhcli.research.evaluation.protocol import is_homogeneous
from dhhcli.research.evaluation.tables import Loaded, load_all
from dhhcli.research.evaluation.tasks import Line, Result

FORMAT = 1  # of cells
POINTS = 101  # of a kept curve
LENGTHS = (12, 24, 48)  # the paper's
ALIASES = {
    "frames": ("features", "dhh", "frames", "itq", "lsh", "random"),
    "fitted": ("features", "dhh", *FITTED, "random"),
    "trained": ("features", "dhh", *TRAINED, "random"),
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
class ComparisonPlan:
    """What is compared."""

    methods: tuple[str, ...]
    bits: tuple[int, ...] = LENGTHS
    seeds: int = 1
    weights: tuple[str, ...] = ()
    folder: Path | None = None  # where cells and features are kept
    threads: int = 1
    first_seed: int = 0
    own: dict[int, Loaded] = field(default_factory=dict)  # bits -> weights
    trained: dict[tuple[str, int], Loaded] = field(default_factory=dict)  # rival, bits -> its weights


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
) -> ComparisonPlan:
    """Weights of every length found and verified, before anything is computed.

    Raises:
        UsageError: several weights of one length, or weights of several backbones.
        WeightsError: weights cannot be used.
    """
    every = load_all(weights) if weights else []
    trained: dict[tuple[str, int], Loaded] = {}
    for one in every:
        if is_rival(one):
            key = name_of(one), one.layers.bits
            if key in trained:
                raise UsageError(f"--weights: {trained[key].name} and {one.name} are one method's of one length")
            trained[key] = one
    loaded = [one for one in every if not is_rival(one)]
    lengths = tuple(dict.fromkeys(bits or sorted({one.layers.bits for one in every}) or LENGTHS))
    some = bool(loaded)
    if not loaded:
        shipped = [f"dhh-{length}" for length in lengths if resolve_weights(f"dhh-{length}").is_file()]
        loaded = load_all(shipped)  # none of these lengths: the default's backbone
    own: dict[int, Loaded] = {}
    for one in loaded:
        if one.layers.bits in own:
            raise UsageError(
                f"--weights: {own[one.layers.bits].name} and {one.name} are of one length; name one of them"
            )
        own[one.layers.bits] = one
    if len({one.weights.record["files"]["onnx"]["sha256"] for one in loaded}) > 1:
        raise UsageError("--weights: of several backbones; methods are compared on the features of one")
    for one in every:
        if one.layers.bits not in lengths:
            raise WeightsError(f"{one.name}: codes of {one.layers.bits} bits; give --bits {one.layers.bits} too")
    for (name, _), one in trained.items():
        if name not in methods:
            raise UsageError(f"--weights {one.name}: of {name}, which --compare does not name; name it too")
    missing = [length for length in lengths if length not in own]
    if missing and {"dhh", "frames"} & {*methods} and some:
        raise WeightsError(f"--bits {missing[0]}: none of --weights has that length, and methods include dhh")
    return ComparisonPlan(methods, lengths, seeds, tuple(weights), folder, threads, first_seed, own, trained)


CELLS = "methods, lengths and seeds"


def compare(split: Split, wanted: ComparisonPlan, note: Callable[[str], None] = lambda _: None) -> list[Cell]:
    """Every cell, from disk where it is there.

    Raises:
        DhhError: what a method's ``fit`` raises.
    """
    some = next(iter(wanted.own.values()))
    stores: dict[tuple[str, bool], FeatureStore] = {}  # a network's features serve all lengths

    def store_of(made: Loaded) -> FeatureStore:
        key = str(made.weights.record["files"]["onnx"]["sha256"]), made.weights.mirror
        folder = wanted.folder / "features" if wanted.folder else None
        return stores.setdefault(key, FeatureStore(made.weights, folder, wanted.threads))

    store = store_of(some)
    covariance = Covariance(some.layers.eps, some.layers.divide, is_homogeneous(some.weights))
    identity = split.fingerprint()
    asked: list[ComparisonData] = []
    training: list[Training] = []  # made when the first cell needs it
    cells = []
    jobs = _jobs(wanted)
    to_come([Part(CELLS, len(jobs))])
    for number, (name, bits, seed) in enumerate(jobs, 1):
        done_so_far(CELLS, number - 1, len(jobs))
        made = wanted.trained.get((name, bits)) or wanted.own.get(bits, some)
        made_of = "" if (name, bits) in wanted.trained else source_of(name)
        parts = (FORMAT, identity, made.weights.fingerprint, name, bits, seed, made_of)
        key = sha256(" ".join(map(str, parts)).encode()).hexdigest()
        path = wanted.folder / "cells" / f"{name}-{bits}-{seed}-{key[:12]}.json" if wanted.folder else None
        cell = read_cell(path) if path else None
        if cell is None:
            if name in ("dhh", "frames") and bits not in wanted.own:
                note(f"{name}: no weights of {bits} bits; left out")
                continue
            if name in NETWORKS and (name, bits) not in wanted.trained:
                note(f"{name}: no weights of {bits} bits among --weights (dhh train --method {name}); left out")
                continue
            if not asked:
                asked.append(_asked(split, store, covariance))
            given = (name, bits) in wanted.trained
            if name not in OWN and not given and not training:
                training.append(training_of(split, store, covariance))
            own = store_of(made)
            fitted = from_weights(made, None if own is store else own) if given else None
            cell = _cell(name, bits, seed, made, fitted, training, asked[0])
            if path:
                write_cell(path, cell)
        first = cell.results[0].line
        note(
            f"{number}/{len(jobs)} {name} {bits or ''} seed {seed}: {first.query} -> {first.database} "
            f"{first.mean_ap:.4f}, fitted in {cell.fit_seconds:.1f} s"
        )
        cells.append(cell)
    return cells


def _jobs(wanted: ComparisonPlan) -> list[tuple[str, int, int]]:
    """Cells in the order of the table; what draws nothing is done once, what has no bits at one length."""
    jobs = []
    for name in wanted.methods:
        for bits in (0,) if name == "features" else wanted.bits:
            done = name in ("features", "dhh", "frames") or (name, bits) in wanted.trained
            seeds = 1 if done else wanted.seeds
            jobs += [(name, bits, wanted.first_seed + seed) for seed in range(seeds)]
    return jobs


def _asked(split: Split, store: FeatureStore, covariance: Covariance) -> ComparisonData:
    looks = {kind: looks_of(things, store, covariance) for kind, things in split.asked.items()}
    return ComparisonData(
        {kind: each[0] for kind, each in looks.items() if split.asked[kind].photos},
        {kind: each for kind, each in looks.items() if not split.asked[kind].photos},
        {kind: things.people for kind, things in split.asked.items()},
        split.ways,
    )


def _cell(
    name: str, bits: int, seed: int, made: Loaded, given: Fitted | None, training: list[Training], asked: ComparisonData
) -> Cell:
    if name == "features":
        return Cell(name, bits, seed, "", 0.0, tuple(map(_thin, feature_results(name, asked))))
    rng = np.random.default_rng([seed, 20, bits, zlib.crc32(name.encode())])
    start = time.perf_counter()
    kind: str
    fitted: Fitted
    if given is not None:
        kind, fitted = "frame-wise" if made.layers.framewise else "video-wise", given
    elif name in OWN:
        kind, fitted = own_method(name, made, bits, rng)
    else:
        rival = method(name)
        kind, fitted = rival.kind, rival.fit(training[0], bits, rng)
    seconds = time.perf_counter() - start
    return Cell(name, bits, seed, kind, seconds, tuple(map(_thin, code_results(name, fitted, asked))))


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
