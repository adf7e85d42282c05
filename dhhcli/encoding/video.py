"""video: one video or photo -> its codes and tables, whole, or the reason why not."""

import os
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dhhcli.base.prefetch import prefetch
from dhhcli.encoding.begun import Begun, Findings, Kept, identity_of, packed, read_begun
from dhhcli.encoding.events import Encoded, Forgotten, Relinked, Skipped, Step, Unchanged
from dhhcli.encoding.options import USUAL, EncodeOptions
from dhhcli.encoding.photo import encode_still
from dhhcli.encoding.track_codes import Coded, code_tracks
from dhhcli.errors import DhhError
from dhhcli.faces import bookmark
from dhhcli.faces.bookmark import Bookmark, LostPlaceError
from dhhcli.faces.scan import Looked, scan
from dhhcli.media.files.discover import is_photo
from dhhcli.media.photo import is_animated
from dhhcli.media.shots import Shot
from dhhcli.media.timing.clock import counted_on
from dhhcli.media.video import open_video
from dhhcli.models.binary_codes import code_bytes
from dhhcli.models.network import Network
from dhhcli.storage.record import EncodedVideo, VideoRecord, check_encoded, content_fingerprint, recorded_path
from dhhcli.storage.schema import SHOT_DTYPE, TRACK_DTYPE

SCAN_AHEAD = 48  # tracks, shots and looks that may wait for the network


@dataclass(frozen=True)
class Job:
    """A file that is to be encoded."""

    path: Path
    fingerprint: str  # of its content
    keep_at: Path | None = None  # as for ``encode_video``


Decided = Unchanged | Relinked | Forgotten | Skipped  # about a file that is not
Result = EncodedVideo | Decided
OnStep = Callable[[Step | Begun], None]


def encode_video(
    path: Path,
    network: Network,
    options: EncodeOptions = USUAL,
    *,
    fingerprint: str | None = None,
    on_step: OnStep = lambda _: None,
    keep_at: Path | None = None,
) -> EncodedVideo:
    """The whole chain for one file.

    Args:
        path: of the file.
        network: detector, backbone, hash layers.
        options: what is kept of it; codes of frames are only where the layers hash pictures.
        fingerprint: of its content, where that is known already.
        on_step: called after every look, and with what is to be kept for a run that may have to go on.
        keep_at: the file where it is kept, and is gone on from where it fits (encoding/begun.py); None: nothing is.

    Raises:
        VideoError, NoVideoError: the file cannot be decoded, or holds no pictures. A file that stops early is kept as
            far as it decodes; its record carries the warning.
    """
    fingerprint, stat = fingerprint or content_fingerprint(path), path.stat()
    identity = {} if keep_at is None else identity_of(path, fingerprint, network, options)
    kept = None if keep_at is None else read_begun(keep_at, identity)
    state = None
    if kept is not None:
        with suppress(ValueError):
            state = bookmark.kept(kept.scan)

    def keep(findings: Findings, mark: Bookmark, largest: tuple[int, int]) -> None:
        if keep_at is not None and mark.data:
            on_step(Begun(path, packed(identity, findings, mark, largest)))

    try:
        return _encode(path, network, options, fingerprint, stat, on_step, keep, kept if state else None, state)
    except LostPlaceError:  # the file does not lead there: from the beginning
        return _encode(path, network, options, fingerprint, stat, on_step, keep, None, None)


def _encode(
    path: Path,
    network: Network,
    options: EncodeOptions,
    fingerprint: str,
    stat: os.stat_result,
    on_step: OnStep,
    keep: Callable[[Findings, Bookmark, tuple[int, int]], None],
    kept: Kept | None,
    state: bookmark.Kept | None,
) -> EncodedVideo:
    """All of a film, or what is left of it. keep: called at bookmarks. kept, state: what an earlier run had done, and
    what its scan knew.
    """
    findings = kept.findings if kept else Findings()
    since = kept.seconds if kept else 0.0
    sizes = [kept.largest] if kept else []
    with open_video(path, threads=options.threads) as video:
        info = video.info
        duration = float(info.duration) if info.duration else None
        found = scan(video, network.film_detector, thumbnails=options.pictures, every=options.every, kept=state)
        with closing(prefetch(found, SCAN_AHEAD)) as ahead:
            for item in code_tracks(ahead, network):
                match item:
                    case Looked(seconds):
                        on_step(Step(path, float(seconds), duration, since))
                    case Coded():
                        findings.of_shot.append(item)
                    case Shot():
                        findings.end(item, frame_codes=bool(options.frame_codes))
                    case Bookmark():
                        keep(findings, item, _largest([*sizes, video.largest]))
        warnings, (width, height) = video.warnings, _largest([*sizes, video.largest])
    shot_rows, codes = findings.shots, findings.codes
    record = VideoRecord(
        path=recorded_path(path),
        fingerprint=fingerprint,
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        width=width,
        height=height,
        frames=shot_rows[-1][3] if shot_rows else 0,
        frame_rate=info.frame_rate,
        time_base=info.time_base,
        start_pts=shot_rows[0][4] if shot_rows else 0,
        duration=_seconds(shot_rows, info.time_base) if counted_on(warnings) else info.duration,
        start_timecode=info.start_timecode,
        drop_frame=info.drop_frame,
        warnings=warnings,
        recorded=info.recorded,
        delay=info.delay,
    )
    tracks = np.array(findings.tracks, TRACK_DTYPE)
    if (width, height) != (info.width, info.height):  # boxes were in pixels of the first frame
        tracks["box"] *= np.array([width / info.width, height / info.height] * 2, np.float32)
    return EncodedVideo(
        video=record,
        shots=np.array(shot_rows, SHOT_DTYPE),
        tracks=tracks,
        codes=np.stack(codes) if codes else np.empty((0, code_bytes(network.layers.bits)), np.uint8),
        thumbnails=tuple(findings.thumbnails),
        frame_codes=tuple(findings.frames) if options.frame_codes else None,
    )


def _largest(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """Of (width, height), by area, the first of equals."""
    return max(sizes, key=lambda size: size[0] * size[1])


def _seconds(shots: list[tuple[Any, ...]], time_base: Fraction) -> Fraction | None:
    """From the first frame to the end of the last: a duration for files whose time stamps jump."""
    return (shots[-1][5] - shots[0][4]) * time_base if shots else None


def encode_file(
    job: Job,
    network: Network,
    options: EncodeOptions = USUAL,
    *,
    on_step: OnStep = lambda _: None,
) -> EncodedVideo | Skipped:
    """Encode a video or a photo, or say why that cannot be done: anything that a reader raises is this file's fault."""
    path, fingerprint = job.path, job.fingerprint
    try:
        if is_photo(path) and not is_animated(path):
            made = encode_still(path, network, options, fingerprint=fingerprint)
        else:
            made = encode_video(path, network, options, fingerprint=fingerprint, on_step=on_step, keep_at=job.keep_at)
        check_encoded(made)
        return made
    except (DhhError, OSError) as error:
        return Skipped(path, reason_of(path, error))
    except Exception as error:  # noqa: BLE001 - readers of dozens of formats, and what hostile files make of them
        words = " ".join(str(error).split())[:200]
        return Skipped(path, f"cannot be read ({type(error).__name__}{': ' if words else ''}{words})")


def encoded(path: Path, result: EncodedVideo) -> Encoded:
    """What is said of a file that is done."""
    return Encoded(path, len(result.shots), len(result.tracks), float(length(result)), result.video.warnings)


def reason_of(path: Path, error: Exception) -> str:
    """An error's words without the name of the file, which stands before them anyway."""
    return str(error).removeprefix(f"{path}: ")


def length(encoded: EncodedVideo) -> Fraction:
    """Seconds of film from the first frame to the end of the last."""
    if not len(encoded.shots):
        return Fraction(0)
    pts = int(encoded.shots["end_pts"][-1]) - encoded.video.start_pts
    return pts * encoded.video.time_base
