"""Random encoded videos for the tests of storage and search."""

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np

from dhhcli.media.sample import Sample
from dhhcli.models.binary_codes import code_bytes, pack
from dhhcli.storage.codes_file import (
    SHOT_DTYPE,
    TRACK_DTYPE,
    EncodedVideo,
    ModelTag,
    Shard,
    VideoRecord,
    commit,
    compact,
    open_shard,
)

TAG = ModelTag(bits=48, fingerprint="ab" * 32)
FRAMES = ModelTag(bits=48, fingerprint="ab" * 32, frame_codes=True)


def random_codes(rng: np.random.Generator, n: int, bits: int, varying: int | None = None) -> np.ndarray:
    """Codes (n, B); with `varying`, only that many bits vary, so that distances tie often."""
    drawn = rng.random((n, bits)) < 0.5
    drawn[:, varying or bits :] = False
    return pack(drawn)


def encoded_video(
    rng: np.random.Generator,
    path: str | Path,
    *,
    shots: int = 3,
    tracks: int = 5,
    bits: int = TAG.bits,
    varying: int | None = None,
    fingerprint: str = "cd" * 32,
    frames: bool = False,
) -> EncodedVideo:
    shot_rows = np.zeros(shots, SHOT_DTYPE)
    shot_rows["number"] = np.arange(1, shots + 1)
    shot_rows["start_frame"] = 100 * np.arange(shots)
    shot_rows["end_frame"] = 100 * np.arange(shots) + 100
    track_rows = np.frombuffer(rng.bytes(tracks * TRACK_DTYPE.itemsize), TRACK_DTYPE).copy()
    for name in ("box", "score", "face_px", "sharpness"):
        track_rows[name] = rng.random(track_rows[name].shape)  # no NaN, which equals nothing
    track_rows["video"] = 0
    track_rows["shot"] = rng.integers(0, max(shots, 1), tracks)
    frame_codes = None
    if frames:
        track_rows["frames_used"] = rng.integers(1, 6, tracks)
        frame_codes = tuple(random_codes(rng, m, bits, varying) for m in track_rows["frames_used"].tolist())
    return EncodedVideo(
        video=VideoRecord(
            path=Path(path),
            fingerprint=fingerprint,
            size=2**40 + 1,
            mtime_ns=1_700_000_000_123_456_789,
            width=1920,
            height=1080,
            frames=100 * shots,
            frame_rate=Fraction(30000, 1001),
            time_base=Fraction(1, 90000),
            start_pts=int(rng.integers(-1000, 1000)),
            duration=None,
            start_timecode="01:00:00;02",
            drop_frame=True,
            warnings=("stopped at 00:00:12.3: größer",),
        ),
        shots=shot_rows,
        tracks=track_rows,
        codes=random_codes(rng, tracks, bits, varying),
        thumbnails=tuple(rng.bytes(int(length)) for length in rng.integers(0, 40, tracks)),
        frame_codes=frame_codes,
    )


def assert_same_video(a: EncodedVideo, b: EncodedVideo) -> None:
    assert a.video == b.video
    assert a.shots.tobytes() == b.shots.tobytes()
    assert a.tracks.tobytes() == b.tracks.tobytes()
    assert a.codes.shape == b.codes.shape == (len(a.tracks), code_bytes(TAG.bits))
    assert a.codes.tobytes() == b.codes.tobytes()
    assert a.thumbnails == b.thumbnails
    assert (a.frame_codes is None) == (b.frame_codes is None)
    for one, other in zip(a.frame_codes or (), b.frame_codes or (), strict=True):
        assert (one.shape, one.tobytes()) == (other.shape, other.tobytes())


def assert_same_shard(a: Shard, b: Shard) -> None:
    """Everything that can be asked of both is the same, row for row."""
    assert (a.tag, a.content, len(a), a.videos) == (b.tag, b.content, len(b), b.videos)
    assert a.codes.tobytes() == b.codes.tobytes()
    tracks = np.arange(len(a))
    assert a.track_rows(tracks).tobytes() == b.track_rows(tracks).tobytes()
    shots = np.unique(a.track_rows(tracks)["shot"])
    assert a.shots_rows(shots).tobytes() == b.shots_rows(shots).tobytes()
    assert [a.thumbnail(track) for track in range(len(a))] == [b.thumbnail(track) for track in range(len(b))]
    if a.tag.frame_codes:
        assert [a.frames(t).tobytes() for t in range(len(a))] == [b.frames(t).tobytes() for t in range(len(a))]
    for row in range(len(a.videos)):
        assert_same_video(a.encoded_video(row), b.encoded_video(row))


def make(
    rng: np.random.Generator, path: Path, names: str, tracks: int = 5, tag: ModelTag = TAG
) -> dict[str, EncodedVideo]:
    """Commit and merge one video per letter; a video is found again by its letter."""
    videos = {name: encoded_video(rng, f"/footage/{name}.mov", tracks=tracks, frames=tag.frame_codes) for name in names}
    for video in videos.values():
        commit(path, tag, video)
    compact(path, tag)
    return videos


def contents(path: Path) -> dict[str, EncodedVideo]:
    with open_shard(path) as shard:
        units = [shard.encoded_video(row) for row in range(len(shard.videos))]
        assert [unit.video.path for unit in units] == sorted(unit.video.path for unit in units)
        assert shard.damaged_videos() == ()
    named = {unit.video.path.stem: unit for unit in units}
    assert len(named) == len(units)
    return named


def assert_holds(path: Path, expected: dict[str, EncodedVideo]) -> None:
    found = contents(path)
    assert found.keys() == expected.keys()
    for name, video in expected.items():
        assert_same_video(found[name], video)


def copy_of(sample: Sample, folder: Path) -> Sample:
    """The same film and photos in a folder of their own: drawing and encoding the film takes ten seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    copies = [Path(shutil.copy2(path, folder)) for path in (sample.film, *sample.photos)]
    return Sample(copies[0], tuple(copies[1:]))
