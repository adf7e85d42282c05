"""gpu: codes (n, B) -> faiss's flat index on a CUDA device; queries (q, B) -> nearest (q, k), ranked as elsewhere.

Needs faiss-gpu in the place of faiss-cpu (both are the package ``faiss``; its wheels bring CUDA 12.6). It pays where
thousands of questions are asked at once: one query is answered by the processor before the codes have reached the
device. Hamming distances come from faiss's index of binary codes. Weighed distances are inner products there, of codes
as 8 B values +1 and -1 with what a bit costs: 2 bytes a value, 16 times the memory of the codes. Costs up to EXACT are
whole in 16 bits and their sums in the 32 of the products, so these distances are as exact as elsewhere.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.errors import DeviceError
from dhhcli.index import flat
from dhhcli.models.binary_codes import BIT_ORDER, Pieces, SoftCodes

MOST: Final = 2048  # neighbours that a CUDA search returns
EXACT: Final = 2048  # whole numbers up to it are floats of 16 bits
ROWS: Final = 1 << 16  # codes that are unpacked at once
HELP: Final = "install faiss-gpu in the place of faiss-cpu, see nvidia-smi, or leave --device out"
Nearest = tuple[NDArray[np.int32], NDArray[np.int64]]  # distances (q, k), ids (q, k)


def to_gpu(pieces: Pieces, width: int, *, weighed: bool = False) -> Any:
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
            index = library.GpuIndexFlatIP(resources, 8 * width, config)
            for block in _blocks(pieces):
                index.add(signs(block))
        else:
            index = library.GpuIndexBinaryFlat(resources, 8 * width)
            for piece in pieces:
                index.add(np.ascontiguousarray(piece))
    except RuntimeError as error:
        raise DeviceError(f"--device cuda: {' '.join(str(error).split())[:200]}; {HELP}") from error
    index.resources = resources  # lives as long as the index
    return index


def _blocks(pieces: Pieces) -> Iterator[NDArray[np.uint8]]:
    for piece in pieces:
        for first in range(0, len(piece), ROWS):
            yield piece[first : first + ROWS]


def signs(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Codes (n, B) -> (n, 8 B): +1 where the bit is 1, else -1."""
    return np.unpackbits(codes, axis=1, bitorder=BIT_ORDER) * np.float32(2) - np.float32(1)


def nearest(index: Any, pieces: Pieces, queries: flat.Queries, k: int) -> Nearest:
    """The k <= n nearest codes of queries (q, B) by (distance, id), as `flat.nearest` gives them.

    index: of `to_gpu`, made for such queries. The device orders ties as it likes. It is asked for more than k: where
    the last of these is farther than the k-th, all ties are among them and are sorted here; the other queries are
    looked up on the processor, and so are those whose costs would be rounded.
    """
    n = sum(len(piece) for piece in pieces)
    more = min(n, MOST, 2 * k + 256)
    if k > more or (isinstance(queries, SoftCodes) and queries.costs.max() > EXACT):
        return flat.nearest(pieces, queries, k)
    if isinstance(queries, SoftCodes):
        own = signs(queries.codes) * queries.costs.astype(np.float32)
        products, who = index.search(own, more)  # what agrees less what differs
        found = ((queries.costs.sum(axis=1)[:, None] - products.astype(np.int64)) // 2).astype(np.int32)
    else:
        found, who = index.search(queries, more)
    order = np.lexsort((who, found), axis=1)[:, :k]
    distances = np.take_along_axis(found, order, axis=1).astype(np.int32)
    ids = np.take_along_axis(who, order, axis=1).astype(np.int64)
    for row in np.flatnonzero((found.max(axis=1) == distances[:, -1]) & (more < n)).tolist():
        one = queries[row : row + 1] if isinstance(queries, SoftCodes) else queries[row]
        tied, near = flat.all_within(pieces, one, int(distances[row, -1]))
        first = np.argsort(near, kind="stable")[:k]
        distances[row], ids[row] = near[first], tied[first]
    return distances, ids
