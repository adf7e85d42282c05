"""dhh log: who is in every shot, for how long, as CSV, JSON lines, Avid's ALE and XMP sidecars."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from footage import encoded_video
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from typer.testing import Result

from dhhcli.media.sample import Sample
from dhhcli.media.sound import reel_of
from dhhcli.output.footage_log import COLUMNS, log_files
from dhhcli.output.formats import LogFormat
from dhhcli.people.footage_log import LoggedShot, LoggedVideo, Seen, footage_log, seen_in
from dhhcli.storage.schema import TRACK_DTYPE

Run = Callable[..., Result]
# what dhh sample says of its film: shots in which each of the two people is
THERE = {"Eileen Collins": {2, 6, 7}, "Grace Hopper": {3, 5, 6}}


@pytest.fixture
def named(encoded: Path, sample: Sample, dhh: Run, tmp_path: Path) -> Path:
    """A copy of the sample's codes in which both people have names."""
    codes = tmp_path / "named.h5"
    codes.write_bytes(encoded.read_bytes())
    for photo, name in zip(sample.photos, sorted(THERE), strict=True):
        found = dhh("query", photo, "-c", codes, "-n", "3", "--json")
        tracks = [word for line in found.stdout.splitlines() for word in ("--track", json.loads(line)["track_id"])]
        assert dhh("name", codes, name, *tracks).exit_code == 0
    return codes


def test_csv_and_json_say_who_is_where(named: Path, dhh: Run) -> None:
    lines = dhh("log", named)
    assert lines.exit_code == 0, lines.stderr
    head, *rows = csv.reader(io.StringIO(lines.stdout), strict=True)
    assert tuple(head) == COLUMNS
    table = [dict(zip(head, row, strict=True)) for row in rows]
    film = [row for row in table if row["video"].endswith("film.mp4")]
    assert {int(row["shot"]) for row in film} == set(range(1, 9))  # shots without anybody too
    for name, shots in THERE.items():
        assert {int(row["shot"]) for row in film if row["name"] == name} == shots
    objects = [json.loads(line) for line in dhh("log", named, "-f", "json").stdout.splitlines()]
    flat = [(one["video"], one["shot"], who["name"], who["seconds"]) for one in objects for who in one["people"]]
    assert flat == [
        (row["video"], int(row["shot"]), row["name"] or None, float(row["seconds"])) for row in table if row["person"]
    ]
    for one in objects:
        for who in one["people"]:
            assert one["start_frame"] <= who["first_frame"] <= who["last_frame"] < one["end_frame"]
            assert who["seconds"] == pytest.approx((who["last_frame"] - who["first_frame"] + 1) / 25)


def test_ale_has_a_line_a_shot(named: Path, dhh: Run, tmp_path: Path) -> None:
    assert dhh("log", named, "-o", tmp_path / "film.ale").exit_code == 0
    heading, columns, data = (tmp_path / "film.ale").read_bytes().decode().split("\r\n\r\n")
    assert heading.split("\r\n")[:2] == ["Heading", "FIELD_DELIM\tTABS"]
    assert "FPS\t25" in heading.split("\r\n")
    names = columns.split("\r\n")[1].split("\t")
    lines = [dict(zip(names, line.split("\t"), strict=True)) for line in data.rstrip("\r\n").split("\r\n")[1:]]
    assert [line["Name"] for line in lines] == [f"film {number:03}" for number in range(1, 9)]
    assert {line["Tape"] for line in lines} == {"film"}
    assert lines[5]["Persons"] == "Eileen Collins, Grace Hopper"
    assert lines[0]["Persons"] == ""


def test_sidecars_name_people_and_spare_those_of_others(named: Path, dhh: Run, tmp_path: Path) -> None:
    assert dhh("log", named, "-f", "xmp").exit_code == 2
    result = dhh("log", named, "-f", "xmp", "-o", tmp_path / "side")
    assert result.exit_code == 0, result.stderr
    root = etree.fromstring((tmp_path / "side" / "film.xmp").read_bytes())
    spaces = {
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "dc": "http://purl.org/dc/elements/1.1/",
        "dm": "http://ns.adobe.com/xmp/1.0/DynamicMedia/",
        "iptc": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    }
    for bag in ("dc:subject", "iptc:PersonInImage"):
        assert [li.text for li in root.iterfind(f".//{bag}/rdf:Bag/rdf:li", spaces)] == sorted(THERE)
    assert root.findtext(".//dm:frameRate", namespaces=spaces) == "f25"
    markers = [
        tuple(marker.findtext(f"dm:{name}", namespaces=spaces) for name in ("startTime", "duration", "name"))
        for marker in root.iterfind(".//dm:markers/rdf:Seq/rdf:li", spaces)
    ]
    objects = [json.loads(line) for line in dhh("log", named, "-f", "json").stdout.splitlines()]
    assert markers == [
        (str(who["first_frame"]), str(who["last_frame"] - who["first_frame"] + 1), who["name"])
        for one in objects
        if one["video"].endswith("film.mp4")
        for who in one["people"]
    ]
    assert dhh("log", named, "-f", "xmp", "-o", tmp_path / "side").exit_code == 0  # its own are replaced
    (tmp_path / "side" / "film.xmp").write_text("<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk='Adobe'/>")
    refused = dhh("log", named, "-f", "xmp", "-o", tmp_path / "side")
    assert refused.exit_code == 1
    assert "another program" in refused.stderr


def test_every_rate_has_an_ale_of_its_own() -> None:
    record = replace(encoded_video(np.random.default_rng(1), "/a.mov").video, height=1080)
    seen = Seen(1, "Ada\tLovelace", 1.0, "a", "b", 0, 24, ("x",))
    shot = LoggedShot(1, "01:00:00;00", "01:00:01;00", 0, 30, (seen,))
    videos = [
        LoggedVideo(Path(f"/{n}.mov"), "A001", replace(record, frame_rate=rate), (shot,))
        for n, rate in enumerate((Fraction(25), Fraction(30_000, 1001), Fraction(25)))
    ]
    at_25, at_30 = log_files(videos, LogFormat.ale)
    assert (at_25.part, at_30.part) == ("25", "29.97")
    assert at_25.data().count(b"A001") == 2
    assert b"VIDEO_FORMAT\t1080\r\n" in at_30.data()
    assert b"Ada\\tLovelace" in at_30.data()
    still = replace(videos[0], record=replace(record, still=True))
    assert log_files([still], LogFormat.ale) == []


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), min_size=1, max_size=6))
def test_screen_time_counts_a_frame_once(spans: list[tuple[int, int]]) -> None:
    """Against the set of frames in which any of the tracks is."""
    video = replace(
        encoded_video(np.random.default_rng(2), "/a.mov").video,
        frame_rate=Fraction(25),
        time_base=Fraction(1, 25),
        start_pts=0,
        drop_frame=False,
        start_timecode=None,
    )
    tracks = np.zeros(len(spans), TRACK_DTYPE)
    for row, (start, more) in enumerate(spans):
        tracks[row]["start_pts"] = tracks[row]["start_frame"] = start
        tracks[row]["end_pts"], tracks[row]["end_frame"] = start + more, start + more + 1
    frames = {frame for start, more in spans for frame in range(start, start + more + 1)}
    seen = seen_in(video, tracks, 1, "", tuple("x" for _ in spans))
    assert seen.seconds == pytest.approx(len(frames) / 25)
    assert (seen.first_frame, seen.last_frame) == (min(frames), max(frames))


def test_the_reel_is_the_files_word(tmp_path: Path, sample: Sample) -> None:
    film = tmp_path / "film.mov"
    with (
        av.open(str(sample.film)) as source,
        av.open(str(film), "w", options={"movflags": "use_metadata_tags"}) as copy,
    ):
        copy.metadata["reel_name"] = "A001R2EC"
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    assert reel_of(film) == "A001R2EC"
    assert reel_of(sample.film) is None
    assert reel_of(tmp_path / "gone.mov") is None


def test_nobody_is_an_empty_log(dhh: Run, tmp_path: Path, encoded: Path) -> None:
    bad = dhh("log", encoded, "-o", tmp_path / "x.doc")
    assert (bad.exit_code, "ends like no log" in bad.stderr) == (2, True)
    logged, _ = footage_log(encoded)
    assert sorted(video.path.name for video in logged)[-1] == "film.mp4"
