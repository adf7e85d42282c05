"""Films to measure with, made once out of the optional clips of ../shared and kept in the machine's folder for
temporary files.

The clips are 640 x 480 and soft; enlarged as they are, they would decode faster than any film does. So each picture
gets grain after it was enlarged, and the encoder a bit rate that films of that size have.
"""

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from dhhcli.base.arrays import Picture

CLIPS = Path(__file__).parents[3] / "shared" / "data" / "film" / "clips"
CACHE = Path(tempfile.gettempdir()) / "dhh-bench"
RATE = 25
GRAIN = 3.0  # standard deviation, levels
MEGABITS = {180: 0.4, 720: 5, 1080: 10, 2160: 40}  # a second, by height


def clip_pictures(seconds: float) -> Iterator[Picture]:
    """The clips one after another, (360, 640, 3) BGR: what a 16:9 picture keeps of them."""
    left = round(seconds * RATE)
    for path in sorted(CLIPS.glob("*.mp4"), reverse=True):  # the nearly black one last
        with av.open(str(path)) as clip:
            for frame in clip.decode(video=0):
                if left == 0:
                    return
                left -= 1
                yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)[40:400]


def set_back(picture: Picture, part: float) -> Picture:
    """The picture at that part of its size before a blurred copy of itself: people who stand further away."""
    height, width = picture.shape[:2]
    whole = cv2.GaussianBlur(picture, (0, 0), width / 20)
    small = cv2.resize(picture, None, fx=part, fy=part, interpolation=cv2.INTER_AREA)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    whole[top : top + small.shape[0], left : left + small.shape[1]] = small
    return np.asarray(whole, np.uint8)


def film(width: int, height: int, seconds: float, part: float = 1) -> Path:
    """The clips as one H.264 film of that size at 25 frames a second; made when it is not there yet."""
    path = CACHE / f"film-{height}-{seconds:g}{'' if part == 1 else f'-part-{part:g}'}.mp4"
    if path.exists():
        return path
    CACHE.mkdir(exist_ok=True)
    unfinished = path.with_suffix(".part.mp4")
    rng = np.random.default_rng(0)
    noise = rng.normal(scale=GRAIN, size=(height + 64, width + 64, 1)).astype(np.float32)
    with av.open(str(unfinished), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"preset": "fast"})
        assert isinstance(stream, VideoStream)
        stream.bit_rate = round(MEGABITS[height] * 1e6)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, picture in enumerate(clip_pictures(seconds)):
            large = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
            if part != 1:
                large = set_back(np.asarray(large, np.uint8), part)
            y, x = rng.integers(0, 64, 2)
            large = cv2.add(large, np.repeat(noise[y : y + height, x : x + width], 3, 2), dtype=cv2.CV_8U)
            frame = av.VideoFrame.from_ndarray(large, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    unfinished.rename(path)
    return path


def looped(source: Path, seconds: float) -> Path:
    """The packets of ``source`` again and again until ``seconds`` are full: a long film in a moment."""
    path = CACHE / f"{source.stem}-looped-{seconds:g}.mkv"
    if path.exists():
        return path
    part = path.with_suffix(".part.mkv")
    with av.open(str(part), "w") as out:
        stream = None
        for turn in count():
            with av.open(str(source)) as clip:
                template = clip.streams.video[0]
                assert template.time_base is not None
                assert template.duration is not None
                if stream is None:
                    stream = out.add_stream_from_template(template)
                if turn * template.duration * template.time_base >= seconds:
                    break
                for packet in clip.demux(template):
                    if packet.pts is None or packet.dts is None:
                        continue
                    packet.pts += turn * template.duration
                    packet.dts += turn * template.duration
                    packet.stream = stream
                    out.mux(packet)
    part.rename(path)
    return path
