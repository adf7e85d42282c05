"""network_ahead: name of weights -> their network for photos, loaded by a thread while the rest of dhh is imported."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from dhhcli.base.prefetch import ahead
from dhhcli.models.extractor import FeatureExtractor
from dhhcli.models.weights import network_of, resolve_weights, shipped_folder

PHOTO_THREADS: Final = 2  # of one photo's features, 1 gives the same bytes; 3 do not, with the plain layout
_begun: dict[Path, Callable[[], FeatureExtractor]] = {}


def photo_extractor(onnx_path: Path) -> FeatureExtractor:
    """The network for photos, laid out for few of them. Raises WeightsError where it cannot be loaded."""
    begun = _begun.pop(onnx_path, None)
    return begun() if begun else FeatureExtractor(onnx_path, threads=PHOTO_THREADS, plain=True)


def look_for_network(name: str | None) -> None:
    """Begin to load the network that weights will probably need: all lengths of the shipped ones share theirs.

    Of weights that are not shipped nothing is begun: these are verified first. Whatever is wrong is said later.
    """
    record = resolve_weights(name)
    if record.parent == shipped_folder() and (path := network_of(record)) is not None:
        _begun[path] = ahead(lambda: FeatureExtractor(path, threads=PHOTO_THREADS, plain=True))
