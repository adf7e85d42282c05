"""300 damaged video files through the command line: no crash, no hang, no traceback, every one in the summary.

Bit flips, cuts at random places and headers of noise, over containers and codecs; each batch runs under a time limit
and with two workers, so that a decoder that dies or hangs is seen.
"""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from synthetic import astronaut, moving_face, write_video

FILES = 300
LIMIT = 1200  # seconds for all of them
ROOT = Path(__file__).parents[2]
KINDS = (
    ("mp4", "libx264"),
    ("mkv", "libx264"),
    ("ts", "mpeg2video"),
    ("avi", "mpeg4"),
    ("mov", "mpeg4"),
    ("mxf", "mpeg2video"),
    ("webm", "libvpx-vp9"),
    ("mp4", "libx265"),
)


def damaged(data: bytes, how: int, rng: np.random.Generator) -> bytes:
    """Bit flips (few or many), a cut, a header of noise."""
    values = np.frombuffer(data, np.uint8).copy()
    if how < 2:
        places = rng.integers(0, len(values), (3, 300)[how])
        values[places] ^= np.uint8(1) << rng.integers(0, 8, len(places), dtype=np.uint8)
    elif how == 2:
        values = values[: rng.integers(0, len(values))]
    else:
        length = int(rng.integers(8, 600))
        values[:length] = rng.integers(0, 256, length)
    return values.tobytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two seconds with a face in every format that this FFmpeg writes."""
    folder = tmp_path_factory.mktemp("whole")
    head = astronaut()[20:240, 115:335]
    pictures = moving_face(head, [(100 + 2 * i, 110) for i in range(50)])
    paths = []
    for number, (suffix, codec) in enumerate(KINDS):
        try:
            av.Codec(codec, "w")
        except av.codec.codec.UnknownCodecError:
            continue
        paths.append(write_video(folder / f"{number}.{suffix}", pictures, codec=codec))
    return paths


def test_damaged_files_stop_nothing(whole: list[Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "damaged"
    folder.mkdir()
    for number in range(FILES):
        source = whole[number % len(whole)]
        path = folder / f"{number:03}-{number // len(whole) % 4}{source.suffix}"
        path.write_bytes(damaged(source.read_bytes(), number // len(whole) % 4, rng))
    code = "from dhhcli.cli.app import main; main()"
    codes = tmp_path / "codes.h5"
    command = [sys.executable, "-c", code, "encode", str(folder), "--out", str(codes), "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, cwd=ROOT)
    assert done.returncode == 4, done.stderr[-3000:]
    assert "Traceback" not in done.stderr, done.stderr[done.stderr.index("Traceback") :][:3000]
    lines = done.stderr.splitlines()
    (summary,) = (line for line in lines if line.startswith(f"{FILES} videos: "))
    print(f"\n{summary}")  # noqa: T201
    counted = [int(part.split()[0]) for part in summary.split(": ")[1].split(";")[0].split(", ")]
    assert sum(counted) == FILES
    assert counted[0] > FILES / 4  # much of them can be saved
    for path in folder.iterdir():
        assert any(f"] {path}: " in line for line in lines), path
    crashed = [line for line in lines if "the process that encoded it ended" in line and line.startswith("skipped")]
    print(f"decoders that died: {len(crashed)}", *crashed, sep="\n")  # noqa: T201
    assert not crashed
