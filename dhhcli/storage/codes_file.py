"""codes_file: EncodedVideo (tracks (t,), codes (t, B)) -> `codes.h5` and its parts -> Shard, codes (n, B).

`codes.h5` is what the user names; while videos are being encoded, the folder `codes.h5.parts` lies beside it:

    commit    one finished video  ->  codes.h5.parts/<hash of its path>.h5             (atomic)
    fold      64 such parts       ->  codes.h5.parts/pack-<number>.h5, or codes.h5     (atomic, then they are removed)
    finish    at the end of a run: everything -> codes.h5, unless that is far larger than what is new
    open      codes.h5 + parts    ->  one Shard, rows sorted by video path

No file is ever changed in place (HDF5 cannot do that safely: a writer killed while it appends loses the rows that were
there before). Two rules make every moment safe to be killed in: **the newer file wins** where several hold the same
path (a part over a pack, a pack over those of lower numbers, everything over codes.h5), and **files go only after the
one that holds their videos is in place**. A Shard over parts equals the Shard after merging them, row for row and hash
for hash.

`fold` takes the next older file along as long as that is no larger than what is taken already, so a video is copied
once each time the archive doubles: writing n videos moves O(n log n) bytes, and about 64 + log2 n files are open at
most. Merging into codes.h5 each time, as this did before, moved O(n^2).

Writing functions are called with `lock(codes_path)` held. Readers need no lock.
"""

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.atomic_write import sync_folder
from dhhcli.errors import MissingPathError, PassingError, ShardError
from dhhcli.models.model_tag import ModelTag
from dhhcli.storage.hdf5_file import FULL, ShardFile, read_file, write_file
from dhhcli.storage.record import EncodedVideo, VideoRecord, content_fingerprint, intact, path_bytes, to_tables
from dhhcli.storage.schema import NO_TOMBSTONES, SHOT_DTYPE, TRACK_DTYPE, Tables, content_hash, view
from dhhcli.storage.shard import Shard, check_model, merged, other_model
from dhhcli.storage.values import check_padding

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
    "finish",
    "lock",
    "open_shard",
    "parts_of",
    "remove_unfinished",
    "remove_videos",
    "replace_all",
]
UNFINISHED: Final = (
    ".tmp",
    *(
        f".{what}.*.tmp"
        for what in ("faiss", "faiss.json", "names", "people", "skipped", "forgetting", "merging", "begun-*")
    ),
)
MAX_PARTS: Final = 64  # opening a part costs about a millisecond; so many are folded by `commit`
SMALL: Final = 1 << 28  # bytes: a codes file up to this size is written anew at the end of every run, in about a second


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
    pieces = merged(files)
    for piece in pieces:
        check_padding(
            [piece.codes, *([] if piece.frame_codes is None else [piece.frame_codes])],
            files[-1].tag.bits,
            str(codes_path),
        )
    tag, tombstones = files[-1].tag, main.tombstones if main else NO_TOMBSTONES
    content = content_hash(tag, pieces, tombstones)
    return Shard(tag, content, files[-1].dhh_version, pieces, tombstones, files[-1].version, str(codes_path))


def parts_of(codes_path: Path) -> list[Path]:
    """The files that wait beside `codes_path` and belong to it."""
    return _part_paths(_parts_folder(codes_path.resolve()))


def commit(codes_path: Path, tag: ModelTag, encoded: EncodedVideo) -> None:
    """Add one finished video for good, or replace what was committed for its path before.

    Written whole or not at all; other videos are not touched. Every `MAX_PARTS` commits the parts are folded.
    Raises ShardError when the codes there are another model's or the disk is full, ValueError when `encoded`
    does not fit together.
    """
    home = codes_path.resolve()
    folder = _parts_folder(home)
    unit = to_tables(tag, encoded)
    waiting = _part_paths(folder)
    for there in waiting[:1] or ([home] if home.exists() else []):  # a part opens in a time that does not grow
        _check_tag(read_file(there), tag)
    try:
        folder.mkdir(exist_ok=True)
        sync_folder(home.parent)
    except OSError as error:
        kind = PassingError if error.errno in FULL else ShardError
        raise kind(f"{folder}: cannot be made ({error.strerror}); name another place for the codes") from error
    write_file(_part_path(folder, path_bytes(unit, 0)), tag, [unit])
    if sum(not _is_pack(path) for path in _part_paths(folder)) >= MAX_PARTS:
        _fold(home, tag)


def finish(codes_path: Path, tag: ModelTag) -> None:
    """End a run: one file, unless it is larger than SMALL and than all parts together; then these stay beside it.

    Does nothing where nothing was committed. Raises ShardError as `compact`.
    """
    home = codes_path.resolve()
    size = home.stat().st_size if home.exists() else 0
    waiting = _part_paths(_parts_folder(home))
    if size <= max(SMALL, sum(path.stat().st_size for path in waiting)):
        if waiting:
            compact(home, tag)
        else:
            _tidy(home, [])


def compact(codes_path: Path, tag: ModelTag) -> None:
    """Merge all parts into `codes_path`; make it, empty, where there is nothing yet. Safe to kill anywhere.

    Raises ShardError when a part is damaged or another model's; then nothing is changed.
    """
    home = codes_path.resolve()
    parts = _read_parts(home)
    main = read_file(home) if home.exists() else None
    files = [*parts, *([main] if main else [])]
    _check_parts(files, parts, tag)
    if parts or main is None:
        write_file(home, tag, merged(files), main.tombstones if main else NO_TOMBSTONES)
    _tidy(home, parts)


def _fold(home: Path, tag: ModelTag) -> None:
    """Merge the parts, and packs while they are not larger than what is taken already; see the module docstring."""
    parts = _read_parts(home)
    taken = [part for part in parts if not _is_pack(part.path)]
    packs = [part for part in parts if _is_pack(part.path)]
    size = sum(part.size for part in taken)
    while len(taken) < len(parts) and packs[0].size <= size:
        taken.append(packs.pop(0))
        size += taken[-1].size
    if not packs and (not home.exists() or home.stat().st_size <= size):
        compact(home, tag)
        return
    _check_parts(taken, taken, tag)
    last = max(
        (int(path.stem.removeprefix(PACK)) for path in _part_paths(_parts_folder(home)) if _is_pack(path)), default=0
    )
    write_file(_parts_folder(home) / f"{PACK}{last + 1:010d}.h5", tag, merged(taken))
    _tidy(home, taken)


def _check_parts(files: Sequence[ShardFile], parts: Sequence[ShardFile], tag: ModelTag) -> None:
    """Before files are merged and removed: all of one model, and every byte of the parts as it was written."""
    for file in files:
        _check_tag(file, tag)
    for part in parts:
        if not all(intact(part.tables, row) for row in range(len(part.tables.videos))):
            raise ShardError(f"{part.path}: damaged part; delete it and run `dhh encode` on its video again")


def _tidy(home: Path, merged_parts: Sequence[ShardFile]) -> None:
    """Remove parts that are held elsewhere by now, oldest first, and what killed writers left."""
    folder = _parts_folder(home)
    for part in reversed(merged_parts):
        part.path.unlink(missing_ok=True)
    remove_unfinished(home)
    if folder.exists():
        if not folder.is_symlink() and not any(folder.iterdir()):  # who put it on another disk keeps it there
            folder.rmdir()
        sync_folder(home.parent)


def replace_all(codes_path: Path, tag: ModelTag, pieces: Sequence[Tables], tombstones: NDArray[np.void]) -> None:
    """Put `pieces`, by rising path, and `tombstones` in the place of everything that is in `codes_path`.

    There are no parts (`compact` first). Raises ShardError when it cannot be written.
    """
    home = codes_path.resolve()
    if _part_paths(_parts_folder(home)):
        raise ValueError(f"{codes_path}: has parts, which would win over what is written now")
    remove_unfinished(home)
    write_file(home, tag, pieces, tombstones)


def remove_videos(codes_path: Path, paths: Collection[Path]) -> int:
    """Rewrite the shard without the videos at `paths` (absolute); how many there were.

    Killed half way, a video is still there whole or gone; run again to finish. An index of the old codes is
    the caller's to remove. Raises MissingPathError, ShardError as `open_shard`.
    """
    home = codes_path.resolve()
    unwanted = {os.fsencode(path) for path in paths}
    removed: set[bytes] = set()
    files = _read_parts(home)
    if home.exists() or not files:
        files.append(read_file(home))
    for file in reversed(files):  # oldest first: an older version must not come back
        kept: list[Tables] = []
        gone: set[bytes] = set()
        first, count = 0, len(file.tables.videos)
        for row in range(count):
            path = path_bytes(file.tables, row)
            if path in unwanted:
                gone.add(path)
                kept.append(view(file.tables, first, row))
                first = row + 1
        if len(gone) == count and file.path != home:
            file.path.unlink()
            sync_folder(file.path.parent)
        elif gone:
            write_file(file.path, file.tag, [*kept, view(file.tables, first, count)], file.tombstones)
        removed |= gone
    remove_unfinished(home)
    return len(removed)


@contextmanager
def lock(codes_path: Path) -> Iterator[None]:
    """Hold the right to write under `codes_path`; given back by the system even if the process is killed.

    Raises ShardError when another process holds it. The empty file `<codes_path>.lock` stays.
    """
    import portalocker  # here: a query locks nothing and does not wait for it

    home = codes_path.resolve()
    try:
        file = home.with_name(home.name + ".lock").open("ab")
    except FileNotFoundError as error:
        raise ShardError(f"{codes_path}: there is no folder {home.parent}; make it, or name another place") from error
    except OSError as error:
        raise ShardError(f"{codes_path}: cannot be written there ({error.strerror}); name another place") from error
    with file:
        try:
            portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        except portalocker.AlreadyLocked as error:
            raise PassingError(f"{codes_path}: another dhh is writing it; wait until it has finished") from error
        except (portalocker.LockException, OSError) as error:
            cause = error.args[0] if error.args and isinstance(error.args[0], OSError) else error
            reason = getattr(cause, "strerror", None) or cause
            raise ShardError(f"{codes_path}: cannot be locked ({reason}); choose a local disk") from error
        yield


# ---------------------------------------------------------------------------------------- files and pieces


def _parts_folder(home: Path) -> Path:
    return home.with_name(home.name + ".parts")


PACK: Final = "pack-"


def _is_pack(path: Path) -> bool:
    return path.name.startswith(PACK)


def _part_path(folder: Path, path: bytes) -> Path:
    return folder / f"{hashlib.sha256(path).hexdigest()[:32]}.h5"


def _part_paths(folder: Path) -> list[Path]:
    """Newest first: parts of one video (which hold different paths), then packs by falling number."""
    try:
        paths = sorted(folder.glob("*.h5"))
    except FileNotFoundError:  # it was there when glob looked, and had been merged when it read it
        return []
    return [p for p in paths if not _is_pack(p)] + [p for p in reversed(paths) if _is_pack(p)]


def remove_unfinished(codes_path: Path) -> None:
    """Remove what killed writers left of codes, index and names: of no use, and it may hold what is to be removed.

    The lock is held, so nobody writes them now.
    """
    home = codes_path.resolve()
    for hidden in ("", "."):  # earlier versions hid them
        for what in UNFINISHED:
            for path in home.parent.glob(f"{hidden}{escape(home.name)}{what}"):
                path.unlink(missing_ok=True)
    for path in _parts_folder(home).glob("*.tmp"):
        path.unlink(missing_ok=True)
    if home.exists():  # of a merge that was killed when it was done
        home.with_name(f"{home.name}.merging").unlink(missing_ok=True)


def _read_parts(home: Path) -> list[ShardFile]:
    """All parts, newest first, as they were at one moment."""
    for _ in range(10):
        paths = _part_paths(_parts_folder(home))
        try:
            parts = [read_file(path) for path in paths]
        except MissingPathError:  # merged between listing and opening
            continue
        if _part_paths(_parts_folder(home)) != paths:  # a listing may miss what is renamed into the folder meanwhile
            continue
        for part in parts:
            if len(part.tables.videos) != 1 and not _is_pack(part.path):
                raise ShardError(f"{part.path}: a part holds one video; move this file elsewhere")
        return parts
    raise ShardError(f"{home}: its parts change all the time; try again when encoding has finished")


def _check_tag(file: ShardFile, tag: ModelTag) -> None:
    if file.tag != tag:
        raise ShardError(other_model(str(file.path), file.tag, tag))
