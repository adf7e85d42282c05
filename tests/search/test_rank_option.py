"""--rank: soft bits unless bits are asked for; confidence never rises down an answer, by either."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from commands import one_line
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import write_pack
from typer.testing import Result

from dhhcli.media.sample import Sample
from dhhcli.models.binary_codes import UNIT, soft_codes, unpack
from dhhcli.models.calibration import Calibration
from dhhcli.models.weights import resolve_weights
from dhhcli.search.confidence import FOOTAGE, HELD_BACK, ConfidenceModel, Limits
from dhhcli.search.options import Rank
from dhhcli.search.query import find_person
from dhhcli.search.question.probe import Asked
from dhhcli.search.question.request import Query
from dhhcli.search.question.terms import FileTerm
from dhhcli.search.ranking import Claim, Hit
from dhhcli.storage.codes_file import open_shard

Run = Callable[..., Result]
K = 128


def person(kind: str, rows: int, unsure: bool) -> Asked:
    soft = np.full((rows, K), 0.25 if unsure else 0.0, np.float32)
    return Asked(soft, ("x",) * rows, kind, (), np.empty(0, np.int64), ())


@given(
    weights=st.lists(st.integers(0, 130 * UNIT), min_size=2, max_size=30),
    kind=st.sampled_from(["still-track", "track-track"]),
    rows=st.integers(1, 5),
    confidence=st.one_of(st.none(), st.floats(0, 1)),
    rate=st.one_of(st.none(), st.floats(0, 1)),
)
@settings(max_examples=100, deadline=None)
def test_what_ranks_first_is_never_worth_less(
    calibration: Calibration, weights: list[int], kind: str, rows: int, confidence: float | None, rate: float | None
) -> None:
    """By weighed distances, whatever the Hamming distances beside them are."""
    scores = np.sort(np.array(weights, np.float64))[None].astype(np.float32) / np.float32(UNIT)
    distances = np.random.default_rng(rows).integers(0, K, scores.shape).astype(np.int32)
    worth, limits = ConfidenceModel(calibration, (person(kind, rows, True),)), Limits(confidence, rate)
    sure, false = worth.each(distances, scores)
    assert (np.diff(sure) <= 0).all()
    assert (np.diff(false) >= 0).all()
    kept, reach = worth.keep(limits, distances, scores), worth.reach(limits, K)
    assert kept.tolist() == (scores[0] <= reach).tolist()


def test_stored_tracks_and_bits_have_the_curves_of_bits(calibration: Calibration) -> None:
    distances, scores = np.array([[20]], np.int32), np.array([[20.0]], np.float32)
    assert calibration.soft is not None
    bits = calibration.confidence(distances[0], scores[0], kind="track-track")
    soft = calibration.soft.confidence(distances[0], scores[0], kind="track-track")
    assert bits != soft
    for unsure, rank, expected in ((False, Rank.soft, bits), (True, Rank.bits, bits), (True, Rank.soft, soft)):
        worth = ConfidenceModel(calibration, (person("track-track", 1, unsure),), rank)
        odds = (expected / (1 - expected) * 99) ** FOOTAGE * math.exp(-HELD_BACK) / 99
        assert worth.each(distances, scores)[0] == pytest.approx(odds / (1 + odds), abs=1e-6)
        (chance,) = worth.chances([Hit(1, 20, 20.0, 0, 0, 1, (Claim(0, 20, 20.0),))])
        assert chance.confidence == worth.each(distances, scores)[0][0]


@pytest.mark.parametrize("rank", Rank)
def test_rows_come_in_the_order_of_what_they_are_ranked_by(encoded: Path, sample: Sample, rank: Rank) -> None:
    for photo in sample.photos:
        answer = find_person(Query((FileTerm(photo),), rank=rank, top=None), encoded)
        with open_shard(encoded) as shard:
            bits = unpack(shard.code_rows(np.array([row.track for row in answer.rows])), K)
        (soft,) = answer.asked[0].soft
        wrong = bits != (soft >= 0.5)
        assert [row.distance for row in answer.rows] == wrong.sum(axis=1).tolist()
        costs = soft_codes(soft[None]).costs[0, :K] if rank is Rank.soft else np.ones(K, np.int64)
        first = (wrong @ costs).tolist()
        assert first == sorted(first)
        confidence = [row.confidence for row in answer.rows]
        assert all(b is not None and b <= (a or 0) for a, b in pairwise(confidence))


def test_the_largest_distance_is_of_bits(dhh: Run, encoded: Path, sample: Sample) -> None:
    def rows(*words: object) -> list[dict[str, object]]:
        result = dhh("query", sample.photos[0], "-c", encoded, "--json", *words)
        return [json.loads(line) for line in result.stdout.splitlines()]

    whole = rows()
    distances = sorted(int(str(row["distance"])) for row in whole)
    limit = distances[1]
    kept = [row["shot"] for row in whole if int(str(row["distance"])) <= limit]
    assert [row["shot"] for row in rows("--max-distance", limit)] == kept
    nobody = dhh("query", sample.photos[0], "-c", encoded, "--max-distance", distances[0] - 1)
    assert nobody.exit_code == 3
    assert f"the nearest shot is {distances[0]} bits away" in nobody.stderr
    assert rows("--rank", "soft") == whole
    by_bits = [row["distance"] for row in rows("--rank", "bits")]
    assert by_bits == sorted(distances)


def test_curves_of_bits_alone_do_not_serve_soft_bits(dhh: Run, encoded: Path, sample: Sample, tmp_path: Path) -> None:
    """A record of before there were soft bits: no confidence by these, the old one by bits."""
    shipped = resolve_weights("dhh-128")
    record = json.loads(shipped.read_text())
    del record["calibration"]["soft"]
    for file in shipped.parent.glob("dhh*"):
        if file.suffix != ".json":
            (tmp_path / file.name).symlink_to(file)
    (tmp_path / "dhh-128.json").write_text(json.dumps(record))
    ask = ("query", sample.photos[0], "-c", encoded, "--weights", tmp_path / "dhh-128.json")
    assert [json.loads(line)["confidence"] for line in dhh(*ask, "--json").stdout.splitlines()] == [None] * 5
    plain = dhh(*ask, "--rank", "bits", "--json").stdout
    assert plain == dhh("query", sample.photos[0], "-c", encoded, "--rank", "bits", "--json").stdout
    said = "not calibrated for --rank soft, so --min-confidence means nothing"
    one_line(dhh(*ask, "--min-confidence", "0.5"), 1, said)


def test_evaluate_by_either(dhh: Run, tmp_path: Path) -> None:
    pack = write_pack(tmp_path / "people.h5", 6, 3, 0)
    lines = {
        rank: [json.loads(line) for line in dhh("evaluate", pack, "--json", *words).stdout.splitlines()]
        for rank, words in (("", ()), ("soft", ("--rank", "soft")), ("bits", ("--rank", "bits")))
    }
    assert lines[""] == lines["soft"]
    differs = [a["representation"] for a, b in zip(lines["soft"], lines["bits"], strict=True) if a != b]
    assert differs == ["codes"]
    one_line(dhh("evaluate", pack, "--compare", "lsh", "--rank", "bits"), 2, "--compare takes no --labels, --photos")
