"""tables: weights + features (n, d), computed once a backbone -> an Evaluation: its tables, its curves, its JSON file.

Weights of several lengths share one backbone: features are kept by the SHA-256 of its ONNX file.
"""

import json
import math
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Floats
from dhhcli.base.atomic_write import write_atomically
from dhhcli.base.patience import in_all
from dhhcli.models.binary_codes import binarise, hamming, pack
from dhhcli.models.extractor import Extract, FeatureExtractor, still_features
from dhhcli.models.hash_layers import HashLayers, hash_stills
from dhhcli.models.network import quick_extractor
from dhhcli.models.weights import Weights, load_hash_layers, load_weights, resolve_weights
from dhhcli.research.evaluation.metrics import cosine_distances
from dhhcli.research.evaluation.protocol import is_homogeneous
from dhhcli.research.evaluation.sessions import FramesLine
from dhhcli.research.evaluation.tasks import Line, Result
from dhhcli.research.evaluation.verification import Verification, verify

T = TypeVar("T")


@dataclass(frozen=True)
class PairsLine:
    """Verification on all pairs of stills."""

    weights: str
    representation: str
    balanced_accuracy: float
    tar_at_far_1e2: float
    tar_at_far_1e3: float
    equal_error: float
    same_pairs: int
    other_pairs: int


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured."""

    results: tuple[Result, ...] = ()
    pairs: tuple[PairsLine, ...] = ()
    frames: tuple[FramesLine, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines of all results."""
        return tuple(result.line for result in self.results)

    def tables(self) -> dict[str, tuple[Any, ...]]:
        """Name -> lines of each table that is not empty."""
        tables = {"retrieval": self.lines, "verification": self.pairs, "frames": self.frames}
        return {name: lines for name, lines in tables.items() if lines}


@dataclass(frozen=True, eq=False)
class Loaded:
    """Weights, verified and read."""

    weights: Weights
    layers: HashLayers
    homogeneous: bool

    @property
    def name(self) -> str:
        """Name of the weights."""
        return self.weights.name

    def cut(self, features: Floats) -> Floats:
        """Features (n, d) without the constant last one, where there is one."""
        return features[:, :-1] if self.homogeneous else features


@dataclass(eq=False)
class Backbones:
    """Networks by the SHA-256 of their files, and what was computed with each."""

    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    _networks: dict[str, tuple[Extract, Extract]] = field(default_factory=dict)
    _computed: dict[tuple[str, bool, str], Any] = field(default_factory=dict)

    def once(self, weights: Weights, what: str, compute: Callable[[Extract, Extract], T]) -> T:
        """``compute`` with what looks at photos and at film, or what it returned for the same networks before."""
        digest = _networks_of(weights)
        key = digest, weights.mirror, what
        if key not in self._computed:
            if digest not in self._networks:
                exact = FeatureExtractor(weights.onnx_path, threads=self.threads)
                self._networks[digest] = exact, quick_extractor(weights, exact, self.threads)
            self._computed[key] = compute(*self._networks[digest])
        found: T = self._computed[key]
        return found


def _networks_of(weights: Weights) -> str:
    files = weights.record["files"]
    return " ".join(str(files[part]["sha256"]) for part in ("onnx", "int8") if part in files)


def counted_faces(loaded: Sequence[Loaded], stills: int, frames: int = 0) -> AbstractContextManager[None]:
    """Inside of it, the faces that all networks look at are counted as one; stills are looked at from both sides where
    weights say so."""
    distinct = {(_networks_of(one.weights), one.weights.mirror) for one in loaded}
    return in_all("faces", sum(stills * (1 + mirror) + frames for _, mirror in distinct))


def load_all(names: Sequence[str]) -> list[Loaded]:
    """Weights by name or path, each once; the default where none is named.

    Raises:
        WeightsError: one of them cannot be used.
    """
    paths = dict.fromkeys([resolve_weights(name) for name in names] or [resolve_weights()])
    loaded = []
    for path in paths:
        weights = load_weights(path)
        layers = load_hash_layers(weights)  # first: says what is wrong with a record without 'model'
        loaded.append(Loaded(weights, layers, is_homogeneous(weights)))
    return loaded


def pairs_lines(one: Loaded, features: Floats, people: npt.NDArray[np.integer]) -> list[PairsLine]:
    codes = pack(binarise(hash_stills(one.layers, features)))
    real = one.cut(features)
    both: tuple[tuple[str, Verification | None], ...] = (
        ("codes", verify(hamming(codes, codes), people)),
        ("features", verify(cosine_distances(real, real), people)),
    )
    return [PairsLine(one.name, name, **asdict(figures)) for name, figures in both if figures]


def stills_of(crops: npt.NDArray[np.uint8], mirror: bool, extract: Extract, _film: Extract) -> Floats:
    return still_features(extract, crops, mirror=mirror)


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write every table and curve as one JSON object."""

    def plain(value: Any) -> Any:
        return None if isinstance(value, float) and math.isnan(value) else value

    tables = {
        name: [{key: plain(value) for key, value in asdict(line).items()} for line in lines]
        for name, lines in evaluation.tables().items()
    }
    curves = [
        {
            "weights": result.line.weights,
            "representation": result.line.representation,
            "query": result.line.query,
            "database": result.line.database,
            "recall": [round(float(value), 6) for value in result.curve.recall],
            "precision": [round(float(value), 6) for value in result.curve.precision],
        }
        for result in evaluation.results
    ]
    whole = tables | {"curves": curves, "notes": list(evaluation.notes)}
    write_atomically(path, (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode())
