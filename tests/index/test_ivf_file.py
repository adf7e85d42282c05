"""Inverted lists: what faiss makes of the file, ranks of slow twins, updates that equal rebuilding, damage."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import TAG, encoded_video, random_codes
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import Result

from dhhcli.errors import IndexFileError
from dhhcli.index import ivf, ivf_file
from dhhcli.index.build import build
from dhhcli.index.codes import codes_of
from dhhcli.index.faiss_backend import faiss
from dhhcli.index.ivf_file import VIDEO, Lists, Probed, owners_of, read_lists, write_lists
from dhhcli.index.lookup import index_paths, open_index
from dhhcli.models.binary_codes import WIDTHS, hamming
from dhhcli.storage.codes_file import commit, compact, open_shard, remove_videos

FAR = 2**31 - 1
NUMBERS = (0, 1, 2**31, 2**63 - 1, 2**64 - 1, 12 << 30)


def videos_table(ends: list[int]) -> np.ndarray:
    videos = np.zeros(len(ends), VIDEO)
    videos["track_end"] = ends
    videos["digest"][:, 0] = np.arange(len(ends))
    return videos


def some_lists(
    rng: np.random.Generator, n: int, width: int, count: int, nprobe: int
) -> tuple[np.ndarray, np.ndarray, bytes]:
    """Codes, the list of each, and a file of them."""
    codes = random_codes(rng, n, 8 * width, 12)
    centres = random_codes(rng, count, 8 * width, 12)
    owners = hamming(codes, centres).argmin(axis=1).astype(np.int32)  # the first of several
    stream = io.BytesIO()
    head = write_lists(stream, centres, nprobe, codes_of(codes), owners, videos_table([n]))
    opened, found = read_lists(np.frombuffer(stream.getvalue(), np.uint8))
    assert found == head
    assert owners_of(opened).tolist() == owners.tolist()
    return codes, owners, stream.getvalue()


def opened(data: bytes) -> Lists:
    return read_lists(np.frombuffer(data, np.uint8))[0]


@given(
    seed=st.integers(0, 2**32),
    width=st.sampled_from(WIDTHS),
    n=st.integers(1, 300),
    count=st.integers(1, 9),
    probed=st.integers(1, 9),
    k=st.sampled_from([1, 5, 300]),
)
@settings(max_examples=80, deadline=None)
def test_ranks_are_those_of_sorting_the_probed_lists(
    seed: int, width: int, n: int, count: int, probed: int, k: int
) -> None:
    rng = np.random.default_rng(seed)
    probed = min(probed, count)
    codes, owners, data = some_lists(rng, n, width, count, probed)
    there = opened(data)
    queries = random_codes(rng, 3, 8 * width, 13)
    distances, ids = ivf_file.nearest(there, queries, k)
    for row, query in enumerate(queries):
        to_centres = hamming(query[None], there.centres)[0].tolist()
        looked = sorted(range(count), key=lambda c: (to_centres[c], c))[:probed]
        to_codes = hamming(query[None], codes)[0].tolist()
        ranked = sorted((to_codes[i], i) for i in range(n) if owners[i] in looked)
        padded = ranked[:k] + [(FAR, -1)] * (k - len(ranked[:k]))
        assert list(zip(distances[row].tolist(), ids[row].tolist(), strict=True)) == padded
        found, near = ivf_file.within(there, query[None], 5)
        assert list(zip(found.tolist(), near.tolist(), strict=True)) == sorted((i, d) for d, i in ranked if d <= 5)


@pytest.mark.parametrize("width", WIDTHS)
def test_faiss_reads_the_file_and_finds_the_same(tmp_path: Path, width: int) -> None:
    rng = np.random.default_rng(width)
    codes, _, data = some_lists(rng, 2000, width, 30, 7)
    (tmp_path / "a.faiss").write_bytes(data)
    theirs: Any = faiss.read_index_binary(str(tmp_path / "a.faiss"))
    assert (theirs.d, theirs.ntotal, theirs.nlist, theirs.nprobe) == (8 * width, 2000, 30, 7)
    theirs.nprobe = 30
    full = opened(some_lists(np.random.default_rng(width), 2000, width, 30, 30)[2])
    queries = random_codes(rng, 5, 8 * width)
    distances, _ = theirs.search(queries, 50)
    assert ivf_file.nearest(full, queries, 50)[0].tolist() == distances.tolist()
    assert distances.tolist() == np.sort(hamming(queries, codes), axis=1)[:, :50].tolist()


def test_the_same_codes_give_the_same_bytes_in_any_number_of_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    codes, owners, data = some_lists(rng, 500, 8, 9, 2)
    monkeypatch.setattr(ivf_file, "ROWS", 70)
    stream = io.BytesIO()
    pieces = codes_of([codes[:10], codes[10:10], codes[10:]])
    write_lists(stream, opened(data).centres, 2, pieces, owners, videos_table([500]))
    assert stream.getvalue() == data


# ------------------------------------------------------------------------------------------------ building


def test_centres_are_majorities_and_every_code_is_with_its_nearest() -> None:
    rng = np.random.default_rng(3)
    truth = random_codes(rng, 12, 64)
    codes = truth[rng.integers(0, 12, 3000)] ^ np.packbits(rng.random((3000, 64)) < 0.03, axis=1)
    centres = ivf.cluster(codes_of([codes[:1000], codes[1000:]]), 12, rng)
    owners = np.full(3000, -1, np.int32)
    ivf.assign(codes_of(codes), centres, owners, [(0, 1000), (1000, 3000)])
    assert owners.tolist() == hamming(codes, centres).argmin(axis=1).tolist()
    bits = np.unpackbits(codes, axis=1)
    exact = 0
    for number in range(12):
        ones = bits[owners == number].sum(axis=0)
        sure = 2 * ones != (owners == number).sum()
        majority = 2 * ones > (owners == number).sum()
        exact += bool((np.unpackbits(centres[number]).astype(bool)[sure] == majority[sure]).all())
    assert exact >= 11  # clustered on a sample of 480
    assert hamming(codes, centres).min(axis=1).mean() < 8


def test_clusters_that_run_empty_start_anew() -> None:
    codes = np.repeat(np.array([[0], [0], [0], [255]], np.uint8), 8, axis=1).repeat(100, axis=0)
    centres = ivf.cluster(codes_of(codes), 2, np.random.default_rng(0))
    assert sorted(centres[:, 0].tolist()) == [0, 255]


@pytest.mark.parametrize("nprobe", [None, 1, 5])
def test_recall_is_what_searching_finds(nprobe: int | None) -> None:
    rng = np.random.default_rng(4)
    truth = random_codes(rng, 60, 64)
    codes = truth[rng.integers(0, 60, 6000)] ^ np.packbits(rng.random((6000, 64)) < 0.12, axis=1)
    centres = ivf.cluster(codes_of(codes), 64, rng)
    owners = np.empty(6000, np.int32)
    ivf.assign(codes_of(codes), centres, owners, [(0, 6000)])
    probed, recall = ivf.probes(codes_of(codes), centres, owners, np.random.default_rng(9), nprobe)
    stream = io.BytesIO()
    write_lists(stream, centres, probed, codes_of(codes), owners, videos_table([6000]))
    twin = np.random.default_rng(9)
    queries = codes[np.sort(twin.choice(6000, 1000, replace=False))]
    queries = queries ^ np.packbits(twin.random((1000, 64)) < 0.1, axis=1)
    everything = hamming(queries, codes)
    order = np.argsort(everything, axis=1, kind="stable")[:, :60]
    hits = 0
    found = ivf_file.nearest(opened(stream.getvalue()), queries, 60)[1].tolist()
    for row, (ids, near) in enumerate(zip(order.tolist(), np.sort(everything, axis=1)[:, 19], strict=True)):
        good = {i for i in ids if everything[row, i] <= near}
        hits += min(20, len(good & set(found[row])))
    assert recall == pytest.approx(hits / 20 / 1000)
    if nprobe is None:
        assert recall >= 0.99
        assert ivf.probes(codes_of(codes), centres, owners, np.random.default_rng(9), probed - 1)[1] < 0.999
    else:
        assert probed == nprobe


def test_how_many_lists() -> None:
    assert [ivf.list_count(n) for n in (1, 39, 78, 1000, 10**6, 10**7, 10**8)] == [1, 1, 2, 25, 2048, 8192, 16384]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=8, deadline=None)
def test_an_updated_index_is_the_one_made_from_scratch_with_the_same_lists(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("lists") / "codes.h5"
    there = {}
    for name in "bdf":
        there[name] = encoded_video(rng, f"/{name}.mov", tracks=int(rng.integers(40, 90)), varying=14)
        commit(path, TAG, there[name])
    compact(path, TAG)
    first, how = build(path, "ivf", rng, nlist=4)
    assert how == "built"
    for name in rng.choice(list("abcdefg"), 3, replace=False):
        if name in there and rng.random() < 0.5:
            remove_videos(path, [Path(f"/{name}.mov")])
        else:
            commit(path, TAG, encoded_video(rng, f"/{name}.mov", tracks=int(rng.integers(0, 30)), varying=14))
    if rng.random() < 0.5:
        compact(path, TAG)
    with open_shard(path) as shard:
        if not first.n / 2 <= len(shard) <= first.n * 2:
            return
        second, how = build(path, None, rng)
        assert how.startswith("updated: ")
        assert (second.nlist, second.clustered, second.n) == (first.nlist, first.n, len(shard))
        index = open_index(path, shard)
        assert isinstance(index, Probed)
        stream = io.BytesIO()
        owners = hamming(shard.codes, index.lists.centres).argmin(axis=1).astype(np.int32)
        write_lists(
            stream,
            index.lists.centres,
            second.nprobe,
            codes_of(shard.code_pieces),
            owners,
            ivf_file.videos_of(shard.pieces),
        )
        assert index_paths(path)[0].read_bytes() == stream.getvalue()
        build(path, "ivf", rng, nprobe=4)
        queries = random_codes(rng, 3, 48, 15)
        everything = hamming(queries, shard.codes)
        distances, ids = open_index(path, shard).nearest(queries, 25)
        expected = [sorted((d, i) for i, d in enumerate(row))[:25] for row in everything.tolist()]
        assert [
            list(zip(*pair, strict=True)) for pair in zip(distances.tolist(), ids.tolist(), strict=True)
        ] == expected
        build(path, "ivf", rng, nprobe=1_000_000, again=True)
        assert open_index(path, shard).nearest(queries, 25)[1].tolist() == ids.tolist()


def test_what_makes_lists_anew(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    path = tmp_path / "codes.h5"
    commit(path, TAG, encoded_video(rng, "/a.mov", tracks=100))
    assert build(path, "ivf", rng)[1] == "built"
    assert build(path, "ivf", rng)[1] == "updated: 0 tracks added, 0 removed"
    assert build(path, None, rng)[0].kind == "ivf"
    assert build(path, "ivf", rng, again=True)[1] == "built"
    file, record = index_paths(path)
    data = bytearray(file.read_bytes())
    data[-100] ^= 1  # of a digest
    file.write_bytes(data)
    assert build(path, "ivf", rng)[1] == "built"
    data = bytearray(file.read_bytes())
    data[-60:-52] = bytes(8)  # an id: one track twice, another not at all
    file.write_bytes(data)
    assert build(path, "ivf", rng)[1] == "built"
    commit(path, TAG, encoded_video(rng, "/b.mov", tracks=101))
    assert build(path, "ivf", rng)[1] == "built"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"model": "0" * 64}))
    assert build(path, "ivf", rng)[1] == "built"
    record.write_text("{")
    assert build(path, None, rng)[0].kind == "flat"


# ------------------------------------------------------------------------------------------------ damage


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(8)
    path = tmp_path_factory.mktemp("damage") / "codes.h5"
    commit(path, TAG, encoded_video(rng, "/a.mov", tracks=60, varying=10))
    commit(path, TAG, encoded_video(rng, "/b.mov", tracks=60, varying=10))
    compact(path, TAG)
    return path


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_no_damage_does_more_than_one_line(small: Path, kind: str) -> None:
    """Flips, cuts and overwritten numbers at random: refused in one line, or found codes that are in the shard."""
    rng = np.random.default_rng(0)
    build(small, "ivf" if kind == "ivf" else "flat", rng, nlist=3)
    file, _ = index_paths(small)
    whole = file.read_bytes()
    refused: list[str] = []
    with open_shard(small) as shard:
        for _ in range(400):
            data = bytearray(whole)
            at = int(rng.integers(0, min(len(data), 300) if rng.random() < 0.7 else len(data)))
            way = rng.integers(0, 4)
            if way == 0:
                data[at] ^= 1 << int(rng.integers(0, 8))
            elif way == 1:
                del data[at:]
            elif way == 2:
                data[at : at + 8] = NUMBERS[rng.integers(0, len(NUMBERS))].to_bytes(8, "little")
                del data[len(whole) :]
            else:
                data[at : at + 16] = rng.bytes(16)
                del data[len(whole) :]
            file.write_bytes(data)
            try:
                index = open_index(small, shard)
                distances, ids = index.nearest(shard.codes[:3], 20)
                found, _ = index.within(shard.codes[:1], 9)
            except IndexFileError as error:
                refused.append(str(error))
            else:
                assert ((ids >= -1) & (ids < 120)).all()
                assert ((found >= 0) & (found < 120)).all()
                assert (np.diff(distances, axis=1) >= 0).all()
    assert len(refused) > 100
    assert all(str(file) in line and "\n" not in line for line in refused)


@pytest.mark.parametrize(
    ("at", "value"),
    [(12, 2**62), (12, 121), (8, 2**31), (29 - 4, 2), (25, 2**64 - 1), (33, 0), (33, 2**60), (41 + 12, 5), (66, 2**63)],
)
def test_numbers_that_do_not_fit_are_refused_with_any_hash(small: Path, at: int, value: int) -> None:
    """Hostile: record and hash say that the file is as it should be."""
    build(small, "ivf", np.random.default_rng(0), nlist=3)
    data = bytearray(index_paths(small)[0].read_bytes())
    size = 8 if value >= 2**31 or at in (12, 25, 33, 53) else 4
    data[at : at + size] = value.to_bytes(8, "little")[:size]
    with pytest.raises(ValueError):
        read_lists(np.frombuffer(bytes(data), np.uint8))


def test_words_of_index(dhh: Callable[..., Result], tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    path = tmp_path / "codes.h5"
    commit(path, TAG, encoded_video(rng, "/a.mov", tracks=80, varying=10))
    compact(path, TAG)
    said = dhh("index", path)
    assert (said.exit_code, said.stdout) == (0, "")
    assert said.stderr == f"{path}.faiss: built: flat index of 80 codes, 673 bytes, recall@20 1.0000\n"
    said = dhh("index", path, "--ivf")
    assert said.stderr.startswith(f"{path}.faiss: built: ivf index of 80 codes, ")
    assert " bytes, 2 lists of which 2 are searched, recall@20 1.0000\n" in said.stderr
    commit(path, TAG, encoded_video(rng, "/b.mov", tracks=3, varying=10))
    assert f"{path}.faiss: updated: 3 tracks added, 0 removed: ivf index of 83" in dhh("index", path).stderr
    remove_videos(path, [Path("/a.mov")])
    commit(path, TAG, encoded_video(rng, "/c.mov", tracks=45, varying=10))
    assert f"{path}.faiss: updated: 45 tracks added, 80 removed: ivf index of 48" in dhh("index", path).stderr
    assert f"{path}.faiss: built: ivf index of 48" in dhh("index", path, "--again").stderr
    assert f"{path}.faiss: built: flat index of 48" in dhh("index", path, "--flat").stderr
