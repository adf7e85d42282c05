"""The share of a person is taken from the answer itself; confidence never falls for a photo more or a better rank."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from footage import encoded_video, random_codes
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import Result

from dhhcli.library import Library
from dhhcli.media.sample import Sample
from dhhcli.models.calibration import Calibration
from dhhcli.models.model_tag import ModelTag
from dhhcli.search.confidence import ConfidenceModel, never_rising
from dhhcli.search.distances import measured_by_code
from dhhcli.search.question.probe import Asked
from dhhcli.search.result import Chance
from dhhcli.search.share import BELIEF, LEAST, LOOKED_AT, MOST, looked_at, most_likely_share, share_of
from dhhcli.storage.codes_file import Shard, commit, compact, open_shard

Run = Callable[..., Result]
TAG, PRIOR = ModelTag(128, "ab" * 32), 0.01
ratios = st.lists(st.floats(-12, 12), min_size=0, max_size=60).map(lambda values: np.array(values, np.float64))


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    """Two videos of 40 and 25 drawn codes."""
    path, rng = tmp_path_factory.mktemp("share") / "codes.h5", np.random.default_rng(1)
    for name, tracks in (("a", 40), ("b", 25)):
        commit(path, TAG, encoded_video(rng, f"/{name}.mov", tracks=tracks, bits=128))
    compact(path, TAG)
    return open_shard(path)


def person(soft: np.ndarray, kind: str = "still-track") -> Asked:
    return Asked(soft.astype(np.float32), ("x",) * len(soft), kind, (), np.empty(0, np.int64), ())


# -------------------------------------------------------------------------------------------------- the likeliest share


@given(ratios)
@settings(max_examples=60, deadline=None)
def test_it_is_the_largest_on_a_grid(log_ratios: np.ndarray) -> None:
    grid = np.geomspace(LEAST, MOST, 4001)
    heights = BELIEF * (PRIOR * np.log(grid) + (1 - PRIOR) * np.log1p(-grid))
    for ratio in log_ratios.tolist():
        heights = heights + np.log(1 - grid + grid * np.exp(ratio))
    assert most_likely_share(log_ratios, PRIOR) == pytest.approx(grid[heights.argmax()], rel=0.004)


@given(ratios, st.floats(0, 9), st.integers(0, 59))
@settings(max_examples=60, deadline=None)
def test_it_rises_with_every_ratio(log_ratios: np.ndarray, more: float, at: int) -> None:
    raised = log_ratios.copy()
    raised[at : at + 1] += more
    assert most_likely_share(raised, PRIOR) >= most_likely_share(log_ratios, PRIOR) - 1e-12


def test_no_track_says_what_was_thought_before() -> None:
    assert most_likely_share(np.empty(0), PRIOR) == pytest.approx(PRIOR, rel=1e-6)


def test_what_is_all_over_the_footage_is_likely_there() -> None:
    sure, never = np.full(500, 9.0), np.full(500, -9.0)
    assert most_likely_share(np.concatenate([sure, never]), PRIOR) == pytest.approx(503 / 1300, rel=0.02)
    assert most_likely_share(np.full(100_000, -9.0), PRIOR) < 1e-4


@given(st.lists(st.integers(0, 400), min_size=2, max_size=8), st.integers(1, 70_000))
@settings(max_examples=60, deadline=None)
def test_which_tracks_are_looked_at(shard: Shard, edges: list[int], rows: int) -> None:
    rising = sorted({edge % 66 for edge in edges})
    ranges = [pair for number, pair in enumerate(pairwise(rising)) if number % 2 == 0]
    allowed = np.array(ranges, np.int64).reshape(-1, 2)
    every = [track for first, last in ranges for track in range(first, last)]
    most = max(1, LOOKED_AT // rows)
    expected = every if len(every) <= most else [every[i * len(every) // most] for i in range(most)]
    mask = np.zeros(len(shard), bool)
    mask[every] = True
    assert looked_at(shard, allowed, rows).tolist() == looked_at(shard, mask, rows).tolist() == expected
    assert looked_at(shard, None, 1).tolist() == list(range(65))


# -------------------------------------------------------------------------------------------------- what it is used for


@given(seed=st.integers(0, 2**32), photos=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_a_photo_more_never_takes_anything_away(shard: Shard, calibration: Calibration, seed: int, photos: int) -> None:
    """Of every track, whatever the photos are; near ones are drawn around a stored code."""
    rng = np.random.default_rng(seed)
    codes = np.unpackbits(shard.code_rows(np.array([rng.integers(65)])), axis=1, bitorder="little")[0, :128]
    soft = np.clip(
        np.where(rng.random((photos + 1, 128)) < rng.random(), codes, rng.random((photos + 1, 128))), 0.02, 0.98
    )

    def confidence(rows: np.ndarray) -> np.ndarray:
        worth = ConfidenceModel(calibration, (person(rows),))
        worth = ConfidenceModel(calibration, worth.people, worth.rank, (share_of(worth, shard, None),))
        distances, scores = measured_by_code(shard, [rows], np.arange(65), worth.rank)
        return worth.each(distances, scores)[0]

    fewer, more = confidence(soft[:-1]), confidence(soft)
    assert (more >= fewer - 1e-6).all()


def test_chances_of_ranked_hits_never_rise() -> None:
    said = [Chance(0.5, 0.1), Chance(0.2, 0.1), Chance(0.4, 0.2), Chance(0.1, 0.3)]
    assert [chance.confidence for chance in never_rising(said)] == [0.5, 0.2, 0.2, 0.1]
    assert [chance.false_rate for chance in never_rising(said)] == [0.1, 0.1, 0.2, 0.3]


def confidences(result: Result) -> list[float]:
    assert result.exit_code in (0, 3), result.stderr
    return [json.loads(line)["confidence"] for line in result.stdout.splitlines()]


def test_the_share_may_be_given(dhh: Run, encoded: Path, sample: Sample) -> None:
    ask = ("query", sample.photos[0], "-c", encoded, "--json")
    rare, often = confidences(dhh(*ask, "--prior", "0.0001")), confidences(dhh(*ask, "--prior", "0.3"))
    estimated = confidences(dhh(*ask))
    assert all(a < b < c for a, b, c in zip(rare, estimated, often, strict=True))
    for refused in ("0", "1", "1.5", "-1", "nan"):
        assert dhh(*ask, "--prior", refused).exit_code == 2
    assert [hit.confidence for hit in Library(encoded).search(sample.photos[0], prior=0.3)] == often


def test_two_people_in_a_shot_by_rank(dhh: Run, encoded: Path, sample: Sample) -> None:
    collins, hopper = sample.photos
    found = confidences(dhh("query", collins, "--with", hopper, "-c", encoded, "--json", "--all"))
    assert found == sorted(found, reverse=True)


def test_drawn_codes_are_nobody(shard: Shard, calibration: Calibration, rng: np.random.Generator) -> None:
    """Where nobody is, the share falls below what was thought before."""
    soft = np.clip(np.unpackbits(random_codes(rng, 1, 128), axis=1)[:, :128], 0.1, 0.9)
    assert share_of(ConfidenceModel(calibration, (person(soft),)), shard, None) < PRIOR
    assert share_of(ConfidenceModel(calibration, (person(soft),)), shard, np.empty((0, 2), np.int64)) == PRIOR
