"""projections: weights (K, p) and (K, q) with biases -> a video-wise Fitted: hyperplanes of photos and of videos."""

import numpy as np
import scipy.linalg

from dhhcli.base.arrays import Matrix
from dhhcli.research.baselines.cross_modal.spaces import Spaces
from dhhcli.research.baselines.linear_layer import TwoLayers, videowise


def two_views(both: Spaces, photo: tuple[Matrix, Matrix], video: tuple[Matrix, Matrix]) -> TwoLayers:
    """Bit k is 1 where ``weight[k] @ x + bias[k] >= 0``, each kind with its own (weight, bias)."""
    return videowise(both.photo_space.layer(*photo), both.video_space.layer(*video), both.covariance)


def half_inverse(C: Matrix, ridge: float) -> Matrix:
    """(C + ridge * mean of its diagonal * I)^(-1/2) of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(C)
    return np.asarray((vectors / np.sqrt(np.maximum(values, 0) + ridge * max(values.mean(), 1e-300))) @ vectors.T)


def canonical(cross: Matrix, left: Matrix, right: Matrix, ridge: float, count: int) -> tuple[Matrix, Matrix, Matrix]:
    """Directions a (p, k), b (q, k) of the largest a^T cross b with a^T left a = b^T right b = 1, and those values."""
    A, B = half_inverse(left, ridge), half_inverse(right, ridge)
    U, values, Vt = scipy.linalg.svd(A @ cross @ B, full_matrices=False)
    return A @ U[:, :count], B @ Vt[:count].T, values[:count]
