"""ivf_file: codes (n, B), which list (n,) each is in -> FAISS's IndexBinaryIVF file, mapped; queries -> nearest (q, k).

An inverted file: every code stands in the list of the centre nearest to it, and a query looks through the lists of the
`nprobe` centres nearest to the query. The file is one that faiss reads and writes ("IBwF", with whole lists), followed
by the digests of the videos that the codes are of. It is read here, without faiss: faiss maps a file before it has
checked what the file says, and dies of damaged ones. Here nothing is followed before all sizes fit the file, and one
query needs 64 of 4,000 lists, so mapped pages are all that is read.

Within a list ids rise. Together with every code tied with the k-th being looked at, the order is (distance, id).
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.errors import IndexFileError
from dhhcli.index.codes import Allowed, Codes, Nearest, Queries, Within, codes_of
from dhhcli.index.flat import NOTHING, Flat
from dhhcli.storage.schema import Tables

HEADER: Final = struct.Struct("<4siiqBi")  # kind, bits, bytes, codes, whether trained, metric: of a binary index
COUNTS: Final = struct.Struct("<QQ")  # lists, how many of them are probed
LENGTH: Final = struct.Struct("<Q")  # of an array, before it
MIDDLE: Final = struct.Struct("<BQ4sQQ4sQ")  # no map of ids, its length; "ilar", lists, bytes, "full", lists
HAMMING: Final = 1  # what faiss writes as the metric of binary indexes
ROWS: Final = 1 << 20  # codes that are sorted or written at once
VIDEO: Final = np.dtype([("digest", "u1", (32,)), ("track_end", "<i8")])


@dataclass(frozen=True, eq=False)
class Lists:
    """An opened file; its arrays are views of the mapped bytes."""

    data: NDArray[np.uint8]  # the whole file
    centres: NDArray[np.uint8]  # (L, B)
    starts: NDArray[np.int64]  # (L,): where a list's codes begin; its ids follow them
    sizes: NDArray[np.int64]  # (L,): codes in it
    nprobe: int
    videos: NDArray[np.void]  # (v,) VIDEO

    @property
    def width(self) -> int:
        """Bytes B of a code."""
        return int(self.centres.shape[1])

    def codes(self, number: int) -> NDArray[np.uint8]:
        """Codes (c, B) of a list."""
        start, size = int(self.starts[number]), int(self.sizes[number])
        return self.data[start : start + size * self.width].reshape(size, self.width)

    def ids(self, number: int) -> NDArray[np.int64]:
        """Ids (c,) of a list, rising."""
        size = int(self.sizes[number])
        start = int(self.starts[number]) + size * self.width
        return np.frombuffer(self.data, "<i8", size, start)


@dataclass(frozen=True, eq=False)
class Probed:
    """`Index` of lists: what the probed ones hold; exact among the codes themselves where only some are allowed."""

    lists: Lists
    codes: Codes
    path: Path  # of the file

    def nearest(self, queries: Queries, k: int, allowed: Allowed | None = None) -> Nearest:
        """See `Index`."""
        if allowed is not None:
            return Flat(self.codes).nearest(queries, k, allowed)
        queries, k = self.codes.checked(queries), min(k, len(self.codes))
        try:
            return nearest(self.lists, queries, k) if k else Flat(self.codes).nearest(queries, k)
        except ValueError as error:
            raise self._damaged(error) from error

    def within(self, query: Queries, radius: int, allowed: Allowed | None = None) -> Within:
        """See `Index`."""
        if allowed is not None:
            return Flat(self.codes).within(query, radius, allowed)
        query = self.codes.checked(query)
        try:
            return within(self.lists, query, radius)
        except ValueError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: ValueError) -> IndexFileError:
        return IndexFileError(f"{self.path}: damaged ({error}); run `dhh index` again")


def read_lists(data: NDArray[np.uint8]) -> tuple[Lists, str]:
    """Take the bytes of a file (m,) apart: the lists, and the SHA-256 (hex) of all but codes and ids.

    Looks at the bytes that are hashed only. Raises ValueError where they are not a file of `write_lists`.
    """
    data = data.view(np.ndarray)  # views of a memmap cost a microsecond each
    at = 0

    def take(layout: struct.Struct) -> tuple[Any, ...]:
        nonlocal at
        if at + layout.size > len(data):
            raise ValueError("ends too early")
        at += layout.size
        return layout.unpack_from(data.data, at - layout.size)

    def array(dtype: Any, count: int) -> NDArray[Any]:
        nonlocal at
        if not 0 <= count <= (len(data) - at) // np.dtype(dtype).itemsize:
            raise ValueError("an array does not fit")
        at += count * np.dtype(dtype).itemsize
        return np.frombuffer(data, dtype, count, at - count * np.dtype(dtype).itemsize)

    kind, bits, width, n, trained, metric = take(HEADER)
    count, nprobe = take(COUNTS)
    inner = take(HEADER)
    if (kind, trained, metric, bits) != (b"IBwF", 1, HAMMING, 8 * width) or width not in (4, 8, 16, 32, 64):
        raise ValueError("not an IndexBinaryIVF")
    if inner != (b"IBxF", bits, width, count, 1, HAMMING) or take(LENGTH) != (count * width,) or count < 1:
        raise ValueError("its centres do not fit")
    centres = array(np.uint8, count * width).reshape(count, width)
    if take(MIDDLE) != (0, 0, b"ilar", count, width, b"full", count):
        raise ValueError("its lists do not fit")
    sizes = array("<u8", count)
    head = at
    if n < 0 or not 1 <= nprobe <= count or (sizes > n).any() or int(sizes.sum()) != n:
        raise ValueError("the sizes of its lists do not fit")
    sizes = sizes.astype(np.int64)
    starts = at + (np.cumsum(sizes) - sizes) * (width + 8)
    at += n * (width + 8)
    tail = at
    (rows,) = take(LENGTH)
    videos = array(VIDEO, rows)
    ends = videos["track_end"]
    if at != len(data) or (np.diff(ends, prepend=0) < 0).any() or (int(ends[-1]) if rows else 0) != n:
        raise ValueError("its videos do not fit")
    digest = hashlib.sha256(data[:head].data)
    digest.update(data[tail:].data)
    return Lists(data, centres, starts, sizes, int(nprobe), videos), digest.hexdigest()


def write_lists(
    file: IO[bytes],
    centres: NDArray[np.uint8],
    nprobe: int,
    codes: Codes,
    owners: NDArray[np.int32],
    videos: NDArray[np.void],
) -> str:
    """Write codes (n, B), by their lists `owners` (n,); the hash that `read_lists` gives.

    Holds 4 bytes a code, and ROWS codes. The same codes, centres and owners give the same bytes.
    """
    count, width = centres.shape
    bits, n = 8 * width, len(owners)
    sizes = np.bincount(owners, minlength=count)
    head = HEADER.pack(b"IBwF", bits, width, n, 1, HAMMING) + COUNTS.pack(count, nprobe)
    head += HEADER.pack(b"IBxF", bits, width, count, 1, HAMMING) + LENGTH.pack(count * width) + centres.tobytes()
    head += MIDDLE.pack(0, 0, b"ilar", count, width, b"full", count) + sizes.astype("<u8").tobytes()
    file.write(head)
    order = _by_list(owners, sizes)
    firsts = np.cumsum(sizes) - sizes
    for first, last in _runs(sizes):
        rows = order[firsts[first] : firsts[last - 1] + sizes[last - 1]].astype(np.int64)
        own = codes.gather(rows)
        ends = np.cumsum(sizes[first:last])
        for start, end in zip((ends - sizes[first:last]).tolist(), ends.tolist(), strict=True):
            file.write(own[start:end].data)
            file.write(rows[start:end].data)
    tail = LENGTH.pack(len(videos)) + videos.tobytes()
    file.write(tail)
    return hashlib.sha256(head + tail).hexdigest()


def owners_of(lists: Lists) -> NDArray[np.int32]:
    """Which list each code is in, (n,). Raises ValueError where the ids are not those of n codes."""
    n = int(lists.sizes.sum())
    owners = np.full(n, -1, np.int32)
    for number in range(len(lists.sizes)):
        ids = lists.ids(number)
        if len(ids) and not (ids.min() >= 0 and ids.max() < n):
            raise ValueError("holds ids of no track")
        owners[ids] = number
    if (owners < 0).any():
        raise ValueError("does not hold every track")
    return owners


# ------------------------------------------------------------------------------------------------ searching


def nearest(lists: Lists, queries: Queries, k: int) -> Nearest:
    """The k nearest codes of queries (q, B) in the probed lists, by (distance, id): distances (q, k), ids (q, k).

    Rows end in id -1 at distance 2^31 - 1 where the probed lists hold fewer. Raises ValueError for a damaged file.
    """
    distances = np.full((len(queries), k), NOTHING, np.int32)
    ids = np.full((len(queries), k), -1, np.int64)
    for row in range(len(queries)):
        probed, near = _probe(lists, queries[row : row + 1])
        bound = np.partition(near, k - 1)[k - 1] if len(near) > k else NOTHING
        rows = np.flatnonzero(near <= bound)
        who = _ids_at(lists, probed, rows)
        order = np.lexsort((who, near[rows]))[:k]
        distances[row, : len(order)], ids[row, : len(order)] = near[rows[order]], who[order]
    return distances, ids


def within(lists: Lists, query: Queries, radius: int) -> Within:
    """Codes of the probed lists at distance <= radius of one query (1, B): ids (m,) rising, distances (m,)."""
    probed, near = _probe(lists, query)
    rows = np.flatnonzero(near <= radius)
    ids = _ids_at(lists, probed, rows)
    order = np.argsort(ids)
    return ids[order], near[rows[order]].astype(np.int32)


def probing_order(centres: NDArray[np.uint8], query: Queries) -> NDArray[np.int64]:
    """Lists (L,) in the order in which a query looks through them."""
    return np.argsort(codes_of(centres).distances(query), kind="stable")


def _probe(lists: Lists, query: Queries) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """The probed lists (p,), and the distances of all their codes, one list after another."""
    probed = probing_order(lists.centres, query)[: lists.nprobe]
    starts, sizes = lists.starts[probed], lists.sizes[probed] * lists.width
    spans = zip(starts.tolist(), (starts + sizes).tolist(), strict=True)
    codes = np.concatenate([lists.data[start:end] for start, end in spans])
    return probed, codes_of(codes.reshape(-1, lists.width)).distances(query)


def _ids_at(lists: Lists, probed: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ids of rows (c,) of the probed lists, one list after another."""
    sizes = lists.sizes[probed]
    ends = np.cumsum(sizes)
    at = np.searchsorted(ends, rows, "right")
    within = rows - (ends - sizes)[at]
    offsets = lists.starts[probed][at] + sizes[at] * lists.width + 8 * within
    anywhere = np.ndarray((max(0, len(lists.data) - 7),), "<i8", lists.data, strides=(1,))
    ids: NDArray[np.int64] = anywhere[offsets].astype(np.int64)
    if len(ids) and not (ids.min() >= 0 and ids.max() < lists.sizes.sum()):
        raise ValueError("holds ids of no track")
    return ids


# ------------------------------------------------------------------------------------------------ sorting


def _by_list(owners: NDArray[np.int32], sizes: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Rows (n,) sorted by (owner, row), in a quarter of the memory that sorting all at once takes."""
    order = np.empty(len(owners), np.uint32)
    places = np.cumsum(sizes) - sizes
    for first in range(0, len(owners), ROWS):
        part = owners[first : first + ROWS]
        sorting = np.argsort(part, kind="stable")
        counts = np.bincount(part, minlength=len(sizes))
        shift = places - (np.cumsum(counts) - counts)  # from a place in this part to one among all
        order[np.arange(len(part)) + shift[part[sorting]]] = first + sorting
        places += counts
    return order


def _runs(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Lists [first, last) that hold about ROWS codes together, or one that holds more."""
    first = 0
    held = 0
    for number, size in enumerate(sizes.tolist()):
        if held and held + size > ROWS:
            yield first, number
            first, held = number, 0
        held += size
    if len(sizes):
        yield first, len(sizes)


def videos_of(pieces: Sequence[Tables]) -> NDArray[np.void]:
    """What a shard's videos are, and where the tracks of each end: (v,) VIDEO."""
    videos = np.zeros(sum(len(piece.videos) for piece in pieces), VIDEO)
    if len(videos):
        counts = [np.diff(piece.videos["track_end"], prepend=piece.origin.track) for piece in pieces]
        videos["digest"] = np.concatenate([piece.videos["digest"] for piece in pieces])
        videos["track_end"] = np.cumsum(np.concatenate(counts))
    return videos
