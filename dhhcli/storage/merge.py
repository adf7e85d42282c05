"""merge: codes files a, b, ... (n_a, B), (n_b, B) -> one codes file (n, B), every video once."""

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
from dhhcli.storage.schema import Tables
from dhhcli.storage.shard import other_model
from dhhcli.storage.tombstones import forgotten, forgotten_tracks, united, without_forgotten
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
        for path, shard in zip(codes_paths, shards, strict=True):
            if shard.tag != shards[0].tag:
                raise ShardError(other_model(str(path), shard.tag, shards[0].tag))
            damaged = shard.damaged_videos()
            if damaged:
                raise ShardError(f"{path}: {damaged[0]} is damaged in it; encode that video again first")
        tombstones = united([shard.tombstones for shard in shards])
        chosen, twice = _choose(codes_paths, shards)
        pieces: list[Tables] = []
        lost = 0
        for number, row in chosen:
            video, piece = shards[number].video(row), shards[number].unit(row)
            gone = forgotten_tracks(video.fingerprint, piece.tracks, tombstones)
            lost += int(gone.sum())
            if forgotten(video.fingerprint, tombstones):
                continue
            if gone.any():
                piece = to_tables(shards[0].tag, without_forgotten(shards[number].encoded_video(row), tombstones))
            pieces.append(piece)
        whole = Shard(shards[0].tag, "", __version__, pieces, tombstones, shards[0].version)
        rows = people.find(tracks_in(whole))
        absent = np.ones(len(people), np.bool_)
        absent[rows[rows >= 0]] = False
        held = without(people, absent)
        try:
            write_atomically(marker, b"")
            write_people(out, whole.tag, held)
            replace_all(out, shards[0].tag, pieces, tombstones)
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
        return Merged(
            len(pieces), sum(len(piece.tracks) for piece in pieces), tuple(twice), lost, len(held.names), two_names
        )


def _choose(codes_paths: Sequence[Path], shards: Sequence[Shard]) -> tuple[list[tuple[int, int]], list[str]]:
    """Which video of which file to take, (number of the file, row in it) by path; and what was left out."""
    chosen: dict[bytes, tuple[int, int]] = {}
    holder: dict[str, int] = {}  # content -> number of the first file that holds it
    left_out = []
    for number, shard in enumerate(shards):
        for row, video in enumerate(shard.videos):
            first = holder.setdefault(video.fingerprint, number)
            if first != number:  # copies within one file are its own business
                left_out.append(f"{codes_paths[number]}: {video.path}: same content as in {codes_paths[first]}")
                continue
            path = os.fsencode(video.path)
            if path in chosen:
                other = chosen[path]
                newer = video.mtime_ns > shards[other[0]].video(other[1]).mtime_ns
                loser = other[0] if newer else number
                left_out.append(f"{codes_paths[loser]}: {video.path}: a later version is taken")
                if not newer:
                    continue
            chosen[path] = (number, row)
    return [chosen[path] for path in sorted(chosen)], left_out
