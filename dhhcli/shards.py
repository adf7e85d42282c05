"""shards: EncodedVideo (tracks (t,), codes (t, B)) -> `codes.h5` and its parts -> Shard, codes (n, B).

`codes.h5` is what the user names; while videos are being encoded, the folder `codes.h5.parts` lies beside it:

    commit    one finished video  ->  codes.h5.parts/<hash of its path>.h5       (atomic)
    compact   codes.h5 + parts    ->  codes.h5, then the parts are removed       (atomic, then one by one)
    open      codes.h5 + parts    ->  one Shard, rows sorted by video path

No file is ever changed in place, and two rules make every moment safe to be killed in: **a part wins over the
same path in codes.h5** (it is as new, or newer), and **parts go only after the file that holds them is in
place**. A Shard over parts equals the Shard after merging them, row for row and hash for hash.

Writing functions are called with `lock(codes_path)` held. Readers need no lock.
"""

import fcntl
import hashlib
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from .errors import MissingPathError, ShardError
from .files import sync_folder
from .pieces import Shard, check_model, merged, other_model
from .records import EncodedVideo, VideoRecord, content_fingerprint, intact, path_bytes, to_tables
from .shardfile import ShardFile, read_file, write_file
from .tables import SHOT_DTYPE, TRACK_DTYPE, ModelTag, Tables, content_hash, cut

__all__ = [
    "SHOT_DTYPE",
    "TRACK_DTYPE",
    "EncodedVideo",
    "ModelTag",
    "Shard",
    "VideoRecord",
    "check_model",
    "commit",
    "compact",
    "content_fingerprint",
    "lock",
    "open_shard",
    "remove_videos",
]

MAX_PARTS: Final = 128  # opening a part costs about a millisecond; more are merged by `commit`


def open_shard(codes_path: Path) -> Shard:
    """Open `codes_path` and the parts waiting beside it.

    Raises MissingPathError when there is neither, ShardError when a file is damaged, foreign, of another
    version or model.
    """
    home = codes_path.resolve()
    # Parts first: if they are merged while we look, the file that we open next holds them already.
    parts = _read_parts(home)
    try:
        main = read_file(home)
    except MissingPathError:
        if not parts:
            raise
        main = None
    files = [*parts, *([main] if main else [])]
    for file in files:
        _check_tag(file, files[-1].tag)
    pieces = merged(main, parts)
    codes = pieces[0].codes if len(pieces) == 1 else np.concatenate([piece.codes for piece in pieces])
    tag = files[-1].tag
    return Shard(tag, content_hash(tag, pieces), files[-1].dhh_version, codes, pieces)


def commit(codes_path: Path, tag: ModelTag, encoded: EncodedVideo) -> None:
    """Add one finished video for good, or replace what was committed for its path before.

    Written whole or not at all; other videos are not touched. Every `MAX_PARTS` commits the parts are merged.
    Raises ShardError when the codes there are another model's or the disk is full, ValueError when `encoded`
    does not fit together.
    """
    home = codes_path.resolve()
    folder = _parts_folder(home)
    unit = to_tables(tag, encoded)
    waiting = _part_paths(folder)
    for there in [home] if home.exists() else waiting[:1]:
        _check_tag(read_file(there), tag)
    try:
        folder.mkdir(exist_ok=True)
        sync_folder(home.parent)
    except OSError as error:
        raise ShardError(f"{folder}: cannot be made ({error}); name another place for the codes") from error
    write_file(_part_path(folder, path_bytes(unit, 0)), tag, [unit])
    if len(waiting) + 1 >= MAX_PARTS:
        compact(home, tag)


def compact(codes_path: Path, tag: ModelTag) -> None:
    """Merge the parts into `codes_path`; make it, empty, where there is nothing yet. Safe to kill anywhere.

    Raises ShardError when a part is damaged or another model's; then nothing is changed.
    """
    home = codes_path.resolve()
    folder = _parts_folder(home)
    parts = _read_parts(home)
    main = read_file(home) if home.exists() else None
    for file in [*parts, *([main] if main else [])]:
        _check_tag(file, tag)
    for part in parts:
        if not intact(part.tables, 0):
            raise ShardError(f"{part.path}: damaged part; delete it and run `dhh encode` on its video again")
    if parts or main is None:
        write_file(home, tag, merged(main, parts))
    if folder.exists():
        for part in parts:
            part.path.unlink(missing_ok=True)
        _remove_unfinished(home)
        if not any(folder.iterdir()):
            folder.rmdir()
        sync_folder(home.parent)


def remove_videos(codes_path: Path, paths: Collection[Path]) -> int:
    """Rewrite the shard without the videos at `paths` (absolute); how many there were.

    Killed half way, a video is still there whole or gone; run again to finish. An index of the old codes is
    the caller's to remove. Raises MissingPathError, ShardError as `open_shard`.
    """
    home = codes_path.resolve()
    unwanted = {os.fsencode(path) for path in paths}
    parts = [part for part in _read_parts(home) if path_bytes(part.tables, 0) in unwanted]
    removed = {path_bytes(part.tables, 0) for part in parts}
    if home.exists() or not _part_paths(_parts_folder(home)):
        main = read_file(home)
        kept: list[Tables] = []
        first = 0
        for row in range(len(main.tables.videos) + 1):
            at_end = row == len(main.tables.videos)
            if at_end or path_bytes(main.tables, row) in unwanted:
                kept.append(cut(main.tables, first, row))
                first = row + 1
                removed |= set() if at_end else {path_bytes(main.tables, row)}
        if len(kept) > 1:
            write_file(home, main.tag, kept)  # before the parts: an older version must not come back
    for part in parts:
        part.path.unlink()
        sync_folder(part.path.parent)
    _remove_unfinished(home)
    return len(removed)


@contextmanager
def lock(codes_path: Path) -> Iterator[None]:
    """Hold the right to write under `codes_path`; given back by the system even if the process is killed.

    Raises ShardError when another process holds it. The empty file `<codes_path>.lock` stays.
    """
    home = codes_path.resolve()
    try:
        file = home.with_name(home.name + ".lock").open("ab")
    except OSError as error:
        raise ShardError(f"{codes_path}: cannot be written there ({error}); name another place") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ShardError(f"{codes_path}: another dhh is writing it; wait until it has finished") from error
        except OSError as error:
            raise ShardError(f"{codes_path}: cannot be locked ({error}); choose a local disk") from error
        yield


# ---------------------------------------------------------------------------------------- files and pieces


def _parts_folder(home: Path) -> Path:
    return home.with_name(home.name + ".parts")


def _part_path(folder: Path, path: bytes) -> Path:
    return folder / f"{hashlib.sha256(path).hexdigest()[:32]}.h5"


def _part_paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.h5"))


def _remove_unfinished(home: Path) -> None:
    """Remove what a killed writer left: of no use, and it may hold what is to be removed."""
    for path in (home.with_name(home.name + ".tmp"), *_parts_folder(home).glob("*.tmp")):
        path.unlink(missing_ok=True)


def _read_parts(home: Path) -> list[ShardFile]:
    for _ in range(10):
        try:
            parts = [read_file(path) for path in _part_paths(_parts_folder(home))]
        except MissingPathError:  # merged between listing and opening
            continue
        for part in parts:
            if len(part.tables.videos) != 1:
                raise ShardError(f"{part.path}: a part holds one video; move this file elsewhere")
        return parts
    raise ShardError(f"{home}: its parts change all the time; try again when encoding has finished")


def _check_tag(file: ShardFile, tag: ModelTag) -> None:
    if file.tag != tag:
        raise ShardError(other_model(str(file.path), file.tag, tag))
