"""photo: path of a photo -> picture (h, w, 3) uint8 BGR, upright."""

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dhhcli.base.arrays import Picture
from dhhcli.errors import MissingPathError, PhotoError

# A photo of more pixels than this is refused before it is decoded (1.2 GB of memory at 3 bytes a pixel).
MAX_PIXELS = 400_000_000


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


def read_photo(path: Path) -> Picture:
    """Read a photo as (h, w, 3) uint8 BGR, upright.

    EXIF orientation is applied; grey, palette and CMYK become colour; 16-bit values are scaled down; what is
    transparent becomes white, as a viewer shows it; of an animation the first picture is taken. Colour
    profiles are ignored. Raises MissingPathError when the file is not there or cannot be opened, PhotoError
    when it is not a whole picture of a format that Pillow reads or has more than 400 million pixels.
    """
    from PIL import Image, UnidentifiedImageError  # 10 ms, and only queries read photos

    try:
        stream = path.open("rb")
    except IsADirectoryError as error:
        raise MissingPathError(f"{path}: a folder, where a photo is expected: name the photos in it") from error
    except OSError as error:
        raise MissingPathError(f"{path}: cannot be opened: {error.strerror or error}") from error
    with stream, warnings.catch_warnings():
        # Pillow warns from 89 million pixels on; such photos exist, and the limit here is our own.
        warnings.simplefilter("ignore")
        try:
            with Image.open(stream) as image:
                if image.format == "EPS":  # Pillow would start Ghostscript, which runs what is in it
                    raise PhotoError(f"{path}: is PostScript, a program and no photo: give a JPEG, PNG, TIFF or WebP")
                if image.width * image.height > MAX_PIXELS:
                    raise PhotoError(
                        f"{path}: {image.width} x {image.height} pixels, at most {MAX_PIXELS:,} are read: scale it down"
                    )
                image.load()
                return _bgr(_upright(image) if _says_more(image) else image)
        except PhotoError:
            raise
        except UnidentifiedImageError as error:
            raise PhotoError(
                f"{path}: cannot be read as a photo (no picture of a known kind): give a JPEG, PNG, TIFF or WebP"
            ) from error
        except Image.DecompressionBombError as error:
            raise PhotoError(f"{path}: too many pixels for a photo: scale it down") from error
        except (
            OSError,
            ValueError,
            SyntaxError,
            EOFError,
            IndexError,
            MemoryError,
            ArithmeticError,
        ) as error:
            # what Pillow's format plugins raise on damaged files
            words = " ".join(str(error).split()).replace(str(stream), "the file")
            raise PhotoError(
                f"{path}: cannot be read as a photo ({words or type(error).__name__}): give a JPEG, PNG, TIFF or WebP"
            ) from error


def _says_more(image: Any) -> bool:
    """Whether there is anything that could hold an orientation: reading it brings Pillow's TIFF reader, 15 ms."""
    return image.format not in ("JPEG", "PNG") or any(
        "exif" in str(key).lower() or "xmp" in str(key).lower() for key in image.info
    )


def _upright(image: Any) -> Any:
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


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
    rgb = np.asarray(image.convert("RGB"), dtype=np.uint8)
    return np.ascontiguousarray(rgb[:, :, ::-1])
