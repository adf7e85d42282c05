"""itq: features (n, d) -> K principal directions, turned so that rounding to bits loses least.

Iterative quantisation (Gong and Lazebnik, CVPR 2011, section 2, 50 iterations), the unsupervised form on principal
directions; the algorithm is that of ``dhhcli/itq.py``. Deviation: more bits than dimensions come from several
rotations.
"""

import numpy as np

from ..itq import itq
from .layer import linear
from .protocol import Framewise, Method, Training


def fit(training: Training, bits: int, rng: np.random.Generator) -> Framewise:
    """Principal directions, rotated."""
    return linear(*itq(training.features.astype(np.float64), bits, rng))


METHOD = Method("itq", "frame-wise", fit)
