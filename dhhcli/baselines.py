"""baselines: frames (m_i, d) of each of t videos -> what other ways of hashing the same features reach, at K bits.

Every baseline sees the same backbone's features. ``frames`` hashes each frame with the still layer; ``itq``
(Gong and Lazebnik, CVPR 2011) and ``lsh`` (Charikar, STOC 2002: random hyperplanes, here through the mean of the
training features) are fitted on a training pack's stills, never on the people who are evaluated. A video's distance to
another thing is the average or the minimum over all pairs of frames, as the paper's single-modality baselines do it, or
that of the mean feature's code. Real-valued features stand beside them, with the mean over 1, 15 or 30 frames.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .codes import hamming, pack
from .directions import Group, Result, results
from .features import Extract, still_features
from .hashing import HashLayers
from .imitation import centre
from .itq import itq
from .metrics import cosine_distances
from .packs import FacePack

FIT_CROPS = 4000  # of a training pack, drawn at random: enough for the directions of some hundred features
MEANS = (1, 15, 30)  # frames

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear hash: bit k is 1 where ``weight[k] @ x + bias[k] >= 0``."""

    name: str
    weight: npt.NDArray[np.float64]  # (K, d)
    bias: npt.NDArray[np.float64]  # (K,)

    def __call__(self, features: Floats) -> npt.NDArray[np.uint8]:
        """Features (n, d) -> packed codes (n, B)."""
        return pack(features.astype(np.float64) @ self.weight.T + self.bias >= 0)


def fit_features(
    faces: FacePack, extract: Extract, rng: np.random.Generator, *, mirror: bool, most: int = FIT_CROPS
) -> Floats:
    """Features (n, d) of at most ``most`` random crops of a training pack, as stills."""
    rows = np.sort(rng.choice(len(faces), min(most, len(faces)), replace=False))
    return still_features(extract, np.stack([centre(faces.pictures[row]) for row in rows]), mirror=mirror)


def still_layer(layers: HashLayers, d: int) -> Linear:
    """The network's own still layer on the first ``d`` features; what is left out must be the constant 1."""
    weight = layers.still_weight.astype(np.float64)
    return Linear("frames", weight[:, :d], layers.still_bias + weight[:, d:].sum(axis=1))


def fit_itq(features: Floats, bits: int, rng: np.random.Generator) -> Linear:
    """ITQ on training features (n, d)."""
    return Linear("itq", *itq(features.astype(np.float64), bits, rng))


def fit_lsh(features: Floats, bits: int, rng: np.random.Generator) -> Linear:
    """Random hyperplanes through the mean of training features (n, d)."""
    weight = rng.normal(size=(bits, features.shape[1]))
    return Linear("lsh", weight, -weight @ features.astype(np.float64).mean(axis=0))


@dataclass(frozen=True, eq=False)
class Frames:
    """Codes of the frames of n things, end to end; a still is a thing of one frame."""

    codes: npt.NDArray[np.uint8]  # (f, B)
    starts: npt.NDArray[np.int64]  # (n,) where each thing's frames begin


def frame_distances(a: Frames, b: Frames, how: Literal["average", "minimum"]) -> npt.NDArray[np.float64]:
    """Average or minimum of the Hamming distances over all pairs of frames of two things, (n, m)."""
    reduce: Any = np.add if how == "average" else np.minimum
    rows = []
    ends = np.r_[a.starts[1:], len(a.codes)]
    for first, last in zip(a.starts, ends, strict=True):  # one thing at a time: never all frames by all frames
        columns = reduce.reduceat(hamming(a.codes[first:last], b.codes), b.starts, axis=1)
        rows.append(reduce.reduce(columns, axis=0))
    distances = np.stack(rows).astype(np.float64)
    if how == "average":
        distances /= np.outer(ends - a.starts, np.diff(np.r_[b.starts, len(b.codes)]))
    return distances


def evenly(frames: Floats, m: int) -> Floats:
    """At most m of a video's frames (n, d), evenly spaced: the middles of m equal parts, as encode samples them."""
    n = len(frames)
    return frames if n <= m else frames[[(2 * i + 1) * n // (2 * m) for i in range(m)]]


def baseline_results(
    weights: str,
    stills: tuple[Floats, npt.NDArray[np.integer]],
    videos: Mapping[str, tuple[Sequence[Floats], npt.NDArray[np.integer]]],
    hashes: Sequence[Linear],
    pairs: Sequence[tuple[str, str]],
) -> Iterator[Result]:
    """Every baseline's figures.

    Args:
        weights: name for the lines.
        stills: features (q, d), without a constant last one, and people (q,).
        videos: kind -> features (m_i, d) of each, people (t,).
        hashes: frame-wise; those that are not the network's own layer also hash a video's mean feature.
        pairs: directions (query, database).
    """
    people = {"still": stills[1]} | {kind: who for kind, (_, who) in videos.items()}

    def groups(vectors: dict[str, Any]) -> dict[str, Group]:
        return {kind: Group(vectors[kind], people[kind]) for kind in vectors}

    for one in hashes:
        framewise = {"still": Frames(one(stills[0]), np.arange(len(stills[0])))} | {
            kind: Frames(one(np.concatenate(tracks)), np.cumsum([0, *(len(t) for t in tracks[:-1])]))
            for kind, (tracks, _) in videos.items()
            if len(tracks)
        }
        ways = [way for way in pairs if {*way} <= {*framewise}]
        for how in ("average", "minimum"):
            distance = partial(frame_distances, how=how)
            yield from results(weights, f"{one.name} {how}", groups(framewise), distance, ways)
        if one.name != "frames":
            whole = {"still": one(stills[0])} | {
                kind: one(np.stack([t.mean(axis=0) for t in tracks]))
                for kind, (tracks, _) in videos.items()
                if len(tracks)
            }
            yield from results(weights, f"{one.name} mean", groups(whole), hamming, ways)
    longest = max((len(t) for tracks, _ in videos.values() for t in tracks), default=0)
    for m in MEANS:
        if m < longest:  # otherwise it is the mean over all frames, which stands there already
            some: dict[str, Any] = {"still": stills[0]} | {
                kind: np.stack([evenly(t, m).mean(axis=0) for t in tracks])
                for kind, (tracks, _) in videos.items()
                if len(tracks)
            }
            ways = [way for way in pairs if {*way} <= {*some}]
            yield from results(weights, f"features of {m}", groups(some), cosine_distances, ways)
