"""her: photos (p,) in a Euclidean space and log-covariances (q,) on a manifold -> K kernel machines of each.

Hashing across Euclidean space and Riemannian manifold (Li, Wang, Shan and Chen, CVPR 2015). Photos have a Gaussian
kernel, covariances the log-Euclidean one, exp(-|log C - log C'|^2 / (2 s^2)), a Gaussian of what spaces.py holds. The
bits of a person should agree within photos, within videos and between both, and differ from other people's (the paper's
three discriminability terms, weighed alike), and be predicted by a large-margin function in each kernel's space. Start
at canonical directions of both kernel spaces; then three times over give every person the bits that lower the terms
(svm.py), train a support vector machine a bit and space, and take its signs as the new bits. Deviations: kernel
spaces are spanned by 300 drawn landmarks each (Nystroem), where the paper takes all training things; a person's bits
move together; widths are the mean distance to the landmarks. 4,000 photos of whole people, all training videos.
"""

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances

from dhhcli.base.arrays import Matrix
from dhhcli.research.baselines.base import Method, Training, Videowise
from dhhcli.research.baselines.cross_modal.cvh import directions
from dhhcli.research.baselines.cross_modal.projections import half_inverse
from dhhcli.research.baselines.cross_modal.spaces import Space, spaces
from dhhcli.research.baselines.linear_layer import Layer, videowise
from dhhcli.research.baselines.sampling import pairs, whole_people
from dhhcli.research.baselines.svm import class_bits, machines

LANDMARKS, PHOTOS, PAIRS, ROUNDS = 300, 4000, 8000, 3


class KernelSpace:
    """Vectors (n, p) -> (n, m) whose inner products are those of a Gaussian kernel, exactly so between landmarks."""

    def __init__(self, X: Matrix, rng: np.random.Generator, most: int = LANDMARKS) -> None:
        self.landmarks = X[np.sort(rng.choice(len(X), min(most, len(X)), replace=False))]
        self.width = float(euclidean_distances(X, self.landmarks).mean())
        self.root = half_inverse(self.kernel(self.landmarks), 1e-9)
        self.mean = (self.kernel(X) @ self.root).mean(axis=0)

    def kernel(self, X: Matrix) -> Matrix:
        """Gaussian of distances to the landmarks."""
        return np.asarray(np.exp(-np.square(euclidean_distances(X, self.landmarks)) / (2 * self.width**2)))

    def __call__(self, X: Matrix) -> Matrix:
        """Centred on the training mean."""
        return np.asarray(self.kernel(X) @ self.root - self.mean)

    def layer(self, space: Space, weight: Matrix, bias: Matrix) -> Layer:
        """Hyperplanes (K, m), (K,) of this space as a layer of the vectors before ``space``."""
        kernel = space.expansion("gaussian", self.landmarks, 2 * self.width**2)
        return Layer(weight @ self.root.T, bias - weight @ self.mean, kernel)


def fit(training: Training, bits: int, rng: np.random.Generator) -> Videowise:
    """Kernel machines of both."""
    both = spaces(training)
    rows = whole_people(both.photo_people, PHOTOS, rng)
    photos, people = both.photos[rows], both.photo_people[rows]
    filmed = np.isin(both.video_people, people)
    videos, video_people = both.videos[filmed], both.video_people[filmed]
    still, track = KernelSpace(photos, rng), KernelSpace(videos, rng)
    X, Y = still(photos), track(videos)
    names, group = np.unique(people, return_inverse=True)
    video_group = np.searchsorted(names, video_people)
    i, j = pairs(people, video_people, PAIRS, rng)
    a, b, _ = directions(X[i], Y[j], bits)
    signs = [np.where(each @ turn >= 0, 1.0, -1.0) for each, turn in ((X, a), (Y, b))]
    missing = bits - signs[0].shape[1]
    if missing > 0:  # more bits than directions: each person starts at random ones
        drawn = np.where(rng.random((len(names), missing)) < 0.5, 1.0, -1.0)
        signs = [np.concatenate([e, drawn[g]], axis=1) for e, g in zip(signs, (group, video_group), strict=True)]
    for _ in range(ROUNDS):
        target = class_bits(signs, [group, video_group], len(names))
        photo, video = machines(X, target[group]), machines(Y, target[video_group])
        signs = [np.where(V @ w.T + c >= 0, 1.0, -1.0) for V, (w, c) in ((X, photo), (Y, video))]
    return videowise(still.layer(both.photo_space, *photo), track.layer(both.video_space, *video), both.covariance)


METHOD = Method("her", "video-wise", fit)
