"""Files of random rate, start, container, GOP, B-frames, edit list, rotation, mirror and change of size.

What each frame shows is painted into it; its time is asked of FFmpeg's own ffprobe where that is installed, else of a
decoder that knows nothing of dhh. DHH_FILES=500 tries that many files instead of a few.
"""

import json
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from synthetic import numbered
from video_files import write_stream

from dhhcli.base.arrays import Picture
from dhhcli.media.video import open_video

FILES = int(os.environ.get("DHH_FILES", "16"))
RATES = [Fraction(n) for n in (2, 5, 12, 24, 25, 30, 50, 60)] + [Fraction(n * 1000, 1001) for n in (24, 30, 60, 120)]
CONTAINERS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm", "ts": "mpegts", "flv": "flv", "avi": "avi"}
TURNS = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0)]


@dataclass(frozen=True)
class Plan:
    """A random file. turn: (a, b, c, d) of its display matrix. sizes: of its pictures, one after the other."""

    seed: int
    suffix: str
    codec: str
    rate: Fraction
    start: int  # frames
    frames: int
    gop: int
    b_frames: int
    fragments: bool
    turn: tuple[int, int, int, int]
    sizes: tuple[tuple[int, int], ...]


def plan(seed: int) -> Plan:
    rng = np.random.default_rng(seed)
    suffix = str(rng.choice(list(CONTAINERS)))
    quick = suffix in ("mp4", "mov")
    codec = "libvpx" if suffix == "webm" else str(rng.choice(["libx264", "libx264", "mpeg4"]))
    turn = TURNS[rng.integers(len(TURNS))] if quick else TURNS[0]
    rate = RATES[rng.integers(len(RATES))]
    if codec == "mpeg4" and rate.numerator > 65_535:
        rate = Fraction(60)  # MPEG-4 counts in 16 bits
    changes = suffix == "ts" and codec == "libx264" and rng.random() < 0.6
    return Plan(
        seed,
        suffix,
        "flv" if suffix == "flv" and codec == "mpeg4" else codec,
        rate,
        int(rng.integers(0, 90)) if suffix in ("mkv", "ts", "mp4") else 0,
        int(rng.integers(20, 60)),
        int(rng.integers(1, 40)),
        0 if suffix in ("webm", "avi", "flv") or codec == "mpeg4" or changes else int(rng.integers(0, 4)),
        quick and rng.random() < 0.4,
        turn,
        ((160, 96), (320, 192)) if changes else ((160, 96),),
    )


def make(folder: Path, wanted: Plan) -> tuple[Path, list[Picture]]:
    """The file, and the pictures that are to be seen in it, upright."""
    base = Fraction(1, 90_000)
    shown: list[Picture] = []
    parts = []
    for number, (width, height) in enumerate(wanted.sizes):
        first = number * wanted.frames
        pictures = [numbered(first + i, width, height) for i in range(wanted.frames)]
        pts = [round((wanted.start + first + i) / wanted.rate / base) for i in range(wanted.frames)]
        options = {"g": str(wanted.gop), "bf": str(wanted.b_frames)}
        if wanted.codec == "libvpx":
            options = {"g": str(wanted.gop), "deadline": "realtime", "cpu-used": "8"}
        if wanted.fragments:
            options["movflags"] = "frag_keyframe+empty_moov"
        parts.append(
            write_stream(
                folder / f"{wanted.seed}.{number}.{wanted.suffix}",
                pictures,
                codec=wanted.codec,
                kind=CONTAINERS[wanted.suffix],
                rate=wanted.rate,
                # AVI and MPEG-4 count frames, not time
                pts=None if wanted.codec == "mpeg4" or wanted.suffix == "avi" else pts,
                time_base=None if wanted.codec == "mpeg4" or wanted.suffix == "avi" else base,
                options=options,
            )
        )
        shown += pictures
    path = folder / f"{wanted.seed}.{wanted.suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    a, b, c, d = wanted.turn
    if wanted.turn != TURNS[0]:
        data = bytearray(path.read_bytes())
        at = data.index(b"tkhd") + 44
        data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
        path.write_bytes(data)
    return path, [turned(picture, wanted.turn) for picture in shown]


def turned(picture: Picture, turn: tuple[int, int, int, int]) -> Picture:
    """x' = a x + c y, y' = b x + d y, pixel by pixel: nothing of how dhh turns pictures."""
    a, b, c, d = turn
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    there_x, there_y = a * x + c * y, b * x + d * y
    there_x, there_y = there_x - there_x.min(), there_y - there_y.min()
    result = np.empty((there_y.max() + 1, there_x.max() + 1, 3), np.uint8)
    result[there_y, there_x] = picture
    return result


def times_of(path: Path) -> list[float]:
    """When FFmpeg shows each frame, seconds."""
    if shutil.which("ffprobe"):
        words = [
            "ffprobe",
            "-v",
            "quiet",
            "-select_streams",
            "v:0",
            "-show_entries",
            "frame=best_effort_timestamp_time",
        ]
        found = json.loads(subprocess.run([*words, "-of", "json", str(path)], capture_output=True, check=True).stdout)
        return [float(frame["best_effort_timestamp_time"]) for frame in found["frames"]]
    with av.open(str(path)) as container:
        return [float(frame.time or 0) for frame in container.decode(video=0)]


@pytest.mark.parametrize("seed", range(FILES))
def test_any_file_is_read_as_ffmpeg_reads_it(tmp_path: Path, seed: int) -> None:
    wanted = plan(seed)
    path, expected = make(tmp_path, wanted)
    with open_video(path) as video:
        seen = [(frame.time, frame.bgr()) for frame in video.frames()]
        assert video.warnings == (), wanted
    assert len(seen) == len(expected), wanted
    for number, ((_, picture), right) in enumerate(zip(seen, expected, strict=True)):
        assert picture.shape == right.shape, (wanted, number)
        assert np.abs(picture.astype(int) - right).mean() < 25, (wanted, number)
    steps = [float(time - seen[0][0]) for time, _ in seen]
    theirs = times_of(path)
    assert np.abs(np.array(steps) - (np.array(theirs) - theirs[0])).max() < 0.0015, wanted
    rng = np.random.default_rng(seed)
    for number in rng.integers(0, len(seen), 3).tolist():
        with open_video(path) as video:
            frame = video.at(seen[number][0])
            assert frame is not None, (wanted, number)
            assert frame.time == seen[number][0], (wanted, number)
            small = cv2.absdiff(frame.bgr(), seen[number][1])
            assert small.mean() < 3, (wanted, number)
