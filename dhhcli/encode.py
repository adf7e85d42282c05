"""encode: video file -> EncodedVideo (shots, tracks, one code a track), streaming; many files -> one codes file.

The chain: frames -> shots and, some times a second, faces -> tracks as they end (scan.py, in a thread of its own) -> at
most 30 crops a track -> features -> log-covariance -> code (trackcodes.py). What a film leaves behind is a row, a code
and a small picture for each track; crops are gone when their track is coded. Several films at once: crew.py. Weights
that hash pictures only may also leave the codes of all these crops (`frame_choice`).
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .choices import frame_choice
from .codes import code_bytes
from .errors import DhhError, MissingPathError
from .network import Network
from .prefetch import prefetch
from .records import EncodedVideo, VideoRecord, content_fingerprint
from .scan import Looked, scan
from .shards import commit, finish, lock, open_shard
from .shots import Shot
from .sources import is_photo
from .stills import encode_still
from .tables import SHOT_DTYPE, TRACK_DTYPE
from .tombstones import without_forgotten
from .trackcodes import Coded, code_tracks
from .upkeep import (
    Forgotten,
    Gone,
    Plan,
    Relinked,
    Skipped,
    Unchanged,
    decide,
    erase_leftovers,
    gone_files,
    make_plan,
    note_skipped,
    recorded_path,
    waiting,
)
from .video import open_video
from .weights import shipped_as

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
class Job:
    """A file that is to be encoded."""

    path: Path
    fingerprint: str  # of its content


Decided = Unchanged | Relinked | Forgotten | Skipped  # about a file that is not
Result = EncodedVideo | Decided


def encode_video(
    path: Path,
    network: Network,
    *,
    fingerprint: str | None = None,
    thumbnails: bool = True,
    frame_codes: bool = False,
    threads: int = 0,
    on_step: Callable[[Step], None] = lambda _: None,
) -> EncodedVideo:
    """The whole chain for one file.

    Args:
        path: of the file.
        network: detector, backbone, hash layers.
        fingerprint: of its content, where that is known already.
        thumbnails: keep a small picture of every track's best face.
        frame_codes: keep the codes of all crops; the layers hash pictures only.
        threads: of the decoder, 0: one for each core.
        on_step: called after every look.

    Raises:
        VideoError, NoVideoError: the file cannot be decoded, or holds no pictures. A file that stops early is kept as
            far as it decodes; its record carries the warning.
    """
    fingerprint, stat = fingerprint or content_fingerprint(path), path.stat()
    shot_rows: list[tuple[Any, ...]] = []
    track_rows: list[tuple[Any, ...]] = []
    codes: list[npt.NDArray[np.uint8]] = []
    thumbs: list[bytes] = []
    frames: list[npt.NDArray[np.uint8]] = []
    with open_video(path, threads=threads) as video:
        info = video.info
        duration = float(info.duration) if info.duration else None
        of_shot: list[Coded] = []
        found = scan(video, network.film_detector, thumbnails=thumbnails)
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
                        frames += [coded.frames for coded in of_shot if frame_codes and coded.frames is not None]
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
        recorded=info.recorded,
    )
    return EncodedVideo(
        video=record,
        shots=np.array(shot_rows, SHOT_DTYPE),
        tracks=np.array(track_rows, TRACK_DTYPE),
        codes=np.stack(codes) if codes else np.empty((0, code_bytes(network.layers.bits)), np.uint8),
        thumbnails=tuple(thumbs),
        frame_codes=tuple(frames) if frame_codes else None,
    )


def encode_file(
    job: Job,
    network: Network,
    thumbnails: bool,
    frame_codes: bool = False,
    *,
    threads: int = 0,
    on_step: Callable[[Step], None] = lambda _: None,
) -> EncodedVideo | Skipped:
    """Encode a video or a photo, or say why that cannot be done."""
    path, fingerprint = job.path, job.fingerprint
    try:
        if is_photo(path):
            return encode_still(path, network, fingerprint=fingerprint, thumbnails=thumbnails, frame_codes=frame_codes)
        return encode_video(
            path,
            network,
            fingerprint=fingerprint,
            thumbnails=thumbnails,
            frame_codes=frame_codes,
            threads=threads,
            on_step=on_step,
        )
    except (DhhError, OSError) as error:
        return Skipped(path, reason_of(path, error))


def encode(
    paths: Sequence[Path],
    codes_path: Path,
    network: Network,
    *,
    thumbnails: bool | None = None,
    frame_codes: bool | None = None,
    prune: bool = False,
    roots: Sequence[Path] = (),
    workers: int = 1,
    on_step: Callable[[Step], None] = lambda _: None,
    on_plan: Callable[[set[Path]], None] = lambda _: None,
) -> Generator[Encoded | Unchanged | Relinked | Forgotten | Skipped | Gone]:
    """Encode files; each is on disk as soon as it is done, and one bad file stops nothing.

    What the codes file holds already is not done again, wherever it lies now; a changed file replaces its old rows (see
    upkeep.py). When the generator ends or is closed, what was committed is merged into the one named file.

    Args:
        paths: video files and photos.
        codes_path: the file the user names; created when there is something to put into it.
        network: detector, backbone, hash layers.
        thumbnails: keep a small picture of every track's best face; also of known videos, which are encoded again for
            it, or stripped of them. None: pictures of new ones, known ones stay as they are.
        frame_codes: see `frame_choice`.
        prune: drop the codes of files that are gone.
        roots: the folders and files where a known file that is gone is reported, and dropped.
        workers: files at a time; more than one: in processes of their own. The codes do not depend on it.
        on_step: called after every look.
        on_plan: called once, with the files that will probably be encoded.

    Raises:
        UsageError, ShardError: as `frame_choice`.
        ShardError: the codes file is another model's, damaged, or being written by another process.
    """
    with lock(codes_path):
        tag = frame_choice(codes_path, network, frame_codes)
        plan = make_plan(paths, codes_path, tag, thumbnails)
        on_plan(waiting(plan, paths))
        keep = thumbnails is not False
        tried: dict[Path, str | None] = {}
        try:
            if workers == 1:
                results = _in_turn(_jobs(paths, plan), network, keep, tag.frame_codes, on_step)
            else:
                from .crew import in_parallel

                results = in_parallel(_jobs(paths, plan), network, (keep, tag.frame_codes), workers, on_step)
            with closing(results):
                for path, result in results:
                    if isinstance(result, EncodedVideo):
                        result = without_forgotten(result, plan.tombstones)
                        commit(codes_path, tag, result)
                    tried[recorded_path(path)] = result.reason if isinstance(result, Skipped) else None
                    yield encoded(path, result) if isinstance(result, EncodedVideo) else result
            yield from gone_files(plan, codes_path, roots, prune=prune)
        finally:
            finish(codes_path, tag)
            erase_leftovers(plan, codes_path, tag)
            note_skipped(codes_path, tried)


def encoded(path: Path, result: EncodedVideo) -> Encoded:
    """What is said of a file that is done."""
    return Encoded(path, len(result.shots), len(result.tracks), float(length(result)), result.video.warnings)


def _jobs(paths: Sequence[Path], plan: Plan) -> Iterator[Job | Decided]:
    """What there is to encode, and of the rest why not."""
    for path in paths:
        decided = decide(plan, path)
        yield Job(path, decided) if isinstance(decided, str) else decided


def _in_turn(
    items: Iterator[Job | Decided],
    network: Network,
    thumbnails: bool,
    frame_codes: bool,
    on_step: Callable[[Step], None],
) -> Generator[tuple[Path, Result]]:
    for item in items:
        if isinstance(item, Job):
            yield item.path, encode_file(item, network, thumbnails, frame_codes, on_step=on_step)
        else:
            yield item.path, item


def reason_of(path: Path, error: Exception) -> str:
    """An error's words without the name of the file, which stands before them anyway."""
    return str(error).removeprefix(f"{path}: ")


def default_workers(files: int) -> int:
    """Files at a time: one for two cores, which is what decoding and looking at one film keep busy."""
    return max(1, min(files, (os.cpu_count() or 1) // 2))


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


def length(encoded: EncodedVideo) -> Fraction:
    """Seconds of film from the first frame to the end of the last."""
    if not len(encoded.shots):
        return Fraction(0)
    pts = int(encoded.shots["end_pts"][-1]) - encoded.video.start_pts
    return pts * encoded.video.time_base
