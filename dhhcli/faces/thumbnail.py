"""thumbnail: picture (h, w, 3) and a box -> a small JPEG of the face and what is around it."""

import cv2
import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Picture
from dhhcli.media.photo import shrink

THUMBNAIL = 112  # longest side, pixels


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
