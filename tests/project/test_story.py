"""One story: photos beside the footage, everything encoded, a person named and asked for, exported to every format."""

import json
from collections.abc import Callable
from pathlib import Path

import opentimelineio
import pytest
from footage import copy_of
from lxml import etree
from synthetic import with_sound
from typer.testing import Result

from dhhcli.media.sample import Sample
from dhhcli.output.formats import BINARY, ROWS, Format

pytestmark = pytest.mark.slow

Run = Callable[..., Result]


def test_photos_beside_the_footage_ask_export_to_every_format(sample: Sample, dhh: Run, tmp_path: Path) -> None:
    shoot = tmp_path / "shoot"
    sample = copy_of(sample, shoot)
    people = shoot / "people" / "Eileen"
    people.mkdir(parents=True)
    photo = sample.photos[0].rename(people / "03.jpg")
    with_sound(shoot / "nobody.mov", 0.0)
    assert dhh("encode", shoot).exit_code == 0
    # the photo that is asked with lies beside the footage and is no answer; the other photo may be
    asked = dhh("query", people, "--json", "--min-confidence", "0.5")
    rows = [json.loads(line) for line in asked.stdout.splitlines()]
    assert {(Path(row["video"]).name, row["shot"]) for row in rows} == {
        ("film.mp4", 2),
        ("film.mp4", 6),
        ("film.mp4", 7),
    }
    assert str(photo) not in {row["video"] for row in rows}
    tracks = [word for row in rows for word in ("--track", row["track_id"])]
    assert dhh("name", "codes.h5", "Eileen Collins", *tracks).exit_code == 0
    suffixes = {Format.resolve: "resolve.edl", Format.avid: "avid.txt", Format.fcp7: "xml", Format.chapters: "txt"}
    for wanted in Format:
        out = tmp_path / f"cut.{suffixes.get(wanted, wanted.value)}"
        if wanted is Format.table:
            assert "Eileen" in dhh("query", people, "-f", "table").stdout  # its middle gives way
            continue
        result = dhh("query", people, "-n", "10", "-f", wanted, "-o", out)  # photos are among ten
        assert result.exit_code == 0, (wanted, result.stderr)
        data = out.read_bytes()
        assert data
        if wanted not in BINARY and wanted is not Format.ffconcat:
            assert b"Eileen Collins" in data, wanted
        if wanted not in ROWS:
            assert "photo left out: a timeline is of videos" in result.stderr
    timeline = opentimelineio.adapters.read_from_file(str(tmp_path / "cut.otio"))
    assert timeline.name == "Eileen Collins"  # as most of its shots are called
    assert etree.parse(tmp_path / "cut.fcpxml").getroot().tag == "fcpxml"
    assert etree.parse(tmp_path / "cut.xml").getroot().tag == "xmeml"
    for kind in ("csv", "json", "ale"):
        log = dhh("log", "codes.h5", "-f", kind)
        assert "Eileen Collins" in log.stdout
