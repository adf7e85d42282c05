"""shard: Tables of several files -> Shard: codes (n, B), one numbering of tracks, shots and videos."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dhhcli.errors import ShardError
from dhhcli.models.binary_codes import code_bytes, rows_of
from dhhcli.models.model_tag import ModelTag
from dhhcli.storage.hdf5_file import ShardFile
from dhhcli.storage.record import EncodedVideo, VideoRecord, content_of, intact, path_bytes, to_record
from dhhcli.storage.schema import SHOT_DTYPE, TRACK_DTYPE, Tables, cut, view
from dhhcli.storage.values import check_shots, check_tracks, check_unit, picture


@dataclass(eq=False)
class Shard:
    """All committed tracks under one codes path, read-only; n = len(shard). Made by `open_shard`.

    Track, shot and video rows count over the whole shard, videos sorted by path. Closing only lets go of the maps:
    arrays handed out before stay valid.
    """

    tag: ModelTag
    content: str  # SHA-256 (hex) of model, codes, tables and thumbnails; the same before and after merging
    dhh_version: str  # that wrote it
    pieces: list[Tables]
    tombstones: NDArray[np.void]  # (x,) TOMBSTONE_DTYPE: what was forgotten
    version: int  # of the codes file's format
    where: str = ""  # the file, as errors call it; "" for what never was in one

    def __len__(self) -> int:
        return sum(len(piece.codes) for piece in self.pieces)

    @property
    def code_pieces(self) -> tuple[NDArray[np.uint8], ...]:
        """All codes (n, B), in one piece or several: views into the mapped files."""
        return tuple(piece.codes for piece in self.pieces)

    @property
    def frame_pieces(self) -> tuple[tuple[NDArray[np.uint8], NDArray[np.int64]], ...]:
        """Codes of all frames (f_i, B), and where each track's end in them (t_i,), counted from the first of the piece;
        a piece for each of `code_pieces`, or none where only codes of tracks are kept.
        """
        return tuple(
            (piece.frame_codes, piece.frame_code_ends - piece.origin.frame)
            for piece in self.pieces
            if piece.frame_codes is not None and piece.frame_code_ends is not None
        )

    @cached_property
    def codes(self) -> NDArray[np.uint8]:
        """All codes (n, B): mapped where there is one file, a copy where parts wait beside it."""
        if not self.pieces:
            return np.empty((0, code_bytes(self.tag.bits)), np.uint8)
        return self.pieces[0].codes if len(self.pieces) == 1 else np.concatenate(self.code_pieces)

    def code_rows(self, ids: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Codes of tracks `ids` (k,) -> (k, B), nothing else read."""
        return rows_of(self.code_pieces, np.asarray(ids, np.int64), code_bytes(self.tag.bits))

    def frames(self, track: int) -> NDArray[np.uint8]:
        """Codes (m, B) of the frames of a track; only where the tag says that they are kept."""
        piece, local = self._locate("tracks", track)
        return piece.frames(local)

    def __enter__(self) -> "Shard":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.pieces = []
        for name in ("codes", "videos", "_starts"):
            self.__dict__.pop(name, None)

    @cached_property
    def videos(self) -> tuple[VideoRecord, ...]:
        """Every video, by path. Raises ShardError where a record is damaged."""
        return tuple(
            to_record(piece.text(row), checked=bool(self.where))
            for piece in self.pieces
            for row in range(len(piece.videos))
        )

    def video(self, row: int) -> VideoRecord:
        """One video, without reading the others."""
        piece, local = self._locate("videos", row)
        return to_record(piece.text(local), checked=bool(self.where))

    def contents(self) -> Iterator[tuple[bytes, str]]:
        """Path (as os.fsencode gives it) and content fingerprint of every video, by path. Raises ShardError."""
        for piece in self.pieces:
            for row in range(len(piece.videos)):
                yield content_of(piece.text(row))

    def place(self, row: int) -> tuple[int, int]:
        """Which of the pieces the video in `row` is in, and its row there."""
        starts = self._starts["videos"]
        at = int(np.searchsorted(starts, row, "right")) - 1
        return at, row - int(starts[at])

    def first_track(self, piece: int) -> int:
        """Row of the first track of a piece."""
        return int(self._starts["tracks"][piece])

    def end_pts(self, row: int) -> int:
        """Where the last shot of the video in `row` ends (exclusive); its start when it has no shot."""
        piece, local = self._locate("videos", row)
        ends = piece.videos["shot_end"]  # they count from the beginning of the file that the piece is a view of
        first, last = (int(ends[at]) - piece.origin.shot if at >= 0 else 0 for at in (local - 1, local))
        return int(piece.shots["end_pts"][last - 1]) if last > first else self.video(row).start_pts

    def track_rows(self, ids: NDArray[np.integer[Any]]) -> NDArray[np.void]:
        """Tracks `ids` (k,) -> (k,) TRACK_DTYPE, `video` and `shot` as rows of this shard. Raises ShardError."""
        rows = self._rows("tracks", np.asarray(ids), TRACK_DTYPE)
        check_tracks(rows, self.where)
        return rows

    def shots_rows(self, ids: NDArray[np.integer[Any]]) -> NDArray[np.void]:
        """Shots `ids` (k,) -> (k,) SHOT_DTYPE, `video` as a row of this shard. Raises ShardError."""
        rows = self._rows("shots", np.asarray(ids), SHOT_DTYPE)
        check_shots(rows, self.where)
        return rows

    def thumbnail(self, track: int) -> bytes:
        """JPEG of a track as it is stored, b"" when it was encoded without."""
        piece, local = self._locate("tracks", track)
        return piece.thumbnail(local)

    def picture(self, track: int) -> bytes:
        """JPEG of a track to be looked at, b"" for none. Raises ShardError for one that is huge."""
        return picture(self.thumbnail(track), track, self.where)

    def unit(self, row: int) -> Tables:
        """The tables of the video in `row` alone, as a view. Raises ShardError."""
        piece, local = self._locate("videos", row)
        unit = view(piece, local, local + 1)
        check_tracks(unit.tracks, self.where)
        check_shots(unit.shots, self.where)
        return unit

    def encoded_video(self, row: int) -> EncodedVideo:
        """What was committed for the video in `row`, to be committed again, say under a new path."""
        piece, local = self._locate("videos", row)
        unit = cut(piece, local, local + 1)
        check_tracks(unit.tracks, self.where)
        check_shots(unit.shots, self.where)
        check_unit(unit.tracks, unit.shots, self.where)
        thumbnails = tuple(unit.thumbnail(track) for track in range(len(unit.tracks)))
        frames = tuple(unit.frames(track) for track in range(len(unit.tracks))) if self.tag.frame_codes else None
        return EncodedVideo(
            to_record(unit.text(0), checked=bool(self.where)), unit.shots, unit.tracks, unit.codes, thumbnails, frames
        )

    def pictures(self) -> list[tuple[int, bool]]:
        """Per video, how many tracks it has, and whether any of them has a picture."""
        counts = []
        for piece in self.pieces:
            ends = np.concatenate([[piece.origin.track], piece.videos["track_end"]]) - piece.origin.track
            jpegs = np.concatenate([[piece.origin.jpeg], piece.thumbnail_ends])[ends]
            counts += [(int(n), bool(size)) for n, size in zip(np.diff(ends), np.diff(jpegs), strict=True)]
        return counts

    def damaged_videos(self) -> tuple[Path, ...]:
        """Paths of the videos whose bytes are not those that were committed; reads everything."""
        return tuple(
            Path(os.fsdecode(path_bytes(piece, row)))
            for piece in self.pieces
            for row in range(len(piece.videos))
            if not intact(piece, row)
        )

    def check_values(self) -> None:
        """Look at every value of every table. Raises ShardError."""
        for row in range(len(self.videos)):
            self.unit(row)
        for track in range(len(self)):
            self.picture(track)

    @cached_property
    def _starts(self) -> dict[str, NDArray[np.int64]]:
        """First row of every piece in the shard's tables, and behind them the number of rows."""
        return {
            name: np.cumsum([0, *(len(getattr(piece, name)) for piece in self.pieces)])
            for name in ("videos", "shots", "tracks")
        }

    def _locate(self, name: str, row: int) -> tuple[Tables, int]:
        starts = self._starts[name]
        if not 0 <= row < starts[-1]:
            raise IndexError(f"{name[:-1]} {row} of {starts[-1]}")
        at = int(np.searchsorted(starts, row, "right")) - 1
        return self.pieces[at], row - int(starts[at])

    def _rows(self, name: str, ids: NDArray[np.integer[Any]], dtype: np.dtype[Any]) -> NDArray[np.void]:
        starts = self._starts[name]
        if ids.size and not (ids.min() >= 0 and ids.max() < starts[-1]):
            raise IndexError(f"{name} {ids.min()} to {ids.max()} of {starts[-1]}")
        rows = np.empty(len(ids), dtype)
        owners = np.searchsorted(starts, ids, "right") - 1
        for p in sorted(set(owners.tolist())):  # np.unique brings numpy.ma, 6 ms
            at = np.flatnonzero(owners == p)
            own = getattr(self.pieces[p], name)[ids[at] - starts[p]]
            origin = self.pieces[p].origin
            for column, table, first in (("video", "videos", origin.video), ("shot", "shots", origin.shot)):
                if column in (dtype.names or ()):
                    own[column] -= first
                    if own[column].min() < 0 or own[column].max() >= len(getattr(self.pieces[p], table)):
                        raise ShardError(f"{name}: {column} out of range: damaged codes file; encode again")
                    own[column] += self._starts[table][p]
            rows[at] = own
        return rows


def check_model(shard: Shard, tag: ModelTag) -> None:
    """Raises ShardError unless the shard's codes were made by the model `tag`: others cannot be compared.

    Whether codes of frames are kept is of no account.
    """
    if not shard.tag.compares(tag):
        raise ShardError(other_model(shard.where or "codes.h5", shard.tag, tag))


def merged(files: Sequence[ShardFile]) -> list[Tables]:
    """Every path's newest video, in the order of their paths; `files` come newest first. Views, nothing is copied."""
    if len(files) == 1:
        return [files[0].tables]
    newest: dict[bytes, tuple[int, int]] = {}  # path -> number of the file, row in it
    for number, file in enumerate(files):
        before = b""
        for row in range(len(file.tables.videos)):
            path = path_bytes(file.tables, row)
            if row and path <= before:
                raise ShardError(f"{file.path}: damaged codes file (videos are not in order); encode again")
            before = path
            newest.setdefault(path, (number, row))
    runs: list[list[int]] = []  # number of the file, first row, row after the last
    for _, (number, row) in sorted(newest.items()):
        if runs and (runs[-1][0], runs[-1][2]) == (number, row):
            runs[-1][2] = row + 1
        else:
            runs.append([number, row, row + 1])
    return [view(files[number].tables, first, last) for number, first, last in runs]


def other_model(where: str, found: ModelTag, expected: ModelTag) -> str:
    """Words for codes that cannot lie in one file with those of `expected`."""
    if found.compares(expected):
        kept, wanted = ("with", "without") if found.frame_codes else ("without", "with")
        return f"{where}: {kept} codes of frames, {wanted} them expected; encode to a new file, or all anew"
    return (
        f"{where}: codes of another model ({found.bits} bits, weights {found.fingerprint[:12]}; expected "
        f"{expected.bits} bits, {expected.fingerprint[:12]}); name those weights, or make the codes anew: "
        f"dhh migrate {_whole(where)}"
    )


def _whole(where: str) -> str:
    """The codes file that a file, perhaps a part of it, belongs to."""
    folder = Path(where).parent
    return str(folder.with_suffix("")) if folder.suffix == ".parts" else where
