"""hash_layers: features (n, d) of stills, or (m, d) of each of t tracks -> soft bits (n, K) or (t, K) float32.

The two hash layers of Qiao et al. (TIP 2019): one fully connected layer with a sigmoid for stills on the feature
itself, one for tracks on the log-covariance. Methods that hash pictures only have the first; the code of a track is
then what most of its frames say, bit by bit. Some rivals bend what goes into a layer (feature_map.py). Numpy only;
training/networks/hash_model.py trains the same layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dhhcli.models.feature_map import Expansion
from dhhcli.models.log_covariance import EPS, log_covariance


@dataclass(frozen=True, eq=False)
class HashLayers:
    """Weights of both hash layers; d features, K bits. An expansion's numbers take the place of what it is given."""

    still_weight: npt.NDArray[np.float32]  # (K, d)
    still_bias: npt.NDArray[np.float32]  # (K,)
    track_weight: npt.NDArray[np.float32]  # (K, d (d + 1) / 2)
    track_bias: npt.NDArray[np.float32]  # (K,)
    eps: float = EPS
    divide: bool = False
    framewise: bool = False  # no layer for tracks: `track_weight` is (K, 0)
    still_expansion: Expansion | None = None  # of the features, d -> w; `still_weight` is then (K, w)
    track_expansion: Expansion | None = None  # of the log-covariance; `track_weight` is then (K, w)

    @property
    def bits(self) -> int:
        """Code length K."""
        return len(self.still_bias)


def hash_stills(layers: HashLayers, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Soft bits of n stills: (n, d) -> (n, K)."""
    x = features.astype(np.float32)
    if layers.still_expansion:
        x = layers.still_expansion(x)
    return _sigmoid(x @ layers.still_weight.T + layers.still_bias)


def hash_tracks(layers: HashLayers, tracks: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Soft bits of t tracks, each the features (m_i, d) of its frames: -> (t, K).

    ``layers.framewise``: the share of the frames whose bit is 1, so that a tie is a 1.
    """
    if not tracks:
        return np.empty((0, layers.bits), np.float32)
    if layers.framewise:
        return np.stack([share_of_frames(hash_stills(layers, D)) for D in tracks])
    vectors = np.stack([log_covariance(D, eps=layers.eps, divide=layers.divide).astype(np.float32) for D in tracks])
    if layers.track_expansion:
        vectors = layers.track_expansion(vectors)
    return _sigmoid(vectors @ layers.track_weight.T + layers.track_bias)


def share_of_frames(soft: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Soft bits of a track's frames (m, K) -> the share of them whose bit is 1, (K,)."""
    return np.asarray((soft >= 0.5).mean(axis=0, dtype=np.float32), np.float32)


def _sigmoid(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), np.float32)  # tanh does not overflow
