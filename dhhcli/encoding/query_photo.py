"""query_photo: photo (h, w, 3) uint8 BGR -> code of the chosen face: soft bits (K,) and their feature (d,)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dhhcli.base.prefetch import ahead
from dhhcli.errors import NoFaceError
from dhhcli.faces.alignment import align
from dhhcli.faces.detector import SURE, Face, FaceDetector, photo_detector
from dhhcli.faces.photo_faces import photo_faces
from dhhcli.faces.thumbnail import thumbnail
from dhhcli.media.files.discover import is_photo
from dhhcli.media.photo import Photo, open_photo
from dhhcli.models.extractor import still_features
from dhhcli.models.hash_layers import hash_stills
from dhhcli.models.network import Network

LONGEST = 320  # pixels of a picture that stands for what was asked for


@dataclass(frozen=True, eq=False)
class PhotoCode:
    """The code of one photo and which face it is of."""

    path: Path
    soft: npt.NDArray[np.float32]  # (K,)
    feature: npt.NDArray[np.float32]  # (d,) that the soft bits were made of
    face: Face
    number: int  # 1-based, largest first
    faces: int  # how many the photo shows
    picture: bytes = b""  # JPEG of the face with its surroundings
    warnings: tuple[str, ...] = ()  # what is missing of the photo


_begun: dict[Path, Callable[[], tuple[Photo, list[Face]]]] = {}  # photos that a thread looks at already


def look_ahead(word: str) -> None:
    """Begin to find the faces of a photo in a thread, so that the rest of dhh is imported meanwhile.

    Where the word names no photo nothing is done, and nothing is said: whatever is wrong is said by ``photo_code``.
    """
    path = Path(word)
    if is_photo(path) and path.is_file():
        _begun[path] = ahead(lambda: _faces(path, photo_detector()))


def _faces(path: Path, detector: FaceDetector) -> tuple[Photo, list[Face]]:
    """A photo and its faces, largest first. Small ones are looked for only where there is no sure one of usual size."""
    photo = open_photo(path)
    faces = detector.detect(photo.picture)
    if not any(face.score >= SURE for face in faces):
        faces = photo_faces(detector, photo.picture)
    return photo, largest_first(faces)


def largest_first(faces: list[Face]) -> list[Face]:
    """Faces by falling size: the person a photo is of is nearly always the largest face in it."""
    return sorted(faces, key=lambda face: (-face.size, *face.box.tolist()))


def photo_code(path: Path, network: Network, *, number: int = 1) -> PhotoCode:
    """Hash face ``number`` (1 is the largest) of a photo.

    Raises:
        PhotoError: the file is not an image.
        NoFaceError: there is no face, or there are fewer than ``number``.
    """
    begun = _begun.pop(path, None)
    photo, faces = begun() if begun else _faces(path, network.detector)
    picture = photo.picture
    height, width = picture.shape[:2]
    if 0 < len(faces) < number:
        faces = largest_first(photo_faces(network.detector, picture))
    if not faces:
        raise NoFaceError(
            f"{path}: no face found in {width}x{height} pixels; take a photo where the face is 20 pixels or larger"
        )
    if number > len(faces):
        raise NoFaceError(f"{path}: has {len(faces)} face(s), --face {number} asks for more")
    face = faces[number - 1]
    crop = align(picture, face.landmarks)[None]
    feature = still_features(network.extract, crop, mirror=network.mirror)
    soft = hash_stills(network.layers, feature)[0]
    return PhotoCode(
        path, soft, feature[0], face, number, len(faces), thumbnail(picture, face.box, longest=LONGEST), photo.warnings
    )
