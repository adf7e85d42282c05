"""What encoding costs beside decoding, what memory it takes, and which faces the looks miss (`make bench`).

Speed is a ratio taken in one run, in turns, of the whole chain and of decoding alone, both with all cores. Films are
made of the optional clips in ../shared (films.py) and kept for the next run; so is what the dense detection found.
"""

import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import av
import films
import numpy as np
import numpy.typing as npt
import pytest

from dhhcli.encoding.video import encode_video
from dhhcli.faces.detector import SURE, Face, FaceDetector
from dhhcli.faces.scan import shot_tracks
from dhhcli.faces.tracker import FaceTrack, FaceTracker, Observation
from dhhcli.media.shots import Shot, ShotDetector
from dhhcli.media.video import open_video
from dhhcli.models.network import Network, load_network

pytestmark = pytest.mark.skipif(not films.CLIPS.is_dir(), reason="needs the clips of the optional folder ../shared")

RATIO = 1.35
GIB = 1 << 30
ROUNDS = 3
SIZES = {"720p": (1280, 720, 110), "1080p": (1920, 1080, 40), "2160p": (3840, 2160, 8)}


@pytest.fixture(scope="module")
def network() -> Network:
    network = load_network(film=True)
    network.film_extract(np.zeros((16, 64, 64, 3), np.uint8))  # the first call is not like the others
    network.film_detector.detect(np.zeros((360, 640, 3), np.uint8))
    return network


def decode(path: Path) -> int:
    """All frames, by FFmpeg as it is: its own settings, threads on all cores."""
    with av.open(str(path)) as film:
        film.streams.video[0].thread_type = "AUTO"
        return sum(1 for _ in film.decode(video=0))


@pytest.mark.parametrize("size", SIZES)
def test_encoding_beside_decoding_alone(benchmark: Any, network: Network, size: str) -> None:
    """At most 1.35 times the wall clock; processor time beside it, which other programs disturb less."""
    path = films.film(*SIZES[size])
    walls, cpus = [], []
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        frames = decode(path)
        middle, cpu_middle = time.perf_counter(), time.process_time()
        encoded = encode_video(path, network)
        walls.append((middle - wall, time.perf_counter() - middle))
        cpus.append((cpu_middle - cpu, time.process_time() - cpu_middle))
    assert encoded.video.frames == frames
    (decoding, encoding), (cpu_decoding, cpu_encoding) = np.median(walls, axis=0), np.median(cpus, axis=0)
    ratio = float(np.median([b / a for a, b in walls]))
    film = frames / films.RATE
    benchmark.extra_info |= {"ratio": ratio, "cpu_ratio": cpu_encoding / cpu_decoding, "real_time": film / encoding}
    benchmark.pedantic(decode, args=(path,), rounds=1)
    print(  # noqa: T201
        f"\n{size} {path.stat().st_size * 8 / film / 1e6:.1f} Mbit/s: decoding {film / decoding:.1f}x real time, "
        f"encoding {film / encoding:.1f}x: {ratio:.2f} of decoding's wall clock, "
        f"{cpu_encoding / cpu_decoding:.2f} of its processor time; {len(encoded.tracks)} tracks, "
        f"{int(encoded.tracks['frames_used'].sum())} crops"
    )
    assert ratio <= RATIO


def peak(path: Path) -> int:
    """Bytes of memory that a process needs at most to encode a film."""
    code = (
        "import resource, sys; from pathlib import Path; from dhhcli.encoding.video import encode_video\n"
        "from dhhcli.models.network import load_network; encode_video(Path(sys.argv[1]), load_network(film=True))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024


def test_an_hour_takes_no_more_memory_than_three_minutes(benchmark: Any) -> None:
    """Within 10 %, and under 1.2 GiB."""
    short = films.film(320, 180, 110)
    minutes, hour = (peak(films.looped(short, seconds)) for seconds in (180, 3600))
    benchmark.extra_info |= {"three_minutes": minutes, "hour": hour}
    benchmark.pedantic(decode, args=(short,), rounds=1)
    print(f"\npeak: three minutes {minutes / GIB:.3f} GiB, an hour {hour / GIB:.3f}")  # noqa: T201
    assert hour <= 1.1 * minutes
    assert hour <= 1.2 * GIB


def test_memory_of_the_largest_pictures(benchmark: Any) -> None:
    path = films.film(*SIZES["2160p"])
    found = peak(path)
    benchmark.extra_info["peak"] = found
    benchmark.pedantic(decode, args=(path,), rounds=1)
    print(f"\npeak at 2160p: {found / GIB:.3f} GiB")  # noqa: T201
    assert found <= 1.2 * GIB


def dense_faces(path: Path) -> dict[int, list[Face]]:
    """Faces of every frame at full resolution in float32, by frame; kept beside the film."""
    kept = path.with_suffix(".dense.npy")
    if not kept.exists():
        rows = []
        with open_video(path) as video:
            detector = FaceDetector(width=max(video.info.width, video.info.height))
            for frame in video.frames():
                faces = detector.detect(frame.bgr())
                rows += [[frame.index, *face.box, face.score, *face.landmarks.ravel()] for face in faces]
        np.save(kept, np.array(rows, np.float64).reshape(-1, 16))
    found = defaultdict(list)
    for row in np.load(kept):
        box, landmarks = row[1:5].astype(np.float32), row[6:].astype(np.float32).reshape(5, 2)
        found[int(row[0])].append(Face(box, landmarks, float(row[5])))
    return found


def dense_tracks(path: Path, found: dict[int, list[Face]]) -> list[tuple[Shot, FaceTrack]]:
    """Tracks over every frame that last for half a second or more, most of it seen."""
    with open_video(path) as video:
        detector = ShotDetector(video.info.frame_rate)
        shots = [shot for frame in video.frames() for shot in detector.push(frame)] + detector.finish()
    crop = np.zeros((1, 1, 3), np.uint8)
    tracks = []
    for shot in shots:
        tracker = FaceTracker(max_observations=1_000_000, patience=films.RATE // 2)
        for frame in range(shot.start_frame, shot.end_frame):
            tracker.step([Observation(frame, frame, face, crop, 100.0, None) for face in found.get(frame, [])])
        tracks += [(shot, track) for track in tracker.finish()]
    half = films.RATE / 2
    return [(s, t) for s, t in tracks if t.last_frame - t.first_frame + 1 >= half and t.detections >= half / 2]


def iou(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def is_kept(dense: FaceTrack, tracks: list[FaceTrack]) -> bool:
    """Whether some track of the same shot has, at some look, the face that the dense track has within 3 frames."""
    return any(
        abs(seen.frame - there.frame) <= 3 and iou(seen.face.box, there.face.box) >= 0.4
        for track in tracks
        for seen in track.observations
        for there in dense.observations
    )


@pytest.mark.parametrize("part", [1, 0.4, 0.2])
def test_recall_of_dense_tracks(benchmark: Any, network: Network, part: float) -> None:
    """At least 0.97 of the tracks of faces of 40 pixels and more; sure: with a score of 0.6 at least once."""
    path = films.film(1280, 720, 110, part)
    dense = dense_tracks(path, dense_faces(path))
    with open_video(path) as video:
        fast = dict(shot_tracks(video, network.film_detector))
    rows = []
    for shot, track in dense:
        size = float(np.median([seen.face.size for seen in track.observations]))
        sure = max(seen.face.score for seen in track.observations) >= SURE
        rows.append((size, sure, is_kept(track, fast[shot])))
    sizes, sures, keeps = (np.array(column) for column in zip(*rows, strict=True))
    lines = []
    for low, high in ((0, 20), (20, 40), (40, 80), (80, 160), (160, 10_000), (40, 10_000)):
        here = (sizes >= low) & (sizes < high)
        if here.any():
            words = f"{keeps[here].mean():.3f} of {here.sum()}"
            if (here & sures).any():
                words += f", sure ones {keeps[here & sures].mean():.3f} of {(here & sures).sum()}"
            lines.append(f"{low} to {high} px: {words}")
    recall = float(keeps[(sizes >= 40) & sures].mean())
    benchmark.extra_info |= {"recall": recall, "tracks": len(dense)}
    benchmark.pedantic(decode, args=(path,), rounds=1)
    print(f"\nfilm at {part:g} of its size: " + "; ".join(lines))  # noqa: T201
    assert recall >= 0.97
