"""synthetic: small videos with known content, made by PyAV for the tests.

Pictures are (h, w, 3) uint8 BGR. Nothing here is read from outside the installed packages.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from dhhcli.base.arrays import Picture
from dhhcli.media.frame import Frame, Scaler
from dhhcli.media.sample import portraits
from dhhcli.research.datasets.pack import FacePack

# Where the features of the astronaut's face lie, read off by eye, pixels: pupils, nose tip, mouth corners.
ASTRONAUT_LANDMARKS = np.array([(203, 101), (246.5, 103.5), (225, 127), (204, 140.5), (244, 141)], dtype=np.float64)


def scene(seed: int, width: int = 160, height: int = 96) -> Picture:
    """A smooth picture of strong colours; scenes of different seeds are unrelated."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, size=(4, 6, 3), dtype=np.uint8)
    picture: Picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return picture


def numbered(index: int, width: int = 160, height: int = 96) -> Picture:
    """A picture that shows ``index`` (0 .. 1023) as ten black or white bars, lowest bit on the left."""
    bits = (index >> np.arange(10)) & 1
    row = np.repeat(bits.astype(np.uint8) * 255, width // 10)
    picture = np.full((height, width, 3), 128, dtype=np.uint8)
    picture[:, : len(row)] = row[None, :, None]
    return picture


def read_number(picture: Picture) -> int:
    """The index that ``numbered`` painted, also after lossy coding."""
    bar = picture.shape[1] // 10
    bars = picture[:, : bar * 10].mean(axis=(0, 2)).reshape(10, bar)[:, bar // 4 : -bar // 4].mean(axis=1)
    return int(((bars > 128).astype(int) << np.arange(10)).sum())


def dissolve(first: Picture, last: Picture, count: int) -> list[Picture]:
    """``count`` pictures on a straight line from ``first`` to ``last``, both ends left out."""
    weights = (np.arange(count) + 1) / (count + 1)
    return [np.round(first * (1.0 - w) + last * w).astype(np.uint8) for w in weights]


def write_video(
    path: Path,
    pictures: Iterable[Picture],
    rate: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int = 0,
    timecode: str | None = None,
    recorded: str | None = None,
    codec: str = "mpeg4",
    options: dict[str, str] | None = None,
    pixels: str = "yuv420p",
) -> Path:
    """Encode ``pictures`` into ``path``; the container follows from the suffix.

    pts: one for each picture, in ``time_base`` (variable frame rate). rotation: degrees clockwise that a
    player must turn the picture by. timecode: start timecode in the metadata; recorded: date in it.
    """
    rate = Fraction(rate)
    with av.open(str(path), "w", options=options or {}) as container:
        if recorded is not None:
            container.metadata["creation_time"] = recorded
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, VideoStream)
        stream.pix_fmt = pixels
        if codec == "mpeg4":
            stream.codec_context.qmin, stream.codec_context.qmax = 2, 4
            stream.codec_context.max_b_frames = 0
        stream.gop_size = 12
        if time_base is not None:
            stream.codec_context.time_base = time_base
        if timecode is not None:
            stream.metadata["timecode"] = timecode
        for i, picture in enumerate(pictures):
            if i == 0:
                stream.height, stream.width = picture.shape[:2]
                if rotation:
                    stream.set_display_rotation(-rotation)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.time_base = time_base or 1 / rate
            frame.pts = pts[i] if pts is not None else i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_audio(path: Path, cover: Picture | None = None) -> Path:
    """Half a second of silence; with ``cover``, that picture as attached cover art (FLAC only)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac" if path.suffix == ".flac" else "aac", rate=8000, layout="mono")
        picture_stream = None
        if cover is not None:
            picture_stream = container.add_stream("mjpeg", rate=1)
            assert isinstance(picture_stream, VideoStream)
            picture_stream.pix_fmt = "yuvj420p"
            picture_stream.height, picture_stream.width = cover.shape[:2]
            picture_stream.disposition = av.stream.Disposition.attached_pic
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4000), dtype=np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        if picture_stream is not None and cover is not None:
            frame = av.VideoFrame.from_ndarray(cover, format="bgr24")
            container.mux(picture_stream.encode(frame))
            container.mux(picture_stream.encode(None))
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return path


def truncate(path: Path, keep: float) -> Path:
    """Cut the file to the part ``keep`` of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def frame_of(picture: Picture, index: int, pts: int | None = None, duration: int = 1) -> Frame:
    """A Frame without a file, time base 1/25; for the stages that take frames."""
    height, width = picture.shape[:2]
    pts = index if pts is None else pts
    coded = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
    return Frame(index, pts, Fraction(pts, 25), duration, coded, Scaler(0, width, height))


def astronaut() -> Picture:
    """Portrait (512, 512, 3); public domain (NASA)."""
    return portraits()["collins"]


def grace_hopper() -> Picture:
    """Portrait (600, 512, 3); public domain (US Navy)."""
    return portraits()["hopper"]


def moving_face(
    face: Picture, centres: Sequence[tuple[int, int]], side: int = 120, width: int = 320, height: int = 240
) -> list[Picture]:
    """``face``, a head-and-shoulders cut-out, scaled to side x side and pasted with its middle at each of
    ``centres``.
    """
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    pictures = []
    for x, y in centres:
        picture = np.full((height, width, 3), (90, 110, 100), dtype=np.uint8)
        left, top = x - side // 2, y - side // 2
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
        if x0 < x1 and y0 < y1:
            picture[y0:y1, x0:x1] = small[y0 - top : y1 - top, x0 - left : x1 - left]
        pictures.append(picture)
    return pictures


def toy_pack(people: int = 5, photos: int = 4, seed: int = 0) -> FacePack:
    """A face pack of so many people with so many photos each: a pattern of its own for everybody, with noise."""
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(people), photos)
    patterns = rng.integers(0, 200, (people, 5, 5, 3)).repeat(16, axis=1).repeat(16, axis=2)
    pictures = (patterns[identity] + rng.integers(0, 50, (len(identity), 80, 80, 3))).astype(np.uint8)
    n = len(identity)
    sizes, teacher = np.full(n, 64, np.float32), np.full((n, 128), np.nan, np.float32)
    return FacePack(Path("toy.h5"), pictures, identity, tuple(str(i) for i in range(people)), sizes, teacher)


def write_pack(path: Path, people: int, photos: int, seed: int) -> Path:
    """The same as a file, without a teacher."""
    import h5py

    pack = toy_pack(people, photos, seed)
    coded = [cv2.imencode(".jpg", picture)[1].ravel() for picture in pack.pictures]
    with h5py.File(path, "w") as file:
        file["jpeg"] = np.concatenate(coded)
        file["offset"] = np.cumsum([0, *(len(jpeg) for jpeg in coded)])
        file["identity"] = pack.identity.astype(np.int32)
    return path


def with_sound(path: Path, late: float, streams: tuple[int, ...] = (2, 1)) -> None:
    """Three seconds of pictures at 25 a second with PCM sound that begins ``late`` s after them, a stream a count."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mjpeg", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuvj420p"
        sounds = [
            container.add_stream("pcm_s16le", rate=48_000, layout={1: "mono", 2: "stereo"}[count]) for count in streams
        ]
        for number in range(75):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(picture.encode(frame))
        for stream, count in zip(sounds, streams, strict=True):
            samples = round((3 - late) * 48_000)
            block = av.AudioFrame.from_ndarray(
                np.zeros((1, samples * count), np.int16), format="s16", layout={1: "mono", 2: "stereo"}[count]
            )
            block.sample_rate, block.time_base, block.pts = 48_000, Fraction(1, 48_000), round(late * 48_000)
            container.mux(stream.encode(block))
