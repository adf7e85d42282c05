"""itq: features (n, d) -> K principal directions, turned so that rounding to bits loses least.

Iterative quantisation (Gong and Lazebnik, CVPR 2011, section 2, 50 iterations), the unsupervised form on principal
directions; the algorithm is that of ``training/networks/itq.py``. Deviation: more bits than dimensions come from
several rotations.
"""

import numpy as np

from dhhcli.research.baselines.base import Framewise, Method, Training
from dhhcli.research.baselines.linear_layer import linear
from dhhcli.research.training.networks.itq import itq


def fit(training: Training, bits: int, rng: np.random.Generator) -> Framewise:
    """Principal directions, rotated."""
    return linear(*itq(training.features.astype(np.float64), bits, rng))


METHOD = Method("itq", "frame-wise", fit)
