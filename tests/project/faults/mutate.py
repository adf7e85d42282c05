"""Mutated photos, codes files and videos: an answer or one line, never a traceback, a hang, or more than a gibibyte.

    export PYTHONPATH=.:tests/support:tests/storage
    python tests/project/faults/mutate.py --photos 10000 --codes 10000 --videos 300

Bits flipped, bytes overwritten with numbers that mean something, pieces cut out, doubled, moved, headers of noise; of
codes files every second one holds values that cannot be under hashes that are right. A photo is read as a question
would read it, and one in 20 encoded; a codes file is asked, shown, merged, indexed, named and forgotten from; a video
is encoded. It happens in forked processes of 25 files each, which are ended where one takes too long; their peak of
memory is measured by the kernel.
"""

import argparse
import io
import mmap
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image
from shipped_film import SHIPPED, film
from synthetic import astronaut, moving_face, write_video
from test_hostile_codes import commands, mutated

from dhhcli.encoding.events import Skipped
from dhhcli.encoding.video import Job, encode_file
from dhhcli.errors import DhhError
from dhhcli.media.photo import is_animated, open_photo
from dhhcli.media.timing.capture_time import photo_recorded
from dhhcli.models.network import load_network
from dhhcli.storage.codes_file import commit, compact

cv2.setNumThreads(1)  # a fork does not get on with more
BATCH = 25
LONGEST = 60.0  # seconds of one file
MEMORY = 1 << 30  # bytes
NUMBERS = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\0\x01",
    b"\xff\xfe",
    b"\0\0\xff\xff",
)
VIDEOS = (("mp4", "libx264"), ("mkv", "libx264"), ("ts", "mpeg2video"), ("avi", "mpeg4"), ("mov", "mpeg4"),
          ("mxf", "mpeg2video"), ("webm", "libvpx-vp9"), ("mp4", "libx265"))  # fmt: skip


def mutation(data: bytes, draw: random.Random) -> bytes:
    """Something else of it."""
    values = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 5])):
        if not values:
            break
        at = min(draw.randrange(len(values)), draw.choice([len(values), 600, 60]) - 1)
        match draw.randrange(7):
            case 0:
                for _ in range(draw.choice([1, 3, 40])):
                    values[draw.randrange(len(values))] ^= 1 << draw.randrange(8)
            case 1:
                number = draw.choice(NUMBERS)
                values[at : at + len(number)] = number
            case 2:
                del values[at:]
            case 3:
                del values[at : at + draw.choice([1, 2, 7, 100])]
            case 4:
                values[at:at] = values[at : at + draw.choice([4, 50, 3000])]
            case 5:
                length = draw.choice([8, 60, 600])
                values[at : at + length] = draw.randbytes(length)
            case _:
                other = draw.randrange(len(values))
                values[at : at + 16] = values[other : other + 16]
    return bytes(values)


def photos() -> list[tuple[str, bytes]]:
    """A small picture in every format that this Pillow writes, some with EXIF, turned, with a profile."""
    picture = Image.fromarray(np.ascontiguousarray(cv2.resize(astronaut(), (96, 96))[..., ::-1]))
    exif = Image.Exif()
    exif[274], exif[306], exif[0x9003] = 6, "2024:05:31 18:00:00", "2024:05:31 18:00:00"
    made = []
    for kind, suffix, more in (
        ("JPEG", "jpg", {"exif": exif}), ("JPEG", "jpg", {"progressive": True}), ("PNG", "png", {"exif": exif}),
        ("WEBP", "webp", {"exif": exif}), ("TIFF", "tif", {"compression": "tiff_lzw"}), ("TIFF", "tif", {}),
        ("GIF", "gif", {}), ("BMP", "bmp", {}), ("AVIF", "avif", {}), ("JPEG2000", "jp2", {}), ("PPM", "ppm", {}),
    ):  # fmt: skip
        stream = io.BytesIO()
        try:
            picture.save(stream, kind, **more)
        except (OSError, KeyError, ValueError):  # not in this Pillow
            continue
        made.append((suffix, stream.getvalue()))
    grey = io.BytesIO()
    picture.convert("CMYK").save(grey, "JPEG")
    return [*made, ("jpg", grey.getvalue())]


def codes(folder: Path) -> list[tuple[str, bytes]]:
    """Codes files of two films and of one."""
    made = []
    for count in (2, 1):
        path = folder / f"whole{count}.h5"
        for name in "ab"[:count]:
            commit(path, SHIPPED, film(np.random.default_rng(count), name, shots=3, tracks=4))
        compact(path, SHIPPED)
        made.append(("h5", path.read_bytes()))
    return made


def videos(folder: Path, count: int) -> list[tuple[str, bytes]]:
    """Half a second with a face in every format that this FFmpeg writes, at most ``count`` of them."""
    head = astronaut()[20:240, 115:335]
    pictures = moving_face(head, [(100 + 2 * i, 110) for i in range(12)])
    made = []
    for number, (suffix, codec) in enumerate(VIDEOS[:count]):
        try:
            av.Codec(codec, "w")
        except av.codec.codec.UnknownCodecError:
            continue
        path = write_video(folder / f"whole{number}.{suffix}", pictures, codec=codec)
        made.append((suffix, path.read_bytes()))
    return made


@dataclass(frozen=True)
class Kind:
    """What is mutated: the whole ones, and what is done with one; number and path -> words if it could not be read."""

    whole: list[tuple[str, bytes]]
    use: Callable[[int, Path], str]
    batch: int = BATCH  # in a process


def read_photo(number: int, path: Path) -> str:
    """As a question reads it."""
    try:
        photo_recorded(path)
        if not is_animated(path):
            open_photo(path)
    except DhhError as error:
        return one_line(error)
    if number % 20:
        return ""
    return encode(number, path)


def encode(_number: int, path: Path) -> str:
    """The whole chain."""
    result = encode_file(Job(path, "ab" * 32), load_network(None))
    return result.reason if isinstance(result, Skipped) else ""


def use_codes(number: int, path: Path, turns: int) -> str:
    """What reads a codes file, in turns; every second one is rightly hashed."""
    if number % 2:
        path.unlink()
        mutated(number, path)
    said, every = "", list(commands(path, path.parent).items())
    for name, command in (every[(number // 2 + turn) % len(every)] for turn in range(turns)):
        try:
            command()
        except DhhError as error:
            said = one_line(error)
        except Exception as error:
            raise RuntimeError(f"{name}: {error}") from error
    return said


def one_line(error: Exception) -> str:
    if "\n" in str(error):
        raise AssertionError(f"more than a line: {error}")
    return str(error)


def batch(kind: Kind, numbers: range, seed: int, folder: Path, now: mmap.mmap, out: Path) -> None:
    """Files one after the other, in this process; lines about them."""
    resource.setrlimit(resource.RLIMIT_DATA, (2 * MEMORY, 2 * MEMORY))
    with out.open("w", buffering=1) as lines:
        for number in numbers:
            draw = random.Random(f"{seed} {number}")
            suffix, data = kind.whole[number % len(kind.whole)]
            path = folder / f"{number}.{suffix}"
            path.write_bytes(mutation(data, draw))
            now[:8] = number.to_bytes(8, "little")
            try:
                said = kind.use(number, path)
                lines.write(f"{number}\t{'refused' if said else 'read'}\t{said!r}\n")
            except BaseException as error:  # noqa: BLE001
                where = traceback.extract_tb(error.__traceback__)[-1]
                lines.write(
                    f"{number}\ttraceback\t{type(error).__name__}: {error!r} at {where.filename}:{where.lineno}\n"
                )
            for left in folder.iterdir():
                if left.is_file():
                    left.unlink()


def run(
    name: str, kind: Kind, count: int, seed: int, first: int, seconds: float
) -> tuple[Counter[str], list[str], int]:
    """How they ended, what was wrong, and the largest peak of memory in bytes."""
    ends: Counter[str] = Counter()
    wrong: list[str] = []
    peak, at, begun = 0, first, time.monotonic()
    now = mmap.mmap(-1, 8)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as top:
        while at < first + count and time.monotonic() - begun < seconds:
            folder, out = Path(top) / "files", Path(top) / "lines"
            folder.mkdir(exist_ok=True)
            numbers = range(at, min(at + kind.batch, first + count))
            now[:8] = at.to_bytes(8, "little")
            child = os.fork()
            if not child:
                try:
                    sink = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(sink, 2)
                    batch(kind, numbers, seed, folder, now, out)
                finally:
                    os._exit(0)
            status, used = _waited(child, now)
            if used > peak:
                peak = used
                print(f"{name} {at} to {numbers[-1]}: {used >> 20} MiB", file=sys.stderr, flush=True)  # noqa: T201
            if used > MEMORY:
                wrong.append(f"{name} {at} to {numbers[-1]}: {used:,} bytes of memory")
            done = [line.split("\t", 2) for line in out.read_text().splitlines()] if out.exists() else []
            ends.update(end for _, end, _ in done)
            ends["caught"] += sum("cannot be read (" in words for _, _, words in done)
            wrong += [f"{name} {number}: {words}" for number, end, words in done if end == "traceback"]
            at = numbers[-1] + 1
            if status:
                last = int.from_bytes(now[:8], "little")
                how = "took too long" if status == signal.SIGKILL else f"ended its process ({status})"
                ends[how] += 1
                wrong.append(f"{name} {last}: {how}")
                at = last + 1
    return ends, wrong, peak


def _waited(child: int, now: mmap.mmap) -> tuple[int, int]:
    """How a process ended, 0 for well, and its peak of memory; it has LONGEST seconds a file."""
    last, since = now[:8], time.monotonic()
    while True:
        found, status, used = os.wait4(child, os.WNOHANG)
        if found:
            return status, used.ru_maxrss * 1024
        if now[:8] != last:
            last, since = now[:8], time.monotonic()
        if time.monotonic() - since > LONGEST:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("photos", "codes", "videos"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--turns", type=int, default=4, help="so many of eleven uses of each codes file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--seconds", type=float, default=1e9, help="of each kind; no more are begun then")
    options = parser.parse_args()
    os.fsync = lambda _: None  # type: ignore[assignment]
    wrongs: list[str] = []
    print("| what | files | read | refused in one line | of these by the last net | wrong | peak of memory | seconds |")  # noqa: T201
    print("|---|--:|--:|--:|--:|--:|--:|--:|")  # noqa: T201
    with tempfile.TemporaryDirectory() as top:
        makers: dict[str, tuple[Callable[[], Any], Callable[[int, Path], str]]] = {
            "photos": (photos, read_photo),
            "codes": (lambda: codes(Path(top)), partial(use_codes, turns=options.turns)),
            "videos": (lambda: videos(Path(top), options.videos), encode),
        }
        for name, (make, use) in makers.items():
            count = getattr(options, name)
            if not count:
                continue
            begun = time.monotonic()
            ends, wrong, peak = run(
                name,
                Kind(make(), use, 1 if name == "videos" else BATCH),
                count,
                options.seed,
                options.first,
                options.seconds,
            )
            wrongs += wrong
            total = sum(ends[end] for end in ends if end != "caught")
            figures = f"{ends['read']} | {ends['refused']} | {ends['caught']} | {len(wrong)} | {peak >> 20} MiB"
            print(f"| {name} | {total} | {figures} | {time.monotonic() - begun:.0f} |", flush=True)  # noqa: T201
    print(*(f"- {words}" for words in wrongs[:200]), sep="\n")  # noqa: T201
    return 1 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
