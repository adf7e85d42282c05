"""However codes are stored and searched, the ranks are the same: those of a plain loop, ties by track."""

from pathlib import Path

import numpy as np
import pytest
from footage import encoded_video, random_codes
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.index import flat
from dhhcli.index.build import build
from dhhcli.index.codes import Index, codes_of
from dhhcli.index.flat import Flat
from dhhcli.index.lookup import open_index
from dhhcli.storage.codes_file import ModelTag, commit, compact, open_shard


def loop(codes: np.ndarray, query: np.ndarray) -> list[tuple[int, int]]:
    """(distance, track) of every code, sorted."""
    return sorted(
        (sum(int(a ^ b).bit_count() for a, b in zip(code, query, strict=True)), track)
        for track, code in enumerate(codes.tolist())
    )


@given(seed=st.integers(0, 2**32), bits=st.sampled_from([24, 48, 128, 256]), k=st.sampled_from([1, 7, 1000]))
@settings(max_examples=12, deadline=None)
def test_every_way_ranks_alike(tmp_path_factory: pytest.TempPathFactory, seed: int, bits: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    path: Path = tmp_path_factory.mktemp("ranks") / "codes.h5"
    tag = ModelTag(bits, "ab" * 32)
    varying = int(rng.integers(2, 12))
    for name in "cab":
        commit(
            path, tag, encoded_video(rng, f"/{name}.mov", tracks=int(rng.integers(30, 60)), bits=bits, varying=varying)
        )
        if name == "a":
            compact(path, tag)
    queries = random_codes(rng, 2, bits, varying + 1)
    parts = open_shard(path)
    assert len(parts.code_pieces) > 1
    build(path, "ivf", rng, nlist=3, nprobe=3)
    lists = open_index(path, parts)
    build(path, "flat", rng)
    compact(path, tag)
    whole = open_shard(path)
    indexes: dict[str, Index] = {
        "one file, mapped": Flat(codes_of(whole.code_pieces)),
        "one file, loaded": Flat(codes_of(np.array(whole.codes))),
        "several files": Flat(codes_of(parts.code_pieces)),
        "several files, put together": Flat(codes_of(parts.codes)),
        "flat index": open_index(path, whole),
        "lists, all probed": lists,
    }
    n = len(whole)
    for query in queries:
        expected = loop(whole.codes, query)
        near = [pair for pair in expected if pair[0] <= expected[n // 3][0]]
        for name, index in indexes.items():
            distances, ids = index.nearest(query[None], k)
            assert list(zip(distances[0].tolist(), ids[0].tolist(), strict=True)) == expected[:k], name
            found, radii = index.within(query[None], near[-1][0])
            assert sorted(zip(radii.tolist(), found.tolist(), strict=True)) == near, name
    once = lists.nearest(queries, k)
    many = lists.nearest(np.repeat(queries, 40, axis=0), k)
    assert [array[::40].tolist() for array in many] == [array.tolist() for array in once]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat, "THREAD_FROM", 1)
        for engine in (True, False):
            patch.setattr(flat, "_faiss_repays", lambda *_, engine=engine: engine)
            for threads in (1, 2, 7):
                scanned = Flat(codes_of(parts.code_pieces), threads).nearest(queries, k)
                assert [array.tolist() for array in scanned] == [array.tolist() for array in once]
