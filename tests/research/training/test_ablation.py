"""ablation.py: what each variant sees, that variants differ in nothing else, and the table on small packs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from synthetic import toy_pack, write_pack
from typer.testing import Result

from dhhcli.models.log_covariance import EPS, log_covariance
from dhhcli.research.datasets.protocol import ProtocolPerson
from dhhcli.research.training.ablation import AblationSettings, Variant, describe, measure, train_variant, variants
from dhhcli.research.training.ablation_data import LOOKS, SHOT_FRAMES, TRAIN_FRAMES, Bank, Held, hold_out, make_bank

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

pytestmark = pytest.mark.usefixtures("one_thread")

D = 6  # features
SETTINGS = AblationSettings(bits=12, steps=30, people=6, pairs=2, rate=0.02, track_rate=0.02, frames=(1, 4))


def faces(
    people: int, photos: int, frames: int, seed: int, of: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Features (people x photos, frames, D) around a point of their own for everybody; ``of`` seeds who they are."""
    who = np.random.default_rng(of).normal(size=(people, 1, 1, D))
    rng = np.random.default_rng(seed)
    photo = 0.2 * rng.normal(size=(people, photos, 1, D))
    noise = 0.1 * rng.normal(size=(people, photos, frames, D))
    return (who + photo + noise).reshape(-1, frames, D).astype(np.float32)


@pytest.fixture(scope="module")
def bank() -> Bank:
    looks, shots = faces(10, 5, 2, 0, 0), faces(10, 5, 4, 1, 0)
    return Bank(torch.from_numpy(looks), torch.from_numpy(shots), np.repeat(np.arange(10), 5))


@pytest.fixture(scope="module")
def held() -> Held:
    """The people of the bank, in other pictures."""
    stills, sets, shots = faces(10, 1, 1, 2, 0)[:, 0], faces(10, 1, 6, 3, 0), faces(10, 1, SHOT_FRAMES, 4, 0)
    who = np.arange(10)
    return Held(torch.from_numpy(stills), who, tuple(torch.from_numpy(sets)), who, torch.from_numpy(shots), who)


@pytest.mark.parametrize("divide", [False, True])
def test_what_a_track_layer_sees(divide: bool) -> None:
    rng = np.random.default_rng(0)
    tracks = [rng.normal(size=(m, D)) for m in (1, 3, 8)]  # the last one has more frames than features
    padded = torch.zeros(3, 8, D, dtype=torch.float64)
    for row, track in enumerate(tracks):
        padded[row, : len(track)] = torch.from_numpy(track)
    counts = torch.tensor([1, 3, 8])
    rows, columns = np.triu_indices(D)
    for kind, expected in {
        "log": [log_covariance(track, divide=divide) for track in tracks],
        "none": [
            (track.T @ track)[rows, columns] * np.where(rows == columns, 1, 2**0.5) / (len(track) if divide else 1)
            for track in tracks
        ],
        "mean": [track.mean(axis=0) for track in tracks],
    }.items():
        variant = Variant("any", 1.0, map=kind, divide=divide)  # type: ignore[arg-type]
        np.testing.assert_allclose(describe(padded, counts, variant, EPS), np.stack(expected), atol=1e-9)


def test_every_variant_learns_and_is_measured(bank: Bank, held: Held) -> None:
    """On people who are easy to tell apart every map is far above chance (0.3 for one right answer of ten)."""
    settings = replace(SETTINGS, steps=80, dropout=0.0)
    for variant in variants(12)[:5]:
        outcomes = list(measure(train_variant(bank, variant, settings), held, variant, settings))
        where = [(o.query, o.database, o.frames, o.queries, o.items) for o in outcomes]
        assert where == [
            ("still", "set", 6, 10, 10),
            ("set", "still", 6, 10, 10),
            ("still", "shot", 1, 10, 10),
            ("shot", "still", 1, 10, 10),
            ("still", "shot", 4, 10, 10),
            ("shot", "still", 4, 10, 10),
        ]
        assert {outcome.variant for outcome in outcomes} == {variant.name}
        assert all(0.4 < outcome.mean_ap <= 1 for outcome in outcomes), (variant, outcomes)


def test_training_twice_gives_the_same_layers_and_each_part_counts(bank: Bank) -> None:
    settings = replace(SETTINGS, steps=3)
    paper = Variant("paper", 1.5)

    def weights(variant: Variant, settings: AblationSettings = settings) -> torch.Tensor:
        return train_variant(bank, variant, settings).track.weight.detach()

    first = weights(paper)
    assert torch.equal(first, weights(paper))
    for other in (
        replace(paper, alpha=3.0),
        replace(paper, divide=True),
        replace(paper, map="none"),
        replace(paper, lambda2=0.0),
        replace(paper, frames=2),
    ):
        assert not torch.equal(first, weights(other)), other
    assert not torch.equal(first, weights(paper, replace(settings, seed=1)))
    still = train_variant(bank, paper, settings).still.weight
    assert not torch.equal(still, train_variant(bank, replace(paper, lambda1=0.0), settings).still.weight)


def test_variants_differ_from_the_paper_and_keep_the_margin() -> None:
    for bits in (8, 12, 48, 256):
        paper, *others = variants(bits)
        assert (paper.map, paper.divide, paper.lambda1, paper.lambda2) == ("log", False, 1.0, 1.0)
        assert all(variant.alpha < bits / 3 for variant in (paper, *others))
        assert len({variant.name for variant in (paper, *others)}) == len(others) + 1


def test_features_are_those_of_the_pictures_named() -> None:
    """With the mean colour for a network: shapes, who is who, and no more photos than asked for."""

    def colour(crops: npt.NDArray[np.uint8]) -> Array:
        return np.asarray(crops.mean(axis=(1, 2)), np.float32)

    pack = toy_pack(people=4, photos=3)
    bank = make_bank(pack, colour, people=3, seed=0)
    assert bank.looks.shape == (9, LOOKS, 3)
    assert bank.shots.shape == (9, TRAIN_FRAMES, 3)
    assert len(set(bank.identity.tolist())) == 3
    again = make_bank(pack, colour, people=3, seed=0)
    assert torch.equal(bank.shots, again.shots)
    protocol = [ProtocolPerson(2, (6,), ((7, 8),), (8,)), ProtocolPerson(0, (0, 1), ((1, 2),), (2,))]
    held = hold_out(pack, protocol, colour)
    assert held.still_people.tolist() == [2, 0, 0]
    assert held.set_people.tolist() == held.shot_people.tolist() == [2, 0]
    np.testing.assert_allclose(held.stills[0], pack.pictures[6, 8:72, 8:72].mean(axis=(0, 1)), rtol=1e-5)
    assert held.sets[0].shape == (2, 3)
    assert held.shots.shape == (2, SHOT_FRAMES, 3)


def test_the_command_prints_a_table(
    dhh: Callable[..., Result], tmp_path: Path, other_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dhhcli.research.training.ablation.variants", lambda bits: variants(bits)[3:5])
    write_pack(tmp_path / "train.h5", 3, 2, seed=0)
    write_pack(tmp_path / "val.h5", 2, 4, seed=1)
    people = [
        {"identity": i, "queries": [4 * i], "sets": [[4 * i + 1, 4 * i + 2]], "shots": [4 * i + 3]} for i in (0, 1)
    ]
    Path("protocol.json").write_text(json.dumps({"people": people}))
    words = ["ablate", "val.h5", "--data", "train.h5", "--protocol", "protocol.json", "--weights", other_weights]
    result = dhh(*words, "--steps", "2", "--bits", "8", "--people", "2")
    assert result.exit_code == 0, result.stderr
    header, *lines = result.stdout.splitlines()
    assert header.split("\t") == ["variant", "frames", "query", "database", "mean_ap", "queries", "items"]
    assert len(lines) == 2 * (2 + 2 * 7)
    assert lines[0].split("\t")[:4] == ["no log, divided by m", "2", "still", "set"]
    assert result.stderr.splitlines()[0] == "features of 4 photos of 2 people"
    assert result.stderr.splitlines()[2].startswith("2/2 mean frame: still -> set mAP ")
    same = dhh(*words, "--steps", "2", "--bits", "8", "--people", "2", "--json")
    assert [json.loads(line)["variant"] for line in same.stdout.splitlines()][-1] == "mean frame"


def test_the_command_refuses_what_cannot_work(dhh: Callable[..., Result], tmp_path: Path, other_weights: Path) -> None:
    write_pack(tmp_path / "train.h5", 1, 2, seed=0)
    write_pack(tmp_path / "val.h5", 2, 4, seed=1)
    person = {"identity": 0, "queries": [0], "sets": [[1, 2]], "shots": [3]}
    for name, people in {
        "far": [person | {"shots": [8]}],
        "bare": [person | {"sets": []}],
        "good": [person],
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"people": people}))
    for pack, data, protocol, code, message in (
        ("val.h5", "train.h5", "far.json", 1, "names row 8"),
        ("val.h5", "train.h5", "bare.json", 1, "names no sets"),
        (
            "val.h5",
            "train.h5",
            "none.json",
            1,
            "none.json: cannot be read (No such file or directory); name a",
        ),
        ("none.h5", "train.h5", "good.json", 1, "none.h5: no such face pack"),
        ("val.h5", "none.h5", "good.json", 1, "none.h5: no such face pack"),
        ("val.h5", "train.h5", "good.json", 2, "train.h5: a triplet needs two people"),
    ):
        result = dhh("ablate", pack, "--data", data, "--protocol", protocol, "--weights", other_weights)
        assert result.exit_code == code, result.output
        assert len(result.stderr.splitlines()) == 1
        assert message in result.stderr
