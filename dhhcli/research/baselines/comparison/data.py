"""data: pack with protocol or real tracks, closed set, folder of people or of pickles -> a Split to compare on."""

from pathlib import Path

import numpy as np

from dhhcli.errors import PackError, UsageError
from dhhcli.faces.detector import FaceDetector
from dhhcli.research.baselines.split import (
    Split,
    Things,
    closed_split,
    photos_of,
    protocol_split,
    session_split,
    videos_of,
)
from dhhcli.research.datasets.pack import read_pack
from dhhcli.research.datasets.pickles import is_pickles, read_pickles
from dhhcli.research.evaluation.gallery import read_people
from dhhcli.research.evaluation.protocol import read_both
from dhhcli.research.evaluation.sessions import has_sessions, read_sessions


def read_split(
    data: Path, *, protocol: Path | None = None, fit: Path | None = None, closed: int | None = None, threads: int = 1
) -> tuple[Split, tuple[str, ...]]:
    """What the command line names, and notes on what was passed over.

    Args:
        data: pack, folder with a folder per person, or folder of pickles (research/datasets/pickles.py).
        protocol: queries, sets and shots of a pack.
        fit: pack that methods are fitted on.
        closed: instead of ``protocol`` and ``fit``: how many people of the pack are asked about, at most.
        threads: of the face detector, for folders.

    Raises:
        UsageError: options that contradict each other.
        PackError, MissingPathError: data cannot be read, or holds nothing to ask for.
    """
    if closed is not None:
        if protocol or fit or data.is_dir():
            raise UsageError("--closed makes both parts of one pack: no folder, no --protocol, no --fit")
        split = closed_split(read_pack(data), closed)
        if not split.ways:
            raise PackError(f"{data}: nobody has twenty photos, so there are none to hold out; expected a larger pack")
        return split, ()
    if is_pickles(data):
        if protocol or fit:
            raise UsageError(f"{data}: train and test are both in it; give no --protocol and no --fit")
        return pickle_split(data), ()
    if fit is None:
        raise UsageError("--compare needs --fit, a training pack that methods are fitted on, or --closed")
    if data.is_dir():
        if protocol:
            raise UsageError("--protocol belongs to a face pack, not to a folder")
        return folder_split(data, fit, threads)
    if protocol:
        split = protocol_split(read_pack(fit), *read_both(data, protocol))
        if not split.ways:
            raise PackError(
                f"{protocol}: names no sets and no shots; a comparison asks photos and videos of each other"
            )
        return split, ()
    faces = read_pack(data)
    if not has_sessions(data):
        raise UsageError(f"--compare: {data} has no real tracks; say with --protocol what is asked, or take --closed")
    return session_split(read_pack(fit), faces, read_sessions(data, faces)), ()


def pickle_split(folder: Path) -> Split:
    """Pictures of ``test`` ask for those of ``train``, on which methods are fitted, as this literature does it.

    A picture of the database is a video of one frame to methods that hash videos.
    """
    train, test = read_pickles(folder, "train"), read_pickles(folder, "test")
    rows = np.arange(len(train))
    asked = {"still": photos_of(test, np.arange(len(test))), "picture": videos_of(train, list(rows[:, None]))}
    return Split(train, rows, asked, (("still", "picture"),))


def folder_split(folder: Path, fit: Path, threads: int) -> tuple[Split, tuple[str, ...]]:
    """Photos and tracks of a folder per person (research/evaluation/gallery.py), asked of each other."""
    source = read_pack(fit)
    faces = read_people(folder, FaceDetector(threads=threads))
    if not len(faces.stills) or not faces.tracks:
        raise PackError(
            f"{folder}: {len(faces.stills)} photos and {len(faces.tracks)} tracks with faces; both are needed"
        )
    ones, counts = np.ones(len(faces.stills), np.int64), np.array([len(crops) for crops in faces.tracks])
    asked = {
        "still": Things(faces.stills, ones, faces.still_people, True),
        "track": Things(np.concatenate(faces.tracks), counts, faces.track_people, False),
    }
    return Split(source, np.arange(len(source)), asked, (("still", "track"), ("track", "still"))), faces.notes
