"""dhh evaluate on packs, folders and codes files: what is printed, and every way it refuses."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from packs import write_people, write_sessions
from typer.testing import Result

from dhhcli.errors import PackError
from dhhcli.media.sample import Sample
from dhhcli.models.weights import load_weights
from dhhcli.research.datasets.pack import read_pack
from dhhcli.research.datasets.protocol import check_protocol, read_protocol
from dhhcli.research.evaluation.protocol import evaluate
from dhhcli.research.evaluation.tables import Backbones, Evaluation, PairsLine, load_all, write_evaluation

Run = Callable[..., Result]
HEADER = [
    *("weights", "representation", "query", "database", "mean_ap", "precision_at_1", "precision_at_5"),
    *("precision_at_10", "recall_at_fmr_1e2", "recall_at_fmr_1e3", "queries", "items"),
]


def one_line(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_people(tmp_path / "pack.h5")


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    path = tmp_path / "protocol.json"
    people = [
        {"identity": p, "queries": [3 * p], "sets": [[3 * p + 1, 3 * p + 2]], "shots": [3 * p + 1]} for p in range(4)
    ]
    path.write_text(json.dumps({"people": people}))
    return path


def table(text: str) -> tuple[list[str], list[dict[str, str]]]:
    header, *rows = [line.split("\t") for line in text.split("\n") if line]
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def test_a_protocol_gives_tables_and_curves(
    dhh: Run, pack: Path, protocol: Path, other_weights: Path, tmp_path: Path
) -> None:
    result = dhh(
        "evaluate", pack, "--protocol", protocol, "--weights", other_weights, "--weights", "dhh-48",
        "--out", "all.json", "--plot", "curves.png",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    retrieval, verification = result.stdout.split("\n\n")
    header, rows = table(retrieval)
    assert header == HEADER
    assert {row["weights"] for row in rows} == {"other-32", "dhh-48"}
    assert list(dict.fromkeys(row["representation"] for row in rows)) == ["codes", "features", "random"]
    # the figures that train writes into the record
    for score in evaluate(pack, protocol, "dhh-48"):
        shown = [
            row["mean_ap"]
            for row in rows
            if (row["weights"], row["representation"], row["query"], row["database"])
            == ("dhh-48", score.representation, score.query, score.database)
        ]
        assert shown == [f"{score.mean_ap:.4f}"]
    pairs, lines = table(verification)
    assert pairs[:3] == ["weights", "representation", "balanced_accuracy"]
    # three photos of each of four people: 12 stills
    assert [(line["same_pairs"], line["other_pairs"]) for line in lines] == [("12", "54")] * 4
    whole = json.loads((tmp_path / "all.json").read_text())
    assert [f"{line['mean_ap']:.4f}" for line in whole["retrieval"]] == [row["mean_ap"] for row in rows]
    assert len(whole["curves"]) == len(rows)
    assert whole["curves"][0]["recall"][-1] == 1
    drawn = cv2.imread(str(tmp_path / "curves.png"))
    assert drawn is not None
    assert drawn.std() > 10


def test_json_lines_say_their_table(dhh: Run, pack: Path, other_weights: Path) -> None:
    """A pack without protocol and sessions: every crop asks for the others."""
    result = dhh("evaluate", pack, "--weights", other_weights, "--json")
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["table"], line["representation"]) for line in lines] == [
        ("retrieval", "codes"),
        ("retrieval", "features"),
        ("verification", "codes"),
        ("verification", "features"),
    ]
    assert (lines[0]["query"], lines[0]["database"], lines[0]["queries"], lines[0]["items"]) == (
        "still",
        "still",
        12,
        12,
    )
    assert 0 < lines[0]["mean_ap"] <= 1


def test_a_pack_of_real_tracks_gives_the_table_over_frames(dhh: Run, tmp_path: Path, other_weights: Path) -> None:
    write_sessions(tmp_path / "tracks.h5")
    result = dhh("evaluate", "tracks.h5", "--weights", other_weights)
    assert result.exit_code == 0, result.stderr
    retrieval, frames = result.stdout.split("\n\n")  # two stills of two people: no verification
    ways = {(row["query"], row["database"]) for row in table(retrieval)[1]}
    assert ways == {("still", "session"), ("session", "still"), ("session", "session")}
    header, rows = table(frames)
    assert header == [
        *("weights", "representation", "divided", "as_trained", "frames", "still_session", "session_still"),
        *("bits_from_all", "queries", "sessions"),
    ]
    assert len(rows) == 21
    assert [row["bits_from_all"] for row in rows if row["frames"] == "all"] == ["0.0000", "0.0000", ""]


def test_features_are_computed_once_a_backbone(other_weights: Path) -> None:
    weights, backbones, calls = load_weights(other_weights), Backbones(threads=1), []
    for what in ("a", "a", "b"):
        backbones.once(weights, what, lambda extract, _film: calls.append(extract))
    assert len(calls) == 2
    assert calls[0] is calls[1]
    assert len(load_all([str(other_weights), str(other_weights)])) == 1


@pytest.fixture
def people(tmp_path: Path, sample: Sample) -> Path:
    folder = tmp_path / "people"
    for photo in sample.photos:
        (folder / photo.stem).mkdir(parents=True)
        shutil.copy(photo, folder / photo.stem / photo.name)
        picture = cv2.imread(str(photo))
        assert picture is not None
        cv2.imwrite(str(folder / photo.stem / "mirrored.png"), picture[:, ::-1])
    return folder


def test_a_folder_per_person(dhh: Run, people: Path, sample: Sample) -> None:
    (people / sample.photos[0].stem / "notes.txt").write_text("no picture")
    cv2.imwrite(str(people / sample.photos[0].stem / "sky.png"), np.full((100, 100, 3), 200, np.uint8))
    result = dhh("evaluate", people)
    assert result.exit_code == 0, result.stderr
    assert "notes.txt: " in result.stderr
    assert "sky.png: no face found" in result.stderr
    rows = table(result.stdout.split("\n\n")[0])[1]
    assert [(row["representation"], row["mean_ap"], row["queries"]) for row in rows] == [
        ("codes", "1.0000", "4"),
        ("features", "1.0000", "4"),
    ]


def test_a_folder_with_videos(dhh: Run, people: Path, sample: Sample) -> None:
    shutil.copy(sample.film, people / sample.photos[0].stem / "film.mp4")
    result = dhh("evaluate", people, "--json")
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    ways = {(line["query"], line["database"]) for line in lines if line["table"] == "retrieval"}
    assert ways == {("still", "still"), ("still", "track"), ("track", "still"), ("track", "track")}


def write_labels(path: Path, *rows: str, columns: str = "video\tshot\tperson") -> Path:
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def test_codes_with_labels_and_photos(dhh: Run, encoded: Path, sample: Sample, people: Path, tmp_path: Path) -> None:
    first, second = (photo.stem for photo in sample.photos)
    film = sample.film.name
    shots = {first: (2, 6, 7), second: (3, 5, 6)}
    rows = [f"{film}\t{shot}\t{person}" for person, numbers in shots.items() for shot in numbers]
    labels = write_labels(tmp_path / "labels.tsv", *rows)
    (people / "nobody").mkdir()
    shutil.copy(sample.photos[0], people / "nobody" / "photo.jpg")
    result = dhh("evaluate", encoded, "--labels", labels, "--photos", people)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines()[-1] == "nobody: no label, so their photos have nothing to find"
    (row,) = table(result.stdout)[1]
    assert (row["query"], row["database"], row["queries"]) == ("still", "shot", "5")
    assert float(row["mean_ap"]) > 0.9
    # the other way round it cannot be good
    swapped = [f"{film}\t{shot}\t{second if person == first else first}" for person, n in shots.items() for shot in n]
    wrong = dhh("evaluate", encoded, "--labels", write_labels(tmp_path / "wrong.tsv", *swapped), "--photos", people)
    assert float(table(wrong.stdout)[1][0]["mean_ap"]) < float(row["mean_ap"])


def test_labels_of_tracks(dhh: Run, encoded: Path, sample: Sample, tmp_path: Path) -> None:
    found = [
        json.loads(line) for line in dhh("query", sample.photos[0], "--codes", encoded, "--json").stdout.splitlines()
    ]
    columns = "video\tshot\ttrack\tperson"
    rows = [f"{hit['video']}\t{hit['shot']}\t{hit['track']}\tshe" for hit in found[:2]]
    labels = write_labels(tmp_path / "labels.tsv", *rows, columns=columns)
    result = dhh("evaluate", encoded, "--labels", labels)
    assert result.exit_code == 0, result.stderr
    (row,) = table(result.stdout)[1]
    assert (row["query"], row["database"], row["queries"]) == ("track", "track", "2")
    assert 0 < float(row["mean_ap"]) <= 1
    wrong = write_labels(tmp_path / "wrong.tsv", f"{found[0]['video']}\t{found[0]['shot']}\t999\tshe", columns=columns)
    one_line(dhh("evaluate", encoded, "--labels", wrong), 1, "line 2", "track 999")


def test_label_files_that_do_not_fit(dhh: Run, encoded: Path, sample: Sample, people: Path, tmp_path: Path) -> None:
    film = sample.film.name
    ask = ("--photos", people)
    path = tmp_path / "labels.tsv"
    for rows, columns, words in (
        ((), "video\tshot", ("columns video, shot", "expected video, shot, person")),
        ((), "video\tshot\tperson", ("no labels",)),
        (("other.mp4\t1\tshe",), "video\tshot\tperson", ("line 2", "no video called 'other.mp4'")),
        ((f"{film}\t99\tshe",), "video\tshot\tperson", ("line 2", "no shot 99")),
        ((f"{film}\tone\tshe",), "video\tshot\tperson", ("line 2", "whole numbers")),
        ((f"{film}\t1\t",), "video\tshot\tperson", ("line 2", "names no person")),
    ):
        one_line(dhh("evaluate", encoded, "--labels", write_labels(path, *rows, columns=columns), *ask), 1, *words)
    one_line(dhh("evaluate", encoded, "--labels", "absent.tsv", *ask), 1, "absent.tsv: cannot be read")
    path.write_bytes(b"\xff\xfe")
    one_line(dhh("evaluate", encoded, "--labels", path, *ask), 1, "not UTF-8")
    write_labels(path, f"{film}\t1\tshe")
    one_line(dhh("evaluate", encoded, "--labels", path), 2, "--photos")
    one_line(dhh("evaluate", encoded, "--labels", path, "--photos", tmp_path / "none"), 1, "no such folder")
    unlike = dhh("evaluate", encoded, "--labels", path, *ask)
    assert unlike.exit_code == 1
    assert "nobody asked for is labelled" in unlike.stderr


def test_options_that_contradict_each_other(dhh: Run, pack: Path, people: Path) -> None:
    for words in (("--fit", pack), ("--bits", "12"), ("--seeds", "2"), ("--closed", "3"), ("--search", "mean")):
        one_line(dhh("evaluate", pack, *words), 2, "belong to --compare")
    one_line(dhh("evaluate", pack, "--photos", people), 2, "--labels")
    one_line(dhh("evaluate", people, "--protocol", "p.json"), 2, "folder")
    one_line(dhh("evaluate", people, "--labels", "l.tsv"), 2, "codes file")
    one_line(dhh("evaluate", pack, "--labels", "l.tsv", "--weights", "a", "--weights", "b"), 2, "--weights once")
    one_line(dhh("evaluate", pack, "--plot", "curves.pdf"), 2, "curves.pdf", ".png")


def test_data_with_nothing_to_measure(dhh: Run, tmp_path: Path) -> None:
    one_line(dhh("evaluate", "absent.h5"), 1, "no such face pack")
    write_people(tmp_path / "single.h5", photos=1)
    one_line(dhh("evaluate", "single.h5"), 1, "nothing to measure")
    (tmp_path / "empty").mkdir()
    one_line(dhh("evaluate", "empty"), 1, "holds no folders")
    (tmp_path / "empty" / "she").mkdir()
    one_line(dhh("evaluate", "empty"), 1, "no face in any photo")


def test_protocols_that_do_not_fit(pack: Path, tmp_path: Path) -> None:
    path, faces = tmp_path / "p.json", read_pack(pack)
    for person, words in (
        ({"queries": [12], "sets": [], "shots": []}, "names row 12, but .*pack.h5 has 12 crops"),
        ({"queries": [-1], "sets": [], "shots": []}, "names row -1"),
        ({"queries": [0], "sets": [[]], "shots": []}, "set without photos"),
        ({"queries": [], "sets": [[1]], "shots": []}, "names no queries"),
    ):
        path.write_text(json.dumps({"people": [{"identity": 0} | person]}))
        with pytest.raises(PackError, match=words):
            check_protocol(path, faces, read_protocol(path))


def test_nan_is_null_in_json(tmp_path: Path) -> None:
    line = PairsLine("w", "codes", math.nan, 1.0, 1.0, 0.0, 1, 2)
    write_evaluation(tmp_path / "e.json", Evaluation(pairs=(line,)))
    written: dict[str, Any] = json.loads((tmp_path / "e.json").read_text())
    assert written["verification"][0]["balanced_accuracy"] is None
