"""sync: files (p,) + what a codes file knows -> which to encode, leave, relink, and which are gone.

A file is known by its path and its content (records.content_fingerprint). What is decided here, file by file:

=====================================  ==========================================================================
known path, same content               left as it is
new path, content known elsewhere      the codes are copied; where the other path is gone, that one is dropped: moved
known path or new, unknown content     to be encoded
content that was forgotten             never encoded again
known path, nothing there any more     reported, dropped when asked for
=====================================  ==========================================================================

Copying goes first, with the codes file opened once: only files whose size is that of a known one can be copies of it,
so an archive of new files is not read twice. Every fingerprint is computed once a run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dhhcli.encoding.events import Forgotten, Gone, Relinked, Skipped, Unchanged
from dhhcli.errors import MissingPathError
from dhhcli.models.model_tag import ModelTag
from dhhcli.storage.codes_file import check_model, commit, compact, open_shard, parts_of, remove_videos
from dhhcli.storage.record import EncodedVideo, VideoRecord, content_fingerprint, recorded_path
from dhhcli.storage.schema import NO_TOMBSTONES
from dhhcli.storage.skipped import is_gone
from dhhcli.storage.tombstones import forgotten

Prune = bool | Literal["all"]  # whether to drop the codes of files that are gone; "all": however many these are


@dataclass(frozen=True)
class Known:
    """A video that the codes file holds."""

    record: VideoRecord
    tracks: int
    pictures: bool  # whether any of its tracks has one


@dataclass(eq=False)
class SyncPlan:
    """What is known before the first file is encoded, and what was done about it."""

    known: dict[Path, Known]  # by recorded path
    tombstones: NDArray[np.void]
    thumbnails: bool | None  # None: new ones get some, known ones stay as they are
    fingerprints: dict[Path, str] = field(default_factory=dict)  # of files that were looked into already
    relinked: dict[Path, Relinked] = field(default_factory=dict)
    stripped: set[Path] = field(default_factory=set)
    leftovers: dict[Path, Path] = field(default_factory=dict)  # gone path -> the path that has its content now


def make_plan(paths: Sequence[Path], codes_path: Path, tag: ModelTag, thumbnails: bool | None) -> SyncPlan:
    """Read what is known, relink what has moved, and take the pictures off where they are not wanted any more.

    The lock is held. Everything that this does is committed file by file; killed anywhere, the next run goes on.

    Raises:
        ShardError: the codes file is damaged or another model's, or the disk is full.
    """
    try:
        shard = open_shard(codes_path)
    except MissingPathError:
        return SyncPlan({}, NO_TOMBSTONES, thumbnails)
    with shard:
        check_model(shard, tag)
        rows = {video.path: row for row, video in enumerate(shard.videos)}
        plan = SyncPlan(_known(shard.videos, shard.pictures()), shard.tombstones, thumbnails)
        by_content: dict[str, list[Path]] = {}
        for path, known in plan.known.items():
            by_content.setdefault(known.record.fingerprint, []).append(path)
        copies: dict[Path, EncodedVideo] = {}
        for path, before in _copied(paths, plan, by_content):
            recorded = recorded_path(path)
            old, stat = shard.encoded_video(rows[before]), path.stat()
            record = replace(old.video, path=recorded, size=stat.st_size, mtime_ns=stat.st_mtime_ns)
            copies[recorded] = replace(old, video=record)
            plan.relinked[recorded] = Relinked(path, before, is_gone(before), record.warnings)
        if thumbnails is False:
            for path in {recorded_path(path) for path in paths} - set(copies):
                if path in plan.known and plan.known[path].pictures:
                    copies[path] = shard.encoded_video(rows[path])
                    plan.stripped.add(path)
        for copy in copies.values():
            unpictured = replace(copy, thumbnails=(b"",) * len(copy.tracks)) if thumbnails is False else copy
            commit(codes_path, tag, unpictured)  # what was forgotten of it is gone from there already
    moved = {event.before for event in plan.relinked.values() if event.moved} - set(plan.relinked)
    # What a run that was killed here had moved already: the content is known elsewhere, and there.
    for same in by_content.values():
        there = [path for path in same if path not in moved and not is_gone(path)] if len(same) > 1 else []
        plan.leftovers |= {path: there[0] for path in same if there and path not in moved and is_gone(path)}
    if moved or plan.leftovers:
        drop(codes_path, [*moved, *plan.leftovers])
        for path in (*moved, *plan.leftovers):
            del plan.known[path]
    return plan


def _known(videos: Sequence[VideoRecord], pictures: Sequence[tuple[int, bool]]) -> dict[Path, Known]:
    return {video.path: Known(video, *counts) for video, counts in zip(videos, pictures, strict=True)}


def _copied(paths: Sequence[Path], plan: SyncPlan, by_content: Mapping[str, list[Path]]) -> Iterator[tuple[Path, Path]]:
    """Files whose content is known under another path only, and that path; one that is gone where there is one."""
    sizes = {known.record.size for known in plan.known.values()}
    for path in paths:
        recorded = recorded_path(path)
        try:
            stat = path.stat()
            before = plan.known.get(recorded)
            same = before is not None and (before.record.size, before.record.mtime_ns) == (
                stat.st_size,
                stat.st_mtime_ns,
            )
            if same or stat.st_size not in sizes or not path.is_file():
                continue
            plan.fingerprints[path] = fingerprint = content_fingerprint(path)
        except OSError:  # said when it is this file's turn
            continue
        sources = by_content.get(fingerprint, [])
        if (
            sources
            and recorded not in sources
            and not forgotten(fingerprint, plan.tombstones)
            and not (plan.thumbnails and _lacks(plan.known[sources[0]]))
        ):
            yield path, min(sources, key=lambda source: (not is_gone(source), source))


def _lacks(known: Known) -> bool:
    return known.tracks > 0 and not known.pictures


def waiting(plan: SyncPlan, paths: Sequence[Path]) -> set[Path]:
    """The files that will probably be encoded: for an estimate of the time left, without looking into them."""
    left = set()
    for path in paths:
        recorded = recorded_path(path)
        known = plan.known.get(recorded)
        try:
            stat = path.stat()
        except OSError:
            continue
        same = known is not None and (known.record.size, known.record.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
        if recorded not in plan.relinked and (not same or (plan.thumbnails and known and _lacks(known))):
            left.add(path)
    return left


def decide(plan: SyncPlan, path: Path) -> str | Unchanged | Relinked | Forgotten | Skipped:
    """The fingerprint of a file that is to be encoded now, or what else there is to say of it."""
    if not path.is_file():  # reading a pipe or a device may never end
        return Skipped(path, "not a regular file")
    recorded = recorded_path(path)
    if recorded in plan.relinked:
        return plan.relinked[recorded]
    try:
        fingerprint = plan.fingerprints.pop(path, None) or content_fingerprint(path)
    except OSError as error:
        return Skipped(path, error.strerror or str(error))
    if forgotten(fingerprint, plan.tombstones):
        return Forgotten(path)
    known = plan.known.get(recorded)
    if known is None or known.record.fingerprint != fingerprint:
        return fingerprint
    if _lacks(known):
        if plan.thumbnails:
            return fingerprint
        note = "" if plan.thumbnails is False else "without pictures"
        return Unchanged(path, known.record.warnings, note)
    return Unchanged(path, known.record.warnings, "pictures removed" if recorded in plan.stripped else "")


def gone_files(plan: SyncPlan, codes_path: Path, roots: Sequence[Path], *, prune: Prune) -> Iterator[Gone]:
    """Known videos under the named folders and files at whose paths there is nothing any more; last thing of a run.

    A folder that is empty, or a named one that is not there, is a disk or a share that is away: nothing of it is
    dropped. Nor are more files at once than one and than a tenth of those that are known, unless ``prune`` is "all".
    """
    for path, there in sorted(plan.leftovers.items()):
        yield Gone(path, dropped=True, now=there)
    real = [recorded_path(root) for root in roots]
    under = [path for path in sorted(plan.known) if any(path.is_relative_to(root) for root in real)]
    absent = [root for root in real if is_away(root)]
    gone = [path for path in under if is_gone(path)]
    away = [path for path in gone if any(path.is_relative_to(root) for root in absent) or _in_empty_folder(path)]
    away = away if prune != "all" else []
    here = [path for path in gone if path not in set(away)]
    many = prune is True and len(here) > max(1, len(under) / 10)
    if here and prune and not many:
        drop(codes_path, here)
    words = f"{len(here)} of {len(under)} files are gone at once, more than a tenth; --prune=all drops them"
    why = words if many else ""
    for path in gone:
        if path in away:
            yield Gone(
                path, False, kept="its folder is empty or not there, as where a disk or share is away" * bool(prune)
            )
        else:
            yield Gone(path, bool(prune) and not many, kept=why)


def _in_empty_folder(path: Path) -> bool:
    """Whether the nearest folder above that is still there is empty, as a mount point is whose share is away."""
    there = next(folder for folder in path.parents if folder.exists())
    return is_away(there)


def is_away(root: Path) -> bool:
    """Whether nothing is in a folder, or it is not there: an empty mount point looks so."""
    try:
        return not any(root.iterdir())
    except NotADirectoryError:
        return False
    except OSError:
        return True


def drop(codes_path: Path, paths: Sequence[Path]) -> None:
    """Erase videos from the codes file; the index goes first, as it holds their codes too and can be made again."""
    from dhhcli.index.lookup import remove_index

    remove_index(codes_path)
    remove_videos(codes_path, paths)


def erase_leftovers(plan: SyncPlan, codes_path: Path, tag: ModelTag) -> None:
    """At the end of a run without pictures: no older version of a video keeps some in an older part of the file."""
    if plan.thumbnails is False and parts_of(codes_path):
        compact(codes_path, tag)
