"""Questions to bare codes, how they are cut, and a stand-in for products on a device."""

from itertools import pairwise

import numpy as np
from footage import random_codes
from hypothesis import strategies as st

from dhhcli.models.binary_codes import WIDTHS

FAR = 2**31 - 1


def pieces_of(codes: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    edges = [0, *sorted(min(cut, len(codes)) for cut in cuts), len(codes)]
    return [codes[first:last] for first, last in pairwise(edges)]


def ranges_of(mask: np.ndarray) -> np.ndarray:
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2).astype(np.int64)


@st.composite
def questions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, np.ndarray, list[int]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    width, n = draw(st.sampled_from(WIDTHS)), draw(st.integers(1, 700))
    varying = draw(st.integers(1, 8 * width))
    codes = random_codes(rng, n, 8 * width, varying)
    queries = random_codes(rng, draw(st.integers(1, 5)), 8 * width, varying)
    if draw(st.booleans()):
        queries[0] = ~codes[-1]  # as far as can be: all bits differ
    mask = np.repeat(rng.random(1 + n // 40) < draw(st.sampled_from([0.0, 0.3, 1.0])), 40)[:n]
    mask = np.concatenate([mask, np.zeros(n - len(mask), bool)])
    return codes, queries, draw(st.sampled_from([1, 2, 20, n])), mask, draw(st.lists(st.integers(0, n), max_size=3))


class Products:
    """What GpuIndexFlatIP with 16 bit floats does: the k largest products, ties as they come."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def add(self, rows: np.ndarray) -> None:
        self.rows.append(rows.astype(np.float16))

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        rows = np.concatenate(self.rows)
        products = queries.astype(np.float16).astype(np.float32) @ rows.astype(np.float32).T
        shuffled = np.random.default_rng(0).permutation(len(rows))
        order = shuffled[np.argsort(-products[:, shuffled], axis=1, kind="stable")[:, :k]]
        return np.take_along_axis(products, order, axis=1), order
