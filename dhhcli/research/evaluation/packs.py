"""packs: face pack, with a protocol, with real tracks or bare -> tables and curves, for some weights.

With a protocol: ``protocol.py``; a pack of real tracks: ``sessions.py``; any other: every crop asks for the others.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Floats
from dhhcli.errors import PackError
from dhhcli.models.extractor import Extract, still_features
from dhhcli.models.hash_layers import hash_stills
from dhhcli.research.datasets.augmentation import centre
from dhhcli.research.datasets.pack import FacePack, read_pack
from dhhcli.research.datasets.protocol import ProtocolPerson
from dhhcli.research.evaluation.metrics import cosine_distances
from dhhcli.research.evaluation.protocol import (
    SHOT_FRAMES,
    ProtocolFeatures,
    code_results,
    feature_results,
    protocol_features,
    random_results,
    read_both,
)
from dhhcli.research.evaluation.sessions import (
    FramesLine,
    Sessions,
    frames_lines,
    has_sessions,
    read_sessions,
    session_features,
    session_results,
)
from dhhcli.research.evaluation.tables import (
    Backbones,
    Evaluation,
    Loaded,
    PairsLine,
    counted_faces,
    load_all,
    pairs_lines,
)
from dhhcli.research.evaluation.tasks import Group, Result, code_distances, results
from dhhcli.search.options import Rank


def evaluate_pack(
    pack_path: Path,
    names: Sequence[str] = (),
    *,
    protocol: Path | None = None,
    seed: int = 0,
    rank: Rank = Rank.soft,
) -> Evaluation:
    """Figures on a face pack.

    Args:
        pack_path: people the network was not trained on.
        names: weights.
        protocol: which rows are queries, sets and shots; without one, real tracks if the pack has them, else stills.
        seed: of the random codes.
        rank: what codes are ranked by.

    Raises:
        PackError: a pack or the protocol cannot be read, or do not belong together.
        WeightsError: the weights cannot be used.
    """
    if protocol is not None:
        faces, people = read_both(pack_path, protocol)
    else:
        faces, people = read_pack(pack_path), ()
    loaded, backbones = load_all(names), Backbones()
    if protocol is not None:
        stills = sum(len(person.queries) for person in people) + len(_rows(people))
        frames = sum(len(photos) for person in people for photos in person.sets)
        frames += SHOT_FRAMES * sum(len(person.shots) for person in people)
        with counted_faces(loaded, stills, frames):
            return _by_protocol(faces, people, loaded, backbones, seed, rank)
    if has_sessions(pack_path):
        sessions = read_sessions(pack_path, faces)
        with counted_faces(loaded, len(sessions.stills), sum(map(len, sessions.tracks))):
            return _by_sessions(sessions, faces, loaded, backbones, rank)
    if len(np.unique(faces.identity)) in (len(faces), 1):
        raise PackError(f"{pack_path}: no two crops of one person beside another's; there is nothing to measure")
    with counted_faces(loaded, len(faces)):
        return _stills(faces, loaded, backbones, rank)


def _rows(people: Sequence[ProtocolPerson]) -> npt.NDArray[np.int64]:
    """Every row that a protocol names, once."""
    return np.unique([row for p in people for row in (*p.queries, *p.shots, *sum(p.sets, ()))])


def _by_protocol(
    faces: FacePack,
    people: tuple[ProtocolPerson, ...],
    loaded: Sequence[Loaded],
    backbones: Backbones,
    seed: int,
    rank: Rank,
) -> Evaluation:
    found: list[Result] = []
    pairs: list[PairsLine] = []
    rows = _rows(people)
    for one in loaded:
        mirror = one.weights.mirror

        def named(extract: Extract, film: Extract, mirror: bool = mirror) -> ProtocolFeatures:
            return protocol_features(faces, people, extract, film=film, mirror=mirror)

        features = backbones.once(one.weights, "protocol", named)
        stills = backbones.once(one.weights, "stills", _still_rows(faces, rows, mirror=mirror))
        found += code_results(features, one.layers, one.name, rank)
        found += feature_results(features, homogeneous=one.homogeneous, weights=one.name)
        found += random_results(features, one.layers.bits, np.random.default_rng(seed), one.name)
        pairs += pairs_lines(one, stills, faces.identity[rows])
    return Evaluation(tuple(found), tuple(pairs))


def _by_sessions(
    sessions: Sessions,
    faces: FacePack,
    loaded: Sequence[Loaded],
    backbones: Backbones,
    rank: Rank,
) -> Evaluation:
    found: list[Result] = []
    lines: list[FramesLine] = []
    pairs: list[PairsLine] = []
    for one in loaded:
        mirror = one.weights.mirror
        features = backbones.once(one.weights, "sessions", partial(session_features, faces, sessions, mirror=mirror))
        found += session_results(features, one.layers, homogeneous=one.homogeneous, weights=one.name, rank=rank)
        lines += frames_lines(features, one.layers, homogeneous=one.homogeneous, weights=one.name, rank=rank)
        pairs += pairs_lines(one, features.stills, features.still_people)
    return Evaluation(tuple(found), tuple(pairs), tuple(lines))


def _stills(faces: FacePack, loaded: Sequence[Loaded], backbones: Backbones, rank: Rank) -> Evaluation:
    """Every crop asks for all others."""
    found: list[Result] = []
    pairs: list[PairsLine] = []
    rows = np.arange(len(faces))
    for one in loaded:
        features = backbones.once(one.weights, "stills", _still_rows(faces, rows, mirror=one.weights.mirror))
        soft = hash_stills(one.layers, features)
        found += results(one.name, "codes", {"still": Group(soft, faces.identity)}, code_distances(rank))
        found += results(one.name, "features", {"still": Group(one.cut(features), faces.identity)}, cosine_distances)
        pairs += pairs_lines(one, features, faces.identity)
    return Evaluation(tuple(found), tuple(pairs))


def _still_rows(faces: FacePack, rows: npt.NDArray[np.int64], *, mirror: bool) -> Callable[[Extract, Extract], Floats]:
    def compute(extract: Extract, _film: Extract) -> Floats:
        return still_features(extract, np.stack([centre(faces.pictures[row]) for row in rows]), mirror=mirror)

    return compute
