"""learning/batches.py: who is drawn, and that a still is never part of its own track."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.imitation import centre
from dhhcli.learning.batches import Pair, draw_frames, draw_pairs, rows_by_person
from dhhcli.packs import FacePack

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

    monkeypatch.setattr("dhhcli.learning.batches.imitate_frames", untouched)
    still, track = draw_frames(pack, Pair(1, 5, (4, 7)), 3, np.random.default_rng(0))
    assert still[0, 0, 0] == 60
    assert track[:, 0, 0, 0].tolist() == [50, 80]
    _, shot = draw_frames(pack, Pair(1, 5, (6,)), 3, np.random.default_rng(0))
    assert shot[:, 0, 0, 0].tolist() == [70, 70, 70]
