"""training/engine/run.py: what a recipe is given, what it is refused, and what it leaves."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from synthetic import write_pack

from dhhcli.errors import TrainingError, UsageError
from dhhcli.research.datasets.pack import take
from dhhcli.research.training.engine.distributed import Devices
from dhhcli.research.training.engine.log import Log
from dhhcli.research.training.engine.run import TrainingRun, open_run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("packs")
    return [
        write_pack(folder / f"{name}.h5", people, 3, seed)
        for seed, (name, people) in enumerate({"a": 2, "b": 3}.items())
    ]


def test_packs_are_merged_and_recorded(packs: list[Path], tmp_path: Path) -> None:
    with open_run(packs, tmp_path / "deep" / "run", terms="made here") as training:
        assert training.folder.is_dir()
        assert (len(training.faces), training.people) == (15, 5)
        record = training.record({"rate": 1}, recipe="none")
        lines = list(training.lines(iter(["a", "b"])))
    assert lines == ["15 crops of 5 people; 1 threads", "a", "b"]
    assert record["data"] == [{"file": "a.h5", "crops": 6}, {"file": "b.h5", "crops": 9}]
    assert record["crops"] == 15
    assert record["people"] == 5
    assert record["terms"] == "made here"
    assert record["settings"] == {"rate": 1}
    assert record["recipe"] == "none"
    json.dumps(record)


def test_only_chosen_crops_are_trained_on(packs: list[Path], tmp_path: Path) -> None:
    with open_run(packs, tmp_path, choose=lambda faces: take(faces, (faces.identity < 1).nonzero()[0])) as training:
        assert (len(training.faces), training.people) == (3, 1)
        assert training.record({})["crops"] == 3
        assert [source["crops"] for source in training.sources] == [6, 9]


def test_a_second_process_trains_without_a_word(packs: list[Path], tmp_path: Path) -> None:
    done = []

    def train() -> Iterator[str]:
        for step in range(3):
            done.append(step)
            yield f"step {step}"

    with open_run(packs, tmp_path) as training:
        second: TrainingRun = replace(training, devices=Devices(torch.device("cpu"), 1, 2))
        assert list(second.lines(train())) == []
    assert done == [0, 1, 2]


def test_the_log_is_plotted_when_it_went_well(packs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="broken"), open_run(packs, tmp_path) as training:  # noqa: PT012
        training.log.write("some", 1, 2, {"loss": 1.0})
        raise TrainingError("broken")
    assert not (tmp_path / "training.png").exists()
    with open_run(packs, tmp_path) as training:
        training.log.write("some", 2, 2, {"loss": 0.5})
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


def test_no_reports_no_plot(packs: list[Path], tmp_path: Path) -> None:
    with open_run(packs, tmp_path):
        pass
    assert not (tmp_path / "training.png").exists()


def test_people_to_measure_on_and_what_is_asked_go_together(packs: list[Path], tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="--validate and --protocol go together"),
        open_run(packs, tmp_path, validate=packs[0]),
    ):
        pass
    with (
        pytest.raises(UsageError, match="--validate and --protocol go together"),
        open_run(packs, tmp_path, protocol=packs[0]),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_named(packs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(TrainingError, match=r"file/run: cannot be made .*--out"),
        open_run(packs, tmp_path / "file" / "run"),
    ):
        pass


def test_a_report_that_was_not_written_whole_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    Log(path).write("hash", 1, 2, {"loss": 0.5})
    path.write_bytes(path.read_bytes() + b'{"stage": "ha')
    Log(path, kept=False)  # of another process of the same run
    assert path.read_bytes().endswith(b"ha")
    Log(path).write("hash", 2, 2, {"loss": 0.25})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]
