"""base: photos (n, ...) and videos of known people -> a Fitted: stills -> bits (n, K), videos -> bits (r_i, K).

Every rival is one ``Method``: a name, whether a video becomes one code or a code a frame, and ``fit``. What it learns
from (``Training``) and what it hashes (``Looks``) hold pictures and the backbone's features side by side, so that
methods on features and methods with a network of their own stand behind one interface. All randomness comes from the
generator that ``fit`` is given.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Floats, Pictures
from dhhcli.models.log_covariance import EPS

Kind = Literal["frame-wise", "video-wise"]
Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Looks:
    """n photos, or the n frames of one video."""

    crops: Pictures  # (n, 64, 64, 3) BGR
    features: Floats  # (n, d) of the backbone, without a constant last one

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Covariance:
    """How frames become a log-covariance (models/log_covariance.py)."""

    eps: float = EPS
    divide: bool = False
    homogeneous: bool = False  # a constant 1 is put behind the features first, so that the mean is in it too


@dataclass(frozen=True, eq=False)
class Training:
    """What a method may learn from."""

    pictures: Pictures  # (n, 80, 80, 3) BGR, with the margin to move in (research/datasets/pack.py)
    people: npt.NDArray[np.int64]  # (n,)
    features: Floats  # (f, d) of some of these photos
    feature_people: npt.NDArray[np.int64]  # (f,) same numbers as ``people``
    videos: tuple[Floats, ...]  # features (m_i, d) of each of t videos' frames
    video_people: npt.NDArray[np.int64]  # (t,) same numbers as ``people``
    covariance: Covariance


class Fitted(Protocol):
    """A method that has learnt K bits."""

    def stills(self, looks: Looks) -> Bits:
        """Photos -> (n, K)."""

    def videos(self, tracks: Sequence[Looks]) -> list[Bits]:
        """Videos -> (1, K) each of a video-wise method, (m_i, K), a row a frame, of a frame-wise one."""


@dataclass(frozen=True, eq=False)
class Framewise:
    """A Fitted that takes every frame for a photo."""

    bits: Callable[[Looks], Bits]  # (n, K)
    feature_bits: Callable[[Floats], Bits] | None = None  # (n, d) -> (n, K), where features are all that it looks at

    def stills(self, looks: Looks) -> Bits:
        """Photos -> (n, K)."""
        return self.bits(looks)

    def videos(self, tracks: Sequence[Looks]) -> list[Bits]:
        """Videos -> (m_i, K) each; all frames are hashed in one call."""
        if not tracks:
            return []
        joined = Looks(
            np.concatenate([track.crops for track in tracks]), np.concatenate([track.features for track in tracks])
        )
        return np.split(self.bits(joined), np.cumsum([len(track) for track in tracks])[:-1])


def featurewise(feature_bits: Callable[[Floats], Bits]) -> Framewise:
    """A frame-wise Fitted that looks at features alone, (n, d) -> (n, K)."""
    return Framewise(lambda looks: feature_bits(looks.features), feature_bits)


@dataclass(frozen=True, eq=False)
class Videowise:
    """A Fitted with one function for photos and another for whole videos, given by the features of their frames."""

    still_bits: Callable[[Floats], Bits]  # (n, d) -> (n, K)
    video_bits: Callable[[Sequence[Floats]], Bits]  # (m_i, d) each of t -> (t, K)

    def stills(self, looks: Looks) -> Bits:
        """Photos -> (n, K)."""
        return self.still_bits(looks.features)

    def videos(self, tracks: Sequence[Looks]) -> list[Bits]:
        """Videos -> (1, K) each."""
        return list(self.video_bits([track.features for track in tracks])[:, None]) if tracks else []


@dataclass(frozen=True)
class Method:
    """A rival: one a module of this folder, as its ``METHOD``."""

    name: str
    kind: Kind
    fit: Callable[[Training, int, np.random.Generator], Fitted]  # training, K, generator
