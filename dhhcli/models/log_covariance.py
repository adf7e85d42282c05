"""log_covariance: features (m, d) of a track's frames -> log-covariance (d (d + 1) / 2,) float64.

Equations 1 and 2 of Qiao et al. (TIP 2019): Y = log(D^T D + eps I), D not centred, eps = 1e-3. The paper
decomposes the d x d matrix. With m <= d frames the same Y comes from the m x m Gram matrix G = D D^T,

    Y = log(eps) I + D^T f(G) D,    f(x) = log1p(x / eps) / x,  f(0) = 1 / eps,

because D^T g(D D^T) D = V S^2 g(S^2) V^T for D = U S V^T. Y is symmetric, so the vector is its upper triangle with the
off-diagonal entries times sqrt(2): an isometry (the Euclidean distance of two vectors is the Frobenius distance of the
two matrices) with half the numbers. log_covariance.py is the same map with its gradient; a test holds them together.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

EPS = 1e-3  # the authors' public code; the paper only calls it small


@cache
def triangle(d: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Rows, columns and weights (1 on the diagonal, sqrt(2) off it) of the upper triangle, as vectors."""
    rows, columns = np.triu_indices(d)
    return rows, columns, np.where(rows == columns, 1.0, np.sqrt(2.0))


def spectral(x: npt.NDArray[np.float64], eps: float) -> npt.NDArray[np.float64]:
    """f(x) = log1p(x / eps) / x for x >= 0, continuous at 0 (where it is 1 / eps)."""
    small = x < 1e-300  # below that the quotient is 0 / 0; log1p keeps it exact above
    safe = np.where(small, 1.0, x)
    return np.asarray(np.where(small, 1.0 / eps, np.log1p(safe / eps) / safe))


def log_covariance(
    features: npt.NDArray[np.floating], *, eps: float = EPS, divide: bool = False
) -> npt.NDArray[np.float64]:
    """Log-covariance of one set of frames.

    Args:
        features: (m, d), m >= 1; the order of the frames does not matter.
        eps: added to the diagonal.
        divide: divide D^T D by m, so that a long track and a short one of the same face agree. The paper does
            not (its Y grows with log m); the weights' record says which one its hash layer was trained with.

    Returns:
        (d (d + 1) / 2,) float64.

    Raises:
        ValueError: features is not (m >= 1, d) or holds a number that is not finite.
    """
    if features.ndim != 2 or len(features) == 0 or not np.isfinite(features).all():
        raise ValueError(f"expected finite features (m >= 1, d), got shape {features.shape}")
    D = np.asarray(features, np.float64)
    m, d = D.shape
    if divide:
        D = D / np.sqrt(m)
    if m <= d:
        values, vectors = np.linalg.eigh(D @ D.T)
        weights = spectral(np.maximum(values, 0.0), eps)  # rounding leaves -1e-17 where there is 0
        Y = D.T @ ((vectors * weights) @ vectors.T) @ D
        Y[np.diag_indices(d)] += np.log(eps)
    else:
        values, vectors = np.linalg.eigh(D.T @ D)
        Y = (vectors * np.log(np.maximum(values, 0.0) + eps)) @ vectors.T
    rows, columns, weights = triangle(d)
    return np.asarray(Y[rows, columns] * weights)
