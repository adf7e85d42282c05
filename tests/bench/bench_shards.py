"""What committing costs as an archive grows: ratios of things done in one run (`make bench`; not in `make test`)."""

import time
from pathlib import Path

import numpy as np
import pytest
from footage import TAG, encoded_video

from dhhcli.storage import codes_file
from dhhcli.storage.codes_file import commit, compact, open_shard
from dhhcli.storage.hdf5_file import write_file

VIDEOS = 2000


def committed(path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> tuple[float, int]:
    """Seconds and bytes written for ``count`` commits of about 10 kB each, without waiting for the disk."""
    written = 0
    real = write_file

    def counting(file: Path, *rest: object) -> None:
        nonlocal written
        real(file, *rest)  # type: ignore[arg-type]
        written += file.stat().st_size

    rng = np.random.default_rng(0)
    video = encoded_video(rng, "/footage/x.mov", tracks=60)
    with monkeypatch.context() as patch:
        patch.setattr(codes_file, "write_file", counting)
        patch.setattr("os.fsync", lambda _: None)
        began = time.perf_counter()
        for i in rng.permutation(count):
            name = Path(f"/footage/{i:06d}.mov")
            object.__setattr__(video.video, "path", name)
            commit(path, TAG, video)
        return time.perf_counter() - began, written


def test_folding_in_tiers_against_merging_into_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way it was before: every 128 parts are merged into the codes file."""
    seconds, tiers = committed(tmp_path / "tiers.h5", monkeypatch, VIDEOS)
    compact(tmp_path / "tiers.h5", TAG)
    size = (tmp_path / "tiers.h5").stat().st_size
    monkeypatch.setattr(codes_file, "_fold", compact)
    monkeypatch.setattr(codes_file, "MAX_PARTS", 128)
    before, merged = committed(tmp_path / "merged.h5", monkeypatch, VIDEOS)
    compact(tmp_path / "merged.h5", TAG)
    assert open_shard(tmp_path / "tiers.h5").content == open_shard(tmp_path / "merged.h5").content
    print(  # noqa: T201
        f"\n{VIDEOS} videos, {size / 1e6:.0f} MB: tiers wrote {tiers / size:.1f} times that in {seconds:.1f} s, "
        f"merging {merged / size:.1f} times in {before:.1f} s"
    )
    assert tiers / size < 2 + np.log2(VIDEOS / 64)
    assert merged > tiers


def test_opening_an_archive_with_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """63 parts and packs beside 2,000 videos: what the parts add to opening."""
    path = tmp_path / "codes.h5"
    committed(path, monkeypatch, VIDEOS)
    began = time.perf_counter()
    open_shard(path)
    apart = time.perf_counter() - began
    files = len(codes_file.parts_of(path))
    compact(path, TAG)
    began = time.perf_counter()
    open_shard(path)
    whole = time.perf_counter() - began
    print(f"\nopened with {files} parts in {apart * 1e3:.0f} ms, as one file in {whole * 1e3:.1f} ms")  # noqa: T201
    assert apart < 5
