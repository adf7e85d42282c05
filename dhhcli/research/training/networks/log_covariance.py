"""log_covariance: features (b, m, d) -> log-covariances (b, d (d + 1) / 2), differentiable, by the Gram matrix.

The same map as models/log_covariance.py (equations 1 and 2 of Qiao et al., TIP 2019) with a gradient that stays finite.
The paper's equations 12 and 13 divide by the difference of two squared singular values and blow up when they meet. f is
analytic, so the derivative of F = f(G), G = U diag(l) U^T, has the Daleckii-Krein form

    dL/dG = U (K o (U^T A U)) U^T,   K_ij = (f(l_i) - f(l_j)) / (l_i - l_j),   K_ij -> f'(l) where they meet,

with A the symmetrised upstream gradient: finite for identical frames, zero frames and a single frame. Frames
that are all zero change nothing, so videos of different length are padded with zeros.

Most of the time goes into products with d x d matrices. In the basis of the eigenvectors, W = U^T D, there are two,
Y = log(eps) I + B^T B with B_i = sqrt(f(l_i)) W_i going forwards and W A going backwards, and both may run in the
precision of the features: every row of W keeps its own scale, so nothing of the size of 1 / eps cancels. The m x m
part is in float64.
"""

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor

from dhhcli.models.log_covariance import EPS, triangle

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


class LogCovariance(torch.autograd.Function):
    """D (b, m, d) -> upper triangle of log(D^T D + eps I), (b, d (d + 1) / 2), in the dtype of D."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, eps: float) -> Tensor:
        _, m, d = features.shape
        D = features.double()
        if m <= d:
            values, vectors = torch.linalg.eigh(D @ D.mT)
            values = values.clamp_min(0.0)  # rounding leaves -1e-17 where there is 0
            W = vectors.mT @ D  # (b, m, d), row i of length sqrt(l_i)
            B = (spectral(values, eps).sqrt()[..., None] * W).to(features.dtype)
            triangles = _triangles_of_squares(B)
            triangles[:, _diagonal(d)] += math.log(eps)
            ctx.save_for_backward(values, vectors, W)
        else:  # the Gram matrix would be the larger one
            values, vectors = torch.linalg.eigh(D.mT @ D)
            values = values.clamp_min(0.0)
            Y = (vectors * torch.log(values + eps)[..., None, :]) @ vectors.mT
            triangles = pack_triangle(Y.to(features.dtype))
            ctx.save_for_backward(values, vectors, D)
        ctx.eps, ctx.by_frames = eps, m <= d
        return triangles

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        values, vectors, saved = ctx.saved_tensors
        dtype = gradients[0].dtype
        if ctx.by_frames:
            P = _products_with_triangles(saved.to(dtype), gradients[0]).double()  # W A, (b, m, d)
            inner = loewner(values, ctx.eps) * (P @ saved.mT)  # (b, m, m)
            gradient = 2 * vectors @ (spectral(values, ctx.eps)[..., None] * P + inner @ saved)
        else:
            a, b = values[..., :, None], values[..., None, :]
            # (log(a + eps) - log(b + eps)) / (a - b) is f(|a - b|) with min(a, b) + eps for eps: nothing cancels
            K = spectral((a - b).abs(), torch.minimum(a, b) + ctx.eps)
            A = unpack_triangle(gradients[0]).double()
            gradient = 2 * saved @ vectors @ (K * (vectors.mT @ A @ vectors)) @ vectors.mT
        return gradient.to(dtype), None


@cache
def _places(d: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where the triangle lies in a flat d x d matrix and with which weights, and the way back."""
    rows, columns, weights = (torch.from_numpy(part) for part in triangle(d))
    back = torch.zeros(d, d, dtype=torch.int64)
    back[rows, columns] = torch.arange(len(rows))
    back[columns, rows] = torch.arange(len(rows))
    shares = torch.full((d, d), 1 / math.sqrt(2), dtype=torch.float64).fill_diagonal_(1.0)
    return (
        (rows * d + columns).to(device),
        weights.to(device, dtype),
        back.flatten().to(device),
        shares.flatten().to(device, dtype),
    )


def _diagonal(d: int) -> Tensor:
    """Where the diagonal lies in the vector of a triangle."""
    i = torch.arange(d)
    return i * d - i * (i - 1) // 2


CHUNK = 4  # matrices at a time, through one buffer that stays in the cache: writing 30 of them to memory costs more


def _triangles_of_squares(B: Tensor) -> Tensor:
    """``pack_triangle(B^T B)``: (b, m, d) -> (b, d (d + 1) / 2)."""
    b, _, d = B.shape
    places, weights, _, _ = _places(d, B.dtype, B.device)
    triangles = B.new_empty(b, d * (d + 1) // 2)
    buffer = B.new_empty(CHUNK, d, d)
    for first in range(0, b, CHUNK):
        part = B[first : first + CHUNK]
        Y = torch.bmm(part.mT, part, out=buffer[: len(part)])
        torch.index_select(Y.flatten(1), 1, places, out=triangles[first : first + CHUNK])
        triangles[first : first + CHUNK] *= weights
    return triangles


def _products_with_triangles(W: Tensor, triangles: Tensor) -> Tensor:
    """``W @ unpack_triangle(triangles)``: (b, m, d) and (b, d (d + 1) / 2) -> (b, m, d)."""
    b, _, d = W.shape
    _, _, back, shares = _places(d, W.dtype, W.device)
    products = torch.empty_like(W)
    buffer = W.new_empty(CHUNK, d * d)
    for first in range(0, b, CHUNK):
        part = W[first : first + CHUNK]
        A = torch.index_select(triangles[first : first + CHUNK], 1, back, out=buffer[: len(part)])
        A *= shares
        torch.bmm(part, A.view(-1, d, d), out=products[first : first + CHUNK])
    return products


def pack_triangle(Y: Tensor) -> Tensor:
    """Symmetric (b, d, d) -> upper triangle, off-diagonals times sqrt(2): (b, d (d + 1) / 2)."""
    places, weights, _, _ = _places(Y.shape[-1], Y.dtype, Y.device)
    return Y.flatten(1).index_select(1, places) * weights


def unpack_triangle(vectors: Tensor) -> Tensor:
    """Inverse of ``pack_triangle`` and, the map being an isometry, its transpose: (b, d (d + 1) / 2) -> (b, d, d)."""
    d = (math.isqrt(8 * vectors.shape[1] + 1) - 1) // 2
    _, _, back, shares = _places(d, vectors.dtype, vectors.device)
    return (vectors.index_select(1, back) * shares).view(-1, d, d)


def log_covariance(features: Tensor, *, eps: float = EPS, counts: Tensor | None = None) -> Tensor:
    """Upper triangle of Y, off-diagonals times sqrt(2): (b, m, d) -> (b, d (d + 1) / 2), in the features' dtype.

    With m > d the decomposition is that of D^T D, so that long videos may be given as such.

    Args:
        features: (b, m, d) float32 or float64; rows of zeros are padding.
        eps: added to the diagonal of D^T D.
        counts: (b,) number of frames to divide D^T D by (a deviation from the paper); None: not divided.
    """
    if counts is not None:
        features = features / counts.to(features.dtype).sqrt()[:, None, None]
    with torch.autocast(features.device.type, enabled=False):
        vectors: Tensor = LogCovariance.apply(features, eps)  # type: ignore[no-untyped-call]
    return vectors


def log_covariance_matrix(features: Tensor, *, eps: float = EPS) -> Tensor:
    """Y = log(D^T D + eps I): (b, m, d) -> (b, d, d)."""
    return unpack_triangle(log_covariance(features, eps=eps))
