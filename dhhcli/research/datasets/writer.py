"""writer: aligned crops (80, 80, 3) uint8 BGR, one after the other -> HDF5 face pack, as pack.py reads it.

Crops are appended to a temporary file beside the pack, so memory stays bounded however many there are; the finished
file is flushed, fsynced and renamed. Besides what pack.py names, a row has ``source`` and ``file`` (where the crop
comes from), ``score`` (the detector's) and ``frame`` (number in its video or track, -1 for a still); ``skipped`` lists
what gave no crop. Root attributes: format, format_version, dhh_version.
"""

import os
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import h5py
import numpy as np
import numpy.typing as npt

from dhhcli.base.atomic_write import sync_folder
from dhhcli.base.version import __version__
from dhhcli.errors import PackError
from dhhcli.research.datasets.pack import FORMAT, FORMAT_VERSION, MARGIN

QUALITY = 92  # of the JPEGs
AT_ONCE = 1024  # rows that wait in memory
SIDE = 64 + 2 * MARGIN
_TEXT = h5py.string_dtype()


@dataclass(frozen=True)
class PackRow:
    """What a pack says of one crop; the fields are its datasets."""

    identity: int
    source: bytes
    file: bytes
    face_px: float
    score: float
    track: int = -1
    frame: int = -1


_DTYPES: dict[str, Any] = {
    "identity": np.int32,
    "source": _TEXT,
    "file": _TEXT,
    "face_px": np.float32,
    "score": np.float32,
    "track": np.int32,
    "frame": np.int32,
}


class PackWriter:
    """A pack in the making; a context manager that leaves a whole file behind, or none."""

    def __init__(self, path: Path) -> None:
        """Begin.

        Raises:
            PackError: there is a file of that name already, or none can be made there.
        """
        if path.exists():
            raise PackError(f"{path}: is there already; name another file with --out, or delete it first")
        self.path, self.crops = path, 0
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            self._file = h5py.File(self._temporary, "w", libver=("v108", "v108"), locking=False)
        except OSError as error:
            self._temporary.unlink(missing_ok=True)
            raise PackError(f"{path}: cannot be made ({_line(error)}); name another place for the pack") from None
        self._names: dict[str, int] = {}
        self._tracks = 0
        self._skipped: list[bytes] = []
        self._jpegs: list[npt.NDArray[np.uint8]] = []
        self._rows: list[PackRow] = []
        self._file.create_dataset("jpeg", (0,), np.uint8, maxshape=(None,), chunks=(1 << 20,))
        self._file.create_dataset("offset", data=np.zeros(1, np.int64), maxshape=(None,), chunks=(4096,))
        for field in fields(PackRow):
            self._file.create_dataset(field.name, (0,), _DTYPES[field.name], maxshape=(None,), chunks=(4096,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as failure:
            raise PackError(f"{self.path}: cannot be written ({_line(failure)}); free space?") from None
        finally:
            self._file.close()
            self._temporary.unlink(missing_ok=True)

    @property
    def people(self) -> int:
        """How many have a crop so far."""
        return len(self._names)

    def identity(self, person: str) -> int:
        """The number of a person, counted in the order in which they come."""
        return self._names.setdefault(person, len(self._names))

    def new_track(self) -> int:
        """The number of another track."""
        self._tracks += 1
        return self._tracks - 1

    def add(self, crop: npt.NDArray[np.uint8], row: PackRow) -> None:
        """Append a crop (80, 80, 3) and what is known of it."""
        if crop.shape != (SIDE, SIDE, 3) or crop.dtype != np.uint8:
            raise ValueError(f"crop is {crop.shape} {crop.dtype}, expected ({SIDE}, {SIDE}, 3) uint8")
        _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        self._jpegs.append(data.ravel())
        self._rows.append(row)
        self.crops += 1
        if len(self._rows) >= AT_ONCE:
            self._flush()

    def skip(self, words: str) -> None:
        """Note what gave no crop, and why."""
        self._skipped.append(os.fsencode(words))

    def _flush(self) -> None:
        if not self._rows:
            return
        try:
            begin = len(self._file["jpeg"])
            lengths = [len(data) for data in self._jpegs]
            _append(self._file["jpeg"], np.concatenate(self._jpegs))
            _append(self._file["offset"], begin + np.cumsum(lengths))
            for field, values in zip(fields(PackRow), zip(*map(astuple, self._rows), strict=True), strict=True):
                _append(self._file[field.name], np.array(values, _DTYPES[field.name]))
        except OSError as error:
            raise PackError(f"{self.path}: cannot be written ({_line(error)}); free space?") from None
        self._jpegs, self._rows = [], []

    def _finish(self) -> None:
        self._flush()
        names = [os.fsencode(name) for name in self._names]
        self._file.create_dataset("identity_name", data=np.array(names, _TEXT), dtype=_TEXT)
        self._file.create_dataset("skipped", data=np.array(self._skipped, _TEXT), dtype=_TEXT)
        self._file.attrs["format"] = FORMAT
        self._file.attrs["format_version"] = FORMAT_VERSION
        self._file.attrs["dhh_version"] = __version__
        self._file.attrs["crop"] = f"{SIDE}x{SIDE} JPEG; the middle 64x64 is the network's input"
        self._file.close()
        with self._temporary.open("rb") as file:
            os.fsync(file.fileno())
        self._temporary.replace(self.path)
        sync_folder(self.path.parent)


def skipped(path: Path) -> tuple[str, ...]:
    """What gave no crop when a pack was made; empty for packs that do not say.

    Raises:
        PackError: the file cannot be read.
    """
    try:
        with h5py.File(path, "r") as file:
            return tuple(os.fsdecode(words) for words in file["skipped"][:]) if "skipped" in file else ()
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise PackError(f"{path}: not a face pack ({_line(error)}); delete it and run again") from None


def _append(dataset: Any, values: npt.NDArray[Any]) -> None:
    begin = len(dataset)
    dataset.resize(begin + len(values), axis=0)
    dataset[begin:] = values


def _line(error: BaseException) -> str:
    """An error's words on one line; the system's own where it is the system's."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return " ".join(str(error).split())
