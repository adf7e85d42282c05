"""research/training/sampler.py: who is drawn, and that a still is never part of its own track."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.research.datasets.augmentation import centre
from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.training.sampler import REAL_STRENGTH, Pair, draw_frames, draw_pairs, rows_by_person, takes

Identity = npt.NDArray[np.int64]


def plain_pack(n: int = 12) -> FacePack:
    """Picture i is all of grey level 10 (i + 1); person i // 4."""
    levels = 10 * np.arange(1, n + 1, dtype=np.uint8)
    return FacePack(
        path=Path("made.h5"),
        pictures=np.broadcast_to(levels[:, None, None, None], (n, 80, 80, 3)).copy(),
        identity=np.arange(n) // 4,
        names=tuple(str(i) for i in range(n // 4)),
        face_px=np.full(n, 64, np.float32),
        teacher=np.full((n, 128), np.nan, np.float32),
    )


def draw(identity: Identity, seed: int = 0, *, count: int = 3, pairs: int = 5, frames: int = 4) -> list[Pair]:
    people = rows_by_person(identity)
    rng = np.random.default_rng(seed)
    return draw_pairs(people, identity, count=count, pairs=pairs, frames=frames, rng=rng)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 6), max_size=40), st.integers(1, 4))
def test_rows_by_person_are_those_of_a_loop(people: list[int], at_least: int) -> None:
    identity = np.array(people, np.int64)
    expected = []
    for person in sorted(set(people)):
        rows = [row for row, who in enumerate(people) if who == person]
        if len(rows) >= at_least:
            expected.append(rows)
    assert [rows.tolist() for rows in rows_by_person(identity, at_least)] == expected


@settings(deadline=None, max_examples=80)
@given(
    identity=st.lists(st.integers(0, 5), min_size=2, max_size=40).filter(lambda ids: len(set(ids)) < len(ids)),
    count=st.integers(1, 8),
    pairs=st.integers(1, 4),
    frames=st.integers(1, 6),
    seed=st.integers(0, 10**6),
)
def test_every_pair_is_of_one_person_and_its_still_not_in_its_track(
    identity: list[int], count: int, pairs: int, frames: int, seed: int
) -> None:
    ids = np.array(identity, np.int64)
    drawn = draw(ids, seed, count=count, pairs=pairs, frames=frames)
    possible = {int(ids[rows[0]]) for rows in rows_by_person(ids)}
    assert len(drawn) == min(count, len(possible)) * pairs
    for pair in drawn:
        assert pair.identity in possible
        assert {int(ids[row]) for row in (pair.still, *pair.track)} == {pair.identity}
        assert pair.still not in pair.track
        assert len(set(pair.track)) == len(pair.track)
        assert 1 <= len(pair.track) <= frames
    for first in range(0, len(drawn), pairs):  # a person's pairs stand together, each person once
        assert len({pair.identity for pair in drawn[first : first + pairs]}) == 1
    assert len({pair.identity for pair in drawn}) == min(count, len(possible))


def test_half_of_the_tracks_are_shots_and_sets_have_every_length() -> None:
    identity = np.repeat(np.arange(6), 12)
    lengths = [len(p.track) for seed in range(80) for p in draw(identity, seed, count=6, pairs=2, frames=5)]
    assert np.mean(np.array(lengths) == 1) == pytest.approx(0.5, abs=0.07)
    for length in (2, 3, 4, 5):
        assert np.mean(np.array(lengths) == length) == pytest.approx(0.125, abs=0.05)


def test_somebody_with_two_photos_gets_a_shot() -> None:
    assert all(len(pair.track) == 1 for pair in draw(np.array([0, 0, 1, 1]), count=2, pairs=20))


def test_every_person_and_photo_is_drawn() -> None:
    identity = np.repeat(np.arange(5), 4)
    drawn = [pair for seed in range(60) for pair in draw(identity, seed, count=2, pairs=2)]
    assert {pair.still for pair in drawn} == set(range(20))
    assert {row for pair in drawn for row in pair.track} == set(range(20))


def test_a_seed_decides_everything() -> None:
    identity = np.repeat(np.arange(5), 4)
    assert draw(identity, 3) == draw(identity, 3)
    assert draw(identity, 3) != draw(identity, 4)


def test_a_shot_has_the_asked_number_of_frames_and_a_set_one_a_photo() -> None:
    pack, rng = plain_pack(), np.random.default_rng(0)
    still, track = draw_frames(pack, Pair(0, 0, (1,)), 7, rng)
    assert (still.shape, track.shape) == ((64, 64, 3), (7, 64, 64, 3))
    still, track = draw_frames(pack, Pair(0, 0, (1, 2, 3)), 7, rng)
    assert (still.shape, track.shape) == ((64, 64, 3), (3, 64, 64, 3))
    assert still.dtype == track.dtype == np.uint8


def test_pictures_come_from_the_pairs_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = plain_pack()

    def untouched(picture: npt.NDArray[np.uint8], m: int, _: object, **__: object) -> npt.NDArray[np.uint8]:
        return np.stack([centre(picture)] * m)

    monkeypatch.setattr("dhhcli.research.training.sampler.imitate_frames", untouched)
    still, track = draw_frames(pack, Pair(1, 5, (4, 7)), 3, np.random.default_rng(0))
    assert still[0, 0, 0] == 60
    assert track[:, 0, 0, 0].tolist() == [50, 80]
    _, shot = draw_frames(pack, Pair(1, 5, (6,)), 3, np.random.default_rng(0))
    assert shot[:, 0, 0, 0].tolist() == [70, 70, 70]


# ------------------------------------------------------------------------------------------------- real tracks


def draw_filmed(identity: Identity, track: Identity, seed: int, *, pairs: int = 5, frames: int = 4) -> list[Pair]:
    people = rows_by_person(identity, track=track)
    rng = np.random.default_rng(seed)
    return draw_pairs(people, identity, count=3, pairs=pairs, frames=frames, rng=rng, track=track)


def takes_by_loop(rows: list[int], track: list[int]) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(track[row] if track[row] >= 0 else -1 - row, []).append(row)
    return list(found.values())


filmed_rows = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 2)), min_size=2, max_size=40)


@settings(deadline=None, max_examples=60)
@given(filmed_rows)
def test_a_track_counts_as_one_photo(drawn: list[tuple[int, int]]) -> None:
    identity = np.array([who for who, _ in drawn])
    track = np.array([-1 if number < 0 else 10 * who + number for who, number in drawn])
    expected = []
    for person in sorted({who for who, _ in drawn}):
        rows = [row for row, (who, _) in enumerate(drawn) if who == person]
        by_loop = takes_by_loop(rows, track.tolist())
        assert sorted(take.tolist() for take in takes(np.array(rows), track)) == sorted(by_loop)
        if len(by_loop) >= 2:
            expected.append(rows)
    assert [rows.tolist() for rows in rows_by_person(identity, track=track)] == expected


@settings(deadline=None, max_examples=80)
@given(filmed_rows, st.integers(0, 10**6), st.integers(1, 6))
def test_the_still_is_never_of_the_pairs_own_track(drawn: list[tuple[int, int]], seed: int, frames: int) -> None:
    identity = np.array([who for who, _ in drawn])
    track = np.array([-1 if number < 0 else 10 * who + number for who, number in drawn])
    for pair in draw_filmed(identity, track, seed, frames=frames):
        assert {int(identity[row]) for row in (pair.still, *pair.track)} == {pair.identity}
        assert pair.still not in pair.track
        assert 1 <= len(pair.track) <= frames
        assert track[pair.still] < 0 or track[pair.still] not in track[list(pair.track)]
        numbers = [int(track[row]) for row in pair.track]
        if pair.real:
            assert len(set(numbers)) == 1
            assert numbers[0] >= 0
            assert len(pair.track) == min(frames, int((track == numbers[0]).sum())) > 1
            assert list(pair.track) == sorted(pair.track)
        else:  # unlike photos: of each take at most one
            filmed = [number for number in numbers if number >= 0]
            assert len(filmed) == len(set(filmed))


def test_half_of_the_tracks_of_filmed_people_are_real_and_all_frames_are_drawn() -> None:
    identity = np.zeros(24, np.int64)
    track = np.array([-1] * 4 + [0] * 10 + [1] * 10)
    drawn = [pair for seed in range(100) for pair in draw_filmed(identity, track, seed, pairs=4)]
    assert np.mean([pair.real for pair in drawn]) == pytest.approx(0.5, abs=0.07)
    assert {row for pair in drawn if pair.real for row in pair.track} == set(range(4, 24))
    assert {pair.still for pair in drawn} == set(range(24))
    assert {len(pair.track) for pair in drawn if not pair.real} == {1, 2, 3, 4}


def test_without_film_the_draw_is_the_same_as_ever() -> None:
    identity = np.repeat(np.arange(5), 4)
    assert draw_filmed(identity, np.full(20, -1), 3) == draw(identity, 3)


def test_a_real_track_is_developed_mildly_and_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pack, seen = plain_pack(), []

    def note(pictures: npt.NDArray[np.uint8], _: object, *, size: int, strength: float) -> npt.NDArray[np.uint8]:
        seen.append((pictures[:, 0, 0, 0].tolist(), size, strength))
        return pictures[:, 8:72, 8:72]

    monkeypatch.setattr("dhhcli.research.training.sampler.imitate_shot", note)
    _, track = draw_frames(pack, Pair(0, 0, (1, 2, 3), real=True), 9, np.random.default_rng(0))
    assert track.shape == (3, 64, 64, 3)
    assert seen == [([20, 30, 40], 64, REAL_STRENGTH)]
