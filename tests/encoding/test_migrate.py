"""dhh migrate: codes of other weights in place of the old ones, with names, what was forgotten, and settings."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from commands import PROGRAM
from footage import TAG
from synthetic import astronaut, moving_face, write_video
from test_sync import Work, films, run, work  # noqa: F401  (a fixture)
from typer.testing import CliRunner, Result
from whos_who import named, write_names

from dhhcli.cli.app import app
from dhhcli.encoding import video
from dhhcli.encoding.events import Ended, Forgotten, Skipped, Unchanged
from dhhcli.encoding.migrate import Lost, Migrated, migrate
from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.run import encode
from dhhcli.errors import NamesError, PassingError, ShardError, UsageError
from dhhcli.index.lookup import index_paths
from dhhcli.media.sample import Sample
from dhhcli.models.model_tag import ModelTag
from dhhcli.search.forget import Erasure, forget
from dhhcli.storage import migration
from dhhcli.storage.codes_file import TRACK_DTYPE, lock, open_shard, replace_all
from dhhcli.storage.migration import new_codes, same_tracks
from dhhcli.storage.record import to_tables
from dhhcli.storage.skipped import read_skipped
from dhhcli.storage.tombstones import of_video
from dhhcli.storage.who.book import open_book
from dhhcli.storage.who.journal import people_path
from dhhcli.storage.who.names import names_path, places_of

Run = Callable[..., Result]
OTHER: Any = SimpleNamespace(tag=ModelTag(48, "ef" * 32), name="other", layers=SimpleNamespace(framewise=True))


def changed(codes: Path, network: Any = OTHER, **how: Any) -> Migrated:
    """Migrate to the end; what it says of it."""
    *_, last = migrate(codes, network, **how)
    assert isinstance(last, Migrated)
    return last


def beside(codes: Path) -> set[str]:
    """Files and folders whose names begin as the codes file's does."""
    return {path.name for path in codes.parent.glob(f"{codes.name}*")}


@pytest.fixture
def codes(work: Work, tmp_path: Path) -> Path:  # noqa: F811, ARG001
    """Of films a, b, c."""
    path = tmp_path / "codes.h5"
    films(tmp_path / "films", "abc")
    run(tmp_path / "films", path)
    return path


# ------------------------------------------------------------------------------------ the whole, with real films


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, sample: Sample) -> Path:
    """A folder with a short film, two photos, and their codes by dhh-12: one track named, one forgotten, an index."""
    folder = tmp_path_factory.mktemp("made")
    centres = [(100 + i, 110) for i in range(20)]
    film = write_video(folder / "film.mp4", moving_face(astronaut(), centres))
    for path in sample.photos:
        shutil.copy2(path, folder / path.name)
    for words in (
        ["encode", film, *(folder / path.name for path in sample.photos), "--weights", "dhh-12", "--out"],
        ["name", "--track", "0", "Ada"],
        ["forget", "--track", "1", "--yes"],
        ["index"],
    ):
        codes = folder / "codes.h5"
        place = len(words) if words[-1] == "--out" else 1
        result = CliRunner().invoke(app, [str(word) for word in [*words[:place], codes, *words[place:]]])
        assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def desk(dhh: Run, made: Path, tmp_path: Path) -> Path:
    """Copies of these codes in the current folder."""
    assert dhh is not None
    for path in made.glob("codes.h5*"):
        shutil.copy2(path, tmp_path / path.name)
    return tmp_path


def places(codes: Path) -> list[Any]:
    with open_shard(codes) as shard:
        return places_of(shard, np.arange(len(shard)))


def test_films_by_other_weights(desk: Path, made: Path, dhh: Run) -> None:
    codes = desk / "codes.h5"
    before, names = places(codes), named(codes)
    with open_shard(codes) as shard:
        pictured = shard.pictures()
    refused = dhh("query", made / "collins.jpg", "--weights", "dhh-24")
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert "dhh migrate codes.h5" in refused.stderr
    done = dhh("migrate", "codes.h5", "--weights", "dhh-24", "-j", "1")
    assert done.exit_code == 0, done.stderr
    assert (
        done.stderr.splitlines()[-1] == f"codes.h5: 3 files, {len(before)} tracks by dhh-24; 1 named tracks, 1 before"
    )
    with open_shard(codes) as shard:
        assert shard.tag.bits == 24
        assert len(shard.tombstones) == 1
        assert shard.pictures() == pictured
    assert (places(codes), named(codes)) == (before, names)  # the encoder is the same, so is where tracks are
    assert beside(codes) == {"codes.h5", "codes.h5.lock", "codes.h5.people"}  # the index is of the old codes
    assert dhh("query", "name:Ada").exit_code in (0, 3)
    again = dhh("migrate", "codes.h5", "--weights", "dhh-24")
    assert (again.exit_code, again.stderr) == (0, "codes.h5: is of dhh-24 already; nothing to do\n")


def test_the_same_length_is_what_is_taken_unless_said(desk: Path, dhh: Run) -> None:
    said = dhh("migrate")
    assert (said.exit_code, said.stderr) == (0, "codes.h5: is of dhh-12 already; nothing to do\n")
    assert desk.exists()


def test_a_kill_in_the_middle_and_the_same_line_again(desk: Path, made: Path, dhh: Run) -> None:
    codes = desk / "codes.h5"
    old, words = codes.read_bytes(), ["migrate", "codes.h5", "--weights", "dhh-24", "-j", "1"]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *words], cwd=desk, stderr=subprocess.DEVNULL)
    parts = new_codes(codes).with_name(f"{new_codes(codes).name}.parts")
    deadline = time.monotonic() + 60
    while not list(parts.glob("*.h5")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert codes.read_bytes() == old
    assert dhh("query", made / "collins.jpg").exit_code in (0, 3)  # the old codes serve meanwhile
    done = dhh(*words)
    assert done.exit_code == 0, done.stderr
    assert "[1/3]" not in done.stderr  # what was done is not done again
    shutil.copy2(codes, desk / "resumed.h5")
    for path in (codes, people_path(codes)):
        path.unlink()
    codes.write_bytes(old)
    assert dhh(*words).exit_code == 0
    assert codes.read_bytes() == (desk / "resumed.h5").read_bytes()


# ------------------------------------------------------------------------------------------- what may go, or not


def test_what_is_gone_needs_a_word(codes: Path, tmp_path: Path) -> None:
    (tmp_path / "films" / "b.mp4").unlink()
    old, before = codes.read_bytes(), beside(codes)
    with pytest.raises(ShardError, match=r"1 file of it cannot be encoded again, the first .*b\.mp4 \(gone\).*--drop"):
        changed(codes)
    assert (codes.read_bytes(), beside(codes)) == (old, before)
    asked: list[Lost] = []

    def may_drop(lost: Sequence[Lost]) -> bool:
        asked.extend(lost)
        return True

    done = changed(codes, may_drop=may_drop)
    assert asked == [Lost(tmp_path / "films" / "b.mp4", "gone")]
    assert (done.videos, [one.path.name for one in done.dropped]) == (2, ["b.mp4"])


def test_what_cannot_be_read_any_more_needs_it_too(codes: Path, tmp_path: Path) -> None:
    (tmp_path / "films" / "b.mp4").write_bytes(b"bad")
    old = codes.read_bytes()
    with pytest.raises(ShardError, match=r"b\.mp4 \(no film\)"):
        changed(codes)
    assert codes.read_bytes() == old
    events = list(migrate(codes, OTHER, may_drop=lambda _: True))
    assert [type(event) for event in events[1:-2]] == [Unchanged, Skipped, Unchanged]  # what was done is not done again
    assert read_skipped(codes) == {tmp_path / "films" / "b.mp4": "no film"}


def test_a_copy_of_what_is_there_may_go_without_a_word(codes: Path, tmp_path: Path) -> None:
    copy = tmp_path / "films" / "copy.mp4"
    shutil.copy2(tmp_path / "films" / "a.mp4", copy)
    run(tmp_path / "films", codes)
    copy.unlink()
    assert changed(codes).videos == 3


def test_the_command_lists_them(dhh: Run, codes: Path, tmp_path: Path, other_weights: Path) -> None:
    for path in (tmp_path / "films").iterdir():
        path.unlink()
    result = dhh("migrate", codes, "--weights", other_weights)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line.endswith("mp4: gone") for line in lines] == [True, True, True, False]
    dropped = dhh("migrate", codes, "--weights", other_weights, "--drop")
    assert dropped.exit_code == 0
    assert dropped.stderr.splitlines()[-1].endswith("0 files, 0 tracks by other-32; 3 files dropped")


# ------------------------------------------------------------------------------------------ settings, forgetting


@pytest.mark.parametrize(("pictures", "frames"), product((True, False), repeat=2))
def test_settings_stay(work: Work, tmp_path: Path, pictures: bool, frames: bool) -> None:  # noqa: F811, ARG001
    codes = tmp_path / "codes.h5"
    films(tmp_path / "films", "ab")
    run(tmp_path / "films", codes, EncodeOptions(pictures, frames))
    films(tmp_path / "films", "abc")
    run(tmp_path / "films", codes, EncodeOptions(None if pictures else True))  # c has pictures, as new ones do
    with open_shard(codes) as shard:
        before = shard.pictures()
    changed(codes)
    with open_shard(codes) as shard:
        assert shard.pictures() == before
        assert shard.tag == replace(OTHER.tag, frame_codes=frames)


def test_codes_of_frames_need_weights_that_have_some(codes: Path) -> None:
    whole: Any = SimpleNamespace(tag=OTHER.tag, name="whole", layers=SimpleNamespace(framewise=False))
    with pytest.raises(UsageError, match="whole has none; add --no-frame-codes"):
        changed(codes, whole, frame_codes=True)
    assert changed(codes, whole).videos == 3


def test_what_was_forgotten_stays_forgotten(codes: Path, tmp_path: Path) -> None:
    forget(codes, Erasure(videos=(tmp_path / "films" / "a.mp4",)))
    forget(codes, Erasure(tracks=(0, 3)))
    left = places(codes)
    changed(codes)
    assert places(codes) == left
    assert [type(event) for event in encode(films(tmp_path / "films", "abc"), codes, OTHER)] == [
        Forgotten,
        Unchanged,
        Unchanged,
    ]
    assert places(codes) == left


def test_what_is_forgotten_while_a_change_waits(codes: Path) -> None:
    """Codes that were collected already hold whoever is forgotten now: they go, and what comes knows it."""
    events = migrate(codes, OTHER)
    while not isinstance(next(events), Ended):
        pass
    events.close()
    assert new_codes(codes).exists()
    _, notes = forget(codes, Erasure(tracks=(0,)))
    assert "what dhh migrate had done so far is removed too" in notes[-1]
    assert not any("migrating" in name for name in beside(codes))
    left = places(codes)
    changed(codes)
    assert places(codes) == left
    # without that, the tombstones that are new are seen
    with open_shard(codes) as shard:
        stones, fingerprint = shard.tombstones, shard.videos[0].fingerprint
        units = [shard.encoded_video(row) for row in range(len(shard.videos))]
    new = new_codes(codes)
    replace_all(new, TAG, [to_tables(TAG, unit) for unit in units], stones)
    more = np.concatenate([stones, of_video(fingerprint)])
    migration.begin(codes, TAG, more)
    with open_shard(new) as shard:
        assert [video.fingerprint for video in shard.videos] == [unit.video.fingerprint for unit in units[1:]]
        assert len(shard.tombstones) == len(more)


# --------------------------------------------------------------------------------------------- names, the change


def test_names_go_along_where_tracks_begin_elsewhere(
    codes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made_before = video.encode_video
    later = 0

    def laid(*args: Any, **how: Any) -> Any:
        """Five tracks one after the other at one place, as the detector of one dhh or of the next sees them."""
        made = made_before(*args, **how)
        tracks = made.tracks.copy()
        tracks["start_pts"] = 100 * np.arange(5) + later
        tracks["end_pts"], tracks["best_pts"], tracks["box"] = tracks["start_pts"] + 50, tracks["start_pts"], LEFT
        return replace(made, tracks=tracks)

    monkeypatch.setattr(video, "encode_video", laid)
    codes.unlink()
    run(tmp_path / "films", codes)
    with open_shard(codes) as shard:
        given = {"Ada": np.array([0, 6]), "Bob": np.array([1])}
        write_names(codes, {name: tuple(places_of(shard, rows)) for name, rows in given.items()})
    later = 7
    done = changed(codes)
    assert (done.named_before, done.named) == (3, 3)
    assert named(codes) == {"Ada": [0, 6], "Bob": [1]}
    assert len(open_book(codes).cast) == 3  # the old places are gone


def test_killed_at_any_step_of_the_change(codes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever step fails, the codes that are there have their names, and the same line ends it."""
    with open_shard(codes) as shard:
        names = {"Ada": tuple(places_of(shard, np.array([0, 6])))}
    write_names(codes, names)
    index_paths(codes)[0].write_bytes(b"old")
    old = codes.read_bytes()
    steps = ("carried_people", "write_people", "compact", "sync_folder", "_forget_old_places", "discard")
    for step in steps:
        for path in codes.parent.glob(f"{codes.name}*"):
            if path.is_file():
                path.unlink()
        codes.write_bytes(old)
        write_names(codes, names)
        events = migrate(codes, OTHER)
        while not isinstance(next(events), Ended):
            pass
        with monkeypatch.context() as patch:
            patch.setattr(migration, step, _killed)
            with pytest.raises(KeyboardInterrupt):
                list(events)
        assert named(codes) == {"Ada": [0, 6]}, step
        changed(codes)
        with open_shard(codes) as shard:
            assert shard.tag == OTHER.tag
        assert named(codes) == {"Ada": [0, 6]}
        assert beside(codes) == {"codes.h5", "codes.h5.lock", "codes.h5.people"}, step


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_two_writers_and_damaged_names(codes: Path) -> None:
    with lock(codes), pytest.raises(PassingError, match="another dhh is writing it"):
        changed(codes)
    names_path(codes).write_text("{}")
    with pytest.raises(NamesError):
        changed(codes)
    assert not new_codes(codes).exists()


def test_a_change_to_other_weights_begins_anew(codes: Path) -> None:
    third: Any = SimpleNamespace(tag=ModelTag(48, "99" * 32), name="third", layers=SimpleNamespace(framewise=True))
    events = migrate(codes, OTHER)
    while not isinstance(next(events), Ended):
        pass
    events.close()
    changed(codes, third)
    with open_shard(codes) as shard:
        assert (shard.tag, len(shard.videos)) == (third.tag, 3)


# ------------------------------------------------------------------------------------------ which track is which


def track(start: int, end: int, box: tuple[float, float, float, float]) -> np.ndarray:
    row = np.zeros(1, TRACK_DTYPE)
    row["start_pts"], row["end_pts"], row["best_pts"], row["box"] = start, end, start, box
    return row


LEFT, RIGHT, NEAR = (0, 0, 40, 40), (100, 0, 140, 40), (30, 0, 70, 40)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([(0, 50, LEFT)], [(0, 50, LEFT)], [0]),
        ([(0, 50, LEFT), (0, 50, RIGHT)], [(0, 48, RIGHT), (1, 50, LEFT)], [1, 0]),
        ([(0, 50, LEFT)], [(0, 20, LEFT), (20, 50, LEFT)], [0, 0]),  # cut in two
        ([(0, 50, LEFT)], [(40, 90, LEFT)], [-1]),  # shares too little
        ([(0, 50, LEFT)], [(0, 50, RIGHT)], [-1]),
        ([(0, 50, LEFT)], [(0, 50, NEAR)], [0]),  # its best moment is another
        ([(0, 50, LEFT)], [(0, 50, NEAR), (0, 49, LEFT)], [-1, 0]),  # nobody is in two places
        ([(0, 0, LEFT)], [(0, 0, LEFT), (0, 0, RIGHT)], [0, -1]),  # faces of a photo
        ([], [(0, 50, LEFT)], [-1]),
        ([(0, 50, LEFT)], [], []),
    ],
)
def test_which_old_track_a_new_one_is(old: list[Any], new: list[Any], expected: list[int]) -> None:
    rows = [np.concatenate([track(*one) for one in side]) if side else np.empty(0, TRACK_DTYPE) for side in (old, new)]
    assert same_tracks(*rows).tolist() == expected
