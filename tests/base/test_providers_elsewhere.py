"""providers: CoreML on a Mac and DirectML on Windows are taken like CUDA; with a stand-in for onnxruntime."""

from typing import Any

import onnxruntime
import pytest

from dhhcli.base.onnx_session import CPU, VARIABLE, on_gpu, start_session, wanted_providers

COREML, DIRECTML, CUDA = "CoreMLExecutionProvider", "DmlExecutionProvider", "CUDAExecutionProvider"


class Session:
    """Starts on anything."""

    def __init__(self, source: object, options: Any, providers: list[str]) -> None:
        self.source, self.options, self.names = source, options, providers

    def get_providers(self) -> list[str]:
        return self.names


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ([COREML, "AzureExecutionProvider", CPU], [COREML, CPU]),  # what the wheel for macOS lists
        ([DIRECTML, CPU], [DIRECTML, CPU]),
        ([DIRECTML, COREML, CUDA, CPU], [CUDA, COREML, DIRECTML, CPU]),
        ([CPU], [CPU]),
    ],
)
def test_what_the_machine_has_is_taken(monkeypatch: pytest.MonkeyPatch, there: list[str], wanted: list[str]) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert wanted_providers() == wanted
    session = start_session(b"model")
    assert session.names == wanted
    assert on_gpu(session) is (wanted != [CPU])
    monkeypatch.setenv(VARIABLE, CPU)
    assert start_session(b"model").names == [CPU]
    monkeypatch.setenv(VARIABLE, DIRECTML)
    assert wanted_providers() == ([DIRECTML, CPU] if DIRECTML in there else [CPU])
