"""video_files: files of any container, codec and option, made by PyAV for tests of how files are read."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from dhhcli.base.arrays import Picture

CASES = Path(__file__).parents[3] / "shared" / "cases"


def write_stream(
    path: Path,
    pictures: Iterable[Picture],
    *,
    codec: str = "libx264",
    kind: str | None = None,
    rate: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    pixels: str | None = None,
    timecode: str | None = None,
) -> Path:
    """Encode ``pictures`` into ``path``. kind: FFmpeg's name of the container, where the suffix does not say it.

    options: of the codec and of the container. pts: of each picture, in ``time_base``.
    """
    options = dict(options or {})
    own = {name: options.pop(name) for name in list(options) if name in ("movflags", "mpegts_m2ts_mode")}
    with av.open(str(path), "w", format=kind, options=own) as container:
        stream = container.add_stream(codec, rate=Fraction(rate))
        assert isinstance(stream, VideoStream)
        usual = {"prores_ks": "yuv422p10le", "dnxhd": "yuv422p", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        stream.pix_fmt = pixels or usual
        stream.codec_context.options = options
        stream.codec_context.thread_count = 1
        if "g" in options:
            stream.gop_size = int(options.pop("g"))
        if "bf" in options:
            stream.codec_context.max_b_frames = int(options.pop("bf"))
        if codec in ("mpeg4", "mpeg2video", "wmv2", "rv20", "flv"):
            stream.codec_context.qmin, stream.codec_context.qmax = 2, 4
        if timecode is not None:
            stream.metadata["timecode"] = timecode
        if time_base is not None:
            stream.codec_context.time_base = time_base
        for i, picture in enumerate(pictures):
            if i == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.time_base = time_base or 1 / Fraction(rate)
            frame.pts = i if pts is None else pts[i]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
