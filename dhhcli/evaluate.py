"""evaluate: weights + face pack + protocol -> mean average precision in four directions, beside what codes cost.

Per person the protocol names stills (queries), sets (several photos: a hard video) and shots (one photo each, expanded
to 20 frames by imitation.py with the row number as seed). Everything runs on the network and the numpy layers that
``encode`` and ``query`` run, so the figures are those of what ships.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .codes import binarise, hamming, pack
from .errors import PackError
from .features import Extract, FeatureExtractor, still_features
from .hashing import HashLayers, hash_stills, hash_tracks
from .imitation import centre, imitate_frames
from .metrics import cosine_distances, mean_average_precision
from .packs import FacePack, Person, read_pack, read_protocol
from .weights import load_hash_layers, load_weights, resolve_weights

SHOT_FRAMES = 20

Features = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ProtocolFeatures:
    """Features of everything a protocol names."""

    stills: Features  # (q, d)
    still_people: npt.NDArray[np.int64]  # (q,)
    sets: tuple[Features, ...]  # (6, d) each
    set_people: npt.NDArray[np.int64]
    shots: tuple[Features, ...]  # (20, d) each
    shot_people: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """One line of the table: mAP of one representation in one direction."""

    representation: str  # "codes", "features", "random"
    query: str  # "still", "set", "shot"
    database: str
    mean_ap: float
    queries: int
    items: int


def protocol_features(
    faces: FacePack, people: tuple[Person, ...], extract: Extract, *, mirror: bool = False
) -> ProtocolFeatures:
    """Run the network over a protocol; ``mirror``: stills are looked at from both sides (features.py)."""
    still_rows = [row for person in people for row in person.queries]
    sets = [(person.identity, photos) for person in people for photos in person.sets]
    shots = [(person.identity, row) for person in people for row in person.shots]
    return ProtocolFeatures(
        stills=still_features(extract, np.stack([centre(faces.pictures[row]) for row in still_rows]), mirror=mirror),
        still_people=np.array([person.identity for person in people for _ in person.queries]),
        sets=tuple(extract(np.stack([centre(faces.pictures[row]) for row in photos])) for _, photos in sets),
        set_people=np.array([identity for identity, _ in sets]),
        shots=tuple(
            extract(imitate_frames(faces.pictures[row], SHOT_FRAMES, np.random.default_rng(row))) for _, row in shots
        ),
        shot_people=np.array([identity for identity, _ in shots]),
    )


def code_scores(features: ProtocolFeatures, layers: HashLayers) -> Iterator[Score]:
    """mAP of the binary codes, Hamming distance, ties by expectation."""
    kinds = {
        "still": hash_stills(layers, features.stills),
        "set": hash_tracks(layers, features.sets),
        "shot": hash_tracks(layers, features.shots),
    }
    packed = {kind: pack(binarise(soft)) for kind, soft in kinds.items()}
    yield from _directions("codes", packed, features, hamming)


def feature_scores(features: ProtocolFeatures, *, homogeneous: bool) -> Iterator[Score]:
    """mAP of the real-valued features behind the codes: cosine, mean over frames.

    ``homogeneous``: the last feature is the constant 1 and says nothing about who it is; it is left out.
    """
    cut = slice(None, -1) if homogeneous else slice(None)
    kinds = {
        "still": features.stills[:, cut],
        "set": np.stack([frames.mean(axis=0) for frames in features.sets])[:, cut],
        "shot": np.stack([frames.mean(axis=0) for frames in features.shots])[:, cut],
    }
    yield from _directions("features", kinds, features, cosine_distances)


def random_scores(features: ProtocolFeatures, bits: int, rng: np.random.Generator) -> Iterator[Score]:
    """mAP of random codes of the same length: the floor."""

    def draw(n: int) -> npt.NDArray[np.uint8]:
        return pack(rng.random((n, bits)) < 0.5)

    kinds = {
        "still": draw(len(features.stills)),
        "set": draw(len(features.sets)),
        "shot": draw(len(features.shots)),
    }
    yield from _directions("random", kinds, features, hamming)


def _directions(
    representation: str,
    kinds: Mapping[str, npt.NDArray[Any]],
    features: ProtocolFeatures,
    distance: Callable[..., npt.NDArray[Any]],
) -> Iterator[Score]:
    people = {"still": features.still_people, "set": features.set_people, "shot": features.shot_people}
    for query, database in (
        ("still", "set"),
        ("still", "shot"),
        ("set", "still"),
        ("shot", "still"),
        ("still", "still"),
        ("set", "set"),
    ):
        relevant = people[query][:, None] == people[database][None]
        keep = ~np.eye(len(relevant), dtype=bool) if query == database else None  # nobody finds themselves
        if not (relevant if keep is None else relevant & keep).any():
            continue  # a protocol with one still a person says nothing about still -> still
        score = mean_average_precision(distance(kinds[query], kinds[database]), relevant, keep)
        yield Score(representation, query, database, score, *relevant.shape)


def evaluate(pack_path: Path, protocol_path: Path, weights_name: str | None = None, *, seed: int = 0) -> list[Score]:
    """The whole table for some weights: codes, the features behind them, random codes.

    Raises:
        PackError: pack or protocol cannot be read, or do not belong together.
        WeightsError: the weights cannot be used.
    """
    people = read_protocol(protocol_path)
    faces = read_pack(pack_path)
    last = max((row for p in people for row in (*p.queries, *p.shots, *sum(p.sets, ()))), default=-1)
    if last >= len(faces):
        raise PackError(f"{protocol_path}: names row {last}, but {pack_path} has {len(faces)} crops; pair them rightly")
    weights = load_weights(resolve_weights(weights_name))
    extract = FeatureExtractor(weights.onnx_path, threads=os.cpu_count() or 1)
    layers = load_hash_layers(weights)
    features = protocol_features(faces, people, extract, mirror=weights.mirror)
    return all_scores(features, layers, homogeneous=bool(weights.record["model"]["homogeneous"]), seed=seed)


def all_scores(features: ProtocolFeatures, layers: HashLayers, *, homogeneous: bool, seed: int = 0) -> list[Score]:
    """Codes, the features behind them, random codes."""
    return [
        *code_scores(features, layers),
        *feature_scores(features, homogeneous=homogeneous),
        *random_scores(features, layers.bits, np.random.default_rng(seed)),
    ]
