"""research/datasets/augmentation.py: what a shot has in common, what drifts, and that nothing else happens."""

import numpy as np
import pytest

from dhhcli.base.arrays import Picture
from dhhcli.research.datasets.augmentation import centre, draw_look, imitate_frames, imitate_shot


def noise(seed: int = 0) -> Picture:
    """Any geometric error and any blur shows on it."""
    return np.random.default_rng(seed).integers(0, 256, (80, 80, 3), dtype=np.uint8)


def halves() -> Picture:
    """Dark on the left, light on the right."""
    picture = np.full((80, 80, 3), 70, np.uint8)
    picture[:, 40:] = 170
    return picture


def blob() -> Picture:
    """A light disc in the very middle."""
    y, x = np.mgrid[:80, :80] - 39.5
    grey = 20 + 200 * np.exp(-(x**2 + y**2) / (2 * 12.0**2))
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def seed_of(*, mirrored: bool, start: int = 0) -> int:
    return next(s for s in range(start, start + 99) if draw_look(np.random.default_rng(s), 0.0).mirrored is mirrored)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_a_seed_decides_everything(strength: float) -> None:
    first = imitate_frames(noise(), 4, np.random.default_rng(3), strength=strength)
    again = imitate_frames(noise(), 4, np.random.default_rng(3), strength=strength)
    other = imitate_frames(noise(), 4, np.random.default_rng(4), strength=1.0)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("size", [32, 40, 52, 64])
@pytest.mark.parametrize("m", [1, 5])
def test_sizes(m: int, size: int) -> None:
    for seed in range(6):
        frames = imitate_frames(noise(), m, np.random.default_rng(seed), size=size)
        assert frames.shape == (m, size, size, 3)
        assert frames.dtype == np.uint8


def test_the_picture_itself_is_left_alone() -> None:
    picture = noise()
    for seed in range(10):
        imitate_frames(picture, 2, np.random.default_rng(seed))
    np.testing.assert_array_equal(picture, noise())


def test_strength_zero_is_the_untouched_photo_or_its_mirror_image() -> None:
    picture = noise()
    mirrored = 0
    for seed in range(60):  # enough to meet whatever happens once in twelve frames
        look = draw_look(np.random.default_rng(seed), 0.0)
        mirrored += look.mirrored
        expected = centre(picture[:, ::-1] if look.mirrored else picture)
        for frame in imitate_frames(picture, 3, np.random.default_rng(seed), strength=0.0):
            assert np.abs(frame.astype(int) - expected).max() <= 1
    assert 10 < mirrored < 50


def test_centre_is_the_middle_64() -> None:
    np.testing.assert_array_equal(centre(noise()), noise()[8:72, 8:72])
    assert centre(noise(), 40).shape == (40, 40, 3)


@pytest.mark.parametrize("size", [16, 32, 40, 64])
def test_a_smaller_size_keeps_the_middle_in_the_middle(size: int) -> None:
    for mirrored in (False, True):
        rng = np.random.default_rng(seed_of(mirrored=mirrored))
        frame = imitate_frames(blob(), 1, rng, size=size, strength=0.0)[0, :, :, 0].astype(float)
        weight = frame - frame.min()
        y, x = np.mgrid[:size, :size]
        middle = (size - 1) / 2
        assert (weight * x).sum() / weight.sum() == pytest.approx(middle, abs=0.1)
        assert (weight * y).sum() / weight.sum() == pytest.approx(middle, abs=0.1)


def test_small_faces_are_not_off_centre() -> None:
    """Faces filmed small are shrunk and enlarged again: on average they stay where they were."""
    shifts = []
    for seed in range(400):
        look = draw_look(np.random.default_rng(seed))
        if look.side < 30 and not look.noise:
            frames = imitate_frames(blob(), 8, np.random.default_rng(seed)).astype(float).mean(axis=3)
            weight = frames - frames.min(axis=(1, 2), keepdims=True)
            at = (weight * np.arange(64)).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))
            shifts.append(at.mean() - 31.5)
    assert len(shifts) > 20
    assert abs(np.mean(shifts)) < 3.5 * np.std(shifts) / np.sqrt(len(shifts))
    assert abs(np.mean(shifts)) < 0.8


def test_a_whole_shot_is_mirrored_or_none_of_it() -> None:
    sides = set()
    for seed in range(30):
        frames = imitate_frames(halves(), 12, np.random.default_rng(seed)).astype(float)
        lighter_right = frames[:, :, 44:].mean(axis=(1, 2, 3)) > frames[:, :, :20].mean(axis=(1, 2, 3))
        assert lighter_right.all() or not lighter_right.any()
        assert lighter_right[0] != draw_look(np.random.default_rng(seed)).mirrored
        sides.add(bool(lighter_right[0]))
    assert sides == {True, False}


def test_the_colour_of_the_light_belongs_to_the_shot() -> None:
    """On a grey picture the ratio of the channels is the tint: one in a shot, others in other shots."""
    grey = np.full((80, 80, 3), 110, np.uint8)
    ratios = []
    for seed in range(40):
        look = draw_look(np.random.default_rng(seed))
        if look.noise or look.jpeg or look.saturation == 0:
            continue
        frames = imitate_frames(grey, 10, np.random.default_rng(seed)).astype(float).mean(axis=(1, 2))
        if frames.max() > 250 or frames.min() < 40:
            continue
        ratio = frames[:, 0] / frames[:, 2]
        assert np.ptp(ratio) < 0.05
        ratios.append(ratio.mean())
    assert len(ratios) >= 5
    assert np.ptp(ratios) > 0.05


def test_frames_of_a_shot_differ_and_neighbours_differ_less() -> None:
    near, far = [], []
    for seed in range(40):
        if draw_look(np.random.default_rng(seed)).noise:
            continue
        frames = imitate_frames(blob(), 12, np.random.default_rng(seed)).astype(float)
        near.append(np.abs(frames[1:] - frames[:-1]).mean())
        far.append(np.abs(frames[8:] - frames[:-8]).mean())
    assert min(near) > 0
    assert np.mean(near) < 0.8 * np.mean(far)


def test_looks_stay_within_their_limits() -> None:
    for seed in range(300):
        look = draw_look(np.random.default_rng(seed))
        assert look.side == 64 or 18 <= look.side < 48
        assert look.jpeg == 0 or 20 <= look.jpeg < 80
        assert look.gamma > 0
        assert look.gain > 0
        assert len(look.tint) == 3


def test_a_shot_of_pictures_has_one_look_and_keeps_its_order() -> None:
    """Untouched but for the mirror: every picture in its place, all mirrored or none."""
    pictures = np.stack([noise(seed) for seed in range(4)])
    for mirrored in (False, True):
        shot = imitate_shot(pictures, np.random.default_rng(seed_of(mirrored=mirrored)), strength=0.0)
        expected = np.stack([centre(picture[:, ::-1] if mirrored else picture) for picture in pictures])
        np.testing.assert_array_equal(shot, expected)


def test_frames_of_a_photo_are_a_shot_of_it_repeated() -> None:
    shot = imitate_shot(np.stack([blob()] * 3), np.random.default_rng(5))
    np.testing.assert_array_equal(imitate_frames(blob(), 3, np.random.default_rng(5)), shot)
