"""own: weights -> DHH itself, its still layer on every frame, and random bits, as methods among the rivals.

``dhh`` is what encode stores, one code a video; ``frames`` hashes each frame with the layer for stills; ``random`` is
the floor. None of them is fitted here: DHH was trained before, on whatever its record says.
"""

from collections.abc import Callable, Sequence

import numpy as np

from dhhcli.base.arrays import Floats
from dhhcli.models.binary_codes import binarise
from dhhcli.models.hash_layers import hash_stills, hash_tracks
from dhhcli.research.baselines.base import Bits, Fitted, Kind, Videowise, featurewise
from dhhcli.research.evaluation.tables import Loaded

OWN = ("features", "dhh", "frames", "random")


def own_method(name: str, made: Loaded, bits: int, rng: np.random.Generator) -> tuple[Kind, Fitted]:
    """``dhh``, ``frames`` or ``random``; ``made`` are weights of that many bits for the first two."""
    still, tracks = functions_of(made, cut=True)
    if name == "dhh":
        return "video-wise", Videowise(still, tracks)
    if name == "frames":
        return "frame-wise", featurewise(still)
    return "video-wise", Videowise(
        lambda features: rng.random((len(features), bits)) < 0.5, lambda videos: rng.random((len(videos), bits)) < 0.5
    )


def functions_of(made: Loaded, *, cut: bool) -> tuple[Callable[[Floats], Bits], Callable[[Sequence[Floats]], Bits]]:
    """What encode and query do with features: photos (n, d) -> (n, K), videos (m_i, d) each of t -> (t, K).

    ``cut``: as the protocol has them, without the constant last feature where the network has one.
    """

    def whole(features: Floats) -> Floats:
        if not (cut and made.homogeneous):
            return features
        return np.concatenate([features, np.ones((len(features), 1), np.float32)], axis=1)

    def still(features: Floats) -> Bits:
        return binarise(hash_stills(made.layers, whole(features)))

    def tracks(videos: Sequence[Floats]) -> Bits:
        return binarise(hash_tracks(made.layers, [whole(frames) for frames in videos]))

    return still, tracks
