"""codes: codes (n, B) in pieces, mapped -> one numbering, every distance (n,), and what indexes of them answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from dhhcli.models.binary_codes import Pieces, SoftCodes, rows_of, weighed_distances

Allowed = NDArray[np.bool_] | NDArray[np.int64]  # mask (n,), or id ranges [first, last) (r, 2), rising and apart
Queries = NDArray[np.uint8] | SoftCodes  # (q, B): by Hamming distance, bits; or by weighed distance, UNITths of a bit
Distances = NDArray[np.unsignedinteger[Any]]  # 8 or 16 bits
Nearest = tuple[NDArray[np.int32], NDArray[np.int64]]  # distances (q, k), ids (q, k)
Within = tuple[NDArray[np.int64], NDArray[np.int32]]  # ids (m,) rising, distances (m,)
WORDS: Final = (
    1 << 18
)  # words of a chunk, 2 MiB: small enough for a cache, large enough for threads not to wait for each other
TILE: Final = 1 << 13  # words of the query, repeated, that rows of a chunk are XORed with


@dataclass(frozen=True, eq=False)
class Codes:
    """All codes (n, B) of an index, by id: the pieces' rows, counted through. Made by `codes_of`."""

    pieces: Pieces
    width: int  # bytes B of a code: 4 or a multiple of 8

    def __len__(self) -> int:
        return sum(len(piece) for piece in self.pieces)

    def gather(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Codes (c, B) of ids (c,), in that order."""
        return rows_of(self.pieces, ids, self.width)

    def distances(self, query: Queries) -> NDArray[np.uint16]:
        """Of all codes to one query (1, B): (n,)."""
        if isinstance(query, SoftCodes):
            found = [weighed_distances(query, piece)[0] for piece in self.pieces]
        else:
            found = [_distances_to(piece, query[0]) for piece in self.pieces]
        return found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.uint16), *found])

    def checked(self, queries: Queries) -> Queries:
        """The queries as a search takes them for granted. Raises ValueError for those of another width or type."""
        codes = queries.codes if isinstance(queries, SoftCodes) else queries
        if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != self.width:
            raise ValueError(f"queries (q, {self.width}) uint8 expected, not {codes.shape} {codes.dtype}")
        return queries if isinstance(queries, SoftCodes) else np.ascontiguousarray(queries)


def codes_of(pieces: Pieces | NDArray[np.uint8], width: int | None = None) -> Codes:
    """Codes in one piece or several, mapped or not. width: where there may be no piece.

    Raises ValueError for pieces that are not contiguous uint8 of one width, or for none without a width.
    """
    several = [pieces] if isinstance(pieces, np.ndarray) else list(pieces)
    if width is None:
        if not several:
            raise ValueError("of no pieces the width has to be said")
        width = several[0].shape[-1]
    for piece in several:
        if piece.dtype != np.uint8 or piece.ndim != 2 or piece.shape[1] != width or not piece.flags.c_contiguous:
            raise ValueError("codes are contiguous uint8 of one width")
    return Codes(several, int(width))


class Index(Protocol):
    """Where to search: `flat.Flat`, `ivf_file.Probed`, `gpu.OnDevice`; n codes, ids 0 .. n - 1.

    Distances are Hamming, or weighed where the queries say what their bits cost (`SoftCodes`). `allowed` restricts what
    may be found; such a search is exact for every index. Both raise ValueError for queries of another width or an
    `allowed` that does not fit, IndexFileError where an index turns out to be damaged.
    """

    def nearest(self, queries: Queries, k: int, allowed: Allowed | None = None) -> Nearest:
        """The k nearest codes of queries (q, B) by (distance, id): distances (q, k), ids (q, k).

        With k > n there are n columns. Rows end in id -1 at distance 2^31 - 1 where fewer than k are allowed, or where
        the lists that are probed hold fewer.
        """

    def within(self, query: Queries, radius: int, allowed: Allowed | None = None) -> Within:
        """All codes at distance <= radius of one query (1, B): ids (m,) rising, distances (m,).

        Exact, but for lists without `allowed`, of which only those probed are seen.
        """


def tile(query: NDArray[np.uint8]) -> NDArray[Any]:
    """One query (B,) over and over, TILE words (one word alone): what `measurer` XORs with codes."""
    words: NDArray[Any] = np.ascontiguousarray(query).view(np.uint32 if len(query) == 4 else np.uint64)
    return words if len(words) == 1 else np.tile(words, TILE // len(words))


def measurer(width: int, most: int = 0) -> Callable[[NDArray[np.uint8], NDArray[Any]], Distances]:
    """A function of codes (c, width), at most `most` words (default WORDS), and a query's `tile`: distances (c,).

    What it returns is overwritten by its next call. The 2 to 8 counts of a code lie side by side in one larger
    integer, where a multiplication by 1 + 2^8 (or 2^16) + ... leaves their sum in the highest place.
    """
    word: Any = np.uint32 if width == 4 else np.uint64
    per_code = max(1, width // 8)
    mixed = np.empty(most or WORDS, word)
    counts = np.empty(most or WORDS, np.uint8)
    sums = np.empty((most or WORDS) // 2, np.uint16)

    def measure(codes: NDArray[np.uint8], query: NDArray[Any]) -> Distances:
        words = codes.reshape(-1).view(word)
        size = len(words)
        if per_code == 1:
            np.bitwise_xor(words, query, out=mixed[:size])
            return np.bitwise_count(mixed[:size], out=counts[:size])
        even = size - size % TILE
        np.bitwise_xor(words[:even].reshape(-1, TILE), query, out=mixed[:even].reshape(-1, TILE))
        np.bitwise_xor(words[even:], query[: size - even], out=mixed[even:size])
        np.bitwise_count(mixed[:size], out=counts[:size])
        pairs, of_two = counts[:size].view(np.uint16), sums[: size // 2]
        if per_code == 2:
            np.multiply(pairs, np.uint16(0x0101), out=of_two)
            return np.right_shift(of_two, np.uint16(8), out=of_two)
        np.right_shift(pairs, np.uint16(8), out=of_two)
        of_two += pairs & np.uint16(0xFF)
        if per_code == 4:
            return (of_two.view(np.uint32) * np.uint32(0x0001_0001) >> np.uint32(16)).astype(np.uint16)
        return (of_two.view(np.uint64) * np.uint64(0x0001_0001_0001_0001) >> np.uint64(48)).astype(np.uint16)

    return measure


def _distances_to(codes: NDArray[np.uint8], query: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Distances (c,) of all codes (c, B) to one query (B,)."""
    per_code = max(1, codes.shape[1] // 8)
    rows = min(WORDS // per_code, max(1, len(codes)))
    measure, repeated = measurer(codes.shape[1], rows * per_code), tile(query)
    found = np.empty(len(codes), np.uint16)
    for first in range(0, len(codes), rows):
        found[first : first + rows] = measure(codes[first : first + rows], repeated)
    return found


def width_of(queries: Queries) -> int:
    """Bytes B of a code that is asked with."""
    return int((queries.codes if isinstance(queries, SoftCodes) else queries).shape[-1])


def mask_of(allowed: Allowed, n: int) -> NDArray[np.bool_]:
    """Which of n ids are allowed, (n,). Raises ValueError for an `allowed` that does not fit."""
    if allowed.dtype == np.bool_:
        if allowed.shape != (n,):
            raise ValueError(f"allowed ({n},) bool expected, not {allowed.shape}")
        return allowed.view(np.bool_)
    if allowed.dtype != np.int64 or allowed.ndim != 2 or allowed.shape[1] != 2:
        raise ValueError(f"allowed (r, 2) int64 expected, not {allowed.shape} {allowed.dtype}")
    edges = allowed.reshape(-1)
    if len(edges) and (edges[0] < 0 or edges[-1] > n or (np.diff(edges) < 0).any()):
        raise ValueError(f"allowed ranges must rise between 0 and {n}")
    steps = np.zeros(n + 1, np.int8)
    np.add.at(steps, edges[::2], 1)
    np.add.at(steps, edges[1::2], -1)
    return np.cumsum(steps[:n], dtype=np.int8).view(np.bool_)
