"""binary_codes: soft bits (n, K) -> bits (n, K) bool -> packed codes (n, B) uint8; Hamming and soft distances.

The only module that knows bit order and padding. Bit k of a code is bit ``k % 8`` of byte ``k // 8`` (little
end first); codes are padded with zero bits to 4, 8, 16, 32 or 64 bytes, because other widths are 4-5 times
slower to search and zero padding leaves every distance as it is.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BIT_ORDER: Final = "little"
WIDTHS: Final = (4, 8, 16, 32, 64)  # bytes


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
