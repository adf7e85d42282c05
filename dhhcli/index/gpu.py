"""gpu: codes (n, B) -> faiss's flat index on a CUDA device; queries (q, B) -> nearest (q, k), ranked as elsewhere.

Needs faiss-gpu in the place of faiss-cpu (both are the package ``faiss``; its wheels bring CUDA 12.6 and hold this one
binary index). It pays where thousands of questions are asked at once: one query is answered by the processor before the
codes have reached the device.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.errors import DeviceError
from dhhcli.index import flat
from dhhcli.models.binary_codes import Pieces

MOST: Final = 2048  # neighbours that a CUDA search returns
HELP: Final = "install faiss-gpu in the place of faiss-cpu, see nvidia-smi, or leave --device out"


def to_gpu(pieces: Pieces, width: int) -> Any:
    """The codes on the first CUDA device. Raises DeviceError where there is none, or where they do not fit."""
    from dhhcli.index.faiss_backend import faiss

    if not faiss.get_num_gpus():  # asked first: without a GPU, whatever is made for one ends the process
        raise DeviceError(f"--device cuda: faiss finds no GPU; {HELP}")
    library: Any = faiss
    try:
        resources = library.StandardGpuResources()
        index = library.GpuIndexBinaryFlat(resources, 8 * width)
        for piece in pieces:
            index.add(np.ascontiguousarray(piece))
    except RuntimeError as error:
        raise DeviceError(f"--device cuda: {' '.join(str(error).split())[:200]}; {HELP}") from error
    index.resources = resources  # lives as long as the index
    return index


def nearest(
    index: Any, pieces: Pieces, queries: NDArray[np.uint8], k: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The k <= n nearest codes of queries (q, B) by (distance, id), as `flat.nearest` gives them.

    The device orders ties as it likes. It is asked for more than k: where the last of these is farther than the k-th,
    all ties are among them and are sorted here; the other queries are looked up on the processor.
    """
    n = sum(len(piece) for piece in pieces)
    more = min(n, MOST, 2 * k + 256)
    if k > more:
        return flat.nearest(pieces, queries, k)
    found, who = index.search(queries, more)
    order = np.lexsort((who, found), axis=1)[:, :k]
    distances = np.take_along_axis(found, order, axis=1).astype(np.int32)
    ids = np.take_along_axis(who, order, axis=1).astype(np.int64)
    for row in np.flatnonzero((found.max(axis=1) == distances[:, -1]) & (more < n)).tolist():
        tied, near = flat.all_within(pieces, queries[row], int(distances[row, -1]))
        first = np.argsort(near, kind="stable")[:k]
        distances[row], ids[row] = near[first], tied[first]
    return distances, ids
