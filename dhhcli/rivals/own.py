"""own: weights -> DHH itself, its still layer on every frame, and random bits, as methods among the rivals.

``dhh`` is what encode stores, one code a video; ``frames`` hashes each frame with the layer for stills; ``random`` is
the floor. None of them is fitted here: DHH was trained before, on whatever its record says.
"""

from collections.abc import Sequence

import numpy as np

from ..codes import binarise
from ..figures import Loaded
from ..hashing import hash_stills, hash_tracks
from .protocol import Bits, Fitted, Floats, Kind, Videowise, featurewise

OWN = ("features", "dhh", "frames", "random")


def own_method(name: str, made: Loaded, bits: int, rng: np.random.Generator) -> tuple[Kind, Fitted]:
    """``dhh``, ``frames`` or ``random``; ``made`` are weights of that many bits for the first two."""

    def whole(features: Floats) -> Floats:
        """The constant last feature, which the protocol leaves out."""
        if not made.homogeneous:
            return features
        return np.concatenate([features, np.ones((len(features), 1), np.float32)], axis=1)

    def still(features: Floats) -> Bits:
        return binarise(hash_stills(made.layers, whole(features)))

    def tracks(videos: Sequence[Floats]) -> Bits:
        return binarise(hash_tracks(made.layers, [whole(frames) for frames in videos]))

    if name == "dhh":
        return "video-wise", Videowise(still, tracks)
    if name == "frames":
        return "frame-wise", featurewise(still)
    return "video-wise", Videowise(
        lambda features: rng.random((len(features), bits)) < 0.5, lambda videos: rng.random((len(videos), bits)) < 0.5
    )
