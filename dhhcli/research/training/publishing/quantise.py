"""quantise: a network in float32 (ONNX) + what it usually sees -> the same in 8-bit integers.

It then takes a third to six tenths of the time. Weights become int8 per channel, activations uint8 with the range that
they have on typical inputs. ``dhh train`` does it to the backbone, with training crops; film is encoded with that one,
photos with the exact one. On people not trained on, mean average precision of tracks in integers and stills in float32
stayed where it was (128 bits, still -> set 0.883 and 0.889, set -> still 0.861 and 0.864; 48 bits 0.793 and 0.784,
0.762 and 0.755).
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import dhhcli.base.onnx_session  # noqa: F401  (before onnxruntime: it turns telemetry off)
from dhhcli.research.datasets.augmentation import centre
from dhhcli.research.datasets.pack import FacePack

CROPS = 512  # that set the ranges of the backbone


def to_int8(
    model: Path,
    inputs: Iterable[dict[str, Any]],
    operators: list[str],
    *,
    spared: Sequence[str] = (),
    mean: bool = False,
) -> bytes:
    """ONNX file -> ONNX in which these operators work on integers.

    Args:
        model: path of the network.
        inputs: what it usually sees.
        operators: which ones.
        spared: names of nodes that stay in float32 all the same.
        mean: ranges are moving averages over the inputs, not their extremes.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self._left = iter(inputs)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._left, None)

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            out,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=operators,
            nodes_to_exclude=list(spared),
            extra_options={"CalibMovingAverage": True, "CalibMovingAverageConstant": 0.05} if mean else {},
        )
        return out.read_bytes()


def backbone_to_int8(onnx: bytes, faces: FacePack, rng: np.random.Generator) -> bytes:
    """The backbone of ``export.to_onnx`` in integers; at most 512 crops of the pack (``rng``) set the ranges."""
    rows = rng.choice(len(faces), min(len(faces), CROPS), replace=False)
    crops = np.stack([centre(faces.pictures[row]) for row in np.sort(rows)])
    with tempfile.TemporaryDirectory() as folder, quiet():
        plain = Path(folder) / "plain.onnx"
        plain.write_bytes(onnx)
        batches = ({"crops": crops[first : first + 32]} for first in range(0, len(crops), 32))
        return to_int8(plain, batches, ["Conv", "MaxPool", "Relu"])


def film_to_int8(onnx: bytes, crops: npt.NDArray[np.uint8]) -> bytes:
    """A network of convolutions and ReLUs (networks/mobile_face.py) in integers; crops (n, 64, 64, 3) set the ranges.

    The first two convolutions stay in floats: a few hundredths of the work, and most of the loss.
    """
    import onnx as form

    first = [node.name for node in form.load_from_string(onnx).graph.node if node.op_type == "Conv"][:2]
    with tempfile.TemporaryDirectory() as folder, quiet():
        plain = Path(folder) / "plain.onnx"
        plain.write_bytes(onnx)
        batches = ({"crops": crops[at : at + 32]} for at in range(0, len(crops), 32))
        return to_int8(plain, batches, ["Conv", "Relu"], spared=first, mean=True)


@contextmanager
def quiet() -> Iterator[None]:
    """The quantiser gives advice by way of the root logger, on stderr."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
