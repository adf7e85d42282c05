"""learning/devices.py: shares, what torchrun's variables say, and two processes that train like one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from dhhcli.errors import TrainingError, UsageError
from dhhcli.learning.devices import Devices, average_gradients, gather, halves_pay, open_devices, pick_device

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


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
    monkeypatch.setattr("dhhcli.learning.devices._seconds", lambda *_, bf16: times[bf16])
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
sys.path.insert(0, sys.argv[2])
from synthetic import toy_pack
from test_paper import SMALL
from dhhcli.errors import TrainingError
from dhhcli.learning.devices import agree, average_gradients, gather, open_devices
from dhhcli.learning.paper import train_paper
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


def test_two_processes_train_like_one(tmp_path: Path) -> None:
    """Both parts and both stages of the paper's recipe, dropout included: half a batch each, gradients averaged."""
    from safetensors.torch import load_file
    from synthetic import toy_pack
    from test_paper import ONE, SMALL

    from dhhcli.learning.paper import train_paper

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
            cwd=Path(__file__).parent.parent,
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
