"""providers: a GPU where there is one, the processor where it does not start; with a stand-in for onnxruntime."""

from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from dhhcli.base.onnx_session import CPU, VARIABLE, on_gpu, start_session, wanted_providers


class Session:
    def __init__(self, source: object, options: Any, providers: list[str]) -> None:
        if providers[0] == "CUDAExecutionProvider":
            raise RuntimeError("no driver")
        self.source, self.options, self.names = source, options, providers

    def get_providers(self) -> list[str]:
        return self.names


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ["CUDAExecutionProvider", "DmlExecutionProvider", "AzureExecutionProvider", CPU]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.usefixtures("gpus")
def test_the_best_device_that_starts_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wanted_providers() == ["CUDAExecutionProvider", "DmlExecutionProvider", CPU]
    session = start_session(Path("a.onnx"), threads=3, severity=4)
    assert session.names == ["DmlExecutionProvider", CPU]
    assert session.source == "a.onnx"
    assert session.options.intra_op_num_threads == 3
    assert on_gpu(session)
    monkeypatch.setenv(VARIABLE, "CUDAExecutionProvider")
    assert start_session(b"model").names == [CPU]
    monkeypatch.setenv(VARIABLE, CPU)
    assert wanted_providers() == [CPU]
    monkeypatch.setenv(VARIABLE, "NoSuchProvider")
    assert not on_gpu(start_session(b"model"))
