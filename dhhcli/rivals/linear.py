"""linear: weight (K, d) and bias (K,) -> a frame-wise Fitted: bit k is 1 where ``weight[k] @ x + bias[k] >= 0``."""

import numpy as np
import numpy.typing as npt

from .protocol import Bits, Floats, Framewise, featurewise

Matrix = npt.NDArray[np.float64]


def linear(weight: Matrix, bias: Matrix) -> Framewise:
    """Hyperplanes of the features."""

    def bits(features: Floats) -> Bits:
        return np.asarray(features.astype(np.float64) @ weight.T + bias >= 0)

    return featurewise(bits)
