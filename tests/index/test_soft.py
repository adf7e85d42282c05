"""Weighed distances: what bits cost, and every engine against a loop over tracks and bits."""

import math
from pathlib import Path

import numpy as np
import pytest
from bare_codes import FAR, Products, pieces_of, questions, ranges_of
from footage import encoded_video
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.index import flat, gpu, soft
from dhhcli.index.build import build
from dhhcli.index.codes import Allowed, Index, codes_of
from dhhcli.index.flat import Flat
from dhhcli.index.lookup import open_index
from dhhcli.models.binary_codes import (
    SUREST,
    UNIT,
    SoftCodes,
    cost_tables,
    hamming,
    pack,
    soft_codes,
    unpack,
    weighed,
    weighed_distances,
)
from dhhcli.storage.codes_file import ModelTag, commit, open_shard


def some_soft(rng: np.random.Generator, rows: int, bits: int) -> np.ndarray:
    """Soft bits of photos, of stored codes, coarse ones that tie, and of one that knows a single bit."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return rng.integers(0, 2, (rows, bits)).astype(np.float32)
    if kind == 1:
        return (rng.integers(0, 5, (rows, bits)) / 4).astype(np.float32)
    if kind == 2:
        found = np.full((rows, bits), 0.5, np.float32)
        found[:, rng.integers(0, bits)] = 0.9
        return found
    return (1 / (1 + np.exp(-rng.normal(0, 2, (rows, bits))))).astype(np.float32)


def slow_costs(row: np.ndarray) -> list[float]:
    """What each bit of one row costs, in UNITths, not rounded."""
    odds = [SUREST if q in (0.0, 1.0) else min(SUREST, abs(math.log(q / (1 - q)))) for q in map(float, row)]
    total = sum(odds)
    return [UNIT * len(odds) * each / total for each in odds] if total else [float(UNIT)] * len(odds)


def slow_distance(costs: np.ndarray, query: np.ndarray, code: np.ndarray) -> int:
    """One code against one query, bit by bit."""
    total = 0
    for bit, cost in enumerate(costs.tolist()):
        total += cost * (((int(query[bit // 8]) ^ int(code[bit // 8])) >> (bit % 8)) & 1)
    return total


def ranked(asked: SoftCodes, codes: np.ndarray, k: int, allowed: np.ndarray) -> tuple[list[list[int]], list[list[int]]]:
    """Distances and ids of every query by sorting all allowed codes by (distance, id)."""
    rows = []
    for query, costs in zip(asked.codes, asked.costs, strict=True):
        pairs = sorted((slow_distance(costs, query, code), i) for i, code in enumerate(codes) if allowed[i])[:k]
        rows.append(pairs + [(FAR, -1)] * (k - len(pairs)))
    return [[d for d, _ in row] for row in rows], [[i for _, i in row] for row in rows]


@given(seed=st.integers(0, 2**32), bits=st.sampled_from([1, 12, 24, 48, 100, 128, 256, 512]))
@settings(max_examples=100, deadline=None)
def test_costs_are_log_odds_on_the_scale_of_bits(seed: int, bits: int) -> None:
    values = some_soft(np.random.default_rng(seed), 3, bits)
    asked = soft_codes(values)
    assert (asked.codes == pack(values >= 0.5)).all()
    for row, costs in zip(values, asked.costs.tolist(), strict=True):
        assert costs[:bits] == pytest.approx(slow_costs(row), abs=0.51)
        assert not any(costs[bits:])
        assert abs(sum(costs) - UNIT * bits) <= bits / 2


@given(seed=st.integers(0, 2**32), bits=st.sampled_from([12, 48, 128, 512]))
@settings(max_examples=30, deadline=None)
def test_rows_of_stored_codes_have_hamming_distances(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    codes = pack(rng.random((9, bits)) < 0.5)
    asked = soft_codes(unpack(codes[:3], bits).astype(np.float32))
    assert (weighed_distances(asked, codes) == UNIT * hamming(codes[:3], codes)).all()


@given(asked=questions(), seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_counting_first_changes_nothing(
    asked: tuple[np.ndarray, np.ndarray, int, np.ndarray, list[int]], seed: int
) -> None:
    codes, queries, _, mask, _ = asked
    values = some_soft(np.random.default_rng(seed), 1, 8 * queries.shape[1])
    one = SoftCodes(queries[:1], soft_codes(values).costs)
    exact = np.array([slow_distance(one.costs[0], queries[0], code) for code in codes])
    assert (weighed(cost_tables(one.costs[0], queries[0]), codes) == exact).all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soft, "TILE", 16)
        find = soft.finder(one, codes.size // min(8, codes.shape[1]))
        for bound in (0, 1, int(np.median(exact)), int(exact.max()) + 1, FAR):
            for allowed in (None, mask):
                rows, near = find(codes, bound, allowed)
                wanted = (exact < bound) & (True if allowed is None else allowed)
                assert rows.tolist() == np.flatnonzero(wanted).tolist()
                assert near.tolist() == exact[rows].tolist()


@given(
    asked=questions(),
    seed=st.integers(0, 2**32),
    threads=st.sampled_from([1, 2, 5]),
    kind=st.sampled_from(["all", "mask", "ranges"]),
)
@settings(max_examples=60, deadline=None)
def test_ranks_are_those_of_sorting_everything(
    asked: tuple[np.ndarray, np.ndarray, int, np.ndarray, list[int]], seed: int, threads: int, kind: str
) -> None:
    codes, queries, k, mask, cuts = asked
    k = min(k, len(codes))
    mask = np.ones_like(mask) if kind == "all" else mask
    allowed: Allowed | None = {"all": None, "mask": mask, "ranges": ranges_of(mask)}[kind]
    values = some_soft(np.random.default_rng(seed), len(queries), 8 * queries.shape[1])
    many = SoftCodes(queries, soft_codes(values).costs)
    pieces = pieces_of(codes, cuts)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("WORDS", 128), ("FIRST_ROWS", 9), ("THREAD_FROM", 1), ("SOFT_QUERIES", 2)):
            patch.setattr(flat, name, value)
        patch.setattr(flat, "SHORT_RANGE", 41)
        patch.setattr(soft, "TILE", 16)
        distances, ids = Flat(codes_of(pieces), threads).nearest(many, k, allowed)
        assert (distances.dtype.name, ids.dtype.name) == ("int32", "int64")
        assert (distances.tolist(), ids.tolist()) == ranked(many, codes, k, mask)
        everything = weighed_distances(many[:1], codes)[0]
        radius = int(np.median(everything))
        found, near = Flat(codes_of(pieces), threads).within(many[:1], radius, allowed)
        assert found.tolist() == np.flatnonzero((everything <= radius) & mask).tolist()
        assert near.tolist() == everything[found].tolist()


@given(seed=st.integers(0, 2**32), bits=st.sampled_from([24, 48, 128, 256]), k=st.sampled_from([1, 7, 1000]))
@settings(max_examples=12, deadline=None)
def test_every_engine_ranks_alike(tmp_path_factory: pytest.TempPathFactory, seed: int, bits: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    path: Path = tmp_path_factory.mktemp("soft") / "codes.h5"
    tag = ModelTag(bits, "ab" * 32)
    for name in "cab":
        count = int(rng.integers(30, 60))
        commit(path, tag, encoded_video(rng, f"/{name}.mov", tracks=count, bits=bits, varying=int(rng.integers(2, 12))))
    shard = open_shard(path)
    build(path, "ivf", rng, nlist=3, nprobe=3)
    lists = open_index(path, shard)
    build(path, "flat", rng)
    device = Products()
    for piece in shard.code_pieces:
        device.add(gpu.signs(piece))
    indexes: dict[str, Index] = {
        "pieces": Flat(codes_of(shard.code_pieces)),
        "together": Flat(codes_of(np.array(shard.codes))),
        "device": gpu.OnDevice(device, codes_of(shard.code_pieces), weighed=True),
        "flat index": open_index(path, shard),
        "lists, all probed": lists,
    }
    asked = soft_codes(some_soft(rng, 2, bits))
    n = len(shard)
    expected = ranked(asked, shard.codes, min(k, n), np.ones(n, bool))
    for name, index in indexes.items():
        distances, ids = index.nearest(asked, k)
        assert (distances.tolist(), ids.tolist()) == expected, name
        radius = expected[0][0][-1]
        found, near = index.within(asked[:1], radius)
        assert sorted(zip(near.tolist(), found.tolist(), strict=True))[:k] == list(
            zip(expected[0][0], expected[1][0], strict=True)
        ), name
