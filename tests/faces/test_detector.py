"""faces: CenterFace on two portraits (place, landmarks, scale, missing faces); NMS against a loop."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import ASTRONAUT_LANDMARKS, astronaut, grace_hopper

from dhhcli.faces.alignment import TEMPLATE, align
from dhhcli.faces.detector import Face, FaceDetector, suppress


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def iou(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def only(faces: list[Face]) -> Face:
    assert len(faces) == 1
    return faces[0]


def test_the_portraits_have_one_sure_face(detector: FaceDetector) -> None:
    face = only(detector.detect(astronaut()))
    assert face.score > 0.8
    assert iou(face.box, np.array([180, 62, 271, 178], dtype=np.float32)) > 0.85
    assert np.abs(face.landmarks - ASTRONAUT_LANDMARKS).max() < 5
    assert face.size == pytest.approx(face.box[3] - face.box[1])
    assert face.box.dtype == face.landmarks.dtype == np.float32
    assert only(detector.detect(grace_hopper())).score > 0.8


def test_aligned_portraits_are_found_again_on_the_template(detector: FaceDetector) -> None:
    for picture in (astronaut(), grace_hopper()):
        crop = align(picture, only(detector.detect(picture)).landmarks, margin=8)
        again = only(detector.detect(crop))
        assert np.abs(again.landmarks - 8 - TEMPLATE).max() < 5


@pytest.mark.parametrize("factor", [0.25, 0.5, 2.0])
def test_detection_follows_the_scale(detector: FaceDetector, factor: float) -> None:
    picture = astronaut()
    whole = only(detector.detect(picture))
    scaled = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    face = only(detector.detect(scaled))
    assert iou(face.box / np.float32(factor), whole.box) > 0.8
    full = only(detector.detect(scaled, scale_to=(512, 512)))
    np.testing.assert_allclose(full.box, face.box / factor, rtol=1e-5)
    np.testing.assert_allclose(full.landmarks, face.landmarks / factor, rtol=1e-5)


def test_mirrored_picture_gives_mirrored_face(detector: FaceDetector) -> None:
    picture = astronaut()
    face = only(detector.detect(picture))
    mirrored = only(detector.detect(np.ascontiguousarray(picture[:, ::-1])))
    back = (mirrored.landmarks * (-1, 1) + (511, 0))[[1, 0, 2, 4, 3]]
    assert np.abs(back - face.landmarks).max() < 6
    assert mirrored.landmarks[0, 0] < mirrored.landmarks[1, 0]


@pytest.mark.parametrize("shape", [(1200, 300), (300, 1200), (900, 700)])
def test_any_aspect_and_place(detector: FaceDetector, shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 100, dtype=np.uint8)
    head = astronaut()[30:230, 130:330]
    top, left = shape[0] - 210, shape[1] - 210
    picture[top : top + 200, left : left + 200] = head
    face = detector.detect(picture)[0]
    expected = np.array([180 - 130 + left, 62 - 30 + top, 271 - 130 + left, 178 - 30 + top], dtype=np.float32)
    assert iou(face.box, expected) > 0.7
    assert (face.box >= 0).all()
    assert (face.box <= (shape[1], shape[0]) * 2).all()


@pytest.mark.parametrize("cut", [0.2, 0.25])
def test_faces_larger_than_the_frame_are_found_by_looking_again(
    detector: FaceDetector, monkeypatch: pytest.MonkeyPatch, cut: float
) -> None:
    picture = astronaut()
    whole = only(detector.detect(picture))
    x0, y0, x1, y1 = (round(float(v)) for v in whole.box)
    left, top = x0 + round(cut * (x1 - x0)), y0 + round(cut * (y1 - y0))
    right, bottom = x1 - (left - x0), y1 - (top - y0)
    close = cv2.resize(picture[top:bottom, left:right], None, fx=10, fy=10, interpolation=cv2.INTER_CUBIC)
    face = detector.detect(close)[0]
    assert face.score > 0.5
    assert np.abs(face.landmarks / 10 + (left, top) - whole.landmarks).max() < 18  # of 116
    assert (face.box >= 0).all()
    assert (face.box[2:] <= (close.shape[1], close.shape[0])).all()
    monkeypatch.setattr("dhhcli.faces.detector.SURE", -1.0)
    assert all(face.score < 0.5 for face in detector.detect(close))


def test_the_network_is_fed_rgb(detector: FaceDetector) -> None:
    for picture in (astronaut(), grace_hopper()):
        right, wrong = (only(detector.detect(p)).score for p in (picture, picture[:, :, ::-1]))
        assert right > wrong


def test_several_faces_come_in_order_of_score(detector: FaceDetector) -> None:
    left, right = astronaut()[:400, :400], grace_hopper()[60:460, :400]
    faces = detector.detect(np.concatenate([left, right], axis=1))
    assert len(faces) == 2
    assert faces[0].score >= faces[1].score
    assert sorted(face.box[0] > 400 for face in faces) == [False, True]


def test_no_face_in_noise_plain_and_empty_pictures(detector: FaceDetector) -> None:
    rng = np.random.default_rng(0)
    assert detector.detect(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)) == []
    assert detector.detect(np.zeros((240, 320, 3), dtype=np.uint8)) == []
    assert detector.detect(np.zeros((1, 1, 3), dtype=np.uint8)) == []
    assert detector.detect(np.zeros((0, 5, 3), dtype=np.uint8)) == []
    with pytest.raises(ValueError, match="expected"):
        detector.detect(np.zeros((5, 5), dtype=np.uint8))


def test_detection_is_deterministic(detector: FaceDetector) -> None:
    first, second = (only(d.detect(astronaut())) for d in (detector, FaceDetector()))
    assert np.array_equal(first.box, second.box)
    assert np.array_equal(first.landmarks, second.landmarks)
    assert first.score == second.score


# no ratio of two areas of these small integers, so that rounding cannot decide
OVERLAP = 0.29731


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 40)] * 4, st.integers(0, 5)), max_size=14))
def test_suppress_is_the_plain_loop(rows: list[tuple[int, ...]]) -> None:
    boxes = np.array([(x, y, x + w + 1, y + h + 1) for x, y, w, h, _ in rows], dtype=np.float32).reshape(-1, 4)
    scores = np.array([row[4] / 5 for row in rows], dtype=np.float32)
    kept: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: (-scores[i], boxes[i, 0], boxes[i, 1], i)):
        if all(iou(boxes[i], boxes[j]) <= OVERLAP for j in kept):
            kept.append(i)
    assert suppress(boxes, scores, OVERLAP).tolist() == kept
