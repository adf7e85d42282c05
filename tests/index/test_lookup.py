"""Index and bare codes rank as numpy does; damaged, stale and foreign index files are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import TAG, encoded_video, random_codes
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.errors import IndexFileError, MissingPathError
from dhhcli.index.build import build
from dhhcli.index.codes import Index, codes_of
from dhhcli.index.flat import Flat
from dhhcli.index.lookup import Kind, fresh, index_paths, open_index, remove_index
from dhhcli.models.binary_codes import hamming
from dhhcli.storage.codes_file import commit, compact, open_shard


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def path(rng: np.random.Generator, tmp_path: Path) -> Path:
    """4000 codes that differ in 9 bits only: hundreds of tracks are tied at every distance."""
    for name in "ab":
        commit(tmp_path / "codes.h5", TAG, encoded_video(rng, f"/{name}.mov", tracks=2000, varying=9))
    compact(tmp_path / "codes.h5", TAG)
    return tmp_path / "codes.h5"


def brute_force(codes: np.ndarray, queries: np.ndarray, k: int) -> tuple[list[list[int]], list[list[int]]]:
    """Distances and ids by sorting everything by (distance, id)."""
    ranked = [sorted((int(d), i) for i, d in enumerate(row))[:k] for row in hamming(queries, codes)]
    return [[d for d, _ in row] for row in ranked], [[i for _, i in row] for row in ranked]


def assert_nearest(index: Index, codes: np.ndarray, queries: np.ndarray, k: int) -> None:
    distances, ids = index.nearest(queries, k)
    assert (distances.dtype.name, ids.dtype.name) == ("int32", "int64")
    assert (distances.tolist(), ids.tolist()) == brute_force(codes, queries, k)


@pytest.mark.parametrize("k", [1, 20, 555, 4000, 5000])
def test_flat_mapped_and_numpy_rankings_agree_with_ties(rng: np.random.Generator, path: Path, k: int) -> None:
    build(path, "flat", rng)
    with open_shard(path) as shard:
        queries = random_codes(rng, 3, 48, 12)
        assert_nearest(Flat(codes_of(shard.codes)), shard.codes, queries, k)
        assert_nearest(open_index(path, shard), shard.codes, queries, k)


@pytest.mark.parametrize("k", [1, 20, 555, 5000])
def test_ivf_that_probes_every_list_equals_flat(rng: np.random.Generator, path: Path, k: int) -> None:
    info, _ = build(path, "ivf", rng, nlist=16, nprobe=16)
    assert (info.kind, info.nlist, info.nprobe, info.recall) == ("ivf", 16, 16, 1.0)
    with open_shard(path) as shard:
        assert_nearest(open_index(path, shard), shard.codes, random_codes(rng, 3, 48, 12), k)


@pytest.mark.parametrize("kind", [None, "flat", "ivf"])
@pytest.mark.parametrize("radius", [-1, 0, 1, 4, 48, 64, 1000])
def test_all_within_is_inclusive(rng: np.random.Generator, path: Path, kind: Kind | None, radius: int) -> None:
    if kind:
        build(path, kind, rng, nlist=16, nprobe=16)
    with open_shard(path) as shard:
        index = open_index(path, shard) if kind else Flat(codes_of(shard.codes))
        query = random_codes(rng, 1, 48, 12)
        ids, distances = index.within(query, radius)
        expected = hamming(query, shard.codes)[0]
        assert ids.tolist() == np.flatnonzero(expected <= radius).tolist()
        assert distances.tolist() == expected[ids].tolist()
        assert (ids.dtype.name, distances.dtype.name) == ("int64", "int32")


@given(st.sampled_from([4, 8, 16, 32, 64]), st.integers(0, 60), st.integers(1, 80), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_bare_codes_of_any_size(width: int, n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, (n, width), dtype=np.uint8)
    queries = rng.integers(0, 2, (int(rng.integers(0, 20)), width), dtype=np.uint8)
    distances, ids = Flat(codes_of(codes)).nearest(queries, k)
    assert distances.shape == ids.shape == (len(queries), min(n, k))
    assert (distances.tolist(), ids.tolist()) == brute_force(codes, queries, k)


def test_ivf_with_few_probes_marks_what_it_did_not_find(rng: np.random.Generator, path: Path) -> None:
    build(path, "ivf", rng, nlist=64, nprobe=1)
    with open_shard(path) as shard:
        distances, ids = open_index(path, shard).nearest(random_codes(rng, 5, 48, 9), 4000)
        for row_distances, row_ids in zip(distances, ids, strict=True):
            found = int((row_ids >= 0).sum())
            assert 0 < found < 4000
            assert (row_ids[:found] >= 0).all()
            assert (row_distances[found:] == 2**31 - 1).all()
            pairs = list(zip(row_distances[:found].tolist(), row_ids[:found].tolist(), strict=True))
            assert pairs == sorted(pairs)


def test_ivf_chooses_its_probes_by_measured_recall(rng: np.random.Generator, tmp_path: Path) -> None:
    centres = rng.random((40, 48)) < 0.5
    video = encoded_video(rng, "/a.mov", tracks=8000)
    bits = centres[rng.integers(0, 40, 8000)] ^ (rng.random((8000, 48)) < 0.08)
    video.codes[:, :6] = np.packbits(bits, axis=1, bitorder="little")
    path = tmp_path / "codes.h5"
    commit(path, TAG, video)
    compact(path, TAG)
    info, _ = build(path, "ivf", rng)
    assert info.recall >= 0.99
    assert info.nprobe < info.nlist
    assert build(path, "ivf", rng, nprobe=1)[0].recall < info.recall


def test_the_same_seed_builds_the_same_bytes(path: Path) -> None:
    files = []
    for _ in range(2):
        build(path, "ivf", np.random.default_rng(1), nlist=8)
        files.append([file.read_bytes() for file in index_paths(path)])
    assert files[0] == files[1]


def test_state(rng: np.random.Generator, path: Path) -> None:
    assert fresh(path, open_shard(path)) == "missing"
    build(path, "flat", rng)
    assert fresh(path, open_shard(path)) == "fresh"
    commit(path, TAG, encoded_video(rng, "/c.mov"))
    shard = open_shard(path)
    assert fresh(path, shard) == "stale"
    with pytest.raises(IndexFileError, match="other codes"):
        open_index(path, shard)
    build(path, "flat", rng)
    compact(path, TAG)  # merging changes no row
    assert fresh(path, open_shard(path)) == "fresh"
    remove_index(path)
    remove_index(path)
    assert fresh(path, open_shard(path)) == "missing"
    with pytest.raises(IndexFileError, match="no index"):
        open_index(path, open_shard(path))


def test_killed_between_index_and_record(rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(path, "flat", rng)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dhhcli.index.build.write_stream_atomically", die)
    with pytest.raises(KeyboardInterrupt):
        build(path, "ivf", rng)
    assert fresh(path, open_shard(path)) == "missing"


def test_a_run_that_was_cut_off_goes_on_with_the_kind_there_was(rng: np.random.Generator, path: Path) -> None:
    build(path, "ivf", rng, nlist=4)
    index_paths(path)[1].unlink()  # the record goes before the file, and comes after it
    assert build(path, None, rng)[0].kind == "ivf"


def test_no_space(rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dhhcli.index.build.write_stream_atomically", no_space)
    with pytest.raises(IndexFileError, match="No space left"):
        build(path, "flat", rng)


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_truncated_and_foreign_index_files_are_refused(rng: np.random.Generator, path: Path, kind: Kind) -> None:
    build(path, kind, rng, nlist=8)
    shard = open_shard(path)
    file, _ = index_paths(path)
    whole = file.read_bytes()
    for data in (b"", whole[:-1], whole[:40], whole + b"\0", b"IxF2" + whole[4:], bytes(len(whole))):
        file.write_bytes(data)
        with pytest.raises(IndexFileError, match="damaged") as caught:
            open_index(path, shard)
        assert "\n" not in str(caught.value)
    file.unlink()
    assert fresh(path, shard) == "missing"


def test_a_header_that_claims_too_much_is_refused(rng: np.random.Generator, path: Path) -> None:
    build(path, "flat", rng)
    file, _ = index_paths(path)
    data = bytearray(file.read_bytes())
    assert int.from_bytes(data[25:33], "little") == 4000 * 8
    data[25:33] = (12 << 30).to_bytes(8, "little")
    file.write_bytes(data)
    with pytest.raises(IndexFileError, match="damaged") as caught:
        open_index(path, open_shard(path))
    assert "\n" not in str(caught.value)


def test_an_index_with_other_codes_than_its_record_says_is_refused(rng: np.random.Generator, path: Path) -> None:
    info, _ = build(path, "flat", rng)
    file, _ = index_paths(path)
    data = bytearray(file.read_bytes())
    data[4:8] = (4 * info.bits).to_bytes(4, "little")
    file.write_bytes(data)
    with pytest.raises(IndexFileError):
        open_index(path, open_shard(path))


@pytest.mark.parametrize(
    "change",
    [
        {"format": "else"},
        {"format_version": 1},
        {"format_version": 3},
        {"kind": "hnsw"},
        {"n": "4000"},
        {"nprobe": None},
        {"nlist": -1},
        {"head": 5},
        {"recall": "1"},
        {"surprise": 1},
    ],
)
def test_foreign_records_are_refused(rng: np.random.Generator, path: Path, change: dict[str, object]) -> None:
    build(path, "flat", rng)
    _, record = index_paths(path)
    record.write_text(json.dumps(json.loads(record.read_text()) | change))
    for ask in (fresh, open_index):
        with pytest.raises(IndexFileError, match="not an index record") as caught:
            ask(path, open_shard(path))
        assert "\n" not in str(caught.value)
    for text in ("", "[]", "null", "{", "[" * 100_000):
        record.write_text(text)
        with pytest.raises(IndexFileError, match="not an index record"):
            fresh(path, open_shard(path))


def test_wrong_queries_are_refused(path: Path) -> None:
    with open_shard(path) as shard:
        wrong: list[Any] = [np.zeros((1, 4), np.uint8), np.zeros((1, 8), np.int8), np.zeros(8, np.uint8)]
        for queries in wrong:
            with pytest.raises(ValueError, match="queries"):
                Flat(codes_of(shard.codes)).nearest(queries, 1)
        with pytest.raises(ValueError, match="contiguous"):
            codes_of(shard.codes[::2])
        with pytest.raises(ValueError, match="width has to be said"):
            codes_of([])


def test_ivf_needs_tracks_and_flat_does_not(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "codes.h5"
    with pytest.raises(MissingPathError):
        build(path, "flat", rng)
    compact(path, TAG)
    with pytest.raises(IndexFileError, match="too few"):
        build(path, "ivf", rng)
    build(path, "flat", rng)
    with open_shard(path) as shard:
        index = open_index(path, shard)
        assert index.nearest(np.zeros((2, 8), np.uint8), 20)[0].shape == (2, 0)
        assert len(index.within(np.zeros((1, 8), np.uint8), 64)[0]) == 0


@pytest.mark.parametrize("kind", [None, "flat", "ivf"])
def test_only_what_is_allowed_is_found(rng: np.random.Generator, path: Path, kind: Kind | None) -> None:
    if kind:
        build(path, kind, rng, nlist=16, nprobe=16)
    ranges = np.array([[0, 30], [1000, 1300], [3999, 4000]], np.int64)
    mask = np.zeros(4000, bool)
    for first, last in ranges.tolist():
        mask[first:last] = True
    with open_shard(path) as shard:
        index = open_index(path, shard) if kind else Flat(codes_of(shard.codes))
        queries = random_codes(rng, 3, 48, 12)
        expected, rows = brute_force(shard.codes[mask], queries, 500)
        for allowed in (mask, ranges):
            distances, ids = index.nearest(queries, 500, allowed)
            assert distances[:, :331].tolist() == expected
            assert ids[:, :331].tolist() == np.flatnonzero(mask)[rows].tolist()
            assert (ids[:, 331:] == -1).all()
            assert (distances[:, 331:] == 2**31 - 1).all()
            found, near = index.within(queries[:1], 5, allowed)
            everything = hamming(queries[:1], shard.codes)[0]
            assert found.tolist() == np.flatnonzero(mask & (everything <= 5)).tolist()
            assert near.tolist() == everything[found].tolist()
        with pytest.raises(ValueError, match="allowed"):
            index.nearest(queries, 5, mask[:-1])
