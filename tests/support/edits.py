"""edits: random answers of a query, and readers of every export format that share no code with the writers.

Labels are read by the package ``timecode``, EDL, FCP7 XML and FCPXML by OpenTimelineIO's separate adapters and by lxml,
chapters by FFmpeg, CSV by the standard library.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlparse

import numpy as np
import opentimelineio
from footage import TAG
from hypothesis import strategies as st
from lxml import etree
from timecode import Timecode

from dhhcli.media.sound import Sound
from dhhcli.output.formats import Format, Order, SequenceLayout
from dhhcli.output.timelines.cuts import Handles
from dhhcli.output.timelines.export import export
from dhhcli.output.timelines.names import xml_text
from dhhcli.search.ranking import Hit
from dhhcli.search.result import Row, result_rows
from dhhcli.storage.record import EncodedVideo, VideoRecord, to_tables
from dhhcli.storage.schema import NO_TOMBSTONES, SHOT_DTYPE, TRACK_DTYPE
from dhhcli.storage.shard import Shard

NTSC = Fraction(1000, 1001)
COUNTINGS = {  # rate and drop-frame
    "23.976": (24 * NTSC, False),
    "24": (Fraction(24), False),
    "25": (Fraction(25), False),
    "29.97 DF": (30 * NTSC, True),
    "29.97": (30 * NTSC, False),
    "50": (Fraction(50), False),
    "59.94 DF": (60 * NTSC, True),
    "59.94": (60 * NTSC, False),
    "60": (Fraction(60), False),
}
# also: the last second before a minute, before ten minutes, and before midnight
STARTS = (None, "01:00:00:00", "10:59:58:20", "00:00:59:20", "00:09:59:20", "23:59:58:20")

Videos = dict[Path, tuple[VideoRecord, int]]
Sounds = dict[Path, tuple[Sound, ...]]
WHO = (None, "Ada Lovelace", 'Grace "<|>" & Hopper')


@dataclass(frozen=True)
class Shot:
    """The truth: frames of the source."""

    path: Path
    start: int
    end: int
    face: int


@dataclass(frozen=True)
class Case:
    """An answer of a query and what it stands for, in the order of its rows."""

    rate: Fraction
    drop: bool
    start: str | None
    rows: list[Row]
    videos: Videos
    shots: list[Shot]
    length: int  # frames of every video
    sounds: Sounds = field(default_factory=dict)


def label_start(start: str | None, drop: bool) -> str | None:
    return start and (f"{start[:8]};{start[9:]}" if drop else start)


def first_frame(start: str | None, rate: Fraction, drop: bool) -> int:
    """Of a start timecode, by the package ``timecode``."""
    return frame_of(start, rate, drop) if start else 0


def frame_of(label: str, rate: Fraction, drop: bool) -> int:
    """Number of a label, counted from 00:00:00:00."""
    assert (label[8] == ";") == drop, label
    name = str(rate.numerator) if rate.denominator == 1 else f"{float(rate):.2f}".replace("23.98", "23.976")
    return int(Timecode(name, label, force_non_drop_frame=not drop).frame_number)


def day(rate: Fraction, drop: bool) -> int:
    last = f"23:59:59{';' if drop else ':'}{round(rate) - 1:02}"
    return frame_of(last, rate, drop) + 1


def answer(
    path: Path,
    shots: Sequence[tuple[int, int, int]],
    *,
    rate: Fraction,
    said: Fraction | None = None,
    drop: bool = False,
    start: str | None = None,
    time_base: Fraction | None = None,
    pts: Any = None,
    length: int = 300_000,
    first_pts: int = 0,
    first_rank: int = 1,
) -> tuple[list[Row], Videos]:
    """Rows as a query makes them of one video with these shots (start, end, face), all of them hits in order.

    said: the frame rate in the file's header. time_base: of the container, by default a frame. pts: frame -> ticks.
    """
    time_base = time_base or 1 / rate
    ticks = pts or (lambda frame: first_pts + round(frame / rate / time_base))
    last = length if pts is None else max(end for _, end, _ in shots)
    rows = sorted({*shots, (last - 1, last, last - 1)})
    shot_rows, track_rows = np.zeros(len(rows), SHOT_DTYPE), np.zeros(len(shots), TRACK_DTYPE)
    for number, (begin, end, _) in enumerate(rows):
        shot_rows[number] = (0, number + 1, begin, end, ticks(begin), ticks(end))
    order = {shot: number for number, shot in enumerate(rows)}
    for number, shot in enumerate(shots):
        track_rows[number]["shot"] = order[shot]
        track_rows[number]["best_frame"], track_rows[number]["best_pts"] = shot[2], ticks(shot[2])
        track_rows[number]["box"] = (1, 2, 30, 40)
    video = VideoRecord(
        path=path,
        fingerprint="0",
        size=1,
        mtime_ns=1,
        width=1920,
        height=1080,
        frames=length,
        frame_rate=said or rate,
        time_base=time_base,
        start_pts=ticks(0),
        duration=None,
        start_timecode=label_start(start, drop),
        drop_frame=drop,
        warnings=(),
    )
    codes = np.zeros((len(shots), 8), np.uint8)
    unit = to_tables(TAG, EncodedVideo(video, shot_rows, track_rows, codes, (b"",) * len(shots)))
    shard = Shard(TAG, "", "", [unit], NO_TOMBSTONES, 2)
    hits = [
        Hit(rank=first_rank + number, distance=number, score=0.0, track=number, shot=order[shot], tracks=1)
        for number, shot in enumerate(shots)
    ]
    return result_rows(shard, hits), {path: (video, shard.end_pts(0))}


@st.composite
def cases(draw: st.DrawFn, videos: int = 1) -> Case:
    """Answers of any of COUNTINGS and STARTS, on any time base, from files whose first pts is not zero."""
    rate, drop = COUNTINGS[draw(st.sampled_from(sorted(COUNTINGS)))]
    start = draw(st.sampled_from(STARTS))
    rows: list[Row] = []
    found: Videos = {}
    truth: list[Shot] = []
    length = 300_000
    for number in range(videos):
        path = Path(f"/films/clip {number}.mov")
        shots = []
        begin = 0
        near = draw(st.sampled_from((0, 40 * round(rate), 590 * round(rate), 3590 * round(rate))))
        for _ in range(draw(st.integers(1, 3))):
            begin += near + draw(st.integers(0, 2000))
            end = begin + draw(st.integers(1, 1500))
            shots.append((begin, end, draw(st.integers(begin, end - 1))))
            begin, near = end, 0
        time_base = draw(st.sampled_from((None, Fraction(1, 90_000), Fraction(1, 1000), Fraction(1, 1_000_000_000))))
        made, video = answer(
            path,
            shots,
            rate=rate,
            said=draw(st.sampled_from((rate, Fraction(round(rate * 100), 100), rate * Fraction(10_001, 10_000)))),
            drop=drop,
            start=start,
            time_base=time_base,
            first_pts=draw(st.integers(-5000, 5000)),
            length=length,
            first_rank=len(rows) + 1,
        )
        rows += made
        found |= video
        truth += [Shot(path, *shot) for shot in shots]
    who = [draw(st.sampled_from(WHO)) for _ in rows]
    rows = [replace(row, name=name, names=(name,) if name else None) for row, name in zip(rows, who, strict=True)]
    sounds = {path: draw(streams(video, rate, length)) for path, (video, _) in found.items()}
    return Case(rate, drop, start, rows, found, truth, length, sounds)


@st.composite
def streams(draw: st.DrawFn, video: VideoRecord, rate: Fraction, length: int) -> tuple[Sound, ...]:
    """Audio streams of a video that begin and end before, with or after its picture, never in the middle of a frame."""
    origin, made = video.start_pts * video.time_base, []
    for number in range(draw(st.integers(0, 3))):
        begin, end = draw(st.integers(-50, 3000)), draw(st.sampled_from((None, length, length - 1, length - 5, 2000)))
        late, soon = (Fraction(draw(st.sampled_from((0, 1, 4, 6, 9))), 10) for _ in range(2))
        made.append(
            Sound(
                number,
                draw(st.integers(1, 3)),
                draw(st.sampled_from((32_000, 44_100, 48_000, 96_000))),
                origin + (begin + late) / rate,
                None if end is None else origin + (end - soon) / rate,
            )
        )
    return tuple(made)


@dataclass(frozen=True)
class Heard:
    """A piece of sound on a timeline, as Seen; channel: of the file, from 1."""

    path: Path
    channel: int
    source: tuple[int, int]
    record: tuple[int, int]


def expected_sound(case: Case, most: int = 99) -> list[Heard]:
    """Frame by frame: a channel is heard in a frame where it is there for more than half of it; what lacks less than
    two frames of the picture's end lacks nothing."""
    found, at = [], 0
    for shot in case.shots:
        video, _ = case.videos[shot.path]
        channel = 0
        for sound in case.sounds[shot.path]:
            first, last = (
                None if time is None else (time - video.start_pts * video.time_base) * case.rate
                for time in (sound.start, sound.end)
            )
            assert first is not None
            to_the_end = last is None or last > case.length - Fraction(3, 2)
            there = [
                frame
                for frame in range(shot.start, shot.end)
                if frame + Fraction(1, 2) > first and (to_the_end or frame + Fraction(1, 2) < last)  # type: ignore[operator]
            ]
            for _ in range(sound.channels):
                channel += 1
                if there and channel <= most:
                    begin = at + there[0] - shot.start
                    source = (there[0], there[-1] + 1)
                    found.append(Heard(shot.path, channel, source, (begin, begin + len(there))))
        at += shot.end - shot.start
    return sorted(found, key=lambda one: (one.channel, one.record))


def exported(
    case: Case,
    wanted: Format,
    *,
    handles: int = 0,
    order: Order = Order.rank,
    layout: SequenceLayout | None = None,
    counting: tuple[Fraction, bool] | None = None,
) -> list[bytes]:
    files = export(
        case.rows,
        case.videos,
        wanted,
        handles=Handles(frames=handles),
        order=order,
        layout=layout,
        counting=counting,
        sounds=case.sounds,
    )
    return [file.data() for file in files]


# ------------------------------------------------------------------------------------------------------ readers


@dataclass(frozen=True)
class Seen:
    """What a reader finds of one shot. source: start and end in frames since the file's first frame; record: the same
    on the timeline since its start; face: in the source, or on the timeline for formats that know no source.
    """

    source: tuple[int, int] | None
    record: tuple[int, int] | None
    face: int | None
    path: Path | None = None
    name: str = ""


def path_of(url: str) -> Path:
    """A file URL's path, byte for byte."""
    return Path(unquote_to_bytes(urlparse(url).path).decode("utf-8", "surrogateescape"))


EVENT = re.compile(r"(\d{3,})  (\S{1,8}) +(?:V|B|AA/V|A2/V) +C        " + " ".join([r"(\d\d:\d\d:\d\d[:;]\d\d)"] * 4))


def read_edl(data: bytes, case: Case) -> list[Seen]:
    """By lines; labels by ``timecode``, modulo a day as tape counts."""
    lines = data.decode().split("\r\n")
    assert lines[0].startswith("TITLE: ")
    assert lines[1] == ("FCM: DROP FRAME" if case.drop else "FCM: NON-DROP FRAME")
    rate, drop = case.rate, case.drop
    first, around = first_frame(label_start(case.start, drop), rate, drop), day(rate, drop)
    hour = frame_of("01:00:00;00" if drop else "01:00:00:00", rate, drop)
    seen = []
    for at, line in enumerate(lines):
        match = EVENT.fullmatch(line)
        if not match:
            assert line[:1] in ("", "*", "F", "T") or SOUND.fullmatch(line) or line.startswith("AUD  "), line
            continue
        at += lines[at + 1].startswith("AUD  ")
        one, two, three, four = (frame_of(match[i], rate, drop) for i in (3, 4, 5, 6))
        begin = (one - first) % around
        marker = re.match(r"\* LOC: (\S+) (?:BLUE   |GREEN  |CYAN   |YELLOW |RED    ) (.*#\d+ .*)", lines[at + 3])
        assert marker
        assert lines[at + 1].startswith("* FROM CLIP NAME: ")
        assert lines[at + 2].startswith("* SOURCE FILE: file:///")
        assert (four - three) % around == (two - one) % around
        face = begin + frame_of(marker[1], rate, drop) - three
        seen.append(
            Seen(
                (begin, begin + (two - one) % around),
                (three - hour, four - hour),
                face,
                path_of(lines[at + 2].removeprefix("* SOURCE FILE: ")),
                lines[at + 1].removeprefix("* FROM CLIP NAME: "),
            )
        )
    return seen


SOUND = re.compile(r"\d{3,}  (\S{1,8}) +(A|A2|AA|NONE) +C        " + " ".join([r"(\d\d:\d\d:\d\d[:;]\d\d)"] * 4))
CHANNELS = {"V": (), "B": (1,), "A": (1,), "A2": (2,), "AA": (1, 2), "AA/V": (1, 2), "A2/V": (2,), "NONE": ()}


def read_edl_sound(data: bytes, case: Case) -> list[Heard]:
    """Every channel of every event, and of the AUD line after it."""
    lines = data.decode().split("\r\n")
    rate, drop = case.rate, case.drop
    first, around = first_frame(label_start(case.start, drop), rate, drop), day(rate, drop)
    hour = frame_of("01:00:00;00" if drop else "01:00:00:00", rate, drop)
    found, numbers = [], []
    for at, line in enumerate(lines):
        if not re.match(r"\d{3}", line):
            continue
        number, _, code, _, *labels = line.split()
        numbers.append(int(number))
        channels = list(CHANNELS[code])
        rest = lines[at + 1 :]
        if rest[0].startswith("AUD"):
            channels += [int(word) for word in rest[0].split()[1:]]
        path = path_of(next(one for one in rest if one.startswith("* SOURCE")).removeprefix("* SOURCE FILE: "))
        one, two, three, four = (frame_of(label, rate, drop) for label in labels)
        begin = (one - first) % around
        found += [
            Heard(path, channel, (begin, begin + (two - one) % around), (three - hour, four - hour))
            for channel in channels
        ]
    assert numbers == list(range(1, len(numbers) + 1))
    return sorted(found, key=lambda one: (one.channel, one.record))


def read_otio_sound(data: bytes, case: Case) -> list[Heard]:
    """A track a stream; its channels are in the metadata, and where the sound is in the reference."""
    timeline = opentimelineio.adapters.read_from_string(data.decode(), "otio_json")
    first = first_frame(label_start(case.start, case.drop), case.rate, case.drop)
    found = []
    for number, track in enumerate(timeline.audio_tracks()):
        for clip in track.find_clips():
            path = path_of(clip.media_reference.target_url)
            sound = case.sounds[path][number]
            facts = dict(clip.metadata["dhh"])
            assert facts == {"stream": number, "channels": sound.channels, "sample_rate": sound.rate}
            there, source, placed = clip.available_range(), clip.source_range, clip.trimmed_range_in_parent()
            assert there.start_time <= source.start_time
            assert source.end_time_exclusive() <= there.end_time_exclusive()
            begin, at = frames(source.start_time) - first, frames(placed.start_time)
            length = frames(source.duration)
            before = sum(one.channels for one in case.sounds[path][:number])
            found += [
                Heard(path, channel, (begin, begin + length), (at, at + frames(placed.duration)))
                for channel in range(before + 1, before + sound.channels + 1)
            ]
    return sorted(found, key=lambda one: (one.channel, one.record))


def read_fcp7_sound(data: bytes, case: Case) -> list[Heard]:
    """By Apple's structure: a track a channel, ``sourcetrack``, links that name what lies there, and the files' own."""
    root = etree.fromstring(data)
    files = {file.get("id"): file for file in root.iterfind(".//file") if len(file)}
    found: list[Heard] = []
    for file in files.values():
        own = case.sounds[path_of(file.findtext("pathurl"))]
        said = file.findall("media/audio")
        rates = [int(one.findtext("samplecharacteristics/samplerate")) for one in said]
        channels = [int(one.findtext("channelcount")) for one in said]
        assert list(zip(channels, rates, strict=True)) == [(one.channels, one.rate) for one in own]
    for sequence in root.iterfind("sequence"):
        kinds = {kind: sequence.findall(f"media/{kind}/track") for kind in ("video", "audio")}
        assert bool(kinds["audio"]) == (sequence.find("media/audio") is not None)
        for index, track in enumerate(kinds["audio"], start=1):
            for place, clip in enumerate(track.iterfind("clipitem"), start=1):
                assert clip.findtext("sourcetrack/mediatype") == "audio"
                assert clip.findtext("sourcetrack/trackindex") == str(index)
                start, end, begin, until = (int(clip.findtext(name)) for name in ("start", "end", "in", "out"))
                path = path_of(files[clip.find("file").get("id")].findtext("pathurl"))
                found.append(Heard(path, index, (begin, until), (start, end)))
                links = {link.findtext("linkclipref"): link for link in clip.iterfind("link")}
                own = links[clip.get("id")]
                assert (own.findtext("trackindex"), own.findtext("clipindex")) == (str(index), str(place))
                for name, link in links.items():
                    kind, number, at = (link.findtext(tag) for tag in ("mediatype", "trackindex", "clipindex"))
                    other = kinds[kind][int(number) - 1].findall("clipitem")[int(at) - 1]
                    assert other.get("id") == name
                    assert other.find("file").get("id") == clip.find("file").get("id")
    return sorted(found, key=lambda one: (one.channel, one.record))


def check_fcpxml_sound(data: bytes, case: Case) -> None:
    """Assets say their sources, channels and rate; a clip says when it is heard where that is not all the time."""
    root = etree.fromstring(data)
    assets = {a.get("id"): a for a in root.iterfind("resources/asset")}
    first = first_frame(label_start(case.start, case.drop), case.rate, case.drop)
    expected = expected_sound(case)
    at = 0
    for clip, shot in zip(root.iterfind(".//asset-clip"), case.shots, strict=True):
        asset, sounds = assets[clip.get("ref")], case.sounds[shot.path]
        said = [asset.get(name) for name in ("hasAudio", "audioSources", "audioChannels", "audioRate")]
        most = max((sound.channels for sound in sounds), default=0)
        assert said == (["1", str(len(sounds)), str(most), str(sounds[0].rate)] if sounds else [None] * 4)
        here = [one for one in expected if at <= one.record[0] < at + shot.end - shot.start]
        span = (min((one.source[0] for one in here), default=0), max((one.source[1] for one in here), default=0))
        if not here:
            assert clip.get("srcEnable") == "video"
        elif span == (shot.start, shot.end):
            assert clip.get("audioStart") is clip.get("srcEnable") is None
        else:
            begin, length = (seconds(clip.get(name)) * case.rate for name in ("audioStart", "audioDuration"))
            assert [begin - first, begin - first + length] == [*span]
        at += shot.end - shot.start


def frames(time: opentimelineio.opentime.RationalTime) -> int:
    assert time.value == int(time.value)
    return int(time.value)


def pictures(timeline: Any) -> list[Any]:
    """The clips of its picture tracks."""
    return [clip for track in timeline.video_tracks() for clip in track.find_clips()]


def read_clips(timeline: Any, first: int, rate: Fraction) -> list[Seen]:
    """Clips of an OpenTimelineIO timeline, whichever adapter read it."""
    seen = []
    for clip in pictures(timeline):
        source, placed = clip.source_range, clip.trimmed_range_in_parent()
        assert abs(source.start_time.rate - float(rate)) < 1e-3
        begin = frames(source.start_time) - first
        face = frames(clip.markers[0].marked_range.start_time) - first if clip.markers else None
        url = getattr(clip.media_reference, "target_url", None)
        seen.append(
            Seen(
                (begin, begin + frames(source.duration)),
                (frames(placed.start_time), frames(placed.end_time_exclusive())),
                face,
                path_of(url) if url else None,
                clip.name,
            )
        )
    return seen


def read_otio(data: bytes, case: Case) -> list[Seen]:
    timeline = opentimelineio.adapters.read_from_string(data.decode(), "otio_json")
    first = first_frame(label_start(case.start, case.drop), case.rate, case.drop)
    for clip in pictures(timeline):
        there = clip.media_reference.available_range
        assert (frames(there.start_time), frames(there.duration)) == (first, case.length)
    hour = frame_of("01:00:00;00" if case.drop else "01:00:00:00", case.rate, case.drop)
    assert frames(timeline.global_start_time) == hour
    return read_clips(timeline, first, case.rate)


def read_fcp7(data: bytes, case: Case) -> list[Seen]:
    """By the adapter, and the timecode of the files by lxml."""
    timeline = opentimelineio.adapters.read_from_string(data.decode(), "fcp_xml")
    root = etree.fromstring(data)
    for code in root.iterfind(".//file/timecode"):
        assert int(code.findtext("frame")) == frame_of(code.findtext("string"), case.rate, case.drop)
        assert code.findtext("displayformat") == ("DF" if case.drop else "NDF")
        assert code.findtext("string") == (label_start(case.start, case.drop) or "00:00:00" + ":;"[case.drop] + "00")
    markers = [frames(marker.marked_range.start_time) for marker in timeline.tracks.markers]
    seen = []
    first = first_frame(label_start(case.start, case.drop), case.rate, case.drop)
    for clip, marker in zip(read_clips(timeline, first, case.rate), markers, strict=True):
        assert clip.source
        assert clip.record
        seen.append(Seen(clip.source, clip.record, clip.source[0] + marker - clip.record[0], clip.path, clip.name))
    return seen


def seconds(text: str) -> Fraction:
    assert text.endswith("s")
    return Fraction(text[:-1])


def read_fcpxml(data: bytes, case: Case) -> list[Seen]:
    root = etree.fromstring(data)
    formats = {f.get("id"): seconds(f.get("frameDuration")) for f in root.iterfind("resources/format")}
    assets = {a.get("id"): a for a in root.iterfind("resources/asset")}
    first = first_frame(label_start(case.start, case.drop), case.rate, case.drop)
    seen = []
    for sequence in root.iterfind(".//sequence"):
        frame = formats[sequence.get("format")]
        assert frame == 1 / case.rate
        assert sequence.get("tcFormat") == ("DF" if case.drop else "NDF")
        origin = seconds(sequence.get("tcStart")) / frame
        assert origin == frame_of("01:00:00;00" if case.drop else "01:00:00:00", case.rate, case.drop)
        for clip in sequence.iterfind("spine/asset-clip"):
            asset = assets[clip.get("ref")]
            assert seconds(asset.get("start")) == first * frame
            assert seconds(asset.get("duration")) == case.length * frame
            begin, length, at = (seconds(clip.get(name)) / frame for name in ("start", "duration", "offset"))
            face = seconds(clip.find("marker").get("start")) / frame - first
            assert {value.denominator for value in (begin, length, at, face)} == {1}
            source = (int(begin) - first, int(begin + length) - first)
            record = (int(at - origin), int(at - origin + length))
            path = path_of(asset.find("media-rep").get("src"))
            assert asset.get("name") == xml_text(path.name)
            seen.append(Seen(source, record, int(face), path, clip.get("name")))
    return seen


def titled(text: str) -> str:
    """What follows the title of a marker: ``Ada Lovelace #1 0.93`` or ``#1 3/48``."""
    match = re.match(r"(?:.*? )?#\d+ \S+ (.*)", text)
    assert match, text
    return match[1]


def read_resolve(data: bytes, case: Case, first: int) -> list[Seen]:
    lines = data.decode().split("\r\n")
    assert lines[1] == ("FCM: DROP FRAME" if case.drop else "FCM: NON-DROP FRAME")
    around = day(case.rate, case.drop)
    seen = []
    for at, line in enumerate(lines):
        match = EVENT.fullmatch(line)
        if match:
            begin, after = (frame_of(match[i], case.rate, case.drop) for i in (3, 4))
            assert (after - begin) % around == 1
            assert (match[5], match[6]) == (match[3], match[4])
            marker = re.fullmatch(r"(.*) \|C:ResolveColor\w+ \|M:(.*) \|D:(\d+)", lines[at + 1])
            assert marker
            assert "|" not in marker[1] + marker[2]
            begin = (begin - first) % around
            seen.append(Seen(None, (begin, begin + int(marker[3])), None, None, titled(marker[2])))
    return seen


def read_avid(data: bytes, case: Case, first: int) -> list[Seen]:
    around = day(case.rate, case.drop)
    seen = []
    for line in data.decode().split("\n")[:-1]:
        user, label, track, colour, comment, length = line.split("\t")
        assert (user, track, length) == ("dhh", "V1", "1")
        assert colour in ("green", "cyan", "yellow", "red", "blue")
        name = titled(comment).rpartition(": shot")[0]
        seen.append(Seen(None, None, (frame_of(label, case.rate, case.drop) - first) % around, None, name))
    return seen


def read_webvtt(data: bytes, rate: Fraction) -> list[Seen]:
    """Milliseconds -> the frame that is nearest."""
    head, *cues = data.decode().rstrip("\n").split("\n\n")
    assert head == "WEBVTT"
    seen = []
    for cue in cues:
        timing, text = cue.split("\n")
        assert "<" not in text
        assert "-->" not in text
        ends = []
        for clock in timing.split(" --> "):
            match = re.fullmatch(r"(\d\d+):(\d\d):(\d\d)\.(\d\d\d)", clock)
            assert match
            hours, minutes, whole, thousandths = (int(group) for group in match.groups())
            ends.append(round(Fraction((hours * 60 + minutes) * 60_000 + whole * 1000 + thousandths, 1000) * rate))
        plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        seen.append(Seen(None, (ends[0], ends[1]), None, None, titled(plain).rpartition(": shot")[0]))
    return seen


def read_chapters(data: bytes, rate: Fraction) -> list[Seen]:
    """By FFmpeg's own reader."""
    import av

    seen = []
    with av.open(io.BytesIO(data), format="ffmetadata", metadata_encoding="utf-8") as container:
        for chapter in container.chapters():
            assert chapter["time_base"]
            start, end = (ticks * chapter["time_base"] * rate for ticks in (chapter["start"], chapter["end"]))
            assert start.denominator == end.denominator == 1
            name = titled(chapter["metadata"]["title"])
            seen.append(Seen(None, (int(start), int(end)), None, None, name))
    return seen


@dataclass(frozen=True)
class Piece:
    """One file of a concat script; times in seconds of the file's own time stamps."""

    path: bytes
    inpoint: Fraction
    outpoint: Fraction


def read_ffconcat(data: bytes) -> list[Piece]:
    """As FFmpeg's av_get_token does: quotes end at the next quote, a backslash outside of them escapes."""
    lines = data.split(b"\n")
    assert lines[0] == b"ffconcat version 1.0"
    pieces: list[dict[str, Any]] = []
    for line in lines[1:]:
        key, _, rest = line.partition(b" ")
        if key == b"file":
            path, quoted, at = b"", False, 0
            while at < len(rest):
                letter = rest[at : at + 1]
                if letter == b"'":
                    quoted = not quoted
                elif letter == b"\\" and not quoted:
                    at += 1
                    path += rest[at : at + 1]
                else:
                    assert quoted or letter not in b" \t"
                    path += letter
                at += 1
            assert not quoted
            pieces.append({"path": path})
        elif key in (b"inpoint", b"outpoint"):
            pieces[-1][key.decode()] = Fraction(rest.decode())
        else:
            assert line[:1] in (b"", b"#"), line
    return [Piece(**piece) for piece in pieces]
