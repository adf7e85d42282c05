"""Forgetting is repeatable, complete, and erases nobody else, wherever it is cut off."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import one_line
from footage import TAG, encoded_video, make
from killed import Killed, dies_at
from shipped_film import SHIPPED, film
from typer.testing import Result

from dhhcli.base import atomic_write
from dhhcli.errors import ShardError
from dhhcli.index.build import build
from dhhcli.index.lookup import index_paths
from dhhcli.people.naming import give_name
from dhhcli.search.forget import Erasure, Removed, forget
from dhhcli.storage.codes_file import commit, compact, lock, open_shard
from dhhcli.storage.track_id import track_ids
from dhhcli.storage.who.book import names_beside

Run = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "codes.h5"


def bytes_beside(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.rglob("*")) if file.is_file())


@pytest.mark.parametrize("at", range(14))
def test_codes_go_before_names_and_the_same_line_does_the_rest(rng: np.random.Generator, path: Path, at: int) -> None:
    videos = make(rng, path, "ab")
    commit(path, TAG, encoded_video(rng, "/footage/c.mov"))
    build(path, "flat", np.random.default_rng(0))
    give_name(path, None, "Ada", tracks=[1, 7])
    codes = [videos["a"].codes[1].tobytes(), videos["b"].codes[2].tobytes()]
    with pytest.MonkeyPatch.context() as patch:
        dies_at(patch, at)
        try:
            forget(path, Erasure(names=("Ada",)))
            complete = True
        except Killed:
            complete = False
    there = [code in bytes_beside(path) for code in codes]
    assert complete or any(there) <= ("Ada" in names_beside(path))  # who has codes can be asked for
    if not complete and names_beside(path):
        forget(path, Erasure(names=("Ada",)))
    left = bytes_beside(path)
    assert not any(code in left for code in codes)
    assert "Ada" not in names_beside(path)
    assert not list(path.parent.glob("*tmp"))
    with open_shard(path) as shard:
        assert (len(shard), len(shard.tombstones)) == (13, 2)


@pytest.mark.parametrize("at", range(14))
def test_a_row_never_erases_somebody_else(rng: np.random.Generator, path: Path, at: int) -> None:
    videos = make(rng, path, "ab")
    with pytest.MonkeyPatch.context() as patch:
        dies_at(patch, at)
        try:
            forget(path, Erasure(tracks=(1,)))
            return
        except Killed:
            pass
    if len(open_shard(path)) == 9:
        with pytest.raises(ShardError, match="other numbers"):
            forget(path, Erasure(tracks=("1",)))
    else:
        forget(path, Erasure(tracks=("1",)))
    with open_shard(path) as shard:
        assert (len(shard), len(shard.tombstones)) == (9, 1)
    left = bytes_beside(path)
    assert videos["a"].codes[1].tobytes() not in left
    assert all(code.tobytes() in left for code in np.delete(videos["a"].codes, 1, axis=0))
    assert {file.name for file in path.parent.iterdir()} == {"codes.h5", "codes.h5.lock"}


def test_what_could_not_be_said_is_not_taken_for_known(rng: np.random.Generator, path: Path) -> None:
    make(rng, path, "ab")

    def full(_removed: object, _notes: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        forget(path, Erasure(tracks=(1,)), tell=full)
    with pytest.raises(ShardError, match="other numbers"):
        forget(path, Erasure(tracks=(1,)))
    assert len(open_shard(path)) == 9
    assert len(forget(path, Erasure(tracks=(1,)))[0]) == 1


def test_a_lasting_word_means_one_track_whatever_comes_and_goes(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "bc")
    with open_shard(path) as shard:
        words = track_ids(shard, np.arange(10))
    assert len(set(words)) == 10
    commit(path, TAG, encoded_video(rng, "/footage/a.mov", fingerprint="11" * 32))
    forget(path, Erasure(tracks=(words[0], words[7])))
    left = path.read_bytes()
    for number, code in enumerate([*videos["b"].codes, *videos["c"].codes]):
        assert (code.tobytes() in left) == (number not in (0, 7))
    with pytest.raises(ShardError, match=f"holds no track {words[0]}"):
        forget(path, Erasure(tracks=(words[0],)))
    with open_shard(path) as shard:
        assert set(track_ids(shard, np.arange(5, 13))) == {*words} - {words[0], words[7]}
    for wrong in ("x", "1.5", "-1", "12345678-1234567", ""):
        with pytest.raises(ShardError, match="is no track"):
            forget(path, Erasure(tracks=(wrong,)))


def test_a_track_goes_from_all_copies_of_its_video(rng: np.random.Generator, path: Path) -> None:
    one = encoded_video(rng, "/footage/a.mov", fingerprint="11" * 32)
    copies = [replace(one, video=replace(one.video, path=Path(f"/copies/{name}.mov"))) for name in "xyz"]
    for video in (one, *copies, encoded_video(rng, "/footage/b.mov")):
        commit(path, TAG, video)
    removed, _ = forget(path, Erasure(tracks=(2,)))
    assert {line.video for line in removed} == {one.video.path, *(copy.video.path for copy in copies)}
    assert one.codes[2].tobytes() not in bytes_beside(path)
    assert len(open_shard(path)) == 5 * 4 + 1


def test_a_codes_file_reached_over_a_link_has_one_index(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "ab")
    link = path.parent.parent / "other.h5"
    link.symlink_to(path)
    build(path, "flat", np.random.default_rng(0))
    build(link, "flat", np.random.default_rng(0))
    assert index_paths(link) == index_paths(path)
    old = link.with_name("other.h5.faiss")  # where an earlier version put it
    old.write_bytes(videos["a"].codes.tobytes())
    forget(link, Erasure(tracks=(1,)))
    code = videos["a"].codes[1].tobytes()
    assert not any(code in file.read_bytes() for file in path.parent.parent.rglob("*") if file.is_file())
    hard = path.with_name("hard.h5")
    os.link(path, hard)
    assert "hard links" in forget(path, Erasure(tracks=(1,)))[1][0]


def test_links_beside_the_codes_are_said_and_parts_on_another_disk_work(rng: np.random.Generator, path: Path) -> None:
    make(rng, path, "a")
    elsewhere = path.parent.parent / "scratch"
    elsewhere.mkdir()
    path.with_name("codes.h5.parts").symlink_to(elsewhere)
    commit(path, TAG, encoded_video(rng, "/footage/c.mov"))
    build(path, "flat", np.random.default_rng(0))
    file = index_paths(path)[0]
    file.replace(elsewhere / "index")
    file.symlink_to(elsewhere / "index")
    _, notes = forget(path, Erasure(tracks=(1,)))
    assert notes == [f"{file}: is a link; what it leads to stays as it was: {elsewhere / 'index'}"]
    assert [one.name for one in elsewhere.iterdir()] == ["index"]
    assert len(open_shard(path)) == 9


def test_index_waits_for_whoever_writes(rng: np.random.Generator, path: Path, dhh: Run) -> None:
    make(rng, path, "ab")
    with lock(path), pytest.raises(ShardError, match="another dhh is writing it"):
        build(path, "flat", np.random.default_rng(0))
    held = "import sys; from pathlib import Path; from dhhcli.storage.codes_file import lock\n"
    held += "with lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", held, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        one_line(dhh("index", path), 1, "another dhh is writing it")
        other.communicate("")
    assert not index_paths(path)[0].exists()


def test_nothing_hidden_holds_codes(rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed index leaves is seen by ``rm -r codes.h5*``, and gone after the next run."""
    videos = make(rng, path, "ab")
    code = videos["a"].codes[1].tobytes()
    for killed in ("build", "forget"):
        with monkeypatch.context() as patch:
            dies_at(patch, 2)
            with pytest.raises(Killed):
                build(path, "flat", np.random.default_rng(0))
        left = {file.name for file in path.parent.iterdir()} - {"codes.h5", "codes.h5.lock"}
        assert len(left) == 1
        assert all(name.startswith("codes.h5.faiss.") for name in left)
        path.with_name(".codes.h5.faiss.123.tmp").write_bytes(code)  # of an earlier version
        if killed == "build":
            build(path, "flat", np.random.default_rng(0))
            names = {"codes.h5", "codes.h5.lock", "codes.h5.faiss", "codes.h5.faiss.json"}
            assert {file.name for file in path.parent.iterdir()} == names
            index_paths(path)[0].unlink()
            index_paths(path)[1].unlink()
        else:
            forget(path, Erasure(tracks=(1,)))
            assert {file.name for file in path.parent.iterdir()} == {"codes.h5", "codes.h5.lock"}
            assert code not in path.read_bytes()


def test_files_of_dead_writers_go_when_the_same_is_written_again(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old, new = tmp_path / f"sheet.html.{dead.pid}.tmp", tmp_path / f"sheet.html.{os.getppid()}.tmp"
    for file in (old, new, tmp_path / f".sheet.html.{dead.pid}.tmp", tmp_path / "sheet.html.x.tmp"):
        file.write_bytes(b"faces")
        os.utime(file, (1, 1))
    atomic_write.write_atomically(tmp_path / "sheet.html", b"new")
    assert {file.name for file in tmp_path.iterdir()} == {"sheet.html", new.name, "sheet.html.x.tmp"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_asks_on_a_terminal(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dhhcli.output import removal

    rng = np.random.default_rng(3)
    commit(path, SHIPPED, film(rng, "a", shots=2, tracks=4))
    compact(path, SHIPPED)

    def run(answer: str, *words: str) -> tuple[int, int, str]:
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        said = io.StringIO()
        monkeypatch.setattr(sys, "stderr", said)
        sheets = [tmp_path / name for name in ("faces.html", "faces.png")]

        def ask(removed: "list[Removed]", pictures: list[bytes]) -> bool:
            return removal.ask_before(
                path, removed, pictures, sheet=sheets[len(removed) % 2], question="-y" not in words
            )

        removed, _ = forget(path, Erasure(tracks=(0,)), ask=ask)  # type: ignore[arg-type]
        return len(removed), len(open_shard(path)), said.getvalue()

    assert run("\n")[:2] == (0, 4)
    assert run("n\n")[:2] == (0, 4)
    assert run("")[:2] == (0, 4)
    removed, left, said = run("y\n")
    assert (removed, left) == (1, 3)
    assert "track 0 (" in said
    assert "Erase 1 track from 'codes.h5', for good? [y/N]" in said
    assert run("", "-y")[:2] == (1, 2)
    assert (tmp_path / "faces.png").read_bytes()[:4] == b"\x89PNG"


def test_the_command_line_shows_and_takes_lasting_words(path: Path, dhh: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for name in "ab":
        commit(path, SHIPPED, film(rng, name, shots=2, tracks=4))
    compact(path, SHIPPED)
    rows = dhh("query", "track:0", "-c", path, "--all", "--columns", "track,track_id").stdout.splitlines()[1:]
    words = dict(row.split("\t") for row in rows)
    with open_shard(path) as shard:
        every = track_ids(shard, np.arange(8))
    assert {word: every[int(track)] for track, word in words.items()} == {word: word for word in words.values()}
    assert (
        dhh("query", f"track:{every[0]}", "-c", path, "--all").stdout
        == dhh("query", "track:0", "-c", path, "--all").stdout
    )
    assert dhh("name", path, "--track", every[3].upper(), "Ada").exit_code == 0
    assert names_beside(path)["Ada"]
    one_line(dhh("name", path, "--track", "0000ffff-0000ffff", "Ada"), 1, "holds no track 0000ffff-0000ffff")
    people = dhh("people", path, "--within", "3")
    assert "track_id" in people.stdout.splitlines()[0]
    for page in ("faces.html", "faces.png"):
        dry = dhh("forget", path, "--track", every[3], "--dry-run", "--sheet", page)
        assert dry.exit_code == 0, dry.stderr
        assert (tmp_path / page).stat().st_size > 1000
    assert every[3] in (tmp_path / "faces.html").read_text()
    one_line(dhh("forget", path, "--track", every[3], "--sheet", "faces.txt"), 1, "not .txt")
    result = dhh("forget", path, "--track", every[3], "--yes")
    assert result.exit_code == 0
    assert every[3] in result.stdout
    assert not names_beside(path)
    again = dhh("forget", path, "--track", every[3], "--yes")
    one_line(again, 1, f"holds no track {every[3]} (any more)")
    assert len(open_shard(path)) == 7
