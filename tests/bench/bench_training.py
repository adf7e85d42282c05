"""What training costs, as ratios of two things timed in turns in one run (`make bench`; not part of `make test`).

One thread, so that the figures do not depend on how many cores are free.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import toy_pack
from torch import Tensor

from dhhcli.models.log_covariance import EPS, triangle
from dhhcli.research.training.engine.distributed import Devices
from dhhcli.research.training.networks.backbone import Backbone
from dhhcli.research.training.networks.hash_model import HashModel
from dhhcli.research.training.networks.log_covariance import log_covariance
from dhhcli.research.training.paper import Hashing, PairBatch, PaperSettings, run_backbone
from dhhcli.research.training.sampler import Pair

pytestmark = pytest.mark.usefixtures("one_thread")

VIDEOS, FRAMES, FEATURES = 30, 30, 320
CPU = Devices(torch.device("cpu"))


def in_turns(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of this process's own CPU time for both, in turns.

    A turn is one call that is not timed and two that are, so that neither pays for the memory that the other one
    leaves for the allocator to give back.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, took in zip((first, second), seconds, strict=True):
            work()
            for _ in range(2):
                began = time.process_time()
                work()
                took.append(time.process_time() - began)
    return float(np.median(seconds[0])), float(np.median(seconds[1]))


def forward_and_backward(layer: Callable[[Tensor], Tensor], frames: Tensor, upstream: Tensor) -> Tensor:
    leaf = frames.clone().requires_grad_()
    layer(leaf).backward(upstream)  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    return leaf.grad


def by_large_decomposition(frames: Tensor) -> Tensor:
    """The same vector by autograd through the decomposition of the d x d matrix, float64 as the layer's own."""
    D = frames.double()
    values, vectors = torch.linalg.eigh(D.mT @ D + EPS * torch.eye(D.shape[2], dtype=D.dtype))
    Y = (vectors * values.log()[:, None]) @ vectors.mT
    rows, columns, weights = (torch.from_numpy(part) for part in triangle(D.shape[2]))
    triangles: Tensor = (Y[:, rows, columns] * weights).to(frames.dtype)
    return triangles


def test_log_covariance_against_the_large_decomposition(benchmark: Any) -> None:
    """30 videos of 30 frames, forward and backward: at least 20 times as fast."""
    generator = torch.Generator().manual_seed(0)
    face = torch.randn(VIDEOS, 1, FEATURES, generator=generator)
    frames = face + 0.3 * torch.randn(VIDEOS, FRAMES, FEATURES, generator=generator)
    upstream = torch.randn(VIDEOS, FEATURES * (FEATURES + 1) // 2, generator=generator)
    torch.testing.assert_close(log_covariance(frames), by_large_decomposition(frames), atol=1e-3, rtol=1e-4)

    def ours() -> Tensor:
        return forward_and_backward(log_covariance, frames, upstream)

    def theirs() -> Tensor:
        return forward_and_backward(by_large_decomposition, frames, upstream)

    assert torch.isfinite(ours()).all()
    fast, slow = in_turns(ours, theirs, 7)
    benchmark.extra_info |= {"ratio": slow / fast, "decomposition_s": slow, "ours_s": fast}
    benchmark.pedantic(ours, rounds=5)
    print(f"\nlog-covariance {1000 * fast:.1f} ms, by the d x d matrix {1000 * slow:.0f}: {slow / fast:.1f}x")  # noqa: T201
    assert slow / fast >= 20


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
def test_the_whole_step_against_the_backbone_alone(benchmark: Any, bf16: bool) -> None:
    """Backbone, log-covariance, hash layers, triplets, optimiser: 1.15 times the backbone's forward and backward.

    A sixth of the paper's batch (2 people, 2 or 3 pairs each, 30 frames: 155 crops), so that it does not take minutes;
    the optimiser, which does not shrink with the batch, counts more than it would.
    """
    if bf16 and not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        pytest.skip("bfloat16 in hardware only")
    rng = np.random.default_rng(0)
    settings = PaperSettings()
    pairs = [Pair(k % 2, 0, (1,)) for k in range(5)]
    crops = rng.integers(0, 256, (len(pairs) * (1 + FRAMES), 64, 64, 3), dtype=np.uint8)
    torch.manual_seed(0)
    backbone, model = Backbone(batch_norm=False), HashModel(settings.bits)
    task = Hashing(backbone, model, toy_pack(), settings, CPU)
    task.bf16 = bf16
    task.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = task.optimiser()
    generator = torch.Generator().manual_seed(0)
    batch = PairBatch(pairs, crops, [FRAMES] * len(pairs), generator)
    upstream = torch.randn(len(crops), FEATURES, generator=generator)

    def whole() -> None:
        loss, _ = task.losses(0, batch, optimiser)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def alone() -> None:
        backbone.zero_grad(set_to_none=True)
        (run_backbone(backbone, crops, CPU, bf16=bf16) * upstream).sum().backward()  # type: ignore[no-untyped-call]

    step, network = in_turns(whole, alone, 3)
    benchmark.extra_info |= {"ratio": step / network, "step_s": step, "backbone_s": network}
    benchmark.pedantic(whole, rounds=1)
    print(f"\nstep {1000 * step:.0f} ms, backbone {1000 * network:.0f}: {step / network:.3f}x")  # noqa: T201
    assert step / network <= 1.15
