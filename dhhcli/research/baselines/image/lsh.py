"""lsh: features (n, d) -> K random hyperplanes through their mean.

Locality-sensitive hashing for the cosine (Charikar, STOC 2002, section 3): a hyperplane through the origin with a
normal direction drawn from a Gaussian parts two vectors with probability angle / pi. Deviation: through the mean of the
training features instead of the origin, so that bits are balanced where features do not lie around zero. Nothing is
learnt from labels.
"""

import numpy as np

from dhhcli.research.baselines.base import Framewise, Method, Training
from dhhcli.research.baselines.linear_layer import linear


def fit(training: Training, bits: int, rng: np.random.Generator) -> Framewise:
    """Random hyperplanes."""
    weight = rng.normal(size=(bits, training.features.shape[1]))
    return linear(weight, -weight @ training.features.astype(np.float64).mean(axis=0))


METHOD = Method("lsh", "frame-wise", fit)
