"""What is committed comes back, whatever is killed in between; what is not a codes file is refused."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import FRAMES, TAG, assert_holds, assert_same_shard, assert_same_video, contents, encoded_video, make
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.errors import MissingPathError, ShardError
from dhhcli.models.binary_codes import code_bytes
from dhhcli.storage import codes_file
from dhhcli.storage.codes_file import (
    EncodedVideo,
    ModelTag,
    check_model,
    commit,
    compact,
    content_fingerprint,
    finish,
    lock,
    open_shard,
    remove_videos,
)
from dhhcli.storage.hdf5_file import read_file, write_file
from dhhcli.storage.record import to_tables
from dhhcli.storage.schema import Tables, cut, joined, names_of, view

KINDS = [pytest.param(TAG, id="majority"), pytest.param(FRAMES, id="frames")]


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed loses nothing that it has written; only a power cut does."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


# ------------------------------------------------------------------------------------------- round trip


@pytest.mark.parametrize("tag", KINDS)
def test_commits_come_back_from_parts_and_after_merging(rng: np.random.Generator, path: Path, tag: ModelTag) -> None:
    videos = {
        name: encoded_video(rng, f"/footage/{name}.mov", tracks=t, frames=tag.frame_codes)
        for name, t in (("c", 4), ("a", 0), ("b", 9))
    }
    for video in videos.values():
        commit(path, tag, video)
    assert not path.exists()
    assert_holds(path, videos)
    before = open_shard(path)
    compact(path, tag)
    assert path.exists()
    assert not path.with_name("codes.h5.parts").exists()
    assert_holds(path, videos)
    assert_same_shard(before, open_shard(path))


@pytest.mark.parametrize("tag", KINDS)
def test_parts_interleaved_with_a_merged_file_equal_one_merge_of_all(
    rng: np.random.Generator, path: Path, tag: ModelTag
) -> None:
    videos = make(rng, path, "bdfh", tag=tag)
    for name in "acdgi":  # d again: the part wins
        videos[name] = encoded_video(rng, f"/footage/{name}.mov", frames=tag.frame_codes)
        commit(path, tag, videos[name])
    assert_holds(path, videos)
    before = open_shard(path)
    compact(path, tag)
    assert_holds(path, videos)
    assert_same_shard(before, open_shard(path))
    at_once = path.with_name("at_once.h5")
    for video in videos.values():
        commit(at_once, tag, video)
    compact(at_once, tag)
    assert at_once.read_bytes() == path.read_bytes()


def test_rows_point_to_their_video_and_shot(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "ab")
    commit(path, TAG, encoded_video(rng, "/footage/aa.mov"))
    with open_shard(path) as shard:
        ids = np.array([12, 0, 7, 7])
        rows = shard.track_rows(ids)
        assert [shard.videos[row].path.stem for row in rows["video"]] == ["b", "a", "aa", "aa"]
        assert (shard.shots_rows(rows["shot"])["video"] == rows["video"]).all()
        assert rows[0]["best_pts"] == videos["b"].tracks[2]["best_pts"]
        assert (shard.codes[12] == videos["b"].codes[2]).all()
        assert shard.thumbnail(12) == videos["b"].thumbnails[2]
        assert shard.video(2) == videos["b"].video
        assert len(shard.track_rows(np.empty(0, np.int64))) == 0
        with pytest.raises(IndexError):
            shard.track_rows(np.array([15]))
        with pytest.raises(IndexError):
            shard.thumbnail(-1)


def test_codes_are_mapped_not_read_and_outlive_replacing_the_file(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "a")
    shard = open_shard(path)
    codes = shard.codes
    assert not codes.flags.owndata
    assert not codes.flags.writeable
    shard.close()
    assert len(shard) == 0
    commit(path, TAG, encoded_video(rng, "/footage/a.mov"))
    compact(path, TAG)
    assert (codes == videos["a"].codes).all()


@pytest.mark.parametrize("name", [b"/f/\xff\xfe caf\xe9.mov", "/f/\u00fcber \U0001f600.mov".encode(), b"/f/a\nb\t.mov"])
def test_paths_keep_their_bytes(rng: np.random.Generator, path: Path, name: bytes) -> None:
    commit(path, TAG, encoded_video(rng, os.fsdecode(name)))
    assert os.fsencode(open_shard(path).videos[0].path) == name
    compact(path, TAG)
    assert os.fsencode(open_shard(path).videos[0].path) == name
    assert remove_videos(path, [Path(os.fsdecode(name))]) == 1


def test_paths_are_sorted_by_their_bytes(rng: np.random.Generator, path: Path) -> None:
    names = [b"/f/\xff", b"/f/z", "/f/\U0001f600".encode(), "/f/\ue000".encode(), b"/f/\x80"]
    for name in names:
        commit(path, TAG, encoded_video(rng, os.fsdecode(name)))
    compact(path, TAG)
    assert [os.fsencode(video.path) for video in open_shard(path).videos] == sorted(names)


def test_the_same_input_gives_the_same_bytes(rng: np.random.Generator, tmp_path: Path) -> None:
    videos = [encoded_video(rng, f"/footage/{name}.mov") for name in "abc"]
    for name, order in (("x.h5", videos), ("y.h5", videos[::-1])):
        for video in order:
            commit(tmp_path / name, TAG, video)
        compact(tmp_path / name, TAG)
    assert (tmp_path / "x.h5").read_bytes() == (tmp_path / "y.h5").read_bytes()


def test_an_empty_shard(path: Path) -> None:
    compact(path, TAG)
    with open_shard(path) as shard:
        assert (len(shard), shard.videos, shard.codes.shape) == (0, (), (0, 8))


def test_a_changed_video_replaces_its_old_rows(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "abc")
    content = open_shard(path).content
    videos["b"] = encoded_video(rng, "/footage/b.mov", tracks=2, fingerprint="ef" * 32)
    commit(path, TAG, videos["b"])
    assert_holds(path, videos)
    compact(path, TAG)
    assert_holds(path, videos)
    assert open_shard(path).content != content


def test_many_parts_are_merged_by_commit(rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes_file, "MAX_PARTS", 3)
    videos = {name: encoded_video(rng, f"/footage/{name}.mov") for name in "abcd"}
    for name in "abc":
        commit(path, TAG, videos[name])
    assert path.exists()
    commit(path, TAG, videos["d"])
    assert len(list(path.with_name("codes.h5.parts").iterdir())) == 1
    assert_holds(path, videos)


def test_folding_copies_a_video_once_each_time_the_archive_doubles(
    rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 commits, folded four at a time: each is copied at most 1 + log2(64 / 4) times."""
    monkeypatch.setattr(codes_file, "MAX_PARTS", 4)
    written: list[int] = []
    real = write_file

    def count(file: Path, tag: ModelTag, pieces: list[Tables], *rest: object) -> None:
        written.append(sum(len(piece.videos) for piece in pieces))
        real(file, tag, pieces, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(codes_file, "write_file", count)
    most = 0
    for i in range(64):
        commit(path, TAG, encoded_video(rng, f"/footage/{i * 37 % 64:03d}.mov", tracks=1))
        most = max(most, len(list(path.parent.rglob("*.h5"))))
    assert sum(written) <= 64 * (2 + 4)
    assert most <= 1 + 4 + 5
    assert len(contents(path)) == 64


def test_an_archive_of_packs_equals_one_merged_file(
    rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes_file, "MAX_PARTS", 2)
    monkeypatch.setattr(codes_file, "SMALL", 0)
    videos: dict[str, EncodedVideo] = {}
    for name in "hgfedcba":  # a merged file to begin with
        videos[name] = encoded_video(rng, f"/footage/{name}.mov", tracks=30)
        commit(path, TAG, videos[name])
    compact(path, TAG)
    for name in "bkalmbczbe":  # b three times: single over pack over pack over codes.h5
        videos[name] = encoded_video(rng, f"/footage/{name}.mov", tracks=3)
        commit(path, TAG, videos[name])
        assert_holds(path, videos)
    finish(path, TAG)  # too much to be written anew for these few
    names = sorted(entry.name for entry in path.with_name("codes.h5.parts").iterdir())
    assert names
    assert all(name.startswith("pack-") for name in names)
    assert_holds(path, videos)
    before = open_shard(path)
    gone = [videos.pop(name).video.path for name in "bz"]
    assert remove_videos(path, gone) == 2
    assert_holds(path, videos)
    monkeypatch.setattr(codes_file, "SMALL", 1 << 20)
    finish(path, TAG)
    assert [entry.name for entry in path.parent.iterdir()] == ["codes.h5"]
    assert_holds(path, videos)
    assert before.content != open_shard(path).content


@pytest.mark.parametrize(
    ("name", "call", "after"), [(n, c, a) for n in ("replace", "unlink") for c in range(4) for a in (0, 1)]
)
def test_killed_while_folding(
    rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int, after: bool
) -> None:
    """The fourth commit folds two parts and a pack with older versions of the same videos."""
    monkeypatch.setattr(codes_file, "MAX_PARTS", 2)
    videos = make(rng, path, "abcdefghij")
    for letter in "aba":
        videos[letter] = encoded_video(rng, f"/footage/{letter}.mov", tracks=1)
        commit(path, TAG, videos[letter])
    old = videos["b"]
    with monkeypatch.context() as patch:
        kill_at(patch, name, call, after=after)
        videos["b"] = encoded_video(rng, "/footage/b.mov", tracks=1)
        try:
            commit(path, TAG, videos["b"])
        except Killed:
            if (name, call, after) == ("replace", 0, 0):  # before it was there at all
                videos["b"] = old
    assert_holds(path, videos)
    videos["a"] = encoded_video(rng, "/footage/a.mov", tracks=2)
    commit(path, TAG, videos["a"])
    assert_holds(path, videos)
    finish(path, TAG)
    assert_holds(path, videos)
    assert [entry.name for entry in path.parent.iterdir()] == ["codes.h5"]


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from(["commit"] * 6 + ["remove", "finish", "compact"]), st.integers(0, 7)), max_size=25
    ),
    st.sampled_from([TAG, FRAMES]),
)
def test_whatever_is_done_in_whatever_order_the_newest_videos_are_there(
    steps: list[tuple[str, int]], tag: ModelTag
) -> None:
    """Against a dict; small limits, so that there are packs over packs over a merged file."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(codes_file, "MAX_PARTS", 2)
        patch.setattr(codes_file, "SMALL", 0)
        patch.setattr(os, "fsync", lambda _: None)
        path, model = Path(folder) / "codes.h5", dict[str, EncodedVideo]()
        for act, number in steps:
            name = "abcdefgh"[number]
            if act == "commit":
                model[name] = encoded_video(rng, f"/footage/{name}.mov", tracks=number, frames=tag.frame_codes)
                commit(path, tag, model[name])
            elif act == "remove" and (model or path.exists()):
                assert remove_videos(path, [Path(f"/footage/{name}.mov")]) == (model.pop(name, None) is not None)
            elif act == "finish":
                finish(path, tag)
            elif act == "compact":
                compact(path, tag)
            if model:
                assert_holds(path, model)
        compact(path, tag)
        assert contents(path).keys() == model.keys()
        assert [entry.name for entry in Path(folder).iterdir()] == ["codes.h5"]


def test_finish_makes_nothing_out_of_nothing(path: Path) -> None:
    finish(path, TAG)
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("tag", KINDS)
def test_views_say_what_copies_say(rng: np.random.Generator, tag: ModelTag) -> None:
    """Views of views, cut and joined in any order; nothing is copied before it is written."""
    units = [
        to_tables(tag, encoded_video(rng, f"/footage/{i}.mov", tracks=i, frames=tag.frame_codes)) for i in range(6)
    ]
    names = names_of(units[0])
    assert len(names) == (9 if tag.frame_codes else 7)
    arrays: dict[str, Any] = {name: np.concatenate([*joined(units, name)]) for name in names}
    whole = Tables(**arrays)
    inner = view(view(whole, 1, 6), 2, 5)  # videos 3, 4, 5
    for piece, unit in zip([view(inner, row, row + 1) for row in range(3)], units[3:], strict=True):
        assert np.shares_memory(piece.tracks, whole.tracks) or not len(piece.tracks)
        for name in names:
            assert getattr(cut(piece, 0, 1), name).tobytes() == getattr(unit, name).tobytes()
        assert piece.text(0) == unit.text(0)
        assert [piece.thumbnail(t) for t in range(len(piece.tracks))] == [
            unit.thumbnail(t) for t in range(len(unit.tracks))
        ]
        if tag.frame_codes:
            for t in range(len(piece.tracks)):
                assert piece.frames(t).tobytes() == unit.frames(t).tobytes()
    swapped = [view(whole, 4, 6), view(whole, 0, 4)]
    for name in names:
        expected = [*joined([*units[4:], *units[:4]], name)]
        assert np.concatenate([*joined(swapped, name)]).tobytes() == np.concatenate(expected).tobytes()


def test_a_symbolic_link_stays_one(rng: np.random.Generator, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "codes.h5"
    link.symlink_to(tmp_path / "disk" / "real.h5")
    make(rng, link, "a")
    assert link.is_symlink()
    assert (tmp_path / "disk" / "real.h5").is_file()
    assert len(open_shard(link)) == 5


@pytest.mark.parametrize(
    "wrong",
    [
        lambda v: replace(v, codes=v.codes[:, :4]),
        lambda v: replace(v, codes=v.codes[:-1]),
        lambda v: replace(v, thumbnails=v.thumbnails[:-1]),
        lambda v: replace(v, shots=v.shots[::-1]),
        lambda v: replace(v, shots=v.shots[:0]),
        lambda v: replace(v, tracks=v.tracks["video"]),
        lambda v: replace(v, video=replace(v.video, path=Path("relative.mov"))),
        lambda v: replace(v, frame_codes=tuple(code[None] for code in v.codes)),
    ],
)
def test_commit_refuses_what_does_not_fit_together(
    rng: np.random.Generator, path: Path, wrong: Callable[[EncodedVideo], EncodedVideo]
) -> None:
    with pytest.raises(ValueError):
        commit(path, TAG, wrong(encoded_video(rng, "/footage/a.mov")))
    assert not list(path.parent.iterdir())


# ------------------------------------------------------------------------------------------ kill-safety


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, nothing is cleaned up."""


def kill_at(monkeypatch: pytest.MonkeyPatch, name: str, call: int, *, after: bool) -> None:
    """Die at the given call (from 0) of os.<name>, before or after it has done its work."""
    real = getattr(os, name)
    calls = iter(range(10_000))

    def wrapped(*args: object, **kwargs: object) -> object:
        now = next(calls) == call
        if now and not after:
            raise Killed
        result = real(*args, **kwargs)
        if now:
            raise Killed
        return result

    monkeypatch.setattr(os, name, wrapped)


STEPS = [
    (name, call, after) for name in ("replace", "unlink", "rmdir", "fsync") for call in range(4) for after in (0, 1)
]


@pytest.mark.parametrize(("name", "call", "after"), STEPS)
def test_killed_while_merging(
    rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int, after: bool
) -> None:
    videos = make(rng, path, "bdf")
    for letter in "acd":
        videos[letter] = encoded_video(rng, f"/footage/{letter}.mov", fingerprint="99" * 32)
        commit(path, TAG, videos[letter])
    with monkeypatch.context() as patch:
        kill_at(patch, name, call, after=after)
        try:
            compact(path, TAG)
            reached = False
        except Killed:
            reached = True
    assert reached or call >= {"replace": 1, "unlink": 3, "rmdir": 1, "fsync": 3}[name]
    assert_holds(path, videos)
    compact(path, TAG)
    assert_holds(path, videos)
    assert [entry.name for entry in path.parent.iterdir()] == ["codes.h5"]


@pytest.mark.parametrize(
    ("name", "call", "after"), [("replace", 0, 0), ("replace", 0, 1), ("fsync", 0, 0), ("fsync", 1, 0)]
)
def test_killed_while_committing(
    rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int, after: bool
) -> None:
    videos = make(rng, path, "ac")
    new = encoded_video(rng, "/footage/b.mov")
    with monkeypatch.context() as patch:
        kill_at(patch, name, call, after=after)
        with pytest.raises(Killed):
            commit(path, TAG, new)
    assert_holds(path, videos | ({"b": new} if (name, after) == ("replace", 1) else {}))
    commit(path, TAG, new)
    compact(path, TAG)
    assert_holds(path, videos | {"b": new})
    assert [entry.name for entry in path.parent.iterdir()] == ["codes.h5"]


def test_a_part_left_behind_by_a_kill_does_not_undo_a_later_change(
    rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = {"a": encoded_video(rng, "/footage/a.mov")}
    commit(path, TAG, videos["a"])
    with monkeypatch.context() as patch:
        kill_at(patch, "unlink", 0, after=False)
        with pytest.raises(Killed):
            compact(path, TAG)
    videos["a"] = encoded_video(rng, "/footage/a.mov", fingerprint="55" * 32)
    commit(path, TAG, videos["a"])
    assert_holds(path, videos)
    compact(path, TAG)
    assert_holds(path, videos)


def test_a_reader_beside_a_merge_sees_every_video(
    rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts vanish after the reader has listed them, or after it has read them."""
    videos = make(rng, path, "ac")
    real = read_file
    for moment in range(4):
        videos["b"] = encoded_video(rng, "/footage/b.mov")
        commit(path, TAG, videos["b"])
        calls = iter(range(100))

        def read(file: Path, moment: int = moment, calls: Iterator[int] = calls) -> object:
            if next(calls) == moment:
                monkeypatch.setattr(codes_file, "read_file", real)
                compact(path, TAG)
            return real(file)

        monkeypatch.setattr(codes_file, "read_file", read)
        assert_holds(path, videos)
        monkeypatch.setattr(codes_file, "read_file", real)
        compact(path, TAG)


def test_a_full_disk_leaves_everything_as_it_was(
    rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = make(rng, path, "a")

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(ShardError, match="No space left"):
            commit(path, TAG, encoded_video(rng, "/footage/b.mov"))
    assert_holds(path, videos)


def test_a_disk_that_is_really_full(path: Path) -> None:
    """Files may not grow beyond 30 kB, so a write fails half way: one line, nothing lost, nothing left behind."""
    program = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from dhhcli.errors import ShardError
from dhhcli.storage.codes_file import commit, finish
from footage import TAG, encoded_video
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
for tracks, act in ((20, commit), (2000, commit), (20, commit), (300, finish)):
    try:
        for i in range(1 if act is commit else 20):
            commit(path, TAG, encoded_video(np.random.default_rng(i), f"/footage/{tracks}-{i}.mov", tracks=tracks // 4))
        if act is finish:
            finish(path, TAG)
        print("done")
    except ShardError as error:
        print(error)
"""
    tests = Path(__file__).parents[1] / "support"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tests.parents[1]}{os.pathsep}{tests}"},
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, large, small, merge = done.stdout.splitlines()
    assert (first, small) == ("done", "done")
    for words, name in ((large, ".h5"), (merge, "codes.h5")):
        assert f"{name}: cannot be written (" in words
        assert words.endswith("free space or another folder?")
    assert contents(path).keys() == {"20-0", *(f"300-{i}" for i in range(20))}
    assert not list(path.parent.rglob("*.tmp"))
    finish(path, TAG)  # there is space again
    assert len(contents(path)) == 21


def test_killed_for_real_while_encoding(path: Path) -> None:
    """SIGKILL at a random moment of a process that commits and merges without end."""
    program = """
import sys
import numpy as np
from pathlib import Path
from dhhcli.storage.codes_file import commit, compact, lock
from footage import TAG, assert_holds, assert_same_shard, assert_same_video, contents, encoded_video, make
path = Path(sys.argv[1])
with lock(path):
    for i in range(10_000):
        commit(path, TAG, encoded_video(np.random.default_rng(i), f"/footage/{i:05d}.mov"))
        if i % 3 == 2:
            compact(path, TAG)
        sys.stdout.write(f"{i}\\n")
        sys.stdout.flush()
"""
    tests = Path(__file__).parents[1] / "support"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tests.parents[1]}{os.pathsep}{tests}"},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 20:
            process.kill()
            break
    rest = process.stdout.read().split()
    process.stdout.close()
    process.wait()
    finished = int(rest[-1]) + 1 if rest else 21
    with lock(path):  # the lock died with its owner
        found = contents(path)
        for i in range(finished):
            assert_same_video(found[f"{i:05d}"], encoded_video(np.random.default_rng(i), f"/footage/{i:05d}.mov"))
        compact(path, TAG)
    assert len(contents(path)) - finished in (0, 1)  # one more may be in place but not yet announced


def test_a_second_writer_is_refused(path: Path) -> None:
    with lock(path), pytest.raises(ShardError, match="another dhh is writing"), lock(path):
        pass
    with lock(path):
        pass


# --------------------------------------------------------------------------------------------- removing


def test_remove_videos(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "abcd")
    for letter in "be":
        videos[letter] = encoded_video(rng, f"/footage/{letter}.mov")
        commit(path, TAG, videos[letter])
    gone = [videos.pop(letter).video.path for letter in "bde"]
    assert remove_videos(path, [*gone, Path("/not/there")]) == 3
    assert_holds(path, videos)
    compact(path, TAG)
    assert_holds(path, videos)
    content = path.read_bytes()
    assert remove_videos(path, gone) == 0
    assert path.read_bytes() == content
    assert remove_videos(path, [video.video.path for video in videos.values()]) == 2
    assert contents(path) == {}


def test_removed_bytes_are_gone(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "ab", tracks=50)
    remove_videos(path, [Path("/footage/a.mov")])
    left = path.read_bytes()
    assert videos["b"].codes.tobytes() in left
    assert b"/footage/a.mov" not in left
    assert not any(code.tobytes()[:6] in left for code in videos["a"].codes)


def test_what_a_killed_writer_left_goes_with_removing_and_merging(rng: np.random.Generator, path: Path) -> None:
    make(rng, path, "ab")
    folder = path.with_name("codes.h5.parts")
    for act in (lambda: remove_videos(path, [Path("/footage/a.mov")]), lambda: compact(path, TAG)):
        folder.mkdir(exist_ok=True)
        for unfinished in (folder / "x.h5.tmp", path.with_name("codes.h5.tmp")):
            unfinished.write_bytes(b"half a file")
        act()
        assert not list(path.parent.rglob("*.tmp"))


def test_remove_from_parts_alone(rng: np.random.Generator, path: Path) -> None:
    for letter in "ab":
        commit(path, TAG, encoded_video(rng, f"/footage/{letter}.mov"))
    assert remove_videos(path, [Path("/footage/a.mov")]) == 1
    assert contents(path).keys() == {"b"}


@pytest.mark.parametrize("after", [False, True])
def test_killed_while_removing_brings_no_older_version_back(
    rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    videos = make(rng, path, "ab")
    videos["a"] = encoded_video(rng, "/footage/a.mov", fingerprint="44" * 32)
    commit(path, TAG, videos["a"])
    with monkeypatch.context() as patch:
        kill_at(patch, "replace", 0, after=after)
        with pytest.raises(Killed):
            remove_videos(path, [Path("/footage/a.mov")])
    assert_holds(path, videos)
    assert remove_videos(path, [Path("/footage/a.mov")]) == 1
    assert contents(path).keys() == {"b"}


def test_remove_needs_a_shard(path: Path) -> None:
    with pytest.raises(MissingPathError):
        remove_videos(path, [Path("/footage/a.mov")])


# ---------------------------------------------------------------------------- models, parts, fingerprints


def test_codes_of_another_model_are_refused(rng: np.random.Generator, path: Path) -> None:
    other = ModelTag(TAG.bits, "11" * 32)
    commit(path, TAG, encoded_video(rng, "/footage/a.mov"))
    with pytest.raises(ShardError, match="another model"):
        commit(path, other, encoded_video(rng, "/footage/b.mov"))
    with pytest.raises(ShardError, match="another model"):
        compact(path, other)
    compact(path, TAG)
    with pytest.raises(ShardError, match="another model"):
        commit(path, other, encoded_video(rng, "/footage/b.mov"))
    with open_shard(path) as shard:
        check_model(shard, TAG)
        with pytest.raises(ShardError, match="another model"):
            check_model(shard, other)


def test_a_damaged_part_stops_merging_and_changes_nothing(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "a")
    new = encoded_video(rng, "/footage/b.mov")
    commit(path, TAG, new)
    part = next(path.with_name("codes.h5.parts").iterdir())
    data = part.read_bytes()
    at = data.index(new.codes.tobytes())
    part.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(ShardError, match="damaged part; delete it"):
        compact(path, TAG)
    part.unlink()
    assert_holds(path, videos)


def test_a_part_with_other_contents_is_refused(rng: np.random.Generator, path: Path) -> None:
    make(rng, path, "ab")
    commit(path, TAG, encoded_video(rng, "/footage/c.mov"))
    path.rename(path.with_name("codes.h5.parts") / "ffff.h5")
    with pytest.raises(ShardError, match="a part holds one video"):
        open_shard(path)


def test_content_fingerprint(tmp_path: Path, rng: np.random.Generator) -> None:
    file = tmp_path / "video.mov"
    data = bytearray(rng.bytes(5 << 20))
    file.write_bytes(data)
    first = content_fingerprint(file)
    assert len(first) == 64
    moved = file.rename(tmp_path / "moved.mov")
    assert content_fingerprint(moved) == first
    for position in (0, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[position] ^= 1
        moved.write_bytes(changed)
        assert content_fingerprint(moved) != first
    for size in (0, 1, 1 << 20):
        moved.write_bytes(bytes(size))
        assert len(content_fingerprint(moved)) == 64


def test_widths_of_all_codes_round_trip(rng: np.random.Generator, tmp_path: Path) -> None:
    for bits in (12, 48, 128, 512):
        tag = ModelTag(bits, "00" * 32)
        path = tmp_path / f"{bits}.h5"
        video = encoded_video(rng, "/footage/a.mov", bits=bits)
        commit(path, tag, video)
        compact(path, tag)
        shard = open_shard(path)
        assert shard.codes.shape == (5, code_bytes(bits))
        assert (shard.codes == video.codes).all()


def test_a_disk_that_cannot_lock_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import portalocker

    def refuse(*_: object) -> None:
        raise portalocker.LockException(OSError(95, "Operation not supported"))

    monkeypatch.setattr(portalocker, "lock", refuse)
    with (
        pytest.raises(ShardError, match="cannot be locked \\(Operation not supported\\); choose a local disk"),
        lock(tmp_path / "codes.h5"),
    ):
        pass


def test_nothing_asks_for_what_only_unix_has() -> None:
    """Every module of the product comes up where there is no fcntl, pwd, grp, resource or termios."""
    code = (
        "import sys, pkgutil, importlib, dhhcli\n"
        "for name in ('fcntl', 'pwd', 'grp', 'resource', 'termios'):\n    sys.modules[name] = None\n"
        "for package in ('base', 'media', 'faces', 'models', 'storage', 'index', 'encoding', 'search', 'people', "
        "'output', 'cli'):\n"
        "    root = importlib.import_module(f'dhhcli.{package}')\n"
        "    for module in pkgutil.walk_packages(root.__path__, f'dhhcli.{package}.'):\n"
        "        importlib.import_module(module.name)\n"
        "print('all')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "all\n", done.stderr
