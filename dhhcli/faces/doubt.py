"""doubt: a face track of which the detector was never sure, m crops (64, 64, 3) -> whether it shows a face after all.

Patterns, hair and the backs of heads give low scores, but so do faces that are turned away, small or dark: the score
alone would lose these. Once it is aligned by the landmarks that were found, a face looks like one again, and anything
else does not: the detector looks at the crops again. Of 600 photos of faces it finds less than FOUND in none at 32
pixels, in 0.2 % at 20 and in 0.8 % at 14; what it does on film is in
docs/research/experiments.md#tracks-that-are-no-faces.
"""

from typing import Final

from dhhcli.faces.detector import FaceDetector
from dhhcli.faces.tracker import SURE, FaceTrack, sample

DOUBTFUL: Final = SURE  # tracks that never reached this score are looked at again
FOUND: Final = 0.25  # least score of a face in one of its aligned crops
LOOKS: Final = 8  # crops of a track that are looked at, at most; each costs a twelfth of a look at a frame


def shows_a_face(track: FaceTrack, detector: FaceDetector, *, margin: int = 0) -> bool:
    """Whether a track is kept. margin: pixels around its crops (``scan.observe``)."""
    if max(observation.face.score for observation in track.observations) >= DOUBTFUL:
        return True
    return any(
        detector.peak(observation.crop[margin:-margin, margin:-margin] if margin else observation.crop) >= FOUND
        for observation in sample(track, LOOKS)
    )
