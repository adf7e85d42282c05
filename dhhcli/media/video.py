"""video: path -> frames (h, w, 3) uint8 BGR, upright, each with its exact time (pts x time base).

Notable:

- FFmpeg's own log never reaches stderr.
- What decodes is kept: damage in the middle or a file cut short becomes a line in ``Video.warnings``.
- Pictures are converted only when asked for (media/frame.py).
- Every frame of a video has one coordinate system: that of ``VideoInfo.width`` x ``height``, on square pixels, rotation
  applied (media/stream_info.py).
"""

import os
import threading
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.error
import av.logging
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from dhhcli.errors import MissingPathError, NoVideoError, VideoError
from dhhcli.media.frame import Frame, Scaler, ffmpeg_words
from dhhcli.media.stream_info import info_of, rational

av.logging.set_level(None)
# A step back of the time stamps beyond this many seconds is another recording in the same file, not jitter.
RESTART = 1
MOST_WARNINGS = 10


class Video:
    """An open video; made by ``open_video``, used as a context manager. Its frames can be read once.

    ``close`` may be called while another thread reads frames: it waits for the frame in work and ends the
    rest.
    """

    def __init__(self, path: Path, container: InputContainer, stream: VideoStream) -> None:
        self._path, self._container, self._stream = path, container, stream
        self._time_base = rational(stream.time_base) or Fraction(1, 1000)
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
        self.info = info_of(path, container, stream, self._time_base, self._first)
        self._scaler = Scaler(self.info.rotation, self.info.width, self.info.height)

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
        rate = rational(self._stream.average_rate) or rational(self._stream.guessed_rate) or Fraction(25)
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
                self._note(f"stopped at {self._clock()}: {ffmpeg_words(error)}")
                packet = None
            try:
                decoded = self._stream.codec_context.decode(None) if packet is None else packet.decode()
            except av.error.EOFError:
                return  # the decoder had been emptied already
            except av.error.FFmpegError as error:
                self._note(f"damaged at {self._clock()}: {ffmpeg_words(error)}")
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
        raise VideoError(f"{path}: cannot be opened as video ({ffmpeg_words(error)}): is the file complete?") from error
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
