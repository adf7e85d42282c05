"""edit/ on real files: exports of decoded video, read by FFmpeg and through the command line."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import opentimelineio
import pytest
from edits import answer
from synthetic import numbered, read_number, with_sound, write_video
from typer.testing import Result

from dhhcli.errors import VideoError
from dhhcli.media.sample import Sample
from dhhcli.media.sound import sounds_of
from dhhcli.output.formats import Format
from dhhcli.output.timelines.cuts import Handles
from dhhcli.output.timelines.export import export
from dhhcli.output.timelines.source_media import media_of

Run = Callable[..., Result]
NTSC = Fraction(30_000, 1001)


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
@pytest.mark.parametrize("rate", [Fraction(24_000, 1001), Fraction(25), NTSC, Fraction(60)])
@pytest.mark.parametrize("handles", [0, 3])
def test_ffmpeg_plays_exactly_the_frames(tmp_path: Path, rate: Fraction, suffix: str, handles: int) -> None:
    """Through FFmpeg's own concat reader, of a codec in which every picture is whole."""
    film = tmp_path / f"it's a film{suffix}"
    write_video(film, [numbered(n) for n in range(80)], rate=rate, codec="mjpeg", pixels="yuvj420p")
    with av.open(str(film)) as container:
        time_base = container.streams.video[0].time_base
    shots = [(30, 40, 31), (3, 4, 3), (70, 80, 79)]
    rows, videos = answer(film, shots, rate=rate, time_base=time_base, length=80)
    (file,) = export(rows, videos, Format.ffconcat, handles=Handles(frames=handles))
    script = tmp_path / "cut.ffconcat"
    script.write_bytes(file.data())
    with av.open(str(script), format="concat", options={"safe": "0"}) as joined:
        played = [read_number(np.asarray(f.to_ndarray(format="bgr24"), np.uint8)) for f in joined.decode(video=0)]
    expected = [range(max(0, start - handles), min(80, end + handles)) for start, end, _ in shots]
    assert played == [number for part in expected for number in part]


@pytest.fixture(scope="module")
def hour(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> tuple[Sample, Path]:
    """The sample film with a start timecode, as a QuickTime file, and its codes."""
    from typer.testing import CliRunner

    from dhhcli.cli.app import app

    folder = tmp_path_factory.mktemp("hour")
    film = folder / "Bild & Ton <1>.mov"
    with av.open(str(sample.film)) as source, av.open(str(film), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.metadata["timecode"] = "10:59:58:20"
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    codes = folder / "codes.h5"
    result = CliRunner().invoke(app, ["encode", str(film), "--out", str(codes)])
    assert result.exit_code == 0, result.stderr
    return sample, codes


def test_query_and_export_say_the_same(hour: tuple[Sample, Path], dhh: Run, tmp_path: Path) -> None:
    sample, codes = hour
    film = codes.parent / "Bild & Ton <1>.mov"
    photo = sample.photos[0]
    direct = dhh("query", photo, "-c", codes, "-n", "3", "--format", "edl", "--handles", "0.4s")
    assert direct.exit_code == 0, direct.stderr
    rows = [json.loads(line) for line in dhh("query", photo, "-c", codes, "-n", "3", "--json").stdout.splitlines()]
    (tmp_path / f"{photo.stem}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for wanted in ("edl", "csv", "json", "tsv", "otio", "fcpxml", "fcp7", "resolve", "avid", "webvtt", "chapters"):
        shape = ("--handles", "0.4s") if wanted == "edl" else ()
        one = dhh("query", photo, "-c", codes, "-n", "3", "-f", wanted, *shape)
        two = dhh("export", f"{photo.stem}.jsonl", "-c", codes, "-f", wanted, *shape)
        assert one.stdout == two.stdout
        assert two.exit_code == 0
        assert two.stderr == ""
    assert "* FROM CLIP NAME: Bild & Ton <1>.mov" in direct.stdout
    shots = sorted((row["start_frame"], row["end_frame"]) for row in rows)
    assert shots == [(40, 100), (250, 330), (330, 380)]
    timeline = opentimelineio.adapters.read_from_string(direct.stdout, "cmx_3600", rate=25)
    first = ((10 * 60 + 59) * 60 + 58) * 25 + 20
    cut = sorted((int(clip.source_range.start_time.value) - first) for clip in timeline.find_clips())
    assert cut == [start - 10 for start, _ in shots]
    saved = dhh("export", f"{photo.stem}.jsonl", "-c", codes, "-f", "otioz", "--out", "cut.otioz")
    assert saved.exit_code == 0
    assert saved.stderr.startswith("cut.otioz: ")
    bundle = opentimelineio.adapters.read_from_file("cut.otioz")
    assert [clip.media_reference.target_url for clip in bundle.find_clips()] == [
        "media/Bild%20%26%20Ton%20%3C1%3E.mov"
    ] * 3
    import zipfile

    with zipfile.ZipFile("cut.otioz") as files:
        assert files.read("media/Bild & Ton <1>.mov") == film.read_bytes()
        assert {one.date_time for one in files.infolist()} == {(1980, 1, 1, 0, 0, 0)}  # the same bytes at any time


def test_files_are_named_after_their_videos(hour: tuple[Sample, Path], dhh: Run, tmp_path: Path) -> None:
    sample, codes = hour
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "film.mp4").write_bytes(sample.film.read_bytes())
    (tmp_path / "codes.h5").write_bytes(codes.read_bytes())
    assert dhh("encode", "two").exit_code == 0
    refused = dhh("query", sample.photos[0], "-f", "webvtt")
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert "makes 2 files, one a video; name one with --out" in refused.stderr
    written = dhh("query", sample.photos[0], "-f", "edl", "--sequence", "video", "-o", "cut.edl")
    assert written.exit_code == 0, written.stderr
    assert {path.name for path in tmp_path.glob("cut*")} == {"cut.Bild & Ton <1>.edl", "cut.film.edl"}
    assert written.stdout == ""
    assert len(written.stderr.splitlines()) == 2
    one = dhh("query", sample.photos[0], "-f", "webvtt", "--sequence", "stringout", "-o", "cut.vtt")
    assert one.exit_code == 0
    assert (tmp_path / "cut.vtt").read_text().startswith("WEBVTT\n\n00:00:00.000 --> ")


def test_nobody_found_writes_nothing(dhh: Run, tmp_path: Path, sample: Sample) -> None:
    write_video(tmp_path / "sky.mp4", [numbered(n) for n in range(20)])
    assert dhh("encode", "sky.mp4").exit_code == 0
    for wanted in ("edl", "otio", "otioz", "fcpxml", "webvtt", "csv"):
        result = dhh("query", sample.photos[0], "-f", wanted, "-o", "cut.out")
        assert result.exit_code == 3
        assert not (tmp_path / "cut.out").exists()
    (tmp_path / "none.jsonl").write_text("\n")
    assert dhh("export", "none.jsonl", "-f", "edl").exit_code == 3


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("--format", "edl", "--json"), 2, "--json and --format edl"),
        (("--format", "edl", "--handles", "x"), 2, "--handles x"),
        (("--handles", "5f"), 2, "shape a timeline"),
        (("--format", "csv", "--order", "time"), 2, "shape a timeline"),
        (("--sequence", "video"), 2, "shape a timeline"),
        (("--out", "x.cut"), 2, "--out needs a --format"),
        (("--format", "edl", "--out", "no/such/x.edl"), 1, "no/such/x.edl: cannot be written"),
        (("--format", "aaf"), 2, ""),
    ],
)
def test_query_refuses_what_contradicts(
    encoded: Path, sample: Sample, dhh: Run, words: tuple[str, ...], code: int, part: str
) -> None:
    result = dhh("query", sample.photos[0], "--codes", encoded, *words)
    assert result.exit_code == code
    assert result.stdout == ""
    assert part in result.stderr
    assert "Traceback" not in result.stderr


def test_export_refuses_what_is_no_row(encoded: Path, sample: Sample, dhh: Run, tmp_path: Path) -> None:
    good = json.loads(dhh("query", sample.photos[0], "--codes", encoded, "--json").stdout.splitlines()[0])

    def said(text: str, *words: str) -> str:
        (tmp_path / "x.jsonl").write_text(text)
        result = dhh("export", "x.jsonl", "--codes", encoded, "-f", "edl", *words)
        assert (result.exit_code, result.stdout) == (1, ""), result.stderr
        assert result.stderr.count("\n") == 1
        return result.stderr

    assert "x.jsonl: line 2: not JSON; expected a line as `dhh query --json` prints it" in said(
        f"{json.dumps(good)}\n{{"
    )
    assert "line 1: not an object" in said("[1]")
    assert "line 1: rank is missing" in said("{}")
    for name, value in (
        ("rank", "1"),
        ("rank", True),
        ("video", "relative.mp4"),
        ("video", "/a\0b"),
        ("video", 3),
        ("start_seconds", float("nan")),
        ("box", [1, 2, 3]),
        ("start", None),
    ):
        assert f"line 1: {name} is " in said(json.dumps(good | {name: value}))
    assert "/gone.mp4: not in " in said(json.dumps(good | {"video": "/gone.mp4"}))
    missing = dhh("export", "none.jsonl", "-f", "edl")
    assert (missing.exit_code, missing.stderr.count("\n")) == (1, 1)
    # numbers that no query gives still make a cut of what is there
    for change in ({"start_seconds": -5.0}, {"end_seconds": 1e9}, {"start_seconds": 1e9}, {"face_at": "what"}):
        (tmp_path / "x.jsonl").write_text(json.dumps(good | change | {"note": "jq adds what it likes"}))
        result = dhh("export", "x.jsonl", "--codes", encoded, "-f", "edl")
        assert result.exit_code == 0
        assert "001  FILM" in result.stdout


def test_export_reads_standard_input(encoded: Path, sample: Sample, dhh: Run) -> None:
    from typer.testing import CliRunner

    from dhhcli.cli.app import app

    lines = dhh("query", sample.photos[0], "--codes", encoded, "--json").stdout
    result = CliRunner().invoke(app, ["export", "-", "--codes", str(encoded), "-f", "edl"], input=lines)
    assert result.exit_code == 0, result.stderr
    assert result.stdout_bytes.startswith(b"TITLE: dhh\r\nFCM: NON-DROP FRAME\r\n")


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_sound_is_read_from_the_file(tmp_path: Path, suffix: str) -> None:
    film = tmp_path / f"film{suffix}"
    with_sound(film, 0.4)
    found = sounds_of(film)
    assert [(sound.stream, sound.channels, sound.rate) for sound in found] == [(0, 2, 48_000), (1, 1, 48_000)]
    rows, videos = answer(film, [(0, 25, 3), (30, 40, 31)], rate=Fraction(25), time_base=Fraction(1, 1000), length=75)
    ((record, end),) = videos.values()
    media = media_of(record, end, found)
    assert [media.heard(sound) for sound in found] == [(10, 75), (10, 75)]  # 0.4 s is ten frames
    (file,) = export(rows, videos, Format.otio, handles=Handles(), sounds={film: found})
    timeline = opentimelineio.adapters.read_from_string(file.data().decode(), "otio_json")
    placed = [
        [
            (int(clip.source_range.start_time.value), int(clip.trimmed_range_in_parent().start_time.value))
            for clip in track.find_clips()
        ]
        for track in timeline.tracks
    ]
    assert placed == [[(0, 0), (30, 25)], [(10, 10), (30, 25)], [(10, 10), (30, 25)]]


def test_a_film_without_sound_or_gone(tmp_path: Path) -> None:
    silent = tmp_path / "silent.mov"
    write_video(silent, [numbered(n) for n in range(3)])
    assert sounds_of(silent) == ()
    with pytest.raises(VideoError, match=r"gone\.mov: its sound cannot be looked at"):
        sounds_of(tmp_path / "gone.mov")


def test_names_rates_and_sound_by_the_command_line(hour: tuple[Sample, Path], dhh: Run, tmp_path: Path) -> None:
    """Named in a copy of the codes; the film itself is silent, and one that is gone is said."""
    sample, _ = hour
    (tmp_path / "films").mkdir()
    film = tmp_path / "films" / "with sound.mov"
    with av.open(str(sample.film)) as source, av.open(str(film), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("pcm_s16le", rate=48_000, layout="stereo")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
        block = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 48_000 * 15), np.int16), format="s16", layout="stereo")
        block.sample_rate, block.time_base, block.pts = 48_000, Fraction(1, 48_000), 0
        target.mux(sound.encode(block))
    codes, photo = tmp_path / "codes.h5", tmp_path / "03.jpg"
    photo.write_bytes(sample.photos[0].read_bytes())
    assert dhh("encode", film, "-o", codes).exit_code == 0
    found = [json.loads(line) for line in dhh("query", photo, "-c", codes, "-n", "3", "--json").stdout.splitlines()]
    assert [(row["name"], row["names"]) for row in found] == [(None, None)] * 3
    tracks = [word for row in found for word in ("--track", row["track_id"])]
    assert dhh("name", codes, "Ada Lovelace", *tracks).exit_code == 0
    named = [json.loads(line) for line in dhh("query", photo, "-c", codes, "-n", "3", "--json").stdout.splitlines()]
    assert [(row["name"], row["names"]) for row in named] == [("Ada Lovelace", ["Ada Lovelace"])] * 3
    assert dhh("query", photo, "-c", codes, "-n", "3", "-o", "cut.otio").exit_code == 0
    timeline = opentimelineio.adapters.read_from_file("cut.otio")
    assert timeline.name == "Ada Lovelace"
    assert [track.name for track in timeline.tracks] == ["V1", "A1"]
    assert {clip.name for clip in timeline.find_clips()} == {"Ada Lovelace - with sound.mov"}
    assert dhh("query", photo, "-c", codes, "-n", "3", "--no-audio", "--rate", "50", "-o", "mute.otio").exit_code == 0
    mute = opentimelineio.adapters.read_from_file("mute.otio")
    assert [track.name for track in mute.tracks] == ["V1"]
    assert mute.global_start_time.rate == 50
    assert mute.duration().value == 2 * timeline.duration().value
    (tmp_path / "hits.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in named))
    assert dhh("export", "hits.jsonl", "-c", codes, "-o", "again.otio").exit_code == 0
    assert (tmp_path / "again.otio").read_bytes() == (tmp_path / "cut.otio").read_bytes()
    film.rename(tmp_path / "elsewhere.mov")
    gone = dhh("export", "hits.jsonl", "-c", codes, "-o", "gone.edl")
    assert gone.exit_code == 0
    assert "without sound: " in gone.stderr
    refused = dhh("export", "hits.jsonl", "-c", codes, "-o", "x.edl", "--rate", "50")
    assert refused.exit_code == 2
    assert "an EDL counts in the rate of its sources" in refused.stderr
    assert dhh("export", "hits.jsonl", "-c", codes, "-f", "csv", "--no-audio").exit_code == 2
