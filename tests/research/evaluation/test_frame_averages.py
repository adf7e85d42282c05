"""evaluation/frame_distances.py against loops over frames."""

import numpy as np
import pytest

from dhhcli.models.binary_codes import pack
from dhhcli.research.evaluation.frame_distances import Frames, evenly, frame_distances

COUNTS = ([1, 3, 2], [4, 1])


@pytest.mark.parametrize("how", ["average", "minimum"])
def test_frame_distances_are_those_of_loops(how: str) -> None:
    rng = np.random.default_rng(0)
    bits = [[rng.random((m, 20)) < 0.5 for m in counts] for counts in COUNTS]
    a, b = (Frames(pack(np.concatenate(things)), np.cumsum([0, *(len(t) for t in things[:-1])])) for things in bits)
    found = frame_distances(a, b, "average" if how == "average" else "minimum")
    assert found.shape == (3, 2)
    for i, x in enumerate(bits[0]):
        for j, y in enumerate(bits[1]):
            each = [int((p != q).sum()) for p in x for q in y]
            assert found[i, j] == pytest.approx(np.mean(each) if how == "average" else min(each))


def test_evenly_takes_the_middles_of_equal_parts() -> None:
    frames = np.arange(10, dtype=np.float32)[:, None]
    assert evenly(frames, 1).ravel().tolist() == [5]
    assert evenly(frames, 2).ravel().tolist() == [2, 7]
    assert evenly(frames, 5).ravel().tolist() == [1, 3, 5, 7, 9]
    assert evenly(frames, 10).tolist() == evenly(frames, 30).tolist() == frames.tolist()
