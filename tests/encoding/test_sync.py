"""A second run does only what is left: known, moved, changed, gone, forgotten and bad files, killed anywhere."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from footage import TAG, contents, encoded_video

from dhhcli.encoding import run as encoding
from dhhcli.encoding import sync
from dhhcli.encoding.events import Encoded, Forgotten, Gone, Relinked, Skipped, Unchanged
from dhhcli.encoding.options import USUAL, EncodeOptions
from dhhcli.encoding.run import encode
from dhhcli.errors import ShardError, VideoError
from dhhcli.storage import codes_file
from dhhcli.storage.codes_file import lock, open_shard, remove_videos
from dhhcli.storage.record import EncodedVideo, content_fingerprint
from dhhcli.storage.skipped import read_skipped, skipped_path
from dhhcli.storage.tombstones import of_tracks, of_video

pytestmark = pytest.mark.usefixtures("work")

NETWORK: Any = SimpleNamespace(tag=TAG, name="made", layers=SimpleNamespace(framewise=True))


class Work:
    """What was read and encoded."""

    def __init__(self) -> None:
        self.encoded: list[str] = []
        self.fingerprints: list[str] = []


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """An encoder whose tracks follow from the file's content, and that refuses files that begin with "bad"."""
    done = Work()

    def fingerprint(path: Path) -> str:
        done.fingerprints.append(path.name)
        return content_fingerprint(path)

    def encode_video(
        path: Path, _: object, options: EncodeOptions, *, fingerprint: str, **_rest: object
    ) -> EncodedVideo:
        done.encoded.append(path.name)
        if path.read_bytes().startswith(b"bad"):
            raise VideoError(f"{path}: no film")
        rng = np.random.default_rng(int(fingerprint[:12], 16))
        made = encoded_video(rng, path.resolve(), fingerprint=fingerprint, frames=bool(options.frame_codes))
        stat = path.stat()
        record = replace(made.video, size=stat.st_size, mtime_ns=stat.st_mtime_ns)
        jpegs = tuple(jpeg or b"-" for jpeg in made.thumbnails) if options.pictures else (b"",) * len(made.tracks)
        return replace(made, video=record, thumbnails=jpegs)

    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(sync, "content_fingerprint", fingerprint)
    monkeypatch.setattr("dhhcli.encoding.video.encode_video", encode_video)
    return done


def films(folder: Path, names: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        film = folder / f"{name}.mp4"
        film.write_bytes(f"film {name}".encode() * 50)
        os.utime(film, ns=(10**18 + number, 10**18 + number))
    return sorted(folder.iterdir())


def run(folder: Path, codes: Path, options: EncodeOptions = USUAL, **how: Any) -> list[Any]:
    return list(encode(sorted(folder.iterdir()), codes, NETWORK, options, roots=[folder], **how))


def assert_like_new(folder: Path, codes: Path, options: EncodeOptions = USUAL) -> None:
    """The codes file is, byte for byte, what encoding the folder from nothing gives."""
    fresh = codes.with_name("fresh.h5")
    run(folder, fresh, options)
    assert codes.read_bytes() == fresh.read_bytes()
    fresh.unlink()


def test_known_files_are_left_alone_and_read_once(work: Work, tmp_path: Path) -> None:
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    paths = films(folder, "abc")
    first = run(folder, codes)
    assert [type(event) for event in first] == [Encoded] * 3
    assert sorted(work.fingerprints) == ["a.mp4", "b.mp4", "c.mp4"]
    before = codes.read_bytes()
    work.fingerprints.clear()
    assert run(folder, codes) == [Unchanged(path, (WARNING,)) for path in paths]
    assert sorted(work.fingerprints) == ["a.mp4", "b.mp4", "c.mp4"]
    assert work.encoded == ["a.mp4", "b.mp4", "c.mp4"]
    assert codes.read_bytes() == before


WARNING = "stopped at 00:00:12.3: größer"


def test_a_moved_file_is_relinked(work: Work, tmp_path: Path) -> None:
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    a, b = films(folder, "ab")
    run(folder, codes)
    moved = a.rename(folder / "z.mp4")
    work.fingerprints.clear()
    assert run(folder, codes) == [Unchanged(b, (WARNING,)), Relinked(moved, a, True, (WARNING,))]
    assert work.encoded == ["a.mp4", "b.mp4"]
    assert sorted(work.fingerprints) == ["b.mp4", "z.mp4"]
    assert_like_new(folder, codes)


def test_a_renamed_folder_is_relinked_at_once(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    films(folder, "abcd")
    run(folder, codes)
    calls: list[Any] = []

    def remove(path: Path, paths: list[Path]) -> int:
        calls.append(paths)
        return remove_videos(path, paths)

    monkeypatch.setattr(sync, "remove_videos", remove)
    folder = folder.rename(tmp_path / "renamed")
    assert all(isinstance(event, Relinked) for event in run(folder, codes))
    assert len(calls) == 1
    assert len(work.encoded) == 4
    assert_like_new(folder, codes)


def test_a_copy_takes_the_codes_and_leaves_the_original(work: Work, tmp_path: Path) -> None:
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    (a,) = films(folder, "a")
    run(folder, codes)
    copy = folder / "copy.mp4"
    copy.write_bytes(a.read_bytes())
    assert run(folder, codes) == [Unchanged(a, (WARNING,)), Relinked(copy, a, False, (WARNING,))]
    assert work.encoded == ["a.mp4"]
    assert contents(codes).keys() == {"a", "copy"}
    assert_like_new(folder, codes)


def test_two_files_that_changed_places(work: Work, tmp_path: Path) -> None:
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    a, b = films(folder, "ab")
    run(folder, codes)
    a.rename(folder / "x")
    b.rename(a)
    (folder / "x").rename(b)
    assert run(folder, codes) == [Relinked(a, b, False, (WARNING,)), Relinked(b, a, False, (WARNING,))]
    assert len(work.encoded) == 2
    assert_like_new(folder, codes)


def test_a_changed_file_is_encoded_again_and_a_touched_one_is_not(work: Work, tmp_path: Path) -> None:
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    a, b = films(folder, "ab")
    run(folder, codes)
    a.write_bytes(b"another film")
    os.utime(b, ns=(5, 5))
    assert [type(event) for event in run(folder, codes)] == [Encoded, Unchanged]
    assert work.encoded == ["a.mp4", "b.mp4", "a.mp4"]


def test_gone_files_are_reported_and_dropped_when_asked_for(tmp_path: Path) -> None:
    folder, elsewhere, codes = tmp_path / "films", tmp_path / "other", tmp_path / "codes.h5"
    a, b = films(folder, "ab")
    other = films(elsewhere, "o")[0]
    run(folder, codes)
    run(elsewhere, codes)
    index = tmp_path / "codes.h5.faiss"
    index.write_bytes(contents(codes)["a"].codes.tobytes())
    a.unlink()
    other.unlink()
    assert run(folder, codes) == [Unchanged(b, (WARNING,)), Gone(a, False)]
    assert contents(codes).keys() == {"a", "b", "o"}
    erased = contents(codes)["a"].codes.tobytes()
    assert run(folder, codes, prune=True) == [Unchanged(b, (WARNING,)), Gone(a, True)]
    assert contents(codes).keys() == {"b", "o"}  # what is not under the named folder may be on a disk that is away
    assert erased not in codes.read_bytes()
    assert b"a.mp4" not in codes.read_bytes()
    assert not index.exists()


def test_what_cannot_be_looked_at_is_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    a, _ = films(folder, "ab")
    run(folder, codes)

    def lstat(path: Path) -> os.stat_result:
        if path == a:
            raise PermissionError(13, "Permission denied")
        return os.lstat(path)

    monkeypatch.setattr(Path, "lstat", lstat)
    list(encode([folder / "b.mp4"], codes, NETWORK, roots=[folder], prune=True))
    assert contents(codes).keys() == {"a", "b"}


def test_pictures_of_known_files(work: Work, tmp_path: Path) -> None:
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    a, b = films(folder, "ab")
    run(folder, codes)
    jpeg = max(contents(codes)["a"].thumbnails)
    assert jpeg in codes.read_bytes()
    assert [event.note for event in run(folder, codes, EncodeOptions(thumbnails=False))] == ["pictures removed"] * 2
    assert jpeg not in codes.read_bytes()
    assert work.encoded == ["a.mp4", "b.mp4"]
    assert_like_new(folder, codes, EncodeOptions(thumbnails=False))
    del work.encoded[:]
    assert [event.note for event in run(folder, codes, EncodeOptions(thumbnails=False))] == [""] * 2
    assert [event.note for event in run(folder, codes)] == ["without pictures"] * 2
    assert work.encoded == []
    assert [type(event) for event in run(folder, codes, EncodeOptions(thumbnails=True))] == [Encoded] * 2
    assert work.encoded == ["a.mp4", "b.mp4"]
    assert_like_new(folder, codes)
    assert [event.note for event in run(folder, codes, EncodeOptions(thumbnails=True))] == [""] * 2
    assert (a, b) == tuple(event.path for event in run(folder, codes))


def test_removed_pictures_stay_in_no_part_of_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the pictures were taken off, before the file that holds them was written anew."""
    monkeypatch.setattr(codes_file, "SMALL", 0)
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    films(folder, "ab")
    list(encode(sorted(folder.iterdir()), codes, NETWORK))
    jpeg = max(contents(codes)["b"].thumbnails)
    with monkeypatch.context() as patch:
        patch.setattr(encoding, "erase_leftovers", lambda *_: None)
        patch.setattr(encoding, "finish", lambda *_: None)
        list(encode([folder / "b.mp4"], codes, NETWORK, EncodeOptions(thumbnails=False)))
    assert jpeg in codes.read_bytes()
    list(encode([folder / "b.mp4"], codes, NETWORK, EncodeOptions(thumbnails=False)))
    assert jpeg not in codes.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes.h5", "codes.h5.lock", "films"]


def test_forgotten_videos_and_tracks_stay_away(tmp_path: Path) -> None:
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    a, b = films(folder, "ab")
    run(folder, codes)
    found = contents(codes)
    stones = np.concatenate(
        [of_video(found["a"].video.fingerprint), of_tracks(found["b"].video.fingerprint, found["b"].tracks[1:3])]
    )
    with open_shard(codes) as shard:
        codes_file.replace_all(codes, TAG, [], stones)
        assert len(shard.videos) == 2
    copy = folder / "c.mp4"
    copy.write_bytes(a.read_bytes())
    events = run(folder, codes)
    assert events[0] == Forgotten(a)
    assert events[2] == Forgotten(copy)
    assert isinstance(events[1], Encoded)
    assert events[1].tracks == 3
    kept = contents(codes)["b"]
    assert kept.tracks.tobytes() == found["b"].tracks[[0, 3, 4]].tobytes()
    assert kept.codes.tobytes() == found["b"].codes[[0, 3, 4]].tobytes()
    b.rename(folder / "d.mp4")
    run(folder, codes)
    assert contents(codes)["d"].codes.tobytes() == kept.codes.tobytes()
    assert (open_shard(codes).tombstones == stones).all()


def test_only_bad_files_leave_nothing(tmp_path: Path) -> None:
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    (a,) = films(folder, "a")
    a.write_bytes(b"bad")
    assert run(folder, codes) == [Skipped(a, "no film")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes.h5.lock", "films"]


def test_what_was_skipped_is_remembered_until_it_is_encoded(tmp_path: Path) -> None:
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    a, b, c = films(folder, "abc")
    b.write_bytes(b"bad")
    c.write_bytes(b"bad too")
    run(folder, codes)
    assert read_skipped(codes) == {b: "no film", c: "no film"}
    list(encode([a], codes, NETWORK))
    assert read_skipped(codes) == {b: "no film", c: "no film"}
    b.write_bytes(b"good")
    c.unlink()
    run(folder, codes)
    assert read_skipped(codes) == {}
    assert not skipped_path(codes).exists()
    skipped_path(codes).write_text("not json")
    assert read_skipped(codes) == {}


def test_a_file_that_cannot_be_read_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    a, b = films(folder, "ab")

    def refuse(path: Path) -> str:
        if path == a:
            raise PermissionError(13, "Permission denied")
        return content_fingerprint(path)

    monkeypatch.setattr(sync, "content_fingerprint", refuse)
    events = run(folder, codes)
    assert events[0] == Skipped(a, "Permission denied")
    assert isinstance(events[1], Encoded)
    assert events[1].path == b


def test_the_plan_tells_what_will_be_encoded(tmp_path: Path) -> None:
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    films(folder, "abc")
    list(encode(sorted(folder.iterdir())[:2], codes, NETWORK))
    (folder / "a.mp4").rename(folder / "d.mp4")
    plans: list[set[Path]] = []
    run(folder, codes, on_plan=plans.append)
    assert plans == [{folder / "c.mp4"}]
    run(folder, codes, EncodeOptions(thumbnails=False), on_plan=plans.append)
    run(folder, codes, EncodeOptions(thumbnails=True), on_plan=plans.append)
    assert plans[1:] == [set(), set(folder.iterdir())]


def test_a_second_encoder_says_so(tmp_path: Path) -> None:
    films(tmp_path / "films", "a")
    with lock(tmp_path / "codes.h5"), pytest.raises(ShardError, match="another dhh is writing"):
        run(tmp_path / "films", tmp_path / "codes.h5")


class Killed(BaseException):
    """Stands for SIGKILL."""


def deaths(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Die at the ``at``-th rename, removal or flush."""
    calls: Iterator[int] = iter(range(10**6))
    for name in ("replace", "unlink", "rmdir", "fsync"):
        real = getattr(os, name)

        def wrapped(*args: Any, real: Any = real, **kwargs: Any) -> Any:
            if next(calls) >= at:  # a dead process does nothing any more
                raise Killed
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, wrapped)


@pytest.mark.parametrize("at", range(0, 42, 3))
def test_killed_anywhere_in_a_run_with_every_kind_of_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """New, changed, moved, copied and gone files; small limits, so that parts are folded and merged on the way.

    Every other time codes of frames are kept, which the first run alone is told.
    """
    monkeypatch.setattr(codes_file, "MAX_PARTS", 2)
    monkeypatch.setattr(codes_file, "SMALL", 0)
    folder, codes = tmp_path / "films", tmp_path / "codes.h5"
    a, b, c, d, *_ = films(folder, "abcdef")
    frames = at % 2 == 0
    run(folder, codes, EncodeOptions(frame_codes=frames))
    a.rename(folder / "z.mp4")
    b.write_bytes(b"another film")
    (folder / "copy.mp4").write_bytes(c.read_bytes())
    d.unlink()
    films(folder, "ghijk")
    with monkeypatch.context() as patch:
        deaths(patch, at)
        reached = False
        try:
            run(folder, codes, prune=True)
        except Killed:
            reached = True
    assert reached or at > 36
    with open_shard(codes) as shard:
        assert not shard.damaged_videos()
    run(folder, codes, prune=True)
    monkeypatch.setattr(codes_file, "SMALL", 1 << 28)
    again = run(folder, codes, prune=True)
    assert {type(event) for event in again} == {Unchanged}
    assert contents(codes).keys() == {path.stem for path in folder.iterdir()}
    assert_like_new(folder, codes, EncodeOptions(frame_codes=frames))
