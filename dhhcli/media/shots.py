"""shots: frames (36, 64, 3) uint8 BGR in a row -> shot boundaries: hard cuts and dissolves.

Notable:

- Hard cuts: the mean change of hue, saturation and value from frame to frame, as PySceneDetect's ContentDetector takes
  it (a test holds the two together), on pictures of 64 x 36.
- Beside it, the grey of two pictures in a row: black-and-white footage has no hue or saturation to change.
- A frame that mixes both shots (a conversion between frame rates) hides no cut: three successive pictures
  are tested for it.
- A cut is dropped when the picture before it comes back within some frames: a flash, or something passing
  the lens.
- At few frames a second (time lapse, slides) these numbers of frames are seconds: there one frame may be a shot.
- Dissolves, which change too little from frame to frame: over windows of 12, 20 and 28 frames (at up to 30
  frames a second), the middle picture is close to the mean of the two ends and as low in contrast, both
  halves change alike, and the ends show different things. The boundary is the middle.
"""

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Picture
from dhhcli.media.frame import Frame

Grey = npt.NDArray[np.float32]
WIDTH, HEIGHT = 64, 36
CUT = 27.0  # ContentDetector's threshold: mean absolute difference of the three channels, levels
RETURN = 6  # frames within which a picture that comes back undoes a cut, a quarter of a second
SAME = 8.0  # mean absolute difference of grey below which two pictures are the same, levels
SHORTEST = 5  # frames from a cut to the next, a fifth of a second
WINDOWS = (12, 20, 28)  # dissolve windows, frames; even
USUAL = Fraction(25)  # frames a second that these numbers of frames are meant for; at fewer, it is their seconds
FULL = Fraction(47, 2)  # from this rate on they are frames
SMALLEST = 4  # frames of a dissolve window: of fewer, ``is_blended_cut`` finds it
SPAN = 12.0  # least mean absolute difference of a dissolve's ends, levels
RESIDUAL = 0.25  # most difference of the middle from the mean of the ends, as a part of the span
BALANCE = 0.25  # most difference between the changes of the halves, as a part of the span
GREY_SPAN = 15.0  # least mean absolute difference of grey at a cut, levels
GREY_ALIKE = 0.5  # most correlation of two pictures in a row at a cut
CONTRAST = 1.2  # most variance of the middle, over that of the mean of the ends; more is a moving camera
ALIKE = 0.6  # most correlation of a dissolve's ends; more is a change of light


@dataclass(frozen=True, slots=True)
class Shot:
    """number: from 1. start_frame, end_frame: frame indices, end exclusive. start_pts, end_pts: ticks of the
    video's time base; end_pts is the start of the next shot, for the last shot the last frame's pts plus its
    duration (plus the step before it where a frame does not say its duration, plus 1 tick for a single
    frame).
    """

    number: int
    start_frame: int
    end_frame: int
    start_pts: int
    end_pts: int


@dataclass(frozen=True, eq=False, slots=True)
class Seen:
    """A frame as the detector keeps it for a while: grey is (36, 64) float32."""

    index: int
    pts: int
    grey: Grey


# what a detector knows beside the numbers that follow from the frame rate
STATE: Final = (
    *("settled", "suspected", "_recent", "_sparse", "_cuts", "_dissolve", "_after", "_boundaries", "_count", "_start"),
    *("_hue", "_shots", "_last_pts", "_step"),
)


class ShotDetector:
    """Splits one video into shots, frame by frame.

    ``settled`` is the number of frames whose shot is decided: frames of index < settled can change their
    shot no more. It lags behind by at most 28 frames (times ``stride``, 2 at 50 and 60 frames a second).
    ``suspected`` says at once that the frame pushed last may be the first of a shot.
    """

    def __init__(self, frame_rate: Fraction | None = None) -> None:
        """frame_rate: average frames a second; above 45 the dissolve test looks at every 2nd, 3rd ..
        frame, below 23.5 fewer frames are a shot, a flash or a dissolve.
        """
        self.stride = max(1, round(frame_rate / 30)) if frame_rate else 1
        slow = frame_rate / USUAL if frame_rate and 0 < frame_rate < FULL else Fraction(1)
        self._return, self._shortest = min(RETURN, round(RETURN * slow)), max(1, min(SHORTEST, round(SHORTEST * slow)))
        self._windows = tuple(dict.fromkeys(2 * round(window * slow / 2) for window in WINDOWS))
        self._windows = tuple(window for window in self._windows if window >= SMALLEST)
        self.settled = 0
        self.suspected = False
        self._recent: deque[Seen] = deque(maxlen=(max(WINDOWS) + RETURN) * self.stride + 2)
        self._sparse: deque[Seen] = deque(maxlen=max(WINDOWS) + 1)  # every stride-th frame, since the last cut
        self._cuts: list[int] = []  # hard cuts that may yet turn out to be flashes
        self._dissolve: tuple[float, int] | None = None  # best candidate: (quality, frame)
        self._after = -1  # up to this frame no further dissolve is looked for
        self._boundaries: list[int] = []  # decided, not yet given out
        self._count = 0  # frames pushed
        self._start: tuple[int, int] | None = None  # frame and pts where the open shot starts
        self._hue: Picture | None = None  # the last picture as hue, saturation, value
        self._shots = 0
        self._last_pts, self._step = 0, 1

    def push(self, frame: Frame) -> list[Shot]:
        """Take the next frame (indices must follow one another); the shots that are now known to be
        finished.
        """
        if frame.index != self._count:
            raise ValueError(f"frame {frame.index} was pushed, expected frame {self._count}")
        picture = frame.coarse(WIDTH, HEIGHT)
        seen = Seen(frame.index, frame.pts, grey_of(picture))
        if self._start is None:
            self._start = frame.index, frame.pts
        else:
            self._step = frame.pts - self._last_pts
        self._last_pts = frame.pts
        if frame.duration:
            self._step = frame.duration
        self._recent.append(seen)
        self._count += 1
        cuts = []
        if len(self._recent) > 2 and is_blended_cut(*(self._recent[i].grey for i in (-3, -2, -1))):
            cuts.append(frame.index - 1)
        hue = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV), np.uint8)
        by_colour = self._hue is not None and change(self._hue, hue) >= CUT
        self._hue = hue
        if by_colour or (len(self._recent) > 1 and is_grey_cut(self._recent[-2].grey, seen.grey)):
            cuts.append(frame.index)
        self.suspected = bool(cuts)
        if cuts:
            self._cuts.extend(cut for cut in cuts if cut not in self._cuts)
            self._sparse.clear()
        if frame.index % self.stride == 0:
            self._sparse.append(seen)
            self._look_for_dissolve()
        self._decide(final=False)
        return self._finished()

    @property
    def recent(self) -> tuple[Seen, ...]:
        """The frames pushed last, as far as they are kept."""
        return tuple(self._recent)

    def state(self) -> dict[str, Any]:
        """All that it knows, to be taken at once: what is pushed later changes it."""
        return {name: getattr(self, name) for name in STATE}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where another detector of the same frame rate was. Raises ValueError for what is no such state."""
        if set(state) != set(STATE):
            raise ValueError("not what a shot detector knows")
        for name, value in state.items():
            own = getattr(self, name)
            setattr(self, name, deque(value, own.maxlen) if isinstance(own, deque) else value)

    def finish(self) -> list[Shot]:
        """The shots that remain, the last one included; nothing when no frame was pushed."""
        if self._start is None:
            return []
        self._decide(final=True)
        shots = self._finished()
        start_frame, start_pts = self._start
        self._shots += 1
        shots.append(Shot(self._shots, start_frame, self._count, start_pts, self._last_pts + self._step))
        self.settled = self._count
        self._start = None
        return shots

    def _look_for_dissolve(self) -> None:
        """Test the windows that end at the newest frame; keep the candidate of highest quality."""
        kept, last = self._sparse, len(self._sparse) - 1
        for window in self._windows:
            if last < window:
                break
            middle = kept[last - window // 2]
            if middle.index <= self._after:
                continue  # the dissolve found last is still going on
            quality = dissolve_quality(kept[last - window].grey, middle.grey, kept[last].grey)
            if quality is not None and (self._dissolve is None or quality > self._dissolve[0]):
                self._dissolve = quality, middle.index

    def _decide(self, final: bool) -> None:
        """Move cuts and dissolves that nothing can change any more to the boundaries."""
        newest = self._count - 1
        while self._cuts and (final or newest >= self._cuts[0] + self._return):
            cut = self._cuts[0]
            back = self._picture_comes_back(cut)
            if back is None:
                self._cuts.pop(0)
                if newest >= cut + self._shortest - 1:
                    self._add(cut)
            else:
                self._cuts = [later for later in self._cuts if later > back]
        reach = max(self._windows, default=0) // 2 * self.stride
        if self._dissolve is not None:
            frame = self._dissolve[1]
            # Another window over the same dissolve has its middle within reach, and ends within reach of
            # that.
            if final or newest >= frame + 2 * reach or (self._cuts and self._cuts[0] > frame):
                self._dissolve = None
                self._after = frame + 2 * reach
                self._add(frame)
        open_frames = [newest + 1 - reach, *self._cuts[:1]]
        if self._dissolve is not None:
            open_frames.append(self._dissolve[1])
        self.settled = max(self.settled, min(open_frames))

    def _picture_comes_back(self, cut: int) -> int | None:
        """Frame after ``cut`` that shows what the frame before it showed, or None."""
        oldest = self._recent[0].index
        if cut - 1 < oldest:
            return None
        before = self._recent[cut - 1 - oldest].grey
        for seen in list(self._recent)[cut + 1 - oldest : cut + self._return + 1 - oldest]:
            if distance(seen.grey, before) < SAME:
                return seen.index
        return None

    def _add(self, boundary: int) -> None:
        assert self._start is not None
        previous = self._boundaries[-1] if self._boundaries else self._start[0]
        if boundary - previous >= self._shortest:
            self._boundaries.append(boundary)

    def _finished(self) -> list[Shot]:
        shots = []
        oldest = self._recent[0].index
        for boundary in self._boundaries:
            assert self._start is not None
            pts = self._recent[boundary - oldest].pts
            self._shots += 1
            shots.append(Shot(self._shots, self._start[0], boundary, self._start[1], pts))
            self._start = boundary, pts
        self._boundaries.clear()
        return shots


def grey_of(picture: Picture) -> Grey:
    """(36, 64, 3) uint8 BGR -> (36, 64) float32."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.float32)


def change(before: Picture, after: Picture) -> float:
    """Mean absolute difference of two pictures (h, w, 3) over all pixels and channels, levels."""
    return float(cv2.norm(before, after, cv2.NORM_L1)) / before.size


def dissolve_quality(first: Grey, middle: Grey, end: Grey) -> float | None:
    """How surely ``middle`` is a dissolve from ``first`` to ``end``, each (h, w) float32; None when not.

    With d the mean of |end - first| and b = (first + end) / 2, a dissolve has d >= SPAN; mean |middle - b| <=
    RESIDUAL d; changes of its halves that differ by at most BALANCE d; var(middle) <= CONTRAST var(b), which
    motion in a real dissolve leaves as it is and a moving camera, whose pictures keep their contrast, does
    not meet; and ends whose correlation is below ALIKE. The quality
    is d less the residual, times one less the correlation: largest for a window around the middle.
    """
    span = distance(end, first)
    if span < SPAN:
        return None
    blend = (first + end) / 2
    residual = distance(middle, blend)
    if residual > RESIDUAL * span or float(middle.var()) > CONTRAST * float(blend.var()) + 1:
        return None
    halves = distance(middle, first), distance(end, middle)
    likeness = correlation(first, end)
    if abs(halves[0] - halves[1]) > BALANCE * span or likeness >= ALIKE:
        return None
    return (span - residual) * (1 - likeness)


def distance(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> float:
    """Mean absolute difference of two pictures (h, w), levels."""
    return float(cv2.norm(np.asarray(a, np.float32), np.asarray(b, np.float32), cv2.NORM_L1)) / a.size


def is_blended_cut(first: Grey, middle: Grey, end: Grey) -> bool:
    """Whether of three successive pictures the middle one is a mixture of two shots.

    Conversions between frame rates blend frames; both steps of such a cut may stay under the threshold.
    """
    span = distance(end, first)
    if span < 2 * SPAN or distance(middle, (first + end) / 2) > RESIDUAL * span:
        return False
    return correlation(first, end) < ALIKE


def is_grey_cut(before: Grey, after: Grey) -> bool:
    """Whether two successive pictures show different things by their grey alone.

    ContentDetector takes the mean of three channels, so it misses most cuts of black-and-white footage.
    """
    return distance(after, before) >= GREY_SPAN and correlation(before, after) < GREY_ALIKE


def correlation(a: Grey, b: Grey) -> float:
    """Pearson correlation of two pictures (h, w); 0 where one is plain."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).mean() / max(float(a.std() * b.std()), 1e-6))
