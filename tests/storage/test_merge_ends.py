"""A merge that fails anywhere leaves nothing that stands in the way of the next, and no codes without their names."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import TAG, encoded_video, make
from killed import Killed, dies_at
from whos_who import named

from dhhcli.errors import ShardError
from dhhcli.people.naming import give_name
from dhhcli.storage.codes_file import commit, open_shard
from dhhcli.storage.merge import merge
from dhhcli.storage.who.journal import people_path


@pytest.fixture
def two(rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two codes files with names."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    a, b = tmp_path / "a.h5", tmp_path / "b.h5"
    make(rng, a, "ab")
    other = encoded_video(rng, "/footage/c.mov", fingerprint="11" * 32)
    commit(b, TAG, replace(other, video=replace(other.video, path=Path("/footage/c.mov"))))
    give_name(a, None, "Ada", tracks=[1, 7])
    give_name(b, None, "Ben", tracks=[2])
    return [a, b]


def whole(out: Path) -> None:
    with open_shard(out) as shard:
        assert len(shard) == 15
        assert named(out) == {"Ada": [1, 7], "Ben": [12]}


@pytest.mark.parametrize("at", range(6))
def test_killed_anywhere_the_next_merge_goes_through(two: list[Path], tmp_path: Path, at: int) -> None:
    out = tmp_path / "out" / "all.h5"
    out.parent.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        dies_at(patch, at)
        try:
            merge(two, out)
        except Killed:
            pass
        else:
            assert at >= 2
    if out.exists():  # killed after the last step
        whole(out)
        return
    merge(two, out)
    whole(out)
    assert {file.name for file in out.parent.iterdir()} == {"all.h5", "all.h5.lock", "all.h5.people"}


@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("name", ["replace", "fsync"])
def test_a_full_disk_leaves_nothing(two: list[Path], tmp_path: Path, name: str, at: int) -> None:
    out = tmp_path / "out" / "all.h5"
    out.parent.mkdir()
    calls = iter(range(100))
    real: Callable[..., Any] = getattr(os, name)

    def full(*args: Any, **more: Any) -> Any:
        if next(calls) == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, name, full)
        try:
            merge(two, out)
        except (ShardError, OSError):
            assert {file.name for file in out.parent.iterdir()} == {"all.h5.lock"}
            merge(two, out)
    whole(out)


def test_names_of_somebody_else_are_left_alone(two: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "all.h5"
    people_path(out).write_bytes(people_path(two[0]).read_bytes())
    with pytest.raises(ShardError, match=r"people: is there already"):
        merge(two, out)
    assert people_path(out).read_bytes() == people_path(two[0]).read_bytes()
    assert not out.exists()
    people_path(out).unlink()
    out.symlink_to(tmp_path / "elsewhere.h5")
    with pytest.raises(ShardError, match="is there already"):
        merge(two, out)
