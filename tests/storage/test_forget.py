"""Forgotten tracks are gone from the bytes and stay away; merging holds every video once."""

import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import one_line
from footage import TAG, assert_holds, assert_same_video, contents, encoded_video, make
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import Result

from dhhcli.errors import ShardError, UsageError
from dhhcli.index.lookup import index_paths
from dhhcli.media.sample import Sample
from dhhcli.output.inventory import print_lines, print_pairs
from dhhcli.search import forget as forgetting
from dhhcli.search.forget import Erasure, forget
from dhhcli.storage.codes_file import ModelTag, commit, compact, open_shard
from dhhcli.storage.inventory import list_entries, take_inventory
from dhhcli.storage.merge import merge
from dhhcli.storage.schema import TRACK_DTYPE
from dhhcli.storage.tombstones import forgotten, forgotten_tracks, of_tracks, of_video, united

Run = Callable[..., Result]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return tmp_path / "codes.h5"


# ------------------------------------------------------------------------------------------------ tombstones


def tracks_at(*places: tuple[int, int, tuple[float, float, float, float]]) -> np.ndarray:
    rows = np.zeros(len(places), TRACK_DTYPE)
    for row, (start, end, box) in zip(rows, places, strict=True):
        row["start_pts"], row["end_pts"], row["best_pts"], row["box"] = start, end, start, box
    return rows


BOX = (100.0, 100.0, 150.0, 150.0)


@pytest.mark.parametrize(
    ("places", "found"),
    [
        ([(0, 100, BOX)], [True]),
        ([(1, 99, (104, 98, 155, 149))], [True]),  # encoded a little otherwise
        ([(0, 100, BOX), (0, 100, (101, 101, 150, 150))], [True, False]),  # the very one is there
        ([(0, 40, (100, 101, 150, 150)), (50, 100, (99, 100, 150, 150))], [True, True]),  # split in two
        ([(0, 90, (300, 100, 350, 150)), (5, 95, (600, 100, 650, 150))], [True, False]),  # best frame elsewhere
        ([(90, 400, BOX)], [False]),  # the next one at this place
        ([(200, 300, BOX)], [False]),
        ([], []),
    ],
)
def test_which_track_a_tombstone_means(
    places: list[tuple[int, int, tuple[float, float, float, float]]], found: list[bool]
) -> None:
    stones = of_tracks("ab" * 32, tracks_at((0, 100, BOX)))
    assert forgotten_tracks("ab" * 32, tracks_at(*places), stones).tolist() == found
    assert not forgotten_tracks("cd" * 32, tracks_at(*places), stones).any()
    assert forgotten_tracks("ab" * 32, tracks_at(*places), of_video("ab" * 32)).all()
    assert not forgotten("ab" * 32, stones)
    assert forgotten("ab" * 32, of_video("ab" * 32))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_the_same_tracks_are_found_again_and_no_others(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    tracks = encoded_video(rng, "/a.mov", tracks=count).tracks
    wanted = rng.random(count) < 0.5
    stones = of_tracks("ab" * 32, tracks[wanted])
    assert (forgotten_tracks("ab" * 32, tracks, stones) == wanted).all()
    both = united([stones, of_video("cd" * 32), stones])
    assert len(both) == len(stones) + 1
    assert both.tobytes() == united([of_video("cd" * 32)[:0], both[::-1]]).tobytes()


# ---------------------------------------------------------------------------------------------------- forget


def test_a_forgotten_track_is_gone_from_the_bytes(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "abc")
    commit(path, TAG, videos["b"])  # a part waits beside the file
    for index in index_paths(path):
        index.write_bytes(videos["b"].codes.tobytes())
    folder = path.with_name("codes.h5.parts")
    (folder / "x.h5.tmp").write_bytes(videos["b"].codes.tobytes())
    assert forget(path, Erasure(tracks=(6, 8)), dry_run=True)[0][0].track == 6
    assert_holds(path, videos)
    removed, notes = forget(path, Erasure(tracks=(6, 8)))
    assert notes == []
    assert [(line.video.stem, line.track, line.whole) for line in removed] == [("b", 6, False), ("b", 8, False)]
    assert removed[0].box == tuple(round(float(edge)) for edge in videos["b"].tracks["box"][1])
    left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert not folder.exists()
    for row in range(5):
        assert (videos["b"].codes[row].tobytes()[:6] in left) == (row not in (1, 3))
        assert not videos["b"].thumbnails[row] or (videos["b"].thumbnails[row] in left) == (row not in (1, 3))
    kept = [0, 2, 4]
    b = videos["b"]
    jpegs = tuple(b.thumbnails[row] for row in kept)
    videos["b"] = replace(b, tracks=b.tracks[kept], codes=b.codes[kept], thumbnails=jpegs)
    assert_holds(path, videos)
    with open_shard(path) as shard:
        assert forgotten_tracks("cd" * 32, b.tracks, shard.tombstones).tolist() == [False, True, False, True, False]
    commit(path, TAG, encoded_video(rng, "/footage/d.mov"))
    compact(path, TAG)  # tombstones outlive merging
    assert len(open_shard(path).tombstones) == 2


def test_a_forgotten_video_takes_its_copies_along(rng: np.random.Generator, path: Path) -> None:
    for name, content in (("a", "11"), ("b", "22"), ("copy", "22"), ("empty", "33")):
        tracks = 0 if name == "empty" else 2
        commit(path, TAG, encoded_video(rng, f"/footage/{name}.mov", fingerprint=content * 32, tracks=tracks))
    removed, _ = forget(path, Erasure(videos=(Path("/footage/b.mov"), Path("/footage/empty.mov"))))
    assert [(line.video.stem, line.track) for line in removed] == [
        ("b", 2),
        ("b", 3),
        ("copy", 4),
        ("copy", 5),
        ("empty", None),
    ]
    assert all(line.whole for line in removed)
    assert contents(path).keys() == {"a"}
    assert b"/footage/b" not in path.read_bytes()
    stones = open_shard(path).tombstones
    assert len(stones) == 2
    assert forgotten("22" * 32, stones)
    assert forgotten("33" * 32, stones)


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("at", range(8))
def test_killed_while_forgetting_it_is_all_or_nothing(
    rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    videos = make(rng, path, "ab")
    commit(path, TAG, encoded_video(rng, "/footage/c.mov"))
    calls = iter(range(100))
    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "rmdir"):
            real = getattr(os, name)

            def wrapped(*args: object, real: Callable[..., object] = real, **kwargs: object) -> object:
                if next(calls) >= at:
                    raise Killed
                return real(*args, **kwargs)

            patch.setattr(os, name, wrapped)
        try:
            forget(path, Erasure(tracks=(0,)))
        except Killed:
            pass
        else:
            assert at > 4
    with open_shard(path) as shard:
        assert (len(shard), len(shard.tombstones)) in ((15, 0), (14, 1))
        done = len(shard.tombstones) == 1
    if not done:
        forget(path, Erasure(tracks=(0,)))
    assert videos["a"].codes[0].tobytes()[:6] not in path.read_bytes()
    assert len(contents(path)["a"].codes) == 4


def test_forget_refuses_what_it_cannot_do(rng: np.random.Generator, path: Path) -> None:
    make(rng, path, "a")
    before = path.read_bytes()
    for request, words in (
        (Erasure(), "name what to forget"),
        (Erasure(photos=(Path("a.jpg"),)), "--within"),
        (Erasure(tracks=(1,), within=3), "--within"),
        (Erasure(tracks=(1,), face=2), "add --photo"),
    ):
        with pytest.raises(UsageError, match=words):
            forget(path, request)
    with pytest.raises(ShardError, match="has tracks 0 to 4"):
        forget(path, Erasure(tracks=(5,)))
    with pytest.raises(ShardError, match=r"holds no video .*b\.mov"):
        forget(path, Erasure(videos=(Path("/footage/b.mov"),)))
    assert path.read_bytes() == before


def test_forget_sees_that_the_file_changed(
    rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(rng, path, "a")

    def other(codes: Path, tag: ModelTag) -> None:
        commit(codes, tag, encoded_video(rng, "/footage/0.mov"))
        compact(codes, tag)

    monkeypatch.setattr(forgetting, "compact", other)
    with pytest.raises(ShardError, match="changed while it was being read"):
        forget(path, Erasure(tracks=(0,)))
    assert len(open_shard(path)) == 10


# ----------------------------------------------------------------------------------------------------- merge


def test_merge_holds_every_video_once(rng: np.random.Generator, path: Path) -> None:
    a, b, c = (path.with_name(f"{name}.h5") for name in "abc")
    first = encoded_video(rng, "/footage/1.mov", fingerprint="11" * 32)
    second = encoded_video(rng, "/footage/2.mov", fingerprint="22" * 32)
    elsewhere = replace(first, video=replace(first.video, path=Path("/other/1.mov")))
    newer = encoded_video(rng, "/footage/2.mov", fingerprint="33" * 32)
    newer = replace(newer, video=replace(newer.video, mtime_ns=second.video.mtime_ns + 1))
    third = encoded_video(rng, "/footage/0.mov", fingerprint="44" * 32)
    for file, units in ((a, [first, second]), (b, [elsewhere, newer, third])):
        for unit in units:
            commit(file, TAG, unit)
    result = merge([a, b], c)
    assert result.lines(c) == [
        f"{c}: 3 videos, 15 tracks",
        f"left out: {a}: /footage/2.mov: a later version is taken",
        f"left out: {b}: /other/1.mov: same content as in {a}",
    ]
    found = contents(c)
    for unit in (third, first, newer):
        assert_same_video(found[unit.video.path.stem], unit)
    other_way = path.with_name("d.h5")
    assert merge([b, a], other_way).videos == 3
    assert contents(other_way)["1"].video.path == Path("/other/1.mov")
    with pytest.raises(ShardError, match="is there already"):
        merge([a, b], c)
    again = path.with_name("e.h5")
    merge([c], again)
    assert again.read_bytes() == c.read_bytes()


def test_what_one_file_forgot_no_merged_file_holds(rng: np.random.Generator, path: Path) -> None:
    a, b, c = (path.with_name(f"{name}.h5") for name in "abc")
    one = encoded_video(rng, "/footage/1.mov", fingerprint="11" * 32)
    two = encoded_video(rng, "/footage/2.mov", fingerprint="22" * 32)
    for file in (a, b):
        for unit in (one, two):
            commit(file, TAG, unit)
    forget(b, Erasure(videos=(two.video.path,), tracks=(1,)))
    result = merge([a, b], c)
    assert (result.videos, result.tracks, result.forgotten) == (1, 4, 6)
    assert f"{c}: 1 video, 4 tracks; 6 forgotten tracks left out" == result.lines(c)[0]
    assert one.codes[1].tobytes()[:6] not in c.read_bytes()
    assert open_shard(c).tombstones.tobytes() == open_shard(b).tombstones.tobytes()


def test_merge_refuses_other_models_and_damage(rng: np.random.Generator, path: Path) -> None:
    a, b = path.with_name("a.h5"), path.with_name("b.h5")
    videos = make(rng, a, "a")
    other = ModelTag(TAG.bits, "11" * 32)
    commit(b, other, encoded_video(rng, "/footage/b.mov"))
    with pytest.raises(ShardError, match="another model"):
        merge([a, b], path)
    whole = a.read_bytes()
    at = whole.index(videos["a"].codes.tobytes())
    a.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(ShardError, match=r"/footage/a\.mov is damaged in it"):
        merge([a], path)
    assert not path.exists()


# ------------------------------------------------------------------------------------------------------ info


def version_1(path: Path) -> None:
    """What the version before wrote: no tombstones."""
    with h5py.File(path, "r+") as h5:
        del h5["tombstones"]
        h5.attrs["format_version"] = 1


def test_files_of_format_1_are_read_and_added_to(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "ab")
    version_1(path)
    assert take_inventory(path).format == 1
    assert_holds(path, videos)
    videos["c"] = encoded_video(rng, "/footage/c.mov")
    commit(path, TAG, videos["c"])
    compact(path, TAG)
    assert take_inventory(path).format == 2
    assert_holds(path, videos)


def test_inventory(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "ab")
    still = encoded_video(rng, "/footage/c.jpg", shots=1, tracks=2)
    still = replace(still, video=replace(still.video, still=True, warnings=()))
    commit(path, TAG, still)
    forget(path, Erasure(tracks=(11,)))
    commit(path, TAG, encoded_video(rng, "/footage/d.mov", tracks=0))
    taken = take_inventory(path, check=True)
    pictures = sum(bool(jpeg) for video in (*videos.values(), contents(path)["c"]) for jpeg in video.thumbnails)
    assert (taken.format, taken.bits, taken.model, taken.fingerprint) == (2, 48, "ab" * 6, "ab" * 32)
    assert (taken.videos, taken.photos, taken.shots, taken.tracks, taken.faces) == (3, 1, 9, 10, 1)
    assert (taken.parts, taken.incomplete, taken.damaged, taken.skipped) == (1, 3, 0, 0)
    assert (taken.forgotten_videos, taken.forgotten_tracks, taken.pictures) == (0, 1, pictures)
    part = next(path.with_name("codes.h5.parts").iterdir())
    assert taken.bytes == path.stat().st_size + part.stat().st_size
    assert take_inventory(path).damaged is None
    assert [(e.kind, e.path.name, e.shots, e.tracks) for e in list_entries(path)] == [
        ("video", "a.mov", 3, 5),
        ("video", "b.mov", 3, 5),
        ("photo", "c.jpg", 0, 1),
        ("video", "d.mov", 3, 0),
    ]


# ---------------------------------------------------------------------------------------------- command line


@pytest.fixture
def mine(encoded: Path, tmp_path: Path) -> Path:
    """The sample film's codes, to be changed."""
    (tmp_path / "codes.h5").write_bytes(encoded.read_bytes())
    return tmp_path / "codes.h5"


def test_info_prints_what_there_is(mine: Path, sample: Sample, dhh: Run) -> None:
    (mine.with_name("codes.h5.skipped")).write_text('{"path": "/films/bad.mp4", "reason": "no film"}\n')
    result = dhh("info")
    assert result.exit_code == 0
    pairs = dict(line.split("\t") for line in result.stdout.splitlines())
    assert {name: pairs[name] for name in ("model", "bits", "videos", "shots", "tracks", "hours", "damaged")} == {
        "model": "dhh-128",
        "bits": "128",
        "videos": "1",
        "shots": "8",
        "tracks": "6",
        "hours": "0.0047",
        "damaged": "",
    }
    assert pairs["bytes"] == str(mine.stat().st_size)
    assert pairs["skipped"] == "1"
    assert result.stderr == ""
    (line,) = dhh("info", "--json", "--check").stdout.splitlines()
    assert json.loads(line)["damaged"] == 0
    header, film, bad = (line.split("\t") for line in dhh("info", "--list").stdout.splitlines())
    entry = dict(zip(header, film, strict=True))
    assert (entry["kind"], entry["path"], entry["seconds"], entry["tracks"]) == ("video", str(sample.film), "16.8", "6")
    assert (bad[0], bad[1], bad[-1]) == ("skipped", "/films/bad.mp4", "no film")
    assert [json.loads(line)["kind"] for line in dhh("info", "--list", "--json").stdout.splitlines()] == [
        "video",
        "skipped",
    ]


def test_info_finds_damage(mine: Path, dhh: Run) -> None:
    with open_shard(mine) as shard:
        code = shard.codes[2].tobytes()
    data = mine.read_bytes()
    at = data.index(code)
    mine.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    result = dhh("info", "--check")
    assert result.exit_code == 1
    assert result.stderr == "codes.h5: 1 video is damaged in it; encode it again to a new file\n"
    one_line(dhh("info", "nowhere.h5"), 1, "nowhere.h5", "dhh encode")


def test_a_forgotten_person_does_not_come_back(mine: Path, sample: Sample, dhh: Run) -> None:
    collins, hopper = sample.photos
    asked = dhh("query", collins, "--json").stdout
    near = [json.loads(line) for line in asked.splitlines()][:3]  # shots 2, 6 and 7 show her
    within = max(row["distance"] for row in near)
    others = dhh("query", hopper, "--top", "3").stdout.splitlines()
    dry = dhh("forget", mine, "--photo", collins, "--within", within, "--dry-run", "--json")
    assert dry.exit_code == 0
    assert dhh("query", collins, "--json").stdout == asked
    done = dhh("forget", mine, "--photo", collins, "--within", within, "--json")
    assert done.stdout == dry.stdout
    record = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["shot"] for line in record} == {2, 6, 7}
    assert {line["distance"] for line in record} == {row["distance"] for row in near}
    assert done.stderr == f"{mine}: {len(record)} tracks removed, among them all of 0 whole videos\n"
    assert dry.stderr == done.stderr.replace("removed", "would be removed")
    after = [json.loads(line) for line in dhh("query", collins, "--json").stdout.splitlines()]
    assert all(row["distance"] > within for row in after)
    kept = contents(mine)["film"]
    again = dhh("encode", sample.film, "--no-thumbnails")
    assert "1 unchanged" in again.stderr
    assert dhh("encode", sample.film, "--thumbnails").exit_code == 0  # for the pictures it is encoded anew
    back = contents(mine)["film"]
    assert back.tracks.tobytes() == kept.tracks.tobytes()
    assert (back.codes.tobytes(), back.thumbnails) == (kept.codes.tobytes(), kept.thumbnails)
    answers = [line.split("\t") for line in dhh("query", hopper, "--top", "3").stdout.splitlines()]
    before = [line.split("\t") for line in others]
    for start, end in ((1, 3), (5, 7)):  # of fewer tracks he is another share, so confidence is not the same
        assert [line[start:end] for line in answers] == [line[start:end] for line in before]
    nothing = dhh("forget", mine, "--photo", collins, "--within", within)
    assert (nothing.exit_code, nothing.stdout) == (3, "")
    assert nothing.stderr == f"{mine}: nothing found, nothing removed\n"


def test_a_forgotten_video_is_not_encoded_again(mine: Path, sample: Sample, dhh: Run, tmp_path: Path) -> None:
    result = dhh("forget", mine, "--video", sample.film)
    assert result.exit_code == 0
    header, *lines = result.stdout.splitlines()
    assert header == "video\tfingerprint\twhole\tshot\tstart\tend\tbox\tdistance\ttrack\ttrack_id"
    assert len(lines) == 6
    assert result.stderr == f"{mine}: 6 tracks removed, among them all of 1 whole video\n"
    (tmp_path / "copy.mp4").write_bytes(sample.film.read_bytes())
    again = dhh("encode", sample.film, "copy.mp4")
    assert again.exit_code == 0
    assert again.stderr.splitlines()[:3] == [
        f"[1/2] {sample.film}: forgotten, not encoded again",
        "[2/2] copy.mp4: forgotten, not encoded again",
        again.stderr.splitlines()[2],
    ]
    assert again.stderr.splitlines()[2].startswith("2 videos: 0 encoded, 0 unchanged, 2 forgotten, 0 skipped; ")
    assert dhh("query", sample.photos[0]).exit_code == 3


def test_forget_and_merge_refuse_in_one_line(mine: Path, sample: Sample, dhh: Run, tmp_path: Path) -> None:
    one_line(dhh("forget", mine), 2, "name what to forget")
    one_line(dhh("forget", mine, "--photo", sample.photos[0]), 2, "--within")
    one_line(dhh("forget", mine, "--photo", sample.photos[0], "--within", "129"), 2, "the codes have 128 bits")
    one_line(dhh("forget", mine, "--track", "6"), 1, "has tracks 0 to 5")
    one_line(dhh("forget", mine, "--video", "nowhere.mp4"), 1, "holds no video nowhere.mp4")
    one_line(dhh("forget", "nowhere.h5", "--track", "0"), 1, "nowhere.h5")
    one_line(dhh("merge", mine, "nowhere.h5", "--out", "c.h5"), 1, "nowhere.h5")
    one_line(dhh("merge", mine, "--out", "codes.h5"), 1, "is there already")
    assert not (tmp_path / "nowhere.h5.lock").exists()
    assert not (tmp_path / "c.h5.lock").exists()
    one_line(dhh("merge", mine, "--out", "no/c.h5"), 1, f"there is no folder {tmp_path / 'no'}; make it")
    done = dhh("merge", mine, mine, "--out", "c.h5")
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        "c.h5: 1 video, 6 tracks",
        f"left out: {mine}: {sample.film}: same content as in {mine}",
    ]
    assert (tmp_path / "c.h5").read_bytes() == mine.read_bytes()


def test_tables_on_a_terminal(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "dumb")  # 80 columns without colours
    monkeypatch.setattr(sys, "stdout", Terminal())
    print_pairs(take_inventory(mine), as_json=False)
    print_lines(list_entries(mine), as_json=False)
    assert isinstance(sys.stdout, Terminal)
    lines = sys.stdout.getvalue().splitlines()
    format_at = next(number for number, line in enumerate(lines) if line.startswith("format"))
    assert "".join(line.removeprefix("path").strip() for line in lines[:format_at]) == str(mine)  # folded, not cut
    assert lines[format_at].split() == ["format", "2"]
    assert [line.split() for line in lines if line.startswith("videos")] == [["videos", "1"]]
    at = next(number for number, line in enumerate(lines) if line.startswith("kind"))
    assert lines[at].split() == ["kind", "path", "shots", "tracks", "seconds"]  # others fall away
    assert lines[at + 1].split()[0] == "video"
    assert lines[at + 1].split()[2:5] == ["8", "6", "16.8"]
    assert max(map(len, lines)) <= 80
