"""migration: codes.h5 and what takes its place (`codes.h5.migrating`) -> people of old tracks on new ones; the change.

Everything lies beside the codes file until it is whole, then it takes that place in one step. People come in between: a
track is known by its times and its box, and other weights come with another dhh, whose tracks may begin elsewhere. So
`codes.h5.people` holds old and new tracks while the codes change, and loses the old ones afterwards; killed anywhere,
the codes there are have their people. What is left of a change that was cut off: `codes.h5.migrating.lock`.
"""

from glob import escape
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Rows
from dhhcli.base.atomic_write import sync_folder
from dhhcli.errors import MissingPathError, ShardError
from dhhcli.models.model_tag import ModelTag
from dhhcli.storage.codes_file import Shard, compact, open_shard, parts_of, remove_videos, replace_all
from dhhcli.storage.record import to_tables
from dhhcli.storage.skipped import skipped_path
from dhhcli.storage.tombstones import forgotten, overlap, without_forgotten
from dhhcli.storage.who.book import open_book, tracks_in, without, write_people
from dhhcli.storage.who.cast import Cast, Tracks
from dhhcli.storage.who.names import names_path

TOGETHER: Final = 0.5  # of the shorter of two tracks that may be one
SAME_FACE: Final = 0.3  # intersection over union of two boxes


def new_codes(codes_path: Path) -> Path:
    """Where codes are collected that will take the place of a codes file."""
    home = codes_path.resolve()
    return home.with_name(f"{home.name}.migrating")


def discard(codes_path: Path) -> bool:
    """Remove what an unfinished change has collected; whether there was anything."""
    new = new_codes(codes_path)
    parts = parts_of(new)
    for path in parts:
        path.unlink(missing_ok=True)
    folder = new.with_name(f"{new.name}.parts")
    leftovers = ("tmp", "*.tmp", "begun-*")
    unfinished = [path for what in leftovers for path in new.parent.glob(f"{escape(new.name)}.{what}")]
    left = [*folder.glob("*.tmp"), *unfinished, new, skipped_path(new)]
    found = bool(parts) or new.exists() or bool(unfinished)
    for path in left:
        path.unlink(missing_ok=True)
    if folder.exists():
        folder.rmdir()
    new.with_name(f"{new.name}.lock").unlink(missing_ok=True)  # last: it says that there may be more
    return found


def begin(codes_path: Path, tag: ModelTag, tombstones: NDArray[np.void]) -> None:
    """Make the file that new codes go to, or go on with one of the same weights; what was forgotten is not in it."""
    new = new_codes(codes_path)
    try:
        with open_shard(new) as shard:
            usable, same = shard.tag == tag, np.array_equal(shard.tombstones, tombstones)
    except MissingPathError:
        usable = same = False
    except ShardError:  # damaged: it can be made again
        usable = same = False
    if not usable:
        discard(codes_path)
        replace_all(new, tag, [], tombstones)
    elif not same:  # something was forgotten meanwhile
        compact(new, tag)
        with open_shard(new) as shard:
            units = [shard.encoded_video(row) for row in range(len(shard.videos))]
        kept = [unit for unit in units if not forgotten(unit.video.fingerprint, tombstones)]
        replace_all(new, tag, [to_tables(tag, without_forgotten(unit, tombstones)) for unit in kept], tombstones)


def finish_earlier(codes_path: Path) -> None:
    """What a change that was cut off after it took place left to do."""
    new = new_codes(codes_path)
    if new.with_name(f"{new.name}.lock").exists():
        _forget_old_places(codes_path)
        discard(codes_path)


def take_place(codes_path: Path, tag: ModelTag) -> tuple[int, int]:
    """Put the new codes, all of ``tag``, in the place of the old ones; how many named tracks there were, and are.

    The index of the old codes is the caller's to remove, before.
    """
    home, new = codes_path.resolve(), new_codes(codes_path)
    compact(new, tag)
    with open_shard(codes_path) as old, open_shard(new) as fresh:
        remove = {video.path for video in fresh.videos} - {video.path for video in old.videos}
        old_tag = old.tag
    if remove:  # dropped from the old codes since they were collected
        remove_videos(new, remove)
    with open_shard(codes_path) as old, open_shard(new) as fresh:
        cast = open_book(codes_path).cast
        carried = carried_people(cast, old, fresh)
        there = {video.fingerprint for video in fresh.videos}
        before = _named(cast, there)
        now = _named(carried, there, tracks_in(fresh))
    if len(carried):
        _write(codes_path, tag, carried)
    compact(codes_path, old_tag)  # parts would win over what comes
    new.replace(home)
    sync_folder(home.parent)
    _forget_old_places(codes_path)
    discard(codes_path)
    return before, now


def _forget_old_places(codes_path: Path) -> None:
    """Remove tracks that are in none of the videos they were in; those of other videos stay."""
    cast = open_book(codes_path).cast
    if not len(cast):
        return
    with open_shard(codes_path) as shard:
        contents = {video.fingerprint for video in shard.videos}
        held = cast.find(tracks_in(shard))
        tag = shard.tag
    gone = np.isin(cast.video, [number for content, number in cast.videos.items() if content in contents])
    gone[held[held >= 0]] = False
    if gone.any():
        _write(codes_path, tag, without(cast, gone))


def _write(codes_path: Path, tag: ModelTag, cast: Cast) -> None:
    write_people(codes_path, tag, cast)
    names_path(codes_path).unlink(missing_ok=True)  # of an earlier dhh: what it said is in the other now


def _named(cast: Cast, contents: set[str], tracks: Tracks | None = None) -> int:
    """How many tracks of some videos, or of these tracks, surely are somebody's who has a name."""
    named = cast.sure & np.isin(cast.person, list(cast.names))
    named &= np.isin(cast.video, [number for content, number in cast.videos.items() if content in contents])
    if tracks is None:
        return int(named.sum())
    rows = np.unique(cast.find(tracks))
    return int(named[rows[rows >= 0]].sum())


def _rows_of_contents(shard: Shard) -> dict[str, Rows]:
    """Content -> rows (k,) of the tracks of the first video that has it: those of copies are at the same places."""
    found: dict[str, Rows] = {}
    first = 0
    for video, (count, _) in zip(shard.videos, shard.pictures(), strict=True):
        found.setdefault(video.fingerprint, np.arange(first, first + count))
        first += count
    return found


def carried_people(cast: Cast, old: Shard, new: Shard) -> Cast:
    """The same people, who have the new tracks of the same content that show the face of an old one, too.

    What was said of an old track, that it surely is somebody's or never, is said of the new one. Steps are folded.
    """
    whole = without(cast, np.zeros(len(cast), np.bool_))
    said: dict[int, list[int]] = {}
    for row, number in cast.never:
        said.setdefault(row, []).append(number)
    rows_before, rows_now = _rows_of_contents(old), _rows_of_contents(new)
    for content in sorted(cast.videos.keys() & rows_before.keys() & rows_now.keys()):
        before, now = rows_before[content], rows_now[content]
        found = same_tracks(old.track_rows(before), new.track_rows(now))
        known = np.where(found >= 0, cast.find(tracks_in(old, before))[found], -1) if len(before) else found
        now, known = now[known >= 0], known[known >= 0]
        if not len(now):
            continue
        rows = whole.add(tracks_in(new, now))
        whole.person[rows], whole.sure[rows] = cast.person[known], cast.sure[known]
        for row, was in zip(rows.tolist(), known.tolist(), strict=True):
            whole.never |= {(row, number) for number in said.get(was, ())}
    return whole


def same_tracks(old: NDArray[np.void], new: NDArray[np.void]) -> NDArray[np.int64]:
    """Tracks (o,) and (n,) TRACK_DTYPE of one content -> (n,) which old track each new one is, -1 for none of them.

    The same times and box: that one. Else the one that it shares at least half of the shorter's time with and whose box
    is at the same place, the nearest; boxes are of each track's best moment, so a face that has moved on by less than
    its side still is the same where nothing lies nearer. An old track may have been cut into several new ones; of two
    new ones that are there at the same time only the nearer can be it.
    """
    found, worth = np.full(len(new), -1, np.int64), np.zeros(len(new))
    for row, track in enumerate(new):
        scores = np.array([_alike(one, track) for one in old])
        if len(scores) and scores.max() > 0:
            found[row], worth[row] = scores.argmax(), scores.max()
    for row in np.argsort(-worth, kind="stable").tolist():
        if found[row] < 0:
            continue
        rivals = np.flatnonzero(found == found[row])
        for rival in rivals[rivals != row].tolist():
            if worth[rival] <= worth[row] and _shared(new[row], new[rival]) > 0:
                found[rival] = -1
    return found


def _shared(a: np.void, b: np.void) -> float:
    """Ticks that two tracks share; a track of one frame lasts one."""
    ends = [max(float(track["end_pts"]), float(track["start_pts"]) + 1) for track in (a, b)]
    return min(ends) - max(float(a["start_pts"]), float(b["start_pts"]))


def _alike(a: np.void, b: np.void) -> float:
    """0: not one track; up to 2, and 3 for the same."""
    if all(a[name] == b[name] for name in ("start_pts", "end_pts", "best_pts")) and (a["box"] == b["box"]).all():
        return 3.0
    lengths = [max(float(track["end_pts"]) - float(track["start_pts"]), 1.0) for track in (a, b)]
    shared = _shared(a, b)
    if shared < TOGETHER * min(lengths):
        return 0.0
    boxes = np.asarray(b["box"], np.float32)[None]
    together = shared / (sum(lengths) - shared)
    place = float(overlap(np.asarray(a["box"]), boxes)[0])
    if place >= SAME_FACE:
        return together + place
    middles = [(np.asarray(track["box"])[:2] + np.asarray(track["box"])[2:]) / 2 for track in (a, b)]
    side = float(max((np.asarray(track["box"])[2:] - np.asarray(track["box"])[:2]).max() for track in (a, b)))
    away = float(np.hypot(*(middles[0] - middles[1]))) / max(side, 1e-9)
    return SAME_FACE * together * (1 - away) if away < 1 else 0.0
