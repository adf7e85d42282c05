"""sh: features (n, d) -> K bits, each the sign of a wave along a principal direction.

Spectral hashing (Weiss, Torralba and Fergus, NIPS 2008, section 3 and its algorithm): were features uniform in a box
along the principal directions, the smoothest balanced functions of them would be cosines, the function with m half
waves over a side b - a having the eigenvalue 1 - exp(-(eps m pi / (b - a))^2 / 2); the K smallest are taken over all
directions and m, and bit = sin(pi / 2 + m pi (x - a) / (b - a)) > 0. The order does not depend on eps. As many
directions as bits, as in the authors' code. Nothing is drawn and nothing is learnt from labels.
"""

import numpy as np

from dhhcli.base.arrays import Matrix
from dhhcli.models.feature_map import Expansion
from dhhcli.research.baselines.base import Framewise, Method, Training
from dhhcli.research.baselines.linear_layer import Layer, framewise


def modes(sides: Matrix, bits: int) -> list[tuple[int, int]]:
    """The K smoothest functions of a box: (direction, half waves) each, ties to the earlier direction."""
    found = [((m / side) ** 2, direction, m) for direction, side in enumerate(sides) for m in range(1, bits + 1)]
    return [(direction, m) for _, direction, m in sorted(found)[:bits]]


def fit(training: Training, bits: int, rng: np.random.Generator) -> Framewise:  # noqa: ARG001 - draws nothing
    """Box and waves."""
    features = training.features.astype(np.float64)
    mean = features.mean(axis=0)
    turn = np.linalg.svd(features - mean, full_matrices=False)[2][:bits].T  # (d, p)
    projected = (features - mean) @ turn
    low, high = projected.min(axis=0), projected.max(axis=0)
    sides = np.maximum(high - low, 1e-12)
    direction, waves = (np.array(each) for each in zip(*modes(sides, bits), strict=True))
    rate = np.pi * waves / sides[direction]
    angle = Expansion("cosine", rate[:, None] * turn.T[direction], -rate * (mean @ turn + low)[direction])
    return framewise(Layer(np.eye(bits), np.zeros(bits), angle))


METHOD = Method("sh", "frame-wise", fit)
