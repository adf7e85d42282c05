"""Pictures as players show them: sizes that change, mirrored matrices, the film among several picture streams."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream
from synthetic import numbered, read_number, scene, write_video
from video_files import CASES, write_stream

from dhhcli.base.arrays import Picture
from dhhcli.encoding.video import encode_video
from dhhcli.faces.detector import FaceDetector
from dhhcli.faces.scan import shot_tracks
from dhhcli.media.frame import Frame
from dhhcli.media.sample import portraits
from dhhcli.media.video import open_video
from dhhcli.models.network import load_network

given = pytest.mark.skipif(not CASES.is_dir(), reason="needs the files of the optional folder ../shared/cases")
# (a, b, c, d) of a display matrix, x' = a x + c y, y' = b x + d y -> what it does to a picture
MATRICES = {
    (1, 0, 0, 1): lambda picture: picture,
    (0, 1, -1, 0): lambda picture: np.rot90(picture, -1),
    (-1, 0, 0, -1): lambda picture: np.rot90(picture, 2),
    (0, -1, 1, 0): lambda picture: np.rot90(picture),
    (-1, 0, 0, 1): lambda picture: picture[:, ::-1],
    (1, 0, 0, -1): lambda picture: picture[::-1],
    (0, 1, 1, 0): lambda picture: picture.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda picture: np.rot90(picture, 2).transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_display_matrices_turn_and_mirror(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    plain = write_video(tmp_path / "plain.mp4", [scene(3)] * 3)
    data = bytearray(plain.read_bytes())
    at = data.index(b"tkhd") + 44
    a, b, c, d = (one << 16 for one in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(data)
    with open_video(plain) as video:
        picture = next(video.frames()).bgr()
    with open_video(tmp_path / "turned.mp4") as video:
        frame = next(video.frames())
        expected = MATRICES[matrix](picture)
        assert frame.size == expected.shape[1::-1] == (video.info.width, video.info.height)
        np.testing.assert_array_equal(frame.bgr(), expected)
        small = frame.luma(expected.shape[1] // 4, expected.shape[0] // 4)
        grey = cv2.resize(cv2.cvtColor(np.ascontiguousarray(expected), cv2.COLOR_BGR2GRAY), small.shape[::-1])
        assert np.abs(small.astype(int) - grey).mean() < 12


def face_in(width: int, height: int, share: float = 0.8) -> Picture:
    """The astronaut in a picture of that size."""
    person = portraits()["collins"]
    side = round(share * min(width, height))
    picture = cv2.resize(scene(9), (width, height), interpolation=cv2.INTER_CUBIC)
    left, top = (width - side) // 2, (height - side) // 2
    picture[top : top + side, left : left + side] = cv2.resize(person, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(picture, np.uint8)


def joined(path: Path, sizes: list[tuple[int, int]], codec: str, kind: str) -> Path:
    """A file whose picture changes its size every 15 frames, as recorders of calls and adaptive streams write them."""
    parts = []
    for number, (width, height) in enumerate(sizes):
        pts = [15 * number + i for i in range(15)]
        options = {"bf": "0", "g": "15"} if codec == "libx264" else {"deadline": "realtime", "cpu-used": "8"}
        base = Fraction(1, 25)
        part = path.with_name(f"{number}.{path.suffix[1:]}")
        pictures = [face_in(width, height)] * 15
        parts.append(write_stream(part, pictures, codec=codec, kind=kind, pts=pts, time_base=base, options=options))
    if kind == "mpegts":
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        return path
    with av.open(str(path), "w", format=kind) as out:
        stream = None
        for part in parts:
            with av.open(str(part)) as container:
                source = container.streams.video[0]
                stream = stream or out.add_stream_from_template(source)
                for packet in container.demux(source):
                    if packet.size:
                        packet.stream = stream
                        out.mux(packet)
    return path


SIZES = {
    "grows": [(160, 90), (1280, 720)],
    "turned": [(640, 360), (360, 640)],
    "there and back": [(640, 360), (320, 180), (640, 360)],
    "other aspect": [(640, 480), (640, 272)],
}


@pytest.mark.parametrize("change", SIZES)
@pytest.mark.parametrize(("codec", "kind"), [("libvpx", "webm"), ("libx264", "mpegts")])
def test_a_picture_size_that_changes_is_followed(tmp_path: Path, change: str, codec: str, kind: str) -> None:
    sizes = SIZES[change]
    path = joined(tmp_path / "a.film", sizes, codec, kind)
    with open_video(path) as video:
        seen: list[tuple[Frame, Picture]] = [(frame, frame.bgr()) for frame in video.frames()]
        assert video.largest == max(sizes, key=lambda size: size[0] * size[1])
    assert len(seen) == 15 * len(sizes)
    for frame, picture in seen[7::15]:
        width, height = sizes[frame.index // 15]
        assert frame.size == (width, height) == picture.shape[1::-1]
        assert np.abs(picture.astype(int) - face_in(width, height)).mean() < 12
    with open_video(path) as video:
        tracks = [track for _, found in shot_tracks(video, FaceDetector(width=640)) for track in found]
        first = np.array(sizes[0] * 2)
    shares = [observation.box / first for track in tracks for observation in track.observations]
    assert len(shares) >= 2
    middles = np.array([((box[:2] + box[2:]) / 2) for box in shares])
    assert np.ptp(middles, axis=0).max() < 0.12  # one place, whatever the size


def test_boxes_are_in_pixels_of_the_largest_size(tmp_path: Path) -> None:
    path = joined(tmp_path / "a.webm", SIZES["grows"], "libvpx", "webm")
    encoded = encode_video(path, load_network("dhh-48", film=True))
    assert (encoded.video.width, encoded.video.height) == (1280, 720)
    best = encoded.tracks[int(np.argmax(encoded.tracks["face_px"]))]
    box = best["box"]
    assert box[2] - box[0] > 50
    assert max(box[2] - box[0], box[3] - box[1]) == pytest.approx(best["face_px"], rel=0.02)
    assert abs((box[0] + box[2]) / 2 - 640) < 120


def several(path: Path, films: list[tuple[int, int, int, str]], kind: str | None = None) -> Path:
    """A file with picture streams of (width, height, frames, codec)."""
    with av.open(str(path), "w", format=kind) as container:
        streams = []
        for width, height, _, codec in films:
            stream = container.add_stream(codec, rate=25)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            streams.append(stream)
        for i in range(max(frames for _, _, frames, _ in films)):
            for stream, (width, height, frames, _) in zip(streams, films, strict=True):
                if i < frames:
                    frame = av.VideoFrame.from_ndarray(numbered(i, width, height), format="bgr24")
                    frame.pts, frame.time_base = i, Fraction(1, 25)
                    container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", ["mp4", "mov", "matroska", "avi"])
@pytest.mark.parametrize("first", [True, False])
def test_the_film_is_taken_not_the_larger_still(tmp_path: Path, kind: str, first: bool) -> None:
    streams = [(160, 96, 50, "libx264"), (640, 384, 1, "mjpeg")]
    path = several(tmp_path / "a.film", streams if first else streams[::-1], kind)
    with open_video(path) as video:
        assert (video.info.width, video.info.height) == (160, 96)
        assert [read_number(frame.bgr()) for frame in video.frames()] == list(range(50))
        assert any("a still or a preview beside this film" in line and "640x384" in line for line in video.warnings)


@pytest.mark.parametrize("kind", ["mp4", "matroska", "mpegts"])
def test_a_second_film_is_said(tmp_path: Path, kind: str) -> None:
    path = several(tmp_path / "a.film", [(160, 96, 50, "libx264"), (320, 192, 50, "libx264")], kind)
    with open_video(path) as video:
        assert video.info.width == 320
        assert any("another picture stream" in line and "160x96" in line for line in video.warnings)
        assert len(list(video.frames())) == 50


@given
def test_the_given_pictures() -> None:
    with open_video(CASES / "several_streams" / "dji.mp4") as video:
        assert (video.info.width, len(list(video.frames()))) == (640, 50)
        assert any("1280x720" in line for line in video.warnings)
    with open_video(CASES / "mirror_matrix" / "m_hflip.mp4") as video:
        assert (video.info.rotation, video.info.mirrored) == (0, True)
    with open_video(CASES / "resolution_grows" / "webrtc.webm") as video:
        assert {frame.size for frame in video.frames()} == {(160, 90), (1280, 720)}
