"""trained: weights of a rival (``dhh train --method``) -> a frame-wise Fitted; or features (f, d) -> one trained now.

What learning/methods.py trains, as methods among the rivals. DNNH, DSH and HashNet are layers on finished features:
without weights of their own they are trained here, in seconds, on what all other methods are fitted on. DDAH, DCBH and
DMH train networks, for hours: they take part where their weights are named.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..codes import binarise
from ..errors import UsageError
from ..features import FeatureExtractor, still_features
from ..figures import Loaded
from ..hashing import hash_stills
from .linear import linear
from .protocol import Bits, Fitted, Framewise, Looks, Method, Training

NETWORKS = ("ddah", "dcbh", "dmh")  # of their own
LAYERS = ("dnnh", "dsh", "hashnet")  # on finished features


def trained_method(name: str) -> Method:
    """The method of that name; those with networks of their own refuse to be fitted."""
    match name:
        case "dnnh" | "dsh" | "hashnet":
            return _layer_method(name)

    def fit(training: Training, bits: int, rng: np.random.Generator) -> Framewise:  # noqa: ARG001
        raise UsageError(
            f"{name} is a network of its own: dhh train --method {name} --bits {bits}, then name its --weights"
        )

    return Method(name, "frame-wise", fit)


def _layer_method(name: Literal["dnnh", "dsh", "hashnet"]) -> Method:

    def fit(training: Training, bits: int, rng: np.random.Generator) -> Framewise:
        from ..learning.featurehash import FeatureSettings, fit_layer

        settings = FeatureSettings.of(name, (bits,), int(rng.integers(2**31)))
        weight, bias = fit_layer(training.features, training.feature_people, settings)
        return linear(weight.astype(np.float64), bias.astype(np.float64))

    return Method(name, "frame-wise", fit)


@dataclass(frozen=True, eq=False)
class Network(Framewise):
    """A Framewise that looks at photos in another way than at frames."""

    photo_bits: Callable[[Looks], Bits] | None = None  # (n, K)

    def stills(self, looks: Looks) -> Bits:
        """Photos -> (n, K)."""
        return (self.photo_bits or self.bits)(looks)


def from_weights(loaded: Loaded, network: str, threads: int = 1) -> Fitted:
    """Weights of a rival as a Fitted.

    Args:
        loaded: the weights; their layers are frame-wise.
        network: SHA-256 of the backbone whose features ``Looks`` hold: weights on the same one use those.
        threads: of another network.
    """
    layers = loaded.layers
    if loaded.weights.record["files"]["onnx"]["sha256"] == network:
        weight = layers.still_weight.astype(np.float64)
        if loaded.homogeneous:
            return linear(weight[:, :-1], layers.still_bias + weight[:, -1])
        return linear(weight, layers.still_bias.astype(np.float64))
    extract = FeatureExtractor(loaded.weights.onnx_path, threads=threads)

    def frames(looks: Looks) -> Bits:
        return binarise(hash_stills(layers, extract(looks.crops)))

    def photos(looks: Looks) -> Bits:
        return binarise(hash_stills(layers, still_features(extract, looks.crops, mirror=loaded.weights.mirror)))

    return Network(frames, photo_bits=photos)


def name_of(loaded: Loaded) -> str:
    """The method that a rival's weights were trained by."""
    training = loaded.weights.record.get("training")
    return str(training.get("method", loaded.name)) if isinstance(training, dict) else loaded.name
