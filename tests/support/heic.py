"""heic: a HEIC file with one picture, put together from a frame of HEVC; nothing that writes HEIC is needed."""

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
from video_files import write_stream


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def units(stream: bytes) -> list[bytes]:
    """The NAL units of a stream of HEVC with start codes."""
    return [unit.rstrip(b"\0") for unit in stream.split(b"\0\0\1")[1:]]


def configuration(sets: list[bytes]) -> bytes:
    """hvcC of VPS, SPS and PPS: profile and level as the VPS says."""
    vps = sets[0].replace(b"\0\0\3", b"\0\0")
    arrays = [struct.pack(">BHH", 0x80 | unit[0] >> 1 & 63, 1, len(unit)) + unit for unit in sets]
    return box(b"hvcC", b"\1", vps[6:18], b"\xf0\0\xfc\xfd\xf8\xf8\0\0\x0f", bytes([len(arrays)]), *arrays)


def write_heic(path: Path, picture: npt.NDArray[np.uint8], quarters: int = 0) -> Path:
    """Picture (h, w, 3) uint8 BGR, sides even. quarters: turns counterclockwise that a viewer has to make."""
    raw = path.with_suffix(".raw")
    write_stream(raw, [picture], codec="libx265", kind="hevc", options={"x265-params": "log-level=none:info=0"})
    found = units(raw.read_bytes())
    raw.unlink()
    config = configuration([next(unit for unit in found if unit[0] >> 1 & 63 == kind) for kind in (32, 33, 34)])
    coded = b"".join(struct.pack(">I", len(unit)) + unit for unit in found if unit[0] >> 1 & 63 < 32)
    height, width = picture.shape[:2]

    def meta(offset: int) -> bytes:
        properties = [config, full(b"ispe", struct.pack(">II", width, height)), box(b"irot", bytes([quarters]))]
        uses = bytes([0x81, 0x02, 0x83])
        return full(
            b"meta",
            full(b"hdlr", bytes(4), b"pict", bytes(13)),
            full(b"pitm", struct.pack(">H", 1)),
            full(b"iinf", struct.pack(">H", 1), full(b"infe", struct.pack(">HH", 1, 0), b"hvc1", b"\0", version=2)),
            box(b"iprp", box(b"ipco", *properties), full(b"ipma", struct.pack(">IHB", 1, 1, len(uses)), uses)),
            full(b"iloc", b"\x44\x00", struct.pack(">HHHHII", 1, 1, 0, 1, offset, len(coded))),
        )

    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    offset = len(head) + len(meta(0)) + 8
    path.write_bytes(head + meta(offset) + box(b"mdat", coded))
    return path
