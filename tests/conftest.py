"""Fixtures that several test files share: weights, a film with two people, its codes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before faiss is imported: spinning threads starve each other
if "PYTEST_XDIST_WORKER" in os.environ:  # as many of us as there are cores: one thread each, in programs started too
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
os.environ["ORT_DISABLE_TELEMETRY"] = os.environ["ORT_TELEMETRY_DISABLED"] = "1"  # tests import onnxruntime themselves

import numpy as np
import portalocker
import pytest
from footage import copy_of
from hypothesis import settings
from typer.testing import CliRunner, Result

from dhhcli.media.sample import RATE, SCRIPT, Sample, frames, portraits, write_film, write_sample
from dhhcli.models.calibration import Calibration, from_record
from dhhcli.models.weights import load_weights, resolve_weights

# a machine that does something else for a moment says nothing about a property
settings.register_profile("dhh", deadline=None)
settings.load_profile("dhh")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for the browser is marked so."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what needs a GPU where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU that torch can use (CUDA)")


@pytest.fixture(scope="session", autouse=True)
def no_test_waits_for_the_disk() -> Iterator[None]:
    """``os.fsync`` of this process does nothing; tests of when it is called, or fails, put their own in its place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread: sums of several threads differ from run to run in the last bit."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine says no more on stderr than a fast one, but where that is what is tested."""
    if request.module.__name__.rpartition(".")[2] == "test_waiting_words":
        return
    from dhhcli.output.terminal import waiting

    monkeypatch.setattr(waiting, "SOON", 3600.0)
    monkeypatch.setattr(waiting, "FIRST", 3600.0)


@pytest.fixture
def rng() -> np.random.Generator:
    """A stream of its own for every test."""
    return np.random.default_rng(7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a codes file may be made."""
    return tmp_path / "codes.h5"


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The film and the two photos that ``dhh sample`` writes, drawn once for all processes that run tests."""
    own = tmp_path_factory.mktemp("sample")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return write_sample(own)
    shared = tmp_path_factory.getbasetemp().parent / "sample"
    with portalocker.Lock(shared.with_suffix(".lock"), timeout=300):
        film = shared / "film.mp4"  # which is written last, and at once
        drawn = Sample(film, (shared / "collins.jpg", shared / "hopper.jpg")) if film.exists() else write_sample(shared)
    return copy_of(drawn, own)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shots of that film, of the first photo's person and of nobody: encoded in a quarter of the time."""
    path, people = tmp_path_factory.mktemp("clip") / "clip.mp4", portraits()
    with path.open("wb") as file:
        write_film(file, (picture for scene in (SCRIPT[1], SCRIPT[3]) for picture in frames(scene, people)), RATE)
    return path


@pytest.fixture(scope="session")
def other_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of 32 bits: a network like any other, whose codes no other network's compare with."""
    import torch

    from dhhcli.models.weights import write_weights
    from dhhcli.research.training.networks.backbone import Backbone, fold_batch_norm
    from dhhcli.research.training.networks.hash_model import HashModel
    from dhhcli.research.training.publishing.export import hash_safetensors, to_onnx

    torch.manual_seed(0)
    backbone, model = fold_batch_norm(Backbone().eval()), HashModel(32)
    onnx = to_onnx(backbone)
    return write_weights(
        tmp_path_factory.mktemp("weights"),
        "other-32",
        bits=32,
        safetensors=hash_safetensors(model.layers(), onnx),
        onnx=onnx,
        record={"model": {"eps": 1e-3, "divide": False, "homogeneous": False}},
    )


@pytest.fixture(scope="session")
def full_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights whose backbone can be trained on; ``full-32.json``, 127 features and the constant one."""
    import torch

    from dhhcli.models.weights import write_weights
    from dhhcli.research.training.networks.backbone import Backbone, append_linear, fold_batch_norm
    from dhhcli.research.training.networks.hash_model import HashModel
    from dhhcli.research.training.publishing.export import backbone_safetensors, hash_safetensors, to_onnx

    torch.manual_seed(0)
    matrix, offset = torch.randn(128, 320) / 18, torch.zeros(128)
    matrix[-1], offset[-1] = 0, 1
    backbone, model = append_linear(fold_batch_norm(Backbone().eval()), matrix, offset), HashModel(32, features=128)
    onnx = to_onnx(backbone)
    return write_weights(
        tmp_path_factory.mktemp("full"),
        "full-32",
        bits=32,
        safetensors=hash_safetensors(model.layers(), onnx),
        onnx=onnx,
        record={"model": {"eps": 1e-3, "divide": False, "homogeneous": True}},
        network="full",
        backbone=backbone_safetensors(backbone),
    )


@pytest.fixture(scope="session")
def picture_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The still branch of dhh-48 alone, for frames too: weights that hash pictures only, and find people."""
    from dataclasses import replace

    from dhhcli.models.weights import load_hash_layers, load_weights, resolve_weights, write_weights
    from dhhcli.research.training.publishing.export import hash_safetensors

    weights = load_weights(resolve_weights("dhh-48"))
    layers = replace(load_hash_layers(weights), track_weight=np.empty((48, 0), np.float32), framewise=True)
    onnx = weights.onnx_path.read_bytes()
    return write_weights(
        tmp_path_factory.mktemp("pictures"),
        "pictures-48",
        bits=48,
        safetensors=hash_safetensors(layers, onnx),
        onnx=onnx,
        int8=weights.int8_path.read_bytes() if weights.int8_path else None,
        record={
            "model": weights.record["model"] | {"tracks": "majority"},
            "calibration": weights.record["calibration"],  # learnt on other tracks: numbers to compute with
        },
    )


@pytest.fixture(scope="session")
def calibration() -> Calibration:
    """Of the usual weights."""
    weights = load_weights(resolve_weights("dhh-128"))
    found = from_record(weights.record, weights.bits, weights.record_path)
    assert found is not None
    return found


@pytest.fixture
def dhh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run the command line in an empty folder; output and words come apart (``stdout``, ``stderr``)."""
    from dhhcli.cli.app import app

    monkeypatch.chdir(tmp_path)
    for name in ("DHH_CODES", "DHH_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str | Path) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An encoder that only notes the names of its files."""
    from dataclasses import replace

    from footage import encoded_video

    done: list[str] = []

    def encode_video(path: Path, *_: object, fingerprint: str, **_rest: object) -> Any:
        done.append(path.name)
        made = encoded_video(np.random.default_rng(0), path.resolve(), fingerprint=fingerprint)
        stat = path.stat()
        return replace(made, video=replace(made.video, size=stat.st_size, mtime_ns=stat.st_mtime_ns))

    monkeypatch.setattr("dhhcli.encoding.video.encode_video", encode_video)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return done


@pytest.fixture
def browser(chromium: Any) -> Iterator[Any]:
    """The Chromium of this machine without a page; those that a test opened are closed behind it."""
    yield chromium
    for context in list(chromium.contexts):
        context.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The Chromium of this machine, where there is one; started once."""
    import shutil

    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if path is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    """A scheduler and two worker processes of Dask, as they run on other machines."""
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", silence_logs=50
    ) as started:
        yield started


@pytest.fixture(scope="session")
def encoded(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film's codes, made by the command line with the shipped weights."""
    from dhhcli.cli.app import app

    codes = tmp_path_factory.mktemp("encoded") / "codes.h5"
    result = CliRunner().invoke(app, ["encode", str(sample.film), "--out", str(codes)])
    assert result.exit_code == 0, result.stderr
    return codes


@pytest.fixture(scope="session")
def with_frames(sample: Sample, picture_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Codes of the film and the two photos by weights that hash pictures only, with codes of frames."""
    from dhhcli.cli.app import app

    codes = tmp_path_factory.mktemp("frames") / "codes.h5"
    words = ["encode", sample.film, *sample.photos, "--out", codes, "--weights", picture_weights, "--frame-codes"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.stderr
    return codes
