"""faiss_backend: codes (n, B), queries (q, B) -> what faiss makes of them; the only module that imports faiss."""

import os

import faiss
import numpy as np
from numpy.typing import NDArray

# Waiting OpenMP threads otherwise spin and take the cores from each other; read once, when faiss is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
__all__ = ["faiss", "knn"]


def knn(codes: NDArray[np.uint8], queries: NDArray[np.uint8], k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The k <= n nearest codes by (distance, row) in the calling thread alone: distances (q, k), rows (q, k)."""
    if k == 0:
        return np.empty((len(queries), 0), np.int32), np.empty((len(queries), 0), np.int64)
    faiss.omp_set_num_threads(1)
    distances, rows = faiss.knn_hamming(np.ascontiguousarray(queries), np.ascontiguousarray(codes), k)
    return distances, rows
