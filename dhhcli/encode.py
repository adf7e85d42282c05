"""encode: video file -> EncodedVideo (shots, tracks, one code a track), streaming; many files -> one codes file.

The chain: frames -> shots, and every fifth of a second faces -> observations -> tracks of a shot -> at most 30
crops a track -> features -> log-covariance -> code. A crop is cut while its frame is there, and a track keeps at most
60 of them until its shot ends: memory grows with the tracks of one shot, not with the length of the film.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
from .shards import check_model, commit, compact, lock, open_shard
from .shots import Shot, ShotDetector
from .tables import SHOT_DTYPE, TRACK_DTYPE, ModelTag
from .tracks import FaceTrack, FaceTracker, Observation, sample
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
    path: Path, network: Network, *, thumbnails: bool = True, on_step: Callable[[Step], None] = lambda _: None
) -> EncodedVideo:
    """The whole chain for one file.

    Raises:
        VideoError, NoVideoError: the file cannot be decoded, or holds no pictures. A file that stops early is kept as
            far as it decodes; its record carries the warning.
    """
    fingerprint, stat = content_fingerprint(path), path.stat()
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
    thumbnails: bool = True,
    on_step: Callable[[Step], None] = lambda _: None,
) -> Iterator[Encoded | Unchanged | Skipped]:
    """Encode files one after the other; each is on disk before the next begins, and one bad file stops nothing.

    What the codes file holds already (same path, same content fingerprint) is not done again; a changed file replaces
    its old rows. When the generator ends or is closed, what was committed is merged into the one named file.

    Args:
        paths: video files.
        codes_path: the file the user names; created when missing.
        network: detector, backbone, hash layers.
        thumbnails: keep a small picture of every track's best face.
        on_step: called after every frame.

    Raises:
        ShardError: the codes file is another model's, damaged, or being written by another process.
    """
    with lock(codes_path):
        known = known_videos(codes_path, network.tag)
        try:
            for path in paths:
                if not path.is_file():  # reading a pipe or a device may never end
                    yield Skipped(path, "not a regular file")
                    continue
                try:
                    before = known.get(recorded_path(path))
                    if before is not None and before.fingerprint == content_fingerprint(path):
                        yield Unchanged(path, before.warnings)
                        continue
                    encoded = encode_video(path, network, thumbnails=thumbnails, on_step=on_step)
                except (DhhError, OSError) as error:
                    yield Skipped(path, str(error).removeprefix(f"{path}: "))
                    continue
                commit(codes_path, network.tag, encoded)
                yield Encoded(
                    path,
                    len(encoded.shots),
                    len(encoded.tracks),
                    float(length(encoded)),
                    encoded.video.warnings,
                )
        finally:
            compact(codes_path, network.tag)


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
