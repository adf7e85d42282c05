"""protocol: weights + face pack + protocol -> retrieval figures of codes, of the features behind them, of chance.

Per person the protocol names stills (queries), sets (several photos: a hard video) and shots (one photo each, expanded
to 20 frames by augmentation.py with the row number as seed). Everything runs on the networks and the numpy layers that
``encode`` and ``query`` run, so the figures are those of what ships.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dhhcli.models.binary_codes import hamming, pack
from dhhcli.models.extractor import Extract, FeatureExtractor, still_features
from dhhcli.models.hash_layers import HashLayers, hash_stills, hash_tracks
from dhhcli.models.network import quick_extractor
from dhhcli.models.weights import Weights, load_hash_layers, load_weights, resolve_weights
from dhhcli.research.datasets.augmentation import centre, imitate_frames
from dhhcli.research.datasets.pack import FacePack, read_pack
from dhhcli.research.datasets.protocol import ProtocolPerson, check_protocol, read_protocol
from dhhcli.research.evaluation.metrics import cosine_distances
from dhhcli.research.evaluation.tasks import Group, Result, code_distances, results
from dhhcli.search.options import Rank

SHOT_FRAMES = 20
DIRECTIONS = (
    ("still", "set"),
    ("still", "shot"),
    ("set", "still"),
    ("shot", "still"),
    ("still", "still"),
    ("set", "set"),
)
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
    """What a weights record keeps of a line: mAP of one representation in one direction."""

    representation: str  # "codes", "features", "random"
    query: str  # "still", "set", "shot"
    database: str
    mean_ap: float
    queries: int
    items: int


def protocol_features(
    faces: FacePack,
    people: tuple[ProtocolPerson, ...],
    extract: Extract,
    *,
    film: Extract | None = None,
    mirror: bool = False,
) -> ProtocolFeatures:
    """Run the networks over a protocol.

    Args:
        faces: what ``people`` name rows of.
        people: of the protocol.
        extract: the network that looks at photos.
        film: the one that looks at film, sets and shots; default ``extract``.
        mirror: stills are looked at from both sides (models/extractor.py).
    """
    film = film or extract
    still_rows = [row for person in people for row in person.queries]
    sets = [(person.identity, photos) for person in people for photos in person.sets]
    shots = [(person.identity, row) for person in people for row in person.shots]
    return ProtocolFeatures(
        stills=still_features(extract, np.stack([centre(faces.pictures[row]) for row in still_rows]), mirror=mirror),
        still_people=np.array([person.identity for person in people for _ in person.queries]),
        sets=tuple(film(np.stack([centre(faces.pictures[row]) for row in photos])) for _, photos in sets),
        set_people=np.array([identity for identity, _ in sets]),
        shots=tuple(
            film(imitate_frames(faces.pictures[row], SHOT_FRAMES, np.random.default_rng(row))) for _, row in shots
        ),
        shot_people=np.array([identity for identity, _ in shots]),
    )


def code_results(
    features: ProtocolFeatures, layers: HashLayers, weights: str = "", rank: Rank = Rank.soft
) -> list[Result]:
    """The binary codes, as `query` ranks them, ties by expectation."""
    kinds = (
        hash_stills(layers, features.stills),
        hash_tracks(layers, features.sets),
        hash_tracks(layers, features.shots),
    )
    return results(weights, "codes", _groups(features, kinds), code_distances(rank), DIRECTIONS)


def feature_results(features: ProtocolFeatures, *, homogeneous: bool, weights: str = "") -> list[Result]:
    """The real-valued features behind the codes: cosine, mean over frames.

    ``homogeneous``: the last feature is the constant 1 and says nothing about who it is; it is left out.
    """
    cut = slice(None, -1) if homogeneous else slice(None)
    kinds = [features.stills[:, cut], mean_over_frames(features.sets)[:, cut], mean_over_frames(features.shots)[:, cut]]
    return results(weights, "features", _groups(features, kinds), cosine_distances, DIRECTIONS)


def random_results(features: ProtocolFeatures, bits: int, rng: np.random.Generator, weights: str = "") -> list[Result]:
    """Random codes of the same length: the floor."""
    kinds = [pack(rng.random((len(kind), bits)) < 0.5) for kind in (features.stills, features.sets, features.shots)]
    return results(weights, "random", _groups(features, kinds), hamming, DIRECTIONS)


def mean_over_frames(tracks: Sequence[Features]) -> Features:
    """Tracks (m_i, d) -> (t, d)."""
    return np.stack([frames.mean(axis=0) for frames in tracks]) if tracks else np.empty((0, 1), np.float32)


def _groups(features: ProtocolFeatures, kinds: Sequence[npt.NDArray[np.generic]]) -> dict[str, Group]:
    people = (features.still_people, features.set_people, features.shot_people)
    return {
        name: Group(*both) for name, both in zip(("still", "set", "shot"), zip(kinds, people, strict=True), strict=True)
    }


def code_scores(features: ProtocolFeatures, layers: HashLayers) -> Iterator[Score]:
    """mAP of the binary codes by soft bits, ties by expectation."""
    return map(_score, code_results(features, layers))


def feature_scores(features: ProtocolFeatures, *, homogeneous: bool) -> Iterator[Score]:
    """mAP of the real-valued features behind the codes (``feature_results``)."""
    return map(_score, feature_results(features, homogeneous=homogeneous))


def random_scores(features: ProtocolFeatures, bits: int, rng: np.random.Generator) -> Iterator[Score]:
    """mAP of random codes of the same length: the floor."""
    return map(_score, random_results(features, bits, rng))


def _score(result: Result) -> Score:
    line = result.line
    return Score(line.representation, line.query, line.database, line.mean_ap, line.queries, line.items)


def is_homogeneous(weights: Weights) -> bool:
    """Whether the last feature is the constant 1."""
    return bool(weights.record["model"].get("homogeneous", False))


def read_both(pack_path: Path, protocol_path: Path) -> tuple[FacePack, tuple[ProtocolPerson, ...]]:
    """A pack and a protocol on it.

    Raises:
        PackError: pack or protocol cannot be read, or do not belong together.
    """
    people = read_protocol(protocol_path)
    faces = read_pack(pack_path)
    check_protocol(protocol_path, faces, people)
    return faces, people


def evaluate(pack_path: Path, protocol_path: Path, weights_name: str | None = None, *, seed: int = 0) -> list[Score]:
    """mAP for some weights: codes, the features behind them, random codes.

    Raises:
        PackError: pack or protocol cannot be read, or do not belong together.
        WeightsError: the weights cannot be used.
    """
    faces, people = read_both(pack_path, protocol_path)
    weights = load_weights(resolve_weights(weights_name))
    extract = FeatureExtractor(weights.onnx_path, threads=os.cpu_count() or 1)
    layers = load_hash_layers(weights)
    film = quick_extractor(weights, extract, os.cpu_count() or 1)
    features = protocol_features(faces, people, extract, film=film, mirror=weights.mirror)
    return all_scores(features, layers, homogeneous=is_homogeneous(weights), seed=seed)


def all_scores(features: ProtocolFeatures, layers: HashLayers, *, homogeneous: bool, seed: int = 0) -> list[Score]:
    """Codes, the features behind them, random codes."""
    return [
        *code_scores(features, layers),
        *feature_scores(features, homogeneous=homogeneous),
        *random_scores(features, layers.bits, np.random.default_rng(seed)),
    ]
