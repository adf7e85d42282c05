"""evaluation: what the user names (pack, protocol, folder, codes file) -> tables and curves, for some weights.

A pack with a protocol: ``evaluate.py``; a pack of real tracks: ``sessions.py``; any other pack: every crop asks for all
others; a folder per person: ``folders.py``; a codes file and labels: ``labels.py``. Weights of several lengths share
one backbone, so features are computed once a backbone (by the SHA-256 of its ONNX file) and kept.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .baselines import baseline_results, fit_features, fit_itq, fit_lsh, still_layer
from .codes import binarise, hamming, pack
from .directions import Group, Line, Result, results
from .errors import PackError, PhotoError, UsageError
from .evaluate import (
    DIRECTIONS,
    ProtocolFeatures,
    code_results,
    feature_results,
    is_homogeneous,
    mean_over_frames,
    protocol_features,
    random_results,
    read_both,
)
from .faces import FaceDetector
from .features import Extract, FeatureExtractor, still_features
from .files import write_atomically
from .gallery import people_files, read_people, still_crop
from .hashing import HashLayers, hash_stills, hash_tracks
from .imitation import centre
from .labels import label_results, read_labels
from .metrics import cosine_distances
from .network import load_network
from .packs import FacePack, Person, read_pack
from .sessions import FramesLine, frames_lines, has_sessions, read_sessions, session_features, session_results
from .shards import check_model, open_shard
from .verification import Verification, verify
from .weights import Weights, load_hash_layers, load_weights, resolve_weights

Floats = npt.NDArray[np.float32]
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
    _networks: dict[str, Extract] = field(default_factory=dict)
    _computed: dict[tuple[str, bool, str], Any] = field(default_factory=dict)

    def once(self, weights: Weights, what: str, compute: Callable[[Extract], T]) -> T:
        """``compute`` with the backbone of some weights, or what it returned for the same backbone before."""
        digest = str(weights.record["files"]["onnx"]["sha256"])
        key = digest, weights.mirror, what
        if key not in self._computed:
            if digest not in self._networks:
                self._networks[digest] = FeatureExtractor(weights.onnx_path, threads=self.threads)
            self._computed[key] = compute(self._networks[digest])
        found: T = self._computed[key]
        return found


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    data: Path
    weights: tuple[str, ...] = ()
    protocol: Path | None = None
    compare: bool = False
    fit: Path | None = None
    labels: Path | None = None
    photos: Path | None = None
    seed: int = 0


def evaluate_request(request: Request) -> Evaluation:
    """Whatever the data is.

    Raises:
        UsageError: options that contradict each other.
        DhhError: what the evaluation of that data raises.
    """
    if request.compare != (request.fit is not None):
        raise UsageError("--compare and --fit go together: ITQ and LSH are fitted on a training pack")
    if request.photos and not request.labels:
        raise UsageError("--photos are asked of a codes file; name its label file with --labels")
    if request.labels:
        if request.protocol or request.compare or request.data.is_dir():
            raise UsageError("--labels belong to a codes file: no folder, no --protocol, no --compare")
        return evaluate_codes(request.data, request.labels, request.photos, request.weights)
    if request.data.is_dir():
        if request.protocol:
            raise UsageError("--protocol belongs to a face pack, not to a folder")
        return evaluate_folder(request.data, request.weights, fit=request.fit, seed=request.seed)
    return evaluate_pack(request.data, request.weights, protocol=request.protocol, fit=request.fit, seed=request.seed)


def evaluate_codes(codes: Path, labels: Path, photos: Path | None = None, names: Sequence[str] = ()) -> Evaluation:
    """Figures on a codes file with labels.

    Args:
        codes: made by encode.
        labels: label file (labels.py).
        photos: a folder per person with photos that are asked.
        names: the one set of weights that made the codes; default the shipped ones.

    Raises:
        UsageError: several weights, or neither photos nor tracks to ask with.
        MissingPathError, PackError, ShardError, WeightsError: a file cannot be used, or is not the other's.
    """
    if len(names) > 1:
        raise UsageError("codes are of one set of weights; give --weights once")
    with open_shard(codes) as shard:
        known = read_labels(labels, shard)
        if photos is None and known[0].track is None:
            raise UsageError(f"{labels}: has no column 'track', so nothing to ask with; add one, or give --photos")
        network = load_network(names[0] if names else None, tracks=False, threads=os.cpu_count() or 1)
        check_model(shard, network.tag)
        asked, notes = None, []
        if photos is not None:
            whose, crops = [], []
            for person, path in people_files(photos):
                try:
                    crop = still_crop(path, network.detector)
                except PhotoError as error:
                    notes.append(f"skipped: {path}: {str(error).removeprefix(f'{path}: ')}")
                    continue
                if crop is None:
                    notes.append(f"skipped: {path}: no face found")
                    continue
                whose.append(person)
                crops.append(crop)
            if not crops:
                raise PackError(f"{photos}: no photo with a face in its folders")
            absent = sorted({*whose} - {label.person for label in known})
            notes += [f"{person}: no label, so their photos have nothing to find" for person in absent]
            soft = hash_stills(network.layers, still_features(network.extract, np.stack(crops), mirror=network.mirror))
            asked = soft, whose
        found = label_results(shard, known, asked, network.name)
    if not found:
        raise PackError(f"{labels}: nobody asked for is labelled; folders of --photos must be called as the people are")
    return Evaluation(tuple(found), notes=tuple(notes))


def evaluate_folder(folder: Path, names: Sequence[str] = (), *, fit: Path | None = None, seed: int = 0) -> Evaluation:
    """Figures on a folder per person: every photo asks for all others and for all tracks, and tracks for both.

    Raises:
        MissingPathError, PackError: the folder is not of that form, or shows nobody twice.
        WeightsError: the weights cannot be used.
    """
    fitted = read_pack(fit) if fit is not None else None
    loaded, backbones = load_all(names), Backbones()
    faces = read_people(folder, FaceDetector(threads=backbones.threads))
    ends = np.cumsum([len(crops) for crops in faces.tracks])[:-1]
    found: list[Result] = []
    pairs: list[PairsLine] = []
    for one in loaded:
        stills = backbones.once(one.weights, "stills", partial(_mirrored, faces.stills, one.weights.mirror))
        tracks: tuple[Floats, ...] = ()
        if faces.tracks:
            frames = backbones.once(one.weights, "tracks", lambda extract: extract(np.concatenate(faces.tracks)))
            tracks = tuple(np.split(frames, ends))
        kinds = {
            "codes": (hash_stills(one.layers, stills), hash_tracks(one.layers, tracks)),
            "features": (one.cut(stills), one.cut(mean_over_frames(tracks))),
        }
        for name, vectors in kinds.items():
            groups = {
                kind: Group(pack(binarise(each)) if name == "codes" else each, people)
                for kind, each, people in zip(
                    ("still", "track"), vectors, (faces.still_people, faces.track_people), strict=True
                )
                if len(people)
            }
            found += results(one.name, name, groups, hamming if name == "codes" else cosine_distances)
        if fitted is not None and tracks and len(stills):
            ways = (("still", "track"), ("track", "still"), ("track", "track"))
            videos = {"track": (tracks, faces.track_people)}
            found += _baselines(one, backbones, fitted, seed, (stills, faces.still_people), videos, ways)
        pairs += _pairs(one, stills, faces.still_people)
    if not found:
        raise PackError(f"{folder}: nobody is shown twice, so there is nothing to find")
    return Evaluation(tuple(found), tuple(pairs), notes=faces.notes)


def _mirrored(crops: npt.NDArray[np.uint8], mirror: bool, extract: Extract) -> Floats:
    return still_features(extract, crops, mirror=mirror)


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


def evaluate_pack(
    pack_path: Path,
    names: Sequence[str] = (),
    *,
    protocol: Path | None = None,
    fit: Path | None = None,
    seed: int = 0,
) -> Evaluation:
    """Figures on a face pack.

    Args:
        pack_path: people the network was not trained on.
        names: weights.
        protocol: which rows are queries, sets and shots; without one, real tracks if the pack has them, else stills.
        fit: training pack; with it, the baselines that stand beside the codes are fitted on it and measured.
        seed: of the random codes, and of drawing and fitting the baselines.

    Raises:
        PackError: a pack or the protocol cannot be read, or do not belong together.
        WeightsError: the weights cannot be used.
    """
    if protocol is not None:
        faces, people = read_both(pack_path, protocol)
    else:
        faces, people = read_pack(pack_path), ()
    fitted = read_pack(fit) if fit is not None else None
    loaded, backbones = load_all(names), Backbones()
    if protocol is not None:
        return _by_protocol(faces, people, loaded, backbones, fitted, seed)
    if has_sessions(pack_path):
        return _by_sessions(pack_path, faces, loaded, backbones, fitted, seed)
    if len(np.unique(faces.identity)) in (len(faces), 1):
        raise PackError(f"{pack_path}: no two crops of one person beside another's; there is nothing to measure")
    return _stills(faces, loaded, backbones)


def _by_protocol(
    faces: FacePack,
    people: tuple[Person, ...],
    loaded: Sequence[Loaded],
    backbones: Backbones,
    fitted: FacePack | None,
    seed: int,
) -> Evaluation:
    found: list[Result] = []
    pairs: list[PairsLine] = []
    rows = np.unique([row for p in people for row in (*p.queries, *p.shots, *sum(p.sets, ()))])
    for one in loaded:
        mirror = one.weights.mirror

        def named(extract: Extract, mirror: bool = mirror) -> ProtocolFeatures:
            return protocol_features(faces, people, extract, mirror=mirror)

        features = backbones.once(one.weights, "protocol", named)
        stills = backbones.once(one.weights, "stills", _still_rows(faces, rows, mirror=mirror))
        found += code_results(features, one.layers, one.name)
        found += feature_results(features, homogeneous=one.homogeneous, weights=one.name)
        found += random_results(features, one.layers.bits, np.random.default_rng(seed), one.name)
        if fitted is not None:
            found += _baselines(
                one,
                backbones,
                fitted,
                seed,
                (features.stills, features.still_people),
                {"set": (features.sets, features.set_people), "shot": (features.shots, features.shot_people)},
                DIRECTIONS,
            )
        pairs += _pairs(one, stills, faces.identity[rows])
    return Evaluation(tuple(found), tuple(pairs))


def _by_sessions(
    path: Path,
    faces: FacePack,
    loaded: Sequence[Loaded],
    backbones: Backbones,
    fitted: FacePack | None,
    seed: int,
) -> Evaluation:
    sessions = read_sessions(path, faces)
    found: list[Result] = []
    lines: list[FramesLine] = []
    pairs: list[PairsLine] = []
    for one in loaded:
        mirror = one.weights.mirror
        features = backbones.once(one.weights, "sessions", partial(session_features, faces, sessions, mirror=mirror))
        found += session_results(features, one.layers, homogeneous=one.homogeneous, weights=one.name)
        if fitted is not None:
            found += _baselines(
                one,
                backbones,
                fitted,
                seed,
                (features.stills, features.still_people),
                {"session": (features.tracks, features.track_people)},
                (("still", "session"), ("session", "still")),
            )
        lines += frames_lines(features, one.layers, homogeneous=one.homogeneous, weights=one.name)
        pairs += _pairs(one, features.stills, features.still_people)
    return Evaluation(tuple(found), tuple(pairs), tuple(lines))


def _stills(faces: FacePack, loaded: Sequence[Loaded], backbones: Backbones) -> Evaluation:
    """Every crop asks for all others."""
    found: list[Result] = []
    pairs: list[PairsLine] = []
    rows = np.arange(len(faces))
    for one in loaded:
        features = backbones.once(one.weights, "stills", _still_rows(faces, rows, mirror=one.weights.mirror))
        codes = pack(binarise(hash_stills(one.layers, features)))
        found += results(one.name, "codes", {"still": Group(codes, faces.identity)}, hamming)
        found += results(one.name, "features", {"still": Group(one.cut(features), faces.identity)}, cosine_distances)
        pairs += _pairs(one, features, faces.identity)
    return Evaluation(tuple(found), tuple(pairs))


def _still_rows(faces: FacePack, rows: npt.NDArray[np.int64], *, mirror: bool) -> Callable[[Extract], Floats]:
    def compute(extract: Extract) -> Floats:
        return still_features(extract, np.stack([centre(faces.pictures[row]) for row in rows]), mirror=mirror)

    return compute


def _baselines(
    one: Loaded,
    backbones: Backbones,
    fitted: FacePack,
    seed: int,
    stills: tuple[Floats, npt.NDArray[np.int64]],
    videos: Mapping[str, tuple[Sequence[Floats], npt.NDArray[np.int64]]],
    ways: Sequence[tuple[str, str]],
) -> Iterable[Result]:
    mirror = one.weights.mirror
    rng = np.random.default_rng([seed, 1])
    training = one.cut(
        backbones.once(one.weights, "fit", lambda extract: fit_features(fitted, extract, rng, mirror=mirror))
    )
    bits = one.layers.bits
    hashes = [
        still_layer(one.layers, training.shape[1]),
        fit_itq(training, bits, np.random.default_rng([seed, 2])),
        fit_lsh(training, bits, np.random.default_rng([seed, 3])),
    ]
    tracks = {kind: ([one.cut(track) for track in each], people) for kind, (each, people) in videos.items()}
    return baseline_results(one.name, (one.cut(stills[0]), stills[1]), tracks, hashes, ways)


def _pairs(one: Loaded, features: Floats, people: npt.NDArray[np.integer]) -> list[PairsLine]:
    codes = pack(binarise(hash_stills(one.layers, features)))
    real = one.cut(features)
    both: tuple[tuple[str, Verification | None], ...] = (
        ("codes", verify(hamming(codes, codes), people)),
        ("features", verify(cosine_distances(real, real), people)),
    )
    return [PairsLine(one.name, name, **asdict(figures)) for name, figures in both if figures]


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
