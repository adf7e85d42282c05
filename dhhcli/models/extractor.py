"""extractor: crops (n, 64, 64, 3) uint8 BGR -> features (n, d) float32, by onnxruntime."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dhhcli.base.patience import done_so_far
from dhhcli.errors import WeightsError
from dhhcli.models.weights import shipped_folder

MOST_FEATURES = 8192  # as many as any layer behind it could take
BATCH = 16  # crops a call: bounds memory (100 MB of activations of SFace) without costing speed
Extract = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]  # (n, 64, 64, 3) -> (n, d)


def still_features(extract: Extract, crops: npt.NDArray[np.uint8], *, mirror: bool) -> npt.NDArray[np.float32]:
    """Features (n, d) of stills (n, 64, 64, 3); ``mirror``: the mean over each crop and its mirror image.

    A still has one look only, where a track has many; see docs/research/backbone.md. Both go through the network
    together, which gives the same bytes in less time.
    """
    if not mirror:
        return extract(crops)
    both = extract(np.concatenate([crops, crops[:, :, ::-1]]))
    return np.asarray((both[: len(crops)] + both[len(crops) :]) / 2, np.float32)


class FeatureExtractor:
    """The backbone of some weights, ready to run.

    Args:
        onnx_path: the backbone; its input is (n, 64, 64, 3) uint8, normalisation is part of the graph.
        threads: onnxruntime's own threads.
        integers: whether a quantised network may compute in integers (base/onnx_session.py).
        plain: for few crops: laid out in a third of the time (base/onnx_session.py).
        late: load it when it is first called. For shipped files only, whose digest says what they are: others are
            tried when they are loaded.

    Raises:
        WeightsError: the file does not load as a network of that form.
    """

    def __init__(
        self, onnx_path: Path, threads: int = 1, *, integers: bool = True, plain: bool = False, late: bool = False
    ) -> None:
        self._path, self._foreign = onnx_path, onnx_path.parent != shipped_folder()
        self._how: dict[str, Any] = {"threads": threads, "integers": integers, "plain": plain}
        if self._foreign or not late:
            _ = self._session

    @cached_property
    def _session(self) -> Any:
        from dhhcli.base.onnx_session import start_session

        source: Path | bytes = self._path  # a shipped one: read once, and not copied
        if self._foreign:
            try:
                source = self._path.read_bytes()  # what is checked is what is run, and has no folder to read from
            except OSError as error:
                raise WeightsError(f"{self._path}: cannot be read ({error.strerror}); reinstall it") from None
            self._try(source)
        try:
            return start_session(source, severity=4, bounded=self._foreign, **self._how)
        except Exception as error:  # noqa: BLE001 - onnxruntime's own classes differ from release to release
            raise self._unfit(error) from None

    @property
    def size(self) -> int:
        """d."""
        return int(self._session.get_outputs()[0].shape[1])

    def _try(self, data: bytes) -> None:
        """Raises WeightsError for a network that is not what ours are, however large it says its tensors are.

        It is looked into, and run once on one picture as it stands, in bounded memory: optimised, it might take all
        there is before it ran.
        """
        from dhhcli.base.onnx_session import start_session
        from dhhcli.models.onnx_file import check_graph

        try:
            check_graph(data)
        except ValueError as error:
            raise WeightsError(f"{self._path}: not a network that is run here (it {error}); reinstall it") from None
        crop = (np.arange(64 * 64 * 3) % 251).astype(np.uint8).reshape(1, 64, 64, 3)
        try:
            session = start_session(data, severity=4, bounded=True, as_it_is=True)
            inputs, outputs = session.get_inputs(), session.get_outputs()
            if len(inputs) != 1 or len(outputs) != 1 or len(outputs[0].shape) != 2:
                raise ValueError(f"{len(inputs)} inputs and {len(outputs)} outputs, one of each expected")
            d = outputs[0].shape[1]
            if not isinstance(d, int) or not 0 < d <= MOST_FEATURES:
                raise ValueError(f"{d!r} features, 1 to {MOST_FEATURES} expected")
            features = session.run(None, {inputs[0].name: crop})[0]
            if features.shape != (1, d) or features.dtype != np.float32 or not np.isfinite(features).all():
                raise ValueError("its features are no finite numbers, or not as many as it says")
        except Exception as error:  # noqa: BLE001 - as above
            raise self._unfit(error) from None

    def _unfit(self, error: Exception) -> WeightsError:
        reason = " ".join(str(error).split())[:200]
        return WeightsError(f"{self._path}: not a network that onnxruntime loads ({reason})")

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on anything but the processor."""
        from dhhcli.base.onnx_session import on_gpu

        return on_gpu(self._session)

    def __call__(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """(n, 64, 64, 3) -> (n, d); n may be 0. Raises WeightsError where the network cannot be run."""
        session = self._session
        name = session.get_inputs()[0].name
        try:
            parts = []
            for first in range(0, len(crops), BATCH):
                done_so_far("faces", first, len(crops))
                parts.append(session.run(None, {name: crops[first : first + BATCH]})[0])
        except Exception as error:  # noqa: BLE001 - as above
            raise self._unfit(error) from None
        return np.concatenate(parts) if parts else np.empty((0, self.size), np.float32)
