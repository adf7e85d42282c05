"""training/engine/distributed.py: shares, what torchrun's variables say, and two processes that train like one."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import Result

from dhhcli.errors import TrainingError, UsageError
from dhhcli.research.training.engine.distributed import (
    Devices,
    average_gradients,
    gather,
    halves_pay,
    open_devices,
    pick_device,
)

CPU = torch.device("cpu")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.mark.parametrize("world", [1, 2, 3, 4, 7])
def test_shares_lie_end_to_end_and_differ_by_one_at_most(world: int) -> None:
    shares = [Devices(CPU, rank, world).share(7) for rank in range(world)]
    rows = [row for share in shares for row in range(share.start, share.stop)]
    assert rows == list(range(7))
    sizes = [share.stop - share.start for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert shares[0].rows == slice(0, sizes[0])
    assert Devices(CPU, 0, world).share(7, rank=world - 1) == shares[-1]


def test_more_processes_than_items_are_refused() -> None:
    with pytest.raises(UsageError, match="8 processes for a batch of 7"):
        Devices(CPU, 0, 8).share(7)


def test_without_torchrun_it_is_one_process() -> None:
    with open_devices({}) as devices:
        assert (devices.rank, devices.world, devices.first) == (0, 1, True)
        assert devices.device == pick_device()
        assert gather(torch.ones(2), devices, 2).tolist() == [1, 1]
        layer = nn.Linear(1, 1)
        average_gradients(layer, devices)
        assert layer.weight.grad is None


@pytest.mark.parametrize(
    ("environment", "message"),
    [({"WORLD_SIZE": "2"}, r"\$RANK is ''"), ({"WORLD_SIZE": "many"}, r"\$WORLD_SIZE is 'many'")],
)
def test_incomplete_variables_are_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message), open_devices(environment):
        pass


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device(1) == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="process 2 of this machine has no GPU of its own"):
        pick_device(2)


def test_precision_is_measured_once_and_then_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = {False: 1.0, True: 0.5}
    monkeypatch.setattr("dhhcli.research.training.engine.distributed._seconds", lambda *_, bf16: times[bf16])
    network, inputs, file = nn.Linear(1, 1), torch.zeros(1, 1), tmp_path / "precision.json"
    assert halves_pay(network, inputs, file, Devices(CPU))
    assert json.loads(file.read_text()) == {"float32": 1.0, "bfloat16": 0.5, "bf16": True}
    times[True] = 0.95  # not by a tenth; but it has been measured
    assert halves_pay(network, inputs, file, Devices(CPU))
    file.unlink()
    assert not halves_pay(network, inputs, file, Devices(CPU))
    file.write_text("[]")
    with pytest.raises(TrainingError, match="not what was measured here"):
        halves_pay(network, inputs, file, Devices(CPU))


def test_measuring_leaves_no_gradients(tmp_path: Path) -> None:
    network = nn.Conv2d(3, 4, 3)
    halves_pay(network, torch.zeros(2, 3, 8, 8), tmp_path / "precision.json", Devices(CPU))
    assert network.weight.grad is None


CHILD = """
import sys
from dataclasses import asdict
from pathlib import Path
import torch
from torch import nn
sys.path[:0] = [sys.argv[2], str(Path(sys.argv[2]).parents[1] / "support")]
from synthetic import toy_pack
from test_paper import SMALL
from dhhcli.errors import TrainingError
from dhhcli.research.training.engine.distributed import agree, average_gradients, gather, open_devices
from dhhcli.research.training.paper import train_paper
from safetensors.torch import save_file
torch.set_num_threads(1)
folder = Path(sys.argv[1])
with open_devices() as devices:
    assert devices.world == 2
    layer = nn.Linear(2, 1)
    nn.init.ones_(layer.weight), nn.init.zeros_(layer.bias)
    x = torch.arange(6.0).view(3, 2)
    own = layer(x[devices.share(3).rows])  # one row and two rows
    whole = gather(own, devices, 3)
    assert whole.flatten().tolist() == [1, 5, 9]
    (whole.square().mean() + whole[0, 0] * whole[2, 0]).backward()
    average_gradients(layer, devices)
    try:
        agree(devices.rank, devices, "the step")
        raise SystemExit("not noticed")
    except TrainingError as error:
        assert "for the step, another process something else" in str(error)
    for report, backbone, model in train_paper(toy_pack(), SMALL, folder, devices):
        pass
tensors = {**backbone.state_dict(), **{"hash." + k: v for k, v in model.state_dict().items()}}
tensors["gradient"] = layer.weight.grad
save_file({k: v.contiguous() for k, v in tensors.items()}, folder / f"rank{devices.rank}.safetensors")
"""


METHOD = """
import os, sys
from pathlib import Path
from safetensors.torch import save_file
from dhhcli.cli.app import main
from dhhcli.research.baselines.deep import train as methods
ran = Path(f"ran{os.environ['RANK']}.safetensors")
for name in ("train_stills", "train_deep"):
    def kept(*words, train=getattr(methods, name)):
        for report, network in train(*words):
            yield report, network
        save_file({k: v.detach().contiguous() for k, v in network.named_parameters()}, ran)
    setattr(methods, name, kept)
main()
"""


@pytest.mark.parametrize("method", ["ddah", "dsh", "cvh"])
def test_torchrun_trains_rivals(method: str, tmp_path: Path, dhh: Callable[..., Result], full_weights: Path) -> None:
    """A network of its own; a layer, then with its backbone; a method that only one process has work with."""
    from safetensors.torch import load_file
    from synthetic import write_pack

    from dhhcli.models.weights import load_hash_layers, load_weights

    (tmp_path / "method.py").write_text(METHOD)
    write_pack(tmp_path / "train.h5", 6, 4, seed=0)
    words = ["train", "--method", method, "--data", "train.h5", "--bits", "8", "--threads", "1"]
    words += {
        "ddah": ["--set", "epochs=1", "--set", "batch=8", "--set", "precision=float32"],
        "dsh": ["--set", "steps=3", "--set", "people=3", "--set", "backbone_steps=2"],
        "cvh": [],
    }[method]
    if method != "ddah":
        words += ["--features-of", str(full_weights) if method == "dsh" else "dhh-12"]  # one with a backbone to train

    launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

    def torchrun() -> list[str]:
        done = subprocess.run(
            [*launcher, "method.py", *words, "--out", "two"],
            env=os.environ
            | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr.splitlines()

    (tmp_path / "two").mkdir()
    (tmp_path / "one").mkdir()
    for folder in ("one", "two"):  # as measured: single precision
        (tmp_path / folder / "precision.json").write_text('{"bf16": false}')
    said = torchrun()
    assert said.count(f"wrote two/{method}-8.json") == 1
    assert sum("24 crops of 6 people; 2 processes" in line for line in said) == 1
    found = load_hash_layers(load_weights(tmp_path / "two" / f"{method}-8.json"))
    if method != "ddah":  # whose batch normalisation is that of a share
        result = dhh(*words, "--out", "one")
        assert result.exit_code == 0, result.stderr
        alone = load_hash_layers(load_weights(tmp_path / "one" / f"{method}-8.json"))
        np.testing.assert_allclose(found.still_weight, alone.still_weight, atol=2e-6, rtol=1e-4)
        np.testing.assert_allclose(found.track_weight, alone.track_weight, atol=2e-6, rtol=1e-4)
    ranks = [tmp_path / f"ran{rank}.safetensors" for rank in range(2)]
    if method == "cvh":
        assert not any(rank.exists() for rank in ranks)
        return
    first, second = map(load_file, ranks)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    log = (tmp_path / "two" / "log.jsonl").read_text().splitlines()
    steps = [(line["stage"], line["step"]) for line in map(json.loads, log)]
    assert steps == ([("ddah", 3)] if method == "ddah" else [("dsh 8", 3), ("dsh and backbone", 2)])


def test_two_processes_train_like_one(tmp_path: Path) -> None:
    """Both parts and both stages of the paper's recipe, dropout included: half a batch each, gradients averaged."""
    from safetensors.torch import load_file
    from synthetic import toy_pack
    from test_paper import ONE, SMALL

    from dhhcli.research.training.paper import train_paper

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "two").mkdir()
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", CHILD, str(tmp_path / "two"), str(Path(__file__).parent)],
            env=os.environ
            | {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "CUDA_VISIBLE_DEVICES": "",
            },
            cwd=Path(__file__).parents[3],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for child in children:
        _, words = child.communicate(timeout=300)
        assert child.returncode == 0, words
    first, second = (load_file(tmp_path / "two" / f"rank{rank}.safetensors") for rank in range(2))
    *_, (_, backbone, model) = train_paper(toy_pack(), SMALL, tmp_path / "one", ONE)
    alone = {**backbone.state_dict(), **{f"hash.{k}": v for k, v in model.state_dict().items()}}
    for name, tensor in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], tensor, atol=2e-6, rtol=1e-5, msg=name)
    layer = nn.Linear(2, 1)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    y = layer(torch.arange(6.0).view(3, 2))
    (y.square().mean() + y[0, 0] * y[2, 0]).backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(first["gradient"], layer.weight.grad)
    assert torch.equal(first["gradient"], second["gradient"])
