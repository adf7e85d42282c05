"""gpu: codes (n, B) -> faiss's flat index on a CUDA device; queries (q, B) -> nearest (q, k), ranked as elsewhere.

Needs faiss-gpu in the place of faiss-cpu (both are the package ``faiss``; its wheels bring CUDA 12.6). It pays where
thousands of questions are asked at once: one query is answered by the processor before the codes have reached the
device. Hamming distances come from faiss's index of binary codes. Weighed distances are inner products there, of codes
as 8 B values +1 and -1 with what a bit costs: 2 bytes a value, 16 times the memory of the codes. Costs up to EXACT are
whole in 16 bits and their sums in the 32 of the products, so these distances are as exact as elsewhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.errors import DeviceError
from dhhcli.index.codes import Allowed, Codes, Nearest, Queries, Within
from dhhcli.index.flat import Flat
from dhhcli.models.binary_codes import BIT_ORDER, SoftCodes

MOST: Final = 2048  # neighbours that a CUDA search returns
EXACT: Final = 2048  # whole numbers up to it are floats of 16 bits
ROWS: Final = 1 << 16  # codes that are unpacked at once
HELP: Final = "install faiss-gpu in the place of faiss-cpu, see nvidia-smi, or leave --device out"


def to_gpu(codes: Codes, *, weighed: bool = False) -> "OnDevice":
    """The codes on the first CUDA device, for Hamming distances or for weighed ones.

    Raises DeviceError where there is none, or where they do not fit.
    """
    from dhhcli.index.faiss_backend import faiss

    if not faiss.get_num_gpus():  # asked first: without a GPU, whatever is made for one ends the process
        raise DeviceError(f"--device cuda: faiss finds no GPU; {HELP}")
    library: Any = faiss
    try:
        resources = library.StandardGpuResources()
        if weighed:
            config = library.GpuIndexFlatConfig()
            config.useFloat16 = True
            index = library.GpuIndexFlatIP(resources, 8 * codes.width, config)
            for block in _blocks(codes):
                index.add(signs(block))
        else:
            index = library.GpuIndexBinaryFlat(resources, 8 * codes.width)
            for piece in codes.pieces:
                index.add(np.ascontiguousarray(piece))
    except RuntimeError as error:
        raise DeviceError(f"--device cuda: {' '.join(str(error).split())[:200]}; {HELP}") from error
    index.resources = resources  # lives as long as the index
    return OnDevice(index, codes, weighed)


def _blocks(codes: Codes) -> Iterator[NDArray[np.uint8]]:
    for piece in codes.pieces:
        for first in range(0, len(piece), ROWS):
            yield piece[first : first + ROWS]


def signs(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Codes (n, B) -> (n, 8 B): +1 where the bit is 1, else -1."""
    return np.unpackbits(codes, axis=1, bitorder=BIT_ORDER) * np.float32(2) - np.float32(1)


@dataclass(frozen=True, eq=False)
class OnDevice:
    """`Index` of codes that lie on a device, ranked as elsewhere. Made by `to_gpu`.

    The device orders ties as it likes. It is asked for more than k: where the last of these is farther than the k-th,
    all ties are among them and are sorted here; the other queries are looked up on the processor. So is what the device
    does not hold the codes for: the other kind of distances, costs that would be rounded, searches among some codes
    only or within a radius.
    """

    device: Any  # faiss's index
    codes: Codes
    weighed: bool

    def nearest(self, queries: Queries, k: int, allowed: Allowed | None = None) -> Nearest:
        """See `Index`."""
        queries, n = self.codes.checked(queries), len(self.codes)
        k = min(k, n)
        more = min(n, MOST, 2 * k + 256)
        soft = isinstance(queries, SoftCodes)
        if allowed is not None or soft != self.weighed or not 0 < k <= more or not len(queries):
            return Flat(self.codes).nearest(queries, k, allowed)
        if isinstance(queries, SoftCodes):
            if queries.costs.max() > EXACT:
                return Flat(self.codes).nearest(queries, k)
            products, who = self.device.search(signs(queries.codes) * queries.costs.astype(np.float32), more)
            # what agrees less what differs
            found = ((queries.costs.sum(axis=1)[:, None] - products.astype(np.int64)) // 2).astype(np.int32)
        else:
            found, who = self.device.search(queries, more)
        order = np.lexsort((who, found), axis=1)[:, :k]
        distances = np.take_along_axis(found, order, axis=1).astype(np.int32)
        ids = np.take_along_axis(who, order, axis=1).astype(np.int64)
        for row in np.flatnonzero((found.max(axis=1) == distances[:, -1]) & (more < n)).tolist():
            tied, near = Flat(self.codes).within(queries[row : row + 1], int(distances[row, -1]))
            first = np.argsort(near, kind="stable")[:k]
            distances[row], ids[row] = near[first], tied[first]
        return distances, ids

    def within(self, query: Queries, radius: int, allowed: Allowed | None = None) -> Within:
        """See `Index`."""
        return Flat(self.codes).within(query, radius, allowed)
