"""hdf5_file: Tables (codes (t, B), tracks (t,), shots (s,), videos (v,), ...) <-> one HDF5 file, mapped.

A file is one root group with the datasets of `Tables` and, from version 2 on, the tombstones of what was forgotten; all
of them contiguous and unfiltered: a reader maps the file once and all arrays are views into it, so nothing is loaded
before it is looked at, and no file can inflate to more memory than it has bytes. Root attributes: format,
format_version, bits, code_bytes, bit_order, model (SHA-256 of the weights, hex), dhh_version, content (see
`tables.content_hash`); in version 3, which only files with codes of frames have, frame_codes (1).

Files come from other people too. Whatever is not exactly this is refused: other names, links, other layouts,
external storage, virtual datasets, sizes that do not fit the file or each other.
"""

import errno
import mmap
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from dhhcli.base.atomic_write import sync_folder
from dhhcli.base.version import __version__
from dhhcli.errors import MissingPathError, PassingError, ShardError
from dhhcli.models.binary_codes import BIT_ORDER, code_bytes
from dhhcli.models.model_tag import ModelTag
from dhhcli.storage.hdf5_layout import make_skeleton
from dhhcli.storage.schema import (
    NO_TOMBSTONES,
    SHOT_DTYPE,
    TOMBSTONE_DTYPE,
    TRACK_DTYPE,
    VIDEO_DTYPE,
    Tables,
    content_hash,
    joined,
)
from dhhcli.storage.values import check_tombstones

FORMAT: Final = "dhh-codes"
FORMAT_VERSION: Final = 2
FRAMES_VERSION: Final = 3  # of files with codes of frames; others stay readable for a dhh that knows none
READ_VERSIONS: Final = (1, 2, 3)  # 1 has no tombstones
MAX_ROWS: Final = 2**31 - 1  # row numbers are int32
FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE) if os.name != "nt" else (errno.ENOSPC, errno.EIO)
MAX_TEXT: Final = 4096  # bytes of a root attribute
SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, eq=False)
class ShardFile:
    """One opened file. Its arrays stay valid after the file is renamed, replaced or unlinked."""

    path: Path
    tag: ModelTag
    dhh_version: str
    tables: Tables
    tombstones: NDArray[np.void]  # (x,) TOMBSTONE_DTYPE
    size: int  # bytes
    version: int  # of the format


def write_file(
    path: Path, tag: ModelTag, pieces: Sequence[Tables], tombstones: NDArray[np.void] = NO_TOMBSTONES
) -> None:
    """Write `pieces` one after another into one file at `path`, and `tombstones`; atomically and lastingly.

    A temporary file beside it is written, flushed, read back and renamed over `path`: whoever looks sees the
    old file or the whole new one. Equal pieces give equal bytes, however they were cut. Raises
    ShardError when it cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        _write(temporary, tag, pieces, tombstones)
        read_file(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    except (OSError, RuntimeError, ShardError) as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        kind = PassingError if isinstance(error, OSError) and error.errno in FULL else ShardError
        raise kind(f"{path}: cannot be written ({_line(error)}); free space or another folder?") from error


def _write(path: Path, tag: ModelTag, pieces: Sequence[Tables], tombstones: NDArray[np.void]) -> None:
    attributes = {
        "format": np.bytes_(FORMAT),
        "format_version": FRAMES_VERSION if tag.frame_codes else FORMAT_VERSION,
        "bits": tag.bits,
        "code_bytes": code_bytes(tag.bits),
        "bit_order": np.bytes_(BIT_ORDER),
        "model": np.bytes_(tag.fingerprint),
        "dhh_version": np.bytes_(__version__),
        "content": np.bytes_(content_hash(tag, pieces, tombstones)),
        **({"frame_codes": 1} if tag.frame_codes else {}),
    }
    datasets = {
        name: (dtype, (sum(len(getattr(piece, name)) for piece in pieces), *row_shape))
        for name, (dtype, row_shape) in _layout(tag).items()
    }
    skeleton = make_skeleton(attributes, datasets | {"tombstones": (TOMBSTONE_DTYPE, (len(tombstones),))})
    with path.open("wb") as file:
        for offset, page in skeleton.metadata:
            file.seek(offset)
            file.write(page)
        for name, offset in skeleton.offsets.items():
            file.seek(offset)
            for array in joined(pieces, name) if name in datasets else [tombstones]:
                file.write(np.ascontiguousarray(array).data)
        file.truncate(skeleton.size)  # a page may reach beyond the end, and an empty dataset end before it
        file.flush()
        os.fsync(file.fileno())


# ---------------------------------------------------------------------------------------------- reading


def read_file(path: Path) -> ShardFile:
    """Map the codes file at `path`. Time and memory do not grow with the number of tracks.

    Raises MissingPathError when there is no such file, ShardError (one line) when it is not a codes file of
    this version, damaged in its structure, or built to do harm. The bytes in the tables are not checked: see
    `Shard.damaged_videos`.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ShardError(f"{path}: not a file; a codes file made by `dhh encode` is expected")
        with path.open("rb") as file:
            return _read(path, file)
    except FileNotFoundError as error:
        raise MissingPathError(f"{path}: no such codes file; make one with `dhh encode`") from error
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # what h5py raises on damage
        if isinstance(error, OSError) and error.errno is not None:  # the system's own, not h5py's
            raise ShardError(f"{path}: cannot be read ({error.strerror}); check the file and its rights") from error
        raise ShardError(
            f"{path}: damaged codes file ({_line(error)}); restore it, or delete it and encode again"
        ) from error


def _read(path: Path, file: BinaryIO) -> ShardFile:
    if file.read(len(SIGNATURE)) != SIGNATURE:
        raise ShardError(f"{path}: not a codes file (no HDF5 signature); name a file made by `dhh encode`")
    # Through the open file, never by name: h5py and the map see the same file even if `path` is replaced now.
    with h5py.File(file, "r") as h5:
        if _text(path, h5, "format") != FORMAT:
            raise ShardError(f"{path}: an HDF5 file, but not a codes file; name a file made by `dhh encode`")
        version = _number(path, h5, "format_version")
        if version not in READ_VERSIONS:
            raise ShardError(
                f"{path}: format version {version}, this dhh reads {READ_VERSIONS[0]} to {READ_VERSIONS[-1]}; "
                "use the dhh that made it, or encode again"
            )
        if version == FRAMES_VERSION and _number(path, h5, "frame_codes") != 1:
            raise ShardError(f"{path}: frame_codes is not 1 in a file of version {version}; not made by `dhh encode`")
        if not re.fullmatch(r"[0-9a-f]{64}", _text(path, h5, "model")):
            raise ShardError(f"{path}: the model is no SHA-256; not made by `dhh encode`")
        tag = ModelTag(_number(path, h5, "bits"), _text(path, h5, "model"), version == FRAMES_VERSION)
        stored = (_number(path, h5, "code_bytes"), _text(path, h5, "bit_order"))
        if stored != (code_bytes(tag.bits), BIT_ORDER):
            raise ShardError(f"{path}: {tag.bits} bits in {stored} bytes and order is unknown; encode again")
        dhh_version = _text(path, h5, "dhh_version")
        content = _text(path, h5, "content")
        layout = _layout(tag)
        if version > 1:
            layout["tombstones"] = (TOMBSTONE_DTYPE, ())
        if len(h5) != len(layout) or set(h5) != set(layout):
            raise ShardError(f"{path}: holds other datasets than {', '.join(layout)}; not made by `dhh encode`")
        spans = {name: _span(path, h5, name, dtype, row_shape) for name, (dtype, row_shape) in layout.items()}
    size = os.fstat(file.fileno()).st_size
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    arrays: dict[str, Any] = {}
    for name, (dtype, row_shape) in layout.items():
        rows, offset = spans[name]
        count = rows * int(np.prod(row_shape, dtype=np.int64))
        if offset < 0 or offset + count * dtype.itemsize > size:
            raise ShardError(
                f"{path}: {name} reaches past the end (cut short?); restore it, or delete it and encode again"
            )
        arrays[name] = np.frombuffer(mapped, dtype, count, offset).reshape(rows, *row_shape)
    tombstones = arrays.pop("tombstones", NO_TOMBSTONES)
    check_tombstones(tombstones, str(path))
    tables = Tables(**arrays)
    if not _consistent(tables):
        raise ShardError(f"{path}: damaged codes file (its tables do not fit together); delete it and encode again")
    if content_hash(tag, [tables], tombstones) != content:
        raise ShardError(
            f"{path}: damaged codes file (content hash differs); restore it, or delete it and encode again"
        )
    return ShardFile(path, tag, dhh_version, tables, tombstones, size, version)


def _layout(tag: ModelTag) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Name -> dtype and shape of one row, in the order in which they lie in the file."""
    byte = np.dtype("u1")
    code = (byte, (code_bytes(tag.bits),))
    return {
        "codes": code,
        "tracks": (TRACK_DTYPE, ()),
        "shots": (SHOT_DTYPE, ()),
        "videos": (VIDEO_DTYPE, ()),
        "texts": (byte, ()),
        "thumbnail_ends": (np.dtype("<i8"), ()),
        "thumbnails": (byte, ()),
        **({"frame_codes": code, "frame_code_ends": (np.dtype("<i8"), ())} if tag.frame_codes else {}),
    }


def _text(path: Path, h5: Any, name: str) -> str:
    """A root attribute of fixed-length characters (a variable length is known only after reading it)."""
    if name in h5.attrs:
        attribute = h5.attrs.get_id(name)
        if attribute.shape == () and attribute.dtype.kind == "S" and attribute.dtype.itemsize <= MAX_TEXT:
            return bytes(h5.attrs[name]).decode()
    raise ShardError(
        f"{path}: an HDF5 file, but not a codes file (no text attribute {name!r}); name one made by `dhh encode`"
    )


def _number(path: Path, h5: Any, name: str) -> int:
    """A root attribute that is one integer."""
    if name in h5.attrs:
        attribute = h5.attrs.get_id(name)
        if attribute.shape == () and attribute.dtype.kind in "iu":
            return int(h5.attrs[name])
    raise ShardError(f"{path}: not a whole codes file (no number {name!r}); name one made by `dhh encode`")


def _span(path: Path, h5: Any, name: str, dtype: np.dtype[Any], row_shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and offset in the file of a dataset, or ShardError unless it is plain bytes inside this file."""
    if not isinstance(h5.get(name, getlink=True), h5py.HardLink):
        raise ShardError(f"{path}: {name} is a link to somewhere else, which is refused; encode again")
    dataset = h5[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype != dtype:
        raise ShardError(f"{path}: {name} has not the type of a codes file's; not made by `dhh encode`")
    plist = dataset.id.get_create_plist()
    if plist.get_layout() != h5py.h5d.CONTIGUOUS or plist.get_external_count():
        raise ShardError(f"{path}: {name} is chunked, virtual or stored outside, which is refused; encode again")
    shape = dataset.shape
    if shape is None or len(shape) != 1 + len(row_shape) or shape[1:] != row_shape:
        raise ShardError(f"{path}: {name} has shape {shape}, (rows, *{row_shape}) expected; encode again")
    offset = dataset.id.get_offset()
    if shape[0] and offset is None:
        raise ShardError(f"{path}: {name} was never written (encoding killed?); encode again")
    return int(shape[0]), int(offset or 0)


def _consistent(tables: Tables) -> bool:
    """Whether lengths agree and ends never fall; looks at the table of videos and at single rows only."""
    videos, ends = tables.videos, tables.thumbnail_ends
    owned = {"text_end": tables.texts, "shot_end": tables.shots, "track_end": tables.tracks}
    if tables.frame_codes is not None and tables.frame_code_ends is not None:
        frames = tables.frame_code_ends
        if len(frames) != len(tables.tracks) or (int(frames[-1]) if len(frames) else 0) != len(tables.frame_codes):
            return False
    return (
        len(tables.codes) == len(tables.tracks) == len(ends) <= MAX_ROWS
        and len(tables.shots) <= MAX_ROWS
        and (int(ends[-1]) if len(ends) else 0) == len(tables.thumbnails)
        and all(
            bool(((videos[end] >= 0) & (videos[end] <= len(array))).all())
            and bool((videos[end][1:] >= videos[end][:-1]).all())
            and (int(videos[end][-1]) if len(videos) else 0) == len(array)
            for end, array in owned.items()
        )
    )


def _line(error: BaseException) -> str:
    """An error's words on one line; HDF5's own about a file that was cut short say it in numbers only."""
    cut = re.search(r"truncated file: eof = (\d+), .*stored_eof = (\d+)", str(error))
    if cut:
        return f"cut short: {int(cut[1]):,} of {int(cut[2]):,} bytes"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return " ".join(str(error).split())[:200]
