"""video: path -> frames (h, w, 3) uint8 BGR, upright, each with its exact time (pts x time base).

Notable:

- FFmpeg's own log never reaches stderr.
- What decodes is kept: damage in the middle or a file cut short becomes a line in ``Video.warnings``.
- Pictures are converted only when asked for (media/frame.py).
- Every frame is upright, on square pixels, of its own size: a stream may change it midway.
- Frames are found by seeking as by counting: the same clock (media/timing/clock.py) tells both their times.
"""

import heapq
import os
import threading
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.error
import av.logging
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from dhhcli.errors import MissingPathError, NoVideoError, VideoError
from dhhcli.media.files.demuxers import OPTIONS, kind_in_words
from dhhcli.media.files.encrypted import encryption
from dhhcli.media.files.passed_over import camera_raw
from dhhcli.media.frame import Frame, Scaler, ffmpeg_words, orientation, square
from dhhcli.media.stream_choice import film_of
from dhhcli.media.stream_info import info_of, rational
from dhhcli.media.timing.clock import COUNTED_ON, Clock, counted_on
from dhhcli.media.timing.frame_rate import OFF, doubtful, real_rate

av.logging.set_level(None)
MOST_WARNINGS = 10
NO_STAMPS, OF_SENDER = 0x80, 0x200  # of FFmpeg's formats: AVFMT_NOTIMESTAMPS, AVFMT_TS_DISCONT
AHEAD = 32  # packets that are read before the first is decoded: what a rate is told from
FAR_AHEAD = 256  # where the file's own rate is in doubt
AHEAD_BYTES = 64 << 20
PICTURES_AHEAD = 12  # decoded then, as far as they are small
PICTURE_BYTES = 128 << 20  # of all of them


@dataclass(frozen=True, slots=True)
class Place:
    """A frame to go on from, and what had gone wrong up to there. index, pts: of the frame. seek: whether it may be
    found by its time stamp; nothing may go wrong around it then.
    """

    index: int
    pts: int
    seek: bool
    notes: tuple[str, ...] = ()
    unlisted: int = 0
    corrupt: int = 0


class Video:
    """An open video; made by ``open_video``, used as a context manager. Its frames can be read once.

    ``close`` may be called while another thread reads frames: it waits for the frame in work and ends the
    rest.
    """

    def __init__(
        self,
        path: Path,
        container: InputContainer,
        stream: VideoStream,
        *,
        threads: int = 0,
        notes: tuple[str, ...] = (),
    ) -> None:
        """threads: of the decoder, where the file is opened once more; notes: what was found when it was opened."""
        self._path, self._container, self._stream, self._threads = path, container, stream, threads
        self._time_base = rational(stream.time_base) or Fraction(1, 1000)
        self._found = notes
        self._notes: list[str] = list(notes)
        self._unlisted = 0
        self._corrupt = 0
        self._seconds: Fraction | None = None  # time of the frame decoded last
        self._origin = Fraction(0)  # and of the first one
        self._decoding = threading.Lock()
        self._closed = self._read = False
        self._scalers: dict[tuple[object, ...], Scaler] = {}
        self._decoded: Iterator[av.VideoFrame]
        self._start_reading()
        stamps = self._stamps_ahead(AHEAD)
        # AVI has no time stamps; FFmpeg's guess goes wrong where frames are stored in another order than shown
        avi = container.format.name == "avi" and bool(stream.codec_context.has_b_frames)
        self._ranked = avi and all(before < after for before, after in pairwise(stamps))
        first = self._next()
        if first is None:
            reason = self._notes[0] if self._notes else "it holds no frame"
            raise VideoError(f"{path}: cannot be decoded as video ({reason}): is the file complete?")
        self._origin = (self._stamp(first) or 0) * self._time_base
        self._coded_aspect = rational(stream.codec_context.sample_aspect_ratio)
        ahead = [first]
        rate = self._real_rate(stamps, ahead)
        said = rational(stream.average_rate) or rational(stream.guessed_rate)
        self._believed = said is None or rate == said
        self.info = info_of(path, container, stream, self._time_base, first, rate)
        self._decoded = chain(ahead, self._decoded)

    @property
    def largest(self) -> tuple[int, int]:
        """(width, height), upright, of the largest frames so far: a stream may change its size midway."""
        sizes = [scaler.size for scaler in self._scalers.values()]
        return max(sizes, key=lambda size: size[0] * size[1], default=(self.info.width, self.info.height))

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for each thing that went wrong so far; complete when all frames have been read."""
        lines = list(self._notes)
        if self._unlisted:
            lines.append(f"and {self._unlisted} more of these")
        if self._corrupt:
            lines.append(f"damaged frames, kept as decoded: {self._corrupt}")
        return tuple(lines)

    @property
    def troubles(self) -> int:
        """How many things went wrong so far, also in frames that were decoded ahead."""
        return len(self._notes) + self._unlisted + self._corrupt

    def place(self, index: int, pts: int, *, calm: bool) -> Place:
        """To go on from this frame in another ``Video`` of the file. calm: whether nothing went wrong around it."""
        seek = calm and self._has_stamps() and not counted_on(self._notes)
        return Place(index, pts, seek, tuple(self._notes), self._unlisted, self._corrupt)

    def frames(self, place: Place | None = None) -> Iterator[Frame]:
        """Frames in display order; pts increase strictly. place: only from there on; none where it is not found.

        A frame without pts takes its dts, or else the last pts plus its duration. A pts that does not
        increase becomes the last pts + 1; one that jumps (see media/timing/clock.py) starts a new recording:
        the time goes on from the last frame, and a warning says so. Frames that cannot be decoded are
        missing (see ``warnings``) and are not counted in ``Frame.index``.
        """
        if self._read:
            raise ValueError(f"{self._path}: frames were read already, open the video again")
        self._read = True
        timer = self._clock_of_file()
        if place is not None and place.seek:
            landed = self._landed(place.pts)
            if landed is None:  # by decoding from the start, which finds again what went wrong
                self._rewind()
                self._notes, self._unlisted, self._corrupt = list(self._found), 0, 0
                place = replace(place, seek=False)
            else:
                timer = landed
        yield from self._timed(timer, place)
        if not self._closed:
            self._check_end(timer)

    def at(self, time: Fraction, *, counted: bool = False) -> Frame | None:
        """The frame that is shown at ``time`` (s, as ``Frame.time``); None where there is none.

        counted: as for ``since``.
        """
        return next(self.since(time, counted=counted), None)

    def since(self, time: Fraction, *, counted: bool = False) -> Iterator[Frame]:
        """Frames from the one that is shown at ``time`` (s, as ``Frame.time``) on; ``index`` counts from there.

        It is found by seeking, ever earlier, until a key frame at or before it has been decoded; where the file has no
        time stamps of its own, or ``counted`` says that they jump (``clock.counted_on``), by decoding from the start.
        What ``frames`` would still give is lost, and so is the rest of an earlier ``since``.
        """
        wanted = int(time // self._time_base)
        for number, (pts, duration, picture) in enumerate(self._shown_at(wanted, counted)):
            yield Frame(number, pts, pts * self._time_base, duration, picture, self._scaler_of(picture))

    def _shown_at(self, wanted: int, counted: bool) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """(pts, duration, picture) from the last one whose pts is at most ``wanted`` on, or else from the first."""
        timer = self._landed(wanted) if not counted and self._has_stamps() else None
        if timer is None:
            self._rewind()
            timer = self._clock_of_file()
        before: tuple[int, int, av.VideoFrame] | None = None
        passed = False
        while (picture := self._next()) is not None:
            duration = self._duration(picture)
            shown = (timer.take(self._stamp(picture), duration, self._stream.start_time or 0), duration, picture)
            if before is not None and (passed := passed or shown[0] > wanted):
                yield before
            before = shown
        if before is not None:
            yield before

    def _has_stamps(self) -> bool:
        return not self._ranked and not self._container.format.flags & NO_STAMPS

    def _landed(self, wanted: int) -> Clock | None:
        """Seek until the first key frame that comes out is at or before ``wanted``; None: only the start is.

        In a stream of a sender the second one: what lies around the place may get the time stamp of what follows it.
        """
        start = self.info.start_pts or 0
        back, second = 0, max(1, round(1 / self._time_base))
        while wanted - back >= start:
            try:
                with self._decoding:
                    self._container.seek(wanted - back, stream=self._stream)
            except av.error.FFmpegError:
                return None
            self._start_reading()
            for _ in range(2 if self._is_stream() else 1):
                first = self._next_key(wanted)
            if first is not None and first.pts is not None and first.pts <= wanted:
                self._decoded = chain([first], self._decoded)
                return self._clock_of_file()
            back = max(second, 2 * back)
        return None

    def _next_key(self, wanted: int) -> av.VideoFrame | None:
        """The next key frame, or what comes first behind ``wanted``."""
        while (picture := self._next()) is not None:
            if picture.key_frame or (picture.pts is not None and picture.pts > wanted):
                break
        return picture

    def _is_stream(self) -> bool:
        """Whether it is a transport or program stream, or the like: with the clock of a sender, and no index."""
        return bool(self._container.format.flags & OF_SENDER)

    def _rewind(self) -> None:
        """Begin again; by opening the file once more, as not every file can be sought in."""
        index = self._stream.index
        with self._decoding:
            self._container.close()
            self._container = _container(self._path)
            self._stream = self._container.streams[index]  # type: ignore[assignment]
            prepare(self._stream, self._threads)
        self._start_reading()

    def _timed(self, timer: Clock, place: Place | None) -> Iterator[Frame]:
        """All frames, or those from a place on; what went wrong on the way to one that was sought is forgotten."""
        index, first = 0, (0 if place is None else place.index)
        sought = place if place is not None and place.seek else None
        while (picture := self._next()) is not None:
            duration = self._duration(picture)
            last = timer.last
            pts = timer.take(self._stamp(picture), duration, self._stream.start_time or 0)
            if sought is not None:
                if pts < sought.pts:
                    continue
                self._notes, self._unlisted, self._corrupt = list(sought.notes), sought.unlisted, sought.corrupt
                index, sought = sought.index, None
            if timer.jumped and last is not None:
                self._note(f"time stamps jump {timer.jumped} at {self._clock()}; {COUNTED_ON}")
            self._seconds = pts * self._time_base
            self._corrupt += bool(picture.is_corrupt)
            scaler = self._scaler_of(picture)
            if index >= first:
                yield Frame(index, pts, self._seconds, duration, picture, scaler)
            index += 1

    def _clock_of_file(self) -> Clock:
        rate = self.info.frame_rate or Fraction(25)
        return Clock(self._time_base, max(1, round(1 / (rate * self._time_base))), self._is_stream())

    def _duration(self, picture: av.VideoFrame) -> int:
        """Of a picture, ticks; 0 where it is unknown, or comes from a rate that is not that of the frames."""
        return int(picture.duration or 0) if self._believed else 0

    @staticmethod
    def _stamp(picture: av.VideoFrame) -> int | None:
        return picture.pts if picture.pts is not None else picture.dts

    def _scaler_of(self, picture: av.VideoFrame) -> Scaler:
        """Conversions of pictures of this size: a stream may change it midway, and how it is turned."""
        coded = rational(self._stream.codec_context.sample_aspect_ratio)
        key = (picture.width, picture.height, picture.rotation, coded)
        if key not in self._scalers:
            changed = coded is not None and coded != self._coded_aspect
            aspect = coded if changed else rational(self._stream.sample_aspect_ratio)
            rotation, mirrored = orientation(picture)
            width, height = square(picture.width, picture.height, aspect)
            if rotation % 180:
                width, height = height, width
            self._scalers[key] = Scaler(rotation, width, height, mirrored)
        return self._scalers[key]

    def close(self) -> None:
        with self._decoding:
            self._closed = True
            self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _real_rate(self, stamps: list[int], pictures: list[av.VideoFrame]) -> Fraction | None:
        """Frames a second. Where the steps of the first packets contradict the file, those of some pictures are asked,
        which are appended to ``pictures``: two fields may come as two packets.
        """
        stream = self._stream
        fields = [rational(stream.average_rate), rational(stream.guessed_rate)]
        said = next((field for field in fields if field), None)
        counted = bool(stream.frames and stream.duration and self._container.format.name.startswith("mov"))
        if (said and counted) or not doubtful(said, stamps, self._time_base):
            return said
        room = PICTURE_BYTES // max(1, 2 * pictures[0].width * pictures[0].height)
        while len(pictures) < min(PICTURES_AHEAD, room) and (picture := self._next()) is not None:
            pictures.append(picture)
        shown = [stamp for stamp in map(self._stamp, pictures) if stamp is not None]
        if said and not doubtful(said, shown, self._time_base, OFF):
            return said
        stamps = stamps + self._stamps_ahead(FAR_AHEAD)
        as_shown = real_rate([], shown, self._time_base)
        agreed = as_shown is None or not doubtful(as_shown, stamps, self._time_base, OFF)
        return real_rate(fields, stamps if agreed else shown, self._time_base)

    def _stamps_ahead(self, most: int) -> list[int]:
        """Time stamps of the next packets, which are read but not decoded."""
        size = 0
        read: list[int | None] = []
        while len(read) < most and size < AHEAD_BYTES and (item := next(self._packets, None)) is not None:
            self._ahead.append(item)
            if isinstance(item, Packet):
                size += item.size
                read.append(item.pts if item.pts is not None else item.dts)
        return [stamp for stamp in read if stamp is not None]

    def _next(self) -> av.VideoFrame | None:
        with self._decoding:
            return None if self._closed else next(self._decoded, None)

    def _start_reading(self) -> None:
        self._packets = self._demuxed()
        self._ahead: deque[Packet[VideoStream] | str] = deque()
        self._fed: list[int] = []  # time stamps of packets that have not come out as pictures, a heap
        self._decoded = self._decode()

    def _demuxed(self) -> "Generator[Packet[VideoStream] | str, None, None]":
        """Packets, and at last an error's words where it ends with one."""
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
                yield ffmpeg_words(error)
                return
            if packet is None:
                return
            yield packet

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """Decode what is demultiplexed, noting errors instead of raising them."""
        while True:
            packet = self._ahead.popleft() if self._ahead else next(self._packets, None)
            if isinstance(packet, str):
                self._note(f"stopped at {self._clock()}: {packet}")
                packet = None
            if self._ranked and packet is not None and packet.size and packet.pts is not None:
                heapq.heappush(self._fed, packet.pts)
            try:
                decoded = self._stream.codec_context.decode(None) if packet is None else packet.decode()
            except av.error.EOFError:
                return  # the decoder had been emptied already
            except av.error.FFmpegError as error:
                self._note(f"damaged at {self._clock()}: {ffmpeg_words(error)}")
                decoded = []
            for frame in decoded:
                if isinstance(frame, av.VideoFrame) and frame.width:
                    yield self._in_rank(frame) if self._ranked else frame
            if packet is None:
                return

    def _in_rank(self, picture: av.VideoFrame) -> av.VideoFrame:
        """Give a picture the least time stamp that was fed and is not taken: pictures come in the order of display.

        Nothing that was fed before a key frame is shown after it: what is left of it never came out.
        """
        while picture.key_frame and picture.pts is not None and self._fed and self._fed[0] < picture.pts:
            heapq.heappop(self._fed)
        picture.pts = heapq.heappop(self._fed) if self._fed else None
        return picture

    def _check_end(self, timer: Clock) -> None:
        """A file cut short often just ends: compare with the duration that its header declares.

        A duration of the container only may be that of its sound, so there more may be missing. One that time stamps
        were taken for that jump says nothing.
        """
        declared, last = self.info.duration, timer.last
        said = any(note.startswith("stopped") or note.endswith(COUNTED_ON) for note in self._notes)
        if declared is None or last is None or said:
            return
        of_stream = self._stream.duration is not None
        # what Matroska, WebM and FLV declare of the whole file ends where it ends on its clock, however late it begins
        on_clock = not of_stream and self._container.format.name.startswith(("matroska", "flv"))
        start = 0 if on_clock else self._stream.start_time or 0
        missing = declared - (last + timer.step - start) * self._time_base
        if missing > (max(Fraction(1, 2), declared / 50) if of_stream else max(Fraction(1), declared / 10)):
            self._note(f"stopped at {self._clock()}: the file declares {clock(declared)}, is it cut short?")

    def _clock(self) -> str:
        """How far into the film it is."""
        return clock(Fraction(0) if self._seconds is None else self._seconds - self._origin)

    def _note(self, line: str) -> None:
        if len(self._notes) < MOST_WARNINGS:
            self._notes.append(line)
        else:
            self._unlisted += 1


def open_video(path: Path, *, threads: int = 0) -> Video:
    """Open a video and decode its first frame. threads: of the decoder, 0: one for each core.

    The largest picture stream is taken, of equals the first; cover art does not count. No other file is read, nor the
    network, whatever the file says (media/files/demuxers.py). Raises MissingPathError, NoVideoError when there is no
    picture stream, VideoError when nothing can be decoded.
    """
    try:
        if path.is_dir():
            raise MissingPathError(f"{path}: is a folder, expected a video file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise MissingPathError(f"{path}: cannot be opened: {error.strerror or error}") from error
    container = _container(path)
    try:
        stream, notes = film_of(container, lambda: _container(path))
        if stream is None:
            found = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            raw = camera_raw(path)
            if raw:
                raise VideoError(f"{path}: {raw}")
            raise NoVideoError(f"{path}: holds no picture stream (found: {found})")
        how = encryption(path, container, stream)
        if how:
            raise VideoError(f"{path}: encrypted ({how}): it has to be decrypted by whoever may do so")
        if stream.codec_context is None:  # FFmpeg knows the container but has no decoder for what is in it
            raise VideoError(
                f"{path}: {camera_raw(path) or 'no decoder for its picture codec; convert the file first'}"
            )
        prepare(stream, threads)
        return Video(path, container, stream, threads=threads, notes=tuple(notes))
    except BaseException:
        container.close()
        raise


def _container(path: Path) -> InputContainer:
    try:
        # The prefix keeps a name like "concat:a" or "http:x" a name; metadata is often in old encodings.
        return av.open(
            "file:" + os.fspath(path.absolute()),
            options=dict(OPTIONS),
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, ValueError) as error:
        raw = camera_raw(path)
        if raw:
            raise VideoError(f"{path}: {raw}") from error
        kind = kind_in_words(path)
        if kind:
            raise VideoError(f"{path}: is {kind}, no film, and nothing it names is opened: give the films") from error
        raise VideoError(f"{path}: cannot be opened as video ({ffmpeg_words(error)}): is the file complete?") from error


def prepare(stream: VideoStream, threads: int) -> None:
    """How a picture stream is to be decoded; threads: 0: one for each core."""
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = threads
    # Frames that no other frame is made from are left blocky: a tenth of the time, and nothing spreads.
    stream.codec_context.options = {"skip_loop_filter": "noref"}


def clock(seconds: Fraction) -> str:
    """Seconds -> "00:00:12.3" (cut off, not rounded)."""
    tenths = int(seconds * 10)
    sign, tenths = ("-", -tenths) if tenths < 0 else ("", tenths)
    whole = tenths // 10
    return f"{sign}{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{tenths % 10}"
