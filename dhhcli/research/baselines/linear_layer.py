"""linear_layer: (expansion,) weight (K, w) and bias (K,) -> a Fitted: bit k is 1 if ``weight[k] @ x + bias[k] >= 0``.

Everything that is fitted here ends as such layers, one for photos or one for photos and one for videos, so that ``dhh
train --method`` can write it as weights (deep/fitted.py). A photo's layer takes its features, a video's its
log-covariance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dhhcli.base.arrays import Floats, Matrix
from dhhcli.models.feature_map import Expansion
from dhhcli.models.log_covariance import log_covariance
from dhhcli.research.baselines.base import Bits, Covariance, Framewise, Videowise


@dataclass(frozen=True, eq=False)
class Layer:
    """Hyperplanes of vectors, or of what an expansion makes of them."""

    weight: Matrix  # (K, w)
    bias: Matrix  # (K,)
    expansion: Expansion | None = None  # of the vectors, r -> w

    def __call__(self, x: Matrix) -> Bits:
        """Vectors (n, r) -> (n, K)."""
        return np.asarray((self.expansion(x) if self.expansion else x) @ self.weight.T + self.bias >= 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameLayer(Framewise):
    """A Framewise that is one layer of the features."""

    layer: Layer


@dataclass(frozen=True, eq=False, kw_only=True)
class TwoLayers(Videowise):
    """A Videowise that is a layer of the features and one of the log-covariance."""

    photo: Layer
    video: Layer


def framewise(layer: Layer) -> FrameLayer:
    """A layer of the features, for photos and frames."""

    def bits(features: Floats) -> Bits:
        return layer(features.astype(np.float64))

    return FrameLayer(bits=lambda looks: bits(looks.features), feature_bits=bits, layer=layer)


def linear(weight: Matrix, bias: Matrix) -> FrameLayer:
    """Hyperplanes of the features."""
    return framewise(Layer(weight, bias))


def videowise(photo: Layer, video: Layer, covariance: Covariance) -> TwoLayers:
    """A layer for photos and one for videos."""
    return TwoLayers(
        still_bits=lambda features: photo(features.astype(np.float64)),
        video_bits=lambda tracks: video(log_covariances(tracks, covariance)),
        photo=photo,
        video=video,
    )


def log_covariances(tracks: Sequence[Floats], covariance: Covariance) -> Matrix:
    """Frames' features (m_i, d) of each -> (t, r)."""

    def whole(frames: Floats) -> Floats:
        return np.concatenate([frames, np.ones((len(frames), 1), np.float32)], axis=1)

    given = [whole(frames) if covariance.homogeneous else frames for frames in tracks]
    return np.stack([log_covariance(D, eps=covariance.eps, divide=covariance.divide) for D in given])
