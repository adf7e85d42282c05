"""dsh: features (n, d) -> hash values (n, K), trained on pairs: alike near, unlike a margin apart, both near +-1.

Liu, Wang, Shan and Chen, Deep Supervised Hashing for Fast Image Retrieval (CVPR 2016), equation 4, over all pairs of a
batch, y = 0 for one person and 1 for two:

    L = 1/2 (1 - y) |b1 - b2|^2 + 1/2 y max(m - |b1 - b2|^2, 0) + alpha (| |b1| - 1 |_1 + | |b2| - 1 |_1),

m = 2 K, alpha = 0.01. Bits are the signs. Here b is a linear layer on the features of a finished backbone.
"""

import torch
from torch import Tensor, nn

from dhhcli.research.training.networks.losses import towards_one

ALPHA = 0.01


def pair_loss(values: Tensor, who: Tensor, margin: float, alpha: float) -> tuple[Tensor, Tensor]:
    """Values (n, K), people (n,) -> contrastive and quantisation term, means over the n (n - 1) / 2 pairs."""
    first, second = torch.triu_indices(len(values), len(values), offset=1, device=values.device)
    distance = (values[first] - values[second]).square().sum(dim=1)
    same = who[first] == who[second]
    contrastive = torch.where(same, distance, (margin - distance).clamp_min(0)).mean() / 2
    each = towards_one(values)
    return contrastive, alpha * (each[first] + each[second]).mean()


class Dsh(nn.Module):
    """Features (n, d) -> hash values (n, K)."""

    def __init__(self, features: int, bits: int) -> None:
        super().__init__()
        self.hash = nn.Linear(features, bits)

    def forward(self, features: Tensor) -> Tensor:
        """(n, d) -> (n, K)."""
        values: Tensor = self.hash(features)
        return values

    def losses(self, features: Tensor, who: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        """Both terms, added."""
        values = self(features)
        contrastive, quantise = pair_loss(values, who, 2.0 * values.shape[1], ALPHA)
        return contrastive + quantise, {"contrastive": contrastive, "quantise": quantise}
