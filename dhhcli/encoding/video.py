"""video: one video or photo -> its codes and tables, whole, or the reason why not."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dhhcli.base.prefetch import prefetch
from dhhcli.encoding.events import Encoded, Forgotten, Relinked, Skipped, Step, Unchanged
from dhhcli.encoding.options import USUAL, EncodeOptions
from dhhcli.encoding.photo import encode_still
from dhhcli.encoding.track_codes import Coded, code_tracks
from dhhcli.errors import DhhError
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


Decided = Unchanged | Relinked | Forgotten | Skipped  # about a file that is not
Result = EncodedVideo | Decided


def encode_video(
    path: Path,
    network: Network,
    options: EncodeOptions = USUAL,
    *,
    fingerprint: str | None = None,
    on_step: Callable[[Step], None] = lambda _: None,
) -> EncodedVideo:
    """The whole chain for one file.

    Args:
        path: of the file.
        network: detector, backbone, hash layers.
        options: what is kept of it; codes of frames are only where the layers hash pictures.
        fingerprint: of its content, where that is known already.
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
    with open_video(path, threads=options.threads) as video:
        info = video.info
        duration = float(info.duration) if info.duration else None
        of_shot: list[Coded] = []
        found = scan(video, network.film_detector, thumbnails=options.pictures)
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
                        frames += [
                            coded.frames for coded in of_shot if options.frame_codes and coded.frames is not None
                        ]
                        of_shot.clear()
                        shot_rows.append(
                            (0, shot.number, shot.start_frame, shot.end_frame, shot.start_pts, shot.end_pts)
                        )
        warnings, (width, height) = video.warnings, video.largest
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
    tracks = np.array(track_rows, TRACK_DTYPE)
    if (width, height) != (info.width, info.height):  # boxes were in pixels of the first frame
        tracks["box"] *= np.array([width / info.width, height / info.height] * 2, np.float32)
    return EncodedVideo(
        video=record,
        shots=np.array(shot_rows, SHOT_DTYPE),
        tracks=tracks,
        codes=np.stack(codes) if codes else np.empty((0, code_bytes(network.layers.bits)), np.uint8),
        thumbnails=tuple(thumbs),
        frame_codes=tuple(frames) if options.frame_codes else None,
    )


def _seconds(shots: list[tuple[Any, ...]], time_base: Fraction) -> Fraction | None:
    """From the first frame to the end of the last: a duration for files whose time stamps jump."""
    return (shots[-1][5] - shots[0][4]) * time_base if shots else None


def encode_file(
    job: Job,
    network: Network,
    options: EncodeOptions = USUAL,
    *,
    on_step: Callable[[Step], None] = lambda _: None,
) -> EncodedVideo | Skipped:
    """Encode a video or a photo, or say why that cannot be done: anything that a reader raises is this file's fault."""
    path, fingerprint = job.path, job.fingerprint
    try:
        if is_photo(path) and not is_animated(path):
            made = encode_still(path, network, options, fingerprint=fingerprint)
        else:
            made = encode_video(path, network, options, fingerprint=fingerprint, on_step=on_step)
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
