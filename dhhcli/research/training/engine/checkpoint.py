"""checkpoint: model, averaged model, optimiser and step <-> one safetensors file, written atomically.

Safetensors and JSON, never pickle: a checkpoint that someone sends you cannot run code.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dhhcli.base.atomic_write import write_atomically
from dhhcli.errors import TrainingError


def save_checkpoint(
    path: Path,
    step: int,
    settings: dict[str, Any],
    model: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Write everything that a later run needs to go on at ``step`` as if it had never stopped."""
    tensors: dict[str, Tensor] = {}
    tensors |= {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{k}": v for k, v in state.items()}
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(
        path,
        save(tensors, {"step": str(step), "settings": json.dumps(settings, sort_keys=True), "format": "1"}),
    )


def load_checkpoint(
    path: Path,
    settings: dict[str, Any],
    model: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> int:
    """Restore what ``save_checkpoint`` wrote and return its step; 0 when there is no checkpoint.

    Raises:
        TrainingError: the file is damaged, or was made with other settings or another number of people.
    """
    tensors = read_tensors(path, settings)
    if tensors is None:
        return 0
    try:
        model.load_state_dict(_part(tensors, "model."))
        average.load_state_dict(_part(tensors, "average."))
    except RuntimeError as error:  # the settings agree, so the number of people does not
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"{path}: was made with another pack ({reason}); give the same --data to go on, "
            "or another --out to start afresh"
        ) from None
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _part(tensors, "optimiser.").items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    with safe_open(path, "pt") as file:
        return int(file.metadata()["step"])


def read_tensors(path: Path, settings: dict[str, Any]) -> dict[str, Tensor] | None:
    """Tensors of a file whose metadata name these ``settings``; None when there is no file.

    Raises:
        TrainingError: the file is damaged, or was made with other settings.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            record = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{path}: damaged checkpoint ({error}); delete it to start again") from None
    if record.get("settings") != json.dumps(settings, sort_keys=True):
        raise TrainingError(
            f"{path}: was made with other settings ({record.get('settings')}); "
            "give the same settings to go on, or another --out to start afresh"
        )
    return tensors


def save_stage(path: Path, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
    """Tensors as ``read_tensors`` takes them back under the same settings."""
    data = save({k: v.contiguous() for k, v in tensors.items()}, {"settings": json.dumps(settings, sort_keys=True)})
    write_atomically(path, data)


def read_averaged(path: Path) -> dict[str, Tensor]:
    """The averaged weights in a checkpoint, whatever it was made with.

    Raises:
        TrainingError: the file is missing, damaged, or no checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys() if key.startswith("average.")}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{path}: not a checkpoint ({error}); name a pretrain.safetensors of another run") from None
    if not tensors:
        raise TrainingError(f"{path}: holds no averaged weights; name a pretrain.safetensors of another run")
    return _part(tensors, "average.module.")


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
