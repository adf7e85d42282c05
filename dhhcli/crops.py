"""crops: picture (h, w, 3) uint8 BGR + landmarks (5, 2) -> aligned face crop (64, 64, 3) uint8 BGR.

Notable:

- The network is trained on crops made by one alignment; every path of the program must use this one.
- The fit is OpenCV's least-median-of-squares similarity. It draws its point pairs from a generator with a
  fixed seed of its own, so it is deterministic (``cv2.setRNGSeed`` does not reach it); a closed-form
  least-squares fit stands in where it finds nothing.
- What lies outside the picture becomes mid grey (127), as in the training crops.
"""

import math
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .errors import MissingPathError, PhotoError

Picture = npt.NDArray[np.uint8]

# Eyes, nose tip, mouth corners, left to right in the image: where they lie in a 64 x 64 crop, in pixels.
TEMPLATE: npt.NDArray[np.float64] = np.array(
    [(21.88, 29.54), (42.02, 29.43), (32.01, 40.99), (23.74, 52.78), (40.42, 52.69)], dtype=np.float64
)
TEMPLATE.setflags(write=False)

SIZE = 64
THUMBNAIL = 112  # longest side, pixels
OUTSIDE = (127, 127, 127)
# A photo of more pixels than this is refused before it is decoded (1.2 GB of memory at 3 bytes a pixel).
MAX_PIXELS = 400_000_000


def least_squares(landmarks: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Similarity of least squared error from landmarks (5, 2) to TEMPLATE: (2, 3) float64, in closed form.

    With points as complex numbers, a = <z - mean z, t - mean t> / |z - mean z|^2 and b = mean t - a mean z
    (Umeyama, PAMI 1991, for two dimensions without reflection). Raises ValueError when the landmarks
    coincide.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    z = points[:, 0] + 1j * points[:, 1]
    t = TEMPLATE[:, 0] + 1j * TEMPLATE[:, 1]
    spread = z - z.mean()
    energy = float(np.vdot(spread, spread).real)
    if not math.isfinite(energy) or energy < 1e-6:
        raise ValueError("the five landmarks coincide or are not finite: no similarity can be fitted")
    a = np.vdot(spread, t - t.mean()) / energy
    b = t.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def similarity(landmarks: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Similarity (rotation, scale, shift) from landmarks (5, 2), in pixels, to TEMPLATE: (2, 3) float64.

    Least median of squares over point pairs (Rousseeuw, JASA 1984) with the inliers refined by least
    squares: ``cv2.estimateAffinePartial2D(method=LMEDS)``, the fit that the training crops were made with.
    Falls back to ``least_squares`` when that finds no model. Raises ValueError when the landmarks coincide
    or are not finite.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != TEMPLATE.shape:
        raise ValueError(f"landmarks have shape {points.shape}, expected {TEMPLATE.shape}")
    fallback = least_squares(points)  # cheap, and it is what refuses coinciding landmarks
    matrix, _inliers = cv2.estimateAffinePartial2D(points, TEMPLATE, method=cv2.LMEDS)
    if matrix is None or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:, :2])) < 1e-12:
        return fallback
    return np.asarray(matrix, dtype=np.float64)


def align(picture: Picture, landmarks: npt.NDArray[np.floating], size: int = SIZE, margin: int = 0) -> Picture:
    """Cut a face out of picture (h, w, 3) so that its landmarks (5, 2) fall on TEMPLATE.

    Returns (size + 2 margin, size + 2 margin, 3) uint8. The template is scaled by size / 64; margin adds
    pixels on every side (the training crops: size 64, margin 8). When the face shrinks to less than half,
    the picture is first averaged over whole k x k blocks, k = floor of the shrinking, so that nothing
    aliases; bilinear after that. Raises ValueError when the landmarks coincide or are not finite.
    """
    matrix = similarity(landmarks)
    factor = size / SIZE
    matrix = matrix * factor
    # Pixel centres: a template of 64 pixels covers -0.5 .. 63.5, so scaling is about -0.5.
    matrix[:, 2] += margin + 0.5 * factor - 0.5
    side = size + 2 * margin
    shrink = 1.0 / math.hypot(matrix[0, 0], matrix[1, 0])
    if shrink > 2.0:
        block = int(shrink)
        corners = np.array([(-1.0, -1.0), (side, -1.0), (-1.0, side), (side, side)])
        inverse = cv2.invertAffineTransform(matrix)
        region = corners @ inverse[:, :2].T + inverse[:, 2]
        height, width = picture.shape[:2]
        low = np.floor(region.min(axis=0)).astype(np.int64) - block
        high = np.ceil(region.max(axis=0)).astype(np.int64) + block
        left, top = (int(v) for v in np.clip(low, 0, (width, height)))
        right, bottom = (int(v) for v in np.clip(high, 0, (width, height)))
        columns, rows = (right - left) // block, (bottom - top) // block
        if columns > 0 and rows > 0:
            region_of_face = picture[top : top + rows * block, left : left + columns * block]
            picture = cv2.resize(region_of_face, (columns, rows), interpolation=cv2.INTER_AREA)
            # full = block * small + (block - 1) / 2 + corner, written into the matrix
            corner = np.array([left, top]) + (block - 1) / 2
            matrix[:, 2] += matrix[:, :2] @ corner
            matrix[:, :2] *= block
    crop: Picture = cv2.warpAffine(
        picture,
        matrix,
        (side, side),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=OUTSIDE,
    )
    return crop


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


def sharpness(crop: Picture) -> float:
    """Variance of the Laplacian of a crop's grey values (Pech-Pacheco et al., ICPR 2000); larger is
    sharper.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def surroundings(picture: Picture, box: npt.NDArray[np.floating], longest: int = THUMBNAIL) -> Picture:
    """A face with its surroundings (h, w, 3), for people to look at; at most ``longest`` pixels a side.

    The cut is a square of 1.8 times the box (x0, y0, x1, y1), ended by the edges of the picture; it is not
    enlarged. Empty (h or w is 0) where it lies outside the picture.
    """
    x0, y0, x1, y1 = (float(edge) for edge in box)
    reach = 0.9 * max(x1 - x0, y1 - y0)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    height, width = picture.shape[:2]
    left, right = (int(np.clip(edge, 0, width)) for edge in (x - reach, x + reach + 1))
    top, bottom = (int(np.clip(edge, 0, height)) for edge in (y - reach, y + reach + 1))
    cut = picture[top:bottom, left:right]
    if cut.size and (scale := longest / max(cut.shape[:2])) < 1:
        size = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
        return shrink(cut, *size)
    return cut.copy()  # not a view, which would hold the whole picture


def jpeg(picture: Picture) -> bytes:
    """A small picture (h, w, 3) as JPEG; empty bytes for an empty one."""
    if picture.size == 0:
        return b""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return bytes(data.tobytes())


def thumbnail(picture: Picture, box: npt.NDArray[np.floating], longest: int = THUMBNAIL) -> bytes:
    """JPEG of a face's ``surroundings``."""
    return jpeg(surroundings(picture, box, longest))


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
