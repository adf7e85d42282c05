"""trained: weights of a rival (``dhh train --method``) -> a Fitted; or features (f, d) -> a layer trained now.

What train.py makes, as methods among the rivals. DNNH, DSH and HashNet are layers on finished features: without weights
of their own they are trained here, in seconds, on what all other methods are fitted on. DDAH, DCBH and DMH train
networks, for hours: they take part where their weights are named.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dhhcli.base.arrays import Floats
from dhhcli.errors import UsageError
from dhhcli.research.baselines.base import Bits, Fitted, Framewise, Looks, Method, Training, Videowise, featurewise
from dhhcli.research.baselines.comparison.own import functions_of
from dhhcli.research.baselines.feature_cache import FeatureStore
from dhhcli.research.baselines.linear_layer import linear
from dhhcli.research.baselines.names import METHODS
from dhhcli.research.evaluation.tables import Loaded

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
        from dhhcli.research.baselines.deep.feature_layers import FeatureSettings, fit_layer

        settings = FeatureSettings.of(name, (bits,), int(rng.integers(2**31)))
        weight, bias = fit_layer(training.features, training.feature_people, settings)
        return linear(weight.astype(np.float64), bias.astype(np.float64))

    return Method(name, "frame-wise", fit)


@dataclass(frozen=True, eq=False)
class FramewiseNetwork(Framewise):
    """A Framewise that looks at photos in another way than at frames."""

    photo_bits: Callable[[Looks], Bits] | None = None  # (n, K)

    def stills(self, looks: Looks) -> Bits:
        """Photos -> (n, K)."""
        return (self.photo_bits or self.bits)(looks)


@dataclass(frozen=True, eq=False)
class VideoNetwork:
    """A Fitted with one code a video, on features of another network than those that ``Looks`` hold."""

    store: FeatureStore
    still_bits: Callable[[Floats], Bits]  # (n, d) -> (n, K)
    video_bits: Callable[[Sequence[Floats]], Bits]  # (m_i, d) each of t -> (t, K)

    def stills(self, looks: Looks) -> Bits:
        """Photos -> (n, K)."""
        return self.still_bits(self.store.of_photos(looks.crops))

    def videos(self, tracks: Sequence[Looks]) -> list[Bits]:
        """Videos -> (1, K) each; the network sees all frames in one call."""
        if not tracks:
            return []
        features = self.store(np.concatenate([track.crops for track in tracks]))
        ends = np.cumsum([len(track) for track in tracks])[:-1]
        return list(self.video_bits(np.split(features, ends))[:, None])


def from_weights(loaded: Loaded, store: FeatureStore | None) -> Fitted:
    """Weights of a rival as a Fitted, which hashes as encode and query do.

    Args:
        loaded: the weights.
        store: features of their network, where ``Looks`` hold those of another one; computed once for all lengths.
    """
    still, tracks = functions_of(loaded, cut=store is None)
    if store is None:
        return featurewise(still) if loaded.layers.framewise else Videowise(still, tracks)
    if not loaded.layers.framewise:
        return VideoNetwork(store, still, tracks)

    def photos(looks: Looks) -> Bits:
        return still(store.of_photos(looks.crops))

    return FramewiseNetwork(lambda looks: still(store(looks.crops)), photo_bits=photos)


def is_rival(loaded: Loaded) -> bool:
    """Whether weights are another method's than DHH's."""
    return loaded.layers.framewise or name_of(loaded) in METHODS


def name_of(loaded: Loaded) -> str:
    """The method that a rival's weights were trained by."""
    training = loaded.weights.record.get("training")
    return str(training.get("method", loaded.name)) if isinstance(training, dict) else loaded.name
