"""bookmark: what a scan knows after a frame -> bytes that another scan of the same file goes on from, and back.

A scan goes on as if it had never ended: shots, open tracks, looks that wait and the plan of the next one are as they
were. The frames that the shot detector still remembers are decoded again and compared with what it remembers, so
that a file that was changed, or a place that seeking does not lead to, is noticed (LostPlaceError).

Bookmarks lie at moments of film alone, never at what a machine does: at the first shot boundary when ``every`` seconds
have passed, or a tenth later inside a shot.
"""

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, Final

import numpy as np

from dhhcli.base.packing import pack, unpack
from dhhcli.faces.detector import Face
from dhhcli.faces.schedule import LookSchedule
from dhhcli.faces.tracker import FaceTracker, Observation, OpenTrack
from dhhcli.media.frame import Frame
from dhhcli.media.shots import HEIGHT, WIDTH, Seen, ShotDetector, grey_of
from dhhcli.media.video import Place, Video

GRACE: Final = Fraction(1, 10)  # of ``every``: how long a shot boundary is waited for
CALM: Final = 64  # frames around a place where nothing may go wrong: what decoders and threads hold back
MOST_OBSERVATIONS: Final = 2048  # 50 KB each; a crowd of more waits for the end of its shot
KINDS: Final = (Face, Observation, OpenTrack, LookSchedule, Seen, Place)


class LostPlaceError(ValueError):
    """The frames before a bookmark are not those that were there."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """seconds: of film before it. data: for ``kept``; empty where there is too much to be kept."""

    seconds: Fraction
    data: bytes


@dataclass(frozen=True, eq=False)
class Kept:
    """What a scan knew. place: of the first frame that is compared. picture: SHA-256 (hex) of the last one, whole."""

    shots: dict[str, Any]
    tracks: list[OpenTrack]
    looks: LookSchedule
    waiting: list[tuple[int, list[Observation]]]
    last_look: int
    origin: Fraction
    mark: Fraction  # time of the bookmark
    place: Place
    picture: str


def kept(data: bytes) -> Kept:
    """The inverse of ``Bookmarks.at``. Raises ValueError for anything else."""
    value = unpack(data, KINDS)
    if not isinstance(value, dict) or set(value) != {field.name for field in fields(Kept)}:
        raise ValueError("not what a scan knows")
    return Kept(**value)


class Bookmarks:
    """When a scan of one video leaves bookmarks, and how it comes back to one."""

    def __init__(self, video: Video, every: Fraction | None) -> None:
        """every: seconds; None: no bookmarks."""
        self._video, self._every = video, every
        self._mark: Fraction | None = None
        self._again: deque[Seen] = deque()  # frames that are still to come again
        self._picture = ""
        self._last = -1
        self._troubles, self._calm = 0, 0

    def go_on(self, kept: Kept) -> None:
        """From a bookmark: the frames up to it come first."""
        self._mark, self._picture = kept.mark, kept.picture
        self._again.extend(kept.shots["_recent"])
        self._last = self._again[-1].index if self._again else -1

    def known(self, frame: Frame) -> bool:
        """Whether the scan knew a frame, and one after it, when it was left. Raises LostPlaceError for another one."""
        if not self._again:
            return False
        seen = self._again.popleft()
        if (frame.index, frame.pts) != (seen.index, seen.pts):
            raise LostPlaceError(f"frame {frame.index} at {frame.pts}, expected {seen.index} at {seen.pts}")
        if not np.array_equal(grey_of(frame.coarse(WIDTH, HEIGHT)), seen.grey):
            raise LostPlaceError(f"frame {frame.index} shows something else")
        if not self._again and _digest(frame) != self._picture:
            raise LostPlaceError(f"frame {frame.index} differs")
        return bool(self._again)

    def reached(self, frame: Frame) -> bool:
        """Whether this is the frame of the bookmark, which lacks nothing but its look."""
        return frame.index == self._last

    def check_reached(self) -> None:
        """At the end. Raises LostPlaceError where the bookmark's frame never came."""
        if self._again:
            raise LostPlaceError(f"frame {self._again[0].index} is not there")

    def due(self, frame: Frame, origin: Fraction, *, between: bool) -> bool:
        """Whether to leave a bookmark with this frame; between: it ended a shot."""
        if self._every is None:
            return False
        troubles = self._video.troubles
        self._troubles, self._calm = troubles, self._calm + 1 if troubles == self._troubles else 0
        self._mark = origin if self._mark is None else self._mark
        passed = frame.time - self._mark
        return passed >= self._every and (between or passed >= self._every * (1 + GRACE))

    def at(
        self,
        frame: Frame,
        shots: ShotDetector,
        tracker: FaceTracker,
        looks: LookSchedule,
        waiting: Sequence[tuple[int, list[Observation]]],
        last_look: int,
        origin: Fraction,
    ) -> Bookmark:
        """A bookmark at this frame, which was pushed and not looked at yet."""
        self._mark = frame.time
        recent = shots.recent
        size = sum(len(track.kept) for track in tracker.open) + sum(len(seen) for _, seen in waiting)
        if size > MOST_OBSERVATIONS:
            return Bookmark(frame.time - origin, b"")
        known = Kept(
            shots=shots.state(),
            tracks=tracker.open,
            looks=looks,
            waiting=list(waiting),
            last_look=last_look,
            origin=origin,
            mark=frame.time,
            place=self._video.place(recent[0].index, recent[0].pts, calm=self._calm > CALM + len(recent)),
            picture=_digest(frame),
        )
        data = pack({field.name: getattr(known, field.name) for field in fields(Kept)}, KINDS)
        return Bookmark(frame.time - origin, data)


def _digest(frame: Frame) -> str:
    return hashlib.sha256(frame.bgr().tobytes()).hexdigest()
