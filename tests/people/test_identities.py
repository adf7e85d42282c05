"""`dhh people` and `dhh name`: who is there, stable numbers, names that follow their tracks, and every refusal."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from answers import Elements
from commands import one_line, read
from footage import TAG, encoded_video
from typer.testing import Result
from whos_who import contents, named, write_film, write_names

from dhhcli.errors import NamesError, WeightsError
from dhhcli.media.sample import Sample
from dhhcli.output.terminal.waiting import grouping_words
from dhhcli.people.identities import Companion, find_people, grouping_takes
from dhhcli.people.naming import give_name, list_names, take_name
from dhhcli.search.forget import Erasure, forget
from dhhcli.storage.codes_file import ModelTag, commit, open_shard, remove_videos
from dhhcli.storage.merge import merge
from dhhcli.storage.who.book import known_rows, names_beside
from dhhcli.storage.who.journal import people_path
from dhhcli.storage.who.names import names_path, places_of, read_names

Run = Callable[..., Result]
K = TAG.bits


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return tmp_path / "codes.h5"


def described(path: Path, min_tracks: int = 1) -> list[tuple[object, ...]]:
    found = find_people(path, within=8, min_tracks=min_tracks)
    return [(p.person, p.name, p.seconds, p.tracks, p.shots, p.videos, p.first_seen, p.shot) for p in found.people]


def test_who_is_there(path: Path) -> None:
    write_film(path, "a.mov", "A02+B C A34 B", fresh=2)
    write_film(path, "b.mov", "C", content="cd")
    assert described(path) == [
        (1, "", 8.0, 2, 2, 1, "01:00:00:00", 1),  # B before C, who is seen as long, in as many tracks, but later
        (2, "", 8.0, 2, 2, 2, "01:00:04:00", 2),
        (3, "", 3.0, 2, 2, 1, "01:00:00:00", 1),
    ]
    found = find_people(path, within=8)
    assert [p.video.name for p in found.people] == ["a.mov"] * 3
    assert found.people[0].seen_with == (Companion(3, 1),)
    assert found.people[1].seen_with == ()
    assert [(t.person, t.other, t.shots, t.seconds) for t in found.together] == [(1, 3, 1, 2.0)]
    assert found.number.tolist() == [3, 1, 2, 3, 1, 2]


def test_two_at_once_are_two(path: Path) -> None:
    write_film(path, "a.mov", "A03+A24 B02+B24")  # the second one before the other is gone; after that
    found = find_people(path, within=8)
    assert found.number.tolist() == [2, 3, 1, 1]
    assert [(t.person, t.other, t.shots, t.seconds) for t in found.together] == [(2, 3, 1, 1.0)]


def test_few_tracks_are_counted_but_keep_the_numbers(path: Path) -> None:
    write_film(path, "a.mov", "A B C B A A")
    every = described(path)
    assert described(path, min_tracks=2) == every[:2]
    assert find_people(path, within=8, min_tracks=2).notes == (
        "1 more people with fewer than 2 tracks; --min-tracks 1 shows them",
    )
    give_name(path, "3", "Cleo", within=8)
    assert described(path, min_tracks=2)[2][:2] == (3, "Cleo")
    assert find_people(path, within=8, min_tracks=2).notes == ()


def test_faces_go_from_clear_and_typical_to_untypical(path: Path) -> None:
    write_film(path, "a.mov", "A A B A A A A A A+B")
    found = find_people(path, within=8, faces=True)
    (tracks, jpegs), (others, _) = found.faces
    assert tracks[0] == found.people[0].track == 0
    assert len(tracks) == len(set(tracks.tolist())) == len(jpegs) == 6
    assert set(tracks.tolist()) <= set(np.flatnonzero(found.number == 1).tolist())
    assert sorted(others.tolist()) == [2, 9]


def test_names_follow_their_tracks(path: Path) -> None:
    write_film(path, "m.mov", "A B A")
    assert give_name(path, "1", "  Ada   Lovelace ", within=8) == ["Ada Lovelace: 2 tracks"]
    write_film(path, "a.mov", "C A", content="cd")  # before the other: rows move
    with open_shard(path) as shard:
        assert known_rows(path, shard, "ada lovelace").yes.tolist() == [2, 4]
    assert described(path)[0][:4] == (1, "Ada Lovelace", 12.0, 3)
    assert [(n.name, n.tracks, n.videos, n.missing) for n in list_names(path)] == [("Ada Lovelace", 2, 1, 0)]
    assert give_name(path, "1", "Ada Lovelace", within=8) == ["Ada Lovelace: 3 tracks"]
    assert give_name(path, "ada lovelace", "Ada King") == ["Ada Lovelace is now called Ada King"]
    assert give_name(path, None, "Ada King", tracks=[3]) == ["Ada King: 1 track, 4 tracks have this name"]
    assert take_name(path, "Ada King", tracks=[3, 1]) == ["Ada King: 2 tracks have no name now"]
    remove_videos(path, [Path("/films/m.mov")])
    assert [(n.tracks, n.missing) for n in list_names(path)] == [(0, 2)]
    with open_shard(path) as shard, pytest.raises(NamesError, match="holds none of the 2 tracks"):
        known_rows(path, shard, "Ada King")
    assert take_name(path, "Ada King") == ["Ada King: 2 tracks have no name now"]
    assert list_names(path) == []


def test_names_hold_people_together_and_apart(path: Path) -> None:
    write_film(path, "a.mov", "A B A A C")
    give_name(path, None, "Ann", tracks=[0])
    give_name(path, None, "Ann", tracks=[1])  # another code, the same person
    give_name(path, None, "Eve", tracks=[2])  # the same code, another person
    number = find_people(path, within=8).number
    assert number[0] == number[1] != number[2]


def test_who_cannot_be_named(path: Path) -> None:
    write_film(path, "a.mov", "A+B A B")
    give_name(path, "1", "Ann", within=8)
    before = people_path(path).read_bytes()
    for arguments, tracks, words in (
        (("2", "Ann"), (), "'Ann' cannot be one person: tracks 0 and 1 are seen at once in shot 1 of /films/a.mov"),
        (("1", "Bob"), (), "person 1 is 'Ann' already; to rename: dhh name"),
        (("7", "Bob"), (), "has people 1 to 2, not 7"),
        (("0", "Bob"), (), "has people 1 to 2, not 0"),
        (("Bob", "Bobby"), (), "nobody is called 'Bob'; dhh name shows"),
        (("An", "Bobby"), (), "nobody is called 'An'; nearest: 'Ann'"),
        ((None, "Bob"), (4,), "has tracks 0 to 3"),
        ((None, "Bob"), (0, 1), "tracks 0 and 1 are seen at once"),
        (("2", " "), (), "is no name"),
        (("2", "12"), (), "is no name"),
        (("2", "a\x07"), (), "is no name"),
        (("2", "x" * 201), (), "is no name"),
    ):
        with pytest.raises(NamesError, match=words):
            give_name(path, *arguments, tracks=tracks, within=8)
    with pytest.raises(NamesError, match="track 1 is not called 'Ann'"):
        take_name(path, "Ann", tracks=[1])
    assert people_path(path).read_bytes() == before


def test_forgotten_tracks_lose_their_names(path: Path) -> None:
    write_film(path, "a.mov", "A B A")
    write_film(path, "b.mov", "A B", content="cd")
    give_name(path, "1", "Ann", within=8)
    give_name(path, "2", "Bob", within=8)
    left = [path.parent / ".codes.h5.names.1.tmp", path.parent / "codes.h5.people.1.tmp"]  # of killed writers
    for file in left:
        file.write_bytes(people_path(path).read_bytes())
    forget(path, Erasure(tracks=(2,)))
    assert not any(file.exists() for file in left)
    assert named(path) == {"Ann": [0, 2], "Bob": [1, 3]}
    assert names_beside(path) == {"Ann": 2, "Bob": 2}
    forget(path, Erasure(videos=(Path("/films/a.mov"),)))
    assert contents(path) == {"cd" * 32}
    forget(path, Erasure(videos=(Path("/films/b.mov"),)))
    assert (names_beside(path), contents(path)) == ({}, set())


def test_who_has_a_name_is_forgotten_by_it(path: Path) -> None:
    write_film(path, "a.mov", "A B A")
    write_film(path, "b.mov", "A B", content="cd")
    give_name(path, None, "Ann", tracks=[0, 3])
    give_name(path, None, "Bob", tracks=[1])
    remove_videos(path, [Path("/films/b.mov")])
    asked = Erasure(names=("ann", "Bob"))
    removed, _ = forget(path, asked, dry_run=True)
    assert [line.track for line in removed] == [0, 1]
    assert names_beside(path)["Ann"] == 2
    assert forget(path, Erasure(names=("ann",)))[0] == removed[:1]
    assert names_beside(path) == {"Bob": 1}  # also what is in a video that is not there now
    with pytest.raises(NamesError, match="nobody is called 'ann'"):
        forget(path, asked)
    remove_videos(path, [Path("/films/a.mov")])
    assert forget(path, Erasure(names=("Bob",)))[0] == []
    assert names_beside(path) == {}


def test_merged_files_keep_their_names(tmp_path: Path) -> None:
    one, other, out = tmp_path / "one.h5", tmp_path / "other.h5", tmp_path / "out.h5"
    write_film(one, "a.mov", "A B")
    write_film(other, "a.mov", "A B")
    write_film(other, "b.mov", "A C", content="cd")
    give_name(one, None, "Ann", tracks=[0])
    give_name(other, None, "Anna", tracks=[0, 2])
    give_name(other, None, "Cleo", tracks=[3])
    give_name(other, None, "Bob", tracks=[1])
    forget(one, Erasure(tracks=(1,)))
    done = merge([one, other], out)
    assert (done.names, done.two_names) == (3, 1)
    assert done.lines(out) == [
        f"{out}: 2 videos, 3 tracks, 3 names",
        f"left out: {other}: /films/a.mov: same content as in {one}",
        "left out: 1 track has another name in a later file",
    ]
    assert [(n.name, n.tracks, n.missing) for n in list_names(out)] == [("Ann", 1, 0), ("Anna", 1, 0), ("Cleo", 1, 0)]
    out.unlink()
    with pytest.raises(Exception, match=r"out.h5.people: is there already"):
        merge([one, other], out)


def damage(text: str) -> list[tuple[str, str]]:
    whole = json.loads(text)
    place = whole["names"]["Ann"][0]
    return [
        ("", "not a names file"),
        (text[:-40], "not a names file"),
        ("[]", "damaged"),
        (json.dumps(whole | {"format": "other"}), "this dhh reads 'dhh names' version 1"),
        (json.dumps(whole | {"version": 2}), "upgrade dhh"),
        (text.replace("Ann", "Eve"), "its checksum is another"),
        (json.dumps({key: whole[key] for key in whole if key != "names"}), "damaged"),
        (text.replace(place[0], "zz" * 32), "damaged"),
        ("[" * 100_000, "not a names file"),
    ]


def test_damaged_names_are_refused(path: Path) -> None:
    write_film(path, "a.mov", "A B")
    with open_shard(path) as shard:
        write_names(path, {"Ann": places_of(shard, np.array([0]))})
    good = names_path(path).read_text()
    for bad, words in damage(good):
        names_path(path).write_text(bad)
        with pytest.raises(NamesError, match=words):
            read_names(path)
        with pytest.raises(NamesError, match=words):
            forget(path, Erasure(tracks=(0,)))
    with names_path(path).open("wb") as file:
        file.truncate(1 << 40)  # sparse: must not be read
    with pytest.raises(NamesError, match="no names file is as large"):
        read_names(path)
    names_path(path).write_text(good)
    assert len(read_names(path)["Ann"]) == 1


def test_entries_are_checked_behind_a_right_checksum(path: Path) -> None:
    write_film(path, "a.mov", "A B")
    with open_shard(path) as shard:
        one, two = places_of(shard, np.array([0, 1]))
    for bad in (
        {"Ann": (one,), "Eve": (one,)},
        {"Ann": (replace(one, content="ab"),)},
        {"Ann": (replace(one, start_pts=1.5),)},  # type: ignore[arg-type]
        {"Ann": (replace(one, end_pts=1 << 70),)},
    ):
        write_names(path, bad)
        with pytest.raises(NamesError, match="damaged"):
            read_names(path)
    write_names(path, {"Ann": (one,), "Eve": (two,), "nobody": ()})
    assert read_names(path) == {"Ann": (one,), "Eve": (two,)}
    assert named(path) == {"Ann": [0], "Eve": [1]}
    give_name(path, None, "Eva", tracks=[1])  # takes the old file over
    assert named(path) == {"Ann": [0], "Eva": [1]} == named(path)
    assert not names_path(path).exists()


def test_weights_that_are_not_known(path: Path, other_weights: Path) -> None:
    write_film(path, "a.mov", "A B")
    with pytest.raises(WeightsError, match="which are not shipped; name them with --weights"):
        find_people(path)
    with pytest.raises(WeightsError, match="did not make"):
        find_people(path, weights=str(other_weights))
    from dhhcli.models.weights import load_weights

    known = load_weights(other_weights)
    tag = ModelTag(known.bits, known.fingerprint)
    film = encoded_video(np.random.default_rng(0), "/films/x.mov", bits=known.bits)
    commit(path.with_name("x.h5"), tag, film)
    with pytest.raises(WeightsError, match=r"not calibrated; say with --within"):
        find_people(path.with_name("x.h5"), weights=str(other_weights))


# ------------------------------------------------------------------------------------------------- command line


@pytest.fixture
def codes(encoded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(encoded, tmp_path / "codes.h5"))


def test_people_of_the_sample(dhh: Run, codes: Path, sample: Sample) -> None:
    result = dhh("people")
    assert result.exit_code == 0
    assert result.stderr == ""
    found = find_people(codes)  # how long they are seen, and where best, is the encoder's business
    one, two = found.people
    assert one.seconds >= two.seconds == pytest.approx(6.9, abs=0.4)
    assert found.number[[one.track, two.track]].tolist() == [1, 2]
    assert result.stdout == (
        "person\tname\tseconds\ttracks\tshots\tvideos\tfirst_seen\tvideo\tshot\ttrack\ttrack_id\tseen_with\n"
        f"1\t\t{one.seconds}\t3\t3\t1\t{one.first_seen}\t{sample.film}\t{one.shot}"
        f"\t{one.track}\t{one.track_id}\t2 (1)\n"
        f"2\t\t{two.seconds}\t3\t3\t1\t{two.first_seen}\t{sample.film}\t{two.shot}"
        f"\t{two.track}\t{two.track_id}\t1 (1)\n"
    )
    both = found.together[0].seconds
    assert both == pytest.approx(2.96, abs=0.2)
    assert dhh("people", codes, "--together").stdout == (
        f"person\tname\tother\tother_name\tshots\tseconds\n1\t\t2\t\t1\t{both}\n"
    )
    result = dhh("name", "codes.h5", 2, "Eileen Collins")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "Eileen Collins: 3 tracks\n")
    lines = [json.loads(line) for line in dhh("people", "--json").stdout.splitlines()]
    assert [(line["person"], line["name"], line["video"]) for line in lines] == [
        (1, "", str(sample.film)),
        (2, "Eileen Collins", str(sample.film)),
    ]
    assert json.loads(dhh("people", "--together", "--json").stdout) == {
        "person": 1,
        "name": "",
        "other": 2,
        "other_name": "Eileen Collins",
        "shots": 1,
        "seconds": both,
    }
    assert dhh("name", "codes.h5").stdout == "name\ttracks\tvideos\tmissing\nEileen Collins\t3\t1\t0\n"
    assert "names\t1\n" in dhh("info").stdout
    assert dhh("name", "codes.h5", "--remove", "eileen collins").stderr == "Eileen Collins: 3 tracks have no name now\n"
    result = dhh("name", "codes.h5")
    assert (result.exit_code, result.stdout) == (3, "")


def test_the_faces_as_page_and_picture(dhh: Run, codes: Path, tmp_path: Path) -> None:
    hostile = "</style><img src=x onerror=alert(1)>"
    assert dhh("name", codes, "1", hostile).exit_code == 0
    assert dhh("people", "--sheet", "people.html").exit_code == 0
    made = (tmp_path / "people.html").read_text()
    tags = Elements(made).tags
    images = [attributes["src"] for tag, attributes in tags if tag == "img"]
    assert len(images) == 6
    assert all(image and image.startswith("data:image/jpeg;base64,") for image in images)
    assert "script" not in {tag for tag, _ in tags}
    assert "onerror" not in {name for _, attributes in tags for name in attributes}
    assert " min, 3 tracks in 3 shots of 1 file" in made
    assert dhh("people", "--sheet", "people.png", "--min-tracks", "4").exit_code == 0
    assert read(tmp_path / "people.png").shape == (152, 672, 3)  # the named one


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("people", "none.h5"), 1, "none.h5: "),
        (("people", "--within", "129"), 2, "--within 129: the codes have 128 bits"),
        (("people", "--sheet", "x.gif"), 1, "a contact sheet is written as .html, .png or .jpg"),
        (("people", "--open"), 2, "--open shows the sheet"),
        (("people", "--sheet", "no/x.html"), 1, "cannot be written"),
        (("name", "codes.h5", "Ann"), 2, "say whom to name"),
        (("name", "codes.h5", "1", "Ann", "--track", "1"), 2, "say whom to name"),
        (("name", "codes.h5", "--track", "1"), 2, "say whom to name and how"),
        (("name", "codes.h5", "1", "Ann", "Lee"), 2, "say whom to name and how"),
        (("name", "codes.h5", "Ann", "--remove", "Ann"), 2, "--remove takes a name away"),
        (("name", "codes.h5", "--remove", "Ann"), 1, "nobody is called 'Ann'; nobody is named"),
        (("name", "codes.h5", "\u00b2", "Ann"), 1, "nobody is called '\u00b2'"),  # a digit, but not a number
        (("name", "none.h5", "1", "Ann"), 1, "none.h5: "),
    ],
)
def test_refusals(dhh: Run, codes: Path, words: tuple[str, ...], code: int, expected: str) -> None:
    one_line(dhh(*words), code, expected)
    assert not names_path(codes).exists()


def test_nobody_is_named(dhh: Run, codes: Path) -> None:
    result = dhh("name", codes)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        f"{codes}: nobody is named; say dhh name {codes} 1 'Ada Lovelace' with a number of dhh people\n"
    )


def test_nobody(dhh: Run, path: Path) -> None:
    commit(path, TAG, encoded_video(np.random.default_rng(0), "/a.mov", tracks=0))
    result = dhh("people", path, "--within", "9")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "nobody: the codes file holds no face tracks\n"


def test_how_long_grouping_takes_is_known_before(codes: Path, tmp_path: Path) -> None:
    found = grouping_takes(codes)
    assert found
    assert found[0] == 6
    assert grouping_words(codes, found) == f"{codes}: grouping its 6 tracks by who they show; about 1 s"
    assert grouping_words(codes, (100_000, 33.0)).endswith("its 100000 tracks by who they show; about 33 s")
    assert grouping_takes(tmp_path / "none.h5") is None
    assert grouping_words(codes, None).endswith("grouping its tracks by who they show")
