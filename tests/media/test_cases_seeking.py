"""Frames found by seeking are those found by decoding from the start, in every container of the formats table."""

from bisect import bisect_right
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from synthetic import numbered, read_number
from video_files import CASES, write_stream

from dhhcli.media.timing.clock import counted_on
from dhhcli.media.video import open_video

# container, codec, format name, options
FILES = [
    ("mp4", "libx264", "mp4", {"bf": "3", "g": "30"}),
    ("frag.mp4", "libx264", "mp4", {"bf": "3", "g": "30", "movflags": "frag_keyframe+empty_moov"}),
    ("open.mp4", "libx264", "mp4", {"bf": "3", "g": "12", "x264-params": "open-gop=1"}),
    ("mov", "libx264", "mov", {"bf": "2", "g": "30"}),
    ("mkv", "libx264", "matroska", {"bf": "3", "g": "30"}),
    ("ts", "libx264", "mpegts", {"bf": "3", "g": "30"}),
    ("open.ts", "libx264", "mpegts", {"bf": "3", "g": "12", "x264-params": "open-gop=1"}),
    ("refresh.ts", "libx264", "mpegts", {"g": "30", "bf": "0", "x264-params": "intra-refresh=1"}),
    ("m2ts", "libx264", "mpegts", {"bf": "3", "g": "60", "mpegts_m2ts_mode": "1"}),
    ("flv", "libx264", "flv", {"bf": "3", "g": "30"}),
    ("avi", "libx264", "avi", {"bf": "3", "g": "30"}),
    ("fields.ts", "libx264", "mpegts", {"bf": "2", "g": "30", "flags": "+ildct+ilme"}),
    ("hevc.mp4", "libx265", "mp4", {"g": "30", "preset": "superfast", "x265-params": "log-level=none:keyint=30"}),
    ("hevc.ts", "libx265", "mpegts", {"g": "30", "preset": "superfast", "x265-params": "log-level=none:keyint=30"}),
    ("av1.webm", "libsvtav1", "webm", {"g": "30", "svtav1-params": "lp=1:enable-tf=0", "preset": "8", "crf": "10"}),
    ("vp9.webm", "libvpx-vp9", "webm", {"g": "30", "deadline": "realtime", "cpu-used": "8"}),
    ("vp8.webm", "libvpx", "webm", {"g": "30", "deadline": "realtime", "cpu-used": "8"}),
    ("mpeg2.ts", "mpeg2video", "mpegts", {"bf": "2", "g": "12"}),
    ("mpg", "mpeg2video", "mpeg", {"bf": "2", "g": "12"}),
    ("vob", "mpeg2video", "vob", {"bf": "2", "g": "12"}),
    ("mxf", "mpeg2video", "mxf", {"bf": "2", "g": "12"}),
    ("mpeg2.avi", "mpeg2video", "avi", {"bf": "2", "g": "12"}),
    ("mpeg4.avi", "mpeg4", "avi", {"bf": "2", "g": "12"}),
    ("dv", "dvvideo", "dv", {}),
    ("dv.avi", "dvvideo", "avi", {}),
    ("prores.mov", "prores_ks", "mov", {}),
    ("dnxhr.mxf", "dnxhd", "mxf", {"profile": "dnxhr_lb"}),
    ("mjpeg.avi", "mjpeg", "avi", {}),
    ("wmv", "wmv2", "asf", {"g": "30"}),
    ("rm", "rv20", "rm", {"g": "30"}),
    ("h264", "libx264", "h264", {"bf": "3", "g": "30"}),
    ("m2v", "mpeg2video", "mpeg2video", {"bf": "2", "g": "12"}),
]


@pytest.mark.parametrize(("suffix", "codec", "kind", "options"), FILES, ids=[one[0] for one in FILES])
def test_a_frame_by_seeking_is_the_frame_by_decoding(
    tmp_path: Path, suffix: str, codec: str, kind: str, options: dict[str, str]
) -> None:
    width, height = (720, 576) if codec == "dvvideo" else (320, 192)
    path = tmp_path / f"a.{suffix}"
    pictures = (numbered(i, width, height) for i in range(200))
    write_stream(path, pictures, codec=codec, kind=kind, options=options)
    with open_video(path) as video:
        shown = [(frame.time, read_number(frame.bgr())) for frame in video.frames()]
        counted = counted_on(video.warnings)
    assert [number for _, number in shown] == list(range(len(shown)))
    assert len(shown) >= 190  # an open end may cost a frame or two
    times = [time for time, _ in shown]
    step = times[1] - times[0]
    wanted = [times[i] + part * step / 4 for i, part in ((0, 0), (3, 1), (29, 2), (30, 0), (47, 1), (101, 3), (185, 1))]
    with open_video(path) as video:
        for time in [*wanted, *reversed(wanted), times[0] - 1, times[-1] + 1]:
            frame = video.at(time, counted=counted)
            assert frame is not None
            due = shown[max(0, bisect_right(times, time) - 1)]
            assert (frame.time, read_number(frame.bgr())) == due, f"asked for {float(time):.3f}"


@pytest.mark.skipif(not CASES.is_dir(), reason="needs the files of the optional folder ../shared/cases")
@pytest.mark.parametrize("name", ["plain.ts", "h264.avi", "frag.mp4"])
def test_the_given_files_are_sought_right(name: str) -> None:
    path = CASES / "stills" / name
    with open_video(path) as video:
        shown = [(frame.time, frame.luma(32, 18).tobytes()) for frame in video.frames()]
    with open_video(path) as video:
        for time, picture in (shown[0], shown[29], shown[30], shown[55], shown[79], shown[80], shown[-1]):
            frame = video.at(time + Fraction(1, 100))
            assert frame is not None
            assert (frame.time, frame.luma(32, 18).tobytes()) == (time, picture)


def test_a_key_frame_is_asked_for(tmp_path: Path) -> None:
    """What an independent reader shows for a time: PyAV alone, from the start."""
    path = tmp_path / "a.ts"
    write_stream(path, map(numbered, range(120)), codec="libx264", kind="mpegts", options={"bf": "2", "g": "250"})
    with av.open(str(path)) as container:
        base = Fraction(container.streams.video[0].time_base or 0)
        pictures = [(frame.pts or 0, frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]
        stamps = [(pts, read_number(np.asarray(picture, np.uint8))) for pts, picture in pictures]
    with open_video(path) as video:
        for pts, number in stamps[5::23]:
            frame = video.at(pts * base)
            assert frame is not None
            assert (frame.pts, read_number(frame.bgr())) == (pts, number)
