"""research/evaluation/protocol.py: figures that can be known beforehand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dhhcli.errors import PackError
from dhhcli.models.binary_codes import soft_codes
from dhhcli.models.hash_layers import HashLayers, hash_stills, hash_tracks
from dhhcli.research.datasets.augmentation import centre, imitate_frames
from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.datasets.protocol import ProtocolPerson
from dhhcli.research.evaluation.protocol import (
    ProtocolFeatures,
    Score,
    code_results,
    code_scores,
    evaluate,
    feature_scores,
    protocol_features,
    random_scores,
)
from dhhcli.search.options import Rank

PEOPLE, D = 12, 8


def made(spread: float, stills: int = 2) -> ProtocolFeatures:
    """People as points of a sphere, features around them; the last feature is the constant 1."""
    rng = np.random.default_rng(0)
    who = rng.normal(size=(PEOPLE, D))

    def draw(person: int | np.integer[Any], m: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        near = who[person] + spread * rng.normal(size=(m, D))
        return np.concatenate([near, np.ones((m, 1))], axis=1).astype(np.float32)

    identity = np.arange(PEOPLE)
    return ProtocolFeatures(
        stills=np.concatenate([draw(p, stills) for p in identity]),
        still_people=identity.repeat(stills),
        sets=tuple(draw(p, 6) for p in identity.repeat(2)),
        set_people=identity.repeat(2),
        shots=tuple(draw(p, 20) for p in identity.repeat(2)),
        shot_people=identity.repeat(2),
    )


def layers(bits: int = 64) -> HashLayers:
    """Random directions for stills; for tracks the entries of the log-covariance that hold the mean."""
    rng = np.random.default_rng(1)
    still = np.concatenate([rng.normal(size=(bits, D)), np.zeros((bits, 1))], axis=1)
    rows, columns = np.triu_indices(D + 1)
    track = np.zeros((bits, len(rows)))
    for place in np.flatnonzero((columns == D) & (rows < D)):
        track[:, place] = still[:, rows[place]]
    zero = np.zeros(bits, np.float32)
    return HashLayers(still.astype(np.float32), zero, track.astype(np.float32), zero, divide=True)


def by_direction(scores: list[Score]) -> dict[tuple[str, str], float]:
    return {(score.query, score.database): score.mean_ap for score in scores}


def test_people_without_spread_are_found_without_error() -> None:
    features = made(0.0)
    for scores in (code_scores(features, layers()), feature_scores(features, homogeneous=True)):
        found = by_direction(list(scores))
        assert len(found) == 6
        assert all(value == pytest.approx(1.0) for value in found.values())


def test_more_spread_is_worse_and_nothing_is_worse_than_random() -> None:
    near, far = made(0.5), made(3.0)
    chance = by_direction(list(random_scores(near, 64, np.random.default_rng(0))))
    for direction in (("still", "set"), ("set", "still"), ("still", "still")):
        a = by_direction(list(code_scores(near, layers())))[direction]
        b = by_direction(list(code_scores(far, layers())))[direction]
        assert a > b + 0.05
        assert a > chance[direction] + 0.3
        assert chance[direction] < 0.35


@pytest.mark.parametrize("by", Rank)
def test_codes_against_a_plain_loop(by: Rank) -> None:
    """Expected average precision by hand: sort, and average precision over 300 random orders of the ties."""
    features, table = made(1.0), layers(12)
    soft = hash_stills(table, features.stills)
    queries, costs = soft >= 0.5, soft_codes(soft).costs[:, : soft.shape[1]]
    costs = np.ones_like(costs) if by is Rank.bits else costs
    items = hash_tracks(table, features.sets) >= 0.5
    rng = np.random.default_rng(2)
    means = []
    for query, cost, person in zip(queries, costs, features.still_people, strict=True):
        distance = [int(cost[query != item].sum()) for item in items]
        each = []
        for _ in range(300):
            order = sorted(range(len(items)), key=lambda i: (distance[i], rng.random()))
            hits, precisions = 0, []
            for rank, i in enumerate(order, 1):
                if features.set_people[i] == person:
                    hits += 1
                    precisions.append(hits / rank)
            each.append(np.mean(precisions))
        means.append(np.mean(each))
    lines = {(one.line.query, one.line.database): one.line for one in code_results(features, table, rank=by)}
    found = lines["still", "set"].mean_ap
    assert found == pytest.approx(float(np.mean(means)), abs=0.01)


def test_a_query_s_own_photo_is_never_in_its_database() -> None:
    """With one still a person there is nobody to find among stills, so the direction is left out."""
    assert ("still", "still") not in by_direction(list(feature_scores(made(0.1, stills=1), homogeneous=True)))


def test_protocol_features_are_of_the_named_rows() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (8, 80, 80, 3), dtype=np.uint8)
    pack = FacePack(
        Path("made.h5"),
        pictures,
        np.zeros(8, np.int64),
        ("a",),
        np.full(8, 64, np.float32),
        np.zeros((8, 128), np.float32),
    )
    people = (ProtocolPerson(0, (5, 1), ((2, 3),), (7,)),)
    features = protocol_features(pack, people, lambda crops: crops.reshape(len(crops), -1).astype(np.float32))
    np.testing.assert_array_equal(features.stills[0], centre(pictures[5]).ravel())
    np.testing.assert_array_equal(features.sets[0][1], centre(pictures[3]).ravel())
    shot = imitate_frames(pictures[7], 20, np.random.default_rng(7))
    np.testing.assert_array_equal(features.shots[0], shot.reshape(20, -1))


def test_a_protocol_of_another_pack_is_refused(tmp_path: Path) -> None:
    from packs import write_pack

    pack = write_pack(tmp_path / "pack.h5")
    protocol = tmp_path / "protocol.json"
    protocol.write_text(json.dumps({"people": [{"identity": 0, "queries": [999], "sets": [], "shots": []}]}))
    with pytest.raises(PackError, match="row 999"):
        evaluate(pack, protocol)
