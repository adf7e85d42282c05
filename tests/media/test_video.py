"""video: exact times, upright pictures, source timecode, damaged files, finding and prefetching."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.video.stream import VideoStream
from synthetic import numbered, read_number, scene, truncate, write_audio, write_video

from dhhcli.base.prefetch import ahead, prefetch
from dhhcli.errors import MissingPathError, NoVideoError, VideoError
from dhhcli.media.files.discover import VIDEO_SUFFIXES, find_videos
from dhhcli.media.video import Video, clock, open_video


def numbers(path: Path) -> tuple[list[int], tuple[str, ...]]:
    with open_video(path) as video:
        return [read_number(frame.bgr()) for frame in video.frames()], video.warnings


CODECS = {
    ".mp4": "mpeg4",
    ".mov": "mpeg4",
    ".mkv": "mpeg4",
    ".avi": "mpeg4",
    ".ts": "mpeg2video",
    ".mxf": "mpeg2video",
}


@pytest.mark.parametrize("suffix", CODECS)
def test_every_container_gives_every_frame_in_order(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"a{suffix}", [numbered(i) for i in range(40)], codec=CODECS[suffix])
    with open_video(path) as video:
        frames = list(video.frames())
        assert [read_number(frame.bgr()) for frame in frames] == list(range(40))
        assert [frame.index for frame in frames] == list(range(40))
        start = frames[0].time
        tick = video.info.time_base
        for frame in frames:
            assert frame.time == frame.pts * tick
            assert abs(frame.time - start - Fraction(frame.index, 25)) <= tick  # mkv has milliseconds
        assert video.info.frame_rate == 25
        assert (video.info.width, video.info.height, video.info.rotation) == (160, 96, 0)
        assert video.info.duration == pytest.approx(1.6, abs=0.05)
        assert video.warnings == ()


def test_info(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [numbered(i) for i in range(10)], rate=Fraction(30000, 1001))
    with open_video(path) as video:
        info = video.info
        assert info.path == path
        assert info.codec == "mpeg4"
        assert info.frame_rate == Fraction(30000, 1001)
        assert info.duration == Fraction(10010, 30000)
        assert info.start_timecode is None
        assert not info.drop_frame
        assert info.start_pts == 0
        times = [frame.time for frame in video.frames()]
        assert times == [Fraction(1001 * i, 30000) for i in range(10)]


def test_variable_frame_rate_keeps_exact_times(tmp_path: Path) -> None:
    stamps = [0, 40, 41, 200, 1000, 1033]
    pictures = [numbered(i) for i in range(6)]
    path = write_video(tmp_path / "a.mkv", pictures, pts=stamps, time_base=Fraction(1, 1000))
    with open_video(path) as video:
        assert [(f.pts, f.time) for f in video.frames()] == [(p, Fraction(p, 1000)) for p in stamps]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, suffix: str, rotation: int) -> None:
    """A phone held so that its sensor's left top corner is elsewhere: the red mark goes where a player shows
    it.
    """
    picture = np.full((96, 160, 3), 60, dtype=np.uint8)
    picture[:24, :40] = (0, 0, 255)
    path = write_video(tmp_path / f"a{suffix}", [picture] * 3, rotation=rotation)
    upright = np.rot90(picture, -rotation // 90)
    with open_video(path) as video:
        assert video.info.rotation == rotation
        assert (video.info.height, video.info.width) == upright.shape[:2]
        frame = next(video.frames())
        assert np.abs(frame.bgr().astype(int) - upright).mean() < 6
        small = frame.bgr(upright.shape[1] // 8, upright.shape[0] // 8)
        assert small.shape == (upright.shape[0] // 8, upright.shape[1] // 8, 3)
        assert np.abs(small.astype(int) - upright[4::8, 4::8]).mean() < 8
        grey = frame.luma(upright.shape[1] // 8, upright.shape[0] // 8)
        assert grey.shape == small.shape[:2]
        assert grey.dtype == np.uint8
        assert np.abs(grey.astype(float) - small @ [0.114, 0.587, 0.299]).max() < 8


def test_one_side_keeps_the_aspect(tmp_path: Path) -> None:
    with open_video(write_video(tmp_path / "a.mp4", [numbered(0)])) as video:
        frame = next(video.frames())
        assert frame.bgr(80).shape == (48, 80, 3)
        assert frame.bgr(height=24).shape == (24, 40, 3)
        assert frame.bgr(320, 100).shape == (100, 320, 3)


@pytest.mark.parametrize(
    ("suffix", "timecode", "drop"),
    [
        (".mov", "01:00:00:00", False),
        (".mov", "10:00:00;02", True),
        (".mp4", "00:59:59:24", False),
        (".mxf", "01:02:03:04", False),
    ],
)
def test_start_timecode(tmp_path: Path, suffix: str, timecode: str, drop: bool) -> None:
    rate = Fraction(30000, 1001) if drop else Fraction(25)
    path = write_video(
        tmp_path / f"a{suffix}",
        [numbered(i) for i in range(5)],
        rate,
        timecode=timecode,
        codec=CODECS[suffix],
    )
    with open_video(path) as video:
        assert video.info.start_timecode == timecode
        assert video.info.drop_frame == drop
        assert len(list(video.frames())) == 5


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_a_file_cut_short_keeps_what_decodes(tmp_path: Path, suffix: str) -> None:
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    pictures = [numbered(i) for i in range(90)]
    path = write_video(tmp_path / f"a{suffix}", pictures, codec=CODECS[suffix], options=options)
    found, warnings = numbers(truncate(path, 0.7))
    assert 20 < len(found) < 90
    assert found == list(range(len(found)))
    if suffix in (".mp4", ".mkv"):  # the header says how long the file should be
        assert any(line.startswith("stopped at 00:00:0") for line in warnings)
    assert all("\n" not in line for line in warnings)


def test_damage_in_the_middle_keeps_the_rest(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [scene(i // 3) for i in range(120)])
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    path.write_bytes(data)
    with open_video(path) as video:
        frames = list(video.frames())
        assert len(frames) > 60
        assert frames[-1].time > 4  # the last frames are there
        assert all(a.pts < b.pts for a, b in pairwise(frames))
        assert video.warnings


def test_ffmpeg_writes_nothing_to_stderr(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [scene(i) for i in range(30)], options={"movflags": "faststart"})
    truncate(path, 0.6)
    program = (
        "import sys, pathlib; from dhhcli.media.video import open_video\n"
        "v = open_video(pathlib.Path(sys.argv[1])); list(v.frames()); print(len(v.warnings))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, cwd=root, check=True)
    assert done.stderr == ""
    assert int(done.stdout) > 0


def test_what_is_no_video_is_one_line(tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("no video " * 100)
    empty = tmp_path / "b.mp4"
    empty.touch()
    headless = truncate(write_video(tmp_path / "c.mp4", [numbered(i) for i in range(30)]), 0.5)
    for path in (text, empty, headless):
        with pytest.raises(VideoError) as caught:
            open_video(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    for path in (tmp_path / "none.mp4", tmp_path):
        with pytest.raises(MissingPathError):
            open_video(path)


def test_sound_and_cover_art_are_no_video(tmp_path: Path) -> None:
    with pytest.raises(NoVideoError, match="found: audio"):
        open_video(write_audio(tmp_path / "a.m4a"))
    with pytest.raises(NoVideoError, match="no picture stream"):
        open_video(write_audio(tmp_path / "a.flac", cover=numbered(1)))


@pytest.mark.parametrize("name", ["http:x.mp4", "a%03d.mp4", "concat:b|c.mp4", "Ünïcødé ?.mp4", b"latin-\xe9.mp4"])
def test_strange_names_are_just_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | bytes) -> None:
    write_video(tmp_path / "a.mp4", [numbered(3)]).rename(tmp_path / os.fsdecode(name))
    monkeypatch.chdir(tmp_path)
    assert numbers(Path(os.fsdecode(name))) == ([3], ())


def test_a_playlist_does_not_reach_the_network(tmp_path: Path) -> None:
    write_video(tmp_path / "a.ts", [numbered(3)], codec="mpeg2video")
    playlist = tmp_path / "a.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(VideoError):
        open_video(playlist)


def test_frames_may_be_converted_in_two_threads(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [scene(i) for i in range(20)])
    with open_video(path) as video:
        expected = [(f.bgr(), f.luma(64, 36)) for f in video.frames()]
    with open_video(path) as video:
        frames = list(video.frames())
    greys: list[npt.NDArray[np.uint8]] = []
    thread = threading.Thread(target=lambda: greys.extend(f.luma(64, 36) for f in frames))
    thread.start()
    colours = [f.bgr() for f in frames]
    thread.join()
    assert all(np.array_equal(c, e[0]) for c, e in zip(colours, expected, strict=True))
    assert all(np.array_equal(g, e[1]) for g, e in zip(greys, expected, strict=True))


def test_closing_in_the_middle_ends_a_reader_in_another_thread(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [scene(i) for i in range(60)])
    with open_video(path) as video:
        ahead = prefetch(video.frames(), 2)
        assert next(ahead).index == 0
    assert len(list(ahead)) <= 4
    assert alive() == 0
    with open_video(path) as video:
        assert len(list(video.frames())) == 60
        with pytest.raises(ValueError, match="read already"):
            next(video.frames())


def test_find_videos(tmp_path: Path) -> None:
    for name in ("b.MP4", "a.mov", "sub/c.mkv", "sub/notes.txt", ".hidden.mp4", ".trash/d.mp4", "clip.dat"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "twice.mov").symlink_to(tmp_path / "a.mov")
    (tmp_path / "gone.mov").symlink_to(tmp_path / "none.mov")
    found = find_videos([tmp_path])
    assert [str(p.relative_to(tmp_path)) for p in found.videos] == ["a.mov", "b.MP4", "sub/c.mkv"]
    ignored = {str(p.relative_to(tmp_path)) for p in found.ignored}
    assert ignored == {".hidden.mp4", ".trash", "clip.dat", "gone.mov", "sub/notes.txt"}

    named = find_videos([tmp_path / "clip.dat", tmp_path / "sub", tmp_path, tmp_path / "clip.dat"])
    assert [p.name for p in named.videos] == ["clip.dat", "c.mkv", "a.mov", "b.MP4"]
    assert "clip.dat" not in {p.name for p in named.ignored}
    assert find_videos([]).videos == ()
    with pytest.raises(MissingPathError, match="none"):
        find_videos([tmp_path / "none"])
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in VIDEO_SUFFIXES)


def alive() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


def test_prefetch_gives_everything_in_order_and_stays_bounded() -> None:
    made: list[int] = []

    def produce() -> Iterator[int]:
        for i in range(50):
            made.append(i)
            yield i

    ahead = prefetch(produce(), depth=3)
    for expected in range(50):
        assert next(ahead) == expected
        time.sleep(0.0005)
        assert len(made) <= expected + 1 + 3 + 1
    assert next(ahead, None) is None
    assert alive() == 0
    assert list(prefetch([], 1)) == []


def test_prefetch_is_bounded_by_weight() -> None:
    made: list[int] = []

    def produce() -> Iterator[int]:
        for item in range(20):
            made.append(item)
            yield item

    ahead = prefetch(produce(), 12, most=100, weigh=lambda _: 60)
    assert next(ahead) == 0
    time.sleep(0.2)
    assert len(made) <= 4  # one that is used, two that wait, one in hand
    assert list(ahead) == list(range(1, 20))
    assert list(prefetch(range(5), 12, most=1, weigh=lambda _: 60)) == list(range(5))  # one always has room


def test_prefetch_passes_errors_on_after_what_came_before() -> None:
    def produce() -> Iterator[int]:
        yield 1
        yield 2
        raise VideoError("broken")

    taken = []
    with pytest.raises(VideoError, match="broken"):  # noqa: PT012
        for item in prefetch(produce(), 8):
            taken.append(item)  # noqa: PERF402
    assert taken == [1, 2]
    assert alive() == 0


def test_closing_prefetch_stops_its_thread() -> None:
    def forever() -> Iterator[int]:
        while True:
            yield 0

    ahead = prefetch(forever(), 2)
    assert next(ahead) == 0
    assert alive() == 1
    ahead.close()
    assert alive() == 0
    with pytest.raises(ValueError, match="depth"):
        prefetch([], 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (Fraction(0), "00:00:00.0"),
        (Fraction(1239, 100), "00:00:12.3"),
        (Fraction(3599999, 1000), "00:59:59.9"),
        (Fraction(36000), "10:00:00.0"),
    ],
)
def test_clock(seconds: Fraction, text: str) -> None:
    assert clock(seconds) == text


class Hiccups:
    """A container whose demultiplexer gives up after some packets, as PyAV's does at a stream that begins midway."""

    def __init__(self, container: av.container.InputContainer) -> None:
        self._container, self.failures = container, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._container, name)

    def demux(self, stream: VideoStream) -> Iterator["av.Packet[VideoStream]"]:
        for count, packet in enumerate(self._container.demux(stream)):
            yield packet
            if count == 7 and self.failures < 3:
                self.failures += 1
                raise IndexError("list index out of range")


def test_a_stream_that_begins_midway_is_passed_over(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", [numbered(i) for i in range(40)], codec="mpeg2video")
    container = Hiccups(av.open(str(path)))
    with Video(path, container, container.streams.video[0]) as video:  # type: ignore[arg-type, attr-defined]
        assert [read_number(frame.bgr()) for frame in video.frames()] == list(range(40))
        assert video.warnings == ()
    assert container.failures == 3


def test_ahead_goes_on_meanwhile_and_passes_errors_on() -> None:
    gate = threading.Event()
    calls: list[int] = []

    def make() -> list[int]:
        assert gate.wait(10)
        calls.append(1)
        return calls

    made = ahead(make)
    assert calls == []
    gate.set()
    assert made() is made() is calls
    assert calls == [1]

    failed = ahead(lambda: 1 // 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            failed()
