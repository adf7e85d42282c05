"""logcov: features (b, m, d) -> log-covariances (b, d (d + 1) / 2), differentiable, by the Gram matrix.

The same map as covariance.py (equations 1 and 2 of Qiao et al., TIP 2019) with a gradient that stays finite.
The paper's equations 12 and 13 divide by the difference of two squared singular values and blow up when they
meet. f is analytic, so the derivative of F = f(G), G = U diag(l) U^T, has the Daleckii-Krein form

    dL/dG = U (K o (U^T A U)) U^T,   K_ij = (f(l_i) - f(l_j)) / (l_i - l_j),   K_ij -> f'(l) where they meet,

with A the symmetrised upstream gradient: finite for identical frames, zero frames and a single frame. Frames
that are all zero change nothing, so videos of different length are padded with zeros.
"""

import math
from typing import Any

import torch
from torch import Tensor

from ..covariance import EPS, triangle

# With h = |l_i - l_j| / (l + eps) the divided difference loses 1e-16 / h, the midpoint derivative h^2: they
# cross at 5e-6.
MEET = 5e-6


def spectral(x: Tensor, eps: float | Tensor) -> Tensor:
    """f(x) = log1p(x / eps) / x, f(0) = 1 / eps, elementwise on x >= 0; eps a number or of the shape of x."""
    small = x < 1e-300
    safe = torch.where(small, torch.ones_like(x), x)
    return torch.where(small, 1.0 / eps, torch.log1p(safe / eps) / safe)


def spectral_derivative(x: Tensor, eps: float) -> Tensor:
    """f'(x) = (1 / (x + eps) - f(x)) / x, f'(0) = -1 / (2 eps^2); a series where the difference cancels."""
    u = x / eps
    small = u < 1e-3
    safe = torch.where(small, torch.ones_like(u), u)
    direct = (1 / (1 + safe) - torch.log1p(safe) / safe) / safe
    series = -1 / 2 + u * (2 / 3 + u * (-3 / 4 + u * (4 / 5 + u * (-5 / 6))))
    return torch.where(small, series, direct) / eps**2


def loewner(values: Tensor, eps: float) -> Tensor:
    """First divided differences of f at the eigenvalues: (b, m) -> (b, m, m)."""
    a, b = values[..., :, None], values[..., None, :]
    middle = (a + b) / 2
    gap = a - b
    meet = gap.abs() <= MEET * (middle + eps)
    f = spectral(values, eps)
    difference = (f[..., :, None] - f[..., None, :]) / torch.where(meet, torch.ones_like(gap), gap)
    return torch.where(meet, spectral_derivative(middle, eps), difference)


class SpectralFunction(torch.autograd.Function):
    """G (b, m, m) symmetric positive semi-definite -> f(G), float64."""

    @staticmethod
    def forward(ctx: Any, G: Tensor, eps: float) -> Tensor:
        values, vectors = torch.linalg.eigh(G)
        values = values.clamp_min(0.0)  # rounding leaves -1e-17 where there is 0
        ctx.save_for_backward(values, vectors)
        ctx.eps = eps
        F: Tensor = (vectors * spectral(values, eps)[..., None, :]) @ vectors.mT
        return F

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        values, vectors = ctx.saved_tensors
        return _daleckii_krein(vectors, loewner(values, ctx.eps), gradients[0]), None


class SpectralLogarithm(torch.autograd.Function):
    """C (b, d, d) symmetric positive semi-definite -> log(C + eps I), float64."""

    @staticmethod
    def forward(ctx: Any, C: Tensor, eps: float) -> Tensor:
        values, vectors = torch.linalg.eigh(C)
        values = values.clamp_min(0.0)
        ctx.save_for_backward(values, vectors)
        ctx.eps = eps
        Y: Tensor = (vectors * torch.log(values + eps)[..., None, :]) @ vectors.mT
        return Y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        values, vectors = ctx.saved_tensors
        a, b = values[..., :, None], values[..., None, :]
        # (log(a + eps) - log(b + eps)) / (a - b) is f(|a - b|) with min(a, b) + eps for eps: nothing cancels
        K = spectral((a - b).abs(), torch.minimum(a, b) + ctx.eps)
        return _daleckii_krein(vectors, K, gradients[0]), None


def _daleckii_krein(vectors: Tensor, K: Tensor, upstream: Tensor) -> Tensor:
    A = (upstream + upstream.mT) / 2
    gradient: Tensor = vectors @ (K * (vectors.mT @ A @ vectors)) @ vectors.mT
    return gradient


def log_covariance_matrix(features: Tensor, *, eps: float = EPS) -> Tensor:
    """Y = log(D^T D + eps I): (b, m, d) -> (b, d, d), computed in float64, given in the dtype of the features.

    For m > d the eigen-decomposition is of D^T D (the Gram matrix would be the larger one).
    """
    _, m, d = features.shape
    D = features.double()
    if m > d:
        Y: Tensor = SpectralLogarithm.apply(D.mT @ D, eps)  # type: ignore[no-untyped-call]
        return Y.to(features.dtype)
    F: Tensor = SpectralFunction.apply(D @ D.mT, eps)  # type: ignore[no-untyped-call]
    # All of it in float64: where frames agree f(G) holds 1 / eps, which D cancels, forwards and backwards.
    identity = torch.eye(d, dtype=D.dtype, device=features.device)
    return (D.mT @ (F @ D) + math.log(eps) * identity).to(features.dtype)


def log_covariance(features: Tensor, *, eps: float = EPS, counts: Tensor | None = None) -> Tensor:
    """Upper triangle of Y, off-diagonals times sqrt(2): (b, m, d) -> (b, d (d + 1) / 2).

    Args:
        features: (b, m, d); rows of zeros are padding.
        eps: added to the diagonal of D^T D.
        counts: (b,) number of frames to divide D^T D by (a deviation from the paper); None: not divided.
    """
    if counts is not None:
        features = features / counts.to(features.dtype).sqrt()[:, None, None]
    rows, columns, weights = triangle(features.shape[-1])
    Y = log_covariance_matrix(features, eps=eps)
    scale = torch.as_tensor(weights, dtype=Y.dtype, device=Y.device)
    return Y[:, torch.as_tensor(rows), torch.as_tensor(columns)] * scale
