"""Weights learn what their distances are worth: from whom, what is written, and what users are told."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from synthetic import toy_pack, write_pack
from typer.testing import Result

from dhhcli.errors import PackError
from dhhcli.models.binary_codes import UNIT, binarise, soft_codes
from dhhcli.models.calibration import KINDS
from dhhcli.models.hash_layers import HashLayers, hash_stills, hash_tracks
from dhhcli.models.weights import load_hash_layers, load_weights
from dhhcli.research.calibration.fit import calibrated_if_enough
from dhhcli.research.calibration.pairs import TRACKS, all_pairs, material
from dhhcli.research.datasets.pack import FacePack
from dhhcli.search.options import Rank

pytestmark = pytest.mark.slow

Run = Callable[..., Result]


def extract(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Four features without a network: mean, and its spread over the crop."""
    values = crops.astype(np.float32)
    return np.stack(
        [values.mean((1, 2, 3)), values[:, :32].mean((1, 2, 3)), values[..., 0].mean((1, 2)), values.std((1, 2, 3))], 1
    )


def layers(seed: int = 0) -> HashLayers:
    rng = np.random.default_rng(seed)
    return HashLayers(
        rng.normal(0, 0.01, (16, 4)).astype(np.float32),
        np.zeros(16, np.float32),
        rng.normal(size=(16, 10)).astype(np.float32),
        np.zeros(16, np.float32),
    )


def with_films(pack: FacePack) -> FacePack:
    """The last two photos of everybody become frames of one film."""
    track = np.full(len(pack.identity), -1)
    for person in np.unique(pack.identity):
        track[np.flatnonzero(pack.identity == person)[-2:]] = person
    return dataclasses.replace(pack, track=track)


def test_everybody_gives_stills_and_tracks_that_are_drawn_from_the_seed() -> None:
    pack = toy_pack(people=20, photos=7)
    found = material(pack, extract, np.random.default_rng(1))
    again = material(pack, extract, np.random.default_rng(1))
    assert np.bincount(found.still_people).tolist() == [7] * 20
    assert np.bincount(found.track_people).tolist() == [TRACKS + 1] * 20  # and one of several photos
    assert sorted(set((found.track_rows >= 0).sum(axis=1).tolist())) == [1, 6]
    assert all((a == b).all() for a, b in zip(found.tracks, again.tracks, strict=True))
    assert (pack.identity[found.still_rows[:, 0]] == found.still_people).all()
    for person, rows in zip(found.track_people, found.track_rows, strict=True):
        assert set(pack.identity[rows[rows >= 0]].tolist()) == {person}


def test_films_of_a_pack_are_taken_as_they_are() -> None:
    pack = with_films(toy_pack(people=20, photos=4))
    found = material(pack, extract, np.random.default_rng(1))
    assert np.bincount(found.still_people).tolist() == [2] * 20
    assert np.bincount(found.track_people).tolist() == [3] * 20
    filmed = found.track_rows[:, 0] % 4 == 2  # the film's first frame stands for it
    assert filmed.sum() == 20
    assert all(len(track) == 2 for track, film in zip(found.tracks, filmed, strict=True) if film)


def test_too_few_people_are_refused() -> None:
    with pytest.raises(PackError, match=r"toy\.h5: 19 people with two photos or more; calibration needs 20"):
        material(toy_pack(people=19, photos=2), extract, np.random.default_rng(0))
    with pytest.raises(PackError, match="0 people with two photos"):
        material(toy_pack(people=30, photos=1), extract, np.random.default_rng(0))


def test_pairs_are_what_query_would_compare() -> None:
    found = material(toy_pack(people=20, photos=2), extract, np.random.default_rng(0))
    pairs = all_pairs(found, layers())
    assert tuple(pairs) == KINDS
    soft = {"still": hash_stills(layers(), found.stills), "track": hash_tracks(layers(), found.tracks)}
    rows = {"still": found.still_rows, "track": found.track_rows}
    for kind, got in pairs.items():
        query, item = kind.split("-")
        for q, n in [(0, 0), (0, 1), (3, 17), (21, 20)]:
            asked, code = soft[query][q], binarise(soft[item][n : n + 1])[0]
            assert got.distances[q, n] == (binarise(asked[None])[0] != code).sum()
            assert got.scores[q, n] == pytest.approx(np.where(code, 1 - asked, asked).sum(), rel=1e-5)
            shared = {int(row) for row in rows[query][q]} & {int(row) for row in rows[item][n]} - {-1}
            assert got.usable[q, n] == (not shared)


def test_weighed_pairs_are_what_query_ranks_by() -> None:
    found = material(toy_pack(people=20, photos=2), extract, np.random.default_rng(0))
    pairs, plain = all_pairs(found, layers(), weighed=True), all_pairs(found, layers())
    soft = {"still": hash_stills(layers(), found.stills), "track": hash_tracks(layers(), found.tracks)}
    for kind, got in pairs.items():
        query, item = kind.split("-")
        assert (got.weighed, plain[kind].weighed) == (True, False)
        assert (got.usable == plain[kind].usable).all()
        for q, n in [(0, 0), (0, 1), (3, 17), (21, 20)]:
            wrong = binarise(soft[query][q]) != binarise(soft[item][n])
            costs = soft_codes(soft[query][q : q + 1]).costs[0, :16]
            assert got.scores[q, n] == costs[wrong].sum() / UNIT
            assert got.distances[q, n] == min(int(got.scores[q, n]), 16)


# ----------------------------------------------------------------------------------------- the command line


@pytest.fixture
def own_weights(other_weights: Path, tmp_path: Path) -> Path:
    """A copy that may be written to."""
    for file in other_weights.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path / other_weights.name


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pack(tmp_path_factory.mktemp("people") / "people.h5", 20, 2, 5)


def test_calibrate_writes_into_the_record_and_nothing_else(dhh: Run, own_weights: Path, people: Path) -> None:
    before = json.loads(own_weights.read_text())
    fingerprint = load_weights(own_weights).fingerprint
    result = dhh("calibrate", people, "--weights", own_weights, "--plot", "held.png", "--json")
    assert result.exit_code == 0, result.stderr
    assert f"{own_weights}: calibrated" in result.stderr
    after = json.loads(own_weights.read_text())
    part = after.pop("calibration")
    assert after == before
    assert (part["prior"], part["data"], part["people"]) == (0.01, "people.h5", 20)
    assert load_weights(own_weights).fingerprint == fingerprint
    assert load_hash_layers(load_weights(own_weights)).bits == 32
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    kept = [line for line in lines if "log_loss" in line]
    # two photos a person: there is no group of four
    assert [(line["rank"], line["kind"]) for line in kept] == [(rank, kind) for rank in Rank for kind in KINDS]
    assert all(
        ("spread" in curve) == (side is part) for side in (part, part["soft"]) for curve in side["kinds"].values()
    )
    assert kept[0]["log_loss"] == pytest.approx(part["held_out"][0]["log_loss"], rel=1e-3)
    assert Path("held.png").read_bytes().startswith(b"\x89PNG")
    first = own_weights.read_bytes()
    assert dhh("calibrate", people, "--weights", own_weights).exit_code == 0
    assert own_weights.read_bytes() == first  # the same seed
    assert dhh("calibrate", people, "--weights", own_weights, "--prior", "0.2", "--seed", "1").exit_code == 0
    assert json.loads(own_weights.read_text())["calibration"]["prior"] == 0.2


def test_training_calibrates_where_there_are_people_enough(own_weights: Path, people: Path, tmp_path: Path) -> None:
    few = write_pack(tmp_path / "few.h5", 3, 2, 0)
    (line,) = calibrated_if_enough(few, [own_weights])
    assert line.startswith(f"not calibrated: {few}: 3 people with two photos or more; calibration needs 20")
    assert "calibration" not in json.loads(own_weights.read_text())
    (line,) = calibrated_if_enough(people, [own_weights])
    assert line.startswith("other-32: calibrated, log loss 0.0")
    assert "calibration" in json.loads(own_weights.read_text())


def test_calibrate_refuses_what_cannot_be_calibrated(dhh: Run, own_weights: Path, tmp_path: Path) -> None:
    before = own_weights.read_bytes()
    few = write_pack(tmp_path / "few.h5", 3, 2, 0)
    for words, code, parts in (
        (("nowhere.h5",), 1, ("nowhere.h5", "no such face pack")),
        ((few,), 1, ("few.h5", "3 people with two photos")),
        ((few, "--plot", "held.svg"), 2, ("held.svg", ".png")),
    ):
        result = dhh("calibrate", *words, "--weights", own_weights)
        assert result.exit_code == code, result.stderr
        assert result.stderr.startswith("dhh: error: ")
        assert result.stderr.count("\n") == 1
        assert all(part in result.stderr for part in parts), result.stderr
    assert dhh("calibrate", few, "--weights", own_weights, "--prior", "0").exit_code == 2
    assert dhh("calibrate", few, "--weights", "nothing").exit_code == 1
    assert own_weights.read_bytes() == before
