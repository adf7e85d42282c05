"""columns: an open HDF5 file of face crops -> its datasets, or PackError before anything is read that could do harm.

Packs come from other people too. Links and external storage would read other files, virtual datasets and chunks that
were never written make up what is not there, and a claimed size takes memory: all of it is refused before it is read,
and so is more than a file of this size can hold.
"""

from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from dhhcli.errors import PackError

MOST_COLUMNS: Final = 64
MOST_TEXT: Final = 4096  # bytes of a name
UNPACKED: Final = 64  # times the size of its file: what compressed columns may take
ROOM: Final = 1 << 24  # bytes that any file may take
LARGEST_CHUNK: Final = 1 << 26
AT_ONCE: Final = 1 << 28  # bytes of text that are read at a time, were every one as long as the file


def check_columns(file: Any, path: Path) -> None:
    """Raises PackError where the open pack ``file`` holds anything but plain columns of its own."""
    size = path.stat().st_size
    if len(file) > MOST_COLUMNS:
        raise PackError(f"{path}: {len(file)} datasets, a face pack has at most {MOST_COLUMNS}; not made by `dhh pack`")
    for name in file:
        wrong = _wrong(file, name, size)
        if wrong:
            raise PackError(f"{path}: {name[:100]} {wrong}, which is refused; make the pack again with `dhh pack`")


def _wrong(file: Any, name: str, size: int) -> str | None:
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return "is a link to somewhere else"
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        return "is a group, not a column"
    plist = dataset.id.get_create_plist()
    layout = plist.get_layout()
    if layout == h5py.h5d.VIRTUAL or plist.get_external_count():
        return "is virtual or stored outside"
    shape, dtype = dataset.shape, dataset.dtype
    if shape is None or len(shape) > 2 or dtype.kind not in "iufbSO" or (dtype.kind == "O" and not _is_text(dtype)):
        return f"has shape {shape} of {dtype}"
    if layout == h5py.h5d.CHUNKED and np.prod(plist.get_chunk(), dtype=np.float64) * dtype.itemsize > LARGEST_CHUNK:
        return "lies in chunks of more than 64 MiB"
    claimed = int(np.prod([int(side) for side in shape], dtype=object)) * dtype.itemsize
    stored = dataset.id.get_storage_size()
    if stored > size or claimed > (UNPACKED * size + ROOM if plist.get_nfilters() else stored):
        return f"claims {claimed:,} bytes in a file of {size:,}"
    return None


def _is_text(dtype: Any) -> bool:
    return h5py.check_string_dtype(dtype) is not None


def texts(file: Any, name: str, path: Path) -> list[bytes]:
    """A column of text, as bytes. Raises PackError for one that is longer than any name."""
    dataset = file[name]
    if len(dataset.shape) != 1:
        raise PackError(f"{path}: {name} has shape {dataset.shape}; the pack is damaged")
    if dataset.dtype.kind not in "SO":
        return [str(value).encode() for value in dataset[:]]
    step = min(max(1, AT_ONCE // max(1, path.stat().st_size)), 4096)
    found: list[bytes] = []
    for first in range(0, len(dataset), step):
        for value in dataset[first : first + step]:
            text = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
            if len(text) > MOST_TEXT:
                raise PackError(f"{path}: {name} holds a text of {len(text):,} bytes; the pack is damaged")
            found.append(text)
    return found
