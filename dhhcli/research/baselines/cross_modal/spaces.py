"""spaces: Training -> photos (n, p) and videos (t, q), q <= 256, as centred vectors of mean length one.

A photo is its features. A video is its frames' log-covariance, as DHH sees it (log_covariance.py), cut to its principal
components on the training videos: the linear methods between photos and videos decompose matrices of that size, and
8,256 numbers would be more than there are training videos.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.linalg

from dhhcli.base.arrays import Floats, Matrix
from dhhcli.models.feature_map import Expansion, Kind
from dhhcli.research.baselines.base import Covariance, Training
from dhhcli.research.baselines.linear_layer import Layer, log_covariances

COMPONENTS = 256


@dataclass(frozen=True, eq=False)
class Space:
    """An affine map of raw vectors."""

    mean: Matrix  # (r,)
    turn: Matrix | None  # (r, q); None: as they are
    scale: float

    def __call__(self, raw: Matrix) -> Matrix:
        """(n, r) -> (n, q)."""
        centred = raw - self.mean
        return np.asarray((centred if self.turn is None else centred @ self.turn) * self.scale)

    @property
    def weight(self) -> Matrix:
        """The map's matrix (q, r)."""
        return self.scale * (np.eye(len(self.mean)) if self.turn is None else self.turn.T)

    @property
    def bias(self) -> Matrix:
        """What it adds, (q,)."""
        return np.asarray(-self.weight @ self.mean)

    def layer(self, weight: Matrix, bias: Matrix) -> Layer:
        """Hyperplanes (K, q), (K,) of these vectors as hyperplanes of the raw ones."""
        return Layer(weight @ self.weight, bias + weight @ self.bias)

    def expansion(self, kind: Kind, points: Matrix, width: float = 1.0, gram: Matrix | None = None) -> Expansion:
        """An expansion of these vectors as one of the raw ones."""
        return Expansion(kind, self.weight, self.bias, points, width, np.empty((0, 0)) if gram is None else gram)


@dataclass(frozen=True, eq=False)
class Spaces:
    """Both kinds of training things, and how others become such vectors."""

    photos: Matrix  # (n, p)
    photo_people: npt.NDArray[np.int64]
    videos: Matrix  # (t, q)
    video_people: npt.NDArray[np.int64]
    photo_space: Space
    video_space: Space
    covariance: Covariance

    def of_photos(self, features: Floats) -> Matrix:
        """Features (n, d) -> (n, p)."""
        return self.photo_space(features.astype(np.float64))

    def of_videos(self, tracks: Sequence[Floats]) -> Matrix:
        """Frames' features (m_i, d) of each -> (t, q)."""
        return self.video_space(log_covariances(tracks, self.covariance))


def principal(raw: Matrix, most: int) -> Matrix:
    """Principal directions (r, q) of rows (n, r), strongest first, q <= most and no more than there are.

    From the n x n Gram matrix, whose decomposition does not grow with r.
    """
    centred = raw - raw.mean(axis=0)
    n = len(raw)
    values, vectors = scipy.linalg.eigh(centred @ centred.T, subset_by_index=[max(0, n - most), n - 1])
    kept = values > 1e-10 * values[-1]
    return np.asarray((centred.T @ (vectors[:, kept] / np.sqrt(values[kept])))[:, ::-1])


def _space(raw: Matrix, turn: Matrix | None) -> Space:
    found = Space(raw.mean(axis=0), turn, 1.0)
    length = float(np.sqrt(np.square(found(raw)).sum(axis=1)).mean())
    return Space(found.mean, turn, 1.0 / length if length > 0 else 1.0)


@lru_cache(maxsize=2)  # every length and seed asks for the same
def spaces(training: Training) -> Spaces:
    """Vectors of everything there is to fit on."""
    photos = training.features.astype(np.float64)
    videos = log_covariances(training.videos, training.covariance)
    photo_space, video_space = _space(photos, None), _space(videos, principal(videos, COMPONENTS))
    return Spaces(
        photo_space(photos),
        training.feature_people,
        video_space(videos),
        training.video_people,
        photo_space,
        video_space,
        training.covariance,
    )
