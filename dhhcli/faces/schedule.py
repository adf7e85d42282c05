"""schedule: faces found in the frames looked at -> when to look again: often where things change, else twice a second.

Notable:

- A shot is looked at where it seems to begin, before the shot detector is sure of it, and again a fifth of a second
  later; while the same faces are found where they were, the pause grows to half a second, so that no face that shows
  for longer is passed over.
- A full look is at two fifths of the film's width (at 512 to 1920 pixels): a face of 40 pixels then has 16. Half the
  width found no more (docs/research/experiments.md#where-faces-are-looked-for). Where nothing changes and all faces
  have been large for some time, every second look is a small one, at 320 pixels: it sees that they are still there for
  half of the time, and finds faces larger than the frame.
- The detector's looks at even smaller copies (``FaceDetector.detect``), for faces larger than the frame, are made where
  a shot begins, after a look that showed something sure, and at every fourth look.
- Only what was found in frames looked at before enters, never the clock: the same film is always looked at in the same
  frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from dhhcli.faces.detector import SURE, Face

SHORTEST = Fraction(1, 5)  # seconds to the next look where something has changed
LONGEST = Fraction(12, 25)  # where nothing has
GROWTH = Fraction(3, 2)
NEAR = 0.5  # a face is where it was: most distance of the centres, in sizes of the face
AGAIN_EVERY = 4  # looks
LEAST_WIDTH, MOST_WIDTH = 512, 1920  # of a full look, pixels
SMALL_WIDTH = 320  # of a small look
LARGE = 32.0  # least size of a face at SMALL_WIDTH that a small look can be trusted with, pixels
REMEMBERED = 3  # seconds for which a small face, sure or not, keeps looks full


@dataclass(slots=True)
class LookSchedule:
    """The plan of one film. longer_side: of its pictures, pixels. longest: pause, seconds."""

    longer_side: int
    longest: Fraction = LONGEST
    _next: Fraction | None = None  # time of the next look; None: at once
    _pause: Fraction = SHORTEST
    _before: Sequence[Face] = ()
    _unsure: int = 0  # looks in a row that showed nothing sure
    _full: bool = True  # the look that is due
    _small_at: Fraction | None = None  # when a face was seen last that is not large

    def due(self, time: Fraction) -> bool:
        """Whether to look at the frame of this time, seconds."""
        return self._next is None or time >= self._next

    def restart(self) -> None:
        """A shot seems to begin with the frame in hand: look at it, and then often."""
        self._next, self._before, self._unsure, self._full, self._small_at = None, (), 0, True, None

    @property
    def width(self) -> int:
        """Width of the detector's input for the look that is due, pixels."""
        return min(MOST_WIDTH, max(LEAST_WIDTH, self.longer_side * 2 // 5 // 32 * 32)) if self._full else SMALL_WIDTH

    @property
    def again(self) -> bool:
        """Whether the look that is due should include smaller copies of the picture."""
        return self._unsure % AGAIN_EVERY == 0

    def seen(self, time: Fraction, faces: Sequence[Face]) -> None:
        """Take the faces of the look at this time; the next look is planned."""
        steady = self._next is not None and same_faces(self._before, faces)
        self._pause = min(self.longest, self._pause * GROWTH) if steady else SHORTEST
        self._next = time + self._pause
        self._unsure = 0 if any(face.score >= SURE for face in faces) else self._unsure + 1
        self._before = faces
        if any(face.size < LARGE * self.longer_side / SMALL_WIDTH for face in faces):
            self._small_at = time
        remembered = self._small_at is not None and time - self._small_at < REMEMBERED
        self._full = not (steady and faces and self._full and not remembered)


def same_faces(before: Sequence[Face], now: Sequence[Face]) -> bool:
    """Whether every sure face of either look has a face near it in the other."""
    return _near(before, now) and _near(now, before)


def _near(faces: Sequence[Face], others: Sequence[Face]) -> bool:
    sure = [face for face in faces if face.score >= SURE]
    if not sure:
        return True
    if not others:
        return False
    centres = np.array([_centre(face) for face in sure])
    there = np.array([_centre(face) for face in others])
    sizes = np.array([face.size for face in sure])
    distance = np.linalg.norm(centres[:, None] - there[None], axis=-1).min(axis=1)
    return bool((distance <= NEAR * sizes).all())


def _centre(face: Face) -> npt.NDArray[np.float32]:
    return np.asarray((face.box[:2] + face.box[2:]) / 2, np.float32)
