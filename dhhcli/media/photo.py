"""photo: path of a photo -> picture (h, w, 3) uint8 BGR, upright."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import cv2
import numpy as np

from dhhcli.base.arrays import Picture
from dhhcli.errors import MissingPathError, PhotoError
from dhhcli.media.photo_formats import open_image

# A photo of more pixels than this is refused before it is decoded (7 bytes a pixel while it is read: 2.8 GB).
MAX_PIXELS = 400_000_000
STRIP: Final = 1024  # lines that are converted at once
ORIENTATION: Final = 0x0112  # of EXIF
END_OF_JPEG: Final = b"\xff\xd9"
_LIMIT = threading.RLock()


def shrink(picture: Picture, columns: int, rows: int) -> Picture:
    """Picture (h, w, 3) at another size: the mean of blocks of whole pixels first, then between four of them.

    Averaging over parts of pixels gives the same faces for four times the time.
    """
    block = min(picture.shape[0] // rows, picture.shape[1] // columns)
    if block > 1:
        height, width = picture.shape[0] // block, picture.shape[1] // block
        whole = picture[: height * block, : width * block]
        picture = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_LINEAR), np.uint8)


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as a viewer shows it. picture: (h, w, 3) uint8 BGR. warnings: what is missing of it."""

    picture: Picture
    warnings: tuple[str, ...] = ()


def read_photo(path: Path) -> Picture:
    """The picture of ``open_photo``."""
    return open_photo(path).picture


def open_photo(path: Path) -> Photo:
    """Read a photo, upright.

    EXIF orientation is applied; grey, palette and CMYK become colour; 16-bit values are scaled down; what is
    transparent becomes white, as a viewer shows it; of an animation the first picture is taken. Colour
    profiles are ignored. A file without its last bytes is taken as far as it goes, and a warning says so. Raises
    MissingPathError when the file is not there or cannot be opened, PhotoError when it is no picture of
    ``photo_formats`` or has more than 400 million pixels.
    """
    from PIL import Image, UnidentifiedImageError  # 10 ms, and only queries read photos

    try:
        stream = path.open("rb")
    except IsADirectoryError as error:
        raise MissingPathError(f"{path}: a folder, where a photo is expected: name the photos in it") from error
    except OSError as error:
        raise MissingPathError(f"{path}: cannot be opened: {error.strerror or error}") from error
    with stream, warnings.catch_warnings(), _own_limit(Image):
        # Pillow warns from 89 million pixels on; such photos exist, and the limit here is our own.
        warnings.simplefilter("ignore")
        try:
            with open_image(stream) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise PhotoError(
                        f"{path}: {image.width} x {image.height} pixels, at most {MAX_PIXELS:,} are read: scale it down"
                    )
                return _loaded(image, stream)
        except PhotoError as error:
            raise error if str(error).startswith(f"{path}") else PhotoError(f"{path}: {error}") from error
        except UnidentifiedImageError as error:
            raise PhotoError(
                f"{path}: cannot be read as a photo (no picture of a known kind): give a JPEG, PNG, TIFF or WebP"
            ) from error
        except Exception as error:
            words = " ".join(str(error).split()).replace(str(stream), "the file")
            raise PhotoError(
                f"{path}: cannot be read as a photo ({words or type(error).__name__}): give a JPEG, PNG, TIFF or WebP"
            ) from error


def is_animated(path: Path) -> bool:
    """Whether a file of a photo's suffix is a film all the same: a GIF of several pictures."""
    if path.suffix.lower() != ".gif":
        return False
    from PIL import Image

    try:
        with Image.open(path, formats=("GIF",)) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001 - said when it is read
        return False


@contextmanager
def _own_limit(Image: Any) -> Iterator[None]:
    """Pillow's limit of pixels out of the way: it is one of the process, and refuses what is within ours."""
    with _LIMIT:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _loaded(image: Any, stream: BinaryIO) -> Photo:
    """An opened picture -> a Photo, of as much of it as is there."""
    try:
        image.load()
        said: tuple[str, ...] = ()
    except OSError as error:
        if "truncated" not in str(error):
            raise
        said = ("the photo is cut short: its end is missing, what is there was taken",)
        image = _as_far_as_it_goes(image, stream)
    picture = _bgr(image)
    return Photo(_turned(picture, _orientation(image)), said)


def _as_far_as_it_goes(image: Any, stream: BinaryIO) -> Any:
    """A picture whose file ends early. A JPEG gets the mark of its end, so that all its layers are put together."""
    from PIL import Image

    if image.format in ("JPEG", "MPO"):
        stream.seek(0)
        image = Image.open(io.BytesIO(stream.read() + END_OF_JPEG), formats=("JPEG",))
    else:
        image.tile = []  # what was decoded so far is in its place; nothing more is asked of the file
    image.load()
    return image


def _orientation(image: Any) -> int:
    """1 to 8, as EXIF numbers them. Not asked where nothing could hold it: that brings Pillow's TIFF reader, 15 ms."""
    if image.format in ("JPEG", "PNG") and not any(
        "exif" in str(key).lower() or "xmp" in str(key).lower() for key in image.info
    ):
        return 1
    return int(image.getexif().get(ORIENTATION, 1))


def _turned(picture: Picture, orientation: int) -> Picture:
    """Picture (h, w, 3) as it is meant by EXIF: mirrored where the number says so, then turned."""
    if orientation in (2, 4, 5, 7):
        picture = picture[:, ::-1]
    quarters = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)  # counterclockwise
    upright: Picture = np.ascontiguousarray(np.rot90(picture, quarters), dtype=np.uint8)
    return upright


def _bgr(image: object) -> Picture:
    """A loaded PIL picture of any mode -> (h, w, 3) uint8 BGR."""
    from PIL import Image

    assert isinstance(image, Image.Image)
    if image.mode.startswith("I") or image.mode == "F":  # I;16 and its kin, I, F: one channel of more than 8 bits
        values = np.asarray(image, dtype=np.float64)
        if image.mode == "F" and values.max(initial=0.0) <= 1.0:
            values = values * 255.0
        elif values.max(initial=0.0) > 255.0 or image.mode.startswith("I;16"):
            values = values / 257.0
        grey = np.clip(np.nan_to_num(values) + 0.5, 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        ground = Image.new("RGBA", with_alpha.size, (255, 255, 255, 255))
        image = Image.alpha_composite(ground, with_alpha)
    picture = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, STRIP):  # a large photo is not copied whole three times
        strip = image.crop((0, top, image.width, min(image.height, top + STRIP))).convert("RGB")
        picture[top : top + STRIP] = np.asarray(strip, np.uint8)[:, :, ::-1]
    return picture
