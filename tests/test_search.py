"""search() against a slow twin that sorts every track of the shard."""

import os
from pathlib import Path

import numpy as np
import pytest
from footage import TAG, encoded_video
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.codes import unpack
from dhhcli.index import Kind, build, open_index
from dhhcli.search import Hit, search
from dhhcli.shards import ModelTag, Shard, commit, compact, open_shard


def slow_search(shard: Shard, soft: np.ndarray, top: int) -> list[Hit]:
    """Every track against every photo, one by one; then the rules of the docstring, word by word."""
    bits = unpack(shard.codes, shard.tag.bits)
    rows = shard.track_rows(np.arange(len(shard)))
    tracks = []
    for track in range(len(shard)):
        pairs = []
        for photo in soft:
            distance = sum(bool(q >= 0.5) != bool(b) for q, b in zip(photo, bits[track], strict=True))
            score = np.abs(photo.astype(np.float64) - bits[track]).sum()
            pairs.append((distance, float(np.float32(score))))
        shot = int(rows["shot"][track])
        video = shard.videos[rows["video"][track]]
        number = int(shard.shots_rows(np.array([shot]))[0]["number"])
        tracks.append((*min(pairs), os.fsencode(video.path), number, track, shot))
    best: dict[int, tuple[int, float, bytes, int, int, int]] = {}
    for entry in sorted(tracks):
        best.setdefault(entry[-1], entry)
    chosen = list(best.values())[:top]
    last = chosen[-1][0] if chosen else 0
    return [
        Hit(rank, distance, score, track, shot, sum(t[-1] == shot and t[0] <= last for t in tracks))
        for rank, (distance, score, _, _, track, shot) in enumerate(chosen, start=1)
    ]


def assert_same_hits(found: list[Hit], expected: list[Hit]) -> None:
    def exact(hit: Hit) -> tuple[int, ...]:
        return hit.rank, hit.distance, hit.track, hit.shot, hit.tracks

    assert [exact(hit) for hit in found] == [exact(hit) for hit in expected]
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], rel=1e-6)


def soft_bits(rng: np.random.Generator, photos: int, bits: int = TAG.bits) -> np.ndarray:
    """Multiples of 1/8: sums are exact, and soft distances tie as well."""
    return (rng.integers(0, 9, (photos, bits)) / 8).astype(np.float32)


@given(seed=st.integers(0, 2**32), varying=st.integers(1, 12), photos=st.integers(1, 3), top=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_search_is_what_sorting_everything_gives(
    tmp_path_factory: pytest.TempPathFactory, seed: int, varying: int, photos: int, top: int
) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("search") / "codes.h5"
    for name in ("z", "\udcff", "a", "\U0001f600"):
        shots, tracks = int(rng.integers(1, 8)), int(rng.integers(0, 25))
        commit(path, TAG, encoded_video(rng, f"/{name}.mov", shots=shots, tracks=tracks, varying=varying))
        if name == "a":
            compact(path, TAG)
    with open_shard(path) as shard:
        soft = soft_bits(rng, photos)
        assert_same_hits(search(shard, soft, top), slow_search(shard, soft, top))


@pytest.fixture(scope="module")
def shard_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("search") / "codes.h5"
    for name in "abc":
        commit(path, TAG, encoded_video(rng, f"/{name}.mov", shots=60, tracks=300, varying=10))
    compact(path, TAG)
    return path


@pytest.mark.parametrize("top", [1, 5, 20, 150, 1000])
@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_an_index_changes_nothing(shard_path: Path, top: int, kind: Kind) -> None:
    rng = np.random.default_rng(top)
    build(shard_path, kind, rng, nlist=8, nprobe=8)
    with open_shard(shard_path) as shard:
        soft = soft_bits(rng, 2)
        expected = slow_search(shard, soft, top)
        assert_same_hits(search(shard, soft, top), expected)
        assert search(shard, soft, top, open_index(shard_path, shard)) == search(shard, soft, top)
        assert len(expected) == min(top, len(np.unique(shard.track_rows(np.arange(900))["shot"])))


def test_few_probes_rank_what_they_find(shard_path: Path) -> None:
    rng = np.random.default_rng(0)
    build(shard_path, "ivf", rng, nlist=16, nprobe=1)
    with open_shard(shard_path) as shard:
        soft = soft_bits(rng, 1)
        exact = {hit.track: hit for hit in search(shard, soft, 1000)}
        hits = search(shard, soft, 150, open_index(shard_path, shard))
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
        assert len({hit.shot for hit in hits}) == len(hits)
        order = [(hit.distance, hit.score, hit.shot) for hit in hits]
        assert order == sorted(order)
        assert all(exact[hit.track].score == hit.score for hit in hits if hit.track in exact)


def test_one_shot_with_many_near_tracks_does_not_hide_the_others(tmp_path: Path) -> None:
    """The nearest 500 tracks are of one shot: far more than a first look at the neighbours takes in."""
    rng = np.random.default_rng(1)
    path = tmp_path / "codes.h5"
    crowd, others = (
        encoded_video(rng, "/crowd.mov", shots=1, tracks=500),
        encoded_video(rng, "/x.mov", tracks=9),
    )
    crowd.codes[:] = 0
    others.codes[:, 0] |= 1
    for video in (crowd, others):
        commit(path, TAG, video)
    with open_shard(path) as shard:
        soft = np.zeros((1, TAG.bits), np.float32)
        hits = search(shard, soft, 3)
        assert (hits[0].rank, hits[0].distance, hits[0].tracks) == (1, 0, 500)
        assert_same_hits(hits, slow_search(shard, soft, 3))


def test_the_best_photo_counts(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    path = tmp_path / "codes.h5"
    commit(path, TAG, encoded_video(rng, "/a.mov", shots=2, tracks=2))
    with open_shard(path) as shard:
        bits = unpack(shard.codes, TAG.bits).astype(np.float32)
        for track in (0, 1):
            (hit,) = search(shard, np.stack([bits[track], 1 - bits[track]]), 1)
            assert (hit.track, hit.distance, hit.score) == (track, 0, 0.0)


def test_nothing_to_find(tmp_path: Path) -> None:
    compact(tmp_path / "codes.h5", TAG)
    with open_shard(tmp_path / "codes.h5") as shard:
        assert search(shard, np.zeros((1, TAG.bits), np.float32), 20) == []


def test_chunks_make_no_difference(shard_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_shard(shard_path) as shard:
        soft = soft_bits(np.random.default_rng(9), 2)
        whole = search(shard, soft, 40)
        monkeypatch.setattr("dhhcli.search.CHUNK", 7)
        assert search(shard, soft, 40) == whole


def test_a_width_without_padding(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    path, tag = tmp_path / "codes.h5", ModelTag(128, "00" * 32)
    commit(path, tag, encoded_video(rng, "/a.mov", bits=128, shots=9, tracks=60))
    with open_shard(path) as shard:
        soft = rng.random((2, 128), dtype=np.float32)
        assert_same_hits(search(shard, soft, 5), slow_search(shard, soft, 5))


@pytest.mark.parametrize(
    ("soft", "top"),
    [
        (np.zeros((1, 47), np.float32), 5),
        (np.zeros((0, 48), np.float32), 5),
        (np.zeros(48, np.float32), 5),
        (np.full((1, 48), np.nan, np.float32), 5),
        (np.full((1, 48), 1.1, np.float32), 5),
        (np.zeros((1, 48), np.float32), 0),
    ],
)
def test_wrong_questions_are_refused(shard_path: Path, soft: np.ndarray, top: int) -> None:
    with open_shard(shard_path) as shard, pytest.raises(ValueError):
        search(shard, soft, top)
