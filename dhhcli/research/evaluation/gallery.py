"""gallery: folder per person of photos and videos -> crops of stills (q, 64, 64, 3) and of each track (m, 64, 64, 3).

Photos go the way of ``query`` (their largest face), videos that of ``encode`` (every track of a video is taken to be
the person whose folder it lies in; at most 30 frames of it). What cannot be read, or shows no face, is listed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dhhcli.encoding.query_photo import largest_first
from dhhcli.encoding.track_codes import FRAMES_A_CODE
from dhhcli.errors import DhhError, MissingPathError, PackError
from dhhcli.faces.alignment import align
from dhhcli.faces.detector import FaceDetector
from dhhcli.faces.scan import shot_tracks
from dhhcli.faces.tracker import sample
from dhhcli.media.files.discover import VIDEO_SUFFIXES
from dhhcli.media.photo import read_photo
from dhhcli.media.video import open_video

Crops = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PeopleFaces:
    """Crops of everybody; people are numbers of ``names``."""

    names: tuple[str, ...]
    stills: Crops  # (q, 64, 64, 3)
    still_people: npt.NDArray[np.int64]  # (q,)
    tracks: tuple[Crops, ...]  # (m_i, 64, 64, 3) each
    track_people: npt.NDArray[np.int64]  # (t,)
    notes: tuple[str, ...]  # what was passed over, and why


def people_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name of the person and file, of every file in a folder of a folder that is not hidden, in order.

    Raises:
        MissingPathError: the folder is not there.
        PackError: it holds no folders.
    """
    if not folder.is_dir():
        raise MissingPathError(f"{folder}: no such folder; expected one that holds a folder per person")
    people = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not people:
        raise PackError(f"{folder}: holds no folders; expected a folder per person, with photos or videos in it")
    for person in people:
        for path in sorted(person.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                yield person.name, path


def still_crop(path: Path, detector: FaceDetector) -> Crops | None:
    """Aligned crop (64, 64, 3) of the largest face of a photo, None where there is none. Raises PhotoError."""
    picture = read_photo(path)
    faces = largest_first(detector.detect(picture))
    return align(picture, faces[0].landmarks) if faces else None


def video_crops(path: Path, detector: FaceDetector) -> list[Crops]:
    """Crops (m, 64, 64, 3), m <= 30, of every track of a video. Raises VideoError, NoVideoError."""
    tracks: list[Crops] = []
    with open_video(path) as video:
        for _, found in shot_tracks(video, detector):
            tracks += [np.stack([face.crop for face in sample(track, FRAMES_A_CODE)]) for track in found]
    return tracks


def read_people(folder: Path, detector: FaceDetector) -> PeopleFaces:
    """Read a folder per person.

    Raises:
        MissingPathError, PackError: the folder is not there or holds no folders, or no face at all.
    """
    names: list[str] = []
    stills: list[tuple[int, Crops]] = []
    tracks: list[tuple[int, Crops]] = []
    notes: list[str] = []
    for name, path in people_files(folder):
        if name not in names:
            names.append(name)
        person = names.index(name)
        try:
            if path.suffix.lower() in VIDEO_SUFFIXES:
                found = video_crops(path, detector)
                tracks += [(person, crops) for crops in found]
                empty = not found
            else:
                crop = still_crop(path, detector)
                stills += [(person, crop)] if crop is not None else []
                empty = crop is None
        except DhhError as error:
            notes.append(f"skipped: {path}: {str(error).removeprefix(f'{path}: ')}")
            continue
        if empty:
            notes.append(f"skipped: {path}: no face found")
    if not stills and not tracks:
        raise PackError(f"{folder}: no face in any photo or video of its folders; {len(notes)} files were passed over")
    return PeopleFaces(
        tuple(names),
        np.stack([crop for _, crop in stills]) if stills else np.empty((0, 64, 64, 3), np.uint8),
        np.array([person for person, _ in stills], np.int64),
        tuple(crops for _, crops in tracks),
        np.array([person for person, _ in tracks], np.int64),
        tuple(notes),
    )
