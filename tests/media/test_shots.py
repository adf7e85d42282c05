"""shots: hard cuts, flashes, dissolves and fades on synthetic scenes; nothing where nothing is."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import dissolve, frame_of, scene, write_video

from dhhcli.base.arrays import Picture
from dhhcli.media.shots import (
    CUT,
    Shot,
    ShotDetector,
    change,
    correlation,
    dissolve_quality,
    is_blended_cut,
    is_grey_cut,
)
from dhhcli.media.video import open_video


def split(pictures: list[Picture], frame_rate: Fraction | None = None) -> list[Shot]:
    """Run the detector, checking on the way that what is settled never changes."""
    detector = ShotDetector(frame_rate)
    shots: list[Shot] = []
    claimed: dict[int, int] = {}  # frame -> number of boundaries at or before it, when it was settled
    settled = 0
    for i, picture in enumerate(pictures):
        shots += detector.push(frame_of(picture, i, pts=10 * i, duration=10))
        assert settled <= detector.settled <= i + 1
        assert i + 1 - detector.settled <= 29 * detector.stride
        for frame in range(settled, detector.settled):
            claimed[frame] = sum(shot.end_frame <= frame for shot in shots)
        settled = detector.settled
    shots += detector.finish()
    for frame, boundaries in claimed.items():
        assert boundaries == sum(shot.end_frame <= frame for shot in shots)
    assert detector.settled == len(pictures)
    if pictures:
        assert [shot.number for shot in shots] == list(range(1, len(shots) + 1))
        assert shots[0].start_frame == 0
        assert shots[-1].end_frame == len(pictures)
        for a, b in pairwise(shots):
            assert a.end_frame == b.start_frame
            assert a.end_pts == b.start_pts
        for shot in shots:
            assert (shot.start_pts, shot.end_pts) == (10 * shot.start_frame, 10 * shot.end_frame)
    return shots


def starts(pictures: list[Picture], frame_rate: Fraction | None = None) -> list[int]:
    return [shot.start_frame for shot in split(pictures, frame_rate)][1:]


def noisy(picture: Picture, seed: int) -> Picture:
    noise = np.random.default_rng(seed).normal(scale=4, size=picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(8, 30), min_size=1, max_size=5))
def test_hard_cuts_are_found_exactly(lengths: list[int]) -> None:
    pictures = [noisy(scene(k), i) for k, length in enumerate(lengths) for i in range(length)]
    assert starts(pictures) == np.cumsum(lengths)[:-1].tolist()


@pytest.mark.parametrize("count", [8, 12, 16, 20, 25, 30])
@pytest.mark.parametrize("seed", [0, 2, 4])
def test_dissolves_are_found_near_their_middle(count: int, seed: int) -> None:
    first, last = scene(seed), scene(seed + 1)
    pictures = [first] * 40 + dissolve(first, last, count) + [last] * 40
    found = starts([noisy(picture, i) for i, picture in enumerate(pictures)])
    assert len(found) == 1
    assert abs(found[0] - (40 + count / 2)) <= count / 4 + 2


@pytest.mark.parametrize("seed", [0, 2, 4, 6])
def test_a_very_long_dissolve_is_at_most_one_boundary(seed: int) -> None:
    first, last = scene(seed), scene(seed + 1)
    found = starts([first] * 40 + dissolve(first, last, 50) + [last] * 40)
    assert len(found) <= 1
    assert all(abs(frame - 65) <= 10 for frame in found)


def test_dissolves_at_fifty_frames_a_second() -> None:
    first, last = scene(0), scene(1)
    pictures = [first] * 80 + dissolve(first, last, 50) + [last] * 80
    found = starts(pictures, Fraction(50))
    assert len(found) == 1
    assert abs(found[0] - 105) <= 10


def test_a_cut_and_a_dissolve_in_a_row() -> None:
    a, b, c = scene(0), scene(1), scene(2)
    found = starts([a] * 30 + [b] * 30 + dissolve(b, c, 16) + [c] * 12 + [a] * 30)
    assert len(found) == 3
    assert (found[0], found[2]) == (30, 88)
    assert abs(found[1] - 68) <= 4


def grey(picture: Picture, contrast: float) -> Picture:
    one = picture.mean(axis=2, keepdims=True) * contrast + 128 * (1 - contrast)
    return np.repeat(one.astype(np.uint8), 3, axis=2)


def test_cuts_of_black_and_white_footage_are_found() -> None:
    pictures = [grey(noisy(scene(k), 100 * k + i), 0.8) for k in range(8) for i in range(20)]
    assert starts(pictures) == list(range(20, 160, 20))


@pytest.mark.parametrize("weight", [0.33, 0.5, 0.67])
def test_a_cut_with_one_mixed_frame_is_found(weight: float) -> None:
    """Neither half of such a cut reaches the threshold."""
    a, b = grey(scene(2), 0.8), grey(scene(3), 0.8)
    mixed = (a * (1 - weight) + b * weight).astype(np.uint8)
    found = starts([a] * 30 + [mixed] + [b] * 30)
    assert len(found) == 1
    assert found[0] in (30, 31)


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_flash_is_no_cut(length: int) -> None:
    white = np.full_like(scene(0), 255)
    assert starts([scene(0)] * 30 + [white] * length + [scene(0)] * 30) == []
    assert starts([scene(0)] * 30 + [white] * length + [scene(1)] * 30) == [30]


def test_fades_through_black_separate_the_scenes() -> None:
    a, b, black = scene(0), scene(1), np.zeros_like(scene(0))
    pictures = [a] * 40 + dissolve(a, black, 20) + [black] * 20 + dissolve(black, b, 20) + [b] * 40
    found = starts(pictures)
    assert 1 <= len(found) <= 2
    assert all(40 < frame < 100 for frame in found)


def test_camera_moves_and_changes_of_light_are_no_cuts() -> None:
    wide = scene(7, width=480)
    assert starts([wide[:, 2 * i : 2 * i + 160] for i in range(150)]) == []
    large = scene(8, width=320, height=192)
    zoom = [large[i : 192 - i, round(i / 0.6) : 320 - round(i / 0.6)] for i in range(60)]
    assert starts([cv2.resize(picture, (160, 96)) for picture in zoom]) == []
    light = [1 - 0.6 * min(max(i - 40, 0), 20) / 20 for i in range(100)]
    assert starts([(scene(0) * factor).astype(np.uint8) for factor in light]) == []


def test_dark_noise_is_one_shot() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 6, (96, 160, 3)).astype(np.uint8) for _ in range(60)]
    assert starts(pictures) == []


def test_the_shortest_videos() -> None:
    assert split([]) == []
    assert split([scene(0)]) == [Shot(1, 0, 1, 0, 10)]
    assert len(split([scene(0)] * 3)) == 1


def test_frames_must_follow_one_another() -> None:
    detector = ShotDetector()
    detector.push(frame_of(scene(0), 0))
    with pytest.raises(ValueError, match="expected frame 1"):
        detector.push(frame_of(scene(0), 2))


def test_the_last_shot_ends_a_step_after_the_last_frame_where_durations_are_unknown() -> None:
    detector = ShotDetector()
    for i, pts in enumerate([0, 7, 20]):
        detector.push(frame_of(scene(0), i, pts, duration=0))
    assert detector.finish() == [Shot(1, 0, 3, 0, 33)]


def test_a_coded_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [scene(i // 20) for i in range(60)])
    with open_video(path) as video:
        detector = ShotDetector(video.info.frame_rate)
        shots = [shot for frame in video.frames() for shot in detector.push(frame)] + detector.finish()
        assert [shot.start_frame for shot in shots] == [0, 20, 40]
        assert [shot.end_pts * video.info.time_base for shot in shots] == [Fraction(i, 25) for i in (20, 40, 60)]


def test_dissolve_quality() -> None:
    a, b = (scene(seed)[:, :, 0].astype(np.float32) for seed in (0, 1))
    half = ((a + b) / 2).astype(np.float32)
    fifth = ((a * 4 + b) / 5).astype(np.float32)
    quality = dissolve_quality(a, half, b)
    assert quality == pytest.approx(float(np.abs(b - a).mean()) * (1 - correlation(a, b)), rel=1e-3)
    assert dissolve_quality(a, a, b) is None  # a hard cut
    assert dissolve_quality(a, fifth, b) is None  # lopsided
    darker = [(a * factor).astype(np.float32) for factor in (0.7, 0.4)]
    assert dissolve_quality(a, *darker) is None  # the light goes down
    assert dissolve_quality(a, a, a) is None
    assert is_blended_cut(a, half, b)
    assert not is_blended_cut(a, a, b)
    assert not is_blended_cut(a, a, a)
    assert correlation(a, b) == pytest.approx(float(np.corrcoef(a.ravel(), b.ravel())[0, 1]), abs=1e-5)
    assert correlation(a, np.zeros_like(a)) == 0.0
    assert is_grey_cut(a, b)
    assert not is_grey_cut(a, half)


@pytest.mark.parametrize("seed", range(4))
def test_the_change_of_colour_is_that_of_scenedetect(seed: int) -> None:
    from scenedetect.common import FrameTimecode
    from scenedetect.detectors.content_detector import ContentDetector

    theirs = ContentDetector(threshold=CUT, min_scene_len=0)
    a, b = noisy(scene(seed), 0), noisy(scene(seed + 1), 1)
    weights = [0.0, 0.2, 0.3, 0.35, 0.9, 1.0]
    pictures = [cv2.resize((a * (1 - w) + b * w).astype(np.uint8), (64, 36)) for w in weights]
    cuts = [bool(theirs.process_frame(FrameTimecode(i, 25.0), picture)) for i, picture in enumerate(pictures)]
    hues = [np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV), np.uint8) for picture in pictures]
    assert [change(x, y) >= CUT for x, y in pairwise(hues)] == cuts[1:]
    assert any(cuts)
    assert not all(cuts[1:])
