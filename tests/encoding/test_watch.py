"""Photos become stills, folders are watched, and what encode says of all that, word for word."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commands import INTERRUPTIBLE, one_line, rows_of
from footage import contents
from rich.console import Console
from synthetic import scene, write_video
from typer.testing import Result
from watching import watched

from dhhcli.encoding.events import Encoded, Unchanged
from dhhcli.media.files.discover import VideoList, find_files, find_videos
from dhhcli.media.sample import Sample
from dhhcli.output.terminal.encode_progress import EncodeProgress
from dhhcli.storage.codes_file import open_shard

Run = Callable[..., Result]


# --------------------------------------------------------------------------------------------------- photos


def test_a_photo_is_found_by_a_photo(encoded: Path, sample: Sample, dhh: Run, tmp_path: Path) -> None:
    codes = tmp_path / "codes.h5"
    codes.write_bytes(encoded.read_bytes())
    folder = tmp_path / "photos"
    folder.mkdir()
    collins, hopper = (cv2.imread(str(photo)) for photo in sample.photos)
    assert collins is not None
    assert hopper is not None
    both = np.full((600, 1024, 3), 127, np.uint8)
    both[:, :512] = hopper
    both[:512, 512:] = cv2.resize(collins, (512, 512), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / "both.png"), both)
    cv2.imwrite(str(folder / "sky.jpg"), scene(1, 320, 240))
    (folder / "text.tif").write_text("no picture")
    result = dhh("encode", "photos", sample.film)
    assert result.exit_code == 4
    lines = result.stderr.splitlines()
    assert [line.partition(", about")[0] for line in lines[:2]] == [
        "[1/4] photos/both.png: photo, 2 faces",
        "[2/4] photos/sky.jpg: photo, 0 faces",
    ]
    assert lines[2].startswith("[3/4] photos/text.tif: skipped: cannot be read as a photo")
    assert lines[3].startswith("1 video and 3 photos: 2 encoded, 1 unchanged, 1 skipped; 2 face tracks in 2 shots, ")
    assert f"skipped: {Path('photos/text.tif')}: cannot be read as a photo" in result.stderr
    for photo, middle in zip(sample.photos, (768, 256), strict=True):
        rows = rows_of(dhh("query", photo))
        (row,) = [row for row in rows if row["video"].endswith("both.png")]
        assert (row["start"], row["end"], row["face_at"]) == ("", "", "")
        assert (row["start_seconds"], row["start_frame"], row["end_frame"]) == ("0.000000", "0", "1")
        left, _, right, _ = map(int, row["box"].split(","))
        assert abs((left + right) / 2 - middle) < 150
        assert rows.index(row) < 4  # she is in three shots and in this photo
    before = codes.read_bytes()
    again = dhh("encode", "photos", sample.film)
    assert "2 unchanged" not in again.stderr
    assert "1 video and 3 photos: 0 encoded, 3 unchanged, 1 skipped" in again.stderr
    assert codes.read_bytes() == before
    pairs = dict(line.split("\t") for line in dhh("info").stdout.splitlines())
    assert (pairs["photos"], pairs["faces"], pairs["videos"], pairs["skipped"]) == ("2", "2", "1", "1")


def test_photos_in_folders_can_be_left_out(dhh: Run, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    cv2.imwrite(str(tmp_path / "films" / "cover.jpg"), scene(1, 320, 240))
    one_line(dhh("encode", "films", "--no-photos"), 1, "no video found among 1 file;")
    alone = dhh("encode", "films")
    assert alone.exit_code == 0
    assert alone.stderr.splitlines()[1].startswith("1 photo: 1 encoded, 0 unchanged, 0 skipped")


# ------------------------------------------------------------------------------------------ what is said


def test_an_unreadable_folder_is_counted(dhh: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "films" / "closed"
    closed.mkdir(parents=True)
    write_video(tmp_path / "films" / "sky.mp4", [scene(1)] * 5)
    real = Path.iterdir

    def iterdir(path: Path) -> Any:  # the tests may run as root, who may read everything
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    result = dhh("encode", "films")
    assert result.exit_code == 4
    assert "unreadable: films/closed: folder cannot be read, what is in it was left out" in result.stderr
    found = find_videos([Path("films")])
    assert (found.ignored, found.unreadable) == ((), (Path("films/closed"),))
    assert find_files([Path("films")], frozenset((".mp4",)))[1] == (Path("films/closed"),)
    (tmp_path / "films" / "sky.mp4").unlink()
    one_line(dhh("encode", "films"), 1, "1 folders cannot be read")


def test_moved_copied_and_gone_files_word_for_word(encoded: Path, sample: Sample, dhh: Run, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (tmp_path / "codes.h5").write_bytes(encoded.read_bytes())
    (films / "a.mp4").write_bytes(sample.film.read_bytes())
    first = dhh("encode", "films").stderr.splitlines()
    assert first[0] == f"[1/1] films/a.mp4: the codes of {sample.film}, same content"
    assert first[1].startswith("1 video: 0 encoded, 0 unchanged, 1 copied, 0 skipped; ")
    (films / "a.mp4").rename(films / "b.mp4")
    moved = dhh("encode", "films").stderr.splitlines()
    assert moved[0] == f"[1/1] films/b.mp4: moved from {films / 'a.mp4'}"
    assert moved[1].startswith("1 video: 0 encoded, 0 unchanged, 1 moved, 0 skipped; ")
    write_video(films / "c.mp4", [scene(1)] * 5)
    assert dhh("encode", "films").exit_code == 0
    (films / "c.mp4").unlink()
    gone = dhh("encode", "films").stderr.splitlines()
    assert gone[1:3] == [f"gone: {films / 'c.mp4'}", "what is gone is kept in the codes; --prune drops it"]
    dropped = dhh("encode", "films", "--prune").stderr.splitlines()
    assert dropped[1] == f"gone: {films / 'c.mp4'}: dropped"
    assert contents_of(tmp_path / "codes.h5") == {sample.film, films / "b.mp4"}
    bare = dhh("encode", "films", "--no-thumbnails").stderr.splitlines()
    assert bare[0] == "[1/1] films/b.mp4: unchanged, encoded before; pictures removed"
    said = dhh("encode", "films").stderr.splitlines()
    assert said[1] == "1 of the unchanged have no pictures and stay so; --thumbnails encodes them again"


def contents_of(codes: Path) -> set[Path]:
    with open_shard(codes) as shard:
        return {video.path for video in shard.videos}


def test_time_left_counts_only_what_is_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """98 unchanged files that pass at once, then two of 100 s each: after the first, about 100 s are left."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    paths = [tmp_path / f"{i:02d}.mp4" for i in range(100)]
    for path in paths:
        path.write_bytes(b"x" * 1000)
    console = Console(file=io.StringIO(), width=200)
    with EncodeProgress(VideoList(tuple(paths), ()), console) as progress:
        progress.plan(set(paths[98:]))
        for path in paths[:98]:
            clock[0] += 0.5  # looking at it
            progress.done(Unchanged(path))
        clock[0] += 100.0
        progress.done(Encoded(paths[98], 1, 1, 500.0, ()))
    assert isinstance(console.file, io.StringIO)
    last = console.file.getvalue().splitlines()[-1]
    assert last.endswith("5.0x real time, about 2 min left")
    assert "about" not in console.file.getvalue().splitlines()[0]


# ---------------------------------------------------------------------------------------------------- watch


def test_watch_encodes_a_file_when_it_has_stopped_growing(
    fake: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "notes.txt").write_text("ignored")
    film = folder / "a.mp4"
    seen: list[list[str]] = []

    def grow() -> None:
        seen.append(list(fake))
        with film.open("ab") as file:
            file.write(b"more")

    steps = {0: grow, 1: grow, 2: grow, 4: lambda: seen.append(list(fake)), 6: grow, 7: lambda: seen.append(list(fake))}
    lines = watched(folder, monkeypatch, steps, 10)
    assert seen == [[], [], [], ["a.mp4"], ["a.mp4"], ["a.mp4"]]
    assert fake == ["a.mp4", "a.mp4"]  # once whole, once changed
    assert lines[0] == f"watching {folder}; Ctrl-C ends it"
    assert sum(line.startswith("[1/1] ") for line in lines) == 2
    assert not any("notes.txt" in line for line in lines)


def test_watch_follows_a_moved_file_and_reports_a_gone_one_once(
    fake: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.mp4").write_bytes(name.encode() * 100)
    steps: dict[int, Callable[[], object]] = {
        2: lambda: (folder / "a.mp4").rename(folder / "c.mp4"),
        5: (folder / "b.mp4").unlink,
    }
    lines = watched(folder, monkeypatch, steps, 10, prune=True)
    assert fake == ["a.mp4", "b.mp4"]
    assert f"[1/1] {folder / 'c.mp4'}: moved from {folder / 'a.mp4'}" in lines
    assert [line for line in lines if line.startswith("gone")] == [f"gone: {folder / 'b.mp4'}: dropped"]
    assert contents(tmp_path / "codes.h5").keys() == {"c"}


def test_watch_waits_for_a_folder_that_is_away(
    fake: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "share"

    def come() -> None:
        folder.mkdir()
        (folder / "a.mp4").write_bytes(b"film")

    lines = watched(folder, monkeypatch, {0: come}, 3)
    assert lines[1] == f"waiting: {folder}: no such file or folder"
    assert fake == ["a.mp4"]


def test_watch_ends_cleanly_on_interrupt(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    write_video(tmp_path / "films" / "sky.mp4", [scene(1)] * 5)
    words = ["encode", "films", "--watch", "--every", "0.2"]
    command = [sys.executable, "-c", INTERRUPTIBLE, *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        said: list[str] = []
        while not (said and said[-1].startswith("codes.h5: ")):
            said.append(process.stderr.readline())
            assert said[-1], said
        process.send_signal(signal.SIGINT)
        try:
            stdout, rest = process.communicate(timeout=60)
        finally:
            process.kill()  # leaving the block waits for it
    assert process.returncode == 130, rest
    assert (stdout, "Traceback" in rest) == ("", False)
    assert "1 video: 1 encoded" in "".join(said)
    assert contents_of(tmp_path / "codes.h5") == {tmp_path / "films" / "sky.mp4"}
    assert not (tmp_path / "codes.h5.parts").exists()


def test_every_needs_watch(dhh: Run) -> None:
    one_line(dhh("encode", "films", "--every", "3"), 2, "add --watch")
    assert dhh("encode", "films", "--watch", "--every", "0").exit_code == 2


def test_json_of_a_still_has_no_timecode(dhh: Run, sample: Sample, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "p.png"), cv2.imread(str(sample.photos[0])))  # no copy: other bytes
    assert dhh("encode", "p.png").exit_code == 0
    (line,) = dhh("query", sample.photos[0], "--json").stdout.splitlines()
    entry = json.loads(line)
    assert (entry["distance"], entry["start"], entry["video"]) == (0, "", str(tmp_path / "p.png"))
