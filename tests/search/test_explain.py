"""explain: what is said of a hit is what was stored, and the crops cut again give the stored code."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import Result

from dhhcli.media.sample import Sample
from dhhcli.models.binary_codes import UNIT, soft_codes
from dhhcli.output.explanation import explained, in_words
from dhhcli.search.explain import BySoftBits, Explanation, outlying, turned
from dhhcli.search.options import Rank
from dhhcli.search.query import find_person
from dhhcli.search.question.request import Query
from dhhcli.search.question.terms import FileTerm
from dhhcli.storage.codes_file import open_shard

Run = Callable[..., Result]


def test_of_a_hit_on_real_film(encoded: Path, sample: Sample) -> None:
    answer = find_person(Query((FileTerm(sample.photos[0]),), why=2), encoded)
    why, row = answer.explanation, answer.rows[1]
    assert why is not None
    assert (why.rank, why.distance, why.bits, why.photo) == (2, row.distance, 128, "collins.jpg")
    assert len(why.differing) == why.distance
    # the code that was stored is what the crops give that were cut again
    assert why.changed == 0
    assert len(why.crops) == why.crops_used > 5
    assert {crop.shape for crop in why.crops} == {(64, 64, 3)}
    (soft,) = answer.asked[0].soft
    with open_shard(encoded) as shard:
        track = shard.track_rows(np.array([row.track]))[0]
        bits = np.unpackbits(np.asarray(shard.codes), axis=1, bitorder="little")[:, :128]
        video = shard.video(0)
    asked = soft >= 0.5
    distances = (bits != asked).sum(axis=1)
    assert why.histogram.tolist() == [int((distances == d).sum()) for d in range(129)]
    assert why.nearer == int((distances < why.distance).sum())
    assert {bit for bit, _ in why.differing} == set(np.flatnonzero(bits[row.track] != asked).tolist())
    sure = [abs(value - 0.5) for _, value in why.differing]
    assert sure == sorted(sure, reverse=True)
    assert why.unsure == int((np.abs(soft - 0.5) < 0.1).sum())
    assert why.unsure_differing == sum(value < 0.1 for value in sure)
    # a track's end_pts is that of its last detection, its end_frame the one behind
    last = round((int(track["end_pts"]) - video.start_pts) * video.time_base * 25)
    assert last == int(track["end_frame"]) - 1
    assert why.last_seen == f"00:00:{last // 25:02}:{last % 25:02}"
    assert why.stands_out is None
    costs = soft_codes(soft[None]).costs[0, :128]
    weights = ((bits != asked) @ costs) / UNIT
    assert why.by_soft == BySoftBits(weights[row.track], int((weights < weights[row.track]).sum()))
    # words keep to the limits, which are to a quarter of a bit
    limits = dict(why.limits)
    assert 0 < limits["very likely"] <= limits["likely"] <= limits["unsure"] < 64
    for found in answer.rows:
        word = found.confidence_in_words.partition(" ")[2]
        assert word == "unlikely" or weights[found.track] < limits[word] + 0.25


def test_of_a_hit_ranked_by_bits(encoded: Path, sample: Sample) -> None:
    answer = find_person(Query((FileTerm(sample.photos[0]),), why=2, rank=Rank.bits), encoded)
    why = answer.explanation
    assert why is not None
    assert (why.by_soft, why.distance) == (None, answer.rows[1].distance)
    assert not any("they weigh" in line for line in explained(why))
    # words of rows whose soft score is usual keep to the limits: none is surer than a row two bits nearer may be
    limits = dict(why.limits)
    assert 0 < limits["very likely"] <= limits["likely"] <= limits["unsure"] < 64
    for found in answer.rows:
        word = found.confidence_in_words.partition(" ")[2]
        assert word == "unlikely" or found.distance <= limits[word] + 2


def test_the_command_prints_lines_or_json(encoded: Path, sample: Sample, dhh: Run, tmp_path: Path) -> None:
    result = dhh("query", sample.photos[0], "-c", encoded, "--explain", "1")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()[4:]  # behind the words
    assert lines[0].startswith("hit 1: ")
    assert lines[1] == "tracks nearer than this one: 0 of 6"
    assert lines[2].startswith("ranked by how sure collins.jpg is of the bits that differ: they weigh ")
    assert lines[2].endswith(" of 128; tracks of less: 0 of 6")
    assert lines[4] == "of this codes file: too few tracks (6) to tell which distance stands out"
    assert lines[5].startswith("asked with collins.jpg: ")
    assert lines[8].endswith("; they give the stored code")
    assert sum(line.endswith("  <- this hit") for line in lines) == 1
    said = json.loads(dhh("query", sample.photos[0], "-c", encoded, "--explain", "1", "--json").stdout)
    assert (said["rank"], said["photo"], said["changed"], sum(said["histogram"])) == (1, "collins.jpg", 0, 6)
    assert dhh("query", sample.photos[0], "-c", encoded, "--explain", "1", "--sheet", "why.html").exit_code == 0
    made = (tmp_path / "why.html").read_text()
    assert made.count("<details open>") == 1
    assert made.count('alt="crop ') == said["crops_again"]
    for words, part in (
        (("--explain", "7"), "--explain 7: there are 5 hits"),
        (("--explain", "1", "--format", "edl"), "--explain takes the place"),
        (("--explain", "0"), ""),
    ):
        refused = dhh("query", sample.photos[0], "-c", encoded, *words)
        assert refused.exit_code == 2
        assert refused.stdout == ""
        assert part in refused.stderr


def test_a_video_that_is_gone_leaves_the_rest(encoded: Path, sample: Sample, dhh: Run) -> None:
    away = sample.film.rename(sample.film.with_suffix(".away"))
    try:
        result = dhh("query", sample.photos[0], "-c", encoded, "--explain", "1")
    finally:
        away.rename(sample.film)
    assert result.exit_code == 0
    assert f"crops: {sample.film}: cannot be opened: No such file or directory\n" in result.stdout


def made(histogram: np.ndarray, distance: int, stands_out: int | None) -> Explanation:
    return Explanation(
        rank=1,
        distance=distance,
        bits=len(histogram) - 1,
        photo="x.jpg",
        differing=(),
        unsure=0,
        unsure_differing=0,
        histogram=histogram,
        limits=(("very likely", 7), ("likely", -1)),
        stands_out=stands_out,
        first_seen="00:00:00:00",
        last_seen="00:00:00:05",
        crops_used=2,
        face_px=40.0,
        score=0.9,
        sharpness=100.0,
        crops=(),
        changed=3,
        why_no_crops="",
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 128), min_size=1, max_size=300), st.integers(0, 128))
def test_the_bars_count_every_track_once(distances: list[int], distance: int) -> None:
    histogram = np.bincount(distances, minlength=129)
    lines = list(explained(made(histogram, distance, 128)))
    bars = lines[lines.index("distances of all tracks:") + 1 :]
    assert 1 <= len(bars) <= 16
    counts = [int(line.replace("  <- this hit", "").replace("  <- threshold", "").split()[-1]) for line in bars]
    assert sum(counts) == len(distances)
    assert all(("#" in line) == (count > 0) for line, count in zip(bars, counts, strict=True))


def test_what_stands_out_is_what_strangers_rarely_reach() -> None:
    """Of n strangers' distances, fewer than one in the mean lie at or below; a hundred true shots do not move that."""
    rng = np.random.default_rng(0)
    for n in (100, 1000, 20_000):
        draws = [rng.binomial(128, 0.5, n) for _ in range(20)]
        limits = [outlying(np.bincount(draw, minlength=129)) or 0 for draw in draws]
        assert all(30 < limit < 58 for limit in limits), limits
        reached = np.mean([(draw <= limit).sum() for draw, limit in zip(draws, limits, strict=True)])
        assert reached < 1.5
        with_hits = [np.bincount(np.append(draw, rng.binomial(128, 0.1, n // 20)), minlength=129) for draw in draws]
        moved = [outlying(histogram) or 0 for histogram in with_hits]
        assert all(abs(a - b) <= 5 for a, b in zip(limits, moved, strict=True)), (limits, moved)
    assert outlying(np.bincount([64] * 29, minlength=129)) is None
    assert outlying(np.bincount([64] * 30, minlength=129)) is not None


@pytest.mark.parametrize(
    ("stands_out", "words"),
    [
        (None, "of this codes file: too few tracks (2) to tell which distance stands out"),
        (-1, "of this codes file: no distance stands out"),
        (
            9,
            "of this codes file: 9 bits stand out; of 2 strangers less than one is as near; this hit is beyond",
        ),
        (
            10,
            "of this codes file: 10 bits stand out; of 2 strangers less than one is as near; this hit is within",
        ),
    ],
)
def test_where_the_threshold_lies(stands_out: int | None, words: str) -> None:
    lines = list(explained(made(np.bincount([10, 20], minlength=49), 10, stands_out)))
    calibrated = "very likely up to 7, likely nowhere (by the weights' calibration; with a usual soft score)"
    assert lines[2] == f"thresholds, bits: {calibrated}"
    assert lines[3] == words
    assert "their code differs in 3 bits" in lines[7]


def test_words_come_before_bits(encoded: Path, sample: Sample, dhh: Run) -> None:
    lines = dhh("query", sample.photos[0], "-c", encoded, "--explain", "1").stdout.splitlines()
    assert lines[0] == "very likely: closest to collins.jpg"
    assert re.fullmatch(
        r"the face is \d+ pixels high( \(small\))?, (turned|seen from in front).*; best of \d+ looks", lines[1]
    )
    assert re.fullmatch("of 6 faces in these codes none is nearer; the next person is far", lines[2])
    assert not any("bit" in line for line in lines[:3])
    assert lines[3] == ""
    said = json.loads(dhh("query", sample.photos[0], "-c", encoded, "--explain", "1", "--json").stdout)
    assert said["words"] == lines[:3]


def test_of_several_photos_the_nearest_is_said() -> None:
    why = dataclasses.replace(made(np.bincount([3, 30], minlength=49), 3, 9), number=3, photos=12, likely="likely")
    first, second, third = in_words(why)
    assert first == "likely: closest to x.jpg, your 3rd of 12 photos"
    assert second == "the face is 40 pixels high; best of 2 looks"
    assert third == "of 2 faces in these codes none is nearer; the next person is far"
    turned_away = dataclasses.replace(why, turn=0.4, face_px=20.0, sharpness=9.0, still=True)
    assert list(in_words(turned_away))[1] == "the face is 20 pixels high (small), turned, blurred; in a photo"


def test_a_photo_among_the_hits_is_explained_as_a_photo(sample: Sample, dhh: Run, tmp_path: Path) -> None:
    """Its face is found and hashed again: no word of a video that cannot be opened."""
    codes = tmp_path / "codes.h5"
    assert dhh("encode", *sample.photos, "-o", codes).exit_code == 0
    said = dhh("query", "track:0", "-c", codes, "--explain", "1")
    assert said.exit_code in (0, 3), said.stderr  # it is somebody else, and said to be
    assert "; in a photo\n" in said.stdout
    assert "face in a photo; crops used: 1" in said.stdout
    assert "crops cut again from the photo: 1; they give the stored code" in said.stdout


def test_how_far_a_face_is_turned() -> None:
    front = np.array([[10, 10], [30, 10], [20, 20], [12, 30], [28, 30]], np.float32)
    assert turned(front) == 0
    aside = front.copy()
    aside[2] = (28, 20)
    assert turned(aside) == pytest.approx(0.4)
    tilt = np.array([[0.8, -0.6], [0.6, 0.8]])  # a head on its side is not turned
    assert turned(front @ tilt) == pytest.approx(0, abs=1e-6)
    assert turned(aside @ tilt) == pytest.approx(0.4)
    assert turned(np.zeros((5, 2))) is None


def test_a_folder_is_one_person(encoded: Path, sample: Sample, dhh: Run, tmp_path: Path) -> None:
    folder = tmp_path / "people" / "Eileen"
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"0{number}.jpg").write_bytes(sample.photos[0].read_bytes())
    one = dhh("query", folder / "01.jpg", folder / "02.jpg", "-c", encoded, "--json")
    assert dhh("query", folder, "-c", encoded, "--json").stdout == one.stdout
    (folder / "none.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("x")
    other = dhh("query", f"{folder}/", "-c", encoded, "--json")
    assert other.stdout == one.stdout
    assert "left out: " in other.stderr
    assert "none.png" in other.stderr
    assert dhh("query", folder, "-c", encoded, "-o", tmp_path / "cut.edl").exit_code == 0
    assert (tmp_path / "cut.edl").read_text().startswith("TITLE: Eileen\n")
    each = dhh("query", "--each", folder, sample.photos[1], "-c", encoded, "-n", "1", "--json")
    assert [json.loads(line)["question"] for line in each.stdout.splitlines()] == [str(folder), str(sample.photos[1])]
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = dhh("query", empty, "-c", encoded)
    assert refused.exit_code != 0
    assert "none with a face" in refused.stderr
