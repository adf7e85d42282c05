"""photo: photo file -> EncodedVideo of one shot without length; one track and one code (1, B) for every face.

The faces are hashed as a query's photo is, by the hash layer of stills, into the space where the codes of tracks lie.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dhhcli.encoding.options import USUAL, EncodeOptions
from dhhcli.errors import PhotoError
from dhhcli.faces.alignment import align, sharpness
from dhhcli.faces.photo_faces import photo_faces
from dhhcli.faces.thumbnail import thumbnail
from dhhcli.media.photo import open_photo
from dhhcli.media.timing.capture_time import photo_recorded
from dhhcli.models.binary_codes import binarise, code_bytes, pack
from dhhcli.models.extractor import still_features
from dhhcli.models.hash_layers import hash_stills
from dhhcli.models.network import Network
from dhhcli.storage.record import EncodedVideo, VideoRecord, content_fingerprint, recorded_path
from dhhcli.storage.schema import SHOT_DTYPE, TRACK_DTYPE


def encode_still(
    path: Path, network: Network, options: EncodeOptions = USUAL, *, fingerprint: str | None = None
) -> EncodedVideo:
    """Every face of a photo; ``fingerprint``: of its content, where that is known already.

    With ``options.frame_codes`` the code of each face is kept as that of a track's only frame.

    Raises:
        PhotoError, MissingPathError: the file cannot be read as a photo.
    """
    fingerprint, stat = fingerprint or content_fingerprint(path), path.stat()
    photo = open_photo(path)
    picture = photo.picture
    height, width = picture.shape[:2]
    try:
        faces = photo_faces(network.detector, picture, network.film_detector)
        crops = np.array([align(picture, face.landmarks) for face in faces], np.uint8)
    except ValueError as error:
        raise PhotoError(f"{path}: {error}") from error
    track_rows: list[tuple[Any, ...]] = [
        (0, 0, 0, 1, 0, 0, 0, 0, face.box, face.score, face.size, sharpness(crop), 1)
        for face, crop in zip(faces, crops, strict=True)
    ]
    codes = np.empty((0, code_bytes(network.layers.bits)), np.uint8)
    if len(crops):
        features = still_features(network.extract, crops, mirror=network.mirror)
        codes = pack(binarise(hash_stills(network.layers, features)))
    record = VideoRecord(
        path=recorded_path(path),
        fingerprint=fingerprint,
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        width=width,
        height=height,
        frames=1,
        frame_rate=None,
        time_base=Fraction(1),
        start_pts=0,
        duration=None,
        start_timecode=None,
        drop_frame=False,
        warnings=photo.warnings,
        still=True,
        recorded=photo_recorded(path),
    )
    return EncodedVideo(
        video=record,
        shots=np.array([(0, 1, 0, 1, 0, 0)], SHOT_DTYPE),
        tracks=np.array(track_rows, TRACK_DTYPE),
        codes=codes,
        thumbnails=tuple(thumbnail(picture, face.box) if options.pictures else b"" for face in faces),
        frame_codes=tuple(code[None] for code in codes) if options.frame_codes else None,
    )
