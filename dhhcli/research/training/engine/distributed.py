"""distributed: torchrun's environment -> device, rank and this process's share of a batch (n items); mean gradients.

One process drives one device. Every process builds the same network and draws the same batch, works on its share of it,
gathers what the loss compares across the batch (``gather``: codes, a few numbers an item) and averages the gradients
(``average_gradients``); the result is that of one process with the whole batch, up to the order of sums. Batch
normalisation is the exception: its statistics are those of the share. Only the first process writes.

    torchrun --nproc-per-node 4 .venv/bin/dhh train ...
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from dhhcli.base.atomic_write import write_atomically
from dhhcli.errors import TrainingError, UsageError


@dataclass(frozen=True)
class Share:
    """Items ``start`` to ``stop`` of a batch of ``whole``."""

    whole: int
    start: int
    stop: int

    @property
    def rows(self) -> slice:
        """The same as a slice."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Devices:
    """What this process runs on, and which of how many it is."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and words."""
        return self.rank == 0

    def words(self) -> str:
        """For the log."""
        each = f"{torch.get_num_threads()} threads" if self.device.type == "cpu" else "1 GPU"
        return each if self.world == 1 else f"{self.world} processes of {each}"

    def share(self, whole: int, rank: int | None = None) -> Share:
        """This process's (or another's) part of ``whole`` items in a row; parts differ by one item at most.

        Raises:
            UsageError: there are more processes than items.
        """
        if whole < self.world:
            raise UsageError(f"{self.world} processes for a batch of {whole}; start at most {whole} with torchrun")
        rank = self.rank if rank is None else rank
        return Share(whole, whole * rank // self.world, whole * (rank + 1) // self.world)


def pick_device(local_rank: int = 0) -> torch.device:
    """A GPU where there is one (number ``local_rank`` of this machine), else the CPU.

    Raises:
        UsageError: there are GPUs, but not so many.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"process {local_rank} of this machine has no GPU of its own ({torch.cuda.device_count()} there are); "
            "give torchrun a smaller --nproc-per-node"
        )
    return torch.device("cuda", local_rank)


@contextmanager
def open_devices(environment: Mapping[str, str] = os.environ) -> Iterator[Devices]:
    """This process's devices; joins the others while the context lasts if torchrun started it (WORLD_SIZE > 1).

    Raises:
        UsageError: torchrun's variables are incomplete, or ask for more GPUs than there are.
    """
    world = _number(environment, "WORLD_SIZE", 1)
    if world == 1:
        yield Devices(pick_device())
        return
    rank, local = _number(environment, "RANK"), _number(environment, "LOCAL_RANK")
    device = pick_device(local)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=rank, world_size=world)
    try:
        yield Devices(device, rank, world)
    finally:
        distributed.destroy_process_group()


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name, "" if default is None else str(default))
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"${name} is {text!r}, expected a number; start several processes with torchrun") from None


class _Gather(torch.autograd.Function):
    """Rows of every process in the order of ranks; the gradient of the own rows, times the number of processes."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, devices: Devices, whole: int) -> Tensor:
        shares = [devices.share(whole, rank) for rank in range(devices.world)]
        sizes = [share.stop - share.start for share in shares]
        padded = own.new_zeros((max(sizes), *own.shape[1:]))
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded)
        ctx.rows, ctx.world = shares[devices.rank].rows, devices.world
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        # everybody computes the whole loss, and gradients are averaged afterwards
        return gradients[0][ctx.rows] * ctx.world, None, None


def gather(own: Tensor, devices: Devices, whole: int) -> Tensor:
    """This process's share (k, ...) of ``whole`` items -> all of them (whole, ...), differentiable.

    A loss of the gathered rows, its gradients averaged over the processes, has the gradient of one process with all.
    """
    if devices.world == 1:
        return own
    gathered: Tensor = _Gather.apply(own.contiguous(), devices, whole)  # type: ignore[no-untyped-call]
    return gathered


@torch.no_grad()
def average_gradients(model: nn.Module, devices: Devices) -> None:
    """Replace every gradient by its mean over the processes, in one message; call after backward."""
    if devices.world == 1:
        return
    gradients = [
        torch.zeros_like(parameter) if parameter.grad is None else parameter.grad for parameter in model.parameters()
    ]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= devices.world
    first = 0
    for parameter in model.parameters():
        parameter.grad = flat[first : first + parameter.numel()].view_as(parameter)
        first += parameter.numel()


@torch.no_grad()
def same_weights(model: nn.Module, devices: Devices) -> None:
    """Give every process the first one's weights and buffers, in place."""
    if devices.world > 1:
        for value in model.state_dict().values():
            distributed.broadcast(value, 0)


def first_says(value: bool, devices: Devices) -> bool:
    """The first process's value, in every process."""
    if devices.world == 1:
        return value
    answer = torch.tensor(int(value), device=devices.device)
    distributed.broadcast(answer, 0)
    return bool(answer)


def agree(value: int, devices: Devices, what: str) -> int:
    """The same number back if every process has it.

    Raises:
        TrainingError: they differ (a folder that not all of them share, say).
    """
    if devices.world > 1:
        both = torch.tensor([value, -value], device=devices.device)
        distributed.all_reduce(both, distributed.ReduceOp.MAX)
        if int(both[0]) != -int(both[1]):
            raise TrainingError(
                f"process {devices.rank} has {value} for {what}, another process something else; "
                "all of them need the same files and the same folder --out"
            )
    return value


def halves_pay(network: nn.Module, inputs: Tensor, file: Path, devices: Devices) -> bool:
    """Whether training in bfloat16 is faster here: measured once, then read from ``file`` so that a resumed run agrees.

    Forward and backward of ``inputs``, the best of three after one to warm up; bfloat16 has to win by a tenth.

    Raises:
        TrainingError: ``file`` is damaged.
    """
    if file.is_file():
        try:
            return bool(json.loads(file.read_text(encoding="utf-8"))["bf16"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{file}: not what was measured here ({error}); delete it") from None
    pays = 0
    if devices.device.type == "cuda" and not torch.cuda.is_bf16_supported():
        seconds = {}
    else:
        seconds = {bf16: _seconds(network, inputs, devices.device, bf16=bf16) for bf16 in (False, True)}
        pays = int(seconds[True] < 0.9 * seconds[False])
    if devices.world > 1:  # the first decides
        answer = torch.tensor(pays, device=devices.device)
        distributed.broadcast(answer, 0)
        pays = int(answer)
    if devices.first:
        words = {"float32": seconds.get(False), "bfloat16": seconds.get(True), "bf16": bool(pays)}
        write_atomically(file, (json.dumps(words) + "\n").encode())
    return bool(pays)


def _seconds(network: nn.Module, inputs: Tensor, device: torch.device, *, bf16: bool) -> float:
    best = float("inf")
    for _ in range(4):
        began = time.perf_counter()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            out = network(inputs)
        out.float().square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    network.zero_grad(set_to_none=True)
    return best
