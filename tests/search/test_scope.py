"""places, joined and words against the plainest loops that say the same."""

import dataclasses
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from answers import ROW
from footage import TAG, encoded_video
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.errors import ShardError, UsageError
from dhhcli.search.question.scope import (
    Where,
    extents,
    from_here,
    matches,
    moment,
    paths_of,
    shot_tracks_of,
    tracks_where,
    video_row,
)
from dhhcli.search.question.terms import FileTerm, NameTerm, ShotTerm, TrackTerm, parse_word, read_words, text_of
from dhhcli.search.result import Row, joined
from dhhcli.storage.codes_file import commit, compact, open_shard

NAMES = ("/x/a.mov", "/x/b.mov", "/y/a.mov", "/y/z/c.mov", "/y/z/\udcff.mov", "/y.mov")


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos, written at second 0, 10, 20 ..., of which two say when they were recorded; some without tracks, some
    waiting beside the file."""
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("places") / "codes.h5"
    for number, name in enumerate(NAMES):
        video = encoded_video(rng, name, shots=4, tracks=(5, 0, 7, 3, 2, 0)[number])
        recorded = {1: 55, 4: 5}.get(number)
        record = dataclasses.replace(video.video, mtime_ns=number * 10_000_000_000, recorded=recorded)
        commit(path, TAG, dataclasses.replace(video, video=record))
        if number == 3:
            compact(path, TAG)
    return path


parts = st.text("ab", min_size=1, max_size=2)


@given(st.lists(parts, min_size=1, max_size=4), st.text("ab*?/", min_size=1, max_size=5))
@settings(max_examples=500)
def test_a_glob_matches_whole_parts_of_a_path(names: list[str], glob: str) -> None:
    path = "/" + "/".join(names)
    wanted = glob.rstrip("/")
    if glob.startswith("/"):
        runs = ["/" + "/".join(names[:end]) for end in range(len(names) + 1)]
    else:
        runs = ["/".join(names[start:end]) for start in range(len(names)) for end in range(start + 1, len(names) + 1)]
        runs += ["/" + "/".join(names[:end]) for end in range(1, len(names) + 1)]  # * may stand for the first slash
    expected = any(fnmatchcase(run, wanted) for run in runs)
    assert matches(path, glob) == expected or not wanted


def test_a_glob_is_also_taken_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    for folder in ("a [1]/day1/sub", "a [1]/day2", "a 1/day1", "elsewhere/day1"):
        (tmp_path / folder).mkdir(parents=True)
    names = ("a [1]/day1/a.mov", "a [1]/day1/sub/b.mov", "a [1]/day2/c.mov", "a 1/day1/d.mov", "elsewhere/day1/e.mov")
    for name in names:
        commit(tmp_path / "codes.h5", TAG, encoded_video(rng, tmp_path.resolve() / name, tracks=1))
    here = tmp_path / "a [1]"
    (here / "link").symlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(here)
    inside = {
        "./day1": "ab",
        "./day1/": "ab",
        ".//day1/./": "ab",
        "day1/../day2": "c",
        "./day1/*.mov": "ab",
        "./*/c.mov": "c",
        "./day1/[bc].mov": "",
        "./day1/sub/[bc].mov": "b",
        ".": "abc",
        "./": "abc",
        "..": "abcde",
        "../*/day1": "abde",
        "../a [1]": "abc",  # there by this very name, so brackets are brackets
        "../a [1]/day[12]": "d",  # a glob, so [1] is a 1
        str(here): "abcd",  # by this very name, and as a glob
        "link/": "e",
        str(here / "link"): "e",
        "link/day?": "e",
        "day1/": "abde",  # anywhere
        "./nothing": "",
    }
    with open_shard(tmp_path / "codes.h5") as shard:
        letters = [Path(path).stem for path in paths_of(shard)]
        for glob, expected in inside.items():
            ranges = tracks_where(shard, Where((glob,)))
            found = "".join(sorted(letters[row] for first, last in ranges.tolist() for row in range(first, last)))
            assert found == expected, glob
    monkeypatch.chdir("/")
    assert [from_here(glob) for glob in (".", "/", "./*.mov", "/*", "x/")] == ["/", "/", "/*.mov", "/*", "/x"]


@given(
    globs=st.lists(st.sampled_from(["x", "a.mov", "/y", "*.mov", "z/*", "nothing", "y.mov"]), max_size=3),
    after=st.one_of(st.none(), st.integers(-5, 60)),
    before=st.one_of(st.none(), st.integers(-5, 60)),
)
@settings(max_examples=100)
def test_tracks_of_the_videos_that_are_meant(
    codes: Path, globs: list[str], after: int | None, before: int | None
) -> None:
    with open_shard(codes) as shard:
        ranges = tracks_where(shard, Where(tuple(globs), after, before))
        found = [track for first, last in ranges.tolist() for track in range(first, last)]
        owners = shard.track_rows(np.arange(len(shard)))["video"]
        expected = []
        for track, owner in enumerate(owners):
            video = shard.videos[owner]
            seconds = video.mtime_ns / 1e9 if video.recorded is None else video.recorded
            if globs and not any(matches(str(video.path), glob) for glob in globs):
                continue
            if (after is not None and seconds < after) or (before is not None and seconds >= before):
                continue
            expected.append(track)
        assert found == expected
        assert (np.diff(ranges.reshape(-1)) > 0).all()


def test_videos_and_shots_by_name(codes: Path) -> None:
    with open_shard(codes) as shard:
        assert paths_of(shard) == [str(video.path) for video in shard.videos]
        rows = shard.track_rows(np.arange(len(shard)))
        for name, expected in (("b.mov", "/x/b.mov"), ("y/a.mov", "/y/a.mov"), ("/x/a.mov", "/x/a.mov")):
            assert str(shard.videos[video_row(shard, name, "here")].path) == expected
        for name, words in (("a.mov", "2 videos are"), (".mov", "no video is"), ("", "no video is")):
            with pytest.raises(ShardError, match=f"here: {words} called"):
                video_row(shard, name, "here")
        shots, tracks = extents(shard, "shot"), extents(shard, "track")
        assert tracks.tolist() == [int((rows["video"] < video).sum()) for video in range(len(NAMES) + 1)]
        for video in range(len(NAMES)):
            for number in range(1, 5):
                shot, own = shot_tracks_of(shard, video, number, "here")
                assert shot == shots[video] + number - 1
                assert own.tolist() == np.flatnonzero(rows["shot"] == shot).tolist()
            with pytest.raises(ShardError, match="here: there is no shot 5 of this video"):
                shot_tracks_of(shard, video, 5, "here")


@pytest.mark.parametrize(("what", "field"), [("track", "track_end"), ("shot", "shot_end")])
def test_ends_that_fall_are_damage(codes: Path, what: str, field: str) -> None:
    with open_shard(codes) as shard:
        piece = shard.pieces[0]
        ends = piece.videos.copy()
        ends[field][:2] = [9, 0]
        shard.pieces[0] = dataclasses.replace(piece, videos=ends)
        with pytest.raises(ShardError, match=f"{what}s of the videos are not in order: damaged codes file"):
            extents(shard, what)


def test_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC-3")  # three hours ahead
    time.tzset()
    try:
        assert moment("2024-06-01", "--after") == 1_717_189_200
        assert moment("2024-06-01T03:00", "--after") == 1_717_200_000
        assert moment("2024-06-01T00:00:00+00:00", "--after") == 1_717_200_000
        assert moment("2024-06-01 03:00:00.5", "--after") == 1_717_200_000.5
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "today", "2024-02-30", "24-01-01", "2024-01-01T25:00", "1e9"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(UsageError, match=r"--before .*: expected a date like"):
        moment(text, "--before")


# ------------------------------------------------------------------------------------------------------------ words


@given(
    st.one_of(
        st.builds(TrackTerm, st.integers(0, 10**17)),
        st.builds(ShotTerm, st.text(min_size=1), st.integers(0, 10**8)),
        st.builds(NameTerm, st.text(min_size=1).filter(str.strip)),
    )
)
def test_words_are_read_as_they_are_written(word: TrackTerm | ShotTerm | NameTerm) -> None:
    assert parse_word(text_of(word)) == word


@given(st.text(min_size=1).filter(lambda text: not text.startswith(("track:", "shot:", "name:"))))
def test_any_other_word_is_a_file(text: str) -> None:
    assert parse_word(text) == FileTerm(Path(text))
    if "\0" not in text and text != "-":
        assert read_words(["-"], BytesIO(text.encode("utf-8", "surrogatepass") + b"\0"), nul=True)


# ----------------------------------------------------------------------------------------------------------- joined


def slow_joined(rows: list[Row], seconds: float) -> list[tuple[int, float, float, int, int, int]]:
    """Groups grow until nothing can be added; then what is said of each."""
    groups = [[row] for row in rows]

    def near(a: list[Row], b: list[Row]) -> bool:
        if a[0].video != b[0].video or not a[0].start or not b[0].start:
            return False
        first, second = sorted((a, b), key=lambda group: min(row.start_seconds for row in group))
        return min(row.start_seconds for row in second) - max(row.end_seconds for row in first) <= seconds

    while True:
        pair = next(((a, b) for a in groups for b in groups if a is not b and near(a, b)), None)
        if pair is None:
            break
        groups = [group for group in groups if group is not pair[0] and group is not pair[1]] + [pair[0] + pair[1]]
    said = []
    for group in groups:
        best = min(group, key=lambda row: row.rank)
        start, end = min(row.start_seconds for row in group), max(row.end_seconds for row in group)
        said.append((best.rank, start, end, sum(row.tracks for row in group), len(group), best.track))
    return [(rank, *rest[1:]) for rank, rest in enumerate(sorted(said), start=1)]


@given(
    st.lists(st.tuples(st.sampled_from(["/a", "/b", "/photo"]), st.integers(0, 40)), max_size=12, unique=True),
    st.integers(0, 6),
    st.randoms(use_true_random=False),
)
@settings(max_examples=300)
def test_joined_is_what_growing_groups_give(places: list[tuple[str, int]], seconds: int, random: object) -> None:
    random.shuffle(places)  # type: ignore[attr-defined]
    rows = [
        dataclasses.replace(
            ROW,
            rank=rank,
            video=Path(video),
            start="" if video == "/photo" else f"at {at}",
            end=f"at {at + 1}",
            start_seconds=float(at),
            end_seconds=at + 1.0,
            start_frame=25 * at,
            end_frame=25 * at + 25,
            tracks=at % 3 + 1,
            track=rank + 100,
        )
        for rank, (video, at) in enumerate(places, start=1)
    ]
    found = joined(rows, seconds)
    said = [(r.rank, r.start_seconds, r.end_seconds, r.tracks, r.shots, r.track) for r in found]
    assert said == slow_joined(rows, seconds)
    for row in found:
        assert row.end == f"at {row.end_seconds:.0f}"
        assert (row.start_frame, row.end_frame) == (25 * row.start_seconds, 25 * row.end_seconds)
        assert row.start in ("", f"at {row.start_seconds:.0f}")
    assert sum(row.tracks for row in found) == sum(row.tracks for row in rows)
