"""search() against a slow twin that sorts every track of the shard."""

from pathlib import Path

import numpy as np
import pytest
from footage import TAG, encoded_video
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_search import assert_same_hits, nearest_row, slow_search, soft_bits, some_rules

from dhhcli.index.build import build
from dhhcli.index.lookup import Kind, open_index
from dhhcli.models.binary_codes import pack, unpack
from dhhcli.search.options import Rank
from dhhcli.search.ranking import NO_RULES, Rules, search, shots_of
from dhhcli.storage.codes_file import ModelTag, commit, compact, open_shard

ranks = st.sampled_from(Rank)


@given(
    seed=st.integers(0, 2**32),
    varying=st.integers(1, 12),
    photos=st.integers(1, 3),
    top=st.integers(1, 30),
    rank=ranks,
)
@settings(max_examples=80, deadline=None)
def test_search_is_what_sorting_everything_gives(
    tmp_path_factory: pytest.TempPathFactory, seed: int, varying: int, photos: int, top: int, rank: Rank
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
        assert_same_hits(search(shard, soft, top, rank=rank), slow_search(shard, soft, top, rank=rank))


@given(seed=st.integers(0, 2**32), varying=st.integers(1, 12), top=st.one_of(st.none(), st.integers(1, 12)), rank=ranks)
@settings(max_examples=200, deadline=None)
def test_rules_are_what_sorting_everything_gives(
    tmp_path_factory: pytest.TempPathFactory, seed: int, varying: int, top: int | None, rank: Rank
) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("search") / "codes.h5"
    for name in "ab":
        shots, tracks = int(rng.integers(1, 8)), int(rng.integers(0, 25))
        commit(path, TAG, encoded_video(rng, f"/{name}.mov", shots=shots, tracks=tracks, varying=varying))
    with open_shard(path) as shard:
        soft, rules = soft_bits(rng, int(rng.integers(1, 3))), some_rules(rng, shard)
        expected = slow_search(shard, soft, top, rules, rank=rank)
        assert_same_hits(search(shard, soft, top, rules=rules, rank=rank), expected)


@given(seed=st.integers(0, 2**32), radius=st.integers(0, 48), rank=ranks)
@settings(max_examples=60, deadline=None)
def test_shots_that_somebody_is_in(
    tmp_path_factory: pytest.TempPathFactory, seed: int, radius: int, rank: Rank
) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("search") / "codes.h5"
    commit(path, TAG, encoded_video(rng, "/a.mov", shots=6, tracks=20, varying=8))
    with open_shard(path) as shard:
        people = [soft_bits(rng, 1), soft_bits(rng, 2), soft_bits(rng, 1)]
        rows, bits = shard.track_rows(np.arange(20)), unpack(shard.codes, TAG.bits)
        expected = set()
        for track in range(20):
            near = [nearest_row(person, bits[track], rank) for person in people]
            first, second = near[1]
            if near.index(min(near)) == 1 and first <= radius and first + second < 30:
                expected.add(int(rows["shot"][track]))
        found = shots_of(shard, people, 1, radius, lambda d, s: (d + s)[0] < 30, rank=rank)
        assert found.tolist() == sorted(expected)


def two_people(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """Three shots: Ann alone, Ann and Bob, Bob alone; Bob looks like Ann in all but 6 bits. Codes of both, (1, 48)."""
    rng = np.random.default_rng(0)
    ann = np.zeros(TAG.bits, bool)
    bob = ann.copy()
    bob[:6] = True
    video = encoded_video(rng, "/a.mov", shots=3, tracks=4)
    video.tracks["shot"] = [0, 1, 1, 2]
    video.codes[:] = pack(np.stack([ann, ann, bob, bob]))
    path = tmp_path / "codes.h5"
    commit(path, TAG, video)
    return path, ann[None].astype(np.float32), bob[None].astype(np.float32)


def test_a_track_is_taken_for_who_it_is_nearest_to(tmp_path: Path) -> None:
    path, ann, bob = two_people(tmp_path)
    with open_shard(path) as shard:

        def shots(rules: Rules) -> list[tuple[int, int | float, int]]:
            return [(hit.shot, hit.distance, hit.tracks) for hit in search(shard, ann, None, rules=rules)]

        assert shots(NO_RULES) == [(0, 0, 1), (1, 0, 2), (2, 6, 1)]
        assert shots(Rules(never=(bob,))) == [(0, 0, 1), (1, 0, 1)]
        assert shots(Rules(also=(bob,))) == [(1, 0, 1)]
        assert shots(Rules(never=(ann,))) == shots(NO_RULES)  # of equals the one who is asked for
        assert shots(Rules(also=(ann,))) == []  # one track is not two people
        assert shots(Rules(apart=np.array([1]))) == [(0, 0, 1), (2, 6, 1)]
        assert shots_of(shard, [ann, bob], 1, 3, lambda d, s: (d <= s + 48)[0]).tolist() == [1, 2]


@pytest.fixture(scope="module")
def shard_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("search") / "codes.h5"
    for name in "abc":
        commit(path, TAG, encoded_video(rng, f"/{name}.mov", shots=60, tracks=300, varying=10))
    compact(path, TAG)
    return path


@pytest.mark.parametrize("rank", Rank)
@pytest.mark.parametrize("top", [1, 5, 20, 150, 1000])
@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_an_index_changes_nothing(shard_path: Path, top: int, kind: Kind, rank: Rank) -> None:
    rng = np.random.default_rng(top)
    build(shard_path, kind, rng, nlist=8, nprobe=8)
    with open_shard(shard_path) as shard:
        soft = soft_bits(rng, 2)
        expected = slow_search(shard, soft, top, rank=rank)
        found = search(shard, soft, top, rank=rank)
        assert_same_hits(found, expected)
        assert search(shard, soft, top, open_index(shard_path, shard), rank=rank) == found
        assert len(expected) == min(top, len(np.unique(shard.track_rows(np.arange(900))["shot"])))


@pytest.mark.parametrize("rank", Rank)
@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_an_index_changes_nothing_with_rules(shard_path: Path, kind: Kind, rank: Rank) -> None:
    rng = np.random.default_rng(11)
    build(shard_path, kind, rng, nlist=8, nprobe=8)
    with open_shard(shard_path) as shard:
        index = open_index(shard_path, shard)
        for _ in range(40):
            soft, rules = soft_bits(rng, 2), some_rules(rng, shard)
            found = search(shard, soft, 7, rules=rules, rank=rank)
            assert search(shard, soft, 7, index, rules, rank=rank) == found


def test_few_probes_rank_what_they_find(shard_path: Path) -> None:
    rng = np.random.default_rng(0)
    build(shard_path, "ivf", rng, nlist=16, nprobe=1)
    with open_shard(shard_path) as shard:
        soft = soft_bits(rng, 1)
        exact = {hit.track: hit for hit in search(shard, soft, 1000)}
        hits = search(shard, soft, 150, open_index(shard_path, shard))
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
        assert len({hit.shot for hit in hits}) == len(hits)
        order = [(hit.score, hit.distance, hit.shot) for hit in hits]
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
        monkeypatch.setattr("dhhcli.search.distances.CHUNK", 7)
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
