"""dhh evaluate --compare: cells, what is kept and resumed, tables, CSV, LaTeX, curves, and every way it refuses."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from commands import one_line
from packs import write_people, write_sessions
from typer.testing import Result

from dhhcli.errors import UsageError, WeightsError
from dhhcli.models.weights import load_weights, write_weights
from dhhcli.research.baselines.base import Covariance, Looks, Videowise, featurewise
from dhhcli.research.baselines.comparison.measure import ComparisonData, code_results, feature_results
from dhhcli.research.baselines.comparison.run import Cell, ComparisonPlan, compare, named, plan, read_cell, write_cell
from dhhcli.research.baselines.comparison.summary import grids, summarise
from dhhcli.research.baselines.comparison.write_results import csv_text, latex
from dhhcli.research.baselines.feature_cache import FeatureStore
from dhhcli.research.baselines.registry import source_of
from dhhcli.research.baselines.split import PHOTOS, closed_split, draw, looks_of, protocol_split, training_of
from dhhcli.research.datasets.pack import read_pack
from dhhcli.research.datasets.protocol import ProtocolPerson
from dhhcli.research.evaluation.metrics import Ranking, cosine_distances, mean_average_precision
from dhhcli.research.evaluation.tasks import Line
from dhhcli.research.evaluation.tasks import Result as Found

pytestmark = pytest.mark.slow

Run = Callable[..., Result]


@pytest.fixture
def fit(tmp_path: Path) -> Path:
    return write_people(tmp_path / "fit.h5", people=16, photos=4)


@pytest.fixture
def asked_pack(tmp_path: Path) -> tuple[Path, Path]:
    pack, path = write_people(tmp_path / "pack.h5", people=5, photos=4), tmp_path / "protocol.json"
    people = [
        {"identity": p, "queries": [4 * p], "sets": [[4 * p + 1, 4 * p + 2]], "shots": [4 * p + 3]} for p in range(5)
    ]
    path.write_text(json.dumps({"people": people}))
    return pack, path


def few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shots of two frames: the network takes most of the time."""
    monkeypatch.setattr("dhhcli.research.baselines.split.shots_of.__defaults__", (2,))
    monkeypatch.setattr("dhhcli.research.baselines.split.TRAIN_FRAMES", 2)


def test_the_paper_s_tables_and_going_on(
    dhh: Run, fit: Path, asked_pack: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_frames(monkeypatch)
    words = ["evaluate", asked_pack[0], "--protocol", asked_pack[1], "--fit", fit, "--compare", "dhh,features,itq,cvh"]
    words += ["--bits", "12", "--bits", "24", "--seeds", "2", "--out", "rivals"]
    result = dhh(*words)
    assert result.exit_code == 0, result.stderr
    first, second = ([line.split("\t") for line in part.split("\n") if line] for part in result.stdout.split("\n\n"))
    ways = ["still → set, 12", "still → set, 24", "still → shot, 12", "still → shot, 24"]
    assert first[0] == ["image to video", "", *ways]
    assert [row[0] for row in first[1:]] == ["dhh", "features", "features, 1 frame", "itq", "cvh"]
    assert [row[1] for row in first[1:]] == ["video-wise", "", "", "frame-wise", "video-wise"]
    assert second[0][:3] == ["video to image", "", "set → still, 12"]
    assert first[2][2] == first[2][3]  # real-valued features have no length
    assert [len(row[2].split(" ± ")) for row in first[1:]] == [1, 1, 1, 2, 2]
    notes = result.stderr.splitlines()
    assert len(notes) == 2 + 1 + 4 + 4
    assert notes[0].startswith("1/11 dhh 12 seed 0: still -> set 0.")
    folder = tmp_path / "rivals"
    assert len(list((folder / "cells").iterdir())) == 11
    for bits in (12, 24):
        drawn = cv2.imread(str(folder / f"curves-{bits}.png"))
        assert drawn is not None
        assert drawn.std() > 10
    with (folder / "rivals.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    one = next(row for row in rows if (row["method"], row["bits"], row["database"]) == ("cvh", "24", "set"))
    assert first[5][3] == f"{float(one['mean_ap']):.3f} ± {float(one['spread']):.3f}"
    assert {row["search"] for row in rows if row["method"] == "itq"} == {"average", "minimum", "majority", "mean"}
    assert (folder / "rivals.tex").read_text().startswith("\\begin{tabular}{llrrrr}\n\\hline\nimage to video &  &")
    # again: nothing is computed; a cell that was lost or cut is
    monkeypatch.setattr("dhhcli.research.baselines.cross_modal.cvh.directions", None)
    assert dhh(*words).stdout == result.stdout
    lost = next((folder / "cells").glob("itq-12-1-*.json"))
    lost.write_text(lost.read_text()[:100])
    monkeypatch.setattr("dhhcli.research.baselines.feature_cache.FeatureExtractor", None)  # features are there
    assert dhh(*words).stdout == result.stdout
    # what another form of the method gave is not its figure
    with monkeypatch.context() as changed:
        changed.setattr(
            "dhhcli.research.baselines.comparison.run.source_of",
            lambda name: "new" if name == "itq" else source_of(name),
        )
        assert dhh(*words).stdout == result.stdout
    assert len(list((folder / "cells").iterdir())) == 11 + 4
    # others are searched for in the same cells
    other = dhh(*words, "--search", "majority", "--json")
    lines = [json.loads(line) for line in other.stdout.splitlines()]
    assert {line["method"] for line in lines} == {"dhh", "features", "itq", "cvh"}
    assert dhh(*words, "--search", "majority").stdout != result.stdout


def test_options_that_contradict_each_other(dhh: Run, fit: Path, asked_pack: tuple[Path, Path], tmp_path: Path) -> None:
    pack, protocol = asked_pack
    one_line(dhh("evaluate", pack, "--compare", "abc", "--fit", fit), 2, "'abc'", "are frames, fitted, trained, all")
    one_line(dhh("evaluate", pack, "--compare", "itq"), 2, "--fit", "--closed")
    one_line(dhh("evaluate", pack, "--compare", "itq", "--fit", fit), 2, "--protocol")
    one_line(dhh("evaluate", pack, "--compare", "itq", "--fit", fit, "--closed", "3"), 2, "--closed")
    one_line(dhh("evaluate", pack, "--compare", "itq", "--closed", "3"), 1, "twenty photos")
    one_line(dhh("evaluate", pack, "--compare", "itq", "--fit", fit, "--plot", "a.png"), 2, "--plot")
    one_line(dhh("evaluate", tmp_path, "--compare", "itq", "--fit", fit, "--protocol", protocol), 2, "folder")
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps({"people": [{"identity": 0, "queries": [0], "sets": [], "shots": []}]}))
    one_line(dhh("evaluate", pack, "--compare", "itq", "--fit", fit, "--protocol", bare), 1, "no sets and no shots")
    ways = ("evaluate", pack, "--compare", "dhh", "--fit", fit, "--protocol", protocol, "--weights", "dhh-12")
    one_line(dhh(*ways, "--bits", "24"), 1, "give --bits 12")
    one_line(dhh(*ways, "--bits", "12", "--bits", "24"), 1, "--bits 24", "none of --weights")


def test_names_of_methods() -> None:
    assert named("itq, ksh,itq") == ("itq", "ksh")
    assert named("frames") == ("features", "dhh", "frames", "itq", "lsh", "random")
    assert named("frames,itq") == ("frames", "itq")
    assert set(named("fitted,trained,frames")) == set(named("all"))
    with pytest.raises(UsageError, match="''"):
        named("")


def test_a_plan_s_weights(other_weights: Path) -> None:
    assert sorted(plan(("dhh",), (), 1, (), None).own) == [12, 24, 48]
    assert sorted(plan(("itq",), (36,), 1, (), None).own) == [128]  # the default's backbone
    assert plan(("dhh",), (), 1, ("dhh-48",), None).bits == (48,)
    with pytest.raises(UsageError, match="several backbones"):
        plan(("dhh",), (), 1, ("dhh-48", str(other_weights)), None)
    with pytest.raises(WeightsError, match="other-32: codes of 32 bits"):
        plan(("itq",), (48,), 1, (str(other_weights),), None)


def test_lengths_without_weights_are_said(fit: Path) -> None:
    wanted, said = plan(("dhh",), (36,), 1, (), None), list[str]()
    split = protocol_split(read_pack(fit), read_pack(fit), [ProtocolPerson(0, (0,), ((1, 2),), ())])
    assert compare(split, wanted, said.append) == []
    assert said == ["dhh: no weights of 36 bits; left out"]


def test_real_tracks_and_weights_of_frame_wise_methods(
    dhh: Run, fit: Path, other_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame-wise network of its own is a row beside the others, and is searched like them."""
    few_frames(monkeypatch)
    write_sessions(tmp_path / "tracks.h5")
    base = load_weights(other_weights)
    layers = {
        "hash.still.weight": np.random.default_rng(0).normal(size=(12, 320)).astype(np.float32),
        "hash.still.bias": np.zeros(12, np.float32),
    }
    from safetensors.numpy import save

    record = write_weights(
        tmp_path / "w",
        "made-12",
        bits=12,
        safetensors=save(layers),
        onnx=base.onnx_path.read_bytes(),
        record={
            "model": {"tracks": "majority", "features": 320, "homogeneous": False, "mirror": False},
            "training": {"method": "dsh"},
        },
    )
    words = ("--fit", fit, "--weights", record)
    one_line(dhh("evaluate", "tracks.h5", "--compare", "lsh", *words), 2, "made-12: of dsh", "name it too")
    result = dhh("evaluate", "tracks.h5", "--compare", "lsh,dsh", *words, "--json")
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert {(line["method"], line["kind"], line["query"]) for line in lines} == {
        (method, "frame-wise", query) for method in ("lsh", "dsh") for query in ("still", "session")
    }


def test_a_folder_of_people(dhh: Run, fit: Path, tmp_path: Path) -> None:
    (tmp_path / "people" / "she").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "people" / "she" / "sky.png"), np.full((90, 90, 3), 200, np.uint8))
    one_line(dhh("evaluate", "people", "--compare", "lsh", "--fit", fit), 1, "no face in any photo")


def test_features_are_kept_by_picture(tmp_path: Path, other_weights: Path) -> None:
    """Each picture goes through the network once, across stores; another backbone has its own; damage is mended."""
    weights, seen = load_weights(other_weights), list[int]()

    def extract(crops: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        seen.append(len(crops))
        return crops.reshape(len(crops), -1)[:, :4].astype(np.float32)

    pictures = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    first = FeatureStore(weights, tmp_path, extract=extract)
    expected = pictures.reshape(5, -1)[:, :4]
    np.testing.assert_array_equal(first(pictures[[0, 1, 0, 2]]), expected[[0, 1, 0, 2]])
    np.testing.assert_array_equal(FeatureStore(weights, tmp_path, extract=extract)(pictures), expected)
    assert seen == [3, 2]
    for path in tmp_path.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:50])
    np.testing.assert_array_equal(FeatureStore(weights, tmp_path, extract=extract)(pictures), expected)
    assert seen == [3, 2, 5]
    FeatureStore(load_weights(Path("weights/dhh-48.json").resolve()), tmp_path, extract=extract)(pictures)
    assert seen[-1] == 5


def test_what_is_fitted_on(tmp_path: Path, other_weights: Path) -> None:
    """At most eight photos a person; sets of theirs, a shot each, real tracks as they are; held-out rows in none."""
    path = write_people(tmp_path / "many.h5", people=3, photos=30)
    with h5py.File(path, "a") as file:
        file["track"] = np.where(np.arange(90) >= 80, 7, -1)  # the third person's last ten are film
    faces = read_pack(path)
    split = closed_split(faces, 2)
    assert not set(split.rows) & {row for row in range(90) if row not in split.rows}
    drawn = draw(faces, split.rows)
    assert {int(n) for n in np.bincount(faces.identity[drawn.photos])} == {PHOTOS}
    assert set(drawn.photos) <= set(split.rows[faces.track[split.rows] < 0])
    assert [len(rows) for rows in drawn.sets] == [6, 6, 6, 6, 6, 6, 10]
    assert drawn.sets[-1].tolist() == list(range(80, 90))
    assert all(len(np.unique(faces.identity[rows])) == 1 for rows in drawn.sets)
    store = FeatureStore(
        load_weights(other_weights), extract=lambda crops: crops.reshape(len(crops), -1)[:, :3].astype(np.float32)
    )
    training = training_of(split, store, Covariance())
    assert len(training.pictures) == len(training.people) == (faces.track[split.rows] < 0).sum()
    assert [len(video) for video in training.videos] == [6, 6, 6, 6, 6, 6, 10, 10, 10, 10]
    assert training.video_people.tolist() == [0, 0, 1, 1, 2, 2, 2, 0, 1, 2]
    asked = looks_of(split.asked["set"], store, Covariance())
    assert [len(looks) for looks in asked] == [6, 6]
    np.testing.assert_array_equal(asked[1].features, asked[1].crops.reshape(6, -1)[:, :3])
    assert split.fingerprint() == closed_split(faces, 2).fingerprint() != closed_split(faces, 2, seed=1).fingerprint()


def asked_by_numbers() -> ComparisonData:
    rng = np.random.default_rng(0)

    def looks(n: int) -> Looks:
        return Looks(np.empty((n, 0, 0, 3), np.uint8), rng.normal(size=(n, 6)).astype(np.float32))

    tracks = [looks(m) for m in (3, 2, 4, 1)]
    people = {"still": np.array([0, 1, 0]), "set": np.array([0, 1, 2, 0])}
    return ComparisonData({"still": looks(3)}, {"set": tracks}, people, (("still", "set"), ("set", "still")))


def test_ways_of_searching_frames_are_those_of_loops() -> None:
    asked = asked_by_numbers()
    found = {
        (one.line.representation, one.line.query): one.line.mean_ap
        for one in code_results("signs", featurewise(lambda x: x >= 0), asked)
    }
    stills, tracks = asked.photos["still"].features >= 0, [track.features >= 0 for track in asked.videos["set"]]
    slow: dict[str, Any] = {
        "average": lambda s, t: np.mean([(s != frame).sum() for frame in t]),
        "minimum": lambda s, t: min((s != frame).sum() for frame in t),
        "majority": lambda s, t: sum(bool(s[k]) != (sum(frame[k] for frame in t) * 2 >= len(t)) for k in range(len(s))),
    }
    same = asked.people["still"][:, None] == asked.people["set"][None]
    for how, distance in slow.items():
        distances = np.array([[distance(s, t) for t in tracks] for s in stills], float)
        assert found[how, "still"] == pytest.approx(mean_average_precision(distances, same))
        assert found[how, "set"] == pytest.approx(mean_average_precision(distances.T, same.T))
    means = np.stack([track.features.mean(axis=0) for track in asked.videos["set"]])
    distances = np.array([[(s != (mean >= 0)).sum() for mean in means] for s in stills])
    assert found["mean", "still"] == pytest.approx(mean_average_precision(distances, same))
    real = {one.line.representation: one.line.mean_ap for one in feature_results("f", asked) if one.line.query != "set"}
    expected = mean_average_precision(cosine_distances(asked.photos["still"].features, means), same)
    assert real["all frames"] == pytest.approx(expected)
    assert set(real) == {"all frames", "1 frame"}
    videowise = Videowise(lambda x: x >= 0, lambda tracks: np.stack([frames.sum(axis=0) >= 0 for frames in tracks]))
    (code, _) = code_results("sums", videowise, asked)
    assert code.line.mean_ap == pytest.approx(found["mean", "still"])
    assert code.line.representation == "code"


def cell(method: str, bits: int, seed: int, value: float, search: str = "code") -> Cell:
    lines = [Line(method, search, *way, value, 1.0, 0.5, 0.25, None, 0.1, 2, 3) for way in (("still", "set"),)]
    curve = Ranking(np.array([1.0, 0.5]), np.array([0.5, 1.0]))
    return Cell(method, bits, seed, "video-wise", 1.5, tuple(Found(line, curve) for line in lines))


def test_cells_survive_the_disk(tmp_path: Path) -> None:
    one = cell("her", 12, 3, 0.25)
    write_cell(tmp_path / "cells" / "a.json", one)
    again = read_cell(tmp_path / "cells" / "a.json")
    assert again is not None
    assert (again.method, again.bits, again.seed, again.fit_seconds) == ("her", 12, 3, 1.5)
    assert again.results[0].line == one.results[0].line
    np.testing.assert_array_equal(again.results[0].curve.recall, [0.5, 1.0])
    assert read_cell(tmp_path / "none.json") is None


def test_mean_and_spread_by_hand() -> None:
    cells = [cell("her", 12, 0, 0.2), cell("her", 12, 1, 0.4), cell("her", 24, 0, 0.5), cell("a_b", 12, 0, 0.1)]
    lines = summarise(cells)
    assert [(one.method, one.bits, one.seeds) for one in lines] == [("her", 12, 2), ("her", 24, 1), ("a_b", 12, 1)]
    assert lines[0].mean_ap == pytest.approx(0.3)
    assert lines[0].spread == pytest.approx(np.sqrt(0.02))
    (grid,) = grids(lines)
    assert grid.header == ("image to video", "", "still → set, 12", "still → set, 24")
    assert grid.rows == (
        ("her", "video-wise", "0.300 ± 0.141", "0.500"),
        ("a_b", "video-wise", "0.100", ""),
    )
    assert latex(grid).split("\n")[4:6] == [
        "her & video-wise & 0.300 $\\pm$ 0.141 & 0.500 \\\\",
        "a\\_b & video-wise & 0.100 &  \\\\",
    ]
    assert csv_text(lines).split("\n")[3] == "a_b,video-wise,12,code,still,set,0.1,,1,0.25,1,1.5,2,3"
    assert grids([]) == []


def test_an_empty_plan_has_the_default_lengths() -> None:
    assert ComparisonPlan(("dhh",)).bits == (12, 24, 48)
