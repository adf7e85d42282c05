"""network: weights -> everything that turns pictures into codes (detector, backbone, hash layers)."""

from dataclasses import dataclass

from .faces import FaceDetector
from .features import FeatureExtractor
from .hashing import HashLayers
from .tables import ModelTag
from .weights import Weights, load_hash_layers, load_weights, resolve_weights


@dataclass(frozen=True, eq=False)
class Network:
    """Loaded and verified."""

    name: str
    detector: FaceDetector
    extract: FeatureExtractor
    layers: HashLayers
    tag: ModelTag  # what the codes made with it carry
    weights: Weights
    mirror: bool = False  # stills are looked at from both sides (features.py)


def load_network(name: str | None = None, *, tracks: bool = True, threads: int = 1) -> Network:
    """Load weights by name or path (see ``resolve_weights``); ``tracks=False`` is enough for photos and faster.

    Raises:
        WeightsError: missing, damaged or unknown weights.
    """
    weights = load_weights(resolve_weights(name))
    return Network(
        weights.name,
        FaceDetector(threads=threads),
        FeatureExtractor(weights.onnx_path, threads=threads),
        load_hash_layers(weights, tracks=tracks),
        ModelTag(weights.bits, weights.fingerprint),
        weights,
        weights.mirror,
    )
