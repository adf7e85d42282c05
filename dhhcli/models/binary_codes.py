"""binary_codes: soft bits (n, K) -> bits (n, K) bool -> packed codes (n, B) uint8; Hamming and weighed distances.

The only module that knows bit order and padding. Bit k of a code is bit ``k % 8`` of byte ``k // 8`` (little
end first); codes are padded with zero bits to 4, 8, 16, 32 or 64 bytes, because other widths are 4-5 times
slower to search and zero padding leaves every distance as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BIT_ORDER: Final = "little"
WIDTHS: Final = (4, 8, 16, 32, 64)  # bytes
UNIT: Final = 64  # steps of a weighed distance in a bit; sums of 512 bits fit 16 bits, and quotients are exact floats
SUREST: Final = 4.0  # log odds (0.982) that count as sure: beyond, a bit says no more about who it is


def code_bytes(K: int) -> int:
    """Bytes B of a stored code of K bits: the smallest of `WIDTHS` that holds them.

    Raises ValueError unless 1 <= K <= 512.
    """
    if not 1 <= K <= 8 * WIDTHS[-1]:
        raise ValueError(f"a code has 1 to {8 * WIDTHS[-1]} bits, not {K}")
    return next(width for width in WIDTHS if 8 * width >= K)


def binarise(soft: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Soft bits (n, K) in [0, 1] -> bits (n, K): 1 where soft >= 0.5."""
    return np.asarray(soft >= 0.5)


def pack(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Bits (n, K) -> codes (n, code_bytes(K)), padded with zero bits."""
    n, K = bits.shape
    codes = np.zeros((n, code_bytes(K)), np.uint8)
    packed = np.packbits(bits, axis=1, bitorder=BIT_ORDER)
    codes[:, : packed.shape[1]] = packed
    return codes


def unpack(codes: NDArray[np.uint8], K: int) -> NDArray[np.bool_]:
    """Codes (n, code_bytes(K)) -> bits (n, K), the inverse of `pack`. Raises ValueError for another width."""
    if codes.ndim != 2 or codes.shape[1] != code_bytes(K):
        raise ValueError(f"codes of {K} bits have shape (n, {code_bytes(K)}), not {codes.shape}")
    return np.unpackbits(codes, axis=1, count=K, bitorder=BIT_ORDER).astype(np.bool_)


def hamming(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Hamming distances of codes a (n, B) and b (m, B), B one of `WIDTHS` -> (n, m) int32."""
    if a.shape[1] != b.shape[1] or a.shape[1] not in WIDTHS:
        raise ValueError(f"codes of one width out of {WIDTHS} expected, not {a.shape} and {b.shape}")
    word: Any = np.uint32 if a.shape[1] == 4 else np.uint64
    a_words = np.ascontiguousarray(a).view(word)  # (n, W)
    b_words = np.ascontiguousarray(b).view(word)  # (m, W)
    distances = np.zeros((len(a), len(b)), np.int32)
    for w in range(a_words.shape[1]):  # word by word: no (n, m, W) array
        distances += np.bitwise_count(a_words[:, w, None] ^ b_words[None, :, w])
    return distances


def soft_distance(soft: NDArray[np.floating[Any]], bits: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Sum over k of |q_k - b_k| for one query's soft bits q (K,) and stored bits b (n, K) -> (n,) float32.

    Equals the Hamming distance where the soft bits are 0 or 1. Summed in float64, so that equal codes get
    equal values wherever they stand.
    """
    q = np.asarray(soft, np.float64)
    return np.asarray(np.where(bits, 1.0 - q, q).sum(axis=1), np.float32)


@dataclass(frozen=True, eq=False)
class SoftCodes:
    """Codes that are asked with, and what it costs to differ from them; see `soft_codes`."""

    codes: NDArray[np.uint8]  # (q, B)
    costs: NDArray[np.int64]  # (q, 8 B), UNITths of a bit, by bit number; 0 where there is padding

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: slice) -> "SoftCodes":
        return SoftCodes(self.codes[rows], self.costs[rows])


def soft_codes(soft: NDArray[np.floating[Any]]) -> SoftCodes:
    """Soft bits (q, K) in [0, 1] -> their codes, and for every bit how sure it is: what it costs to differ there.

    How sure a bit is are its log odds, what the hash layer gave before its sigmoid, up to SUREST. The costs of a row
    are scaled to K bits together, so that a distance is still a number of bits: one that would differ in all bits is
    K bits away, a row that is equally sure of all its bits (of a stored code, 0 and 1) has Hamming distances, and rows
    of one person can be compared. Whole numbers of UNITths, so that sums are the same in whatever order they are made.
    """
    q = np.asarray(soft, np.float64)
    K = q.shape[1]
    sure = np.rint(np.minimum(np.abs(np.log(np.maximum(q, 1e-9) / np.maximum(1 - q, 1e-9))), SUREST) * 2**20)
    whole = sure.astype(np.int64)
    whole[~whole.any(axis=1)] = 1  # a row that knows nothing: all bits alike
    total = whole.sum(axis=1, keepdims=True)
    costs = np.zeros((len(q), 8 * code_bytes(K)), np.int64)
    costs[:, :K] = (2 * whole * K * UNIT + total) // (2 * total)
    return SoftCodes(pack(binarise(q)), costs)


def cost_tables(costs: NDArray[np.int64], code: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """What every value of every byte costs, (B, 256): costs (8 B,) of the bits in which it differs from a code (B,)."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder=BIT_ORDER).astype(np.int64)
    of_mixed = bits @ costs.reshape(-1, 8).T  # (256, B)
    return np.stack([of_mixed[np.arange(256) ^ byte, at] for at, byte in enumerate(code.tolist())]).astype(np.uint16)


def weighed(tables: NDArray[np.uint16], codes: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Distances (n,) of codes (n, B) in UNITths of a bit, byte by byte by `cost_tables` (B, 256)."""
    total = np.take(tables[0], codes[:, 0])
    for at in range(1, len(tables)):
        total += np.take(tables[at], codes[:, at])
    return total


def weighed_distances(asked: SoftCodes, codes: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Distances (q, n) of codes (n, B) to all that is asked with, in UNITths of a bit."""
    found = np.empty((len(asked), len(codes)), np.uint16)
    for row, code, costs in zip(found, asked.codes, asked.costs, strict=True):
        row[:] = weighed(cost_tables(costs, code), codes)
    return found


Pieces = Sequence[NDArray[np.uint8]]  # codes (n_i, B) each; ids count through


def rows_of(pieces: Pieces, rows: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Codes (c, width) of rows (c,) that count through all pieces."""
    codes = np.empty((len(rows), width), np.uint8)
    first = 0
    for piece in pieces:
        own = (rows >= first) & (rows < first + len(piece))
        codes[own] = piece[rows[own] - first]
        first += len(piece)
    if len(rows) and not (rows.min() >= 0 and rows.max() < first):
        raise IndexError(f"rows {rows.min()} to {rows.max()} of {first}")
    return codes
