"""tracks: who is who from frame to frame, bounded memory, even samples; a pasted face end to end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import astronaut, moving_face

from dhhcli.faces.alignment import align, sharpness
from dhhcli.faces.detector import Face, FaceDetector
from dhhcli.faces.tracker import FaceTrack, FaceTracker, Observation, sample

CROP = np.zeros((64, 64, 3), dtype=np.uint8)


def seen(frame: int, x: float, y: float = 100, size: float = 40, score: float = 0.9, sharp: float = 50) -> Observation:
    box = np.array([x, y, x + size, y + size], dtype=np.float32)
    landmarks = np.zeros((5, 2), dtype=np.float32)
    return Observation(frame, frame * 512, Face(box, landmarks, score), CROP, sharp, None)


def frames(track: FaceTrack) -> list[int]:
    return [observation.frame for observation in track.observations]


def test_two_people_are_two_tracks_left_to_right() -> None:
    tracker = FaceTracker()
    for i in range(0, 50, 5):
        tracker.step([seen(i, 200 + i), seen(i, 20 + i)])
    left, right = tracker.finish()
    assert left.observations[0].face.box[0] == 20
    assert right.observations[0].face.box[0] == 200
    for track in (left, right):
        assert frames(track) == list(range(0, 50, 5))
        assert (track.first_frame, track.last_frame, track.detections) == (0, 45, 10)
        assert (track.first_pts, track.last_pts) == (0, 45 * 512)


def test_people_who_cross_keep_their_tracks() -> None:
    """Boxes pass over one another; the velocity says who goes where."""
    tracker = FaceTracker()
    for i in range(0, 60, 5):
        tracker.step([seen(i, 4 * i), seen(i, 240 - 4 * i, y=112)])
    tracks = tracker.finish()
    assert [track.detections for track in tracks] == [12, 12]
    for track in tracks:
        steps = np.diff([o.face.box[0] for o in track.observations])
        assert (np.sign(steps) == np.sign(steps[0])).all()


def test_fast_faces_are_held_by_the_centre_gate_and_velocity() -> None:
    tracker = FaceTracker()
    x = 0.0
    for k in range(10):
        x += min(20.0 + 4 * k, 50.0)  # from half a face a step to more than a face
        tracker.step([seen(5 * k, x)])
    assert [track.detections for track in tracker.finish()] == [10]


def test_a_jump_or_a_change_of_size_is_another_person() -> None:
    tracker = FaceTracker()
    tracker.step([seen(0, 100)])
    tracker.step([seen(5, 400)])
    tracker.step([seen(10, 380, y=80, size=90)])
    assert [track.detections for track in tracker.finish()] == [1, 1, 1]


def test_a_track_survives_short_gaps_only() -> None:
    tracker = FaceTracker()
    tracker.step([seen(0, 100)])
    for _ in range(3):
        tracker.step([])
    tracker.step([seen(20, 102)])
    for _ in range(5):
        tracker.step([])
    tracker.step([seen(50, 102)])
    assert [track.detections for track in tracker.finish()] == [2, 1]


def test_unsure_detections_go_on_but_do_not_steal() -> None:
    tracker = FaceTracker()
    tracker.step([seen(0, 100)])
    tracker.step([seen(5, 101, score=0.4), seen(5, 115)])  # the nearer one is unsure
    tracker.step([seen(10, 130, score=0.4)])
    tracks = tracker.finish()
    main = max(tracks, key=lambda track: track.detections)
    assert [o.face.box[0] for o in main.observations] == [100, 115, 130]


def test_one_unsure_detection_alone_is_dropped() -> None:
    tracker = FaceTracker()
    tracker.step([seen(0, 100, score=0.5), seen(0, 300, score=0.61), seen(0, 500, score=0.5)])
    tracker.step([seen(5, 501, score=0.5)])
    assert [(t.observations[0].face.box[0], t.detections) for t in tracker.finish()] == [(300, 1), (500, 2)]


def test_finish_ends_the_shot() -> None:
    tracker = FaceTracker()
    tracker.step([seen(0, 100)])
    assert len(tracker.finish()) == 1
    assert tracker.finish() == []
    tracker.step([seen(5, 100)])
    assert tracker.finish()[0].first_frame == 5


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 400), most=st.integers(2, 60))
def test_thinning_is_bounded_even_and_keeps_the_first(count: int, most: int) -> None:
    tracker = FaceTracker(max_observations=most)
    for i in range(count):
        tracker.step([seen(3 * i, 100)])
    (track,) = tracker.finish()
    kept = frames(track)
    assert track.detections == count
    assert track.last_frame == 3 * (count - 1)
    assert len(kept) <= most
    assert len(kept) >= min(count, most // 2)
    assert kept[0] == 0
    gaps = set(np.diff(kept).tolist())
    assert len(gaps) <= 1
    assert 3 * (count - 1) - kept[-1] < (gaps.pop() if gaps else 3 * most)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 200), m=st.integers(1, 60))
def test_sample_is_the_best_of_even_parts(count: int, m: int) -> None:
    def sharpness_of(frame: int) -> int:
        return frame * 7919 % 101

    track = FaceTrack(tuple(seen(i, 0, sharp=sharpness_of(i)) for i in range(count)), 0, count - 1, 0, 0, count)
    chosen = [o.frame for o in sample(track, m)]
    assert len(chosen) == min(count, m)
    assert chosen == sorted(set(chosen))
    if count > m:
        parts = [i * count // m for i in range(m + 1)]
        for frame, start, end in zip(chosen, parts, parts[1:], strict=False):
            part = range(start, end)
            assert frame == max(part, key=lambda i: (sharpness_of(i), -i))  # the best of each part


def test_best_weighs_score_size_and_sharpness() -> None:
    def best(*observations: Observation) -> Observation:
        return FaceTrack(observations, 0, 0, 0, 0, len(observations)).best

    plain = seen(0, 0)
    for better in (seen(1, 0, score=0.95), seen(1, 0, size=60), seen(1, 0, sharp=200)):
        assert best(plain, better) is better
        assert best(better, plain) is better
    twin = seen(1, 0)
    assert best(plain, twin) is plain
    assert best(seen(0, 0, size=200), seen(1, 0, size=900)).frame == 0


def test_a_step_is_one_frame() -> None:
    with pytest.raises(ValueError, match="several frames"):
        FaceTracker().step([seen(0, 0), seen(1, 0)])
    with pytest.raises(ValueError, match="max_observations"):
        FaceTracker(max_observations=1)
    with pytest.raises(ValueError, match="m is 0"):
        sample(FaceTrack((seen(0, 0),), 0, 0, 0, 0, 1), 0)


def test_a_face_that_moves_through_the_picture_is_one_track() -> None:
    head = astronaut()[20:240, 115:335]
    centres = [(80 + 16 * i, 110 + 2 * i) for i in range(10)]
    detector, tracker = FaceDetector(width=320), FaceTracker()
    for i, picture in enumerate(moving_face(head, centres)):
        found = []
        for face in detector.detect(picture):
            crop = align(picture, face.landmarks)
            found.append(Observation(5 * i, 5 * i, face, crop, sharpness(crop), None))
        tracker.step(found)
    (track,) = tracker.finish()
    assert track.detections == 10
    middles = np.array([(o.face.box[:2] + o.face.box[2:]) / 2 for o in track.observations])
    np.testing.assert_allclose(middles - middles[0], np.array(centres) - centres[0], atol=5)
    crops = np.stack([o.crop for o in track.observations]).astype(float)
    assert crops.std(axis=0).mean() < 15  # aligned: the same face at the same place
