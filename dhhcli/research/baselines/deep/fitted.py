"""fitted: face pack + finished weights -> hash layers of K bits by a method that is fitted, not trained by gradients.

``dhh train --method`` for the rivals that a matrix decomposition, a support vector machine and the like make (image/,
cross_modal/): what they find on the features of a finished backbone are layers as DHH's, some behind an expansion
(feature_map.py). They are fitted on what ``dhh evaluate --compare`` fits them on: at most eight photos a person and,
for methods between photos and videos, videos made of those (research/baselines/split.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dhhcli.errors import UsageError
from dhhcli.models.extractor import FeatureExtractor
from dhhcli.models.feature_map import Expansion, from_arrays
from dhhcli.models.hash_layers import HashLayers
from dhhcli.models.weights import Weights, load_hash_layers
from dhhcli.research.baselines.base import Covariance, Fitted
from dhhcli.research.baselines.feature_cache import FeatureStore
from dhhcli.research.baselines.linear_layer import FrameLayer, Layer, TwoLayers, log_covariances
from dhhcli.research.baselines.registry import method
from dhhcli.research.baselines.split import Split, training_of
from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.evaluation.protocol import is_homogeneous

PAPERS = {
    "lsh": "Charikar, Similarity Estimation Techniques from Rounding Algorithms, STOC 2002",
    "sh": "Weiss, Torralba and Fergus, Spectral Hashing, NIPS 2008",
    "itq": "Gong and Lazebnik, Iterative Quantization: A Procrustean Approach to Learning Binary Codes, CVPR 2011",
    "ssh": "Wang, Kumar and Chang, Semi-Supervised Hashing for Scalable Image Retrieval, CVPR 2010",
    "dbc": "Rastegari et al., Attribute Discovery via Predictable Discriminative Binary Codes, ECCV 2012",
    "ksh": "Liu et al., Supervised Hashing with Kernels, CVPR 2012",
    "cvh": "Kumar and Udupa, Learning Hash Functions for Cross-View Similarity Search, IJCAI 2011",
    "cmssh": "Bronstein et al., Data Fusion through Cross-Modality Metric Learning Using Similarity-Sensitive Hashing, "
    "CVPR 2010",
    "pdh": "Rastegari et al., Predictable Dual-View Hashing, ICML 2013",
    "mlbe": "Zhen and Yeung, A Probabilistic Model for Multimodal Hash Function Learning, KDD 2012",
    "mm-nn": "Masci et al., Multimodal Similarity-Preserving Hashing, PAMI 2014",
    "plmh": "Zhai et al., Parametric Local Multimodal Hashing for Cross-View Similarity Search, IJCAI 2013",
    "her": "Li et al., Face Video Retrieval with Image Query via Hashing across Euclidean Space and Riemannian "
    "Manifold, CVPR 2015",
}


@dataclass(frozen=True)
class FittedSettings:
    """Nothing to set: the constants are in the methods' own modules."""

    method: str
    lengths: tuple[int, ...]
    seed: int

    @classmethod
    def of(cls, method: str, lengths: Sequence[int], seed: int) -> "FittedSettings":
        """Lengths once each, in order."""
        return cls(method, tuple(sorted(set(lengths))), seed)


def fit_layers(
    faces: FacePack, weights: Weights, settings: FittedSettings, out: Path, threads: int
) -> Iterator[HashLayers]:
    """Layers for every length; features are kept in ``out``.

    Raises:
        UsageError: more bits than the method can give, or fewer than two people have photos.
    """
    one = method(settings.method)
    made = load_hash_layers(weights, tracks=False)
    covariance = Covariance(made.eps, made.divide, is_homogeneous(weights))
    extract = FeatureExtractor(weights.onnx_path, threads=threads)
    store = FeatureStore(weights, out / "features", threads, extract)
    split = Split(faces, np.arange(len(faces)), {}, ())
    training = training_of(split, store, covariance, videos=one.kind == "video-wise")
    if len(np.unique(training.feature_people)) < 2:
        raise UsageError(f"{faces.path}: photos of two people or more are needed; give another pack with --data")
    mean = log_covariances(training.videos, covariance).mean(axis=0) if training.videos else None
    for K in settings.lengths:
        fitted = one.fit(training, K, np.random.default_rng([settings.seed, 21, K]))
        yield hash_layers(fitted, covariance, mean)


def hash_layers(fitted: Fitted, covariance: Covariance, mean: npt.NDArray[np.float64] | None = None) -> HashLayers:
    """What was fitted as layers that a file can hold.

    Args:
        fitted: one or two layers (research/baselines/linear_layer.py).
        covariance: how tracks become vectors; where it is homogeneous, features have a constant last one, which a
            layer of features leaves out.
        mean: (r,) log-covariance of the training videos, which methods between photos and videos need: around it
            halves weigh as their weights did.
    """
    if isinstance(fitted, FrameLayer):
        still = _single(_padded(fitted.layer, covariance))
        K = len(still.bias)
        return HashLayers(
            still.weight,
            still.bias,
            np.empty((K, 0), np.float32),
            np.zeros(K, np.float32),
            framewise=True,
            still_expansion=still.expansion,
        )
    assert isinstance(fitted, TwoLayers)  # all others are
    assert mean is not None
    still, track = _single(_padded(fitted.photo, covariance)), _single(_halved(fitted.video, mean))
    return HashLayers(
        still.weight,
        still.bias,
        track.weight,
        track.bias,
        covariance.eps,
        covariance.divide,
        still_expansion=still.expansion,
        track_expansion=track.expansion,
    )


@dataclass(frozen=True, eq=False)
class _Single:
    """A layer in single precision."""

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    expansion: Expansion | None


def _single(layer: Layer) -> _Single:
    expansion = layer.expansion
    if expansion:
        arrays = {name: array.astype(np.float32) for name, array in expansion.arrays().items()}
        expansion = from_arrays(expansion.kind, arrays)
    return _Single(np.ascontiguousarray(layer.weight, np.float32), layer.bias.astype(np.float32), expansion)


def _padded(layer: Layer, covariance: Covariance) -> Layer:
    """Nothing of the constant last feature."""
    more = (0, 0), (0, int(covariance.homogeneous))
    if layer.expansion:
        return replace(layer, expansion=replace(layer.expansion, weight=np.pad(layer.expansion.weight, more)))
    return replace(layer, weight=np.pad(layer.weight, more))


def _halved(layer: Layer, mean: npt.NDArray[np.float64]) -> Layer:
    """What takes in vectors rounded to half precision, and the bias so that ``mean`` (r,) stays where it was."""
    whole = layer.expansion or layer
    weight = whole.weight.astype(np.float16).astype(np.float64)
    bias = whole.bias + (whole.weight - weight) @ mean
    if layer.expansion:
        return replace(layer, expansion=replace(layer.expansion, weight=weight, bias=bias))
    return replace(layer, weight=weight, bias=bias)
