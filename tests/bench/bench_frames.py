"""What a code a frame costs beside one code a video, in time and bytes, in one run (`make bench`; not in `make test`).

Qiao et al. (TIP 2019) report 18 times the time for frame-wise codes of 12 bits on YouTube Celebrities, 14.18 s for
0.78. One thread; distances of all videos for every query, and with the sorting of videos that follows both ways.
"""

import time

import numpy as np
import pytest

from dhhcli.baselines import Frames, frame_distances
from dhhcli.codes import code_bytes, hamming, pack

VIDEOS, FRAMES, QUERIES, ROUNDS = 20_000, 30, 20, 5


@pytest.mark.parametrize("bits", [12, 48])
def test_retrieval(bits: int) -> None:
    rng = np.random.default_rng(0)
    queries = pack(rng.random((QUERIES, bits)) < 0.5)
    videos = pack(rng.random((VIDEOS, bits)) < 0.5)
    frames = Frames(pack(rng.random((VIDEOS * FRAMES, bits)) < 0.5), np.arange(VIDEOS) * FRAMES)
    asked = Frames(queries, np.arange(QUERIES))
    seconds: dict[str, list[float]] = {"one": [], "one sorted": [], "many": [], "many sorted": []}
    for _ in range(ROUNDS):
        for name in ("one", "many"):
            began = time.process_time()
            distances = hamming(queries, videos) if name == "one" else frame_distances(asked, frames, "average")
            seconds[name].append(time.process_time() - began)
            np.argsort(distances, axis=1, kind="stable")
            seconds[f"{name} sorted"].append(time.process_time() - began)
    took = {name: float(np.median(each)) for name, each in seconds.items()}
    scan, whole = took["many"] / took["one"], took["many sorted"] / took["one sorted"]
    size = code_bytes(bits)
    print(  # noqa: T201
        f"\n{bits} bits, {VIDEOS} videos, {QUERIES} queries: {size} bytes and {1e3 * took['one']:.1f} ms for a code a "
        f"video, {size * FRAMES} bytes and {1e3 * took['many']:.1f} ms for {FRAMES} codes: {scan:.1f} times, with the "
        f"sorting {whole:.1f} times"
    )
    assert scan > 5
