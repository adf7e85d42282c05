"""Tracks that are no faces fall away, tracks of two people are cut; nothing else is lost."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import astronaut, grace_hopper, write_video

from dhhcli.encoding.one_person import cut_places, parts_of
from dhhcli.encoding.video import encode_video
from dhhcli.errors import WeightsError
from dhhcli.faces.alignment import align
from dhhcli.faces.detector import Face, FaceDetector
from dhhcli.faces.doubt import DOUBTFUL, LOOKS, shows_a_face
from dhhcli.faces.tracker import FaceTrack, Observation
from dhhcli.models.binary_codes import hamming
from dhhcli.models.network import Network, load_network
from dhhcli.models.weights import load_weights, resolve_weights

Array = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(film=True)


def observation(frame: int, crop: npt.NDArray[np.uint8] | None = None, score: float = 0.9) -> Observation:
    box = np.array([10, 10, 50, 50], np.float32)
    face = Face(box, np.zeros((5, 2), np.float32), score)
    return Observation(frame, 10 * frame, face, np.zeros((64, 64, 3), np.uint8) if crop is None else crop, 50.0, None)


def track(*seen: Observation) -> FaceTrack:
    first, last = seen[0], seen[-1]
    return FaceTrack(seen, first.frame, last.frame + 2, first.pts, last.pts + 20, len(seen) + 1)


# ------------------------------------------------------------------------------------------------ no faces


def poor(picture: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (64, 64), interpolation=cv2.INTER_LINEAR), np.uint8)


def test_what_is_no_face_in_its_own_crop_falls_away() -> None:
    detector = FaceDetector(quick=True)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    pattern = cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)
    hair = np.ascontiguousarray(grace_hopper()[:64, :64])
    for nothing in (pattern, hair, np.full((64, 64, 3), 127, np.uint8)):
        assert not shows_a_face(track(*(observation(i, nothing, 0.5) for i in range(3))), detector)
    for picture in (astronaut(), grace_hopper()):
        crop = align(picture, FaceDetector().detect(picture)[0].landmarks, margin=8)
        middle = crop[8:-8, 8:-8]
        for side in (64, 32, 16):
            assert shows_a_face(track(observation(0, poor(middle, side), 0.4)), detector)
        dark = (middle * 0.3).astype(np.uint8)
        assert shows_a_face(track(observation(0, pattern, 0.4), observation(1, dark, 0.4)), detector)
        assert shows_a_face(track(observation(0, crop, 0.4)), detector, margin=8)


def test_only_doubtful_tracks_cost_a_look() -> None:
    looks: list[int] = []

    def peak(crop: npt.NDArray[np.uint8]) -> float:
        looks.append(crop.shape[0])
        return 0.0

    detector: Any = SimpleNamespace(peak=peak)
    assert shows_a_face(track(observation(0, score=0.3), observation(1, score=DOUBTFUL)), detector)
    assert looks == []
    assert not shows_a_face(track(*(observation(i, score=0.59) for i in range(50))), detector)
    assert looks == [64] * LOOKS


# ------------------------------------------------------------------------------------------------ two people


def slow_cuts(features: Array, least: float, first: int = 0) -> list[int]:
    """Frame by frame, as cut_places is described."""

    def mean(part: Array) -> npt.NDArray[np.float64]:
        total = sum((row[:-1].astype(np.float64) * float(row[-1]) for row in part), np.zeros(features.shape[1] - 1))
        return np.asarray(total / max(float(np.linalg.norm(total)), 1e-9))

    found = [(float(mean(features[:k]) @ mean(features[k:])), k) for k in range(1, len(features))]
    if not found or min(found)[0] >= least:
        return []
    _, k = min(found)
    return [*slow_cuts(features[:k], least, first), first + k, *slow_cuts(features[k:], least, first + k)]


def of_people(rng: np.random.Generator, counts: list[int], noise: float) -> Array:
    """Features of so many frames of one person after the other, laid out with their weights."""
    people = np.linalg.qr(rng.normal(size=(16, len(counts))))[0].T
    rows = np.repeat(people, counts, axis=0) + rng.normal(size=(sum(counts), 16)) * noise / 4
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    weight = rng.uniform(0.5, 1.1, (len(rows), 1))
    return np.concatenate([rows * weight, weight], axis=1).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), counts=st.lists(st.integers(1, 6), min_size=1, max_size=4), noise=st.floats(0, 1.5))
def test_cuts_are_those_of_the_slow_way(seed: int, counts: list[int], noise: float) -> None:
    features = of_people(np.random.default_rng(seed), counts, noise)
    assert cut_places(features, 0.3) == slow_cuts(features, 0.3)


def test_a_track_is_cut_where_the_person_changes_and_nowhere_else() -> None:
    rng = np.random.default_rng(1)
    assert cut_places(of_people(rng, [12], 1.0), 0.3) == []
    assert cut_places(of_people(rng, [5, 7], 0.7), 0.3) == [5]
    assert cut_places(of_people(rng, [3, 1, 4], 0.5), 0.3) == [3, 4]
    assert cut_places(of_people(rng, [1], 0.5), 0.3) == []
    assert cut_places(np.zeros((4, 17), np.float32), 0.3) == [1, 2, 3]  # nothing is known of nothing: no crash


def test_parts_share_out_what_was_seen() -> None:
    seen = [observation(frame, score=0.5) for frame in range(0, 80, 2)]
    whole = track(*seen)
    sampled = seen[::4]
    assert parts_of(whole, sampled, []) == [(whole, slice(0, 10))]
    parts = parts_of(whole, sampled, [3, 4])
    assert [frames for _, frames in parts] == [slice(0, 3), slice(3, 4), slice(4, 10)]
    assert [one.frame for part, _ in parts for one in part.observations] == [one.frame for one in seen]
    assert [(part.first_frame, part.last_frame) for part, _ in parts] == [(0, 22), (24, 30), (32, 80)]
    assert [(part.first_pts, part.last_pts) for part, _ in parts] == [(0, 220), (240, 300), (320, 800)]
    assert [part.detections for part, _ in parts] == [12, 4, 24]


def test_a_part_of_one_unsure_look_falls_away() -> None:
    one, two, three = observation(0, score=0.7), observation(1, score=0.5), observation(2, score=0.8)
    assert [frames for _, frames in parts_of(track(one, two, three), [one, two, three], [1, 2])] == [
        slice(0, 1),
        slice(2, 3),
    ]
    four = observation(3, score=0.5)
    assert parts_of(track(two, four), [two, four], [1]) == []


def test_who_takes_the_others_place_in_a_film_has_a_track_of_their_own(network: Network, tmp_path: Path) -> None:
    """The same picture but for the face, so there is no cut; the other face is where the first one was."""

    def head(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        x0, y0, x1, y1 = FaceDetector().detect(picture)[0].box
        side = 1.3 * max(x1 - x0, y1 - y0)
        x, y = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
        left, top = max(0, round(x)), max(0, round(y))
        cut = picture[top : top + round(side), left : left + round(side)]
        return np.asarray(cv2.resize(cut, (80, 80), interpolation=cv2.INTER_AREA), np.uint8)

    ground = cv2.resize(np.random.default_rng(2).integers(60, 120, (5, 8, 3), dtype=np.uint8), (640, 360))
    pictures = []
    for face in (head(astronaut()), head(grace_hopper())):
        picture = ground.copy()
        picture[140:220, 280:360] = face
        pictures += [picture] * 30
    made = encode_video(write_video(tmp_path / "a.mp4", pictures, rate=10), network)
    assert len(made.shots) == 1
    assert made.tracks["start_frame"].tolist()[0] == 0
    assert len(made.tracks) == 2
    first, second = made.tracks
    assert first["end_frame"] <= second["start_frame"]
    assert abs(int(second["start_frame"]) - 30) <= 5
    assert hamming(made.codes[:1], made.codes[1:])[0, 0] > 32  # of 128


def test_a_record_says_how_alike_one_person_is() -> None:
    weights = load_weights(resolve_weights("dhh-48"))
    assert weights.one_person == 0.3

    def said(value: object) -> float | None:
        return replace(weights, record={"model": {"one_person": value}}).one_person

    assert said(None) is None
    for bad in ("0.3", 2, [0.3], float("nan")):
        with pytest.raises(WeightsError, match="one_person is"):
            said(bad)
