"""dnnh: features (n, d) -> hash values (n, K), each bit from features of its own, trained on triplets.

Lai, Pan, Liu and Yan, Simultaneous Feature Learning and Hash Coding with Deep Neural Networks (CVPR 2015). *Divide and
encode*: 50 K intermediate features are cut into K slices, one FC 50 -> 1 and sigmoid for each, then a piece-wise
threshold that is 0 below 0.5 - e, 1 above 0.5 + e, and the identity between. Loss: the mean over triplets of
max(0, |b - b+|^2 - |b - b-|^2 + 1).

Here on the features of a finished backbone: the intermediate features are a linear map of them, as averaging the maps
of a wider last convolution would be. So all of it is one linear layer and a threshold when it is done. Chosen: e =
0.25; every triplet of a batch instead of drawn ones.
"""

import torch
from torch import Tensor, nn

from dhhcli.research.training.networks.losses import triplet_sum

SLICE = 50
EPSILON = 0.25
MARGIN = 1.0


def piecewise_threshold(soft: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Sigmoids (...) in (0, 1) -> 0, 1, or themselves within epsilon of one half."""
    rounded = (soft >= 0.5).to(soft.dtype)
    return torch.where((soft - 0.5).abs() <= epsilon, soft, rounded)


class Dnnh(nn.Module):
    """Features (n, d) -> hash values (n, K)."""

    def __init__(self, features: int, bits: int) -> None:
        super().__init__()
        self.divide = nn.Linear(features, SLICE * bits)
        self.encode = nn.Parameter(torch.randn(bits, SLICE) / SLICE**0.5)
        self.bias = nn.Parameter(torch.zeros(bits))

    def forward(self, features: Tensor) -> Tensor:
        """(n, d) -> (n, K)."""
        slices = self.divide(features).view(len(features), *self.encode.shape)  # (n, K, 50)
        values: Tensor = (slices * self.encode).sum(dim=2) + self.bias
        return values

    def losses(self, features: Tensor, who: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        """Mean over all triplets of a batch."""
        codes = piecewise_threshold(torch.sigmoid(self(features)))
        total, count = triplet_sum(codes, codes, who, who, MARGIN, same=True)
        loss = total / count.clamp_min(1)
        return loss, {"triplets": loss}
