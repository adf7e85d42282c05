"""cmssh: pairs of a photo (p,) and a video (q,), of one person or of two -> K boosted pairs of hyperplanes.

Cross-modality similarity-sensitive hashing (Bronstein, Bronstein, Michel and Paragios, CVPR 2010, section 3). A bit is
a weak classifier of pairs, h(x, y) = sgn(a^T x + c) sgn(b^T y + e), which says whether both show one person, s = +-1.
AdaBoost: a and b are the strongest singular vectors of the weighted covariance sum w s x y^T, the offsets those of a
grid of quantiles with the largest r = sum w s h(x, y); then w is multiplied by exp(-alpha s h), alpha = log((1 + r) /
(1 - r)) / 2. Bits count alike in the Hamming distance, as in the paper. 4,000 drawn pairs of either kind, and quantiles
0.1 to 0.9, are choices of ours.
"""

import numpy as np
import scipy.linalg

from dhhcli.base.arrays import Matrix
from dhhcli.research.baselines.base import Method, Training, Videowise
from dhhcli.research.baselines.cross_modal.projections import two_views
from dhhcli.research.baselines.cross_modal.spaces import spaces
from dhhcli.research.baselines.sampling import pairs, strangers

PAIRS = 4000  # of one person; as many of two
QUANTILES = np.linspace(0.1, 0.9, 9)


def weak(X: Matrix, Y: Matrix, s: Matrix, w: Matrix) -> tuple[Matrix, float, Matrix, float]:
    """Best pair of hyperplanes (a, c), (b, e) for weights w (n,) and s (n,) +-1 of paired rows."""
    C = X.T @ (Y * (w * s)[:, None])
    U, _, Vt = scipy.linalg.svd(C, full_matrices=False)
    a, b = U[:, 0], Vt[0]
    x, y = X @ a, Y @ b
    at, bt = np.quantile(x, QUANTILES), np.quantile(y, QUANTILES)
    r = np.where(x[:, None] >= at, 1.0, -1.0).T @ (np.where(y[:, None] >= bt, 1.0, -1.0) * (w * s)[:, None])
    i, j = np.unravel_index(np.argmax(r), r.shape)
    return a, -float(at[i]), b, -float(bt[j])


def boost(w: Matrix, agree: Matrix) -> Matrix:
    """New weights (n,) that sum to 1, from old ones and s h(x, y) = +-1 (n,)."""
    r = float(np.clip((w * agree).sum(), -1 + 1e-9, 1 - 1e-9))
    new = w * np.exp(-0.5 * np.log((1 + r) / (1 - r)) * agree)
    return np.asarray(new / new.sum())


def fit(training: Training, bits: int, rng: np.random.Generator) -> Videowise:
    """Boosted hyperplanes."""
    both = spaces(training)
    same = pairs(both.photo_people, both.video_people, PAIRS, rng)
    other = strangers(both.photo_people, both.video_people, PAIRS, rng)
    X, Y = both.photos[np.r_[same[0], other[0]]], both.videos[np.r_[same[1], other[1]]]
    s = np.repeat([1.0, -1.0], PAIRS)
    w = np.full(2 * PAIRS, 0.5 / PAIRS)
    found = []
    for _ in range(bits):
        a, c, b, e = weak(X, Y, s, w)
        found.append((a, c, b, e))
        w = boost(w, s * np.where(X @ a + c >= 0, 1.0, -1.0) * np.where(Y @ b + e >= 0, 1.0, -1.0))
    left, left_bias, right, right_bias = (np.array(each) for each in zip(*found, strict=True))
    return two_views(both, (left, left_bias), (right, right_bias))


METHOD = Method("cmssh", "video-wise", fit)
