"""pdh: pairs of a photo (p,) and a video (q,) of one person -> K hyperplanes of each that predict each other's bits.

Predictable dual-view hashing (Rastegari, Choi, Fakhraei, Hal and Davis, ICML 2013, section 3 and its algorithm). Start
at canonical directions; then three times over: the bits of videos are made as independent as signs can be and photos
learn them with a linear support vector machine a bit, and the same the other way round. Independence is the paper's
constraint B^T B = n I, met before rounding by the nearest matrix with orthogonal columns. Pairs as in cvh.py, 4,000.
"""

import numpy as np

from dhhcli.base.arrays import Matrix
from dhhcli.research.baselines.base import Method, Training, Videowise
from dhhcli.research.baselines.cross_modal.cvh import directions, paired
from dhhcli.research.baselines.cross_modal.projections import two_views
from dhhcli.research.baselines.cross_modal.spaces import spaces
from dhhcli.research.baselines.svm import machines

PAIRS, ROUNDS = 4000, 3


def independent(values: Matrix) -> Matrix:
    """The matrix with orthonormal columns nearest to (n, K) once its columns are centred."""
    U, _, Vt = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    return np.asarray(U @ Vt)


def fit(training: Training, bits: int, rng: np.random.Generator) -> Videowise:
    """Hyperplanes of both."""
    both = spaces(training)
    X, Y = paired(both, rng, PAIRS)
    kept = np.sort(rng.choice(len(X), PAIRS, replace=False))
    X, Y = X[kept], Y[kept]
    a, b, _ = directions(X, Y, bits)
    extra = bits - a.shape[1]  # more bits than directions: random ones
    if extra > 0:
        b = np.concatenate([b, rng.normal(size=(len(b), extra))], axis=1)
    video = b.T, -Y.mean(axis=0) @ b
    for _ in range(ROUNDS):
        photo = machines(X, independent(np.sign(Y @ video[0].T + video[1])) >= 0)
        video = machines(Y, independent(np.sign(X @ photo[0].T + photo[1])) >= 0)
    return two_views(both, photo, video)


METHOD = Method("pdh", "video-wise", fit)
