"""alignment: picture (h, w, 3) uint8 BGR + landmarks (5, 2) -> aligned face crop (64, 64, 3) uint8 BGR.

Notable:

- The network is trained on crops made by one alignment; every path of the program must use this one.
- The fit is OpenCV's least-median-of-squares similarity. It draws its point pairs from a generator with a
  fixed seed of its own, so it is deterministic (``cv2.setRNGSeed`` does not reach it); a closed-form
  least-squares fit stands in where it finds nothing.
- What lies outside the picture becomes mid grey (127), as in the training crops.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Picture

# Eyes, nose tip, mouth corners, left to right in the image: where they lie in a 64 x 64 crop, in pixels.
TEMPLATE: npt.NDArray[np.float64] = np.array(
    [(21.88, 29.54), (42.02, 29.43), (32.01, 40.99), (23.74, 52.78), (40.42, 52.69)], dtype=np.float64
)
TEMPLATE.setflags(write=False)
SIZE = 64
OUTSIDE = (127, 127, 127)


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


def sharpness(crop: Picture) -> float:
    """Variance of the Laplacian of a crop's grey values (Pech-Pacheco et al., ICPR 2000); larger is
    sharper.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())
