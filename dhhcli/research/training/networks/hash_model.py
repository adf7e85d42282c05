"""hash_model: features of stills (n, d) and of tracks (n, m, d) -> soft bits (n, K), in one Hamming space.

The two hash layers of Qiao et al. (TIP 2019): one fully connected layer and a sigmoid for stills, one for
tracks on the log-covariance, dropout in front of each (0.4 in the authors' public code; settings choose). Codes of
several lengths are trained side by side as one layer of as many outputs; ``rows`` cuts one length out.
"""

import numpy as np
import torch
from torch import Tensor, nn

from dhhcli.models.hash_layers import HashLayers
from dhhcli.models.log_covariance import EPS, triangle
from dhhcli.research.training.engine.distributed import Share
from dhhcli.research.training.networks.backbone import FEATURES
from dhhcli.research.training.networks.log_covariance import log_covariance


class HashModel(nn.Module):
    """Both hash layers; the backbone stands before it."""

    def __init__(
        self,
        bits: int,
        *,
        features: int = FEATURES,
        eps: float = EPS,
        divide: bool = False,
        dropout: float = 0.4,
    ) -> None:
        super().__init__()
        self.eps, self.divide = eps, divide
        self.still = nn.Linear(features, bits)
        self.track = nn.Linear(features * (features + 1) // 2, bits)
        self.dropout = dropout

    def hash_stills(
        self, features: Tensor, generator: torch.Generator | None = None, share: Share | None = None
    ) -> Tensor:
        """(n, d) -> (n, K); with a generator (of the CPU), as in training: dropout drawn from it.

        ``share``: these are only some of the batch's rows; dropout is drawn for all of them, so that several processes
        together draw what one would have drawn.
        """
        return torch.sigmoid(self.still(self._drop(features, generator, share)))

    def hash_tracks(
        self,
        features: Tensor,
        counts: Tensor,
        generator: torch.Generator | None = None,
        share: Share | None = None,
    ) -> Tensor:
        """(n, m, d) padded with zero frames, true numbers of frames (n,) -> (n, K); the rest as above."""
        vectors = log_covariance(features, eps=self.eps, counts=counts if self.divide else None)
        return torch.sigmoid(self.track(self._drop(vectors, generator, share)))

    def _drop(self, x: Tensor, generator: torch.Generator | None, share: Share | None) -> Tensor:
        # nn.Dropout draws from torch's global generator only
        if generator is None or not self.dropout:
            return x
        # the generator is the CPU's
        draws = torch.rand((share.whole if share else len(x), x.shape[1]), generator=generator)
        kept = draws[share.rows if share else slice(None)] >= self.dropout
        return x * kept.to(x.device) / (1 - self.dropout)

    @torch.no_grad()
    def tracks_like_stills(self, scale: float, homogeneous: int) -> None:
        """Start the track layer as the still layer applied to the mean frame.

        Needs a feature that is 1 on every picture (number ``homogeneous``): D^T D then holds the sum of the
        frames in that row, as in the embedding of a Gaussian (mean, covariance) into the symmetric positive
        definite matrices (Lovric, Min-Oo and Ruh, J. Multivariate Analysis 2000). A deviation from the paper,
        which starts at random.

        Args:
            scale: features per unit of the vector's entries in that row, measured on real tracks (the matrix
                logarithm does not keep the size of a mean).
            homogeneous: the feature that is constant.
        """
        rows, columns, _ = triangle(self.still.in_features)
        self.track.weight.zero_()
        weight = self.still.weight
        places = np.flatnonzero((columns == homogeneous) & (rows != homogeneous))
        self.track.weight[:, torch.as_tensor(places)] = weight[:, torch.as_tensor(rows[places])] * scale
        self.track.bias.copy_(self.still.bias + weight[:, homogeneous])

    def layers(self, rows: slice = slice(None)) -> HashLayers:
        """The same layers for numpy; ``rows``: only these outputs."""

        def array(parameter: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            return parameter.detach().cpu().to(torch.float32).numpy().copy()

        return HashLayers(
            array(self.still.weight[rows]),
            array(self.still.bias[rows]),
            array(self.track.weight[rows]),
            array(self.track.bias[rows]),
            self.eps,
            self.divide,
        )
