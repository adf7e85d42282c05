"""tombstones: forgotten videos and tracks (x,) TOMBSTONE_DTYPE -> EncodedVideo without them.

A tombstone says which video content and, for a track, when and where in its picture: nothing of how the face looks.
So a person who was forgotten in one video is not recognised, and not left out, in the next: run `dhh forget` again.

Which track of a video that is encoded again is the forgotten one? The encoder is deterministic, so mostly the one with
the same times and the same box. Where there is none, because the encoder has changed: the tracks that share at least
half of the shorter time span with it and whose best box overlaps its box; if none does, the one of them that is nearest
in the picture. So a forgotten face may take a neighbour with it, but does not come back.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dhhcli.storage.record import EncodedVideo
from dhhcli.storage.schema import NO_TOMBSTONES, TOMBSTONE_DTYPE

OVERLAP = 0.3  # intersection over union of two boxes that may be one face


def of_video(fingerprint: str) -> NDArray[np.void]:
    """A tombstone (1,) for everything in a video."""
    stone = np.zeros(1, TOMBSTONE_DTYPE)
    stone["fingerprint"] = np.frombuffer(bytes.fromhex(fingerprint), np.uint8)
    stone["whole"] = 1
    stone["at"] = int(time.time())
    return stone


def of_tracks(fingerprint: str, tracks: NDArray[np.void]) -> NDArray[np.void]:
    """Tombstones (t,) for tracks (t,) TRACK_DTYPE of one video."""
    stones = np.zeros(len(tracks), TOMBSTONE_DTYPE)
    stones["fingerprint"] = np.frombuffer(bytes.fromhex(fingerprint), np.uint8)
    for name in ("start_pts", "end_pts", "best_pts", "box"):
        stones[name] = tracks[name]
    stones["at"] = int(time.time())
    return stones


def united(lists: Iterable[NDArray[np.void]]) -> NDArray[np.void]:
    """All of several lists, each once (the earliest), in one order whatever the order of the lists."""
    earliest: dict[bytes, np.void] = {}
    for stones in lists:
        for stone in stones:
            key = _where(stone)
            if key not in earliest or stone["at"] < earliest[key]["at"]:
                earliest[key] = stone
    return np.array([earliest[key] for key in sorted(earliest)], TOMBSTONE_DTYPE) if earliest else NO_TOMBSTONES


def not_in(tombstones: NDArray[np.void], known: NDArray[np.void]) -> NDArray[np.void]:
    """Those that say of nothing that `known` says too, whenever that was."""
    there = {_where(stone) for stone in known}
    return np.asarray(tombstones[np.array([_where(stone) not in there for stone in tombstones], bool)])


def _where(stone: np.void) -> bytes:
    return stone.tobytes()[: TOMBSTONE_DTYPE.itemsize - TOMBSTONE_DTYPE["at"].itemsize]


def forgotten(fingerprint: str, tombstones: NDArray[np.void]) -> bool:
    """Whether a video of this content was forgotten as a whole."""
    return bool(_of(fingerprint, tombstones)["whole"].any())


def any_forgotten(fingerprint: str, tombstones: NDArray[np.void]) -> bool:
    """Whether anything of a video of this content was forgotten."""
    return len(_of(fingerprint, tombstones)) > 0


def forgotten_tracks(fingerprint: str, tracks: NDArray[np.void], tombstones: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which of the tracks (t,) TRACK_DTYPE of a video were forgotten, (t,) bool."""
    found = np.zeros(len(tracks), bool)
    for stone in _of(fingerprint, tombstones):
        if stone["whole"]:
            found[:] = True
        elif len(tracks):
            found |= _matches(stone, tracks)
    return found


def _of(fingerprint: str, tombstones: NDArray[np.void]) -> NDArray[np.void]:
    wanted = np.frombuffer(bytes.fromhex(fingerprint), np.uint8)
    same: NDArray[np.bool_] = (tombstones["fingerprint"] == wanted).all(axis=1)
    return np.asarray(tombstones[same])


def _matches(stone: np.void, tracks: NDArray[np.void]) -> NDArray[np.bool_]:
    """(t,) bool; see the module docstring. Times are ticks; a track of one frame lasts one."""
    same = (tracks["box"] == stone["box"]).all(axis=1)
    for name in ("start_pts", "end_pts", "best_pts"):
        same &= tracks[name] == stone[name]
    if same.any():
        return np.asarray(same, bool)
    start = tracks["start_pts"].astype(np.float64)  # a damaged file's differences do not fit into an int64
    end = np.maximum(tracks["end_pts"].astype(np.float64), start + 1)
    first = float(stone["start_pts"])
    last = max(float(stone["end_pts"]), first + 1)
    shared = np.minimum(end, last) - np.maximum(start, first)
    together = 2 * shared >= np.minimum(end - start, last - first)
    near = together & (overlap(stone["box"], tracks["box"]) >= OVERLAP)
    if near.any() or not together.any():
        return np.asarray(near, bool)
    centres = (tracks["box"][:, :2] + tracks["box"][:, 2:]) / 2
    away = np.hypot(*(centres - (stone["box"][:2] + stone["box"][2:]) / 2).T)
    return np.asarray(np.arange(len(tracks)) == np.where(together, away, np.inf).argmin(), bool)


def overlap(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of a box (4,) with boxes (t, 4)."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    both = np.clip(sides, 0, None).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - both
    return np.asarray(both / np.maximum(union, 1e-9), np.float32)


def without_forgotten(encoded: EncodedVideo, tombstones: NDArray[np.void]) -> EncodedVideo:
    """A video without the tracks that were forgotten."""
    gone = forgotten_tracks(encoded.video.fingerprint, encoded.tracks, tombstones)
    return without_tracks(encoded, np.flatnonzero(gone).tolist())


def without_tracks(encoded: EncodedVideo, rows: Sequence[int]) -> EncodedVideo:
    """A video without the tracks in some of its rows; their shots stay."""
    if not rows:
        return encoded
    gone = set(rows)
    kept = np.array([row not in gone for row in range(len(encoded.tracks))], bool)
    thumbnails = tuple(jpeg for jpeg, keep in zip(encoded.thumbnails, kept, strict=True) if keep)
    frames = encoded.frame_codes
    if frames is not None:
        frames = tuple(own for own, keep in zip(frames, kept, strict=True) if keep)
    return replace(
        encoded, tracks=encoded.tracks[kept], codes=encoded.codes[kept], thumbnails=thumbnails, frame_codes=frames
    )
