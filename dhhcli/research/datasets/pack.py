"""pack: HDF5 face pack -> pictures (n, 80, 80, 3) uint8 BGR, identities (n,), teacher embeddings (n, 128).

A pack is one HDF5 file of 80x80 JPEG crops laid end to end (``jpeg``, ``offset``) with one row a crop in
``identity``, ``identity_name``, ``face_px``, ``teacher`` and ``track`` (writer.py writes such files). The middle
64x64 pixels of a picture are what the network sees; the 8 pixel margin is room for shift, scale and rotation.
"""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import numpy.typing as npt

from dhhcli.errors import PackError
from dhhcli.research.datasets.columns import check_columns, texts
from dhhcli.storage.values import jpeg_size

MARGIN = 8  # pixels around the network's 64x64
FORMAT = "dhh-faces"
FORMAT_VERSION = 1  # of packs that say which; older ones do not


@dataclass(frozen=True, eq=False)
class FacePack:
    """Decoded pack: everything is in memory (19 kB a crop)."""

    path: Path
    pictures: npt.NDArray[np.uint8]  # (n, 80, 80, 3) BGR
    identity: npt.NDArray[np.int64]  # (n,) row in ``names``
    names: tuple[str, ...]
    face_px: npt.NDArray[np.float32]  # (n,) side of the face box in the original photo, pixels
    teacher: npt.NDArray[np.float32]  # (n, 128); rows of NaN where the teacher gave nothing
    track: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))  # (n,) of film; -1: a still

    def __post_init__(self) -> None:
        """Nothing known of tracks: every crop is a still."""
        if not len(self.track):
            object.__setattr__(self, "track", np.full(len(self.identity), -1, np.int64))

    def __len__(self) -> int:
        return len(self.identity)


def read_pack(path: Path, rows: slice = slice(None)) -> FacePack:
    """Decode a face pack.

    Raises:
        PackError: the file is missing, is no pack, or a crop does not decode to (80, 80, 3).
    """
    if path.is_dir():
        raise PackError(f"{path}: a folder; a face pack (HDF5) is expected, dhh pack makes one of a folder of people")
    if not path.is_file():
        raise PackError(f"{path}: no such face pack; an HDF5 file of face crops is expected, as dhh pack makes it")
    if not h5py.is_hdf5(path):
        raise PackError(f"{path}: not a face pack (not HDF5); dhh pack makes one of a folder of people")
    try:
        with h5py.File(path, "r") as file:
            kind = _text(file.attrs.get("format", FORMAT))
            if kind != FORMAT:
                codes = "; figures of a codes file need --labels" if kind == "dhh-codes" else ""
                raise PackError(f"{path}: holds {kind!r}; a face pack is expected, as dhh pack makes it{codes}")
            version = int(file.attrs.get("format_version", FORMAT_VERSION))
            if version != FORMAT_VERSION:
                raise PackError(
                    f"{path}: face pack of format {version}, this dhh reads {FORMAT_VERSION}; use a newer dhh"
                )
            check_columns(file, path)
            jpeg = file["jpeg"][:]
            offset = file["offset"][:].astype(np.int64)
            identity = file["identity"][:].astype(np.int64)
            n = len(identity)
            if "identity_name" in file:
                names = tuple(_text(name) for name in texts(file, "identity_name", path))
            else:
                names = tuple(map(str, range(min(int(identity.max(initial=-1)) + 1, n))))
            face_px = file["face_px"][:].astype(np.float32) if "face_px" in file else np.full(n, 64, np.float32)
            teacher = (
                file["teacher"][:].astype(np.float32) if "teacher" in file else np.full((n, 128), np.nan, np.float32)
            )
            track = file["track"][:].astype(np.int64) if "track" in file else np.full(n, -1)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise PackError(f"{path}: not a face pack ({error}); expected HDF5 with jpeg, offset, identity") from None
    if jpeg.dtype != np.uint8 or {jpeg.ndim, offset.ndim, identity.ndim, face_px.ndim} != {1}:
        raise PackError(f"{path}: jpeg, offset, identity or face_px is no list of numbers; the pack is damaged")
    if len(offset) != n + 1 or offset[0] != 0 or offset[-1] != len(jpeg) or (np.diff(offset) <= 0).any():
        raise PackError(
            f"{path}: {n} identities but {len(offset) - 1} crops, or offsets that do not rise to the "
            f"{len(jpeg)} bytes of jpeg; the pack is damaged"
        )
    if teacher.shape != (n, 128) or len(face_px) != n:
        raise PackError(f"{path}: teacher {teacher.shape}, face_px {face_px.shape}; expected ({n}, 128), ({n},)")
    if n and not 0 <= identity.min() <= identity.max() < len(names):
        raise PackError(f"{path}: identity {identity.max()} of {len(names)} names; the pack is damaged")
    if track.shape != (n,) or track.min(initial=-1) < -1:
        raise PackError(f"{path}: track {track.shape}, least {track.min(initial=-1)}; expected ({n},) from -1 up")
    seen = np.unique(np.stack([track, identity])[:, track >= 0], axis=1)[0]  # each track once a person
    if len(np.unique(seen)) != len(seen):
        raise PackError(f"{path}: a track shows several people; the pack is damaged")
    index = np.arange(n)[rows]
    pictures = np.empty((len(index), 64 + 2 * MARGIN, 64 + 2 * MARGIN, 3), np.uint8)
    for row, i in enumerate(index):
        data = jpeg[offset[i] : offset[i + 1]]
        size = jpeg_size(data.tobytes())  # before it is decoded: a JPEG may claim a gigapixel
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if size == pictures.shape[1:3] else None
        if picture is None or picture.shape != pictures.shape[1:]:
            found = "no JPEG" if size is None or picture is not None else f"shape {(size[1], size[0], 3)}"
            raise PackError(f"{path}: crop {i} is {found}, expected a {pictures.shape[1:]} JPEG")
        pictures[row] = picture
    return FacePack(path, pictures, identity[index], names, face_px[index], teacher[index], track[index])


def crops_in(path: Path) -> int | None:
    """How many crops a pack holds, without reading them; None for what is none."""
    if not path.is_file():
        return None
    try:
        with h5py.File(path, "r") as file:
            return int(file["offset"].size) - 1
    except (OSError, KeyError, AttributeError):
        return None


def read_column(path: Path, name: str) -> npt.NDArray[np.float32] | None:
    """Another column of a pack (n, e), such as a second teacher's features; None where it has none.

    Raises:
        PackError: it is not a row of finite numbers for each crop.
    """
    with h5py.File(path, "r") as file:
        if name not in file:
            return None
        check_columns(file, path)
        found = np.asarray(file[name][:], np.float32)
        crops = len(file["identity"])
    if found.ndim != 2 or len(found) != crops or not np.isfinite(found).all():
        raise PackError(f"{path}: {name} is {found.shape}; expected finite numbers ({crops}, e)")
    return found


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def merge_packs(packs: list[FacePack]) -> FacePack:
    """Lay packs end to end; identities and tracks of different packs stay different people and tracks."""
    shift = np.cumsum([0] + [len(pack.names) for pack in packs[:-1]])
    later = np.cumsum([0] + [pack.track.max(initial=-1) + 1 for pack in packs[:-1]])
    return FacePack(
        path=packs[0].path,
        pictures=np.concatenate([pack.pictures for pack in packs]),
        identity=np.concatenate([pack.identity + by for pack, by in zip(packs, shift, strict=True)]),
        names=tuple(name for pack in packs for name in pack.names),
        face_px=np.concatenate([pack.face_px for pack in packs]),
        teacher=np.concatenate([pack.teacher for pack in packs]),
        track=np.concatenate(
            [np.where(pack.track < 0, -1, pack.track + by) for pack, by in zip(packs, later, strict=True)]
        ),
    )


def take(pack: FacePack, rows: npt.NDArray[np.integer]) -> FacePack:
    """Some rows of a pack, as a pack."""
    return replace(
        pack,
        pictures=pack.pictures[rows],
        identity=pack.identity[rows],
        face_px=pack.face_px[rows],
        teacher=pack.teacher[rows],
        track=pack.track[rows],
    )


def fingerprint(pack: FacePack) -> str:
    """SHA-256 over pictures, identities, teacher and, where there are any, tracks: what a run was trained on."""
    digest = hashlib.sha256()
    for name in ("pictures", "identity", "teacher", *(("track",) if (pack.track >= 0).any() else ())):
        array = np.ascontiguousarray(getattr(pack, name))
        digest.update(repr((name, array.shape, array.dtype.str)).encode())
        digest.update(array.data)
    return digest.hexdigest()
