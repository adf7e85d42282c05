"""cvh: pairs of a photo (p,) and a video (q,) -> K canonical directions of each, cut at the mean.

Cross-view hashing (Kumar and Udupa, IJCAI 2011). For two views given in pairs that belong together, the relaxed problem
(section 4) is the generalised eigenvalue problem of canonical correlation analysis: directions a, b with the largest
correlation of a^T x and b^T y, one pair of directions a bit. Pairs are of one person, drawn: four photos for every
video, and at least 8,000. Deviation: a thousandth of the mean variance is added to every variance, because some of the
256 components of a log-covariance hardly vary.
"""

import numpy as np

from dhhcli.base.arrays import Matrix
from dhhcli.errors import UsageError
from dhhcli.research.baselines.base import Method, Training, Videowise
from dhhcli.research.baselines.cross_modal.projections import canonical, two_views
from dhhcli.research.baselines.cross_modal.spaces import Spaces, spaces
from dhhcli.research.baselines.sampling import pairs

PAIRS, RIDGE = 8000, 1e-3


def directions(X: Matrix, Y: Matrix, count: int, ridge: float = RIDGE) -> tuple[Matrix, Matrix, Matrix]:
    """Canonical directions a (p, k), b (q, k) and correlations (k,) of paired rows X (n, p), Y (n, q)."""
    X, Y, n = X - X.mean(axis=0), Y - Y.mean(axis=0), len(X)
    return canonical(X.T @ Y / n, X.T @ X / n, Y.T @ Y / n, ridge, count)


def paired(both: Spaces, rng: np.random.Generator, least: int = PAIRS) -> tuple[Matrix, Matrix]:
    """Rows of photos and videos of one person each."""
    photos, videos = pairs(both.photo_people, both.video_people, max(least, 4 * len(both.videos)), rng)
    return both.photos[photos], both.videos[videos]


def fit(training: Training, bits: int, rng: np.random.Generator) -> Videowise:
    """Canonical directions.

    Raises:
        UsageError: more bits than dimensions.
    """
    both = spaces(training)
    X, Y = paired(both, rng)
    most = min(X.shape[1], Y.shape[1])
    if bits > most:
        raise UsageError(f"cvh: {bits} bits of {most} dimensions; there are no more canonical directions: fewer bits")
    a, b, _ = directions(X, Y, bits)
    return two_views(both, (a.T, -X.mean(axis=0) @ a), (b.T, -Y.mean(axis=0) @ b))


METHOD = Method("cvh", "video-wise", fit)
