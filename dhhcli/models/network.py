"""network: weights -> everything that turns pictures into codes (detector, backbone, hash layers)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from dhhcli.errors import WeightsError
from dhhcli.faces.detector import FaceDetector, photo_detector
from dhhcli.models.extractor import FeatureExtractor
from dhhcli.models.hash_layers import HashLayers
from dhhcli.models.model_tag import ModelTag
from dhhcli.models.network_ahead import film_extractor, photo_extractor
from dhhcli.models.weights import Weights, load_hash_layers, load_weights, resolve_weights

CHECKED: Final = 4  # pictures on which integers must agree with float32
ALIKE: Final = 0.95  # least cosine of what they make of them


@dataclass(frozen=True, eq=False)
class Network:
    """Loaded and verified."""

    name: str
    detector: FaceDetector  # for photos
    film_detector: FaceDetector  # the same, or a quicker one
    extract: FeatureExtractor  # for photos
    film_extract: FeatureExtractor  # the same, or a quicker one
    layers: HashLayers
    tag: ModelTag  # what the codes made with it carry
    weights: Weights
    mirror: bool = False  # stills are looked at from both sides (models/extractor.py)


def load_network(name: str | None = None, *, tracks: bool = True, film: bool = False, threads: int = 1) -> Network:
    """Load weights by name or path (see ``resolve_weights``); ``tracks=False`` is enough for photos and faster,
    ``film`` brings the quick detector and the quick backbone along.

    Raises:
        WeightsError: missing, damaged or unknown weights.
    """
    weights = load_weights(resolve_weights(name), film=film)
    detector = photo_detector() if threads == 1 else FaceDetector(threads=threads)
    if film and weights.film_check is not None:  # an encoding may meet no photo, and need not have its memory
        extract = FeatureExtractor(weights.onnx_path, threads=threads, plain=True, late=True)
        measured = film_extract = quick_extractor(weights, extract, threads)
    else:
        measured = extract = photo_extractor(weights.onnx_path)
        film_extract = quick_extractor(weights, extract, threads) if film else extract
    layers = load_hash_layers(weights, tracks=tracks)
    bent = layers.still_expansion
    wanted = int((bent.weight if bent else layers.still_weight).shape[1])
    if measured.size != wanted:
        raise WeightsError(
            f"{weights.onnx_path}: makes {measured.size} features, {weights.safetensors_path.name} takes {wanted}; "
            "reinstall them"
        )
    return Network(
        weights.name,
        detector,
        FaceDetector(threads=threads, quick=True) if film else detector,
        extract,
        film_extract,
        layers,
        ModelTag(weights.bits, weights.fingerprint),
        weights,
        weights.mirror,
    )


def quick_extractor(weights: Weights, exact: FeatureExtractor, threads: int = 1) -> FeatureExtractor:
    """What looks at film: the backbone in integers, which takes a third of the time on a processor.

    Processors without VNNI may clip sums of 16 bits (onnxruntime, "Quantize ONNX models", on U8S8), so what it makes of
    some pictures is compared first. Where it will not do, or gains nothing (on a GPU), film is looked at by ``exact``.
    Weights may bring a network of its own for film (``Weights.film_check``): then it is always that one, in floats
    where integers will not do.
    """
    if weights.int8_path is None:
        return exact
    expected = weights.film_check
    if expected is None and exact.on_gpu:
        return exact
    quick = film_extractor(weights.int8_path, threads)
    found = quick(check_pictures())
    if expected is not None and expected.shape != found.shape:
        raise WeightsError(f"{weights.record_path}: film_check {expected.shape}, its network gives {found.shape}")
    if alike(exact(check_pictures()) if expected is None else expected, found):
        return quick
    return exact if expected is None else FeatureExtractor(weights.int8_path, threads=threads, integers=False)


def check_pictures() -> npt.NDArray[np.uint8]:
    """Smooth random pictures (4, 64, 64, 3), always the same."""
    coarse = np.random.default_rng(0).integers(0, 256, (CHECKED, 4, 4, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(16, axis=1).repeat(16, axis=2))


def alike(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> bool:
    """Whether features (n, d) of the same pictures point the same way."""
    likeness = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-9)
    return float(likeness.min()) >= ALIKE
