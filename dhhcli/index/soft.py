"""soft: codes (c, B) + one code with what its bits cost -> the nearest of these (r,) and their weighed distances.

Tables of bytes give the exact distance, but reading them takes ten times as long as counting bits. So bits are counted
first, in two masks: a bit counts floor(cost / step), 0 to 3, times, which is never more than it costs. Only codes whose
count leaves them under the bound are looked up. One of 150 val photos among 1,000,000 codes of 128 bits, in one thread
(its 80 nearest; Hamming distances: 2 ms): 7 ms where the codes are of val tracks with some bits changed, 1 % are looked
up; 12 ms where they are random, 23 %. Tables alone take 22 to 27 ms. A bound by the Hamming distance leaves 24 % and
all to look up, 14 to 60 ms, because many bits cost next to nothing; faiss, which reads such tables as those of a
product quantiser, takes 8 ms, a copy of all codes, and 0.15 s to be imported.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.models.binary_codes import BIT_ORDER, SoftCodes, cost_tables, weighed

MOST: Final = 3  # that a bit counts: two masks
TILE: Final = 1 << 14  # words that are counted at once: what is needed for it stays in the cache

# of codes (c, B), and ones that are asked for (c,) or None: rows (r,) under a bound, and their distances (r,)
Find = Callable[
    [NDArray[np.uint8], int, NDArray[np.bool_] | None], tuple[NDArray[np.int64], NDArray[np.unsignedinteger[Any]]]
]


def step_of(costs: NDArray[np.int64]) -> int:
    """The step at which whole counts up to MOST say most of what bits (b,) cost, at least 1."""
    steps = np.array(sorted({max(1, cost // n) for cost in costs.tolist() if cost for n in range(1, MOST + 1)} or {1}))
    said = steps * np.minimum(costs // steps[:, None], MOST).sum(axis=1)
    return int(steps[np.argmax(said)])


def finder(query: SoftCodes, words: int) -> Find:
    """`Find` for one code that is asked with, for chunks of at most `words` words, in one thread."""
    code, costs = query.codes[0], query.costs[0]
    tables, step = cost_tables(costs, code), step_of(costs)
    counts = np.minimum(costs // step, MOST)
    word: Any = np.uint32 if len(code) == 4 else np.uint64
    per_code = max(1, len(code) // 8)

    def repeated(of_bytes: NDArray[np.uint8]) -> NDArray[Any]:
        return np.tile(np.ascontiguousarray(of_bytes).view(word), max(1, TILE // per_code))

    asked, ones, twos = (
        repeated(array) for array in (code, *(np.packbits(counts & bit != 0, bitorder=BIT_ORDER) for bit in (1, 2)))
    )
    length = len(asked)
    mixed, masked = np.empty(length, word), np.empty(length, word)
    counted, doubled = np.empty(length, np.uint8), np.empty(length, np.uint8)
    sums = np.empty(words // per_code + 1, np.uint16)

    def count(codes: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """How often bits that differ count, (c,)."""
        flat = codes.reshape(-1).view(word)
        out = sums[: len(codes)]
        for first in range(0, len(flat), length):
            part = flat[first : first + length]
            size = len(part)
            np.bitwise_xor(part, asked[:size], out=mixed[:size])
            np.bitwise_and(mixed[:size], ones[:size], out=masked[:size])
            np.bitwise_count(masked[:size], out=counted[:size])
            np.bitwise_and(mixed[:size], twos[:size], out=masked[:size])
            np.bitwise_count(masked[:size], out=doubled[:size])
            np.add(doubled[:size], doubled[:size], out=doubled[:size])
            np.add(counted[:size], doubled[:size], out=counted[:size])  # at most 3 x 64
            here = out[first // per_code : (first + size) // per_code]
            _add_up(counted[:size], per_code, here)
        return out

    def find(
        codes: NDArray[np.uint8], bound: int, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.unsignedinteger[Any]]]:
        under = count(codes) < -(-bound // step)  # count * step < bound
        rows = np.flatnonzero(under if mask is None else under & mask)
        near = weighed(tables, codes[rows])
        kept = near < bound
        return rows[kept], near[kept]

    return find


def _add_up(counts: NDArray[np.uint8], per_code: int, out: NDArray[np.uint16]) -> None:
    """Counts (c * per_code,), each at most 192, of the words of codes -> their sums (c,)."""
    if per_code == 1:
        out[:] = counts
        return
    pairs = counts.view(np.uint16)
    halves = (pairs >> np.uint16(8)) + (pairs & np.uint16(0xFF))
    if per_code == 2:
        out[:] = halves
    elif per_code == 4:
        out[:] = halves.view(np.uint32) * np.uint32(0x0001_0001) >> np.uint32(16)
    else:
        out[:] = halves.view(np.uint64) * np.uint64(0x0001_0001_0001_0001) >> np.uint64(48)
