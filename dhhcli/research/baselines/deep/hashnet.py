"""hashnet: features (n, d) -> hash values (n, K), trained as tanh(beta x) while beta grows towards the sign.

Cao, Long, Wang and Yu, HashNet: Deep Learning to Hash by Continuation (ICCV 2017), equations 4 and 5, over all pairs of
a batch, s = 1 for one person and 0 for two, S1 and S0 their numbers in the batch:

    L = mean of w (log(1 + exp(a <h_i, h_j>)) - a s <h_i, h_j>),   w = |S| / |S1| or |S| / |S0|,   h = tanh(beta x).

As in the authors' public code, a = 10 / K and beta = sqrt(1 + 0.005 t), t the step, raised every 200 steps. Here x is a
linear layer on the features of a finished backbone.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

GROWTH, EVERY = 0.005, 200


def beta_at(step: int) -> float:
    """How steep tanh is at a step."""
    return math.sqrt(1 + GROWTH * (step - step % EVERY))


def weighted_likelihood(codes: Tensor, who: Tensor, sharpness: float) -> Tensor:
    """Codes (n, K), people (n,) -> weighted negative log likelihood, mean over the n (n - 1) / 2 pairs."""
    first, second = torch.triu_indices(len(codes), len(codes), offset=1, device=codes.device)
    same = (who[first] == who[second]).to(codes.dtype)
    inner = sharpness * (codes[first] * codes[second]).sum(dim=1)
    ones = same.sum()
    weight = torch.where(same > 0, len(same) / ones.clamp_min(1), len(same) / (len(same) - ones).clamp_min(1))
    return (weight * (functional.softplus(inner) - same * inner)).mean()


class Hashnet(nn.Module):
    """Features (n, d) -> hash values (n, K)."""

    def __init__(self, features: int, bits: int) -> None:
        super().__init__()
        self.hash = nn.Linear(features, bits)

    def forward(self, features: Tensor) -> Tensor:
        """(n, d) -> (n, K)."""
        values: Tensor = self.hash(features)
        return values

    def losses(self, features: Tensor, who: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The likelihood at this step's steepness."""
        values = self(features)
        loss = weighted_likelihood(torch.tanh(beta_at(step) * values), who, 10 / values.shape[1])
        return loss, {"likelihood": loss}
