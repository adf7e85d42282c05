"""video: path -> frames (h, w, 3) uint8 BGR, upright, each with its exact time (pts x time base).

Notable:

- The only module that imports ``av``. FFmpeg's own log never reaches stderr.
- What decodes is kept: damage in the middle or a file cut short becomes a line in ``Video.warnings``.
- Pictures are converted only when asked for (``Frame.luma``, ``Frame.bgr``), at the size asked for, in
  swscale.
- Every frame of a video has one coordinate system: that of ``VideoInfo.width`` x ``height``, on square pixels, rotation
  applied. HDR becomes SDR, and of two fields that motion tore apart one remains.
"""

import os
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import av.error
import av.logging
import cv2
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from .errors import MissingPathError, NoVideoError, VideoError
from .recorded import video_recorded

av.logging.set_level(None)

Picture = npt.NDArray[np.uint8]


# A step back of the time stamps beyond this many seconds is another recording in the same file, not jitter.
RESTART = 1
MOST_WARNINGS = 10
PQ, HLG = 16, 18  # transfer functions as ITU-T H.273 numbers them
HDR = (PQ, HLG)
ASPECT = Fraction(4)  # pixels wider or higher than this are a mistake of the file


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a file says about its picture stream.

    width, height: of the upright picture on square pixels. frame_rate: average, frames a
    second. duration: seconds, as declared. rotation: 0, 90, 180 or 270 degrees clockwise, already applied to
    frames. start_timecode: "01:00:00:00", with ";" before the frames when drop-frame. start_pts: first pts
    the stream declares. recorded: when, as the file says, seconds since 1970.
    """

    path: Path
    width: int
    height: int
    codec: str
    frame_rate: Fraction | None
    time_base: Fraction
    duration: Fraction | None
    rotation: int
    start_timecode: str | None
    drop_frame: bool
    start_pts: int | None
    recorded: int | None = None


class _Scaler:
    """Conversions of one video's frames, with swscale's contexts kept between frames.

    A conversion writes into the frame's colour tags for its duration, so it holds a lock: frames may go to
    several threads.
    """

    def __init__(self, rotation: int, width: int, height: int) -> None:
        self._rotation, self._width, self._height = rotation, width, height
        self._lock = threading.Lock()
        self._contexts: dict[tuple[str, int, int], VideoReformatter] = {}

    def convert(
        self,
        picture: av.VideoFrame,
        kind: str,
        width: int | None,
        height: int | None,
        method: Interpolation = Interpolation.BILINEAR,
    ) -> Picture:
        width, height = self._size(width, height)
        whole = (width, height) == (self._width, self._height)
        if self._rotation % 180:
            width, height = height, width
        with self._lock:
            context = self._contexts.setdefault((kind, width, height), VideoReformatter())
            try:
                scaled = context.reformat(picture, width, height, kind, interpolation=method, threads=1)
                values = np.asarray(scaled.to_ndarray(), dtype=np.uint8)
            except (av.error.FFmpegError, ValueError) as error:
                raise VideoError(f"a frame cannot be converted to {kind} ({_words(error)})") from error
        if kind == "bgr24":
            values = as_seen(values, picture, whole)
        if self._rotation:
            values = np.ascontiguousarray(np.rot90(values, k=-self._rotation // 90))
        return values

    def coarse(self, picture: av.VideoFrame, width: int, height: int) -> Picture:
        values = self.convert(picture, "bgr24", 2 * width, 2 * height, Interpolation.FAST_BILINEAR)
        return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def _size(self, width: int | None, height: int | None) -> tuple[int, int]:
        """The missing side follows from the aspect; without any, the size of the video."""
        if width is None and height is None:
            return self._width, self._height
        if width is None:
            width = max(1, round(self._width * (height or 0) / self._height))
        if height is None:
            height = max(1, round(self._height * width / self._width))
        return width, height


def as_seen(values: Picture, picture: av.VideoFrame, whole: bool) -> Picture:
    """A converted picture (h, w, 3) as a plain screen would show it: HDR brought down; where a ``whole`` picture of two
    fields is combed by motion, one of them."""
    if picture.color_trc in HDR:
        values = np.asarray(cv2.LUT(values, hdr_table(int(picture.color_trc))), np.uint8)
    if whole and picture.interlaced_frame and len(values) >= 4 and is_combed(values):
        values = np.asarray(cv2.resize(values[::2], values.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    return values


def is_combed(values: Picture) -> bool:
    """Whether, in over a hundredth of the picture's places, next lines differ more than lines of the same field."""
    green = values[:-2, :, 1]
    next_lines = cv2.absdiff(green, values[1:-1, :, 1])
    same_field = cv2.absdiff(green, values[2:, :, 1])
    places = (max(1, values.shape[1] // 16), max(1, values.shape[0] // 16))
    near, far = (cv2.resize(part, places, interpolation=cv2.INTER_AREA) for part in (next_lines, same_field))
    return bool((near.astype(np.int16) > 1.2 * far + 4).mean() > 0.01)


@cache
def hdr_table(transfer: int) -> npt.NDArray[np.uint8]:
    """(256,) code values of an HDR transfer function -> those of a plain screen (gamma 2.2).

    PQ: SMPTE ST 2084, in parts of 203 cd/m2, the white of ITU-R BT.2408. HLG: ITU-R BT.2100's inverse OETF with a
    system gamma of 1.2, white at 0.75 of the signal. Above white it is compressed, x (1 + x / 25) / (1 + x) doubled
    (Reinhard et al., 2002), so that faces in sunlight keep their features. Primaries are left as they are.
    """
    v = np.arange(256) / 255.0
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        p = v ** (1 / m2)
        light = (np.maximum(p - c1, 0) / (c2 - c3 * p)) ** (1 / m1) * 10_000 / 203
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(v <= 0.5, v * v / 3, (np.exp((v - c) / a) + b) / 12)
        light = (light / 0.2650) ** 1.2
    shown = 2 * light * (1 + light / 25) / (1 + light)
    return np.round(np.clip(shown, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One decoded frame. index: from 0, in display order. pts, duration: ticks of the time base (duration 0:
    unknown). time: pts x time base, seconds, exact."""

    index: int
    pts: int
    time: Fraction
    duration: int
    picture: av.VideoFrame
    scaler: _Scaler

    def luma(self, width: int, height: int) -> Picture:
        """Upright grey picture (height, width) uint8, scaled with anti-aliasing."""
        return self.scaler.convert(self.picture, "gray", width, height)

    def coarse(self, width: int, height: int) -> Picture:
        """Upright small picture (height, width, 3) uint8 BGR, of 2 x 2 places of the frame a pixel: a quarter of the
        time of ``bgr``, which looks at every pixel."""
        return self.scaler.coarse(self.picture, width, height)

    def bgr(self, width: int | None = None, height: int | None = None) -> Picture:
        """Upright picture (h, w, 3) uint8 BGR, of the video's size or scaled; one side alone keeps the
        aspect.

        A stream that changes its size midway is brought to ``VideoInfo.width`` x ``height``.
        """
        return self.scaler.convert(self.picture, "bgr24", width, height)


class Video:
    """An open video; made by ``open_video``, used as a context manager. Its frames can be read once.

    ``close`` may be called while another thread reads frames: it waits for the frame in work and ends the
    rest.
    """

    def __init__(self, path: Path, container: InputContainer, stream: VideoStream) -> None:
        self._path, self._container, self._stream = path, container, stream
        self._time_base = _fraction(stream.time_base) or Fraction(1, 1000)
        self._notes: list[str] = []
        self._unlisted = 0
        self._corrupt = 0
        self._seconds: Fraction | None = None  # time of the frame decoded last
        self._decoding = threading.Lock()
        self._closed = self._read = False
        self._decoded = self._decode()
        self._first = self._next()
        if self._first is None:
            reason = self._notes[0] if self._notes else "it holds no frame"
            raise VideoError(f"{path}: cannot be decoded as video ({reason}): is the file complete?")
        self.info = _info(path, container, stream, self._time_base, self._first)
        self._scaler = _Scaler(self.info.rotation, self.info.width, self.info.height)

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for each thing that went wrong so far; complete when all frames have been read."""
        lines = list(self._notes)
        if self._unlisted:
            lines.append(f"and {self._unlisted} more of these")
        if self._corrupt:
            lines.append(f"damaged frames, kept as decoded: {self._corrupt}")
        return tuple(lines)

    def frames(self) -> Iterator[Frame]:
        """Frames in display order; pts increase strictly.

        A frame without pts takes its dts, or else the last pts plus its duration. A pts that does not
        increase becomes the last pts + 1; one that steps back by more than a second starts a new recording:
        the time goes on from the last frame, and a warning says so. Frames that cannot be decoded are
        missing (see ``warnings``) and are not counted in ``Frame.index``.
        """
        if self._read:
            raise ValueError(f"{self._path}: frames were read already, open the video again")
        self._read = True
        picture, self._first = self._first, None
        index, last, step, shift = 0, None, self._usual_step(), 0
        # AVI has no time stamps; FFmpeg's guess goes wrong where frames are stored in another order than shown
        counted = self._container.format.name == "avi" and bool(self._stream.codec_context.has_b_frames)
        while picture is not None:
            stamp = picture.pts if picture.pts is not None else picture.dts
            if counted and last is not None:
                stamp = None
            duration = int(picture.duration or 0)
            if last is None:
                pts = stamp if stamp is not None else (self._stream.start_time or 0)
            else:
                pts = last + step if stamp is None else stamp + shift
                if pts <= last and (last - pts) * self._time_base > RESTART:
                    self._note(f"time stamps jump back at {clock(last * self._time_base)}; counted on from there")
                    shift += last + step - pts
                    pts = last + step
                pts = max(pts, last + 1)
            step = duration or step
            last = pts
            self._seconds = pts * self._time_base
            self._corrupt += bool(picture.is_corrupt)
            yield Frame(index, pts, self._seconds, duration, picture, self._scaler)
            index += 1
            picture = self._next()
        if not self._closed:
            self._check_end(last, step)

    def at(self, time: Fraction) -> Frame | None:
        """The frame that is shown at ``time`` (s, by the file's time stamps); None where there is none."""
        return next(self.since(time), None)

    def since(self, time: Fraction) -> Iterator[Frame]:
        """Frames from the one that is shown at ``time`` on, found by seeking; ``index`` counts from there.

        What ``frames`` would still give is lost, and so is the rest of an earlier ``since``.
        """
        wanted = int(time / self._time_base)
        with self._decoding:
            self._container.seek(wanted, stream=self._stream)
        self._decoded = self._decode()
        before: av.VideoFrame | None = None
        index = 0
        while (picture := self._next()) is not None:
            if picture.pts is None:
                continue
            if picture.pts <= wanted:
                before = picture
                continue
            if before is not None:
                yield self._sought(before, index)
                index, before = index + 1, None
            yield self._sought(picture, index)  # the first, where a container lands behind the wanted place
            index += 1
        if before is not None:
            yield self._sought(before, index)

    def _sought(self, picture: av.VideoFrame, index: int) -> Frame:
        pts = picture.pts or 0
        return Frame(index, pts, pts * self._time_base, int(picture.duration or 0), picture, self._scaler)

    def close(self) -> None:
        with self._decoding:
            self._closed = True
            self._decoded.close()
            self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _usual_step(self) -> int:
        """Ticks from one frame to the next where no frame says it."""
        rate = _fraction(self._stream.average_rate) or _fraction(self._stream.guessed_rate) or Fraction(25)
        return max(1, round(1 / (rate * self._time_base)))

    def _next(self) -> av.VideoFrame | None:
        with self._decoding:
            return None if self._closed else next(self._decoded, None)

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """Demultiplex and decode, noting errors instead of raising them."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except IndexError:
                # A stream that begins midway, real or made up by damage: PyAV does not know it and gives up on its
                # packet; the ones after it can be had.
                packets = self._container.demux(self._stream)
                continue
            except av.error.FFmpegError as error:
                self._note(f"stopped at {self._clock()}: {_words(error)}")
                packet = None
            try:
                decoded = self._stream.codec_context.decode(None) if packet is None else packet.decode()
            except av.error.EOFError:
                return  # the decoder had been emptied already
            except av.error.FFmpegError as error:
                self._note(f"damaged at {self._clock()}: {_words(error)}")
                decoded = []
            yield from (frame for frame in decoded if isinstance(frame, av.VideoFrame) and frame.width)
            if packet is None:
                return

    def _check_end(self, last: int | None, step: int) -> None:
        """A file cut short often just ends: compare with the duration that its header declares.

        A duration of the container only may be that of its sound, so there more may be missing.
        """
        declared = self.info.duration
        if declared is None or last is None or any(note.startswith("stopped") for note in self._notes):
            return
        missing = declared - (last + step - (self._stream.start_time or 0)) * self._time_base
        of_stream = self._stream.duration is not None
        if missing > (max(Fraction(1, 2), declared / 50) if of_stream else max(Fraction(1), declared / 10)):
            self._note(f"stopped at {self._clock()}: the file declares {clock(declared)}, is it cut short?")

    def _clock(self) -> str:
        return clock(self._seconds or Fraction(0))

    def _note(self, line: str) -> None:
        if len(self._notes) < MOST_WARNINGS:
            self._notes.append(line)
        else:
            self._unlisted += 1


def open_video(path: Path, *, threads: int = 0) -> Video:
    """Open a video and decode its first frame. threads: of the decoder, 0: one for each core.

    The largest picture stream is taken, of equals the first; cover art does not count. Nothing is read from the
    network, whatever a playlist says. Raises MissingPathError, NoVideoError when there is no picture stream,
    VideoError when nothing can be decoded.
    """
    try:
        if path.is_dir():
            raise MissingPathError(f"{path}: is a folder, expected a video file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise MissingPathError(f"{path}: cannot be opened: {error.strerror or error}") from error
    try:
        # The prefix keeps a name like "concat:a" or "http:x" a name; metadata is often in old encodings.
        container = av.open(
            "file:" + os.fspath(path.absolute()),
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(f"{path}: cannot be opened as video ({_words(error)}): is the file complete?") from error
    try:
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            found = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            raise NoVideoError(f"{path}: holds no picture stream (found: {found})")
        stream = max(streams, key=_area)  # of equals the first: a proxy or a preview may lie beside the film
        if stream.codec_context is None:  # FFmpeg knows the container but has no decoder for what is in it
            raise VideoError(f"{path}: no decoder for its picture codec; convert the file first")
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        # Frames that no other frame is made from are left blocky: a tenth of the time, and nothing spreads.
        stream.codec_context.options = {"skip_loop_filter": "noref"}
        return Video(path, container, stream)
    except BaseException:
        container.close()
        raise


def _area(stream: VideoStream) -> int:
    return stream.codec_context.width * stream.codec_context.height if stream.codec_context else 0


def clock(seconds: Fraction) -> str:
    """Seconds -> "00:00:12.3" (cut off, not rounded)."""
    tenths = int(seconds * 10)
    sign, tenths = ("-", -tenths) if tenths < 0 else ("", tenths)
    whole = tenths // 10
    return f"{sign}{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{tenths % 10}"


def _fraction(value: Any) -> Fraction | None:
    """A rate or time base of PyAV as Fraction; None when unknown (FFmpeg writes that as 0/0 or 0)."""
    return Fraction(int(value.numerator), int(value.denominator)) if value else None


def _words(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__).strip()


def _info(
    path: Path, container: InputContainer, stream: VideoStream, time_base: Fraction, first: av.VideoFrame
) -> VideoInfo:
    # FFmpeg gives the angle counterclockwise that the display matrix turns by.
    rotation = round(-first.rotation / 90) * 90 % 360
    width, height = _square(first.width, first.height, _fraction(stream.sample_aspect_ratio))
    if rotation % 180:
        width, height = height, width
    duration = None
    if stream.duration is not None:
        duration = stream.duration * time_base
    elif container.duration is not None:
        duration = Fraction(container.duration, 1_000_000)
    timecode, drop_frame = _start_timecode(container, stream)
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        codec=stream.codec_context.codec.name if stream.codec_context else "unknown",
        frame_rate=_fraction(stream.average_rate) or _fraction(stream.guessed_rate),
        time_base=time_base,
        duration=duration,
        rotation=rotation,
        start_timecode=timecode,
        drop_frame=drop_frame,
        start_pts=stream.start_time,
        recorded=video_recorded((container.metadata, stream.metadata)),
    )


def _square(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Size on square pixels: a picture of oblong ones is made wider or narrower, as a player shows it."""
    if aspect is None or not 1 / ASPECT <= aspect <= ASPECT:
        return width, height
    return max(1, round(width * aspect)), height


def _start_timecode(container: InputContainer, stream: VideoStream) -> tuple[str | None, bool]:
    """Source timecode of the first frame: of the picture stream, else of a timecode track, else of the
    container.
    """
    others = [s.metadata for s in container.streams if s.type == "data"]
    for metadata in (stream.metadata, *others, container.metadata):
        text = next((value for key, value in metadata.items() if key.lower() == "timecode"), "").strip()
        digits = text.replace(";", ":").replace(".", ":").split(":")
        if len(digits) == 4 and all(part.isdecimal() for part in digits):
            drop_frame = text[-3:-2] in (";", ".")
            hours, minutes, seconds, frames = (int(part) for part in digits)
            separator = ";" if drop_frame else ":"
            return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{frames:02}", drop_frame
    return None, False
