"""sessions: face pack with real tracks -> photo -> session figures, and what the number of frames m does to them.

Beside a pack's own datasets there are ``live`` (n,; 1: a frame of film, 0: a still), ``session`` (n,; which film) and
``frame`` (n,; its place there). A track is one person in one session. ``encode`` samples at most 30 frames of a track,
and the track layers are trained on no more, so that is what the main figures do; the table over m goes on to all
frames, and also with the covariance divided by m where the weights do not and not where they do (those layers were
trained the other way: the figures say what the codes of a network bear, not what training that way would reach).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from dhhcli.errors import PackError
from dhhcli.models.binary_codes import binarise
from dhhcli.models.extractor import Extract, still_features
from dhhcli.models.hash_layers import HashLayers, hash_stills, hash_tracks
from dhhcli.research.datasets.augmentation import centre
from dhhcli.research.datasets.columns import check_columns
from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.evaluation.frame_distances import evenly
from dhhcli.research.evaluation.metrics import cosine_distances
from dhhcli.research.evaluation.tasks import Group, Result, code_distances, results
from dhhcli.search.options import Rank

DATASETS = ("live", "session", "frame")
FRAMES_A_CODE = 30  # encoding/track_codes.py
COUNTS = (1, 2, 5, 10, 20, 30, None)  # frames of a track; None: all
DIRECTIONS = (("still", "session"), ("session", "still"))
Features = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sessions:
    """Rows of a pack: its stills, and its tracks in the order of their frames."""

    stills: npt.NDArray[np.int64]  # (q,)
    still_people: npt.NDArray[np.int64]  # (q,)
    tracks: tuple[npt.NDArray[np.int64], ...]  # (m_i,) each
    track_people: npt.NDArray[np.int64]  # (t,)


@dataclass(frozen=True)
class FramesLine:
    """One line of the table over the number of frames."""

    weights: str
    representation: str  # codes, features (mean over frames)
    divided: bool | None  # covariance by m; None: there is none
    as_trained: bool
    frames: str  # "1" to "30", "all"
    still_session: float  # mAP
    session_still: float  # mAP
    bits_from_all: float | None  # mean Hamming distance from the code of all frames
    queries: int
    sessions: int


def has_sessions(path: Path) -> bool:
    """Whether a pack says which rows are frames of film. False also for what is no pack: reading it will say so."""
    try:
        with h5py.File(path, "r") as file:
            return all(name in file for name in DATASETS)
    except OSError:
        return False


def read_sessions(path: Path, faces: FacePack) -> Sessions:
    """Read which rows are stills and which are frames of which track.

    Raises:
        PackError: the datasets do not fit the pack, or there are no stills or no frames.
    """
    try:
        with h5py.File(path, "r") as file:
            check_columns(file, path)
            live, session, frame = (file[name][:] for name in DATASETS)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise PackError(f"{path}: live, session and frame cannot be read ({error}); the pack is damaged") from None
    lengths = [np.shape(array) for array in (live, session, frame)]
    if any(shape != (len(faces),) for shape in lengths):
        raise PackError(f"{path}: live, session, frame of {lengths}, expected one value for each of {len(faces)} crops")
    stills = np.flatnonzero(live == 0)
    moving = np.flatnonzero(live != 0)
    if not len(stills) or not len(moving):
        raise PackError(f"{path}: {len(stills)} stills and {len(moving)} frames; both are needed")
    _, number = np.unique(session, return_inverse=True)
    keys = sorted({(int(number[row]), int(faces.identity[row])) for row in moving})
    tracks = []
    for one, person in keys:
        rows = moving[(number[moving] == one) & (faces.identity[moving] == person)]
        tracks.append(rows[np.argsort(frame[rows], kind="stable")])
    return Sessions(stills, faces.identity[stills], tuple(tracks), np.array([person for _, person in keys]))


@dataclass(frozen=True, eq=False)
class SessionFeatures:
    """Features of every row that the sessions name."""

    stills: Features  # (q, d)
    still_people: npt.NDArray[np.int64]
    tracks: tuple[Features, ...]  # (m_i, d) each, all frames
    track_people: npt.NDArray[np.int64]


def session_features(
    faces: FacePack, sessions: Sessions, extract: Extract, film: Extract, *, mirror: bool
) -> SessionFeatures:
    """Run the networks over all of it: ``extract`` looks at photos, ``film`` at frames."""

    def crops(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        return np.stack([centre(faces.pictures[row]) for row in rows])

    return SessionFeatures(
        still_features(extract, crops(sessions.stills), mirror=mirror),
        sessions.still_people,
        tuple(film(crops(rows)) for rows in sessions.tracks),
        sessions.track_people,
    )


def session_results(
    features: SessionFeatures, layers: HashLayers, *, homogeneous: bool, weights: str, rank: Rank = Rank.soft
) -> list[Result]:
    """Codes and features as ``encode`` makes them: at most 30 frames of a track, evenly spaced."""
    tracks = [evenly(track, FRAMES_A_CODE) for track in features.tracks]
    soft = hash_stills(layers, features.stills), hash_tracks(layers, tracks)
    cut = slice(None, -1) if homogeneous else slice(None)
    real = [features.stills[:, cut], np.stack([track.mean(axis=0) for track in tracks])[:, cut]]
    ways = (*DIRECTIONS, ("still", "still"), ("session", "session"))
    return [
        *results(weights, "codes", _groups(features, *soft), code_distances(rank), ways),
        *results(weights, "features", _groups(features, *real), cosine_distances, ways),
    ]


def frames_lines(
    features: SessionFeatures, layers: HashLayers, *, homogeneous: bool, weights: str, rank: Rank = Rank.soft
) -> list[FramesLine]:
    """The table over the number of frames, the covariance divided by m and not, and the features' mean."""
    lines = []
    stills = hash_stills(layers, features.stills)
    for divide in (layers.divide,) if layers.framewise else (layers.divide, not layers.divide):
        variant = replace(layers, divide=divide)
        soft = {
            m: hash_tracks(variant, [track if m is None else evenly(track, m) for track in features.tracks])
            for m in COUNTS
        }
        for m in COUNTS:
            changed = float((binarise(soft[m]) != binarise(soft[None])).sum(axis=1).mean())
            groups = _groups(features, stills, soft[m])
            scores = _maps(results(weights, "codes", groups, code_distances(rank), DIRECTIONS))
            lines.append(_line(features, weights, "codes", divide, divide == layers.divide, m, scores, changed))
    cut = slice(None, -1) if homogeneous else slice(None)
    for m in COUNTS:
        means = np.stack([(track if m is None else evenly(track, m)).mean(axis=0) for track in features.tracks])
        groups = _groups(features, features.stills[:, cut], means[:, cut])
        scores = _maps(results(weights, "features", groups, cosine_distances, DIRECTIONS))
        lines.append(_line(features, weights, "features", None, True, m, scores, None))
    return lines


def _line(
    features: SessionFeatures,
    weights: str,
    representation: str,
    divided: bool | None,
    as_trained: bool,
    m: int | None,
    scores: tuple[float, float],
    changed: float | None,
) -> FramesLine:
    frames, counts = "all" if m is None else str(m), (len(features.stills), len(features.tracks))
    return FramesLine(weights, representation, divided, as_trained, frames, *scores, changed, *counts)


def _maps(found: list[Result]) -> tuple[float, float]:
    maps = {(result.line.query, result.line.database): result.line.mean_ap for result in found}
    nothing = float("nan")
    return maps.get(("still", "session"), nothing), maps.get(("session", "still"), nothing)


def _groups(
    features: SessionFeatures, stills: npt.NDArray[np.generic], tracks: npt.NDArray[np.generic]
) -> dict[str, Group]:
    return {"still": Group(stills, features.still_people), "session": Group(tracks, features.track_people)}
