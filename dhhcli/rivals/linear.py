"""linear: weight (K, d) and bias (K,) -> a frame-wise Fitted: bit k is 1 where ``weight[k] @ x + bias[k] >= 0``."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .protocol import Bits, Floats, Framewise

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Linear(Framewise):
    """Hyperplanes of the features, which may be written as weights (learning/linearhash.py)."""

    weight: Matrix = field(default_factory=lambda: np.empty((0, 0)))  # (K, d)
    bias: Matrix = field(default_factory=lambda: np.empty(0))  # (K,)


def linear(weight: Matrix, bias: Matrix) -> Linear:
    """Hyperplanes of the features."""

    def bits(features: Floats) -> Bits:
        return np.asarray(features.astype(np.float64) @ weight.T + bias >= 0)

    return Linear(lambda looks: bits(looks.features), bits, weight, bias)
