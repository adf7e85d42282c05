"""Formats: every codec in every container that archives hold, made here and read back frame by frame.

The table of docs/reference/formats.md is written from ``FORMATS``. A codec that the installed FFmpeg cannot write is
skipped.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream
from containers import FAST, FORMATS
from synthetic import numbered, read_number, scene

from dhhcli.base.arrays import Picture
from dhhcli.media.frame import HLG, PQ, hdr_table, is_combed
from dhhcli.media.video import open_video

FRAMES = 10

CASES = [(name, container) for name, (*_, containers) in FORMATS.items() for container in containers]


def write(
    path: Path,
    pictures: list[Picture],
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    *,
    rate: Fraction | int = 25,
    aspect: Fraction | None = None,
    transfer: int | None = None,
    timecode: str | None = None,
) -> Path:
    try:
        av.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this FFmpeg does not write {codec}")
    rate = Fraction(rate)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        if "crf" not in (options or {}):
            stream.bit_rate = 3_000_000
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if transfer is not None:
            stream.codec_context.color_trc = transfer
        if timecode is not None:
            stream.metadata["timecode"] = timecode
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=pixels)
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [numbered(37 * i + 5, 320, 192) for i in range(FRAMES)]


@pytest.mark.parametrize(("name", "container"), CASES, ids=[f"{name}-{container}" for name, container in CASES])
def test_every_format_gives_every_frame_at_its_time(
    tmp_path: Path, pictures: list[Picture], name: str, container: str
) -> None:
    codec, pixels, options, _ = FORMATS[name]
    path = write(tmp_path / f"a.{container}", pictures, codec, pixels, options)
    with open_video(path) as video:
        frames = list(video.frames())
        assert (video.info.width, video.info.height) == (320, 192)
        assert [read_number(frame.bgr()) for frame in frames] == [37 * i + 5 for i in range(FRAMES)]
        tick = video.info.time_base
        for i, frame in enumerate(frames):
            assert frame.time == frame.pts * tick
            assert abs(frame.time - frames[0].time - Fraction(i, 25)) <= max(tick, Fraction(1, 1000))
        assert video.info.frame_rate == 25
        assert video.warnings == ()


@pytest.mark.parametrize(
    ("container", "codec", "rate", "timecode"),
    [
        ("mov", "prores_ks", Fraction(24000, 1001), "01:00:00:00"),
        ("mov", "libx264", Fraction(30000, 1001), "00:59:58;02"),
        ("mp4", "libx264", Fraction(60000, 1001), "10:00:00;04"),
        ("mxf", "mpeg2video", Fraction(25), "10:11:12:13"),
        ("mxf", "mpeg2video", Fraction(30000, 1001), "01:00:00;02"),
        ("mkv", "libx264", Fraction(25), "09:58:00:00"),
    ],
)
def test_start_timecode_and_its_counting(
    tmp_path: Path, pictures: list[Picture], container: str, codec: str, rate: Fraction, timecode: str
) -> None:
    pixels = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    path = write(tmp_path / f"a.{container}", pictures[:4], codec, pixels, rate=rate, timecode=timecode)
    with open_video(path) as video:
        assert (video.info.start_timecode, video.info.drop_frame) == (timecode, ";" in timecode)
        assert video.info.frame_rate == rate


@pytest.mark.parametrize("size", [(161, 97), (333, 187), (64, 480)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write(tmp_path / "a.mkv", [scene(1, *size)] * 3, "libx264", "yuv444p", FAST)
    with open_video(path) as video:
        assert (video.info.width, video.info.height) == size
        frame = next(video.frames())
        assert frame.bgr().shape == (size[1], size[0], 3)
        assert np.abs(frame.bgr().astype(int) - scene(1, *size)).mean() < 8
        assert frame.coarse(64, 36).shape == (36, 64, 3)


@pytest.mark.parametrize("container", ["mp4", "mkv", "mov"])
def test_oblong_pixels_become_square(tmp_path: Path, container: str) -> None:
    """PAL in 16:9: 720 x 576 pixels that are 64/45 wide, here at a quarter of the size."""
    path = write(tmp_path / f"a.{container}", [scene(2, 180, 144)] * 3, aspect=Fraction(64, 45))
    with open_video(path) as video:
        assert (video.info.width, video.info.height) == (256, 144)
        picture = next(video.frames()).bgr()
        assert picture.shape == (144, 256, 3)
        assert np.abs(picture.astype(int) - cv2.resize(scene(2, 180, 144), (256, 144))).mean() < 8


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_is_brought_down_to_a_plain_screen(tmp_path: Path, transfer: int) -> None:
    """Grey of 0.58 (PQ) or 0.75 (HLG) of the signal is white; half of that signal's light is not black."""
    white = {PQ: 0.5807, HLG: 0.75}[transfer]
    table = hdr_table(transfer)
    assert table[round(white * 255)] >= 253
    assert (np.diff(table.astype(int)) >= 0).all()
    assert table[0] == 0
    grey = np.full((96, 160, 3), round(white * 0.7 * 255), np.uint8)
    path = write(tmp_path / "a.mkv", [grey] * 3, "libx265", "yuv420p10le", FORMATS["HEVC"][2], transfer=transfer)
    with open_video(path) as video:
        picture = next(video.frames()).bgr()
    assert abs(float(picture.mean()) - float(table[grey[0, 0, 0]])) < 6


def woven(shift: int) -> Picture:
    """A picture of two fields, the second one taken when the scene had moved by ``shift`` pixels."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 26, 1), dtype=np.uint8)
    wide = np.asarray(cv2.resize(np.repeat(coarse, 3, axis=2), (260, 96)), np.uint8)
    picture = wide[:, :160].copy()
    picture[1::2] = wide[1::2, shift : 160 + shift]
    return picture


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("mpeg2video", {"flags": "+ildct+ilme", "qmin": "1", "qmax": "2"}),
        ("libx264", {"x264-params": "interlaced=1:tff=1", "crf": "5"}),
    ],
)
def test_combed_pictures_become_one_field(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    still, moved = woven(0), woven(8)
    assert is_combed(moved)
    assert not is_combed(still)
    assert not is_combed(scene(3))
    path = write(tmp_path / "a.mkv", [moved] * 3, codec, "yuv420p", options)
    with open_video(path) as video:
        frame = next(video.frames())
        if not frame.picture.interlaced_frame:
            pytest.skip("this FFmpeg does not mark the frames as interlaced")
        assert not is_combed(frame.bgr())
        assert np.abs(frame.bgr().astype(int) - still).mean() < 12


def test_the_largest_picture_stream_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        streams: list[VideoStream] = []
        for width, height in ((80, 48), (320, 192), (320, 192)):
            stream = container.add_stream("mpeg4", rate=25)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        for i in range(4):
            for number, stream in enumerate(streams):
                picture = numbered(100 * number + i, stream.width, stream.height)
                frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
                frame.pts = i
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    with open_video(path) as video:
        assert [read_number(frame.bgr()) for frame in video.frames()] == [100, 101, 102, 103]


def packets_from(path: Path, first: int) -> Iterator[tuple["av.Packet[VideoStream]", VideoStream]]:
    """Packets of a file, earlier by so many frames: what lies before 0 is cut off by an edit list."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        assert stream.time_base is not None
        earlier = round(Fraction(first, 25) / stream.time_base)
        for packet in source.demux(stream):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts - earlier, packet.dts - earlier
                yield packet, stream


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_an_edit_list_hides_frames_and_moves_the_zero(tmp_path: Path, pictures: list[Picture], container: str) -> None:
    whole = write(tmp_path / f"whole.{container}", pictures)
    path = tmp_path / f"a.{container}"
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as out:
        copy = None
        for packet, template in packets_from(whole, 4):
            copy = copy or out.add_stream_from_template(template)
            packet.stream = copy
            out.mux(packet)
    with open_video(path) as video:
        frames = list(video.frames())
        assert [read_number(frame.bgr()) for frame in frames] == [37 * i + 5 for i in range(4, FRAMES)]
        assert [frame.time for frame in frames] == [Fraction(i, 25) for i in range(FRAMES - 4)]
