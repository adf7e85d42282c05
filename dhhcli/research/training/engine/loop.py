"""loop: task (batches, losses, optimiser) + module -> the same module, trained; a report and a checkpoint now and then.

What every training has in common: the next batches are drawn in another thread, gradients are averaged over the
processes (distributed.py) and clipped, the weights' moving average is kept beside them, a checkpoint is written with
every report, a run goes on from it as if it had never stopped, and stops early where its figures stop improving.
"""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dhhcli.base.patience import done_so_far
from dhhcli.base.prefetch import prefetch
from dhhcli.errors import TrainingError
from dhhcli.research.training.engine.checkpoint import load_checkpoint, save_checkpoint
from dhhcli.research.training.engine.distributed import Devices, agree, average_gradients, first_says, same_weights
from dhhcli.research.training.engine.early_stopping import EarlyStop

REPORT_EVERY = 250  # steps


@dataclass(frozen=True)
class Report:
    """Means of the losses over the steps since the last report; none where nothing was left to do."""

    stage: str
    step: int
    steps: int
    losses: dict[str, float]


class Task(Protocol):
    """What knows its batches, its losses and its optimiser."""

    def optimiser(self) -> torch.optim.Optimizer:
        """A fresh optimiser of all parameters."""

    def stage(self, step: int) -> str:
        """Name of the stage that a step belongs to."""

    def draw(self, step: int) -> Any:
        """This process's share of the batch of a step; everything random from a generator seeded with the step."""

    def losses(self, step: int, batch: Any, optimiser: torch.optim.Optimizer) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the whole batch, and its terms; may set the optimiser's rates first."""


def moving_average(module: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a module's weights and buffers, which starts as they are; ``.module`` is it."""
    return AveragedModel(
        module,
        multi_avg_fn=get_ema_multi_avg_fn(decay),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )


def train_task(
    task: Task,
    module: nn.Module,
    steps: int,
    checkpoint: Path | None,
    settings: dict[str, Any],
    devices: Devices,
    *,
    average: AveragedModel | None = None,
    stop: EarlyStop | None = None,
    clip: float | None = None,
    every: int | None = None,
) -> Iterator[Report]:
    """Train a module in place by a task, yielding every so many steps, where a stage ends and at the end.

    Resumes from ``checkpoint``; a run that was complete, or has no steps, yields one report without losses, and so
    does one that stops early, after its last report.

    Args:
        task: batches, losses, optimiser.
        module: what is trained, on its device: the task itself where that is a module.
        steps: of the whole run.
        checkpoint: path of the checkpoint; None: short enough to begin again.
        settings: what the checkpoint must have been made with: settings and data.
        devices: every process works on its share of each batch; the first writes.
        average: follows the weights (``moving_average``); saved with them.
        stop: the caller notes its figures there between reports; when it is over, the best weights are the last ones,
            in ``average`` where there is one, else in ``module``.
        clip: the gradient's norm at most.
        every: steps between reports; default: 250.

    Raises:
        TrainingError: the checkpoint is damaged or was made with other settings, processes found different ones, or
            the loss is no longer a number.
    """
    every = every or REPORT_EVERY
    optimiser = task.optimiser()
    kept = average or nn.Module()  # nothing
    best = average.module if average else module
    start = 0
    if checkpoint:
        found = load_checkpoint(checkpoint, settings, module, kept, optimiser)
        start = agree(found, devices, f"the step of {checkpoint}")
    same_weights(module, devices)
    if start >= steps or (stop and stop.over()):
        if stop and stop.figures():
            stop.restore(best)
        yield Report(task.stage(start - 1), start, steps, {})
        return
    module.train()
    counted = f"{task.stage(0)} steps"  # from the first one on, which takes far longer than another
    sums: dict[str, float] = {}
    count = 0
    with closing(prefetch((task.draw(step) for step in range(start, steps)), depth=1)) as batches:
        for step, batch in enumerate(batches, start):
            loss, terms = task.losses(step, batch, optimiser)
            if not math.isfinite(float(loss.detach())):
                raise TrainingError(
                    f"{task.stage(step)} step {step + 1}: the loss is {float(loss.detach())}; "
                    "start afresh with a smaller rate (--set) and another --out"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            average_gradients(module, devices)
            if clip is not None:
                nn.utils.clip_grad_norm_(module.parameters(), clip)
            optimiser.step()
            if average:
                average.update_parameters(module)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            count += 1
            done = step + 1
            done_so_far(counted, done, steps)
            if done % every == 0 or done == steps or task.stage(done) != task.stage(step):
                if devices.first and checkpoint:
                    save_checkpoint(checkpoint, done, settings, module, kept, optimiser)
                yield Report(task.stage(step), done, steps, {name: value / count for name, value in sums.items()})
                sums, count = {}, 0
                if stop and first_says(devices.first and stop.over(), devices):
                    break
    if stop and stop.figures():
        stop.restore(best)
        yield Report(task.stage(step), done, steps, {})
