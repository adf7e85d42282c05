"""frame: a decoded frame -> upright picture (h, w, 3) uint8 BGR, or (h, w) grey, of the size asked for.

Pictures are converted only when asked for (``Frame.luma``, ``Frame.coarse``, ``Frame.bgr``), in swscale. HDR becomes
SDR, and of two fields that motion tore apart one remains.
"""

import math
import threading
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import av
import av.error
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

from dhhcli.base.arrays import Picture
from dhhcli.errors import VideoError

PQ, HLG = 16, 18  # transfer functions as ITU-T H.273 numbers them
HDR = (PQ, HLG)
ASPECT = Fraction(4)  # pixels wider or higher than this are a mistake of the file


class Scaler:
    """Conversions of a video's frames of one size, with swscale's contexts kept between frames.

    rotation: degrees clockwise that a picture must be turned by, after it was ``mirrored`` (left to right). width,
    height: of the upright picture.

    A conversion writes into the frame's colour tags for its duration, so it holds a lock: frames may go to
    several threads.
    """

    def __init__(self, rotation: int, width: int, height: int, mirrored: bool = False) -> None:
        self._rotation, self._width, self._height, self._mirrored = rotation, width, height, mirrored
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
        """A decoded frame -> upright picture; kind: "gray" (height, width) or "bgr24" (height, width, 3), uint8.

        width, height: of the upright picture, pixels; a missing one follows from the aspect, both: the video's size.
        Raises VideoError where swscale cannot read the frame.
        """
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
                raise VideoError(f"a frame cannot be converted to {kind} ({ffmpeg_words(error)})") from error
        if kind == "bgr24":
            values = as_seen(values, picture, whole)
        if self._mirrored:
            values = values[:, ::-1]
        if self._rotation or self._mirrored:
            values = np.ascontiguousarray(np.rot90(values, k=-self._rotation // 90))
        return values

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright picture."""
        return self._width, self._height

    def coarse(self, picture: av.VideoFrame, width: int, height: int) -> Picture:
        """As ``Frame.coarse``."""
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
    scaler: Scaler

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), upright, on square pixels."""
        return self.scaler.size

    def luma(self, width: int, height: int) -> Picture:
        """Upright grey picture (height, width) uint8, scaled with anti-aliasing."""
        return self.scaler.convert(self.picture, "gray", width, height)

    def coarse(self, width: int, height: int) -> Picture:
        """Upright small picture (height, width, 3) uint8 BGR, of 2 x 2 places of the frame a pixel: a quarter of the
        time of ``bgr``, which looks at every pixel."""
        return self.scaler.coarse(self.picture, width, height)

    def bgr(self, width: int | None = None, height: int | None = None) -> Picture:
        """Upright picture (h, w, 3) uint8 BGR, of the frame's own size or scaled; one side alone keeps the aspect."""
        return self.scaler.convert(self.picture, "bgr24", width, height)


def orientation(picture: av.VideoFrame) -> tuple[int, bool]:
    """(rotation, mirrored) that show a decoded picture upright, out of the display matrix beside it, if there is one.

    rotation: 0, 90, 180 or 270 degrees clockwise; mirrored: left to right, before it is turned.
    """
    # FFmpeg's angle, counterclockwise; it cannot say that a picture is mirrored
    rotation = round(-picture.rotation / 90) * 90 % 360
    matrix: Any = picture.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return rotation, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(float)  # x' = a x + c y, y' = b x + d y
    if a * d - b * c >= 0:
        return rotation, False
    return round(math.degrees(math.atan2(-b, -a)) / 90) * 90 % 360, True


def square(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Size on square pixels: a picture of oblong ones is made wider or narrower, as a player shows it."""
    if aspect is None or not 1 / ASPECT <= aspect <= ASPECT:
        return width, height
    return max(1, round(width * aspect)), height


def ffmpeg_words(error: BaseException) -> str:
    """What an error says, in FFmpeg's words where it is FFmpeg's, without its number."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__).strip()
