"""detector: picture (h, w, 3) uint8 BGR -> faces: boxes (4,), landmarks (5, 2), scores.

Notable:

- The detector is CenterFace (Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as
  Point", 2020), in float32 and in 8-bit integers; ``tools/prepare_detector.py`` wrote both files.
- Faces that fill or exceed the frame are missed at large inputs: while the best score is low, a second look
  at a small input, and a third with grey of the picture's own size on every side, as from further away.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Floats, Picture
from dhhcli.base.onnx_session import on_gpu, start_session
from dhhcli.base.prefetch import ahead
from dhhcli.media.photo import shrink

THRESHOLD = 0.35  # least score of a face
SURE = 0.6  # below this best score, look again
SMALL = 320  # longer side of the second look, pixels
BOTH_FROM = 960  # inputs larger than this miss large faces even while they find others
BORDERED = 192  # longer side of the third look, pixels, border included
GREY = 127
OVERLAP = 0.3  # boxes of more intersection over union are one face
STRIDE = 4  # input pixels a cell of the network's output maps
LARGEST_ENLARGEMENT = 4.0


@dataclass(frozen=True, eq=False, slots=True)
class Face:
    """A detected face, in pixels of the full picture.

    box: (4,) float32, x0 y0 x1 y1, inside the picture. landmarks: (5, 2) float32, eyes, nose tip, mouth
    corners, left to right in the image; they may lie outside the picture. score: 0 .. 1.
    """

    box: Floats
    landmarks: Floats
    score: float

    @property
    def size(self) -> float:
        """Longer side of the box, pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


class FaceDetector:
    """CenterFace on onnxruntime (CPU), kept between calls; several threads may use one detector."""

    def __init__(self, threads: int = 1, width: int = 640, *, quick: bool = False) -> None:
        """threads: cores used for one picture. width: longer side of the network's input, pixels (21 ms at
        640). quick: the network in 8-bit integers (12 ms), which finds the same sure faces (238 of 238 in film) with
        landmarks that differ by 0.8 % of the face's size.
        """
        if width < 32:
            raise ValueError(f"width is {width}, expected at least 32 pixels")
        self._width = width
        # Laying the network out takes 40 ms of one core; a query reads its photo meanwhile.
        self._session = ahead(lambda: _session(threads, quick))

    def detect(
        self,
        picture: Picture,
        scale_to: tuple[int, int] | None = None,
        *,
        width: int | None = None,
        again: bool = True,
    ) -> list[Face]:
        """Faces of picture (h, w, 3) uint8 BGR, by descending score (then left to right, top to bottom).

        scale_to: (width, height) of the full picture when ``picture`` is a reduced copy of it; boxes and
        landmarks are given in pixels of the full picture. width: longer side of the network's input, where it is not
        to be the detector's own; above 960, which large faces do not survive, a look at 320 is made beside it.
        again: look at smaller copies where nothing sure is found. Everything of score >= 0.35 is returned, at most
        one face a place (NMS at intersection over union 0.3). The longer side is brought to ``width`` (small
        pictures are enlarged at most 4 times), the aspect is kept and the rest padded to multiples of 32.
        """
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(f"picture is {picture.shape} {picture.dtype}, expected (h, w, 3) uint8")
        height, full = picture.shape[:2]
        if height == 0 or full == 0:
            return []
        width = width or self._width
        found = self._look(picture, width)
        if width > BOTH_FROM:
            found = np.concatenate([found, self._look(picture, SMALL)])
        for longer_side, border in ((SMALL, False), (BORDERED, True)):
            tried = longer_side >= width or (longer_side == SMALL and width > BOTH_FROM)
            if again and found[:, 4].max(initial=0.0) < SURE and not tried:
                found = np.concatenate([found, self._look(picture, longer_side, border)])
        found = found[suppress(found[:, :4], found[:, 4], OVERLAP)]
        full_width, full_height = scale_to or (full, height)
        found[:, 0:4:2] *= full_width / full
        found[:, 1:4:2] *= full_height / height
        found[:, 5::2] *= full_width / full
        found[:, 6::2] *= full_height / height
        return [Face(row[:4].copy(), row[5:].reshape(5, 2).copy(), float(row[4])) for row in found]

    def peak(self, crop: Picture) -> float:
        """The highest score in the middle of an aligned crop (64, 64, 3) that is set into grey of twice its size."""
        side = crop.shape[0]
        edge = side // 2
        whole = cv2.copyMakeBorder(crop, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=(GREY, GREY, GREY))
        blob = np.ascontiguousarray(whole[None, :, :, ::-1].transpose(0, 3, 1, 2), np.float32)
        heat = self._session().run(["537"], {"input.1": blob})[0][0, 0]
        middle = slice(edge // STRIDE, (edge + side) // STRIDE + 1)
        return float(heat[middle, middle].max())

    def _look(self, picture: Picture, longer_side: int, border: bool = False) -> Floats:
        """One run of the network: (n, 15) float32 rows of box, score, landmarks, in pixels of ``picture``.

        border: set the picture, at a third of its scale, into the middle of grey.
        """
        height, width = picture.shape[:2]
        scale = min(longer_side / max(height, width), LARGEST_ENLARGEMENT) / (3 if border else 1)
        columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (columns, rows) if border else (0, 0)
        small = shrink(picture, columns, rows)
        shape = (1, 3, -(-(rows + 2 * top) // 32) * 32, -(-(columns + 2 * left) // 32) * 32)
        blob = np.full(shape, GREY if border else 0, dtype=np.float32)
        # the network wants RGB, 0 .. 255
        for channel in range(3):
            blob[0, channel, top : top + rows, left : left + columns] = small[:, :, 2 - channel]
        heat, sizes, offsets, points = self._session().run(["537", "538", "539", "540"], {"input.1": blob})
        found = decode(heat[0, 0], sizes[0], offsets[0], points[0], (left, top), (columns, rows))
        to_picture = np.array([width / columns, height / rows], dtype=np.float32)
        found[:, :4] *= np.tile(to_picture, 2)
        found[:, 5:] *= np.tile(to_picture, 5)
        return found


@cache
def photo_detector() -> FaceDetector:
    """The detector of photos, one a process."""
    return FaceDetector()


def _session(threads: int, quick: bool) -> Any:
    session = start_session(_shipped("centerface-int8.onnx" if quick else "centerface.onnx"), threads=threads)
    if quick and on_gpu(session):  # a GPU gains nothing by int8, and may run half of it on the processor
        return start_session(_shipped("centerface.onnx"), threads=threads)
    return session


def _shipped(name: str) -> bytes:
    return (Path(__file__).parents[1] / "models" / "shipped" / name).read_bytes()


def decode(
    heat: Floats,
    sizes: Floats,
    offsets: Floats,
    points: Floats,
    corner: tuple[int, int],
    extent: tuple[int, int],
) -> Floats:
    """The network's maps -> (n, 15) float32 rows x0 y0 x1 y1 score and five (x, y), in input pixels.

    heat (h, w): score of a face centred in the cell. sizes (2, h, w): log of height and width in cells.
    offsets (2, h, w): of the centre, y and x, in cells. points (10, h, w): y and x of the landmarks from the
    box's corner, in box heights and widths. corner (x, y), extent (width, height): where the picture lies in
    the input; places are given from its corner. Boxes are clipped to the picture; landmarks are taken from
    the box before clipping (a deviation from the reference, which shifts the landmarks of faces that
    are cut by the left or upper edge).
    """
    y, x = np.nonzero(heat >= THRESHOLD)
    height, width = np.exp(np.minimum(sizes[:, y, x], 10.0)) * STRIDE
    centre_y, centre_x = (np.stack([y, x]) + offsets[:, y, x] + 0.5) * STRIDE
    left, top = centre_x - width / 2 - corner[0], centre_y - height / 2 - corner[1]
    landmark_y = points[0::2, y, x] * height + top
    landmark_x = points[1::2, y, x] * width + left
    landmarks = np.stack([landmark_x, landmark_y], axis=-1).swapaxes(0, 1)  # (n, 5, 2)
    found = np.empty((len(y), 15), dtype=np.float32)
    found[:, 0] = np.clip(left, 0, extent[0])
    found[:, 1] = np.clip(top, 0, extent[1])
    found[:, 2] = np.clip(left + width, 0, extent[0])
    found[:, 3] = np.clip(top + height, 0, extent[1])
    found[:, 4] = heat[y, x]
    found[:, 5:] = landmarks.reshape(len(y), 10)
    # A box without area or landmarks in one point cannot be a face and cannot be aligned.
    area = (found[:, 2] - found[:, 0] >= 1) & (found[:, 3] - found[:, 1] >= 1)
    spread = landmarks.max(axis=1, initial=-np.inf) - landmarks.min(axis=1, initial=np.inf)
    kept: Floats = found[area & (spread.max(axis=-1, initial=-np.inf) >= 1) & np.isfinite(found).all(axis=1)]
    return kept


def suppress(boxes: Floats, scores: Floats, overlap: float) -> npt.NDArray[np.intp]:
    """Non-maximum suppression: indices of the boxes (n, 4) kept, by descending score, then x0, then y0.

    A box goes when its intersection over union with a kept box of higher order exceeds ``overlap``.
    """
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -scores))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        corner = np.minimum(boxes[rest, 2:], boxes[best, 2:]) - np.maximum(boxes[rest, :2], boxes[best, :2])
        shared = np.prod(np.maximum(corner, 0), axis=1)
        union = np.maximum(areas[rest] + areas[best] - shared, 1e-9)
        order = rest[shared / union <= overlap]
    return np.array(kept, dtype=np.intp)
