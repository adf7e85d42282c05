"""tracker: faces of one shot, frame by frame -> FaceTrack: one person's observations (m,) with crops (64, 64,
3).

Notable:

- Greedy association over boxes predicted at constant velocity: overlap first, nearness of the centres where
  boxes do not overlap. Sure detections choose first, unsure ones take what is left (Zhang et al.,
  "ByteTrack", ECCV 2022).
- A track never crosses a shot boundary: ``finish`` ends all tracks.
- Memory is bounded, however long a shot: ``ended`` hands over the tracks that can grow no more. A track that
  holds too many observations drops every second one and from then on keeps half as many, so what it holds is
  evenly spaced and does not depend on chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dhhcli.faces.detector import Face

SURE = 0.6  # detections of this score choose their track first, and one of them alone makes a track
OVERLAP = 0.2  # least intersection over union with the predicted box
GATE = 0.7  # or: most distance of the centres, in sizes of the face
RATIO = 1.8  # most ratio of the sizes
PATIENCE = 3  # looks that a track survives unseen: 0.6 to 1.4 seconds (faces/schedule.py)


@dataclass(frozen=True, eq=False, slots=True)
class Observation:
    """One face in one frame. crop: aligned, (64, 64, 3) uint8 BGR, or with a margin around that (for
    training). sharpness: of the 64 x 64. surroundings: the face with what is around it, longest side 112 px, or None;
    compressed only for the one that is kept, as that takes longer than to cut it. scale: horizontal and vertical, from
    pixels of this frame to those of the film's first, where a stream changes its size midway. crowd: faces in it.
    """

    frame: int
    pts: int
    face: Face
    crop: npt.NDArray[np.uint8]
    sharpness: float
    surroundings: npt.NDArray[np.uint8] | None
    scale: tuple[float, float] = (1.0, 1.0)
    crowd: int = 1

    @property
    def box(self) -> npt.NDArray[np.float32]:
        """(4,) x0 y0 x1 y1, in pixels of the film's first frame; the face's own box counts those of its own frame."""
        if self.scale == (1.0, 1.0):
            return self.face.box
        return np.asarray(self.face.box * np.tile(self.scale, 2), np.float32)

    @property
    def quality(self) -> float:
        """Score x size x sharpness, the latter two saturating (at 200 px, and half-way at 100): from there
        on a larger face does not help and a sharper crop is noise.
        """
        return self.face.score * min(self.face.size, 200.0) * self.sharpness / (self.sharpness + 100.0)


@dataclass(frozen=True, slots=True)
class FaceTrack:
    """One person's face through one shot. observations: in time order, thinned. first_* and last_*: of the
    first and last detection, thinned out or not. detections: their number.
    """

    observations: tuple[Observation, ...]
    first_frame: int
    last_frame: int
    first_pts: int
    last_pts: int
    detections: int

    def order(self) -> tuple[float, ...]:
        """Key to sort the tracks of one shot: by first frame, then left to right, top to bottom."""
        return (self.first_frame, *self.observations[0].box.tolist())

    @property
    def best(self) -> Observation:
        """The observation kept of highest quality, the earliest of equals."""
        return max(self.observations, key=lambda observation: observation.quality)


def sample(track: FaceTrack, m: int = 30) -> tuple[Observation, ...]:
    """At most m observations, spread over the track: the best one of each of m equal parts, the earliest of equals; all
    where there are no more than m.
    """
    n = len(track.observations)
    if m < 1:
        raise ValueError(f"m is {m}, expected at least 1")
    if n <= m:
        return track.observations
    parts = (track.observations[i * n // m : (i + 1) * n // m] for i in range(m))
    return tuple(max(part, key=lambda observation: observation.quality) for part in parts)


@dataclass(slots=True)
class OpenTrack:
    """A track that may still grow. box, velocity: (4,) float64 at ``frame``, pixels and pixels a frame."""

    first: Observation
    last: Observation
    box: npt.NDArray[np.float64]
    velocity: npt.NDArray[np.float64]
    detections: int = 0
    best_score: float = 0.0
    missed: int = 0
    keep_every: int = 1
    kept: list[Observation] = field(default_factory=list)

    def add(self, observation: Observation, most: int) -> None:
        box = observation.box.astype(np.float64)
        elapsed = observation.frame - self.last.frame
        if elapsed > 0:
            moved = (box - self.box) / elapsed
            # Half of the new velocity: detections shake by some pixels.
            self.velocity = moved if self.detections == 1 else (self.velocity + moved) / 2
        self.box, self.last, self.missed = box, observation, 0
        self.best_score = max(self.best_score, observation.face.score)
        if self.detections % self.keep_every == 0:
            self.kept.append(observation)
            if len(self.kept) > most:
                self.kept = self.kept[::2]
                self.keep_every *= 2
        self.detections += 1

    def predicted(self, frame: int) -> npt.NDArray[np.float64]:
        """Box (4,) expected at ``frame``; the centre moves, the size stays."""
        centre = (self.velocity[:2] + self.velocity[2:]) / 2 * (frame - self.last.frame)
        return self.box + np.tile(centre, 2)

    def closed(self) -> FaceTrack:
        return FaceTrack(
            tuple(self.kept),
            self.first.frame,
            self.last.frame,
            self.first.pts,
            self.last.pts,
            self.detections,
        )


class FaceTracker:
    """Links the faces of one shot to tracks; ``finish`` ends the shot and makes it ready for the next."""

    def __init__(self, max_observations: int = 60, patience: int = PATIENCE) -> None:
        """max_observations: crops a track holds at most (a crop is 12 KiB). patience: steps that it survives unseen."""
        if max_observations < 2:
            raise ValueError(f"max_observations is {max_observations}, expected at least 2")
        self._most, self._patience = max_observations, patience
        self._open: list[OpenTrack] = []
        self._closed: list[OpenTrack] = []

    def step(self, observations: Sequence[Observation]) -> None:
        """Take the faces of the next examined frame (all of one frame; empty where no face was found)."""
        if len({observation.frame for observation in observations}) > 1:
            raise ValueError("observations of several frames in one step")
        for track in self._open:
            track.missed += 1
        free = self._open
        new: list[Observation] = []
        for sure in (True, False):
            group = [o for o in observations if (o.face.score >= SURE) == sure]
            pairs = _match(free, group)
            for row, column in pairs:
                free[row].add(group[column], self._most)
            free = [track for track in free if track.missed]
            taken = {column for _, column in pairs}
            new.extend(o for column, o in enumerate(group) if column not in taken)
        for observation in new:
            box = observation.box.astype(np.float64)
            track = OpenTrack(observation, observation, box, np.zeros(4))
            track.add(observation, self._most)
            self._open.append(track)
        self._closed.extend(track for track in self._open if track.missed > self._patience)
        self._open = [track for track in self._open if track.missed <= self._patience]

    def ended(self) -> list[FaceTrack]:
        """The tracks that have ended since this or ``finish`` was last called, by first frame, then left to right.

        A face that was detected only once, with a score under 0.6, is dropped: more often a pattern than a
        face.
        """
        tracks = [track.closed() for track in self._closed if track.detections > 1 or track.best_score >= SURE]
        self._closed = []
        return sorted(tracks, key=FaceTrack.order)

    @property
    def open(self) -> list[OpenTrack]:
        """The tracks that may still grow."""
        return self._open

    def restore(self, tracks: Sequence[OpenTrack]) -> None:
        """Go on where another tracker was, of which ``ended`` had been called: with the tracks that were open then."""
        self._open, self._closed = list(tracks), []

    def finish(self) -> list[FaceTrack]:
        """End the shot: the rest of its tracks, as ``ended``."""
        self._closed, self._open = self._closed + self._open, []
        return self.ended()


def _match(tracks: Sequence[OpenTrack], observations: Sequence[Observation]) -> list[tuple[int, int]]:
    """Greedy pairs (track, observation), the surest first: by overlap plus nearness, ties by position."""
    if not tracks or not observations:
        return []
    frame = observations[0].frame
    boxes = np.array([track.predicted(frame) for track in tracks])[:, None]  # (t, 1, 4)
    found = np.array([o.box for o in observations], dtype=np.float64)[None]  # (1, n, 4)
    shared = np.minimum(boxes[..., 2:], found[..., 2:]) - np.maximum(boxes[..., :2], found[..., :2])
    shared_area = np.prod(np.maximum(shared, 0), axis=-1)
    sides, found_sides = boxes[..., 2:] - boxes[..., :2], found[..., 2:] - found[..., :2]
    overlap = shared_area / np.maximum(sides.prod(-1) + found_sides.prod(-1) - shared_area, 1e-9)
    size, found_size = np.maximum(sides.max(-1), 1e-9), np.maximum(found_sides.max(-1), 1e-9)
    between = (boxes[..., :2] + boxes[..., 2:] - found[..., :2] - found[..., 2:]) / 2
    distance = np.linalg.norm(between, axis=-1) / np.sqrt(size * found_size)
    ratio = np.maximum(size / found_size, found_size / size)
    allowed = ((overlap >= OVERLAP) | (distance <= GATE)) & (ratio <= RATIO)
    affinity = np.where(allowed, overlap + np.maximum(0, 1 - distance / GATE), -1.0)
    pairs: list[tuple[int, int]] = []
    rows, columns = set[int](), set[int]()
    for flat in np.argsort(-affinity, axis=None, kind="stable"):
        row, column = divmod(int(flat), len(observations))
        if affinity[row, column] < 0:
            break
        if row not in rows and column not in columns:
            pairs.append((row, column))
            rows.add(row)
            columns.add(column)
    return pairs
