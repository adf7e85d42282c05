"""training/engine/early_stopping.py: when it is over, and that the best weights come back, also after a kill."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from dhhcli.errors import TrainingError
from dhhcli.research.training.engine.early_stopping import EarlyStop


def layer(value: float) -> nn.Linear:
    made = nn.Linear(2, 1)
    with torch.no_grad():
        made.weight.fill_(value)
    return made


@pytest.mark.parametrize(
    ("figures", "patience", "over"),
    [
        ([0.5], 1, False),
        ([0.5, 0.4], 1, True),
        ([0.5, 0.5], 1, True),  # as good is no better
        ([0.5, 0.4], 2, False),
        ([0.5, 0.4, 0.6, 0.5], 2, False),
        ([0.5, 0.4, 0.6, 0.5, 0.59], 2, True),
    ],
)
def test_over_after_so_many_reports_without_a_new_best(
    tmp_path: Path, figures: list[float], patience: int, over: bool
) -> None:
    stop = EarlyStop(tmp_path / "best.safetensors", patience, {"seed": 1})
    assert not stop.over()
    for figure in figures:
        stop.note(figure, layer(figure))
    again = replace(stop)  # what a run finds that was killed and started again
    assert again.figures() == figures
    assert again.over() is over
    found = layer(0.0)
    again.restore(found)
    assert float(found.weight[0, 0].detach()) == pytest.approx(max(figures))


def test_another_run_s_best_is_refused(tmp_path: Path) -> None:
    EarlyStop(tmp_path / "best.safetensors", 1, {"seed": 1}).note(0.5, layer(1.0))
    with pytest.raises(TrainingError, match="other settings"):
        EarlyStop(tmp_path / "best.safetensors", 1, {"seed": 2}).over()
