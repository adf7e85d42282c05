"""early_stopping: validation figures (r,), one a report -> whether a stage has stopped improving; its best weights.

Figures and weights live in one file beside the checkpoint, so a run that was killed stops where it would have stopped.
Off by default: the learning rate falls along a cosine, and most is gained in the last fifth of it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from dhhcli.base.atomic_write import write_atomically
from dhhcli.research.training.engine.checkpoint import read_tensors


@dataclass(frozen=True)
class EarlyStop:
    """When to stop a stage, and where its best weights are kept."""

    path: Path  # safetensors
    patience: int  # reports without a new best
    stamp: dict[str, Any]  # settings and data, as in the stage's checkpoint

    def figures(self) -> list[float]:
        """What was noted so far, one figure a report.

        Raises:
            TrainingError: the file is damaged, or of a run with other settings or data.
        """
        if read_tensors(self.path, self.stamp) is None:
            return []
        with safe_open(self.path, "pt") as file:
            return [float(figure) for figure in json.loads(file.metadata()["figures"])]

    def note(self, figure: float, module: nn.Module) -> None:
        """Add a report's figure (larger is better); its weights are kept when it is the best so far."""
        figures = [*self.figures(), figure]
        tensors = None if figure < max(figures) else module.state_dict()
        kept = read_tensors(self.path, self.stamp) if tensors is None else tensors
        assert kept is not None  # a figure below the best has a best before it
        settings = json.dumps(self.stamp, sort_keys=True)
        data = save(
            {name: value.detach().cpu().contiguous().clone() for name, value in kept.items()},
            {"settings": settings, "figures": json.dumps(figures)},
        )
        write_atomically(self.path, data)

    def over(self) -> bool:
        """Whether the last ``patience`` reports brought no new best."""
        figures = self.figures()
        return bool(figures) and len(figures) - 1 - figures.index(max(figures)) >= self.patience

    def restore(self, module: nn.Module) -> None:
        """Load the best weights, in place."""
        tensors = read_tensors(self.path, self.stamp)
        assert tensors is not None
        module.load_state_dict(tensors)
