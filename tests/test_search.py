"""search() against a slow twin that sorts every track of the shard."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import TAG, encoded_video
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.index.build import build
from dhhcli.index.lookup import Kind, open_index
from dhhcli.models.binary_codes import UNIT, pack, soft_codes, unpack
from dhhcli.search.options import Rank
from dhhcli.search.ranking import NO_RULES, Claim, Hit, Rules, search, shots_of
from dhhcli.storage.codes_file import ModelTag, Shard, commit, compact, open_shard


def nearest_row(soft: np.ndarray, bits: np.ndarray, rank: Rank = Rank.bits) -> tuple[float, float]:
    """What one track ranks by and what decides among equals, to the nearest of a person's rows.

    By bits distance and score, by soft bits score and distance.
    """
    pairs: list[tuple[float, float]] = []
    for row in soft:
        differ = [bool(q >= 0.5) != bool(b) for q, b in zip(row, bits, strict=True)]
        if rank is Rank.bits:
            pairs.append((sum(differ), float(np.float32(np.abs(row.astype(np.float64) - bits).sum()))))
        else:
            costs = soft_codes(row[None]).costs[0].tolist()
            pairs.append((sum(cost for cost, wrong in zip(costs, differ, strict=False) if wrong) / UNIT, sum(differ)))
    return min(pairs)


def is_allowed(track: int, rules: Rules) -> bool:
    if rules.allowed is None:
        return True
    if rules.allowed.dtype == bool:
        return bool(rules.allowed[track])
    return any(first <= track < last for first, last in rules.allowed.tolist())


Near = Callable[[np.ndarray, int], tuple[float, float]]  # rows of a person, track -> as `nearest_row`


def slow_search(
    shard: Shard,
    soft: np.ndarray,
    top: int | None,
    rules: Rules = NO_RULES,
    measure: Near | None = None,
    rank: Rank = Rank.soft,
) -> list[Hit]:
    """Every track against every person, one by one; then the rules of the docstrings, word by word.

    measure: how near a track is; by its code if not given, and `rules.keep` is asked about that in any case.
    """
    bits = unpack(shard.codes, shard.tag.bits)

    def by_code(person: np.ndarray, track: int) -> tuple[float, float]:
        return nearest_row(np.asarray(person), bits[track], rank)

    def bits_and_score(near: tuple[float, float]) -> tuple[float, float]:
        return near if rank is Rank.bits else (near[1], near[0])

    near_to = measure or by_code
    rows = shard.track_rows(np.arange(len(shard)))
    wanted = 1 + len(rules.also)
    people = [soft, *rules.also, *rules.without, *rules.never]
    shots: dict[int, dict[int, list[tuple[float, float, int]]]] = {}  # shot -> person -> claims
    for track in range(len(shard)):
        shot = int(rows["shot"][track])
        if not is_allowed(track, rules) or (rules.apart is not None and shot in rules.apart.tolist()):
            continue
        near = [near_to(person, track) for person in people]
        owner = near.index(min(near))
        distance = bits_and_score(near[owner])[0]
        limit = shard.tag.bits if rules.radius is None else rules.radius
        reached = rules.reach is None or near[owner][0] <= rules.reach
        if owner < wanted and distance <= limit and reached:
            shots.setdefault(shot, {}).setdefault(owner, []).append((*near[owner], track))
    found = []
    for shot, claims in shots.items():
        if len(claims) == wanted:
            best = [min(claims[person]) for person in range(wanted)]
            farthest = max((distance, score) for distance, score, _ in best)
            video = shard.videos[rows["video"][best[0][2]]]
            number = int(shard.shots_rows(np.array([shot]))[0]["number"])
            found.append((farthest, os.fsencode(video.path), number, best, shot))
    kept: list[Any] = []
    for row in sorted(found):
        codes = [bits_and_score(by_code(person, claim[2])) for person, claim in zip(people, row[3], strict=False)]
        distances = np.array([[code[0]] for code in codes], np.int32)
        scores = np.array([[code[1]] for code in codes], np.float32)
        if rules.keep is not None and not rules.keep(distances, scores)[0]:
            continue
        if rules.per_video is not None and sum(row[1] == other[1] for other in kept) >= rules.per_video:
            continue
        kept.append(row)
    kept = kept[:top]
    last = kept[-1][0][0] if kept else 0
    return [
        Hit(
            place,
            *bits_and_score(far),
            best[0][2],
            shot,
            sum(claim[0] <= last for claim in shots[shot][0]),
            tuple(Claim(track, *bits_and_score((first, second))) for first, second, track in best),
        )
        for place, (far, _, _, best, shot) in enumerate(kept, start=1)
    ]


def assert_same_hits(found: list[Hit], expected: list[Hit]) -> None:
    def exact(hit: Hit) -> tuple[int | float, ...]:
        claims = (number for claim in hit.claims for number in (claim.track, claim.distance))
        return hit.rank, hit.distance, hit.track, hit.shot, hit.tracks, *claims

    assert [exact(hit) for hit in found] == [exact(hit) for hit in expected]
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], rel=1e-6)


def soft_bits(rng: np.random.Generator, photos: int, bits: int = TAG.bits) -> np.ndarray:
    """Multiples of 1/8: sums are exact, and soft distances tie as well."""
    return (rng.integers(0, 9, (photos, bits)) / 8).astype(np.float32)


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


def some_rules(rng: np.random.Generator, shard: Shard) -> Rules:
    """Any rules, each there or not."""

    def people(most: int) -> tuple[np.ndarray, ...]:
        drawn = [soft_bits(rng, int(rng.integers(1, 3))) for _ in range(int(rng.integers(0, most + 1)))]
        stored = unpack(shard.codes[:2], TAG.bits).astype(np.float32) if len(shard) > 1 else np.empty((0, TAG.bits))
        return (*drawn, stored) if len(stored) and rng.random() < 0.3 else tuple(drawn)

    n = len(shard)
    allowed = None
    kind = rng.integers(0, 3)
    if kind == 1:
        allowed = rng.random(n) < 0.6
    elif kind == 2:
        allowed = np.sort(rng.choice(n + 1, 2 * int(rng.integers(0, min(3, (n + 1) // 2 + 1))), replace=False))
        allowed = allowed.reshape(-1, 2).astype(np.int64)
    limit = int(rng.integers(0, 30))

    def keep(distances: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return np.asarray((distances.sum(axis=0) <= limit) | (scores.max(axis=0) < limit / 2))

    return Rules(
        also=people(2) if rng.random() < 0.4 else (),
        without=people(1) if rng.random() < 0.4 else (),
        never=people(2) if rng.random() < 0.4 else (),
        allowed=allowed,
        apart=rng.integers(0, 10, 3) if rng.random() < 0.3 else None,
        radius=int(rng.integers(0, 24)) if rng.random() < 0.3 else None,
        reach=int(rng.integers(0, 24 * UNIT)) / UNIT if rng.random() < 0.3 else None,
        per_video=int(rng.integers(1, 4)) if rng.random() < 0.3 else None,
        keep=keep if rng.random() < 0.3 else None,
    )


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
