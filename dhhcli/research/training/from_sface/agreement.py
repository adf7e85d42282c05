"""agreement: features (n, d) of pictures of n people, one each, and another network's (n, e) -> directions (d, d).

Which directions of a feature tell people apart, where nobody is seen twice? What two networks that were trained apart
agree on is the person; what the second one's features do not foretell of the first's is the picture, or the network.
The directions are Fisher's discriminants with that residual in place of the scatter within people, of unit variance.
Without a second network they are principal components of unit variance.

Codes of up to 64 bits gain by it, longer ones do not (docs/research/backbone.md).
"""

from typing import Final

import torch
from torch import Tensor

RIDGE: Final = 0.02  # of the second network's mean variance
SHRINK: Final = 0.05  # of the residual towards a multiple of the identity


@torch.no_grad()
def agreement(features: Tensor, second: Tensor | None) -> tuple[Tensor, Tensor]:
    """Directions (d, d), a column each, the best first, and the ratio of each one's variance to its residual (d,).

    Args:
        features: (n, d).
        second: (n, e) of another network, or None.
    """
    F = features.double()
    F = F - F.mean(0)
    n, d = F.shape
    total = F.T @ F / n
    if second is None:
        values, vectors = torch.linalg.eigh(total)
        return (vectors / values.clamp_min(1e-12).sqrt()).flip(1).float(), torch.ones(d)
    R = second.double()
    R = R - R.mean(0)
    e = R.shape[1]
    gram = R.T @ R
    gram = gram + RIDGE * gram.diagonal().mean() * torch.eye(e, dtype=torch.float64)
    residual = F - R @ torch.linalg.solve(gram, R.T @ F)
    within = residual.T @ residual / n
    within = within + SHRINK * within.diagonal().mean() * torch.eye(d, dtype=torch.float64)
    root = torch.linalg.cholesky(within)
    inverse = torch.linalg.solve_triangular(root, torch.eye(d, dtype=torch.float64), upper=False)
    values, vectors = torch.linalg.eigh(inverse @ total @ inverse.T)
    found = (inverse.T @ vectors).flip(1)
    variance = torch.einsum("ij,ik,kj->j", found, total, found)
    return (found / variance.sqrt()).float(), values.flip(0).float()
