"""The command line as users meet it: output, words, exit codes, and every kind of bad input."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import COLUMNS, one_line, read, rows_of
from PIL import Image
from synthetic import scene, truncate, write_audio, write_video
from typer.testing import Result

from dhhcli.media.sample import SCRIPT, Sample

Run = Callable[..., Result]


# ------------------------------------------------------------------------------------------- the main job


@pytest.mark.parametrize("who", ["collins", "hopper"])
def test_the_right_person_comes_first(encoded: Path, sample: Sample, dhh: Run, who: str) -> None:
    photo = sample.film.parent / f"{who}.jpg"
    result = dhh("query", photo, "--codes", encoded)
    assert result.exit_code == 0, result.stderr
    rows = rows_of(result)
    right = {number for number, shot in enumerate(SCRIPT, 1) if who in {person.who for person in shot.people}}
    wrong = {number for number, shot in enumerate(SCRIPT, 1) if shot.people} - right
    found = [int(row["shot"]) for row in rows]
    assert set(found) == right | wrong  # a shot with faces, once each; shots of nobody not at all
    assert set(found[: len(right)]) == right
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    sure = [float(row["confidence"]) for row in rows]
    assert sure == sorted(sure, reverse=True)


def test_rows_carry_exact_times(encoded: Path, sample: Sample, dhh: Run) -> None:
    rows = rows_of(dhh("query", sample.photos[0], "--codes", encoded))
    starts = np.cumsum([0, *(round(shot.seconds * 25) for shot in SCRIPT)])
    for row in rows:
        first, end = starts[int(row["shot"]) - 1], starts[int(row["shot"])]
        assert (int(row["start_frame"]), int(row["end_frame"])) == (first, end)
        assert row["start"] == f"00:00:{first // 25:02}:{first % 25:02}"
        assert row["end"] == f"00:00:{end // 25:02}:{end % 25:02}"
        assert float(row["start_seconds"]) == pytest.approx(first / 25)
        assert first <= int(row["face_frame"]) < end
        assert row["video"] == str(sample.film)


def test_json_lines_say_the_same_as_tsv(encoded: Path, sample: Sample, dhh: Run) -> None:
    rows = rows_of(dhh("query", sample.photos[0], "--codes", encoded))
    result = dhh("query", sample.photos[0], "--codes", encoded, "--json")
    objects = [json.loads(line) for line in result.stdout.splitlines()]
    assert [list(entry) for entry in objects] == [COLUMNS] * len(rows)
    assert [str(entry["distance"]) for entry in objects] == [row["distance"] for row in rows]
    assert [",".join(map(str, entry["box"])) for entry in objects] == [row["box"] for row in rows]


def test_top_cuts_the_list(encoded: Path, sample: Sample, dhh: Run) -> None:
    whole = rows_of(dhh("query", sample.photos[0], "--codes", encoded))
    cut = rows_of(dhh("query", sample.photos[0], "--codes", encoded, "--top", "2"))
    keep = [column for column in COLUMNS if column != "tracks"]
    assert [[row[c] for c in keep] for row in cut] == [[row[c] for c in keep] for row in whole[:2]]


def test_confidence_falls_down_the_list_and_limits_cut_its_end(encoded: Path, sample: Sample, dhh: Run) -> None:
    rows = rows_of(dhh("query", sample.photos[0], "--codes", encoded))
    confidence = [float(row["confidence"]) for row in rows]
    false_rate = [float(row["false_rate"]) for row in rows]
    assert confidence == sorted(confidence, reverse=True)
    assert false_rate == sorted(false_rate)
    assert confidence[2] > 0.5 > 0.1 > confidence[3]  # three shots show her
    for option, limit, kept in (
        ("--min-confidence", "0.5", 3),
        ("--min-confidence", "0", len(rows)),
        ("--max-false-rate", "0.01", sum(rate <= 0.01 for rate in false_rate)),
        ("--max-false-rate", "1", len(rows)),
    ):
        found = rows_of(dhh("query", sample.photos[0], "--codes", encoded, option, limit))
        # tracks: those no farther than the last row, which is nearer here
        assert [row | {"tracks": ""} for row in found] == [row | {"tracks": ""} for row in rows[:kept]]


def test_nobody_within_the_limits_is_said(encoded: Path, sample: Sample, dhh: Run) -> None:
    result = dhh("query", sample.photos[0], "--codes", encoded, "--min-confidence", "1", "--max-false-rate", "0")
    assert result.exit_code == 3
    (header,) = result.stdout.splitlines()
    assert header.split("\t") == COLUMNS
    assert "nobody found above a confidence of 1 and within a false match rate of 0: the nearest shot has" in (
        result.stderr
    )
    assert dhh("query", sample.photos[0], "--codes", encoded, "--min-confidence", "1.5").exit_code == 2


def test_weights_that_are_not_calibrated_leave_confidence_empty(
    clip: Path, sample: Sample, dhh: Run, other_weights: Path
) -> None:
    assert dhh("encode", clip, "--weights", other_weights).exit_code == 0
    rows = rows_of(dhh("query", sample.photos[0], "--weights", other_weights))
    assert {(row["confidence"], row["false_rate"]) for row in rows} == {("", "")}
    result = dhh("query", sample.photos[0], "--weights", other_weights, "--min-confidence", "0.5")
    one_line(result, 1, str(other_weights), "not calibrated", "dhh calibrate PACK")


def test_several_photos_of_one_person(encoded: Path, sample: Sample, dhh: Run, tmp_path: Path) -> None:
    photo = read(sample.photos[0])
    cv2.imwrite(str(tmp_path / "dark.jpg"), (photo * 0.5).astype(np.uint8))
    result = dhh("query", sample.photos[0], tmp_path / "dark.jpg", "--codes", encoded)
    assert {int(row["shot"]) for row in rows_of(result)[:3]} == {2, 6, 7}


def test_codes_are_found_by_environment_and_in_the_current_folder(
    encoded: Path, sample: Sample, dhh: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = dhh("query", sample.photos[0], "--codes", encoded).stdout
    (tmp_path / "codes.h5").write_bytes(encoded.read_bytes())
    assert dhh("query", sample.photos[0]).stdout == named
    (tmp_path / "codes.h5").unlink()
    monkeypatch.setenv("DHH_CODES", str(encoded))
    assert dhh("query", sample.photos[0]).stdout == named


def test_sheet_shows_a_face_for_every_row(encoded: Path, sample: Sample, dhh: Run, tmp_path: Path) -> None:
    result = dhh("query", sample.photos[0], "--codes", encoded, "--sheet", "hits.png")
    sheet = read(tmp_path / "hits.png")
    assert sheet.shape[1] == 800
    for place in range(len(rows_of(result))):
        cell = sheet[20:140, place * 160 + 30 : place * 160 + 130]
        assert cell.std() > 15  # a picture, not a grey field
    one_line(dhh("query", sample.photos[0], "--codes", encoded, "--sheet", "hits.gif"), 1, "hits.gif", ".png")


def test_index_is_used_when_fresh_and_said_when_stale(encoded: Path, sample: Sample, dhh: Run, tmp_path: Path) -> None:
    codes = tmp_path / "codes.h5"
    codes.write_bytes(encoded.read_bytes())
    plain = dhh("query", sample.photos[0])
    built = dhh("index", codes)
    assert built.exit_code == 0
    assert "flat index of 6 codes" in built.stderr
    assert dhh("query", sample.photos[0]).stdout == plain.stdout
    film = write_video(tmp_path / "more.mp4", [scene(1)] * 10)
    assert dhh("encode", film).exit_code == 0
    stale = dhh("query", sample.photos[0])
    assert stale.stdout == plain.stdout
    assert "dhh index" in stale.stderr
    one_line(dhh("index", codes, "--ivf"), 1, "too few for ivf")


# ---------------------------------------------------------------------------------------------- encoding


def test_encode_says_what_it_did(sample: Sample, dhh: Run) -> None:
    result = dhh("encode", sample.film)
    assert result.exit_code == 0
    assert result.stdout == ""
    first, summary, *rest = result.stderr.splitlines()
    assert first.startswith(f"[1/1] {sample.film}: 16.8 s, 8 shots, 6 face tracks, ")
    assert summary.startswith("1 video: 1 encoded, 0 unchanged, 0 skipped; 6 face tracks in 8 shots, 16.8 s of film")
    assert rest[0].startswith("codes.h5: ")


@pytest.mark.parametrize("limit", [4096, 150_000])  # smaller than a photo; larger than both, smaller than the film
def test_a_sample_that_does_not_fit_leaves_no_half_file(tmp_path: Path, limit: int, sample: Sample) -> None:
    sizes = [path.stat().st_size for path in (*sample.photos, sample.film)]
    fits = [name for name, size in zip(("collins.jpg", "hopper.jpg", "film.mp4"), sizes, strict=True) if size < limit]
    assert len(fits) == (0 if limit == 4096 else 2)
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from dhhcli.cli.app import main; main()"
    )
    command = [sys.executable, "-c", code, "sample", str(tmp_path / "try")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr == f"dhh: error: {tmp_path / 'try'}: cannot be written (File too large); name another folder\n"
    assert sorted(path.name for path in (tmp_path / "try").iterdir()) == fits


def test_a_second_run_encodes_nothing_and_changes_nothing(encoded: Path, sample: Sample, dhh: Run) -> None:
    before = encoded.read_bytes()
    result = dhh("encode", sample.film, "--out", encoded)
    assert result.exit_code == 0
    size = f"{encoded.stat().st_size:,} bytes"
    assert result.stderr.splitlines() == [
        "1 video: 0 encoded, 1 unchanged, 0 skipped; nothing new",
        f"{encoded}: {size}",
    ]
    assert encoded.read_bytes() == before


def test_a_file_is_one_file_whatever_it_is_called(encoded: Path, sample: Sample, dhh: Run) -> None:
    roundabout = sample.film.parent / "nowhere" / ".." / sample.film.name
    (sample.film.parent / "nowhere").mkdir(exist_ok=True)
    result = dhh("encode", roundabout, sample.film, "--out", encoded)
    assert "1 video: 0 encoded, 1 unchanged" in result.stderr


def test_a_changed_file_replaces_its_old_rows(dhh: Run, tmp_path: Path, clip: Path, sample: Sample) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(clip.read_bytes())
    assert dhh("encode", film).exit_code == 0
    write_video(film, [scene(3)] * 10)
    result = dhh("encode", film)
    assert "1 encoded" in result.stderr
    assert f"without faces: {film}" in result.stderr
    assert dhh("query", sample.photos[0]).exit_code == 3


def test_bad_files_are_listed_and_do_not_harm_the_good_one(
    dhh: Run, tmp_path: Path, clip: Path, sample: Sample
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "a_text.mp4").write_text("this is not a film")
    (folder / "b_good.mp4").write_bytes(clip.read_bytes())
    write_audio(folder / "c_sound.mp4")
    (folder / "d_empty.mov").write_bytes(b"")
    (folder / "notes.txt").write_text("not a suffix of a video")
    result = dhh("encode", folder)
    assert result.exit_code == 4, result.stderr
    assert "4 videos: 1 encoded, 0 unchanged, 3 skipped" in result.stderr
    for name in ("a_text.mp4", "c_sound.mp4", "d_empty.mov"):
        assert result.stderr.count(f"skipped: {folder / name}: ") == 1, result.stderr
    assert f"ignored: {folder / 'notes.txt'}" in result.stderr
    assert "Traceback" not in result.stderr
    assert dhh("query", sample.photos[0]).exit_code == 0


def test_a_name_of_several_lines_stays_on_one(dhh: Run, tmp_path: Path) -> None:
    (tmp_path / "a\nb.mp4").write_text("this is not a film")
    result = dhh("encode", "a\nb.mp4")
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == ["[1/1] a\\nb.mp4", "1 video", "skipped"]
    one_line(dhh("query", "c\nd.jpg", "--codes", "e.h5"), 1, "e.h5")
    one_line(dhh("query", "c.jpg", "--codes", "e\nf.h5"), 1, "e\\nf.h5: no such codes file")
    one_line(dhh("pack", "g\nh", "--out", "p.h5"), 1, "g\\nh: no such folder")


def test_only_bad_files_is_an_error(dhh: Run, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("this is not a film")
    result = dhh("encode", "a.mp4")
    assert result.exit_code == 1
    assert "0 encoded, 0 unchanged, 1 skipped" in result.stderr


def test_a_truncated_film_is_kept_as_far_as_it_decodes(dhh: Run, tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", [scene(1)] * 100)
    film = truncate(whole.rename(tmp_path / "cut.mkv"), 0.5)
    result = dhh("encode", film)
    assert result.exit_code == 4
    assert "1 encoded" in result.stderr
    assert f"incomplete: {film}: " in result.stderr
    again = dhh("encode", film)
    assert again.exit_code == 4
    assert "1 unchanged" in again.stderr
    assert f"incomplete: {film}: " in again.stderr


def test_an_unknown_codec_does_not_end_the_run(dhh: Run, tmp_path: Path) -> None:
    strange = write_video(tmp_path / "a.mov", [scene(1)] * 10)
    strange.write_bytes(strange.read_bytes().replace(b"mp4v", b"zzzz").replace(b"esds", b"zzzz"))
    good = write_video(tmp_path / "b.mp4", [scene(1)] * 10)
    result = dhh("encode", strange, good)
    assert result.exit_code == 4, result.stderr
    assert "1 encoded, 0 unchanged, 1 skipped" in result.stderr
    assert f"skipped: {strange}: no decoder" in result.stderr


@pytest.mark.parametrize("damage", ["record", "index"])
def test_a_damaged_index_is_said_and_done_without(
    encoded: Path, sample: Sample, dhh: Run, tmp_path: Path, damage: str
) -> None:
    (tmp_path / "codes.h5").write_bytes(encoded.read_bytes())
    plain = dhh("query", sample.photos[0])
    assert dhh("index", "codes.h5").exit_code == 0
    if damage == "record":
        (tmp_path / "codes.h5.faiss.json").write_text("{}")
    else:
        file = tmp_path / "codes.h5.faiss"
        file.write_bytes(file.read_bytes()[:20])
    result = dhh("query", sample.photos[0])
    assert result.exit_code == 0
    assert result.stdout == plain.stdout
    assert "searching without it" in result.stderr


def test_encode_refuses_what_is_not_there(dhh: Run, tmp_path: Path) -> None:
    one_line(dhh("encode", "nowhere.mp4"), 1, "nowhere.mp4")
    (tmp_path / "empty").mkdir()
    one_line(dhh("encode", "empty"), 1, "empty", "no video")
    assert not (tmp_path / "codes.h5").exists()


def test_a_named_pipe_is_skipped_instead_of_waited_for(dhh: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    result = dhh("encode", "pipe.mp4")
    assert result.exit_code == 1
    assert "skipped: pipe.mp4: not a regular file" in result.stderr


def test_train_refuses_what_cannot_work_before_it_starts(dhh: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    one_line(dhh("train", "--data", "a.h5", "--out", "file"), 1, "file: cannot be made")
    one_line(dhh("train", "--data", "a.h5", "--out", "run"), 1, "a.h5", "no such face pack")
    one_line(dhh("train", "--data", "a.h5", "--out", "run", "--validate", "b.h5"), 2, "--protocol")
    one_line(dhh("evaluate", "a.h5", "--protocol", "p.json"), 1, "p.json")


# ----------------------------------------------------------------------------------------------- training data


def made_people(sample: Sample, folder: Path) -> Path:
    """A folder per person: two photos, one of which shows nobody, and a file that belongs to no one."""
    for photo in sample.photos:
        (folder / photo.stem).mkdir(parents=True)
        (folder / photo.stem / "1.jpg").write_bytes(photo.read_bytes())
    cv2.imwrite(str(folder / "collins" / "2.png"), scene(1, 320, 240))
    (folder / "notes.txt").write_text("mine")
    return folder


def test_pack_says_what_it_took_and_what_not(dhh: Run, tmp_path: Path, sample: Sample) -> None:
    people = made_people(sample, tmp_path / "people")
    result = dhh("pack", "people", "--out", "faces.h5")
    assert result.exit_code == 4
    assert result.stdout == ""
    first, totals, skipped, ignored, size = result.stderr.splitlines()
    assert first == "people: 2 people, 3 photos (a folder per person)"
    assert totals == "3 files: 2 gave 2 crops, 1 skipped"
    assert skipped == "skipped: people/collins/2.png: no face found"
    assert ignored == "ignored: people/notes.txt: not part of this layout"
    assert size == f"faces.h5: {(tmp_path / 'faces.h5').stat().st_size:,} bytes"
    (people / "collins" / "2.png").unlink()
    assert dhh("pack", "people", "--out", "whole.h5", "--layout", "images").exit_code == 0
    again = dhh("pack", "people", "--out", "whole.h5")
    assert again.exit_code == 1
    assert again.stderr.splitlines()[-1].startswith("dhh: error: whole.h5: is there already")


def test_pack_refuses_what_cannot_be_packed(dhh: Run, tmp_path: Path) -> None:
    one_line(dhh("pack", "nowhere", "--out", "faces.h5"), 1, "nowhere: no such folder")
    (tmp_path / "people" / "ann").mkdir(parents=True)
    one_line(dhh("pack", "people", "--out", "faces.h5"), 1, "people: nothing found", "a folder per person")
    one_line(dhh("pack", "people", "--out", "faces.h5", "--layout", "ytc"), 1, "0193_01_001_al_gore.avi")
    cv2.imwrite("people/ann/sky.png", scene(1, 320, 240))
    nobody = dhh("pack", "people", "--out", "faces.h5")
    assert nobody.exit_code == 1
    assert nobody.stderr.splitlines()[-1].endswith("faces.h5: not written, no face was found in any of 1 files")
    assert dhh("pack", "people", "--out", "faces.h5", "--layout", "films").exit_code == 2
    assert not (tmp_path / "faces.h5").exists()


def test_encode_refuses_codes_of_other_weights(encoded: Path, sample: Sample, dhh: Run, other_weights: Path) -> None:
    before = encoded.read_bytes()
    one_line(dhh("encode", sample.film, "--out", encoded, "--weights", other_weights), 1, "another model", "128 bits")
    assert encoded.read_bytes() == before


def test_a_film_without_faces_is_fine_and_nobody_is_found_in_it(dhh: Run, tmp_path: Path, sample: Sample) -> None:
    film = write_video(tmp_path / "sky.mp4", [scene(1)] * 20 + [scene(2)] * 20)
    result = dhh("encode", film)
    assert result.exit_code == 0
    assert f"without faces: {film}" in result.stderr
    answer = dhh("query", sample.photos[0])
    assert answer.exit_code == 3
    assert answer.stdout.split() == COLUMNS
    assert "nobody found" in answer.stderr


def test_no_thumbnails(dhh: Run, sample: Sample, encoded: Path, tmp_path: Path) -> None:
    assert dhh("encode", sample.film, "--no-thumbnails").exit_code == 0
    assert (tmp_path / "codes.h5").stat().st_size < encoded.stat().st_size - 6 * 1000
    result = dhh("query", sample.photos[0], "--sheet", "s.png")
    assert result.exit_code == 0
    assert result.stdout == dhh("query", sample.photos[0], "--codes", encoded).stdout


# -------------------------------------------------------------------------------------------------- photos


def test_query_refuses_what_is_no_photo_of_a_face(encoded: Path, dhh: Run, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "sky.png"), scene(1, 320, 240))
    (tmp_path / "text.jpg").write_text("not a picture")
    one_line(dhh("query", "sky.png", "--codes", encoded), 1, "sky.png", "no face found", "320x240")
    one_line(dhh("query", "text.jpg", "--codes", encoded), 1, "text.jpg", "cannot be read as a photo")
    one_line(dhh("query", "nowhere.jpg", "--codes", encoded), 1, "nowhere.jpg")
    one_line(dhh("query", ".", "--codes", encoded), 1)


def test_of_several_faces_the_largest_is_taken_and_said(
    encoded: Path, sample: Sample, dhh: Run, tmp_path: Path
) -> None:
    collins, hopper = (read(photo) for photo in sample.photos)
    small = cv2.resize(collins, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    canvas = np.full((600, 512 + 256, 3), 127, np.uint8)
    canvas[:, :512] = hopper
    canvas[100:356, 512:] = small
    cv2.imwrite(str(tmp_path / "both.png"), canvas)
    largest = dhh("query", "both.png", "--codes", encoded)
    assert "both.png: 2 faces, took the largest" in largest.stderr
    assert {int(row["shot"]) for row in rows_of(largest)[:3]} == {3, 5, 6}
    second = dhh("query", "both.png", "--codes", encoded, "--face", "2")
    assert {int(row["shot"]) for row in rows_of(second)[:3]} == {2, 6, 7}
    one_line(dhh("query", "both.png", "--codes", encoded, "--face", "3"), 1, "2 face(s)", "--face 3")
    one_line(dhh("query", "both.png", "both.png", "--codes", encoded, "--face", "2"), 2, "--face")


@pytest.mark.parametrize("kind", ["rotated", "grey", "rgba", "16 bit"])
def test_unusual_photos_find_the_same_person(
    encoded: Path, sample: Sample, dhh: Run, tmp_path: Path, kind: str
) -> None:
    with Image.open(sample.photos[0]) as opened:
        image = opened.convert("RGB")
    photo = tmp_path / "photo.png"
    if kind == "rotated":
        photo = tmp_path / "photo.jpg"
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned a quarter clockwise to stand upright
        image.rotate(90, expand=True).save(photo, exif=exif, quality=95)
    elif kind == "grey":
        image.convert("L").save(photo)
    elif kind == "rgba":
        image.putalpha(255)
        image.save(photo)
    else:
        grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
        cv2.imwrite(str(photo), grey)
    result = dhh("query", photo, "--codes", encoded)
    assert result.exit_code == 0, result.stderr
    assert {int(row["shot"]) for row in rows_of(result)[:3]} == {2, 6, 7}


# ----------------------------------------------------------------------------------------- codes and weights


def test_query_refuses_bad_codes_files(dhh: Run, sample: Sample, tmp_path: Path, encoded: Path) -> None:
    photo = sample.photos[0]
    one_line(dhh("query", photo), 1, "codes.h5", "dhh encode")
    (tmp_path / "codes.h5").write_text("not HDF5")
    one_line(dhh("query", photo), 1, "codes.h5")
    (tmp_path / "codes.h5").write_bytes(encoded.read_bytes()[:5000])
    one_line(dhh("query", photo), 1, "codes.h5")


def test_codes_of_shipped_weights_find_them_again(clip: Path, sample: Sample, dhh: Run) -> None:
    """Encoded with weights that are not the default; neither query nor a second encode needs to be told."""
    first = dhh("encode", clip, "--weights", "dhh-24")
    assert first.exit_code == 0
    answer = dhh("query", sample.photos[0], "--json")
    assert answer.exit_code == 0
    assert json.loads(answer.stdout.splitlines()[0])["bits"] == 24
    again = dhh("encode", clip)
    assert again.exit_code == 0
    assert "1 unchanged" in again.stderr


def test_query_refuses_other_weights(encoded: Path, sample: Sample, dhh: Run, other_weights: Path) -> None:
    one_line(
        dhh("query", sample.photos[0], "--codes", encoded, "--weights", other_weights),
        1,
        "another model",
        "32 bits",
    )
    one_line(dhh("query", sample.photos[0], "--codes", encoded, "--weights", "nosuch"), 1, "no such weights", "dhh-128")
