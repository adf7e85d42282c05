"""onnx_session: a model's bytes or path -> an onnxruntime session on the best device there is.

A GPU build of onnxruntime lists its providers: CUDA (onnxruntime-gpu), MIGraphX and ROCm (AMD), CoreML (every Mac),
DirectML (onnxruntime-directml, Windows). The first of ``GPUS`` that starts is taken, and the processor stands in for
what the device does not run. ``DHH_PROVIDER=CPUExecutionProvider`` (or any other name) overrules that.

From 1.27 on onnxruntime counts who runs it: while it is imported it writes a device id and a database below HOME, and
looks up a host of its maker. Nothing of that may happen here, so this is the only module that imports it (whoever needs
another part of it imports this one first); the variables have to stand before the import, and every process of a worker
comes by here too.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any, Final

# Releases differ in the name that they go by.
TELEMETRY_OFF: Final = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")
os.environ.update(dict.fromkeys(TELEMETRY_OFF, "1"))

import onnxruntime  # noqa: E402  (after the variables)

if hasattr(onnxruntime, "disable_telemetry_events"):  # Windows has no variable; or a program imported it before us
    onnxruntime.disable_telemetry_events()

MOST_MEMORY: Final = 3 << 28  # bytes, 768 MiB
CPU = "CPUExecutionProvider"
# Not listed: TensorRT and OpenVINO, which compile for minutes at every new size of picture.
GPUS = (
    "CUDAExecutionProvider",
    "MIGraphXExecutionProvider",
    "ROCMExecutionProvider",
    "CoreMLExecutionProvider",
    "DmlExecutionProvider",
)
VARIABLE = "DHH_PROVIDER"


def wanted_providers() -> list[str]:
    """Names for onnxruntime, the best first, the processor last."""
    there = onnxruntime.get_available_providers()
    named = os.environ.get(VARIABLE)
    if named:
        return [named, CPU] if named in there and named != CPU else [CPU]
    return [*(name for name in GPUS if name in there), CPU]


@cache
def _bound_memory() -> None:
    """Make the one memory of this process that sessions of strangers' networks share, with an end to it."""
    info = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(info, onnxruntime.OrtArenaCfg({"max_mem": MOST_MEMORY}))


def start_session(
    model: bytes | Path,
    *,
    threads: int = 1,
    severity: int = 3,
    bounded: bool = False,
    as_it_is: bool = False,
    integers: bool = True,
    plain: bool = False,
) -> Any:
    """An InferenceSession. A GPU that does not start (no driver, no memory) is passed over, as if it were not there.

    threads: cores used for one run. severity: onnxruntime's own words on stderr from this level on, 4: none but fatal.
    bounded: all such sessions together take at most MOST_MEMORY of the processor's. as_it_is: on the processor, nothing
    is computed before the first run (optimising a graph computes what is constant, in memory that has no bounds).
    integers: whether what a quantised network does is computed in integers, or the same in floats (slower).
    plain: only what is constant is computed beforehand; tensors are not laid out anew for the processor, which takes
    longer than a few runs gain by it.
    Raises what onnxruntime raises for a model that the processor cannot run either.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = severity
    # Spinning threads take the core that decodes the video.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if bounded:
        _bound_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
    if as_it_is:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    elif plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    if not integers:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    source = model if isinstance(model, bytes) else str(model)
    wanted = [CPU] if as_it_is else wanted_providers()
    for first in range(len(wanted) - 1):
        try:
            return onnxruntime.InferenceSession(source, options, providers=wanted[first:])
        except Exception:  # noqa: BLE001 - onnxruntime's own classes differ from release to release
            continue
    return onnxruntime.InferenceSession(source, options, providers=[CPU])


def on_gpu(session: Any) -> bool:
    """Whether a session runs on anything but the processor."""
    return bool(session.get_providers()[0] != CPU)
