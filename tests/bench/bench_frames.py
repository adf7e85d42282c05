"""What a code for every frame costs in a codes file: bytes a track, time to encode, time and memory to query.

The paper compares 14.18 s with 0.78 s (18 times) for 20 frames a video; bench_rivals.py does that for the bare
distances, this for `dhh`: all of a search, of codes of tracks and of frames in turn.
"""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from footage import encoded_video

from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.video import encode_video
from dhhcli.media.sample import Sample
from dhhcli.models.binary_codes import code_bytes, pack
from dhhcli.models.model_tag import ModelTag
from dhhcli.models.network import load_network
from dhhcli.search.options import FrameDistance
from dhhcli.search.ranking import search
from dhhcli.storage.codes_file import open_shard
from dhhcli.storage.hdf5_file import write_file
from dhhcli.storage.record import to_tables

TRACKS, ROUNDS = 20_000, 15


def seconds(work: Callable[[FrameDistance], object], rounds: int = ROUNDS) -> dict[FrameDistance, float]:
    """The best of several runs of every way, in turn."""
    taken: dict[FrameDistance, list[float]] = {way: [] for way in FrameDistance}
    for _ in range(rounds):
        for way in FrameDistance:
            start = time.perf_counter()
            work(way)
            taken[way].append(time.perf_counter() - start)
    return {way: min(times) for way, times in taken.items()}


def made(path: Path, tracks: int, frames: int, bits: int) -> np.ndarray:
    """A codes file of tracks of so many frames, whose codes are their video's with a tenth of the bits turned; and
    soft bits (1, K) to ask with."""
    rng = np.random.default_rng(0)
    tag = ModelTag(bits, "ab" * 32, frame_codes=True)
    video = encoded_video(rng, "/a.mov", shots=tracks // 4, tracks=tracks, bits=bits)
    video.tracks["frames_used"] = frames
    codes = np.empty((tracks * frames, code_bytes(bits)), np.uint8)
    truth = rng.random((tracks, bits)) < 0.5
    for first in range(0, tracks, 5000):
        part = truth[first : first + 5000].repeat(frames, axis=0)
        codes[first * frames : (first + 5000) * frames] = pack(part ^ (rng.random(part.shape) < 0.1))
    own = tuple(codes.reshape(tracks, frames, -1))
    write_file(
        path, tag, [to_tables(tag, replace(video, codes=pack(truth), thumbnails=(b"",) * tracks, frame_codes=own))]
    )
    return np.clip(truth[:1] + rng.normal(0, 0.3, (1, bits)), 0, 1).astype(np.float32)


@pytest.mark.parametrize("bits", [12, 48, 128])
@pytest.mark.parametrize("frames", [6, 20, 30])
def test_a_query_by_frames(tmp_path: Path, bits: int, frames: int) -> None:
    path = tmp_path / "codes.h5"
    soft = made(path, TRACKS, frames, bits)
    with open_shard(path) as shard:
        taken = seconds(lambda way: search(shard, soft, 20, way=way))
        ((codes, ends),) = shard.frame_pieces
        more = (codes.nbytes + ends.nbytes) / TRACKS
    times = ", ".join(
        f"{way} {1e3 * taken[way]:.2f} ms ({taken[way] / taken[FrameDistance.majority]:.1f})" for way in FrameDistance
    )
    print(f"\n{bits} bits, {TRACKS} tracks of {frames} frames: {code_bytes(bits)} + {more:.0f} bytes a track; {times}")  # noqa: T201
    assert more == frames * code_bytes(bits) + 8
    assert taken[FrameDistance.average] < (2 + frames) * taken[FrameDistance.majority]  # every frame is looked at once


def test_many_tracks_and_their_memory(tmp_path: Path) -> None:
    """Beyond some ten thousand tracks the comparing counts, not what any search takes."""
    path = tmp_path / "codes.h5"
    soft = made(path, 10 * TRACKS, 30, 48)
    with open_shard(path) as shard:
        ((codes, _),) = shard.frame_pieces
        taken = seconds(lambda way: search(shard, soft, 20, way=way))
        times = ", ".join(
            f"{way} {1e3 * taken[way]:.2f} ms ({taken[way] / taken[FrameDistance.majority]:.1f})"
            for way in FrameDistance
        )
        print(f"\n48 bits, {10 * TRACKS} tracks of 30 frames: {times}")  # noqa: T201
        for way in (FrameDistance.average, FrameDistance.minimum):
            tracemalloc.start()
            search(shard, soft, 20, way=way)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            print(f"\n{len(codes)} codes of frames, {codes.nbytes >> 20} MiB: {way} takes {peak >> 20} MiB")  # noqa: T201
            assert peak < codes.nbytes / 2


def test_encoding_with_codes_of_frames(sample: Sample, picture_weights: Path) -> None:
    network = load_network(str(picture_weights), film=True)
    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(4):
        for frames, times in taken.items():
            start = time.perf_counter()
            encode_video(sample.film, network, EncodeOptions(frame_codes=frames))
            times.append(time.perf_counter() - start)
    without, with_them = min(taken[False]), min(taken[True])
    words = f"without {without:.2f} s, with codes of frames {with_them:.2f} s: {with_them / without:.3f} times"
    print(f"\nencoding {words}")  # noqa: T201
    assert with_them < 1.3 * without
