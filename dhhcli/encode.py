"""encode: video file -> EncodedVideo (shots, tracks, one code a track), streaming; many files -> one codes file.

The chain: frames -> shots and, some times a second, faces -> tracks as they end (scan.py, in a thread of its own) -> at
most 30 crops a track -> features -> log-covariance -> code. What a film leaves behind is a row, a code and a small
picture for each track; crops are gone when their track is coded. Several films at once: crew.py.
"""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .codes import binarise, code_bytes, pack
from .errors import DhhError, MissingPathError
from .hashing import hash_tracks
from .network import Network
from .prefetch import prefetch
from .records import EncodedVideo, VideoRecord, content_fingerprint
from .scan import Looked, scan
from .shards import check_model, commit, compact, lock, open_shard
from .shots import Shot
from .tables import SHOT_DTYPE, TRACK_DTYPE, ModelTag
from .tracks import FaceTrack, sample
from .video import open_video
from .weights import shipped_as

FRAMES_A_CODE = 30  # Qiao et al. cut tracks into clips of at most 30; we sample 30, one code a track
CROPS_AT_ONCE = 96  # crops of several tracks that go to the network together: a GPU wants many
SCAN_AHEAD = 48  # tracks, shots and looks that may wait for the network


@dataclass(frozen=True)
class Step:
    """How far into a file: seconds of film done, of how many (None: the file does not say)."""

    path: Path
    seconds: float
    duration: float | None


@dataclass(frozen=True)
class Encoded:
    """A file is done and safely on disk."""

    path: Path
    shots: int
    tracks: int
    seconds: float  # of film
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Unchanged:
    """A file was encoded by an earlier run."""

    path: Path
    warnings: tuple[str, ...] = ()  # what was wrong with it then, and still is


@dataclass(frozen=True)
class Skipped:
    """A file could not be encoded; the others go on."""

    path: Path
    reason: str


@dataclass(frozen=True, eq=False, slots=True)
class Coded:
    """What remains of a track. order: key within its shot. row: TRACK_DTYPE, less its first two fields. code: (B,)."""

    order: tuple[float, ...]
    row: tuple[Any, ...]
    code: npt.NDArray[np.uint8]
    thumbnail: bytes


def code_tracks(items: Iterable[Looked | FaceTrack | Shot], network: Network) -> Iterator[Looked | Coded | Shot]:
    """Tracks become coded ones, in the same order; some wait to be coded together, and their shots with them."""
    held: list[FaceTrack | Shot] = []
    crops = 0
    for item in items:
        if isinstance(item, Looked):
            yield item
            continue
        held.append(item)
        if isinstance(item, FaceTrack):
            crops += min(len(item.observations), FRAMES_A_CODE)
        if crops >= CROPS_AT_ONCE:
            yield from _coded(held, network)
            held, crops = [], 0
    yield from _coded(held, network)


def _coded(items: Sequence[FaceTrack | Shot], network: Network) -> Iterator[Coded | Shot]:
    codes = iter(track_codes([item for item in items if isinstance(item, FaceTrack)], network))
    for item in items:
        if isinstance(item, Shot):
            yield item
            continue
        best = item.best
        row = (
            item.first_frame,
            item.last_frame + 1,
            item.first_pts,
            item.last_pts,
            best.frame,
            best.pts,
            best.face.box,
            best.face.score,
            best.face.size,
            best.sharpness,
            len(sample(item, FRAMES_A_CODE)),
        )
        yield Coded(item.order(), row, next(codes), best.thumbnail)


def track_codes(tracks: Sequence[FaceTrack], network: Network) -> npt.NDArray[np.uint8]:
    """One code (t, B) per track: features of at most 30 crops each, log-covariance, hash layer, sign."""
    sampled = [sample(track, FRAMES_A_CODE) for track in tracks]
    if not sampled:
        return np.empty((0, code_bytes(network.layers.bits)), np.uint8)
    crops = np.stack([observation.crop for frames in sampled for observation in frames])
    features = network.extract(crops)
    ends = np.cumsum([len(frames) for frames in sampled])
    soft = hash_tracks(network.layers, np.split(features, ends[:-1]))
    return pack(binarise(soft))


def encode_video(
    path: Path,
    network: Network,
    *,
    thumbnails: bool = True,
    threads: int = 0,
    on_step: Callable[[Step], None] = lambda _: None,
) -> EncodedVideo:
    """The whole chain for one file. threads: of the decoder, 0: one for each core.

    Raises:
        VideoError, NoVideoError: the file cannot be decoded, or holds no pictures. A file that stops early is kept as
            far as it decodes; its record carries the warning.
    """
    fingerprint, stat = content_fingerprint(path), path.stat()
    shot_rows: list[tuple[Any, ...]] = []
    track_rows: list[tuple[Any, ...]] = []
    codes: list[npt.NDArray[np.uint8]] = []
    thumbs: list[bytes] = []
    with open_video(path, threads=threads) as video:
        info = video.info
        duration = float(info.duration) if info.duration else None
        of_shot: list[Coded] = []
        found = scan(video, network.detector, thumbnails=thumbnails)
        with closing(prefetch(found, SCAN_AHEAD)) as ahead:
            for item in code_tracks(ahead, network):
                match item:
                    case Looked(seconds):
                        on_step(Step(path, float(seconds), duration))
                    case Coded():
                        of_shot.append(item)
                    case Shot() as shot:
                        of_shot.sort(key=lambda coded: coded.order)
                        track_rows += [(0, len(shot_rows), *coded.row) for coded in of_shot]
                        codes += [coded.code for coded in of_shot]
                        thumbs += [coded.thumbnail for coded in of_shot]
                        of_shot.clear()
                        shot_rows.append(
                            (0, shot.number, shot.start_frame, shot.end_frame, shot.start_pts, shot.end_pts)
                        )
        warnings = video.warnings
    record = VideoRecord(
        path=recorded_path(path),
        fingerprint=fingerprint,
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        width=info.width,
        height=info.height,
        frames=shot_rows[-1][3] if shot_rows else 0,
        frame_rate=info.frame_rate,
        time_base=info.time_base,
        start_pts=shot_rows[0][4] if shot_rows else 0,
        duration=info.duration,
        start_timecode=info.start_timecode,
        drop_frame=info.drop_frame,
        warnings=warnings,
    )
    return EncodedVideo(
        video=record,
        shots=np.array(shot_rows, SHOT_DTYPE),
        tracks=np.array(track_rows, TRACK_DTYPE),
        codes=np.stack(codes) if codes else np.empty((0, code_bytes(network.layers.bits)), np.uint8),
        thumbnails=tuple(thumbs),
    )


def encode(
    paths: Sequence[Path],
    codes_path: Path,
    network: Network,
    *,
    thumbnails: bool = True,
    workers: int = 1,
    on_step: Callable[[Step], None] = lambda _: None,
) -> Iterator[Encoded | Unchanged | Skipped]:
    """Encode files; each is on disk as soon as it is done, and one bad file stops nothing.

    What the codes file holds already (same path, same content fingerprint) is not done again; a changed file replaces
    its old rows. When the generator ends or is closed, what was committed is merged into the one named file.

    Args:
        paths: video files.
        codes_path: the file the user names; created when missing.
        network: detector, backbone, hash layers.
        thumbnails: keep a small picture of every track's best face.
        workers: files at a time; more than one: in processes of their own. The codes do not depend on it.
        on_step: called after every look.

    Raises:
        ShardError: the codes file is another model's, damaged, or being written by another process.
    """
    with lock(codes_path):
        known = known_videos(codes_path, network.tag)
        try:
            if workers == 1:
                results = _in_turn(paths, known, network, thumbnails, on_step)
            else:
                from .crew import in_parallel

                results = in_parallel(_to_do(paths, known), network, thumbnails, workers, on_step)
            with closing(results):
                for path, result in results:
                    if isinstance(result, EncodedVideo):
                        commit(codes_path, network.tag, result)
                        seconds, warnings = float(length(result)), result.video.warnings
                        yield Encoded(path, len(result.shots), len(result.tracks), seconds, warnings)
                    else:
                        yield result
        finally:
            compact(codes_path, network.tag)


Result = EncodedVideo | Unchanged | Skipped


def _to_do(paths: Sequence[Path], known: dict[Path, VideoRecord]) -> Iterator[Path | Unchanged | Skipped]:
    """What there is to encode, and of the rest why not."""
    for path in paths:
        if not path.is_file():  # reading a pipe or a device may never end
            yield Skipped(path, "not a regular file")
            continue
        try:
            before = known.get(recorded_path(path))
            unchanged = before is not None and before.fingerprint == content_fingerprint(path)
        except OSError as error:
            yield Skipped(path, reason_of(path, error))
            continue
        yield Unchanged(path, before.warnings) if before is not None and unchanged else path


def _in_turn(
    paths: Sequence[Path],
    known: dict[Path, VideoRecord],
    network: Network,
    thumbnails: bool,
    on_step: Callable[[Step], None],
) -> Generator[tuple[Path, Result], None, None]:
    for item in _to_do(paths, known):
        if isinstance(item, Path):
            try:
                yield item, encode_video(item, network, thumbnails=thumbnails, on_step=on_step)
            except (DhhError, OSError) as error:
                yield item, Skipped(item, reason_of(item, error))
        else:
            yield item.path, item


def reason_of(path: Path, error: Exception) -> str:
    """An error's words without the name of the file, which stands before them anyway."""
    return str(error).removeprefix(f"{path}: ")


def default_workers(files: int) -> int:
    """Files at a time: one for two cores, which is what decoding and looking at one film keep busy."""
    return max(1, min(files, (os.cpu_count() or 1) // 2))


def known_videos(codes_path: Path, tag: ModelTag) -> dict[Path, VideoRecord]:
    """Recorded path -> what a codes file holds of it; empty when there is none yet.

    Raises:
        ShardError: the file is damaged or another model's.
    """
    try:
        shard = open_shard(codes_path)
    except MissingPathError:
        return {}
    with shard:
        check_model(shard, tag)
        return {video.path: video for video in shard.videos}


def weights_for(codes_path: Path, name: str | None) -> str | None:
    """Which weights to add with: the named ones, else the shipped ones that made the codes file, if there are any.

    Raises:
        ShardError: the file is damaged.
    """
    if name is not None:
        return name
    try:
        with open_shard(codes_path) as shard:
            return shipped_as(shard.tag.fingerprint)
    except MissingPathError:
        return None


def recorded_path(path: Path) -> Path:
    """How a file is named in the codes: its real path, so that a file reached over a link is not encoded twice."""
    return path.resolve()


def length(encoded: EncodedVideo) -> Fraction:
    """Seconds of film from the first frame to the end of the last."""
    if not len(encoded.shots):
        return Fraction(0)
    pts = int(encoded.shots["end_pts"][-1]) - encoded.video.start_pts
    return pts * encoded.video.time_base
