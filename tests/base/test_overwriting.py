"""What is written takes the place of no film and no codes, goes where it is sent, and is what its suffix says."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import one_line
from synthetic import scene, write_video
from typer.testing import Result

from dhhcli.base.atomic_write import write_atomically
from dhhcli.errors import DhhError
from dhhcli.media.sample import Sample
from dhhcli.output.places import check_place

Run = Callable[..., Result]


@pytest.fixture
def codes(encoded: Path, tmp_path: Path) -> Path:
    """The film's codes, to be written beside."""
    (tmp_path / "codes.h5").write_bytes(encoded.read_bytes())
    return tmp_path / "codes.h5"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".ts", ".flv", ".mpg", ".ogv", ".mxf"])
def test_no_video_is_replaced_whatever_it_is_called(suffix: str, tmp_path: Path) -> None:
    codec = {".ogv": "libtheora", ".mpg": "mpeg2video", ".mxf": "mpeg2video"}.get(suffix, "mpeg4")
    try:
        film = write_video(tmp_path / f"a{suffix}", [scene(1)] * 3, codec=codec)
    except Exception:  # noqa: BLE001 - FFmpeg of this build cannot write it
        pytest.skip(f"no {codec} here")
    renamed = tmp_path / "shots.csv"
    shutil.copy(film, renamed)
    for path in (film, renamed):
        with pytest.raises(DhhError, match="is not replaced"):
            check_place(path)
    check_place(tmp_path / "new.mp4")


def test_out_and_sheet_replace_answers_only(codes: Path, sample: Sample, dhh: Run, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(sample.film.read_bytes())
    shutil.copy(film, tmp_path / "a.html")
    shutil.copy(film, tmp_path / "a.csv")
    shutil.copy(codes, tmp_path / "b.edl")
    assert dhh("name", codes, "1", "Ada").exit_code == 0
    dhh("query", sample.photos[0], "--json", "-o", "hits.jsonl")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for words in (
        ("query", sample.photos[0], "-f", "csv", "-o", film),
        ("query", sample.photos[0], "-o", "a.csv"),
        ("query", sample.photos[0], "-o", "b.edl"),
        ("query", sample.photos[0], "-f", "edl", "-o", codes),
        ("query", sample.photos[0], "-f", "json", "-o", "codes.h5.names"),  # not there
        ("query", sample.photos[0], "-f", "json", "-o", "codes.h5.people"),
        ("query", sample.photos[0], "-f", "json", "-o", "codes.h5.parts"),
        ("query", sample.photos[0], "--sheet", "a.html"),
        ("people", codes, "--sheet", "a.html"),
        ("forget", codes, "--track", "0", "--sheet", "a.html"),
        ("export", "hits.jsonl", "-f", "otio", "-o", film),
    ):
        one_line(dhh(*words), 1, "is not replaced" if "codes.h5." not in str(words[-1]) else "and is not replaced")
    one_line(dhh("merge", codes, "-o", film), 1, "is there already")
    one_line(dhh("merge", codes, "-o", codes), 1, "is there already")
    one_line(dhh("encode", sample.photos[0], "-o", film), 1, "not a codes file")
    after = {path: path.read_bytes() for path in before}
    assert after == before
    for _ in range(2):  # an older answer is
        assert dhh("query", sample.photos[0], "-o", "x.csv").exit_code == 0


def test_a_dash_is_standard_output(codes: Path, dhh: Run, tmp_path: Path) -> None:
    who = "track:0"  # answered without a network
    for kind in ("csv", "json", "edl", "otio", "fcpxml"):
        words = ("--sequence", "stringout") if kind not in ("csv", "json") else ()
        plain = dhh("query", who, "-f", kind, *words)
        assert plain.exit_code == 0, plain.stderr
        assert dhh("query", who, "-f", kind, *words, "-o", "-").stdout_bytes == plain.stdout_bytes
    assert dhh("query", who, "-o", "-").stdout == dhh("query", who).stdout
    (tmp_path / "hits.jsonl").write_text(dhh("query", who, "--json").stdout)
    assert dhh("export", "hits.jsonl", "-f", "edl", "-o", "-").stdout.startswith("TITLE")
    one_line(dhh("export", "hits.jsonl"), 2, "say what to write")
    assert not (tmp_path / "-").exists()
    assert codes.exists()


@pytest.mark.usefixtures("codes")
def test_the_format_follows_the_suffix(dhh: Run, tmp_path: Path) -> None:
    begins = {
        "a.csv": b"rank,",
        "a.tsv": b"rank\t",
        "a.json": b'{"rank"',
        "a.jsonl": b'{"rank"',
        "a.edl": b"TITLE",
        "a.otio": b"{",
        "a.otioz": b"PK",
        "a.fcpxml": b"<?xml",
        "a.xml": b"<?xml",
        "a.vtt": b"WEBVTT",
        "a.ffconcat": b"ffconcat",
        "A.CSV": b"rank,",
    }
    for name, head in begins.items():
        assert dhh("query", "track:0", "-o", name).exit_code == 0
        assert (tmp_path / name).read_bytes().startswith(head)
    assert dhh("export", "a.json", "-o", "b.otio").exit_code == 0
    assert json.loads((tmp_path / "b.otio").read_text())
    assert dhh("query", "track:0", "-f", "json", "-o", "c.csv").exit_code == 0  # what is said counts
    assert (tmp_path / "c.csv").read_bytes().startswith(b"{")
    one_line(dhh("query", "track:0", "-o", "x.what"), 2, "--out needs a --format")


def test_devices_and_pipes_are_written_to_and_stay(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; print(open(sys.argv[1]).read())", pipe], stdout=-1
    ) as cat:
        write_atomically(pipe, b"through")
        assert cat.communicate(timeout=60)[0].strip() == b"through"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
