"""Every way of scanning bare codes ranks as sorting all of them does: pieces, threads, masks, ranges, faiss."""

import sys

import numpy as np
import pytest
from bare_codes import FAR, pieces_of, questions, ranges_of
from footage import random_codes
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.index import codes as all_codes
from dhhcli.index import flat
from dhhcli.index.codes import Allowed, codes_of, measurer, tile
from dhhcli.index.flat import Flat
from dhhcli.models.binary_codes import WIDTHS, hamming


def brute_force(
    codes: np.ndarray, queries: np.ndarray, k: int, allowed: np.ndarray
) -> tuple[list[list[int]], list[list[int]]]:
    """Distances and ids by sorting all allowed codes by (distance, id)."""
    rows = []
    for row in hamming(queries, codes).tolist():
        ranked = sorted((d, i) for i, d in enumerate(row) if allowed[i])[:k]
        rows.append(ranked + [(FAR, -1)] * (k - len(ranked)))
    return [[d for d, _ in row] for row in rows], [[i for _, i in row] for row in rows]


@pytest.fixture(params=["numpy", "faiss"])
def small_chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of codes make many chunks, blocks and threads, as millions otherwise do."""
    monkeypatch.setattr(flat, "WORDS", 128)
    monkeypatch.setattr(all_codes, "WORDS", 128)
    monkeypatch.setattr(all_codes, "TILE", 16)
    monkeypatch.setattr(flat, "FIRST_ROWS", 9)
    monkeypatch.setattr(flat, "THREAD_FROM", 1)
    monkeypatch.setattr(flat, "QUERIES", 2)
    monkeypatch.setattr(flat, "FAISS_ROWS", 33)
    monkeypatch.setattr(flat, "SHORT_RANGE", 41)
    monkeypatch.setattr(flat, "_faiss_repays", lambda *_: request.param == "faiss")


@pytest.mark.usefixtures("small_chunks")
class TestSmallChunks:
    @given(asked=questions(), threads=st.sampled_from([1, 2, 5]), kind=st.sampled_from(["all", "mask", "ranges"]))
    @settings(max_examples=150, deadline=None)
    def test_ranks_are_those_of_sorting_everything(
        self, asked: tuple[np.ndarray, np.ndarray, int, np.ndarray, list[int]], threads: int, kind: str
    ) -> None:
        codes, queries, k, mask, cuts = asked
        k = min(k, len(codes))
        mask = np.ones_like(mask) if kind == "all" else mask
        allowed: Allowed | None = {"all": None, "mask": mask, "ranges": ranges_of(mask)}[kind]
        pieces = pieces_of(codes, cuts)
        index = Flat(codes_of(pieces), threads)
        distances, ids = index.nearest(queries, k, allowed)
        assert (distances.dtype.name, ids.dtype.name) == ("int32", "int64")
        assert (distances.tolist(), ids.tolist()) == brute_force(codes, queries, k, mask)
        everything = hamming(queries, codes)
        for query, row in zip(queries, everything, strict=True):
            radius = int(np.median(row))
            found, near = index.within(query[None], radius, allowed)
            assert found.tolist() == np.flatnonzero((row <= radius) & mask).tolist()
            assert near.tolist() == row[found].tolist()


@pytest.mark.parametrize("width", WIDTHS)
def test_chunks_as_large_as_they_are(width: int) -> None:
    rng = np.random.default_rng(width)
    codes = random_codes(rng, 150_001, 8 * width, 14)
    queries = random_codes(rng, 2, 8 * width, 16)
    expected = brute_force(codes, queries, 500, np.ones(len(codes), bool))
    for threads in (1, 3):
        distances, ids = Flat(codes_of([codes[:70_000], codes[70_000:]]), threads).nearest(queries, 500)
        assert (distances.tolist(), ids.tolist()) == expected


@pytest.mark.parametrize("width", WIDTHS)
def test_counts_of_all_bits_and_of_none_do_not_run_over(width: int) -> None:
    codes = np.repeat(np.array([[0], [255], [1]], np.uint8), width, axis=1)
    assert measurer(width)(codes, tile(np.zeros(width, np.uint8))).tolist() == [0, 8 * width, width]


def test_codes_need_not_begin_at_a_whole_word() -> None:
    rng = np.random.default_rng(0)
    for shift in (1, 4):
        raw = np.frombuffer(rng.bytes(shift + 16 * 999), np.uint8, offset=shift).reshape(999, 16)
        queries = random_codes(rng, 2, 128)
        assert (
            Flat(codes_of(raw)).nearest(queries, 9)[1].tolist() == brute_force(raw, queries, 9, np.ones(999, bool))[1]
        )


def test_few_codes_never_bring_faiss_and_many_comparisons_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    assert not flat._faiss_repays(10**7, 1, 1, 1)
    assert not flat._faiss_repays(10**7, 1, 2, 2)
    assert not flat._faiss_repays(10**4, 20, 2, 1)
    assert flat._faiss_repays(10**6, 1000, 2, 2)
    monkeypatch.setitem(sys.modules, "faiss", np)
    assert flat._faiss_repays(10**7, 1, 1, 1)


def test_a_thread_that_fails_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(flat, "THREAD_FROM", 1)
    monkeypatch.setattr(flat, "_by_numpy", fail)
    with pytest.raises(MemoryError, match="no room"):
        Flat(codes_of(np.zeros((9, 8), np.uint8)), 3).nearest(np.zeros((1, 8), np.uint8), 1)


@pytest.mark.parametrize(
    "allowed",
    [
        np.ones(8, bool),
        np.ones((9, 1), bool),
        np.zeros((1, 2), np.int32),
        np.zeros(2, np.int64),
        np.array([[3, 2]]),
        np.array([[4, 5], [2, 3]]),
        np.array([[-1, 2]]),
        np.array([[0, 10]]),
    ],
)
def test_what_cannot_be_allowed(allowed: np.ndarray) -> None:
    codes = np.zeros((9, 8), np.uint8)
    with pytest.raises(ValueError, match="allowed"):
        Flat(codes_of(codes)).nearest(codes[:1], 1, allowed)


def test_nothing_to_scan() -> None:
    query = np.zeros((2, 8), np.uint8)
    for pieces, allowed in (([query[:0]], None), ([query], np.zeros(2, bool)), ([query], np.zeros((0, 2), np.int64))):
        index, n = Flat(codes_of(pieces)), len(pieces[0])
        distances, ids = index.nearest(query, 3, allowed)
        assert (distances.tolist(), ids.tolist()) == ([[FAR] * n] * 2, [[-1] * n] * 2)
        assert [len(array) for array in index.within(query[:1], 64, allowed)] == [0, 0]
