"""Searching on a CUDA device, which is imitated here: ties in any order, ranks as everywhere."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bare_codes import Products
from footage import random_codes
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import Result

from dhhcli.errors import DeviceError
from dhhcli.index import gpu
from dhhcli.index.codes import codes_of
from dhhcli.index.faiss_backend import faiss
from dhhcli.media.sample import Sample
from dhhcli.models.binary_codes import hamming


class Device:
    """What GpuIndexBinaryFlat does: the k nearest by distance, ties as they come."""

    def __init__(self, resources: object, bits: int, seed: int = 0) -> None:
        self.codes = np.empty((0, bits // 8), np.uint8)
        self.rng = np.random.default_rng(seed)
        self.resources = resources

    def add(self, codes: np.ndarray) -> None:
        self.codes = np.concatenate([self.codes, codes])

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        shuffled = self.rng.permutation(len(self.codes))
        near = hamming(queries, self.codes[shuffled])
        order = np.argsort(near, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(near, order, axis=1), shuffled[order]


@given(
    seed=st.integers(0, 2**32), n=st.integers(1, 900), varying=st.integers(1, 64), k=st.sampled_from([1, 20, 300, 900])
)
@settings(max_examples=60, deadline=None)
def test_ties_are_ranked_as_on_the_processor(seed: int, n: int, varying: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    codes, queries = random_codes(rng, n, 64, varying), random_codes(rng, 3, 64, varying)
    device = Device(None, 64, seed)
    device.add(codes)
    k = min(k, n)
    index = gpu.OnDevice(device, codes_of([codes[: n // 3], codes[n // 3 :]]), weighed=False)
    distances, ids = index.nearest(queries, k)
    expected = [sorted((d, i) for i, d in enumerate(row))[:k] for row in hamming(queries, codes).tolist()]
    assert [list(zip(d, i, strict=True)) for d, i in zip(distances.tolist(), ids.tolist(), strict=True)] == expected
    assert (distances.dtype.name, ids.dtype.name) == ("int32", "int64")


def test_without_a_gpu_there_is_one_line(
    dhh: Callable[..., Result], encoded: Path, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    result = dhh("query", sample.photos[0], "--codes", encoded, "--device", "cuda")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("dhh: error: --device cuda: faiss finds no GPU; install faiss-gpu in the place of")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("rank", ["soft", "bits"])
def test_with_a_gpu_the_answer_is_the_same(
    dhh: Callable[..., Result], encoded: Path, sample: Sample, monkeypatch: pytest.MonkeyPatch, rank: str
) -> None:
    made: list[str] = []

    def make(resources: object, bits: int) -> Device:
        made.append("bits")
        return Device(resources, bits)

    def products(resources: object, bits: int, config: SimpleNamespace) -> Products:
        assert (type(resources), bits, config.useFloat16) == (object, 128, True)
        made.append("soft")
        return Products()

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexBinaryFlat", make, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatConfig", SimpleNamespace, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatIP", products, raising=False)
    words = ("query", sample.photos[0], "--codes", encoded, "--rank", rank)
    assert dhh(*words, "--device", "cuda").stdout == dhh(*words, "--device", "cpu").stdout == dhh(*words).stdout
    assert made == [rank]

    def full(*_: object) -> None:
        raise RuntimeError("Error in\nallocMemory: out of memory")

    monkeypatch.setattr(Device, "add", full)
    with pytest.raises(DeviceError, match="Error in allocMemory: out of memory; install"):
        gpu.to_gpu(codes_of(np.zeros((1, 8), np.uint8)))
