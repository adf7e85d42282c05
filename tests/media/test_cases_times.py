"""Times that files tell wrongly: rates of one field, jumps of time stamps, null frames, late pictures, timecode."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from synthetic import numbered, read_number, scene, truncate, write_video
from video_files import CASES, write_stream

from dhhcli.media.shots import ShotDetector
from dhhcli.media.timing.clock import Clock, counted_on
from dhhcli.media.timing.frame_rate import real_rate
from dhhcli.media.timing.timecode import recounted, source_timecode
from dhhcli.media.video import Video, open_video

MS = Fraction(1, 1000)
given = pytest.mark.skipif(not CASES.is_dir(), reason="needs the files of the optional folder ../shared/cases")


def rate_of(path: Path) -> Fraction | None:
    with open_video(path) as video:
        return video.info.frame_rate


def starts(video: Video) -> list[Fraction]:
    """When shots begin, seconds since the first frame."""
    detector, found, first = ShotDetector(video.info.frame_rate), [], Fraction(0)
    for frame in video.frames():
        first = first if frame.index else frame.time
        found += detector.push(frame)
    found += detector.finish()
    return [shot.start_pts * video.info.time_base - first for shot in found]


@pytest.mark.parametrize(
    "rate", [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60)]
)
@pytest.mark.parametrize("said", [1, 1000, 60_000, 1_000_000])
def test_a_rate_is_what_the_steps_between_frames_are(rate: Fraction, said: int) -> None:
    stamps = [round(i * 1000 / rate) for i in range(200)]
    assert real_rate([Fraction(said)], stamps, MS) == rate
    assert real_rate([Fraction(said), rate], stamps, MS) == rate


@pytest.mark.parametrize("said", [Fraction(2997, 100), Fraction(2713, 100), Fraction(25)])
def test_a_rate_that_frames_nearly_have_is_believed(said: Fraction) -> None:
    rng = np.random.default_rng(3)
    stamps = np.cumsum(rng.integers(28, 40, 60)).tolist()
    assert real_rate([said, Fraction(90)], stamps, MS) == said


def test_few_frames_contradict_nothing() -> None:
    assert real_rate([Fraction(1000)], [0, 40, 80], MS) == 1000
    assert real_rate([None], [0, 40], MS) is None


@pytest.mark.parametrize("said", [1, 60_000])
def test_a_nonsense_rate_of_flv(tmp_path: Path, said: int) -> None:
    path = write_stream(tmp_path / "a.flv", map(numbered, range(60)), kind="flv", options={"bf": "2", "g": "20"})
    data = path.read_bytes()
    at = data.index(b"framerate") + len(b"framerate") + 1
    path.write_bytes(data[:at] + struct.pack(">d", said) + data[at + 8 :])
    assert rate_of(path) == 25


@pytest.mark.parametrize("rate", [24, 30, 50])
def test_a_clock_of_milliseconds_is_no_rate(tmp_path: Path, rate: int) -> None:
    pts = [round(i * 1000 / rate) for i in range(90)]
    pictures = (numbered(i) for i in range(90))
    path = write_stream(tmp_path / "a.webm", pictures, codec="libvpx", rate=1000, pts=pts, time_base=MS)
    assert rate_of(path) == rate


@pytest.mark.parametrize(
    ("rate", "length"), [(Fraction(1, 2), 1), (Fraction(1), 1), (Fraction(1), 4), (Fraction(5), 4)]
)
def test_slides_are_shots_also_where_one_comes_back(tmp_path: Path, rate: Fraction, length: int) -> None:
    pictures = [scene(number) for number in (1, 2, 1, 3, 4, 3, 5) for _ in range(length)]
    path = write_video(tmp_path / "a.mp4", pictures, rate=rate)
    with open_video(path) as video:
        assert starts(video) == [i * length / rate for i in range(7)]


@pytest.mark.parametrize("seconds", [-300, -70, -20, 15, 100, 7200])
@pytest.mark.parametrize("start", [0, 4000])
def test_jumps_of_transport_streams_are_counted_on(tmp_path: Path, seconds: int, start: int) -> None:
    if start + seconds < 0:
        pytest.skip("no time before the clock began")
    stamps = [90_000 * start + 3600 * i + (0 if i < 50 else 90_000 * seconds) for i in range(100)]
    parts = []
    for half in (range(50), range(50, 100)):
        file = tmp_path / f"{half[0]}.ts"
        options = {"bf": "0", "g": "10"}
        pts, base = [stamps[i] for i in half], Fraction(1, 90_000)
        write_stream(file, map(numbered, half), kind="mpegts", pts=pts, time_base=base, options=options)
        parts.append(file.read_bytes())
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    with open_video(path) as video:
        shown = [(frame.time, read_number(frame.bgr())) for frame in video.frames()]
        assert [number for _, number in shown] == list(range(100))
        assert [time - shown[0][0] for time, _ in shown] == [Fraction(i, 25) for i in range(100)]
        ((warning,),) = ([line for line in video.warnings if counted_on([line])],)
        assert ("jump back" if seconds < 0 else "jump forwards") in warning
        assert not any("cut short" in line for line in video.warnings)
    with open_video(path) as video:
        for time, number in (shown[20], shown[70]):
            frame = video.at(time, counted=True)
            assert frame is not None
            assert (frame.time, read_number(frame.bgr())) == (time, number)


def test_a_slow_stream_does_not_jump() -> None:
    clock = Clock(Fraction(1, 90_000), 20 * 90_000, jumps=True)
    taken = [clock.take(20 * 90_000 * i, 0) for i in range(6)]
    assert taken == [20 * 90_000 * i for i in range(6)]
    quick = Clock(Fraction(1, 90_000), 3600, jumps=False)
    assert [quick.take(stamp, 3600) for stamp in (0, 3600, 90_000 * 60)] == [0, 3600, 90_000 * 60]


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_null_frames_of_avi_take_time(tmp_path: Path, codec: str) -> None:
    path = write_stream(tmp_path / "a.avi", map(numbered, range(40)), codec=codec, options={"bf": "2", "g": "12"})
    with av.open(str(path)) as container, av.open(str(tmp_path / "b.avi"), "w") as out:
        source = container.streams.video[0]
        stream = out.add_stream_from_template(source)
        packets = [packet for packet in container.demux(source) if packet.size]
        keys = [i for i, packet in enumerate(packets) if packet.is_keyframe]
        begin = keys[1]  # what comes from this key frame on is ten frames later
        for i, packet in enumerate(packets):
            packet.stream = stream
            packet.dts = packet.pts = i + (10 if i >= begin else 0)
            out.mux(packet)
    with open_video(tmp_path / "b.avi") as video:
        shown = [(frame.pts, read_number(frame.bgr())) for frame in video.frames()]
    numbers = [number for _, number in shown]
    assert numbers == sorted(numbers)
    first = shown[0][0]
    late = {number: pts - first - number for pts, number in shown}
    assert late[begin - 4] == 0
    assert {late[number] for number in numbers if number >= begin} == {10}


def with_sound(path: Path, delay: Fraction, kind: str) -> Path:
    """A film of 50 frames whose picture begins ``delay`` seconds after its sound."""
    with av.open(str(path), "w", format=kind) as container:
        picture = container.add_stream("libx264", rate=25)
        picture.pix_fmt, picture.width, picture.height = "yuv420p", 160, 96
        picture.codec_context.max_b_frames = 0
        sound = container.add_stream("aac" if kind != "matroska" else "pcm_s16le", rate=48_000, layout="mono")
        silence = np.zeros((1, 1024), np.float32 if kind != "matroska" else np.int16)
        for i in range(200):
            heard = av.AudioFrame.from_ndarray(silence, "fltp" if kind != "matroska" else "s16", "mono")
            heard.sample_rate, heard.pts, heard.time_base = 48_000, 1024 * i, Fraction(1, 48_000)
            container.mux(sound.encode(heard))
        for i in range(50):
            frame = av.VideoFrame.from_ndarray(numbered(i), format="bgr24")
            frame.pts, frame.time_base = i + round(delay * 25), Fraction(1, 25)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize("kind", ["mp4", "mov", "matroska", "mpegts"])
@pytest.mark.parametrize("delay", [Fraction(0), Fraction(1), Fraction(12, 5)])
def test_a_picture_that_begins_after_the_sound(tmp_path: Path, kind: str, delay: Fraction) -> None:
    path = with_sound(tmp_path / "a.film", delay, kind)
    with open_video(path) as video:
        assert abs(video.info.delay - delay) <= Fraction(1, 25)
        assert not delay or video.info.delay
        assert next(video.frames()).time == pytest.approx(float(video.info.delay), abs=1.5)


@pytest.mark.parametrize(
    ("label", "counted", "rate", "expected"),
    [
        ("01:00:00:20", Fraction(30), Fraction(60000, 1001), "01:00:00:40"),
        ("01:00:00;20", Fraction(30000, 1001), Fraction(60000, 1001), "01:00:00;40"),
        ("10:00:59:24", Fraction(25), Fraction(50), "10:00:59:48"),
        ("10:00:59:24", Fraction(25), Fraction(100), "10:00:59:96"),
        ("01:00:00:40", Fraction(60), Fraction(30), "01:00:00:20"),
        ("01:00:00:20", Fraction(25), Fraction(25), "01:00:00:20"),
        ("01:00:00:20", Fraction(24), Fraction(25), "01:00:00:20"),
        ("99:00:00:20", Fraction(30), Fraction(60), "99:00:00:20"),
    ],
)
def test_labels_of_another_rate(label: str, counted: Fraction, rate: Fraction, expected: str) -> None:
    assert recounted(label, counted, rate) == expected


@pytest.mark.parametrize("start", ["01:00:00;100", "00:59:59;119", "10:00:00;08"])
def test_drop_frame_at_119_88(tmp_path: Path, start: str) -> None:
    rate = Fraction(120_000, 1001)
    path = write_stream(tmp_path / "a.mov", map(numbered, range(10)), rate=rate, timecode=start)
    with open_video(path) as video:
        assert (video.info.start_timecode, video.info.drop_frame) == (start, True)
    labels = 120 * 3600 - 8 * 54  # of an hour: the first 8 of 54 minutes in it are left out
    assert source_timecode(labels / rate, rate, "01:00:00;00", drop=True) == "02:00:00;00"


@given
def test_the_given_rates() -> None:
    folder = CASES / "frame_rate_nonsense"
    assert [rate_of(folder / name) for name in ("k1000_dd.webm", "d1000.webm", "d25.webm")] == [25, 25, 25]
    with open_video(folder / "d1000.webm") as video:
        assert starts(video) == [0, pytest.approx(2.8, abs=0.05)]
    with open_video(folder / "d1000.webm") as video:
        assert {frame.duration for frame in video.frames()} == {0}  # they say a millisecond


@given
def test_the_given_slides() -> None:
    with open_video(CASES / "low_frame_rate" / "slides_4.mp4") as video:
        assert starts(video) == [4 * i for i in range(10)]
    with open_video(CASES / "low_frame_rate" / "aba2.mp4") as video:
        assert starts(video) == [0, 10, Fraction(25, 2)]


@given
@pytest.mark.parametrize("name", ["back55.ts", "back70.ts"])
def test_the_given_jumps(name: str) -> None:
    with open_video(CASES / "ts_jumps" / name) as video:
        assert starts(video) == [0, 2, 4, 6]
        assert [line for line in video.warnings if "jump" in line] == [
            "time stamps jump back at 00:00:03.9; counted on from there"  # of the film, whatever its clock said
        ]


@given
def test_the_given_labels() -> None:
    with open_video(CASES / "drop_frame_120" / "df120.mov") as video:
        assert (video.info.start_timecode, video.info.drop_frame) == ("01:00:00;100", True)
    with open_video(CASES / "hfr_timecode" / "hfr30.mov") as video:
        assert video.info.start_timecode == "01:00:00:40"


@given
def test_the_given_null_frames_and_late_picture() -> None:
    with open_video(CASES / "avi_null_frames" / "dropb.avi") as video:
        assert starts(video) == [0, Fraction(6, 5), Fraction(16, 5), Fraction(24, 5)]
    with open_video(CASES / "start_offset" / "delay.mp4") as video:
        assert video.info.delay == 2


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".flv"])
def test_pictures_that_begin_late_are_not_cut_short(suffix: str, tmp_path: Path) -> None:
    """What these containers declare of the whole file counts from its clock's zero, not from its first picture."""
    codec, pixels = {".webm": ("libvpx", "yuv420p"), ".flv": ("flv", "yuv420p")}.get(suffix, ("mpeg4", "yuv420p"))
    pictures = [numbered(i) for i in range(50)]
    path = write_video(
        tmp_path / f"late{suffix}", pictures, pts=[125 + i for i in range(50)], codec=codec, pixels=pixels
    )
    with open_video(path) as video:
        assert len(list(video.frames())) == 50
        assert video.warnings == ()


def test_one_that_begins_late_and_ends_early_is_cut_short(tmp_path: Path) -> None:
    path = write_video(tmp_path / "late.mkv", [numbered(i) for i in range(250)], pts=[125 + i for i in range(250)])
    truncate(path, 0.4)
    with open_video(path) as video:
        list(video.frames())
        assert any("is it cut short?" in line or "stopped" in line for line in video.warnings)
