"""loop: task (batches, losses, parameters) -> the same parameters, trained; a report and a checkpoint now and then.

What every training has in common: the next batch is drawn in another thread, gradients are averaged over the processes
(distributed.py), a checkpoint is written with every report, and a run goes on from it as if it had never stopped.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dhhcli.base.prefetch import drawn_ahead
from dhhcli.errors import TrainingError
from dhhcli.research.training.engine.checkpoint import load_checkpoint, save_checkpoint
from dhhcli.research.training.engine.distributed import Devices, agree, average_gradients

REPORT_EVERY = 250  # steps


@dataclass(frozen=True)
class Report:
    """Means of the losses over the steps since the last report; none where nothing was left to do."""

    stage: str
    step: int
    steps: int
    losses: dict[str, float]


class Task(Protocol):
    """A module that knows its batches, its losses and its optimiser."""

    def optimiser(self) -> torch.optim.Optimizer:
        """A fresh optimiser of all parameters."""

    def stage(self, step: int) -> str:
        """Name of the stage that a step belongs to."""

    def draw(self, step: int) -> Any:
        """This process's share of the batch of a step; everything random from a generator seeded with the step."""

    def losses(self, step: int, batch: Any, optimiser: torch.optim.Optimizer) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the whole batch, and its terms; may set the optimiser's rates first."""


def train_task(
    task: Task, steps: int, checkpoint: Path, settings: dict[str, Any], devices: Devices, *, clip: float = 0.0
) -> Iterator[Report]:
    """Train a task (which is a module) in place, yielding every 250 steps, where a stage ends and at the end.

    Resumes from ``checkpoint``; a run that was complete yields one report without losses. No steps: nothing happens.
    ``clip``: largest norm of the gradient; 0: any.

    Raises:
        TrainingError: the checkpoint is damaged or was made with other settings, processes found different ones, or
            the loss is no longer a number.
    """
    if not steps:
        return
    assert isinstance(task, nn.Module)
    optimiser = task.optimiser()
    nothing = nn.Module()  # no averaged weights
    start = agree(load_checkpoint(checkpoint, settings, task, nothing, optimiser), devices, f"the step of {checkpoint}")
    if start >= steps:
        yield Report(task.stage(steps - 1), start, steps, {})
        return
    task.train()
    sums: dict[str, float] = {}
    count = 0
    for step, batch in drawn_ahead(task.draw, start, steps):
        loss, terms = task.losses(step, batch, optimiser)
        if not math.isfinite(float(loss.detach())):
            raise TrainingError(
                f"{task.stage(step)} step {step + 1}: the loss is {float(loss.detach())}; "
                "start afresh with a smaller rate (--set) and another --out"
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(task, devices)
        if clip:
            torch.nn.utils.clip_grad_norm_(task.parameters(), clip)
        optimiser.step()
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        count += 1
        done = step + 1
        if done % REPORT_EVERY == 0 or done == steps or task.stage(done) != task.stage(step):
            if devices.first:
                save_checkpoint(checkpoint, done, settings, task, nothing, optimiser)
            yield Report(task.stage(step), done, steps, {name: value / count for name, value in sums.items()})
            sums, count = {}, 0
