"""degradation: faces (80, 80, 3) uint8 BGR -> poor frames of them (64, 64, 3), and faces mixed of two.

What film does to a face, harder than augmentation.py imitates it for codes: down to 10 pixels, covered, lit from one
side, seen from the side. A network that is to give the clean picture's features for such frames is trained on them.
Mixed faces (``morph``) are people nobody is: where there are few pictures that everybody may use, a network can still
be asked what another one makes of them.
"""

import cv2
import numpy as np

from dhhcli.base.arrays import Floats, Picture
from dhhcli.research.datasets.augmentation import centre
from dhhcli.research.datasets.pack import MARGIN

MIDDLE = 39.5  # of an 80x80 picture, pixels


def morph(first: Picture, second: Picture, rng: np.random.Generator) -> Picture:
    """A new face (80, 80, 3) of two aligned ones: mixed evenly, or by smooth regions."""
    a = first[:, ::-1] if rng.random() < 0.5 else first
    b = second[:, ::-1] if rng.random() < 0.5 else second
    other = _in_light_of(b, a) if rng.random() < 0.8 else b.astype(np.float32)
    if rng.random() < 0.45:
        share = np.full((80, 80, 1), rng.uniform(0.3, 0.7), np.float32)
    else:
        coarse = rng.normal(0, 1, (4, 4)).astype(np.float32)
        smooth = cv2.resize(coarse, (80, 80), interpolation=cv2.INTER_CUBIC)
        share = np.asarray(1 / (1 + np.exp(-5 * smooth)), np.float32)[..., None]
    mixed = a.astype(np.float32) * share + other * (1 - share)
    if rng.random() < 0.5:
        mixed = mixed * rng.uniform(0.85, 1.15, 3) + rng.normal(0, 8)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _in_light_of(picture: Picture, like: Picture) -> Floats:
    """One picture in the mean and deviation of each colour of another."""
    here, there = picture.astype(np.float32), like.astype(np.float32)
    mean, wide = here.mean((0, 1)), here.std((0, 1)) + 1
    return np.asarray((here - mean) * np.clip((there.std((0, 1)) + 1) / wide, 0.5, 2) + there.mean((0, 1)), np.float32)


def degrade(picture: Picture, rng: np.random.Generator, strength: float = 1.0) -> Picture:
    """One picture (80, 80, 3) as a poor frame (64, 64, 3); ``strength`` 0 leaves its middle as it is."""
    if rng.random() > strength * 0.9:
        return centre(picture)
    size = 64 if rng.random() < 0.4 else int(np.exp(rng.uniform(np.log(10), np.log(64))))
    image = _light(_move(picture, rng), rng)
    if rng.random() < 0.2:
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    if rng.random() < 0.15:
        image = _cover(image, rng)
    return _shoot(_smear(image, rng), size, rng)


def _move(picture: Picture, rng: np.random.Generator) -> Picture:
    """Shifted, turned, scaled; sometimes narrower and slanted, as from the side."""
    shift, angle = rng.normal(0, 1.7, 2), rng.normal(0, 4.5)
    matrix = np.asarray(cv2.getRotationMatrix2D((MIDDLE, MIDDLE), angle, float(np.exp(rng.normal(0, 0.05)))))
    if rng.random() < 0.4:
        matrix[:, :2] = matrix[:, :2] @ np.array([[rng.uniform(0.85, 1.05), 0], [rng.normal(0, 0.05), 1]])
        matrix[:, 2] = MIDDLE - matrix[:, :2] @ (MIDDLE, MIDDLE)
    matrix[:, 2] += shift - MARGIN
    moved = cv2.warpAffine(picture, matrix, (64, 64), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def _light(image: Picture, rng: np.random.Generator) -> Picture:
    if rng.random() >= 0.5:
        return image
    values = 255 * (image.astype(np.float32) / 255) ** float(np.exp(rng.normal(0, 0.3)))
    values = values * np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.06, 3)) + rng.normal(0, 12)
    if rng.random() < 0.3:  # from one side
        ramp = np.linspace(-1, 1, 64, dtype=np.float32) * rng.normal(0, 0.3)
        values = values * (1 + (ramp[:, None, None] if rng.random() < 0.5 else ramp[None, :, None]))
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _cover(image: Picture, rng: np.random.Generator) -> Picture:
    """Something in front: a rectangle of one colour."""
    x, y = rng.integers(-16, 56, 2)
    wide, high = rng.integers(10, 36, 2)
    colour = [int(value) for value in rng.integers(0, 256, 3)]
    there, to = (int(x), int(y)), (int(x + wide), int(y + high))
    return np.asarray(cv2.rectangle(image.copy(), there, to, colour, -1), np.uint8)


def _smear(image: Picture, rng: np.random.Generator) -> Picture:
    """Out of focus; moving."""
    if rng.random() < 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.0)), np.uint8)
    if rng.random() < 0.12:
        length = int(rng.integers(3, 9))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        image = np.asarray(cv2.filter2D(image, -1, kernel if rng.random() < 0.6 else kernel.T), np.uint8)
    return image


def _shoot(image: Picture, size: int, rng: np.random.Generator) -> Picture:
    """Filmed ``size`` pixels wide, noisy, compressed, enlarged to 64 again."""
    if size < 60:
        image = np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    if rng.random() < 0.25:
        image = np.clip(image + rng.normal(0, rng.uniform(1, 9), image.shape), 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 85))])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    if size < 60:
        how = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
        image = np.asarray(cv2.resize(image, (64, 64), interpolation=how), np.uint8)
    return image
