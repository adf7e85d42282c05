"""merge: codes files a, b, ... (n_a, B), (n_b, B) -> one Shard over all, or one codes file (n, B), every video once."""

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dhhcli.base.atomic_write import write_atomically
from dhhcli.base.text import counted
from dhhcli.base.version import __version__
from dhhcli.errors import ShardError
from dhhcli.storage.codes_file import Shard, lock, open_shard, remove_unfinished, replace_all
from dhhcli.storage.record import to_tables
from dhhcli.storage.schema import Tables, content_hash, view
from dhhcli.storage.shard import other_model
from dhhcli.storage.tombstones import forgotten, forgotten_tracks, not_in, united, without_forgotten
from dhhcli.storage.who.book import open_book, tracks_in, united_people, without, write_people
from dhhcli.storage.who.journal import people_path
from dhhcli.storage.who.names import names_path


@dataclass(frozen=True)
class Merged:
    """What a merge did."""

    videos: int
    tracks: int
    twice: tuple[str, ...]  # what was left out or chosen because two files held it, in words
    forgotten: int  # tracks left out because another file had forgotten them
    names: int  # people
    two_names: int  # tracks that two files call differently

    def lines(self, out: Path) -> list[str]:
        """Totals, then what was left out."""
        lost = f"; {counted(self.forgotten, 'forgotten track')} left out" if self.forgotten else ""
        named = f", {counted(self.names, 'name')}" if self.names else ""
        has = "has" if self.two_names == 1 else "have"
        two = [f"{counted(self.two_names, 'track')} {has} another name in a later file"] if self.two_names else []
        return [
            f"{out}: {counted(self.videos, 'video')}, {counted(self.tracks, 'track')}{named}{lost}",
            *(f"left out: {words}" for words in [*self.twice, *two]),
        ]


def merge(codes_paths: Sequence[Path], out: Path) -> Merged:
    """Write all videos of several codes files into a new one, sorted by path; tombstones of all of them hold for all.

    A video that several files hold (the same content) is taken from the first of them. Of two contents at the same path
    the one with the later file time is taken, the first of equally late ones. Rows are copied from the mapped files.

    People go along with their tracks, as `united_people` says; of two names of one track the first file's counts. They
    are written before the codes, so that a codes file is never without them; while there are only people,
    `<out>.merging` says whose they are, and the next merge does away with both.

    Raises:
        MissingPathError, ShardError: a file cannot be opened, is damaged, is another model's, or ``out`` exists.
        NamesError: the names beside a file are damaged.
    """
    for path in codes_paths:
        open_shard(path).close()  # before the lock leaves its file for nothing
    with lock(out), ExitStack() as stack:
        marker = out.resolve().with_name(f"{out.resolve().name}.merging")
        if marker.exists() and not out.exists():
            people_path(out).unlink(missing_ok=True)
        marker.unlink(missing_ok=True)
        for there in (out, out.with_name(f"{out.name}.parts"), names_path(out), people_path(out)):
            if there.exists() or there.is_symlink():
                raise ShardError(f"{there}: is there already; merge into a new file")
        remove_unfinished(out)
        people, two_names = united_people([open_book(path).cast for path in codes_paths])
        shards = [stack.enter_context(open_shard(path)) for path in codes_paths]
        _check_alike(codes_paths, shards)
        for path, shard in zip(codes_paths, shards, strict=True):
            damaged = shard.damaged_videos()
            if damaged:
                raise ShardError(f"{path}: {damaged[0]} is damaged in it; encode that video again first")
        both = union(codes_paths, shards)
        whole, pieces = both.shard, both.shard.pieces
        rows = people.find(tracks_in(whole))
        absent = np.ones(len(people), np.bool_)
        absent[rows[rows >= 0]] = False
        held = without(people, absent)
        try:
            write_atomically(marker, b"")
            write_people(out, whole.tag, held)
            replace_all(out, whole.tag, pieces, whole.tombstones)
        except Exception as error:
            for made in (out, people_path(out), marker):  # none of them was there
                with suppress(OSError):
                    made.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise ShardError(
                    f"{out}: cannot be written ({error.strerror}); free space or another folder?"
                ) from error
            raise
        marker.unlink(missing_ok=True)
        videos = sum(len(piece.videos) for piece in pieces)
        return Merged(videos, len(whole), both.twice, both.forgotten, len(held.names), two_names)


# --------------------------------------------------------------------------------------------- without writing a file


@dataclass(frozen=True)
class Run:
    """Videos that stand side by side in the whole and in one of the files."""

    file: int  # number of the file; -1: tracks were taken out, so they are not as in any
    first: int  # row of the first track there
    tracks: int


@dataclass(frozen=True, eq=False)
class Union:
    """Several codes files as one: what `merge` would write, nothing copied."""

    shard: Shard
    runs: tuple[Run, ...]  # one a piece of the shard
    twice: tuple[str, ...]  # what was left out or chosen because two files hold it, in words
    forgotten: int  # tracks left out because another file had forgotten them


def union(codes_paths: Sequence[Path], shards: Sequence[Shard]) -> Union:
    """Every video once, by path, as `merge` says; tombstones of all files hold for all. The shards stay open.

    Raises:
        ShardError: a file is of another model than the first, or a record in it is damaged.
    """
    _check_alike(codes_paths, shards)
    tombstones = united([shard.tombstones for shard in shards])
    # a file's own were heeded when they came: where the very track is gone they would take a neighbour of it along
    foreign = [not_in(tombstones, shard.tombstones) for shard in shards]
    stones = [{stone.tobytes().hex() for stone in others["fingerprint"]} for others in foreign]
    chosen, twice = _choose(codes_paths, shards)
    pieces: list[Tables] = []
    runs: list[Run] = []
    lost = 0
    at: list[int] = []  # of the run that is open: file, piece of its shard, first video of it, video after its last

    def close() -> None:
        if at:
            piece = shards[at[0]].pieces[at[1]]
            part = view(piece, at[2], at[3])
            before = part.origin.track - piece.origin.track + shards[at[0]].first_track(at[1])
            pieces.append(part)
            runs.append(Run(at[0], before, len(part.tracks)))
            at.clear()

    for number, row, content in chosen:
        if content in stones[number]:
            close()
            gone = forgotten_tracks(content, shards[number].unit(row).tracks, foreign[number])
            lost += int(gone.sum())
            if forgotten(content, tombstones):
                continue
            if gone.any():
                left = without_forgotten(shards[number].encoded_video(row), foreign[number])
                pieces.append(to_tables(shards[0].tag, left))
                runs.append(Run(-1, 0, len(left.tracks)))
                continue
        owner, local = shards[number].place(row)
        if at[:2] == [number, owner] and at[3] == local:
            at[3] += 1
        else:
            close()
            at += [number, owner, local, local + 1]
    close()
    content = content_hash(shards[0].tag, pieces, tombstones)
    where = ", ".join(map(str, codes_paths))
    whole = Shard(shards[0].tag, content, __version__, pieces, tombstones, shards[0].version, where)
    return Union(whole, tuple(runs), tuple(twice), lost)


def _check_alike(codes_paths: Sequence[Path], shards: Sequence[Shard]) -> None:
    for path, shard in zip(codes_paths, shards, strict=True):
        if shard.tag != shards[0].tag:
            raise ShardError(other_model(str(path), shard.tag, shards[0].tag))


def _choose(codes_paths: Sequence[Path], shards: Sequence[Shard]) -> tuple[list[tuple[int, int, str]], list[str]]:
    """Which video of which file to take, (number of the file, row in it, content) by path; and what was left out."""
    chosen: dict[bytes, tuple[int, int, str]] = {}
    holder: dict[str, int] = {}  # content -> number of the first file that holds it
    left_out = []
    for number, shard in enumerate(shards):
        for row, (path, content) in enumerate(shard.contents()):
            first = holder.setdefault(content, number)
            if first != number:  # copies within one file are its own business
                words = os.fsdecode(path)
                left_out.append(f"{codes_paths[number]}: {words}: same content as in {codes_paths[first]}")
                continue
            if path in chosen:
                other = chosen[path]
                newer = shard.video(row).mtime_ns > shards[other[0]].video(other[1]).mtime_ns
                loser = other[0] if newer else number
                left_out.append(f"{codes_paths[loser]}: {os.fsdecode(path)}: a later version is taken")
                if not newer:
                    continue
            chosen[path] = (number, row, content)
    return [chosen[path] for path in sorted(chosen)], left_out
