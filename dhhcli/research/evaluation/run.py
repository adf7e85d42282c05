"""run: what the user names (pack, protocol, folder, codes file) -> tables and curves, for some weights.

Packs: ``packs.py``; a folder per person: ``gallery.py``; a codes file with labels: ``footage.py``.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dhhcli.base.arrays import Floats
from dhhcli.errors import PackError, PhotoError, UsageError
from dhhcli.faces.detector import FaceDetector
from dhhcli.models.extractor import still_features
from dhhcli.models.hash_layers import hash_stills, hash_tracks
from dhhcli.models.network import load_network
from dhhcli.research.evaluation.footage import label_results, read_labels
from dhhcli.research.evaluation.gallery import people_files, read_people, still_crop
from dhhcli.research.evaluation.metrics import cosine_distances
from dhhcli.research.evaluation.packs import evaluate_pack
from dhhcli.research.evaluation.protocol import mean_over_frames
from dhhcli.research.evaluation.tables import (
    Backbones,
    Evaluation,
    PairsLine,
    counted_faces,
    load_all,
    pairs_lines,
    stills_of,
)
from dhhcli.research.evaluation.tasks import Group, Result, code_distances, results
from dhhcli.search.options import Rank
from dhhcli.storage.codes_file import check_model, open_shard


@dataclass(frozen=True)
class EvaluationJob:
    """What the command line asks for."""

    data: Path
    weights: tuple[str, ...] = ()
    protocol: Path | None = None
    labels: Path | None = None
    photos: Path | None = None
    seed: int = 0
    rank: Rank = Rank.soft


def evaluate_request(request: EvaluationJob) -> Evaluation:
    """Whatever the data is.

    Raises:
        UsageError: options that contradict each other.
        DhhError: what the evaluation of that data raises.
    """
    if request.photos and not request.labels:
        raise UsageError("--photos are asked of a codes file; name its label file with --labels")
    if request.labels:
        if request.protocol or request.data.is_dir():
            raise UsageError("--labels belong to a codes file: no folder, no --protocol")
        return evaluate_codes(request.data, request.labels, request.photos, request.weights, request.rank)
    if request.data.is_dir():
        if request.protocol:
            raise UsageError("--protocol belongs to a face pack, not to a folder")
        return evaluate_folder(request.data, request.weights, request.rank)
    return evaluate_pack(request.data, request.weights, protocol=request.protocol, seed=request.seed, rank=request.rank)


def evaluate_codes(
    codes: Path,
    labels: Path,
    photos: Path | None = None,
    names: Sequence[str] = (),
    rank: Rank = Rank.soft,
) -> Evaluation:
    """Figures on a codes file with labels.

    Args:
        codes: made by encode.
        labels: label file (research/evaluation/footage.py).
        photos: a folder per person with photos that are asked.
        names: the one set of weights that made the codes; default the shipped ones.
        rank: what codes are ranked by; tracks that ask are stored bits, so these are ranked by Hamming distance.

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
        found = label_results(shard, known, asked, network.name, rank)
    if not found:
        raise PackError(f"{labels}: nobody asked for is labelled; folders of --photos must be called as the people are")
    return Evaluation(tuple(found), notes=tuple(notes))


def evaluate_folder(folder: Path, names: Sequence[str] = (), rank: Rank = Rank.soft) -> Evaluation:
    """Figures on a folder per person: every photo asks for all others and for all tracks, and tracks for both.

    Raises:
        MissingPathError, PackError: the folder is not of that form, or shows nobody twice.
        WeightsError: the weights cannot be used.
    """
    loaded, backbones = load_all(names), Backbones()
    faces = read_people(folder, FaceDetector(threads=backbones.threads))
    ends = np.cumsum([len(crops) for crops in faces.tracks])[:-1]
    found: list[Result] = []
    pairs: list[PairsLine] = []
    with counted_faces(loaded, len(faces.stills), sum(map(len, faces.tracks))):
        for one in loaded:
            stills = backbones.once(one.weights, "stills", partial(stills_of, faces.stills, one.weights.mirror))
            tracks: tuple[Floats, ...] = ()
            if faces.tracks:
                frames = backbones.once(one.weights, "tracks", lambda _photo, film: film(np.concatenate(faces.tracks)))
                tracks = tuple(np.split(frames, ends))
            kinds = {
                "codes": (hash_stills(one.layers, stills), hash_tracks(one.layers, tracks)),
                "features": (one.cut(stills), one.cut(mean_over_frames(tracks))),
            }
            for name, vectors in kinds.items():
                groups = {
                    kind: Group(each, people)
                    for kind, each, people in zip(
                        ("still", "track"), vectors, (faces.still_people, faces.track_people), strict=True
                    )
                    if len(people)
                }
                found += results(one.name, name, groups, code_distances(rank) if name == "codes" else cosine_distances)
            pairs += pairs_lines(one, stills, faces.still_people)
    if not found:
        raise PackError(f"{folder}: nobody is shown twice, so there is nothing to find")
    return Evaluation(tuple(found), tuple(pairs), notes=faces.notes)
