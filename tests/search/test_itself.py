"""Photos beside the footage: what is asked with is no answer, and a photo among the answers stops no timeline."""

import json
from collections.abc import Callable
from pathlib import Path

import opentimelineio
import pytest
from typer.testing import CliRunner, Result

from dhhcli.cli.app import app
from dhhcli.media.sample import Sample

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def beside(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Codes of a folder with the film, both photos, a copy of each, and another picture of the first person."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("beside")
    (folder / "day").mkdir()
    (folder / "copies").mkdir()
    for path in (sample.film, *sample.photos):
        (folder / "day" / path.name).write_bytes(path.read_bytes())
    for path in sample.photos:
        (folder / "copies" / f"copy of {path.name}").write_bytes(path.read_bytes())
    with Image.open(sample.photos[0]) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "day" / "other.jpg")
    codes = folder / "codes.h5"
    result = CliRunner().invoke(app, ["encode", str(folder / "day"), str(folder / "copies"), "--out", str(codes)])
    assert result.exit_code == 0, result.stderr
    return codes


def found(result: Result) -> list[str]:
    assert result.exit_code == 0, result.stderr
    return [Path(json.loads(line)["video"]).name for line in result.stdout.splitlines()]


def test_what_is_asked_with_is_no_answer(beside: Path, sample: Sample, dhh: Run) -> None:
    folder, photo = beside.parent, sample.photos[0]
    names = (photo.name, f"copy of {photo.name}")
    for asked in (folder / "day" / photo.name, folder / "copies" / names[1], photo):
        hits = found(dhh("query", asked, "--all", "--json", "-c", beside))
        assert hits[0] == "other.jpg"
        assert sample.film.name in hits
        assert not set(names) & set(hits)
    both = found(dhh("query", *sample.photos, "--all", "--json", "-c", beside))
    assert set(both) == {"other.jpg", sample.film.name}
    # asked one by one, either may answer the other
    lines = dhh("query", "--each", *sample.photos, "--all", "--json", "-c", beside).stdout.splitlines()
    own = [(Path(row["question"]).name, Path(row["video"]).name) for row in map(json.loads, lines)]
    assert not [one for one in own if one[0] in one[1]]


def test_a_photo_that_was_saved_again_is_still_itself(beside: Path, sample: Sample, dhh: Run) -> None:
    photo = beside.parent / "day" / sample.photos[0].name
    before = photo.read_bytes()
    try:
        photo.write_bytes(before + b"\0")
        hits = found(dhh("query", photo, "--all", "--json", "-c", beside))
    finally:
        photo.write_bytes(before)
    assert photo.name not in hits
    assert f"copy of {photo.name}" in hits  # another content than what is asked with now


def test_a_stored_track_is_not_found_in_a_copy(beside: Path, sample: Sample, dhh: Run) -> None:
    lines = dhh("query", sample.photos[0], "--all", "--json", "-c", beside, "--only", "photos").stdout.splitlines()
    other = next(row for row in map(json.loads, lines) if Path(row["video"]).name == "other.jpg")
    hits = found(dhh("query", f"track:{other['track']}", "--all", "--json", "-c", beside))
    assert {sample.photos[0].name, f"copy of {sample.photos[0].name}"} <= set(hits[:2])
    copies = [row["track"] for row in map(json.loads, lines) if row["video"] == other["video"]]
    assert copies == [other["track"]]
    rows = map(
        json.loads, dhh("query", f"track:{other['track']}", "-n", "2", "--json", "-c", beside).stdout.splitlines()
    )
    for row in rows:  # the photo and its copy, each asked with as what is stored
        names = found(dhh("query", f"track:{row['track']}", "--all", "--json", "-c", beside))
        assert not {sample.photos[0].name, f"copy of {sample.photos[0].name}"} & set(names)


def test_only_videos_only_photos(beside: Path, sample: Sample, dhh: Run) -> None:
    asked = ("query", sample.photos[0], "--all", "--json", "-c", beside, "--only")
    assert set(found(dhh(*asked, "videos"))) == {sample.film.name}
    photos = found(dhh(*asked, "photos"))
    assert "other.jpg" in photos
    assert sample.film.name not in photos
    assert dhh(*asked, "sounds").exit_code == 2


@pytest.mark.parametrize(
    "wanted", ["edl", "otio", "fcpxml", "fcp7", "resolve", "avid", "webvtt", "chapters", "ffconcat"]
)
def test_photos_are_left_out_of_timelines_and_counted(
    beside: Path, sample: Sample, dhh: Run, wanted: str, tmp_path: Path
) -> None:
    asked = ("query", sample.photos[0], "-n", "3", "-c", beside)
    alone = dhh(*asked, "--only", "videos", "-n", "2", "-f", wanted)
    mixed = dhh(*asked, "-f", wanted)
    assert mixed.exit_code == 0
    assert mixed.stderr == "1 photo left out: a timeline is of videos\n"
    assert alone.stdout.count("film.mp4") == mixed.stdout.count("film.mp4") > 0
    assert "other.jpg" not in mixed.stdout
    written = dhh(*asked, "-f", wanted, "-o", "cut")
    assert written.exit_code == 0
    assert (tmp_path / "cut").read_bytes() == mixed.stdout_bytes
    (tmp_path / "hits.jsonl").write_text(dhh(*asked, "--json").stdout)
    saved = dhh("export", "hits.jsonl", "-f", wanted, "-c", beside)
    assert saved.stderr == mixed.stderr
    none = dhh(*asked, "-f", wanted, "--only", "photos", "-o", "none")
    assert none.exit_code == 1
    assert "every shot found is a photo" in none.stderr
    assert not (tmp_path / "none").exists()
    if wanted == "otio":
        timeline = opentimelineio.adapters.read_from_string(mixed.stdout, "otio_json")
        assert len(list(timeline.find_clips())) == 2
