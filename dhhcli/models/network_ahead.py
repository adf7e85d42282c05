"""network_ahead: name of weights -> their network for photos, or film, loaded while the rest of dhh is imported."""

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


def film_extractor(int8_path: Path, threads: int) -> FeatureExtractor:
    """The network for film. Raises WeightsError where it cannot be loaded."""
    begun = _begun.pop(int8_path, None) if threads == 1 else None
    return begun() if begun else FeatureExtractor(int8_path, threads=threads)


def look_for_network(name: str | None, *, film: bool = False) -> None:
    """Begin to load the network that weights will probably need: all lengths of the shipped ones share theirs.

    Of weights that are not shipped nothing is begun: these are verified first. Whatever is wrong is said later.
    """
    record = resolve_weights(name)
    if record.parent != shipped_folder() or (path := network_of(record, film=film)) is None:
        return
    threads = 1 if film else PHOTO_THREADS
    _begun[path] = ahead(lambda: FeatureExtractor(path, threads=threads, plain=not film))
