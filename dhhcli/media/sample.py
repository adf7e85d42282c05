"""sample: two public domain portraits -> a small film and two photos to try dhh on.

The portraits are Eileen Collins (NASA) and Grace Hopper (US Navy); ``portraits/SOURCES.txt`` says where they are from.
The film cuts between shots of either or both, moving, re-lit, re-scaled and out of focus, and shots of nobody.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import IO

import cv2
import numpy as np

from dhhcli.base.arrays import Picture
from dhhcli.base.atomic_write import write_atomically, write_stream_atomically
from dhhcli.errors import DhhError

WIDTH, HEIGHT, RATE = 640, 360, Fraction(25)


@dataclass(frozen=True)
class Appearance:
    """One person in one shot; numbers go from the first frame's to the last frame's."""

    who: str
    height: tuple[float, float]  # of the portrait, in pictures' heights
    x: tuple[float, float]  # its centre, in picture widths
    y: tuple[float, float]
    light: tuple[float, float]  # gain
    blur: float = 0.0  # sigma, pixels
    mirrored: bool = False


@dataclass(frozen=True)
class Scene:
    """One shot: a seed for its background, its length in seconds, who is in it."""

    background: int
    seconds: float
    people: tuple[Appearance, ...] = ()


SCRIPT = (
    Scene(1, 1.6),
    Scene(2, 2.4, (Appearance("collins", (0.8, 1.0), (0.3, 0.5), (0.55, 0.55), (1.0, 0.9)),)),
    Scene(3, 2.4, (Appearance("hopper", (0.7, 0.7), (0.7, 0.4), (0.5, 0.6), (1.1, 1.0)),)),
    Scene(4, 1.6),
    Scene(5, 2.0, (Appearance("hopper", (1.3, 1.5), (0.5, 0.55), (0.6, 0.65), (0.55, 0.7), blur=1.5),)),
    Scene(
        6,
        3.2,
        (
            Appearance("collins", (0.75, 0.75), (0.25, 0.3), (0.5, 0.5), (0.9, 0.9), mirrored=True),
            Appearance("hopper", (0.75, 0.7), (0.75, 0.7), (0.5, 0.5), (0.9, 0.9)),
        ),
    ),
    Scene(7, 2.0, (Appearance("collins", (0.5, 0.6), (0.8, 0.6), (0.5, 0.45), (0.5, 0.6)),)),
    Scene(8, 1.6),
)


@dataclass(frozen=True)
class Sample:
    """What was written."""

    film: Path
    photos: tuple[Path, ...]

    def lines(self) -> list[str]:
        """How to try it."""
        folder = self.film.parent
        return [
            f"wrote {self.film} and {', '.join(str(photo) for photo in self.photos)}",
            f"now: dhh encode {self.film} --out {folder / 'codes.h5'}",
            f"then: dhh query {self.photos[0]} --codes {folder / 'codes.h5'}",
        ]


def portraits() -> dict[str, Picture]:
    """Both portraits, (512, 512, 3) and (600, 512, 3) uint8 BGR."""
    folder = resources.files("dhhcli.media").joinpath("portraits")
    return {name: _decode(folder.joinpath(f"{name}.png").read_bytes()) for name in ("collins", "hopper")}


def _decode(data: bytes) -> Picture:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, dtype=np.uint8)


def frames(scene: Scene, people: dict[str, Picture]) -> Iterator[Picture]:
    """Every picture (360, 640, 3) of a shot."""
    rng = np.random.default_rng(scene.background)
    coarse = rng.integers(20, 220, (5, 8, 3), dtype=np.uint8)
    # wider than the picture, so that the camera can drift over it
    ground = cv2.resize(coarse, (WIDTH + 80, HEIGHT), interpolation=cv2.INTER_CUBIC)
    count = round(scene.seconds * RATE)
    noisy = np.empty((HEIGHT, WIDTH, 3))  # one for all pictures: fresh memory costs as much as what is done in it
    for number in range(count):
        t = number / max(1, count - 1)
        left = round(80 * t)
        picture = ground[:, left : left + WIDTH].copy()
        for person in scene.people:
            paste(picture, people[person.who], person, t)
        rng.standard_normal(out=noisy)
        noisy *= 2.5
        noisy += picture
        yield np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


def paste(picture: Picture, portrait: Picture, person: Appearance, t: float) -> None:
    """Put a portrait into a picture as it is at moment ``t`` in [0, 1] of the shot, in place."""

    def at(ends: tuple[float, float]) -> float:
        return ends[0] + (ends[1] - ends[0]) * t

    scale = at(person.height) * HEIGHT / portrait.shape[0]
    source = portrait[:, ::-1] if person.mirrored else portrait
    if person.blur:
        source = cv2.GaussianBlur(source, (0, 0), person.blur / scale)
    if scale < 0.5:
        source = cv2.GaussianBlur(source, (0, 0), 0.4 / scale)  # warpAffine does not average when it shrinks
    lit = cv2.LUT(source, np.clip(np.arange(256, dtype=np.float32) * at(person.light), 0, 255).astype(np.uint8))
    h, w = portrait.shape[:2]
    matrix = np.array(
        [[scale, 0, at(person.x) * WIDTH - scale * w / 2], [0, scale, at(person.y) * HEIGHT - scale * h / 2]]
    )
    cv2.warpAffine(lit, matrix, (WIDTH, HEIGHT), dst=picture, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)


def write_film(file: IO[bytes], pictures: Iterator[Picture], rate: Fraction) -> None:
    """Encode pictures (h, w, 3) into an MP4 as H.264, or MPEG-4 where FFmpeg was built without an encoder for it."""
    import av
    from av.video.stream import VideoStream

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    whole = BytesIO()  # a full disk is said by Python then, not by FFmpeg
    with av.open(whole, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    file.write(whole.getbuffer())


def write_sample(folder: Path) -> Sample:
    """Write ``film.mp4``, ``collins.jpg`` and ``hopper.jpg`` into a folder.

    Raises:
        DhhError: the folder cannot be written.
    """
    people = portraits()
    photos = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in people.items():
            photos.append(folder / f"{name}.jpg")
            _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
            write_atomically(photos[-1], data.tobytes())
        film = folder / "film.mp4"
        pictures = (picture for scene in SCRIPT for picture in frames(scene, people))
        write_stream_atomically(film, lambda file: write_film(file, pictures, RATE))
    except OSError as error:
        raise DhhError(f"{folder}: cannot be written ({error.strerror or error}); name another folder") from None
    return Sample(film, tuple(photos))
