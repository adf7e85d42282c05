"""writer: aligned crops (80, 80, 3) uint8 BGR, one after the other -> HDF5 face pack, as pack.py reads it.

JPEGs wait in a file without a name on the same disk, so memory holds a row of a few hundred bytes a crop and a killed
writer leaves nothing; the finished file is written, looked into, fsynced and renamed (base/atomic_write.py). HDF5 only
lays it out (storage/hdf5_layout.py): on a full disk it would end the process, or write a wrong column without a word.

Besides what pack.py names, a row has ``source`` and ``file`` (where the crop comes from), ``score`` (the detector's)
and ``frame`` (number in its video or track, -1 for a still); ``skipped`` lists what gave no crop. Root attributes:
format, format_version, dhh_version.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import cv2
import h5py
import numpy as np
import numpy.typing as npt

from dhhcli.base.atomic_write import write_stream_atomically
from dhhcli.base.version import __version__
from dhhcli.errors import PackError
from dhhcli.research.datasets.columns import check_columns, texts
from dhhcli.research.datasets.pack import FORMAT, FORMAT_VERSION, MARGIN
from dhhcli.storage.hdf5_layout import make_skeleton

QUALITY = 92  # of the JPEGs
SIDE = 64 + 2 * MARGIN


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


_NUMBERS: dict[str, Any] = {
    "identity": np.int32,
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
        self._names: dict[str, int] = {}
        self._tracks = 0
        self._skipped: list[bytes] = []
        self._ends = [0]  # of the JPEGs
        self._rows: list[PackRow] = []
        try:
            self._jpegs = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115  (closed by __exit__)
        except OSError as error:
            raise PackError(f"{path}: cannot be made ({_line(error)}); name another place for the pack") from None

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
            self._close()

    def _close(self) -> None:
        with suppress(OSError):  # what waits in its buffer may find no room
            self._jpegs.close()

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
        try:
            self._jpegs.write(data.tobytes())
        except OSError as error:
            raise PackError(f"{self.path}: cannot be written ({_line(error)}); free space?") from None
        self._ends.append(self._ends[-1] + data.size)
        self._rows.append(row)
        self.crops += 1

    def skip(self, words: str) -> None:
        """Note what gave no crop, and why."""
        self._skipped.append(os.fsencode(words))

    def _finish(self) -> None:
        columns: dict[str, npt.NDArray[Any]] = {"offset": np.array(self._ends, np.int64)}
        for field in fields(PackRow):
            values = [getattr(row, field.name) for row in self._rows]
            columns[field.name] = np.array(values, _NUMBERS[field.name]) if field.name in _NUMBERS else _text(values)
        columns["identity_name"] = _text([os.fsencode(name) for name in self._names])
        columns["skipped"] = _text(self._skipped)
        attributes = {
            "format": np.bytes_(FORMAT),
            "format_version": FORMAT_VERSION,
            "dhh_version": np.bytes_(__version__),
            "crop": np.bytes_(f"{SIDE}x{SIDE} JPEG; the middle 64x64 is the network's input"),
        }
        layout = {name: (column.dtype, column.shape) for name, column in columns.items()}
        skeleton = make_skeleton(attributes, {"jpeg": (np.dtype("u1"), (self._ends[-1],)), **layout})

        def write(file: IO[bytes]) -> None:
            for offset, page in skeleton.metadata:
                file.seek(offset)
                file.write(page)
            for name, column in columns.items():
                file.seek(skeleton.offsets[name])
                file.write(column.tobytes())
            file.seek(skeleton.offsets["jpeg"])
            self._jpegs.seek(0)
            shutil.copyfileobj(self._jpegs, file, 1 << 20)
            file.truncate(skeleton.size)
            file.flush()
            _check(Path(file.name), self.path, columns)

        write_stream_atomically(self.path, write)


def _check(written: Path, path: Path, columns: dict[str, npt.NDArray[Any]]) -> None:
    """Raises PackError where a file that was just written does not hold what it should."""
    with h5py.File(written, "r", locking=False) as file:
        check_columns(file, written)
        for name, column in columns.items():
            if not np.array_equal(file[name][:], column):
                raise PackError(f"{path}: {name} is not what was written; is the disk sound?")


def _text(values: Sequence[bytes]) -> npt.NDArray[Any]:
    """Texts (n,) as a column of one width."""
    return np.array(values, f"S{max([1, *map(len, values)])}")


def skipped(path: Path) -> tuple[str, ...]:
    """What gave no crop when a pack was made; empty for packs that do not say.

    Raises:
        PackError: the file cannot be read.
    """
    try:
        with h5py.File(path, "r") as file:
            check_columns(file, path)
            return tuple(map(os.fsdecode, texts(file, "skipped", path))) if "skipped" in file else ()
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise PackError(f"{path}: not a face pack ({_line(error)}); delete it and run again") from None


def _line(error: BaseException) -> str:
    """An error's words on one line; the system's own where it is the system's."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return " ".join(str(error).split())
