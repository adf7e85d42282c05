"""A watch waits for what passes, --prune loses no archive to a share that is away, no file ends the others'."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from footage import contents, encoded_video
from rich.console import Console
from synthetic import scene
from typer.testing import Result
from watching import NETWORK, watched

from dhhcli.cli.encode_loop import encode_loop
from dhhcli.encoding.run import encode
from dhhcli.storage.codes_file import lock, open_shard

Run = Callable[..., Result]


def films(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:02d}.mp4" for number in range(count)]
    for path in paths:
        path.write_bytes(str(path).encode() * 50)
    return paths


def once(folder: Path, **how: Any) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=500)
    code = encode_loop([folder], folder.parent / "codes.h5", NETWORK, console, **how)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


def known(tmp_path: Path) -> int:
    with open_shard(tmp_path / "codes.h5") as shard:
        return len(shard.videos)


# ---------------------------------------------------------------------------------------------------- watch


def test_watch_waits_for_another_writer(fake: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films(tmp_path / "films", 2)
    held = lock(tmp_path / "codes.h5")
    steps = {0: held.__enter__, 4: lambda: held.__exit__(None, None, None)}
    lines = watched(tmp_path / "films", monkeypatch, steps, 8)
    assert fake == ["00.mp4", "01.mp4"]
    said = [line for line in lines if line.startswith("waiting: ")]
    assert said == [f"waiting: {tmp_path / 'codes.h5'}: another dhh is writing it; wait until it has finished"]
    assert known(tmp_path) == 2


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("where", ["fsync", "mkdir", "skipped"])
def test_watch_waits_for_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    films(tmp_path / "films", 2)
    full = [False]
    real: dict[str, Any] = {name: getattr(os, name) for name in ("fsync", "mkdir", "replace")}

    def stub(name: str) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            if full[0] and (name != "replace" or str(args[1]).endswith(".h5")):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real[name](*args, **more)

        return call

    name = {"fsync": "fsync", "mkdir": "mkdir", "skipped": "replace"}[where]
    monkeypatch.setattr(os, name, stub(name))
    steps = {0: lambda: full.__setitem__(0, True), 4: lambda: full.__setitem__(0, False)}
    lines = watched(tmp_path / "films", monkeypatch, steps, 8)
    assert known(tmp_path) == 2
    said = [line for line in lines if line.startswith("waiting: ")]
    assert 1 <= len(said) <= 2
    assert all("No space left on device" in line for line in said)


# ---------------------------------------------------------------------------------------------------- prune


@pytest.mark.usefixtures("fake")
def test_an_empty_folder_is_a_share_that_is_away(tmp_path: Path) -> None:
    share, here = tmp_path / "share", tmp_path / "here"
    films(share, 12)
    films(here, 3)
    once(share)
    console = Console(file=io.StringIO(), width=500)
    for path in share.iterdir():
        path.unlink()
    code = encode_loop([share, here], tmp_path / "codes.h5", NETWORK, console, prune=True)
    assert isinstance(console.file, io.StringIO)
    assert "nothing dropped: its folder is empty or not there" in console.file.getvalue()
    assert (code, known(tmp_path)) == (4, 15)
    share.rmdir()
    found = encode(
        sorted(here.iterdir()), tmp_path / "codes.h5", NETWORK, prune=True, roots=[share, here]
    )  # as a watch has it
    assert [event.dropped for event in found if hasattr(event, "dropped")] == [False] * 12
    found = encode(sorted(here.iterdir()), tmp_path / "codes.h5", NETWORK, prune="all", roots=[share, here])
    assert sum(getattr(event, "dropped", False) for event in found) == 12
    assert known(tmp_path) == 3


@pytest.mark.usefixtures("fake")
def test_a_share_that_is_mounted_below_the_folder_may_be_away(tmp_path: Path) -> None:
    films(tmp_path / "films", 19)
    (one,) = films(tmp_path / "films" / "share" / "day1", 1)
    once(tmp_path / "films")
    one.unlink()
    one.parent.rmdir()  # the mount point stays
    _, said = once(tmp_path / "films", prune=True)
    assert "nothing dropped: its folder is empty or not there" in said
    assert known(tmp_path) == 20
    one.parent.parent.rmdir()  # whoever removes the folder too means it
    once(tmp_path / "films", prune=True)
    assert known(tmp_path) == 19


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(("gone", "dropped"), [(1, 1), (2, 2), (3, 0), (19, 0)])
def test_more_than_a_tenth_at_once_is_asked_for(tmp_path: Path, gone: int, dropped: int) -> None:
    paths = films(tmp_path / "films", 20)
    once(tmp_path / "films")
    for path in paths[:gone]:
        path.unlink()
    _, said = once(tmp_path / "films", prune=True)
    assert known(tmp_path) == 20 - dropped
    assert (f"{gone} of 20 files are gone at once, more than a tenth; --prune=all drops them" in said) == (not dropped)
    once(tmp_path / "films", prune="all")
    assert known(tmp_path) == 20 - gone


@pytest.mark.usefixtures("fake")
def test_watch_drops_nothing_where_another_disk_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "films"
    paths = films(folder, 3)
    other = [0]
    real = Path.stat

    def stat(path: Path, **more: Any) -> os.stat_result:
        found = real(path, **more)
        if path == folder and other[0]:
            return os.stat_result((*found[:2], found.st_dev + other[0], *found[3:10]))
        return found

    monkeypatch.setattr(Path, "stat", stat)

    def swap() -> None:
        other[0] = 1
        paths[0].unlink()

    watched(folder, monkeypatch, {3: swap}, 7, prune=True)
    assert known(tmp_path) == 3


def test_prune_all_on_the_command_line(dhh: Run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), scene(number, 64, 64))
    assert dhh("encode", "photos").exit_code == 0
    for number in range(2):
        (folder / f"{number}.png").unlink()
    asks = dhh("encode", "--prune", "photos")
    assert asks.exit_code == 4
    assert "--prune=all drops them" in asks.stderr
    assert known(tmp_path) == 3
    assert dhh("encode", "--prune=some", "photos").exit_code == 2
    assert dhh("encode", "--prune=all", "photos").exit_code == 0
    assert known(tmp_path) == 1


# ----------------------------------------------------------------------------------------------- one bad file


@pytest.mark.parametrize(
    "error", [SyntaxError("broken PNG\nfile"), ZeroDivisionError(), MemoryError(), RecursionError(), KeyError("x")]
)
def test_whatever_a_reader_raises_is_that_files_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    folder = tmp_path / "films"
    films(folder, 3)

    def encode_video(path: Path, *_: object, fingerprint: str, **_rest: object) -> Any:
        if path.stem == "01":
            raise error
        return encoded_video(np.random.default_rng(0), path.resolve(), fingerprint=fingerprint)

    monkeypatch.setattr("dhhcli.encoding.video.encode_video", encode_video)
    code, said = once(folder, workers=1)
    assert code == 4
    (line,) = [line for line in said.splitlines() if line.startswith("[2/3]")]
    assert f"01.mp4: skipped: cannot be read ({type(error).__name__}" in line
    assert contents(tmp_path / "codes.h5").keys() == {"00", "02"}


def test_damaged_photos_do_not_end_the_run(dhh: Run, tmp_path: Path) -> None:
    """A PNG and a BLP inside of which everything is wrong, among good ones."""
    cv2.imwrite(str(tmp_path / "a.png"), scene(1, 64, 64))
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = b"\0\0\0\0\xff\xff\xff\xff"
    (tmp_path / "b.png").write_bytes(data)
    (tmp_path / "c.jpg").write_bytes(b"BLP2" + b"\1\0\0\0" + b"\xff" * 200)
    (tmp_path / "d.jpg").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\1IHDR")
    cv2.imwrite(str(tmp_path / "e.png"), scene(2, 64, 64))
    result = dhh("encode", ".", "-j", "1")
    assert result.exit_code == 4
    assert contents(tmp_path / "codes.h5").keys() == {"a", "e"}
    assert "3 skipped" in result.stderr
