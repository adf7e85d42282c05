"""training/engine/loop.py: clipping, averages, early stops and going on, on a task whose answer is known."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dhhcli.errors import TrainingError
from dhhcli.research.training.engine.checkpoint import read_averaged
from dhhcli.research.training.engine.distributed import Devices
from dhhcli.research.training.engine.early_stopping import EarlyStop
from dhhcli.research.training.engine.loop import Report, moving_average, train_task

ONE = Devices(torch.device("cpu"))
pytestmark = pytest.mark.usefixtures("one_thread")


def weight_of(module: nn.Module) -> float:
    (weight,) = module.parameters()
    return float(weight.detach())


class Down:
    """The loss is minus one weight, whose gradient is -1 (times ``steep``): it goes up by the rate, 1, every step."""

    def __init__(self, *, steep: float = 1.0, breaks: int = 99, halves: int = 99) -> None:
        self.module = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.module.weight)
        self.steep, self.breaks, self.halves = steep, breaks, halves

    def optimiser(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.module.parameters(), lr=1.0)

    def stage(self, step: int) -> str:
        return "first" if step < self.halves else "second"

    def draw(self, step: int) -> float:
        if step == self.breaks:
            raise TrainingError(f"no batch {step}")
        return -self.steep

    def losses(self, step: int, batch: Any, optimiser: torch.optim.Optimizer) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        loss = batch * self.module.weight.sum()
        return loss, {"loss": loss, "step": torch.tensor(float(step))}

    def weight(self) -> float:
        return weight_of(self.module)


def trained(task: Down, steps: int, checkpoint: Path | None = None, **words: Any) -> list[Report]:
    return list(train_task(task, task.module, steps, checkpoint, {"seed": 0}, ONE, **words))


def test_reports_are_means_since_the_last_and_end_with_every_stage() -> None:
    task = Down(halves=3)
    reports = trained(task, 7, every=2)
    assert [(report.stage, report.step) for report in reports] == [
        ("first", 2),
        ("first", 3),
        ("second", 4),
        ("second", 6),
        ("second", 7),
    ]
    assert [report.losses["step"] for report in reports] == [0.5, 2.0, 3.0, 4.5, 6.0]
    assert task.weight() == 7.0


def test_a_gradient_is_clipped_to_the_norm_asked_for() -> None:
    task, free = Down(steep=8.0), Down(steep=8.0)
    trained(task, 4, clip=0.5)
    trained(free, 4)
    assert task.weight() == pytest.approx(2.0, rel=1e-4)
    assert free.weight() == 32.0


def test_the_average_follows_and_is_kept(tmp_path: Path) -> None:
    task = Down()
    average = moving_average(task.module, 0.5)
    trained(task, 3, tmp_path / "checkpoint.safetensors", average=average)
    assert weight_of(average.module) == 2.25  # 1 (the first is taken whole), 1.5, 2.25
    assert float(read_averaged(tmp_path / "checkpoint.safetensors")["weight"]) == 2.25


def test_going_on_is_as_never_having_stopped(tmp_path: Path) -> None:
    found = []
    for stops in ((), (2, 4)):
        path = tmp_path / f"{len(stops)}.safetensors"
        for stop in (*stops, 99):
            task = Down()
            average = moving_average(task.module, 0.8)
            for report in train_task(task, task.module, 6, path, {"seed": 0}, ONE, average=average, every=2):
                if report.step == stop:
                    break
        found.append((task.weight(), weight_of(average.module)))
    assert found[0] == found[1]
    assert found[0][0] == 6.0
    assert trained(task, 6, tmp_path / "0.safetensors", average=average) == [Report("first", 6, 6, {})]


def test_without_a_checkpoint_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = Down()
    trained(task, 2)
    assert task.weight() == 2.0
    assert not list(tmp_path.iterdir())


def test_no_steps_are_one_report_without_losses() -> None:
    task = Down()
    assert trained(task, 0) == [Report("first", 0, 0, {})]
    assert task.weight() == 0.0


@pytest.mark.parametrize(("averaged", "best"), [(False, 2.0), (True, 1.5)])
def test_a_stop_brings_the_best_weights_back(tmp_path: Path, averaged: bool, best: float) -> None:
    """Figures are best at step 2; two reports later it is over, also for a run that is started again."""
    figures = {1: 0.5, 2: 0.9, 3: 0.8, 4: 0.7}
    for time in range(2):
        task, stop = Down(), EarlyStop(tmp_path / "best.safetensors", 2, {"seed": 0})
        average = moving_average(task.module, 0.5) if averaged else None
        kept = average.module if average else task.module
        steps = []
        path = tmp_path / "checkpoint.safetensors"
        for report in train_task(task, task.module, 9, path, {"seed": 0}, ONE, average=average, stop=stop, every=1):
            steps.append((report.step, bool(report.losses)))
            if report.losses:
                stop.note(figures[report.step], kept)
        assert steps == ([(1, True), (2, True), (3, True), (4, True), (4, False)] if time == 0 else [(4, False)])
        assert weight_of(kept) == best


def test_a_loss_that_is_no_number_is_said() -> None:
    with pytest.raises(TrainingError, match="first step 1: the loss is nan"):
        trained(Down(steep=float("nan")), 2)


def test_what_drawing_raises_comes_after_the_steps_before_it() -> None:
    task = Down(breaks=3)
    with pytest.raises(TrainingError, match="no batch 3"):
        trained(task, 9)
    assert task.weight() == 3.0
