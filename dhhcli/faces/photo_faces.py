"""photo_faces: photo (h, w, 3) uint8 BGR -> all its faces, from those that fill it to those of 20 pixels.

A look at the whole photo, 640 pixels wide, finds faces of a fortieth of its width and more. Smaller ones are looked for
in its own pixels, in tiles, where the detector finds faces of 18 to 400 pixels; in photos of more than 10,000 pixels a
look between the two closes the gap. Tiles are looked at side by side, on some cores. What the closer looks add has to
be sure: there are a hundred times as many places where a pattern may look like a face.
"""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Picture
from dhhcli.faces.detector import SURE, Face, FaceDetector
from dhhcli.media.photo import shrink

WHOLE = 640  # longer side of the look at everything, pixels
LARGER = 1.25  # times that: from here on a closer look finds more
STEP = 16  # times: between two looks, faces of 20 to 320 pixels
TILE, SHARED = 960, 96  # sides of a tile, and what neighbours share: a face that one cuts is whole in the other
SIDE_BY_SIDE = 4  # tiles at a time, where there are so many cores; each takes some 100 MB
CUT = 2  # pixels from the edge of a tile: a face there goes on beyond it
SAME = 0.5  # of the smaller of two boxes: what lies in a face so far is that face, or a part of it


def photo_faces(detector: FaceDetector, picture: Picture, closer: FaceDetector | None = None) -> list[Face]:
    """Faces of a photo, by descending score. closer: the detector of the closer looks, where it is another."""
    found = detector.detect(picture)
    longer = max(picture.shape[:2])
    if longer <= LARGER * WHOLE:
        return found
    between = [math.sqrt(longer * WHOLE)] if longer > STEP * WHOLE else []
    for width in [*between, longer]:
        added = [face for face in _in_tiles(closer or detector, picture, round(width)) if face.score >= SURE]
        found = united(found, added)
    return found


def united(found: list[Face], added: list[Face]) -> list[Face]:
    """Both, each face once: sure ones that were found first stay, and an unsure one gives way to a sure one."""
    kept: list[Face] = [face for face in found if face.score >= SURE]
    for face in [*sorted(added, key=_order), *(face for face in found if face.score < SURE)]:
        if not kept or shares(face, kept).max() <= SAME:
            kept.append(face)
    return sorted(kept, key=_order)


def _order(face: Face) -> tuple[float, ...]:
    return (-face.score, *face.box.tolist())


def shares(face: Face, others: list[Face]) -> npt.NDArray[np.float64]:
    """How much of the smaller of two boxes lies in the other, for each of the others (n,): 0 to 1."""
    boxes = np.array([other.box for other in others], np.float64)
    own = face.box.astype(np.float64)
    sides = np.minimum(boxes[:, 2:], own[2:]) - np.maximum(boxes[:, :2], own[:2])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return np.asarray(
        np.maximum(sides, 0).prod(1) / np.maximum(np.minimum(areas, (own[2:] - own[:2]).prod()), 1e-9), np.float64
    )


def _in_tiles(detector: FaceDetector, picture: Picture, longer: int) -> list[Face]:
    """Faces of the picture brought to this longer side, tile by tile, in pixels of the picture."""
    height, width = picture.shape[:2]
    scale = longer / max(height, width)
    if scale < 1:
        picture = shrink(picture, max(1, round(width * scale)), max(1, round(height * scale)))
    size = picture.shape[1::-1]
    found: list[Face] = []
    corners = [(left, top) for top in _begins(size[1]) for left in _begins(size[0])]

    def look(corner: tuple[int, int]) -> list[Face]:
        left, top = corner
        tile = picture[top : top + TILE, left : left + TILE]
        faces = detector.detect(tile, width=max(tile.shape[:2]), again=False)
        return [_moved(face, left, top) for face in faces if not _is_cut(face, tile, corner, size)]

    with ThreadPoolExecutor(max(1, min(SIDE_BY_SIDE, os.cpu_count() or 1))) as pool:
        for whole in pool.map(look, corners):
            found += [face for face in whole if not found or shares(face, found).max() <= SAME]
    factor = np.array([width / size[0], height / size[1]], np.float32)
    return [Face(face.box * np.tile(factor, 2), face.landmarks * factor, face.score) for face in found]


def _begins(length: int) -> Iterator[int]:
    """Where tiles begin along a side, spread evenly."""
    tiles = max(1, math.ceil((length - SHARED) / (TILE - SHARED)))
    last = max(0, length - TILE)
    return iter([round(last * number / max(1, tiles - 1)) for number in range(tiles)])


def _moved(face: Face, left: int, top: int) -> Face:
    corner = np.array([left, top], np.float32)
    return Face(face.box + np.tile(corner, 2), face.landmarks + corner, face.score)


def _is_cut(face: Face, tile: Picture, corner: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether a face touches an edge of the tile that is not one of the picture."""
    sides = tile.shape[1], tile.shape[0]
    return any(
        (corner[axis] > 0 and face.box[axis] < CUT)
        or (corner[axis] + sides[axis] < size[axis] and face.box[axis + 2] > sides[axis] - CUT)
        for axis in (0, 1)
    )
