"""Dense scenes: fewer crops of each face where there are many, and no face lost."""

import cv2
import numpy as np
import pytest
from synthetic import astronaut, grace_hopper, scene

from dhhcli.encoding.track_codes import CROWD, FRAMES_A_CODE, LEAST_CROPS, crops_of
from dhhcli.faces.detector import Face, FaceDetector
from dhhcli.faces.schedule import LookSchedule
from dhhcli.faces.tracker import FaceTrack, Observation


def track(crowd: int) -> FaceTrack:
    face = Face(np.array([0, 0, 40, 40], np.float32), np.zeros((5, 2), np.float32), 0.9)
    seen = [Observation(n, n, face, np.zeros((64, 64, 3), np.uint8), 1.0, None, crowd=crowd) for n in range(40)]
    return FaceTrack(tuple(seen), 0, 39, 0, 39, 40)


@pytest.mark.parametrize(("crowd", "crops"), [(1, 30), (CROWD, 30), (80, 15), (200, LEAST_CROPS), (5000, LEAST_CROPS)])
def test_crops_of_a_track_by_the_crowd(crowd: int, crops: int) -> None:
    assert crops_of(track(crowd)) == crops <= FRAMES_A_CODE


def test_a_look_finds_200_faces_of_40_pixels() -> None:
    picture = cv2.resize(scene(2), (1920, 1080), interpolation=cv2.INTER_CUBIC)
    places = [(8 + 94 * column, 12 + 105 * row) for row in range(10) for column in range(20)]
    for number, (x, y) in enumerate(places):
        portrait, face = (astronaut(), 116) if number % 2 else (grace_hopper(), 215)
        small = cv2.resize(portrait, None, fx=42 / face, fy=42 / face, interpolation=cv2.INTER_AREA)[:90, :90]
        picture[y : y + small.shape[0], x : x + small.shape[1]] = small[: 1080 - y, : 1920 - x]
    looks = LookSchedule(1920)
    faces = FaceDetector(quick=True).detect(np.asarray(picture, np.uint8), width=looks.width)
    middles = np.array([(face.box[:2] + face.box[2:]) / 2 for face in faces])
    near = [np.abs(middles - (x + 45, y + 35)).max(axis=1) < 45 for x, y in places]
    assert sum(bool(one.any()) for one in near) >= 195
