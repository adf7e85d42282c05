"""hdf5_layout: dtypes and shapes of datasets -> the bytes of an HDF5 file around them, and where they go in it.

HDF5 never writes to the disk itself: on a full one it fails again while it closes, prints what it likes and ends the
process with a segmentation fault (HDF5 2.0, h5py 3.16). So it lays the file out in memory, with room for the datasets
that is never filled, and the rest is plain writing that raises an OSError like any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import h5py
import numpy as np

PAGE: Final = 4096


@dataclass(frozen=True)
class Skeleton:
    """All of a file but the contents of its datasets."""

    metadata: tuple[tuple[int, bytes], ...]  # offset in the file, bytes; in order
    offsets: dict[str, int]  # where each dataset begins; 0 for an empty one
    size: int  # of the file, bytes


class _Sparse:
    """A file in memory that holds only the pages written to, for h5py's driver of Python file objects."""

    def __init__(self) -> None:
        self.pages: dict[int, bytearray] = {}
        self.at = self.size = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def truncate(self, size: int | None = None) -> int:
        self.size = self.at if size is None else size
        return self.size

    def flush(self) -> None:
        pass

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        for i in range(len(view)):
            page = self.pages.get((self.at + i) // PAGE)
            view[i] = page[(self.at + i) % PAGE] if page else 0
        self.at += len(view)
        return len(view)

    def read(self, count: int) -> bytes:
        data = bytearray(count)
        self.readinto(data)
        return bytes(data)

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        count = len(left)
        while len(left):
            number, first = divmod(self.at, PAGE)
            part = left[: PAGE - first]
            self.pages.setdefault(number, bytearray(PAGE))[first : first + len(part)] = part
            self.at += len(part)
            left = left[len(part) :]
        self.size = max(self.size, self.at)
        return count


def make_skeleton(
    attributes: Mapping[str, Any], datasets: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]
) -> Skeleton:
    """Lay out a file with root ``attributes`` and contiguous ``datasets`` (name -> dtype and shape).

    The same input gives the same bytes. Numbers are stored in the machine's order, which must be the dtype's.
    """
    file = _Sparse()
    # One fixed version of the format: the same bytes from every HDF5 library, and checksums on the metadata.
    with h5py.File(file, "w", libver=("v108", "v108")) as h5:
        for name, value in attributes.items():
            h5.attrs[name] = value
        offsets = {}
        for name, (dtype, shape) in datasets.items():
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_layout(h5py.h5d.CONTIGUOUS)
            plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            plist.set_obj_track_times(False)
            space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(dtype)
            dataset = h5py.h5d.create(h5.id, name.encode(), kind, space, plist)
            offsets[name] = int(dataset.get_offset() or 0)
    metadata = tuple((number * PAGE, bytes(page)) for number, page in sorted(file.pages.items()))
    return Skeleton(metadata, offsets, file.size)
