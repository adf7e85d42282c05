"""dhh query: everything that can be asked, to the character, and every word that cannot be understood."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from synthetic import scene, write_video
from typer.testing import CliRunner, Result

from dhhcli.cli.app import app
from dhhcli.media.sample import Sample
from dhhcli.models.binary_codes import unpack

Run = Callable[..., Result]
COLLINS, HOPPER = {2, 6, 7}, {3, 5, 6}  # shots of the sample; 1, 4 and 8 show nobody
MAY, JUNE = 1_714_556_000, 1_717_236_000  # the 1st of either, 2024, UTC, in the morning


@pytest.fixture(scope="module")
def archive(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Codes of the sample's film under two names, of May and of June."""
    root = tmp_path_factory.mktemp("archive")
    for name, written in (("may/a.mp4", MAY), ("june/b.mp4", JUNE)):
        (root / name).parent.mkdir()
        (root / name).write_bytes(sample.film.read_bytes())
        os.utime(root / name, (written, written))
        # one after the other: the second is a copy of what is known
        result = CliRunner().invoke(app, ["encode", str(root / name), "--out", str(root / "codes.h5")])
        assert result.exit_code == 0, result.stderr
    return root / "codes.h5"


@pytest.fixture
def ask(dhh: Run, archive: Path) -> Run:
    """``dhh query`` of these codes."""

    def run(*words: str | Path) -> Result:
        return dhh("query", "--codes", archive, *words)

    return run


@pytest.fixture
def piped(archive: Path, ask: Run) -> Callable[..., Result]:
    """The same with something on standard input, in the same folder."""
    assert ask is not None

    def run(stdin: bytes, *words: str | Path) -> Result:
        return CliRunner().invoke(app, ["query", "--codes", str(archive), *map(str, words)], input=stdin)

    return run


@pytest.fixture
def collins(sample: Sample) -> Path:
    return sample.photos[0]


@pytest.fixture
def hopper(sample: Sample) -> Path:
    return sample.photos[1]


def objects(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def shots(result: Result) -> list[tuple[str, int]]:
    """(film, shot) of a JSON answer, in order."""
    return [(Path(str(row["video"])).name, row["shot"]) for row in objects(result)]


def both(numbers: set[int]) -> set[tuple[str, int]]:
    return {(name, number) for name in ("a.mp4", "b.mp4") for number in numbers}


def one_line(result: Result, code: int, *parts: str) -> None:
    assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    for part in parts:
        assert part in result.stderr, result.stderr


# -------------------------------------------------------------------------------------------- who else, who not


def test_not_this_person(ask: Run, collins: Path, hopper: Path) -> None:
    assert set(shots(ask(collins, "--json"))) == both(COLLINS | HOPPER)
    assert set(shots(ask(collins, "--not", hopper, "--json"))) == both(COLLINS)


def test_with_another_person(ask: Run, collins: Path, hopper: Path) -> None:
    result = ask(collins, "--with", hopper, "--columns", "video,shot,distance,confidence,also,track", "--json")
    rows = objects(result)
    assert set(shots(result)) == both({6})
    alone = {
        (who, row["track"]): row for who, photo in ((0, collins), (1, hopper)) for row in objects(ask(photo, "--json"))
    }
    for row in rows:
        (other,) = row["also"]
        claims = [alone[0, row["track"]], alone[1, other]]
        assert row["distance"] == max(claim["distance"] for claim in claims)
        assert row["confidence"] == pytest.approx(float(np.prod([claim["confidence"] for claim in claims])), abs=2e-6)
    assert ask(collins, "--and", hopper, "--columns", "video,shot,distance,confidence,also,track", "--json").stdout == (
        result.stdout
    )
    assert shots(ask(collins, "--with", hopper, "--min-confidence", "0.5", "--json")) == shots(result)
    assert ask(collins, "--with", hopper, "--min-confidence", "1").exit_code == 3
    assert ask(collins, "--with", collins).exit_code == 3  # one track is not two people


def test_without_another_person(ask: Run, collins: Path, hopper: Path) -> None:
    """The shot of both falls away, where a negative leaves it."""
    assert set(shots(ask(collins, "--without", hopper, "--json"))) == both(COLLINS - HOPPER)
    assert set(shots(ask(collins, "--without", "track:0", "--json"))) & both({2}) == set()


def test_without_needs_a_calibration(dhh: Run, clip: Path, sample: Sample, other_weights: Path) -> None:
    assert dhh("encode", clip, "--weights", other_weights).exit_code == 0
    words = ("query", sample.photos[0], "--weights", other_weights)
    one_line(dhh(*words, "--without", sample.photos[1]), 1, "not calibrated, so --without means nothing")
    assert dhh(*words, "--not", sample.photos[1]).exit_code in (0, 3)
    assert dhh(*words, "--max-distance", "32").exit_code == 0


# -------------------------------------------------------------------------------------------- what is asked with


def test_a_stored_track_is_not_its_own_answer(ask: Run, collins: Path) -> None:
    first = objects(ask(collins, "--json"))[0]
    found = shots(ask(f"track:{first['track']}", "--json"))
    assert (Path(str(first["video"])).name, first["shot"]) not in found
    assert len(found) == 2 * 5 - 2  # nor is the same shot of the copy
    assert set(found[:4]) == both(COLLINS) - both({first["shot"]})


def test_a_sheet_shows_what_was_asked_with(ask: Run, sample: Sample, collins: Path, tmp_path: Path) -> None:
    for word, name in (
        ("track:0", "b.mp4"),
        ("shot:may/a.mp4:2", "a.mp4"),
        (sample.film, sample.film.name),
        (collins, collins.name),
    ):
        assert ask(word, "-n", "1", "--sheet", "hits.html").exit_code == 0
        page = (tmp_path / "hits.html").read_text()
        assert f'alt="the face asked for, in {name}"' in page
        assert page.count('alt="asked for"') == 1


def test_a_stored_shot(ask: Run) -> None:
    result = ask("shot:a.mp4:2", "--json")
    assert result.stderr == ""
    assert set(shots(result)[:4]) == both(COLLINS) - both({2})
    two = ask("shot:may/a.mp4:6", "--json")
    assert two.stderr.startswith("shot:may/a.mp4:6: 2 face tracks, took the largest (")
    assert two.stderr.endswith("; --face N chooses another\n")
    other = ask("shot:may/a.mp4:6", "--json", "--face", "2")
    assert {frozenset(shots(two)[:4]), frozenset(shots(other)[:4])} == {
        frozenset(both(who) - both({6})) for who in (COLLINS, HOPPER)
    }


def test_a_video_asks_with_the_face_seen_longest(ask: Run, sample: Sample) -> None:
    result = ask(sample.film, "--json")
    assert (
        result.stderr == f"{sample.film}: 6 face tracks, took the one seen longest (shot 6); --face N chooses another\n"
    )
    found = shots(result)
    assert len(found) == 2 * 5 - 2  # the shot asked with is known by the film's content, in both copies
    assert set(found[:4]) in [both(who) - both({6}) for who in (COLLINS, HOPPER)]
    one_line(ask(sample.film, "--face", "7"), 1, "has 6 face track(s), --face 7 asks for more")


def test_a_video_without_faces(ask: Run, tmp_path: Path) -> None:
    one_line(ask(write_video(tmp_path / "sky.mp4", [scene(1)] * 10)), 1, "sky.mp4: no face found in this video")
    (tmp_path / "text.mp4").write_text("no film")
    one_line(ask("text.mp4"), 1, "text.mp4: ")


@pytest.mark.parametrize(
    ("word", "code", "part"),
    [
        ("track:12", 1, "track 12: the codes file has tracks 0 to 11; see the column track"),
        ("track:x", 2, "track:x: expected track:N"),
        ("track:", 2, "track:: expected track:N"),
        ("shot:a.mp4", 2, "shot:a.mp4: expected shot:VIDEO:N"),
        ("shot:c.mp4:1", 1, "shot:c.mp4:1: no video is called 'c.mp4' in the codes file"),
        ("shot:a.mp4:99", 1, "there is no shot 99 of this video in the codes file, only shots up to 8"),
        ("shot:a.mp4:1", 1, "shot:a.mp4:1: no face was found in this shot"),
        ("name:", 2, "name:: expected name:NAME; dhh name shows the names"),
        ("name:Ann", 1, "nobody is called 'Ann'; nobody is named"),
        ("", 2, "an empty word"),
    ],
)
def test_words_that_name_nobody(ask: Run, collins: Path, word: str, code: int, part: str) -> None:
    one_line(ask(word), code, part)
    one_line(ask(collins, "--not", word), code, part)


@pytest.fixture
def eileen(ask: Run, archive: Path, collins: Path) -> Iterator[str]:
    """A name for the best two tracks of a photo, of six that there are."""
    first = objects(ask(collins, "--json"))[:2]
    tracks = [word for row in first for word in ("--track", str(row["track"]))]
    assert CliRunner().invoke(app, ["name", str(archive), "Eileen Collins", *tracks]).exit_code == 0
    yield "Eileen Collins"
    assert CliRunner().invoke(app, ["name", str(archive), "--remove", "Eileen Collins"]).exit_code == 0


def test_a_name_finds_its_tracks_and_others_like_them(ask: Run, collins: Path, hopper: Path, eileen: str) -> None:
    named = shots(ask(collins, "--json"))[:2]
    result = ask("--name", "eileen collins", "--json")
    found = shots(result)
    assert set(found[:2]) == set(named)
    sure = [row["confidence"] for row in objects(result)]
    assert sure == sorted(sure, reverse=True)
    assert set(found[:6]) == both(COLLINS)
    assert ask(f"name:{eileen}", "--json").stdout == result.stdout
    assert set(shots(ask(hopper, "--not", f"name:{eileen}", "--json"))) == both(HOPPER)
    assert set(shots(ask(hopper, "--with", f"name:{eileen}", "--json"))) == both({6})
    rows = objects(ask("--each", collins, "--name", eileen, "--json"))
    assert {row["question"] for row in rows} == {str(collins), "name:Eileen Collins"}


def test_names_that_cannot_be_asked_for(ask: Run, archive: Path, eileen: str) -> None:
    one_line(ask("--name", "Eileen"), 1, "nobody is called 'Eileen'; nearest: 'Eileen Collins'")
    one_line(ask("--name", eileen, "--face", "2"), 2, "--face says which face of one photo; a name has its own tracks")
    one_line(ask("--name", " "), 2, "expected name:NAME")
    one_line(ask(), 2, "nobody is asked for: name a photo")
    names = archive.with_name("codes.h5.people")
    good = names.read_bytes()
    names.write_bytes(good.replace(b"Eileen", b"Ellen"))
    one_line(ask("--name", eileen), 1, "codes.h5.people: damaged")
    names.write_bytes(good)


def test_a_name_asks_with_all_its_tracks_in_one_row(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dhhcli.search.question.learning import learned
    from dhhcli.search.question.probe import asked
    from dhhcli.search.question.terms import NameTerm
    from dhhcli.storage.codes_file import open_shard
    from dhhcli.storage.who import book as people

    monkeypatch.setattr(people, "known_rows", lambda *_: people.Known(np.arange(10), np.array([11])))
    with open_shard(archive) as shard:
        found = asked([NameTerm("x")], shard, object(), archive)  # type: ignore[arg-type]
        bits = unpack(shard.codes, shard.tag.bits).astype(float)
    assert found.soft.tolist() == learned(bits[:10], bits[11:12]).tolist()
    assert (found.names, found.kind, len(found.faces)) == (("the 10 tracks of x",), "track-track", 4)
    assert not len(found.apart)
    assert found.gone.tolist() == [11]


def test_photos_of_one_person_three_ways(ask: Run, collins: Path, tmp_path: Path) -> None:
    dark = tmp_path / "dark.jpg"
    cv2.imwrite(str(dark), np.asarray(np.asarray(cv2.imread(str(collins))) * 0.4, np.uint8))
    by_bits = ("--rank", "bits", "--json")
    answers = {way: objects(ask(collins, dark, "--fuse", way, *by_bits)) for way in ("both", "set", "best")}
    alone = [{row["track"]: row for row in objects(ask(photo, *by_bits))} for photo in (collins, dark)]
    distance = {way: {row["track"]: row["distance"] for row in rows} for way, rows in answers.items()}
    for track in alone[0]:
        nearest = min(one[track]["distance"] for one in alone)
        assert distance["best"][track] == nearest
        assert distance["both"][track] == min(nearest, distance["set"][track])
    assert any(distance["set"][track] != distance["best"][track] for track in alone[0])
    assert ask(collins, dark).stdout == ask(collins, dark, "--fuse", "both").stdout
    for way in ("both", "set", "best"):  # one photo is a still, whatever the way
        assert ask(collins, "--fuse", way).stdout == ask(collins).stdout


def test_the_nearest_row_of_a_question_is_named(ask: Run, collins: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "dark.jpg"), np.asarray(np.asarray(cv2.imread(str(collins))) * 0.4, np.uint8))
    names: dict[str, tuple[str, ...]] = {
        "set": ("asked with the 2 photos together: ",),
        "best": ("asked with collins.jpg: ", "asked with dark.jpg: "),
    }
    for way, start in names.items():
        lines = ask(collins, "dark.jpg", "--fuse", way, "--explain", "1").stdout.splitlines()
        assert any(line.startswith(start) for line in lines), lines
    assert "\nasked with track 0: 0 of its 128 bits" in ask("track:0", "--explain", "1").stdout


# -------------------------------------------------------------------------------------------- where, how many


def test_in_a_folder_or_file(ask: Run, archive: Path, collins: Path) -> None:
    for glob in (
        "a.mp4",
        "may",
        "may/*.mp4",
        "*/a.*",
        str(archive.parent / "may"),
        f"{archive.parent}/m?y/",
        "[ac].mp4",
    ):
        assert {name for name, _ in shots(ask(collins, "--in", glob, "--json"))} == {"a.mp4"}, glob
    assert {name for name, _ in shots(ask(collins, "--in", "may", "--in", "b.*", "--json"))} == {"a.mp4", "b.mp4"}
    one_line(ask(collins, "--in", ""), 2, "--in '': expected a file, a folder or a glob")
    for glob in ("/may", "ay", "a.mp", "MAY"):
        result = ask(collins, "--in", glob)
        assert result.exit_code == 3, glob
        assert result.stderr == (
            f"nobody found: no video of {archive} that --in, --only, --after and --before allow has face tracks\n"
        )


def test_after_and_before(ask: Run, collins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    for words, names in (
        (("--after", "2024-06-01"), {"b.mp4"}),
        (("--before", "2024-06-01"), {"a.mp4"}),
        (("--after", "2024-05-01", "--before", "2024-07-01"), {"a.mp4", "b.mp4"}),
        (("--after", "2024-06-01T10:00:00+00:00"), {"b.mp4"}),
        (("--before", "2024-05-01T11:00+02:00", "--in", "may"), set()),
    ):
        result = ask(collins, *words, "--json")
        assert {json.loads(line)["video"].rpartition("/")[2] for line in result.stdout.splitlines()} == names, words
        assert result.exit_code == (0 if names else 3)
    for text in ("yesterday", "2024-13-01", "01:00:00:00", "2024", "99999-01-01"):
        one_line(ask(collins, "--after", text), 2, f"--after {text}: expected a date like 2024-05-31")
        one_line(ask(collins, "--before", text), 2, f"--before {text}: expected a date")


def test_per_video_top_and_all(ask: Run, collins: Path) -> None:
    everything = shots(ask(collins, "--all", "--json"))
    assert len(everything) == 10
    for count in (1, 2, 4, 99):
        kept = [row for at, row in enumerate(everything) if sum(row[0] == r[0] for r in everything[:at]) < count]
        assert shots(ask(collins, "--per-video", str(count), "--json")) == kept
        assert shots(ask(collins, "--per-video", str(count), "-n", "3", "--json")) == kept[:3]
    one_line(ask(collins, "--all", "--top", "3"), 2, "--all and --top: give one of them")


def test_at_most_so_many_bits(ask: Run, collins: Path) -> None:
    rows = objects(ask(collins, "--json"))
    distances = [row["distance"] for row in rows]
    for limit in (distances[0], distances[3], 128):
        kept = [distance for distance in distances if distance <= limit]
        assert [row["distance"] for row in objects(ask(collins, "--max-distance", str(limit), "--json"))] == kept
    none = ask(collins, "--max-distance", str(distances[0] - 1))
    assert none.exit_code == 3
    assert none.stderr == (
        f"nobody found within {distances[0] - 1} bits: the nearest shot is {distances[0]} bits away\n"
    )


def test_merge_joins_neighbours(ask: Run, collins: Path) -> None:
    """Shots 6 and 7 touch; between 2 and 6 lie 6 seconds."""
    sure = (collins, "--min-confidence", "0.5", "--in", "a.mp4")
    columns = ("--columns", "rank,shot,start,end,start_seconds,end_seconds,start_frame,end_frame,tracks,shots")
    assert ask(*sure, "--merge", "0", *columns).stdout.splitlines()[1:] == [
        "1\t6\t00:00:10:00\t00:00:15:05\t10.000000\t15.200000\t250\t380\t2\t2",
        "2\t2\t00:00:01:15\t00:00:04:00\t1.600000\t4.000000\t40\t100\t1\t1",
    ]
    assert ask(*sure, "--merge", "6", *columns).stdout.splitlines()[1:] == [
        "1\t6\t00:00:01:15\t00:00:15:05\t1.600000\t15.200000\t40\t380\t3\t3",
    ]
    assert ask(*sure, "--merge", "5.9", *columns).stdout == ask(*sure, "--merge", "0", *columns).stdout
    assert ask(*sure, "--merge", "-1").exit_code == 2
    vtt = ask(*sure, "--merge", "0", "-f", "webvtt").stdout
    assert "00:00:10.000 --> 00:00:15.200" in vtt
    edl = ask(*sure, "--merge", "0", "-f", "edl").stdout
    assert "00:00:10:00 00:00:15:05" in edl
    why = ask(*sure, "--merge", "6", "--explain", "1")
    assert "\nhit 1: " in why.stdout
    one_line(ask(*sure, "--merge", "6", "--explain", "2"), 2, "--explain 2: there are 1 hits")
    assert ask(*sure, "--merge", "6", "--sheet", "s.png").exit_code == 0


def test_a_joined_row_comes_back(ask: Run, collins: Path, dhh: Run, archive: Path, tmp_path: Path) -> None:
    """Saved rows keep the columns that only some answers have."""
    saved = ask(collins, "--merge", "3", "--json").stdout
    (tmp_path / "hits.json").write_text(saved)
    assert dhh("export", "hits.json", "-f", "json", "-c", archive).stdout == saved
    picked = dhh("export", "hits.json", "-f", "tsv", "-c", archive, "--columns", "shots,video")
    assert picked.stdout.splitlines()[0] == "shots\tvideo"


# -------------------------------------------------------------------------------------------- how it is written


def test_columns_are_chosen_and_ordered(ask: Run, archive: Path, collins: Path) -> None:
    video = archive.parent / "may" / "a.mp4"
    words = (collins, "--in", "may", "-n", "1", "--columns", "start,rank,video")
    assert ask(*words).stdout == f"start\trank\tvideo\n00:00:10:00\t1\t{video}\n"
    assert ask(*words, "--json").stdout == f'{{"start": "00:00:10:00", "rank": 1, "video": "{video}"}}\n'
    assert ask(*words, "-f", "csv").stdout_bytes == f"start,rank,video\r\n00:00:10:00,1,{video}\r\n".encode()
    table = ask(*words, "-f", "table").stdout.split()
    assert table[:5] == ["start", "rank", "video", "00:00:10:00", "1"]
    assert ask(collins, "-n", "1", "-f", "table", "--columns", "distance,face_at").stdout.splitlines()[0] == (
        "distance  face at    "
    )


def test_columns_that_are_not_there(ask: Run, collins: Path) -> None:
    known = (
        "rank, distance, bits, confidence, false_rate, video, shot, start, end, start_seconds, end_seconds, "
        "start_frame, end_frame, face_at, face_frame, box, tracks, track, track_id, name, names, question, also, shots"
    )
    one_line(ask(collins, "--columns", "rank,vide"), 2, f"--columns: there is no column 'vide'; known are {known}")
    one_line(ask(collins, "--columns", ""), 2, "there is no column ''")
    one_line(ask(collins, "--columns", "rank,shot,rank"), 2, "--columns: rank comes twice")
    one_line(ask(collins, "--columns", "rank", "-f", "edl"), 2, "--columns are of a table, tsv, csv or json")


def test_extra_columns_come_when_they_are_asked_for(ask: Run, collins: Path, hopper: Path) -> None:
    usual = ask(collins).stdout.splitlines()[0].split("\t")
    for words, extras in (
        (("--merge", "1"), ["shots"]),
        (("--with", hopper), ["also"]),
        (("--each",), ["question"]),
        (("--each", "--with", hopper, "--merge", "1"), ["question", "also", "shots"]),
        (("--with", collins), ["also"]),  # nobody found: the same head
    ):
        assert ask(collins, *words).stdout.splitlines()[0].split("\t") == [*usual, *extras], words


# -------------------------------------------------------------------------------------------- pipes


def test_words_on_standard_input(piped: Run, ask: Run, collins: Path, hopper: Path) -> None:
    lines = f"{collins}\n\n".encode()
    assert piped(lines, "-").stdout == ask(collins).stdout
    assert piped(f"{collins}\r\ntrack:3".encode(), "-").stdout == ask(collins, "track:3").stdout
    assert piped(lines, "track:3", "-").stdout == ask("track:3", collins).stdout
    assert piped(f"{collins}\0{hopper}\0".encode(), "-", "-0", "--each").stdout == ask(collins, hopper, "--each").stdout
    odd = Path("a\nb.jpg")
    odd.write_bytes(collins.read_bytes())
    assert piped(b"a\nb.jpg\0", "-", "--null").stdout == ask(collins).stdout


def test_answers_are_questions(piped: Run, ask: Run, collins: Path) -> None:
    first = ask(collins, "--json", "--min-confidence", "0.5")
    tracks = [f"track:{row['track']}" for row in objects(first)]
    assert piped(first.stdout.encode(), "-", "--json").stdout == ask(*tracks, "--json").stdout
    each = objects(piped(first.stdout.encode(), "-", "--each", "-n", "2", "--json"))
    assert [row["question"] for row in each] == [track for track in tracks for _ in range(2)]
    joined = ask(collins, "--json", "--min-confidence", "0.5", "--merge", "6").stdout
    best = [f"track:{json.loads(line)['track']}" for line in joined.splitlines()]
    assert piped(joined.encode(), "-").stdout == ask(*best).stdout
    photo = json.dumps({"photo": str(collins)}).encode()
    assert piped(photo, "-").stdout == ask(collins).stdout
    assert piped(b'{"track": 3}', "-").stdout == ask("track:3").stdout


@pytest.mark.parametrize(
    ("stdin", "words", "code", "part"),
    [
        (b"", ("-",), 3, "nobody is asked for: standard input is empty"),
        (b"\n\n", ("-",), 3, "nobody is asked for"),
        (
            b"{broken",
            ("-",),
            2,
            "standard input: line 1: not JSON; a file whose name begins with a brace is named ./{bro",
        ),
        (b'\n{"rank": 1}', ("-",), 2, 'standard input: line 2: expected "photo" with a path, or "track" with a number'),
        (b'{"track": true}', ("-",), 2, 'expected "photo"'),
        (b'{"track": -1}', ("-",), 2, 'expected "photo"'),
        (b'{"track": 3, "video": 7, "shot": 2}', ("-",), 2, 'expected "photo"'),
        (b'{"track": 3, "video": "/x.mp4", "shot": 2}', ("-",), 1, "track 3: not in shot 2 of /x.mp4 in this codes"),
        (b'{"photo": "a\\u0000b"}', ("-",), 2, 'expected "photo"'),
        (b"[" * 100_000, ("-",), 1, ""),
        (b"{" + b'"a":[' * 100_000, ("-",), 2, "not JSON"),
        (b"track:1", ("-", "-"), 2, "- stands twice"),
        (b"track:1", ("track:1", "-0"), 2, "-0 says how standard input is split; give - once"),
        (b"nowhere.jpg\n", ("-",), 1, "nowhere.jpg: cannot be opened"),
    ],
)
def test_standard_input_that_cannot_be_understood(
    piped: Run, stdin: bytes, words: tuple[str, ...], code: int, part: str
) -> None:
    one_line(piped(stdin, *words), code, part)


def test_each_answers_every_question(ask: Run, collins: Path, hopper: Path) -> None:
    rows = objects(ask(collins, hopper, "--each", "-n", "3", "--json"))
    assert [row["question"] for row in rows] == [str(collins)] * 3 + [str(hopper)] * 3
    assert [row["rank"] for row in rows] == [1, 2, 3] * 2
    for photo in (collins, hopper):
        alone = objects(ask(photo, "-n", "3", "--json"))
        assert [row | {"question": str(photo)} for row in alone] == [r for r in rows if r["question"] == str(photo)]
    cv2.imwrite("sky.png", scene(1, 320, 240))
    some = ask("sky.png", collins, "nowhere.jpg", "--each", "-n", "1")
    assert some.exit_code == 4
    assert len(some.stdout.splitlines()) == 2
    assert some.stderr.splitlines() == [
        "skipped: sky.png: no face found in 320x240 pixels; take a photo where the face is 20 pixels or larger",
        "skipped: nowhere.jpg: cannot be opened: No such file or directory",
    ]
    assert ask("sky.png", "--each").exit_code == 1
    none = ask(collins, hopper, "--each", "--max-distance", "0")
    assert none.exit_code == 3
    assert [line.partition(": ")[0] for line in none.stderr.splitlines()] == [str(collins), str(hopper)]
    for words, part in (
        (("--sheet", "s.png"), "--each asks several questions"),
        (("--explain", "1"), "--each asks several questions"),
        (("-f", "edl"), "ask them one by one for --format edl"),
        (("--face", "2"), ""),
    ):
        refused = ask(collins, hopper, "--each", *words)
        assert refused.exit_code == (1 if words[0] == "--face" else 2), words
        assert part in refused.stderr


# -------------------------------------------------------------------------------------------- completion


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dhh query a.jpg --columns rank,fa", ["rank,false_rate", "rank,face_at", "rank,face_frame"]),
        ("dhh query a.jpg --columns face_at,fa", ["face_at,false_rate", "face_at,face_frame"]),
        ("dhh query a.jpg --format fc", ["fcpxml", "fcp7"]),
        ("dhh query a.jpg --fuse ", ["both", "set", "best"]),
        ("dhh query a.jpg --weights dhh-12", ["dhh-12", "dhh-128"]),
        ("dhh evaluate p.h5 --weights dhh-2", ["dhh-24", "dhh-256"]),
        ("dhh export h.json --columns ra", ["rank"]),
        ("dhh query a.jp", []),  # the shell's own files
    ],
)
def test_completion(line: str, expected: list[str]) -> None:
    words = line.split(" ")
    environment = {"_DHH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    result = CliRunner().invoke(app, [], env=environment, prog_name="dhh")
    assert result.stdout.split() == expected


def test_columns_are_the_fields_of_a_row() -> None:
    import dataclasses

    from dhhcli.output.columns import KNOWN
    from dhhcli.search.result import Row

    assert tuple(field.name for field in dataclasses.fields(Row)) == KNOWN
