"""edit/: what an independent reader finds in every format is the frame that was found, for every rate and start.

`DHH_EDIT_CASES=3000 python -m pytest tests/output/test_timelines.py` makes thousands of cases a test instead of a few.
"""

import csv
import dataclasses
import io
import json
import os
from fractions import Fraction
from pathlib import Path

import opentimelineio
import pytest
from answers import HOSTILE
from edits import (
    COUNTINGS,
    NTSC,
    STARTS,
    Case,
    Shot,
    Videos,
    answer,
    cases,
    check_fcpxml_sound,
    expected_sound,
    exported,
    first_frame,
    frame_of,
    label_start,
    pictures,
    read_avid,
    read_chapters,
    read_edl,
    read_edl_sound,
    read_fcp7,
    read_fcp7_sound,
    read_fcpxml,
    read_ffconcat,
    read_otio,
    read_otio_sound,
    read_resolve,
    read_webvtt,
    seconds,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from lxml import etree

from dhhcli.base.text import one_line
from dhhcli.errors import EditError, UsageError
from dhhcli.output.columns import COLUMNS
from dhhcli.output.delimited import csv_lines
from dhhcli.output.formats import Format, Order, SequenceLayout
from dhhcli.output.timelines.cuts import Handles, cuts, parse_handles, parse_rate
from dhhcli.output.timelines.export import export
from dhhcli.output.timelines.names import reels, xml_text
from dhhcli.output.timelines.source_media import media_of
from dhhcli.search.result import Row

few = settings(
    deadline=None,
    max_examples=int(os.environ.get("DHH_EDIT_CASES", "25")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def placed(shots: list[Shot]) -> list[tuple[int, int]]:
    """Where the shots lie on a timeline that shows one after another."""
    at, found = 0, []
    for shot in shots:
        found.append((at, at + shot.end - shot.start))
        at = found[-1][1]
    return found


# ---------------------------------------------------------------------------------------------- frame exactness


@pytest.mark.parametrize(
    ("wanted", "read"),
    [
        (Format.edl, read_edl),
        (Format.otio, read_otio),
        (Format.fcp7, read_fcp7),
        (Format.fcpxml, read_fcpxml),
    ],
)
def test_a_sequence_holds_the_frames_that_were_found(wanted: Format, read: object) -> None:
    @few
    @given(cases(videos=2))
    def check(case: Case) -> None:
        (data,) = exported(case, wanted)
        seen = read(data, case)  # type: ignore[operator]
        assert [clip.source for clip in seen] == [(shot.start, shot.end) for shot in case.shots]
        assert [clip.record for clip in seen] == placed(case.shots)
        assert [clip.face for clip in seen] == [shot.face for shot in case.shots]
        assert [clip.path for clip in seen] == [shot.path for shot in case.shots]
        assert [clip.name for clip in seen] == [clip_name(wanted, row) for row in case.rows]

    check()


def clip_name(wanted: Format, row: Row) -> str:
    """Whom it shows and the source; an EDL's name finds the file, so it is the file's alone."""
    name = f"{row.name} - {row.video.name}" if row.name and wanted is not Format.edl else row.video.name
    return xml_text(name) if wanted in (Format.fcp7, Format.fcpxml) else one_line(name)


@pytest.mark.parametrize(
    ("wanted", "read", "most"),
    [(Format.edl, read_edl_sound, 4), (Format.otio, read_otio_sound, 99), (Format.fcp7, read_fcp7_sound, 99)],
)
def test_the_sound_lies_with_its_picture(wanted: Format, read: object, most: int) -> None:
    """Every channel, from the frame where it begins to the frame where it ends; an EDL holds four of them."""

    @few
    @given(cases(videos=2))
    def check(case: Case) -> None:
        (data,) = exported(case, wanted)
        assert read(data, case) == expected_sound(case, most)  # type: ignore[operator]
        silent = dataclasses.replace(case, sounds=dict.fromkeys(case.videos, ()))
        (data,) = exported(silent, wanted)
        assert read(data, silent) == []  # type: ignore[operator]

    check()


@few
@given(cases(videos=2))
def test_final_cut_is_told_of_the_sound(case: Case) -> None:
    (data,) = exported(case, Format.fcpxml)
    check_fcpxml_sound(data, case)


@few
@given(cases())
def test_the_adapters_read_the_sound(case: Case) -> None:
    """OpenTimelineIO's for FCP 7, and its CMX 3600 one, which knows V, A, B, AA, A2/V and AA/V."""
    sounds = {path: tuple(dataclasses.replace(s, channels=2) for s in own[:1]) for path, own in case.sounds.items()}
    case = dataclasses.replace(case, sounds=sounds)
    stereo = [one for one in expected_sound(case) if one.channel == 1]
    (data,) = exported(case, Format.fcp7)
    timeline = opentimelineio.adapters.read_from_string(data.decode(), "fcp_xml")
    assert len(timeline.audio_tracks()) == (2 if stereo else 0)
    for track in timeline.audio_tracks():
        places = [clip.trimmed_range_in_parent() for clip in track.find_clips()]
        assert [(int(p.start_time.value), int(p.end_time_exclusive().value)) for p in places] == [
            one.record for one in stereo
        ]
    first = first_frame(label_start(case.start, case.drop), case.rate, case.drop)
    last = frame_of("23:59:59;29" if case.drop else "23:59:59:23", case.rate, case.drop)
    if first + max(shot.end for shot in case.shots) < last:
        (data,) = exported(case, Format.edl)
        timeline = opentimelineio.adapters.read_from_string(data.decode(), "cmx_3600", rate=float(case.rate))
        assert len(timeline.audio_tracks()) == (2 if stereo else 0)
        for track in timeline.audio_tracks():
            starts = [int(clip.source_range.start_time.value) - first for clip in track.find_clips()]
            assert starts == [one.source[0] for one in stereo]


@few
@given(cases())
def test_markers_lie_at_the_source_timecode(case: Case) -> None:
    first = first_frame(label_start(case.start, case.drop), case.rate, case.drop)
    shots = sorted(case.shots, key=lambda shot: shot.start)
    (data,) = exported(case, Format.resolve)
    assert [marker.record for marker in read_resolve(data, case, first)] == [(s.start, s.end) for s in shots]
    (data,) = exported(case, Format.avid)
    assert [marker.face for marker in read_avid(data, case, first)] == [shot.face for shot in shots]


@few
@given(cases(videos=2))
def test_markers_of_a_stringout_lie_where_its_clips_do(case: Case) -> None:
    hour = frame_of("01:00:00;00" if case.drop else "01:00:00:00", case.rate, case.drop)
    expected = placed(case.shots)
    (data,) = exported(case, Format.resolve, layout=SequenceLayout.stringout)
    assert [marker.record for marker in read_resolve(data, case, hour)] == expected
    (data,) = exported(case, Format.avid, layout=SequenceLayout.stringout)
    faces = [at + shot.face - shot.start for shot, (at, _) in zip(case.shots, expected, strict=True)]
    assert [marker.face for marker in read_avid(data, case, hour)] == faces
    (data,) = exported(case, Format.webvtt, layout=SequenceLayout.stringout)
    assert [cue.record for cue in read_webvtt(data, case.rate)] == expected
    (data,) = exported(case, Format.chapters, layout=SequenceLayout.stringout)
    assert [chapter.record for chapter in read_chapters(data, case.rate)] == expected


@few
@given(cases())
def test_captions_and_chapters_lie_in_the_file(case: Case) -> None:
    expected = sorted((shot.start, shot.end) for shot in case.shots)
    (data,) = exported(case, Format.webvtt)
    assert [cue.record for cue in read_webvtt(data, case.rate)] == expected
    (data,) = exported(case, Format.chapters)
    assert [chapter.record for chapter in read_chapters(data, case.rate)] == expected


@few
@given(cases(videos=2), st.integers(0, 40))
def test_a_concat_script_begins_at_the_frame_and_ends_before_the_next(case: Case, handles: int) -> None:
    """FFmpeg begins at the key frame at or before the in point and leaves out what is not before the out point."""
    (data,) = exported(case, Format.ffconcat, handles=handles)
    for piece, shot in zip(read_ffconcat(data), case.shots, strict=True):
        video, _ = case.videos[shot.path]
        start, end = max(0, shot.start - handles), min(case.length, shot.end + handles)

        def stamp(frame: int, video=video) -> Fraction:  # type: ignore[no-untyped-def]
            return Fraction((video.start_pts + round(frame / case.rate / video.time_base)) * video.time_base)

        assert piece.path == bytes(shot.path)
        # the time stamps of the test's first frame and of every other are rounded on their own
        assert stamp(start) <= piece.inpoint < stamp(start + 1)
        assert stamp(end - 1) < piece.outpoint <= stamp(end)


@few
@given(cases(videos=2), st.integers(1, 3000))
def test_handles_reach_as_far_as_the_source_goes(case: Case, handles: int) -> None:
    (data,) = exported(case, Format.otio, handles=handles)
    for clip, shot in zip(read_otio(data, case), case.shots, strict=True):
        assert clip.source == (max(0, shot.start - handles), min(case.length, shot.end + handles))
        assert clip.face == shot.face


@few
@given(cases(videos=2))
def test_by_time_and_by_video(case: Case) -> None:
    (data,) = exported(case, Format.otio, order=Order.time)
    assert [clip.source for clip in read_otio(data, case)] == [
        (shot.start, shot.end) for shot in sorted(case.shots, key=lambda shot: (shot.path, shot.start))
    ]
    for path, data in zip(sorted(case.videos), exported(case, Format.edl, layout=SequenceLayout.video), strict=True):
        own = [shot for shot in case.shots if shot.path == path]
        seen = read_edl(data, case)
        assert [clip.source for clip in seen] == [(shot.start, shot.end) for shot in own]
        assert [clip.record for clip in seen] == placed(own)


@few
@given(cases())
def test_the_adapter_reads_our_edl(case: Case) -> None:
    """OpenTimelineIO's CMX 3600 adapter, where no label wraps at midnight: it does not know that tape does."""
    first = first_frame(label_start(case.start, case.drop), case.rate, case.drop)
    last = frame_of("23:59:59;29" if case.drop else "23:59:59:23", case.rate, case.drop)
    assume(first + max(shot.end for shot in case.shots) < last)
    (data,) = exported(case, Format.edl)
    timeline = opentimelineio.adapters.read_from_string(data.decode(), "cmx_3600", rate=float(case.rate))
    # it takes the events of channels 3 and 4 alone for pictures
    (clips,) = [track.find_clips() for track in timeline.video_tracks() if track.name == "V"]
    assert [(int(c.source_range.start_time.value) - first, int(c.source_range.duration.value)) for c in clips] == [
        (shot.start, shot.end - shot.start) for shot in case.shots
    ]
    assert [clip.name for clip in clips] == [shot.path.name for shot in case.shots]


@few
@given(cases())
def test_the_unmaintained_adapter_reads_our_fcpxml(case: Case) -> None:
    (data,) = exported(case, Format.fcpxml)
    (timeline,) = opentimelineio.adapters.read_from_string(data.decode(), "fcpx_xml")
    assert [clip.name for clip in pictures(timeline)] == [clip_name(Format.fcpxml, row) for row in case.rows]


def test_every_rate_with_every_start_once() -> None:
    """What hypothesis draws from, all of it, with a shot over each drop and over midnight."""
    for name, (rate, drop) in COUNTINGS.items():
        for start in STARTS:
            base = round(rate)
            shots = [(n * 60 * base - 5, n * 60 * base + 7, n * 60 * base) for n in (1, 2, 9, 10, 11)]
            rows, videos = answer(Path(f"/films/{name}.mov"), shots, rate=rate, drop=drop, start=start)
            truth = [Shot(row.video, *shot) for row, shot in zip(rows, shots, strict=True)]
            case = Case(rate, drop, start, rows, videos, truth, 300_000)
            for wanted, read in ((Format.edl, read_edl), (Format.fcpxml, read_fcpxml), (Format.fcp7, read_fcp7)):
                (data,) = exported(case, wanted)
                assert [(clip.source, clip.face) for clip in read(data, case)] == [(s[:2], s[2]) for s in shots]
            first = first_frame(label_start(start, drop), rate, drop)
            for row, shot in zip(rows, shots, strict=True):
                labels = (row.start, row.end, row.face_at)
                for label, frame in zip(labels, shot, strict=True):
                    expected = (first + frame) % (frame_of(f"23:59:59{':;'[drop]}{base - 1}", rate, drop) + 1)
                    assert frame_of(label, rate, drop) == expected


# ------------------------------------------------------------------------------------------ variable frame rate


@few
@given(st.data())
def test_a_variable_frame_rate_is_counted_at_a_standard_rate_and_does_not_drift(data: st.DataObject) -> None:
    """A phone's film: pictures 1/60 to 1/10 s apart, 29.x on average; three hours of it."""
    average = data.draw(st.fractions(Fraction(28), Fraction(31), max_denominator=997))
    steps = data.draw(st.lists(st.integers(1500, 9000), min_size=6, max_size=30))
    hours = data.draw(st.integers(0, 3))
    ticks = [0]
    for number, step in enumerate(steps):
        ticks.append(ticks[-1] + step + (hours * 3600 * 90_000 if number == 1 else 0))
    shots = [(2, 4, 3), (4, len(ticks) - 1, 4)]
    rows, videos = answer(
        Path("/phone.mp4"),
        shots,
        rate=Fraction(30),
        said=average,
        start="01:00:00:00",
        time_base=Fraction(1, 90_000),
        pts=lambda frame: ticks[frame],
        length=len(ticks) - 1,
    )
    ((record, end),) = videos.values()
    media = media_of(record, end)
    assert media.rate in {counted for n in (28, 29, 30, 31) for counted in (Fraction(n), n * NTSC)}
    half = Fraction(1, 2) / media.rate
    for row, cut, (begin, after, face) in zip(rows, cuts(rows, {row.video: media for row in rows}), shots, strict=True):
        for frame, truth in ((cut.start, begin), (cut.face, face)):
            # pictures that follow each other faster than frames are counted share one
            assert abs(frame / media.rate - Fraction(ticks[truth], 90_000)) <= half or frame == cut.end - 1
        assert cut.end == cut.start + 1 or abs(cut.end / media.rate - Fraction(ticks[after], 90_000)) <= half
        assert (cut.start_time, cut.end_time) == (Fraction(ticks[begin], 90_000), Fraction(ticks[after], 90_000))
        # a picture in the last half frame of the file is in its last frame
        assert row.start == media.label(cut.start) or cut.start == media.length - 1
        clock = frame_of(row.start, media.rate, drop=False) / Fraction(round(media.rate)) - 3600
        # labels of a rate of NTSC run 1/1000 slow against the clock, by definition; nothing else is lost
        slow = Fraction(ticks[begin], 90_000) * (1 - media.rate / round(media.rate))
        assert abs(clock + slow - Fraction(ticks[begin], 90_000)) <= 1 / media.rate


# ------------------------------------------------------------------------------------------------- names of files


@pytest.mark.parametrize("name", [*HOSTILE, "long"])
def test_names_survive_every_format(name: str) -> None:
    folder = Path("/films/a & <b> 'c' \"d\"/..")
    path = Path("/" + "/".join(["sixty letters " * 4] * 5), "clip.mov") if name == "long" else folder / name
    assert name != "long" or len(str(path)) > 280
    rows, videos = answer(path, [(10, 20, 15), (30, 40, 30)], rate=Fraction(25))
    case = Case(Fraction(25), False, None, rows, videos, [Shot(path, 10, 20, 15), Shot(path, 30, 40, 30)], 300_000)
    for wanted, read in (
        (Format.edl, read_edl),
        (Format.otio, read_otio),
        (Format.fcp7, read_fcp7),
        (Format.fcpxml, read_fcpxml),
    ):
        (data,) = exported(case, wanted)
        seen = read(data, case)
        assert [(clip.source, clip.face, clip.path) for clip in seen] == [((10, 20), 15, path), ((30, 40), 30, path)]
        expected = xml_text(path.name) if wanted in (Format.fcp7, Format.fcpxml) else one_line(path.name)
        assert [clip.name for clip in seen] == [expected] * 2
    shown = one_line(path.name)
    (data,) = exported(case, Format.resolve)
    assert [(m.record, m.name) for m in read_resolve(data, case, 0)] == [
        ((10, 20), shown.replace("|", "¦")),
        ((30, 40), shown.replace("|", "¦")),
    ]
    (data,) = exported(case, Format.avid)
    assert [(m.face, m.name) for m in read_avid(data, case, 0)] == [(15, shown), (30, shown)]
    (data,) = exported(case, Format.webvtt)
    assert [(c.record, c.name) for c in read_webvtt(data, case.rate)] == [((10, 20), shown), ((30, 40), shown)]
    (data,) = exported(case, Format.chapters)
    assert [(c.record, c.name) for c in read_chapters(data, case.rate)] == [((10, 20), shown), ((30, 40), shown)]
    text = "".join(f"{line}\r\n" for line in csv_lines(rows))
    head, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert tuple(head) == COLUMNS
    assert [line[COLUMNS.index("video")] for line in lines] == [str(path)] * 2
    assert [line[COLUMNS.index("box")] for line in lines] == ["1,2,30,40"] * 2
    if "\n" in name:
        with pytest.raises(EditError, match="line break"):
            exported(case, Format.ffconcat)
    else:
        (data,) = exported(case, Format.ffconcat)
        assert [piece.path for piece in read_ffconcat(data)] == [bytes(path)] * 2


@few
@given(st.lists(st.text(st.characters(exclude_characters="\0/"), min_size=1, max_size=30), min_size=1, max_size=40))
def test_reels_are_eight_letters_and_no_two_alike(names: list[str]) -> None:
    paths = [Path("/a") / name for name in names] + [Path("/b") / name for name in names]
    made = reels(paths)
    assert made.keys() == set(paths)
    assert len(set(made.values())) == len(set(paths))
    for reel in made.values():
        assert 1 <= len(reel) <= 8
        assert set(reel) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
        assert reel not in ("AX", "BL", "AUX")


def test_clips_of_one_camera_keep_apart() -> None:
    paths = [Path(f"/card/A001C00{n}_230101_R1AB.mov") for n in range(1, 13)]
    assert list(reels(paths).values())[:3] == ["A001C001", "A001C002", "A001C003"]
    assert list(reels([Path(f"/{n}/A001C001_230101.mov") for n in range(12)]).values())[::5] == [
        "A001C001",
        "A001C006",
        "A001C011",
    ]


# ----------------------------------------------------------------------------------------- several files and rates


def mixed() -> Case:
    """A shot of a film at 25, then two of one at 29.97 drop-frame."""
    one, videos = answer(Path("/a.mov"), [(25, 75, 50)], rate=Fraction(25))
    two, others = answer(Path("/b.mov"), [(30, 60, 45), (90, 119, 100)], rate=30 * NTSC, drop=True, first_rank=2)
    return Case(30 * NTSC, True, None, [*one, *two], videos | others, [], 300_000)


def test_a_sequence_of_several_rates_has_the_commonest() -> None:
    case = mixed()
    (data,) = exported(case, Format.otio)
    timeline = opentimelineio.adapters.read_from_string(data.decode(), "otio_json")
    ranges = [(c.source_range.start_time.value, c.source_range.start_time.rate) for c in timeline.find_clips()]
    assert [(value, round(rate, 2)) for value, rate in ranges] == [(25, 25), (30, 29.97), (90, 29.97)]
    (data,) = exported(case, Format.fcpxml)
    assert b'<conform-rate scaleEnabled="0" srcFrameRate="25" />' in data
    assert b'offset="107892' not in data  # 3599.9964 s: counted in frames of 1001/30000
    assert b'offset="107999892/30000s" start="1s" duration="60060/30000s"' in data
    at_25, at_30 = exported(case, Format.edl)
    assert b"FROM CLIP NAME: a.mov" in at_25
    assert b"FROM CLIP NAME: a.mov" not in at_30
    assert at_30.count(b"FROM CLIP NAME: b.mov") == 2
    third, more = answer(Path("/c.mov"), [(1, 2, 1)], rate=Fraction(25), first_rank=4)
    parts = export([*case.rows, *third], case.videos | more, Format.edl, handles=Handles())
    assert [file.part or file.video for file in parts] == ["25", "29.97df"]
    assert len(exported(case, Format.edl, layout=SequenceLayout.video)) == 2


@few
@given(st.lists(st.tuples(st.sampled_from(sorted(COUNTINGS)), st.integers(1, 400)), min_size=1, max_size=40), st.data())
def test_a_sequence_of_any_rate_conforms_exactly(shots: list[tuple[str, int]], data: st.DataObject) -> None:
    """Nothing drifts: every cut begins within half a frame of the sum of those before it."""
    rows: list[Row] = []
    videos: Videos = {}
    for number, (counting, length) in enumerate(shots):
        rate, drop = COUNTINGS[counting]
        made, video = answer(
            Path(f"/{number}.mov"), [(7, 7 + length, 7)], rate=rate, drop=drop, length=9000, first_rank=number + 1
        )
        rows += made
        videos |= video
    wanted = COUNTINGS[data.draw(st.sampled_from(sorted(COUNTINGS)))]
    case = Case(*wanted, None, rows, videos, [], 9000)
    (made_otio,) = exported(case, Format.otio, counting=wanted)
    (made_fcp7,) = exported(case, Format.fcp7, counting=wanted)
    (made_fcpxml,) = exported(case, Format.fcpxml, counting=wanted)
    timeline = opentimelineio.adapters.read_from_string(made_otio.decode(), "otio_json")
    fcp7 = [
        (int(item.findtext("start")), int(item.findtext("end")))
        for item in etree.fromstring(made_fcp7).iterfind(".//video/track/clipitem")
    ]
    hour = frame_of("01:00:00;00" if wanted[1] else "01:00:00:00", *wanted)
    fcpx = [
        (seconds(clip.get("offset")) * wanted[0] - hour, seconds(clip.get("duration")) * wanted[0])
        for clip in etree.fromstring(made_fcpxml).iterfind(".//asset-clip")
    ]
    exact, at = Fraction(0), 0
    for clip, shot, (start, end), (offset, lasts) in zip(pictures(timeline), shots, fcp7, fcpx, strict=True):
        assert start == at
        assert offset == at
        assert lasts == end - start >= 1
        assert clip.source_range.start_time.value == 7
        assert clip.duration().value == pytest.approx(end - start)
        assert clip.duration().rate == pytest.approx(float(wanted[0]))
        exact += shot[1] / COUNTINGS[shot[0]][0] * wanted[0]
        at = end
        if all(length > 5 for _, length in shots):  # else a cut of less than a frame is shown for one
            assert abs(at - exact) <= Fraction(1, 2)


def test_a_cut_of_less_than_a_frame_takes_none_from_the_next() -> None:
    short, first = answer(Path("/a.mov"), [(7, 8, 7)], rate=Fraction(50), length=9000)
    whole, second = answer(Path("/b.mov"), [(7, 9, 7)], rate=Fraction(25), length=9000, first_rank=2)
    case = Case(Fraction(25), False, None, [*short, *short, *whole], first | second, [], 9000)
    (made,) = exported(case, Format.otio, counting=(Fraction(25), False))
    timeline = opentimelineio.adapters.read_from_string(made.decode(), "otio_json")
    assert [clip.duration().value for clip in pictures(timeline)] == [1, 1, 2]
    (made,) = exported(case, Format.fcp7, counting=(Fraction(25), False))
    items = etree.fromstring(made).iterfind(".//video/track/clipitem")
    assert [(item.findtext("start"), item.findtext("end")) for item in items] == [("0", "1"), ("1", "2"), ("2", "4")]


@pytest.mark.parametrize(
    ("text", "counting"),
    [
        ("25", (Fraction(25), False)),
        ("23.98", (24 * NTSC, False)),
        ("30000/1001", (30 * NTSC, False)),
        ("29.97DF", (30 * NTSC, True)),
        ("59.94 df", (60 * NTSC, True)),
    ],
)
def test_rates_are_exact(text: str, counting: tuple[Fraction, bool]) -> None:
    assert parse_rate(text) == counting


@pytest.mark.parametrize("text", ["", "0", "x", "1/0", "30df", "25df", "1000", "-25"])
def test_rates_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--rate"):
        parse_rate(text)


def test_an_edl_says_where_the_counting_changes() -> None:
    one, videos = answer(Path("/a.mov"), [(0, 30, 5)], rate=30 * NTSC)
    two, others = answer(Path("/b.mov"), [(1790, 1810, 1800)], rate=30 * NTSC, drop=True, first_rank=2)
    case = Case(30 * NTSC, False, None, [*one, *two], videos | others, [], 300_000)
    (data,) = exported(case, Format.edl)
    assert data.decode().split("\r\n") == [
        "TITLE: dhh",
        "FCM: NON-DROP FRAME",
        "",
        "001  A        V     C        00:00:00:00 00:00:01:00 01:00:00:00 01:00:01:00",
        "* FROM CLIP NAME: a.mov",
        "* SOURCE FILE: file:///a.mov",
        "* LOC: 01:00:00:05 BLUE    #1 0/48 shot 1, 0 of 48 bits differ, face at 00:00:00:05",
        "",
        "FCM: DROP FRAME",
        "002  B        V     C        00:00:59;20 00:01:00;12 01:00:01:00 01:00:01:20",
        "* FROM CLIP NAME: b.mov",
        "* SOURCE FILE: file:///b.mov",
        "* LOC: 01:00:01:10 BLUE    #2 0/48 shot 1, 0 of 48 bits differ, face at 00:01:00;02",
        "",
    ]


def test_confidence_names_the_markers_where_there_is_one() -> None:
    rows, videos = answer(Path("/a.mov"), [(0, 30, 5)], rate=Fraction(25))
    ((record, end),) = videos.values()
    (cut,) = cuts(rows, {rows[0].video: media_of(record, end)})
    assert (cut.title, cut.comment) == ("#1 0/48", "shot 1, 0 of 48 bits differ, face at 00:00:00:05")
    sure = dataclasses.replace(cut, row=dataclasses.replace(cut.row, confidence=0.939))
    assert (sure.title, sure.comment) == ("#1 0.93", "shot 1, very likely, 0 of 48 bits differ, face at 00:00:00:05")
    assert (cut.colour, sure.colour, cut.clip) == ("BLUE", "GREEN", "a.mov")
    for confidence, colour in ((0.9, "GREEN"), (0.5, "CYAN"), (0.1, "YELLOW"), (0.09, "RED")):
        assert dataclasses.replace(cut, row=dataclasses.replace(cut.row, confidence=confidence)).colour == colour


def test_names_are_in_markers_clips_and_sequences() -> None:
    rows, videos = answer(Path("/a.mov"), [(0, 30, 5), (40, 50, 45), (60, 70, 65)], rate=Fraction(25))
    both = dataclasses.replace(rows[0], name="Ada", names=("Ada", "Grace Hopper"))
    rows = [both, dataclasses.replace(rows[1], name="Ada", names=("Ada",)), rows[2]]
    ((record, end),) = videos.values()
    (cut, *_) = cuts(rows, {rows[0].video: media_of(record, end)})
    assert (cut.title, cut.clip) == ("Ada #1 0/48", "Ada - a.mov")
    assert cut.comment == "shot 1, 0 of 48 bits differ, face at 00:00:00:05, with Grace Hopper"

    def named(wanted: Format, rows: list[Row], layout: SequenceLayout | None = None) -> bytes:
        (file,) = export(rows, videos, wanted, handles=Handles(), layout=layout, name="03")
        return file.data()

    assert json.loads(named(Format.otio, rows))["name"] == "Ada"
    assert json.loads(named(Format.otio, rows, SequenceLayout.video))["name"] == "Ada - a.mov"
    assert json.loads(named(Format.otio, rows[2:]))["name"] == "03"  # nobody has a name there
    assert named(Format.edl, rows).startswith(b"TITLE: Ada\r\n")
    clips = json.loads(named(Format.otio, rows))["tracks"]["children"][0]["children"]
    assert [clip["name"] for clip in clips] == ["Ada - a.mov", "Ada - a.mov", "a.mov"]
    assert clips[0]["metadata"]["dhh"]["names"] == ["Ada", "Grace Hopper"]
    assert b"|M:Ada #1 0/48 a.mov" in named(Format.resolve, rows)


@pytest.mark.parametrize(
    ("text", "handles"),
    [
        ("12f", Handles(frames=12)),
        ("0f", Handles()),
        ("1.5s", Handles(seconds=Fraction(3, 2))),
        ("2", Handles(seconds=Fraction(2))),
    ],
)
def test_handles_are_frames_or_seconds(text: str, handles: Handles) -> None:
    assert parse_handles(text) == handles


@pytest.mark.parametrize("text", ["", "f", "-1f", "1.5f", "1h", "nan", "1e3", "12 f", "٣f"])
def test_handles_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--handles"):
        parse_handles(text)


def test_a_file_without_a_frame_rate_has_no_frames_to_count() -> None:
    rows, videos = answer(Path("/a.mov"), [(0, 30, 5)], rate=Fraction(25))
    ((record, end),) = videos.values()
    unknown = {record.path: (dataclasses.replace(record, frame_rate=None), end)}
    with pytest.raises(EditError, match=r"/a\.mov: has no frame rate"):
        export(rows, unknown, Format.edl, handles=Handles())


def test_nothing_found_makes_no_file() -> None:
    assert export([], {}, Format.otio, handles=Handles()) == []


def test_otio_keeps_what_is_known_of_a_hit() -> None:
    rows, videos = answer(Path("/a.mov"), [(0, 30, 5)], rate=Fraction(25))
    case = Case(Fraction(25), False, None, rows, videos, [], 300_000)
    (data,) = exported(case, Format.otio)
    (clip,) = json.loads(data)["tracks"]["children"][0]["children"]
    assert clip["metadata"]["dhh"] == {
        "rank": 1,
        "distance": 0,
        "bits": 48,
        "confidence": None,
        "false_rate": None,
        "name": None,
        "names": [],
        "shot": 1,
        "face_at": "00:00:00:05",
        "box": [1, 2, 30, 40],
        "drop_frame": False,
    }
