"""laid_out: network (crops -> features (n, d)) + mean length s -> features (n, d + 1) laid out for the log-covariance.

With f a feature and n its length, x = sqrt(n / s) [f / n, 1].

- The last number stands for the constant 1 of feature_layout.py: D^T D of a track's frames then holds their mean beside
  their second moments, and the sign of the mean is not lost.
- A frame counts by n / s in both. Faces that are small, blurred, turned away or covered have short features (Meng et
  al., MagFace, CVPR 2021, train for that; here it comes by itself).
- Nothing is centred: on film the mean of the portraits at hand, taken away, cost .05 of mean average precision.

A hash layer without a bias is then indifferent to n.
"""

import torch
from torch import Tensor, nn


class LaidOut(nn.Module):
    """Crops (n, 64, 64, 3) uint8 -> (n, d + 1) float32."""

    def __init__(self, network: nn.Module, length: float) -> None:
        super().__init__()
        self.network, self.length = network, length

    def forward(self, crops: Tensor) -> Tensor:
        return self.lay_out(self.network(crops))

    def lay_out(self, features: Tensor) -> Tensor:
        """Features (n, d) of the network -> (n, d + 1)."""
        length = features.square().sum(1, keepdim=True).sqrt().clamp_min(1e-6)
        weight = (length / self.length).sqrt()
        return torch.cat([features / length * weight, weight], 1)
