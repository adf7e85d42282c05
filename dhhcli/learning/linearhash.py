"""linearhash: face pack + finished weights -> layers of K bits that LSH, ITQ, SSH or DBC fit on their features.

``dhh train --method`` for the fitted rivals whose bits are hyperplanes of the features (rivals/): what they find is a
layer for pictures like any other's. SH and KSH bend features, and the methods between photos and videos need more than
a layer: they take part in ``dhh evaluate --compare`` alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..features import FeatureExtractor
from ..hashing import HashLayers
from ..packs import FacePack
from ..rivals import method
from ..rivals.linear import Linear
from ..rivals.protocol import Covariance, Training
from ..rivals.split import draw, photos_of
from ..rivals.store import FeatureStore
from ..weights import Weights

LINEAR = ("lsh", "itq", "ssh", "dbc")
PAPERS = {
    "lsh": "Charikar, Similarity Estimation Techniques from Rounding Algorithms, STOC 2002",
    "itq": "Gong and Lazebnik, Iterative Quantization: A Procrustean Approach to Learning Binary Codes, CVPR 2011",
    "ssh": "Wang, Kumar and Chang, Semi-Supervised Hashing for Scalable Image Retrieval, CVPR 2010",
    "dbc": "Rastegari et al., Attribute Discovery via Predictable Discriminative Binary Codes, ECCV 2012",
}


@dataclass(frozen=True)
class LinearSettings:
    """Nothing to set: the constants are in the methods' own modules."""

    method: str
    lengths: tuple[int, ...]
    seed: int

    @classmethod
    def of(cls, method: str, lengths: Sequence[int], seed: int) -> "LinearSettings":
        """Lengths once each, in order."""
        return cls(method, tuple(sorted(set(lengths))), seed)


def fit_layers(
    faces: FacePack, weights: Weights, settings: LinearSettings, out: Path, threads: int
) -> Iterator[HashLayers]:
    """A layer for every length, on at most eight photos a person (rivals/split.py); features are kept in ``out``.

    Raises:
        UsageError: more bits than the method can give.
    """
    extract = FeatureExtractor(weights.onnx_path, threads=threads)
    store = FeatureStore(weights, out / "features", threads, extract)
    homogeneous = bool(weights.record["model"].get("homogeneous", False))
    rows = draw(faces, np.arange(len(faces))).photos
    features = store.of_photos(photos_of(faces, rows).pictures)
    features = features[:, :-1] if homogeneous else features
    people = faces.identity[rows]
    training = Training(
        np.empty((0, 80, 80, 3), np.uint8),
        np.empty(0, np.int64),
        features,
        people,
        (),
        np.empty(0, np.int64),
        Covariance(),
    )
    for K in settings.lengths:
        fitted = method(settings.method).fit(training, K, np.random.default_rng([settings.seed, 21, K]))
        assert isinstance(fitted, Linear)  # LINEAR
        weight = np.ascontiguousarray(np.pad(fitted.weight, ((0, 0), (0, int(homogeneous)))), np.float32)
        none = np.empty((K, 0), np.float32), np.zeros(K, np.float32)
        yield HashLayers(weight, fitted.bias.astype(np.float32), *none, framewise=True)
