"""encode: video file -> EncodedVideo (shots, tracks, one code a track), streaming; many files -> one codes file.

The chain: frames -> shots, and every fifth of a second faces -> observations -> tracks of a shot -> at most 30
crops a track -> features -> log-covariance -> code. A crop is cut while its frame is there, and a track keeps at most
60 of them until its shot ends: memory grows with the tracks of one shot, not with the length of the film.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .codes import binarise, code_bytes, pack
from .crops import SIZE, align, sharpness, thumbnail
from .errors import DhhError, MissingPathError
from .faces import FaceDetector
from .hashing import hash_tracks
from .network import Network
from .prefetch import prefetch
from .records import EncodedVideo, VideoRecord, content_fingerprint
from .shards import commit, finish, lock, open_shard
from .shots import Shot, ShotDetector
from .sources import is_photo
from .stills import encode_still
from .tables import SHOT_DTYPE, TRACK_DTYPE
from .tombstones import without_forgotten
from .tracks import FaceTrack, FaceTracker, Observation, sample
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
from .video import Frame, Video, open_video
from .weights import shipped_as

LOOK_EVERY = Fraction(1, 5)  # seconds between looks for faces: exactly one track for 100-103 of 103 person-shots
FRAMES_A_CODE = 30  # Qiao et al. cut tracks into clips of at most 30; we sample 30 evenly, one code a track
DECODE_AHEAD = 6  # frames the decoder may be ahead of the detector


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


def shot_tracks(
    video: Video, detector: FaceDetector, *, thumbnails: bool, on_frame: Callable[[Frame], None], margin: int = 0
) -> Iterator[tuple[Shot, list[FaceTrack]]]:
    """Shots of a video in order, each with its face tracks; ``margin``: pixels around the crops (see ``observe``).

    A dissolve is recognised some frames after it began, so observations wait until their frame is settled.
    """
    shots, tracker = ShotDetector(video.info.frame_rate), FaceTracker()
    waiting: deque[tuple[int, list[Observation]]] = deque()
    next_look = Fraction(-1)

    def track_before(frame: int) -> None:
        while waiting and waiting[0][0] < frame:
            tracker.step(waiting.popleft()[1])

    for frame in prefetch(video.frames(), DECODE_AHEAD):
        finished = shots.push(frame)
        for shot in finished:
            track_before(shot.end_frame)
            yield shot, tracker.finish()
        if frame.time >= next_look or finished:
            next_look = frame.time + LOOK_EVERY
            waiting.append((frame.index, observe(frame, detector, thumbnails=thumbnails, margin=margin)))
        track_before(shots.settled)
        on_frame(frame)
    for shot in shots.finish():
        track_before(shot.end_frame)
        yield shot, tracker.finish()


def observe(frame: Frame, detector: FaceDetector, *, thumbnails: bool, margin: int = 0) -> list[Observation]:
    """Every face of a frame with its aligned crop (64 + 2 margin, 64 + 2 margin, 3)."""
    picture = frame.bgr()
    observations = []
    for face in detector.detect(picture):
        crop = align(picture, face.landmarks, margin=margin)
        small = thumbnail(picture, face.box) if thumbnails else b""
        middle = crop[margin : margin + SIZE, margin : margin + SIZE]
        observations.append(Observation(frame.index, frame.pts, face, crop, sharpness(middle), small))
    return observations


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
    fingerprint: str | None = None,
    thumbnails: bool = True,
    on_step: Callable[[Step], None] = lambda _: None,
) -> EncodedVideo:
    """The whole chain for one file; ``fingerprint``: of its content, where that is known already.

    Raises:
        VideoError, NoVideoError: the file cannot be decoded, or holds no pictures. A file that stops early is kept as
            far as it decodes; its record carries the warning.
    """
    fingerprint, stat = fingerprint or content_fingerprint(path), path.stat()
    shot_rows: list[tuple[Any, ...]] = []
    track_rows: list[tuple[Any, ...]] = []
    codes, thumbs = [], []
    frames, seen = 0, 0.0
    with open_video(path) as video:
        info = video.info
        origin: Fraction | None = None

        def on_frame(frame: Frame) -> None:
            nonlocal frames, seen, origin
            origin = frame.time if origin is None else origin
            frames, seen = frame.index + 1, float(frame.time - origin)
            on_step(Step(path, seen, float(info.duration) if info.duration else None))

        for shot, tracks in shot_tracks(video, network.detector, thumbnails=thumbnails, on_frame=on_frame):
            row = len(shot_rows)
            shot_rows.append((0, shot.number, shot.start_frame, shot.end_frame, shot.start_pts, shot.end_pts))
            codes.append(track_codes(tracks, network))
            for track in tracks:
                best = track.best
                track_rows.append(
                    (
                        0,
                        row,
                        track.first_frame,
                        track.last_frame + 1,
                        track.first_pts,
                        track.last_pts,
                        best.frame,
                        best.pts,
                        best.face.box,
                        best.face.score,
                        best.face.size,
                        best.sharpness,
                        len(sample(track, FRAMES_A_CODE)),
                    )
                )
                thumbs.append(best.thumbnail)
        warnings = video.warnings
    record = VideoRecord(
        path=recorded_path(path),
        fingerprint=fingerprint,
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        width=info.width,
        height=info.height,
        frames=frames,
        frame_rate=info.frame_rate,
        time_base=info.time_base,
        start_pts=shot_rows[0][4] if shot_rows else 0,
        duration=info.duration,
        start_timecode=info.start_timecode,
        drop_frame=info.drop_frame,
        warnings=warnings,
    )
    empty = np.empty((0, code_bytes(network.layers.bits)), np.uint8)
    return EncodedVideo(
        video=record,
        shots=np.array(shot_rows, SHOT_DTYPE),
        tracks=np.array(track_rows, TRACK_DTYPE),
        codes=np.concatenate([empty, *codes]),
        thumbnails=tuple(thumbs),
    )


def encode(
    paths: Sequence[Path],
    codes_path: Path,
    network: Network,
    *,
    thumbnails: bool | None = None,
    prune: bool = False,
    roots: Sequence[Path] = (),
    on_step: Callable[[Step], None] = lambda _: None,
    on_plan: Callable[[set[Path]], None] = lambda _: None,
) -> Generator[Encoded | Unchanged | Relinked | Forgotten | Skipped | Gone]:
    """Encode files one after the other; each is on disk before the next begins, and one bad file stops nothing.

    What the codes file holds already is not done again, wherever it lies now; a changed file replaces its old rows (see
    upkeep.py). When the generator ends or is closed, what was committed is merged into the one named file.

    Args:
        paths: video files and photos.
        codes_path: the file the user names; created when there is something to put into it.
        network: detector, backbone, hash layers.
        thumbnails: keep a small picture of every track's best face; also of known videos, which are encoded again for
            it, or stripped of them. None: pictures of new ones, known ones stay as they are.
        prune: drop the codes of files that are gone.
        roots: the folders and files where a known file that is gone is reported, and dropped.
        on_step: called after every frame.
        on_plan: called once, with the files that will probably be encoded.

    Raises:
        ShardError: the codes file is another model's, damaged, or being written by another process.
    """
    with lock(codes_path):
        plan = make_plan(paths, codes_path, network.tag, thumbnails)
        on_plan(waiting(plan, paths))
        tried: dict[Path, str | None] = {}
        try:
            for path in paths:
                decided = decide(plan, path)
                event = (
                    encode_file(path, decided, plan, codes_path, network, on_step)
                    if isinstance(decided, str)  # the fingerprint of what is to be encoded
                    else decided
                )
                tried[recorded_path(path)] = event.reason if isinstance(event, Skipped) else None
                yield event
            yield from gone_files(plan, codes_path, roots, prune=prune)
        finally:
            finish(codes_path, network.tag)
            erase_leftovers(plan, codes_path, network.tag)
            note_skipped(codes_path, tried)


def encode_file(
    path: Path, fingerprint: str, plan: Plan, codes_path: Path, network: Network, on_step: Callable[[Step], None]
) -> Encoded | Skipped:
    """Encode one file and commit it, without the tracks that were forgotten. Raises ShardError as ``commit``."""
    keep = plan.thumbnails is not False
    try:
        if is_photo(path):
            encoded = encode_still(path, network, fingerprint=fingerprint, thumbnails=keep)
        else:
            encoded = encode_video(path, network, fingerprint=fingerprint, thumbnails=keep, on_step=on_step)
    except (DhhError, OSError) as error:
        return Skipped(path, str(error).removeprefix(f"{path}: "))
    encoded = without_forgotten(encoded, plan.tombstones)
    commit(codes_path, network.tag, encoded)
    return Encoded(path, len(encoded.shots), len(encoded.tracks), float(length(encoded)), encoded.video.warnings)


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
