"""looks: pauses grow while nothing changes, a change or a cut brings them back, small looks only for large faces."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.faces.detector import Face
from dhhcli.faces.schedule import LONGEST, SHORTEST, SMALL_WIDTH, LookSchedule, same_faces


def face(x: float, size: float = 300, score: float = 0.9) -> Face:
    box = np.array([x, 100, x + size, 100 + size], dtype=np.float32)
    return Face(box, np.zeros((5, 2), np.float32), score)


def times(looks: LookSchedule, shown: list[list[Face]], start: int = 0) -> list[int]:
    """Frames at 25 a second that are looked at; ``shown``: what frame by frame there is to see."""
    seen = []
    for i, faces in enumerate(shown, start):
        if looks.due(Fraction(i, 25)):
            seen.append(i)
            looks.seen(Fraction(i, 25), faces)
    return seen


def test_pauses_grow_from_a_fifth_to_half_a_second_while_nothing_changes() -> None:
    assert times(LookSchedule(1280), [[face(100)]] * 60) == [0, 5, 13, 25, 37, 49]
    assert times(LookSchedule(1280), [[]] * 40) == [0, 5, 13, 25, 37]


@pytest.mark.parametrize("change", [[], [face(100), face(800)], [face(300)]], ids=["gone", "new", "moved"])
def test_a_change_makes_looks_frequent_again(change: list[Face]) -> None:
    assert times(LookSchedule(1280), [[face(100)]] * 25 + [change] * 25) == [0, 5, 13, 25, 30, 38]


def test_unsure_faces_come_and_go_without_haste() -> None:
    assert times(LookSchedule(1280), [[face(100)], [face(100), face(800, score=0.4)]] * 20) == [0, 5, 13, 25, 37]


def test_a_cut_is_looked_at_at_once_and_fully() -> None:
    looks = LookSchedule(1280)
    times(looks, [[face(100)]] * 22)
    looks.restart()
    assert (looks.width, looks.again) == (512, True)
    assert times(looks, [[face(100)]] * 20, start=22) == [22, 27, 35]


@pytest.mark.parametrize(("side", "full"), [(320, 512), (1280, 512), (1920, 768), (3840, 1536), (7680, 1920)])
def test_a_full_look_keeps_a_face_of_forty_pixels_at_sixteen(side: int, full: int) -> None:
    assert LookSchedule(side).width == full


def test_every_second_look_is_small_where_faces_are_large_and_still() -> None:
    def widths(size: float) -> list[int]:
        looks, used = LookSchedule(1280), []
        for i in range(6):
            used.append(looks.width)
            looks.seen(Fraction(i, 2), [face(100, size)])
        return used

    small = SMALL_WIDTH
    assert widths(200) == [512, 512, small, 512, small, 512]
    assert widths(100) == [512] * 6


def test_smaller_copies_are_looked_at_after_something_sure_and_now_and_then() -> None:
    looks, used = LookSchedule(1280), []
    for i in range(14):
        used.append(looks.again)
        looks.seen(Fraction(i), [face(100)] if i < 3 else [face(100, score=0.5)])
    assert [i for i, again in enumerate(used) if again] == [0, 1, 2, 3, 7, 11]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(0, 900), max_size=3), min_size=30, max_size=80))
def test_no_half_second_passes_without_a_look(places: list[list[float]]) -> None:
    found = times(LookSchedule(1280), [[face(x) for x in xs] for xs in places])
    pauses = np.diff([*found])
    assert found[0] == 0
    assert (pauses >= SHORTEST * 25).all()
    assert (pauses <= LONGEST * 25 + 1).all()
    assert len(places) - found[-1] <= LONGEST * 25 + 1


def test_same_faces_matches_both_ways() -> None:
    assert same_faces([], [])
    assert same_faces([face(100)], [face(120)])
    assert not same_faces([face(100)], [])
    assert not same_faces([], [face(100)])
    assert not same_faces([face(100)], [face(100), face(700)])
    assert same_faces([face(100), face(700, score=0.5)], [face(100)])


@pytest.mark.parametrize(("count", "pause"), [(20, SHORTEST), (60, SHORTEST), (90, Fraction(3, 10)), (200, LONGEST)])
def test_a_crowd_is_looked_at_less_often(count: int, pause: Fraction) -> None:
    """About 300 faces a second, and never longer than where nothing changes."""
    looks = LookSchedule(1920)
    for number in range(5):  # other faces every time
        time = Fraction(number)
        assert looks.due(time)
        looks.seen(time, [face(100 * one + 37 * number * one, 100) for one in range(count)])
        assert not looks.due(time + pause - Fraction(1, 1000))
        assert looks.due(time + pause)
