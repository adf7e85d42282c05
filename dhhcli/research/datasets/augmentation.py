"""augmentation: still (80, 80, 3) uint8 -> frames (m, size, size, 3) uint8 as film would show that moment.

Training has photos, the pipeline sees film. Two things differ: one degradation belongs to the whole shot
(scale of the face, focus, codec, exposure, colour of the light), another drifts from frame to frame (framing,
motion blur, flicker). Both are drawn here from a passed generator. The geometry is one affine map from the
80x80 picture straight to the wanted size, so nothing is resampled twice.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from dhhcli.base.arrays import Picture

# Landmark noise of the detector on turned faces moves the crop by some pixels (95th percentile 4.6 of 64
# between two ways of fitting), hence the shift; the other figures are what looked like film next to real
# clips.
SHIFT = 2.5  # pixels of 64, one sigma
ROTATION = 5.0  # degrees, one sigma
SCALE = 0.05  # log, one sigma


@dataclass(frozen=True)
class Look:
    """What a whole shot has in common."""

    mirrored: bool
    side: int  # pixels across the face as filmed; smaller than the crop: detail was never there
    blur: float  # sigma, pixels of 64
    gamma: float
    gain: float
    offset: float
    tint: tuple[float, float, float]
    saturation: float
    jpeg: int  # quality; 0: not compressed
    noise: float  # sigma, grey levels


def draw_look(rng: np.random.Generator, strength: float = 1.0) -> Look:
    """Draw a look; ``strength`` 0 is the untouched photo, 1 what film does."""
    low = rng.random() < 0.35 * strength
    return Look(
        mirrored=bool(rng.random() < 0.5),
        side=int(rng.integers(18, 48)) if low else 64,
        blur=float(rng.uniform(0.3, 1.3)) if rng.random() < 0.25 * strength else 0.0,
        gamma=float(np.exp(rng.normal(0, 0.25 * strength))),
        gain=float(np.exp(rng.normal(0, 0.15 * strength))),
        offset=float(rng.normal(0, 10 * strength)),
        tint=tuple(np.exp(rng.normal(0, 0.06 * strength, 3)).tolist()),
        saturation=0.0 if rng.random() < 0.1 * strength else float(np.exp(rng.normal(0, 0.2 * strength))),
        jpeg=int(rng.integers(20, 80)) if rng.random() < 0.4 * strength else 0,
        noise=float(rng.uniform(1, 8)) if rng.random() < 0.25 * strength else 0.0,
    )


def centre(picture: Picture, size: int = 64) -> Picture:
    """The middle of an 80x80 picture, (size, size, 3): what the network sees of an untouched photo."""
    margin = (picture.shape[0] - 64) // 2
    inner = picture[margin : margin + 64, margin : margin + 64]
    return inner if size == 64 else np.asarray(cv2.resize(inner, (size, size), interpolation=cv2.INTER_AREA))


def imitate_frames(
    picture: Picture,
    m: int,
    rng: np.random.Generator,
    *,
    size: int = 64,
    strength: float = 1.0,
    side: int | None = None,
) -> Picture:
    """Make ``m`` frames (m, size, size, 3) of a shot of one 80x80 photo: one look, drifting frame and light.

    The drift is a stationary first-order random walk (correlation 0.8 from one sampled frame to the next),
    because neighbouring frames of film look alike and far ones do not. ``side``: pixels across the face as filmed,
    instead of the look's.
    """
    return imitate_shot(np.broadcast_to(picture, (m, *picture.shape)), rng, size=size, strength=strength, side=side)


def imitate_shot(
    pictures: Picture, rng: np.random.Generator, *, size: int = 64, strength: float = 1.0, side: int | None = None
) -> Picture:
    """``imitate_frames`` of pictures (m, 80, 80, 3) that are frames of one track already: one look, one drift."""
    m = len(pictures)
    look = draw_look(rng, strength)
    if side is not None:
        look = replace(look, side=side)
    sigma = np.array([SHIFT, SHIFT, ROTATION, SCALE, 0.04]) * strength
    walk = np.empty((m, 5))
    walk[0] = rng.normal(0, 1, 5)
    for t in range(1, m):
        walk[t] = 0.8 * walk[t - 1] + 0.6 * rng.normal(0, 1, 5)
    frames = np.empty((m, size, size, 3), np.uint8)
    for t, (dx, dy, angle, scale, light) in enumerate(walk * sigma):
        drift = (dx, dy, angle, np.exp(scale), np.exp(light))
        frames[t] = _develop(pictures[t], look, drift, rng, size, smeared=0.08 * strength)
    return frames


def _develop(
    picture: Picture,
    look: Look,
    drift: tuple[float, ...],
    rng: np.random.Generator,
    size: int,
    *,
    smeared: float,
) -> Picture:
    dx, dy, angle, scale, light = drift
    side = picture.shape[0]
    zoom = size / 64
    turn = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle, scale)
    turn[:, 2] += (dx - (side - 64) / 2, dy - (side - 64) / 2)
    out = min(size, max(8, round(look.side * zoom)))
    matrix = np.asarray(turn) * (out / 64)
    # pixel centres lie at halves: without this, faces filmed small would sit off centre
    matrix[:, 2] += (out / 64 - 1) / 2
    source = picture[:, ::-1] if look.mirrored else picture
    if out < 40:  # warpAffine does not average when it shrinks: blur by what is lost first
        source = cv2.GaussianBlur(source, (0, 0), 0.35 * 64 / out)
    image = cv2.warpAffine(
        np.ascontiguousarray(source),
        matrix,
        (out, out),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if look.blur:
        image = cv2.GaussianBlur(image, (0, 0), look.blur * out / 64)
    if rng.random() < smeared:  # motion blur of a single frame
        length = int(rng.integers(3, 6))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        image = cv2.filter2D(image, -1, kernel if rng.random() < 0.5 else kernel.T)
    levels = np.arange(256, dtype=np.float32) / 255
    curve = 255 * look.gain * light * levels**look.gamma + look.offset
    table = np.clip(curve[:, None] * np.asarray(look.tint, np.float32), 0, 255).astype(np.uint8)
    image = cv2.LUT(image, table.reshape(1, 256, 3))
    if look.saturation != 1.0:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        image = cv2.addWeighted(image, look.saturation, grey, 1 - look.saturation, 0)
    if look.noise:
        noisy = image + rng.normal(0, look.noise, image.shape).astype(np.float32)
        image = np.clip(noisy, 0, 255).astype(np.uint8)
    if look.jpeg:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, look.jpeg])
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if out != size:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(image, np.uint8)
