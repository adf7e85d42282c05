"""baselines.py against loops over frames."""

import numpy as np
import pytest

from dhhcli.baselines import (
    Frames,
    Linear,
    baseline_results,
    evenly,
    fit_itq,
    fit_lsh,
    frame_distances,
    still_layer,
)
from dhhcli.codes import pack
from dhhcli.directions import Result
from dhhcli.hashing import HashLayers, hash_stills

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


def test_the_still_layer_hashes_a_frame_as_a_still() -> None:
    """Also where the constant last feature is folded into the bias."""
    rng = np.random.default_rng(1)
    layers = HashLayers(
        rng.normal(size=(16, 6)).astype(np.float32),
        rng.normal(size=16).astype(np.float32),
        np.zeros((16, 21), np.float32),
        np.zeros(16, np.float32),
    )
    features = np.concatenate([rng.normal(size=(50, 5)), np.ones((50, 1))], axis=1).astype(np.float32)
    expected = pack(hash_stills(layers, features) >= 0.5)
    np.testing.assert_array_equal(still_layer(layers, 5)(features[:, :5]), expected)
    np.testing.assert_array_equal(still_layer(layers, 6)(features), expected)


def test_lsh_hyperplanes_go_through_the_mean_of_the_training_features() -> None:
    features = np.random.default_rng(0).normal(3, 1, (200, 7)).astype(np.float32)
    lsh = fit_lsh(features, 24, np.random.default_rng(1))
    np.testing.assert_allclose(lsh.weight @ features.astype(np.float64).mean(axis=0) + lsh.bias, 0, atol=1e-9)
    share = (features @ lsh.weight.T + lsh.bias >= 0).mean(axis=0)
    assert ((share > 0.3) & (share < 0.7)).all()


def test_evenly_takes_the_middles_of_equal_parts() -> None:
    frames = np.arange(10, dtype=np.float32)[:, None]
    assert evenly(frames, 1).ravel().tolist() == [5]
    assert evenly(frames, 2).ravel().tolist() == [2, 7]
    assert evenly(frames, 5).ravel().tolist() == [1, 3, 5, 7, 9]
    assert evenly(frames, 10).tolist() == evenly(frames, 30).tolist() == frames.tolist()


def people_with(spread: float) -> list[Result]:
    rng = np.random.default_rng(0)
    who = rng.normal(size=(8, 12))
    identity = np.arange(8)
    stills = np.repeat(who, 2, axis=0) + spread * rng.normal(size=(16, 12))
    tracks = [(who[p] + spread * rng.normal(size=(20, 12))).astype(np.float32) for p in identity]
    training = rng.normal(size=(300, 12)).astype(np.float32)
    hashes = [
        Linear("frames", rng.normal(size=(32, 12)), np.zeros(32)),
        fit_itq(training, 32, np.random.default_rng(1)),
        fit_lsh(training, 32, np.random.default_rng(2)),
    ]
    return list(
        baseline_results(
            "made",
            (stills.astype(np.float32), identity.repeat(2)),
            {"shot": (tracks, identity)},
            hashes,
            (("still", "shot"), ("shot", "still")),
        )
    )


def test_every_baseline_finds_people_without_spread() -> None:
    found = people_with(0.0)
    names = ["frames average", "frames minimum", "itq average", "itq minimum", "itq mean"]
    names += ["lsh average", "lsh minimum", "lsh mean", "features of 1", "features of 15"]
    assert [result.line.representation for result in found] == [name for name in names for _ in range(2)]
    assert all(result.line.mean_ap == pytest.approx(1.0) for result in found)


def test_more_frames_and_real_values_are_better_where_people_spread() -> None:
    maps = {r.line.representation: r.line.mean_ap for r in people_with(1.5) if r.line.query == "still"}
    assert maps["features of 15"] > maps["features of 1"]
    assert maps["features of 15"] > maps["lsh average"]
    assert maps["features of 15"] < 1
