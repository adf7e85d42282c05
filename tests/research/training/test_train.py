"""dhh.py and hash_stage.py: the whole way from a pack to weights that encode and query would load."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save
from synthetic import astronaut, grace_hopper

from dhhcli.base.patience import Part, listening
from dhhcli.errors import PackError, TrainingError, UsageError
from dhhcli.models.extractor import FeatureExtractor
from dhhcli.models.hash_layers import hash_stills, hash_tracks
from dhhcli.models.weights import load_hash_layers, load_weights
from dhhcli.research.datasets.pack import read_pack
from dhhcli.research.evaluation.protocol import Score, evaluate
from dhhcli.research.training.dhh import DhhSettings, few_photos, run
from dhhcli.research.training.engine.checkpoint import read_averaged
from dhhcli.research.training.feature_bank import FeatureBank, pad
from dhhcli.research.training.hash_stage import HashSettings, train_hash
from dhhcli.research.training.networks.backbone import to_input
from dhhcli.research.training.networks.hash_model import HashModel
from dhhcli.research.training.pretrain import PretrainSettings, pretrain
from dhhcli.research.training.validation import Validation

PEOPLE, PHOTOS = 8, 6
PLAN = DhhSettings(
    PretrainSettings(steps=4, batch=8, warmup=1, sizes=((0.5, 16), (1.0, 24)), bf16=False),
    HashSettings(
        lengths=(12, 16),
        alpha=0.2,
        features=24,
        photos=40,
        frames=3,
        hash_people=4,
        hash_steps=6,
        joint_people=3,
        joint_pairs=2,
        joint_steps=3,
        bf16=False,
    ),
)


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``train.h5``, ``val.h5`` (other people) and ``protocol.json``."""
    folder = tmp_path_factory.mktemp("packs")
    for seed, name in enumerate(("train", "val")):
        rng = np.random.default_rng(seed)
        identity = np.repeat(np.arange(PEOPLE), PHOTOS)
        patterns = rng.integers(0, 200, (PEOPLE, 5, 5, 3)).repeat(16, axis=1).repeat(16, axis=2)
        pictures = (patterns[identity] + rng.integers(0, 50, (len(identity), 80, 80, 3))).astype(np.uint8)
        coded = [cv2.imencode(".jpg", picture)[1].ravel() for picture in pictures]
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["jpeg"] = np.concatenate(coded)
            file["offset"] = np.cumsum([0, *(len(jpeg) for jpeg in coded)])
            file["identity"] = identity.astype(np.int32)
            file["teacher"] = (rng.normal(size=(PEOPLE, 128))[identity] / 12).astype(np.float16)
    people = []
    for i in range(PEOPLE):
        rows = list(range(i * PHOTOS, (i + 1) * PHOTOS))
        people.append({"identity": i, "queries": rows[:2], "sets": [rows[2:4], rows[3:5]], "shots": rows[5:]})
    (folder / "protocol.json").write_text(json.dumps({"people": people}))
    return folder


def train(data: Path, out: Path, plan: DhhSettings = PLAN) -> list[str]:
    return list(
        run(
            [data / "train.h5"], out, plan, validate=data / "val.h5", protocol=data / "protocol.json", terms="made here"
        )
    )


class Heard:
    """What a training says of how far it is."""

    def __init__(self) -> None:
        self.parts: Sequence[Part] = ()
        self.counts: dict[str, list[tuple[int, int]]] = {}

    def expected(self, parts: Sequence[Part]) -> None:
        self.parts = parts

    def heard(self, what: str, done: int, total: int) -> None:
        self.counts.setdefault(what, []).append((done, total))


HEARD = Heard()


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    torch.set_num_threads(1)
    with listening(HEARD):
        train(data, out)
    return out


@pytest.mark.usefixtures("trained")
def test_a_training_says_how_far_it_is_of_all_that_is_to_come() -> None:
    """Each count is one of the parts whose costs make up the whole, and ends where it should."""
    assert [part.what for part in HEARD.parts] == [what for what in HEARD.counts if what != "faces"]
    ends = {what: counts[-1] for what, counts in HEARD.counts.items()}
    assert ends["backbone steps"] == (4, 4)
    assert ends["hash steps"] == (6, 6)
    assert ends["joint steps"] == (3, 3)
    assert all(part.cost > 0 and part.spent(0.0) == 0 and part.spent(1.0) == 1 for part in HEARD.parts)
    assert HEARD.parts[0].spent(0.5) == pytest.approx(16**2 / (16**2 + 24**2))  # small crops come first


def test_the_weights_load_and_carry_their_record(trained: Path) -> None:
    weights = load_weights(trained / "dhh-16.json")
    assert weights.bits == 16
    assert weights.record["training"]["terms"] == "made here"
    assert weights.record["training"]["people"] == PEOPLE
    assert weights.record["training"]["crops"] == PEOPLE * PHOTOS
    assert weights.record["training"]["settings"]["hash"]["alpha"] == 0.2
    figures = weights.record["metrics"]["figures"]
    assert {figure["representation"] for figure in figures} == {"codes", "features", "random"}
    assert all(0 <= figure["mean_ap"] <= 1 for figure in figures)


def test_the_record_says_what_evaluate_measures(trained: Path, data: Path) -> None:
    scores = evaluate(data / "val.h5", data / "protocol.json", str(trained / "dhh-16.json"))
    recorded = [Score(**figure) for figure in load_weights(trained / "dhh-16.json").record["metrics"]["figures"]]
    assert scores == recorded


def test_onnxruntime_and_numpy_agree_with_torch(trained: Path) -> None:
    """The deployed path and the trained one: same features, same soft bits, same bits away from the threshold."""
    from dhhcli.research.training.networks.backbone import Backbone

    weights = load_weights(trained / "dhh-16.json")
    tensors = load_file(weights.safetensors_path)
    backbone = Backbone(batch_norm=False, features=24)
    model = HashModel(16, features=24, eps=load_hash_layers(weights).eps, divide=True)
    backbone.load_state_dict(load_file(trained / "dhh.safetensors"))
    model.load_state_dict({k[5:]: v for k, v in tensors.items()})
    model.eval()
    crops = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    features = FeatureExtractor(weights.onnx_path)(crops)
    layers = load_hash_layers(weights)
    tracks = [features[:1], features[1:4], features[4:]]
    with torch.no_grad():
        expected = backbone(to_input(torch.from_numpy(crops)))
        stills = model.hash_stills(expected)
        padded, counts = pad([expected[:1], expected[1:4], expected[4:]], 8)
        videos = model.hash_tracks(padded, counts)
    np.testing.assert_allclose(features, expected.numpy(), atol=5e-3)  # barely trained and whitened: up to 30
    np.testing.assert_allclose(features[:, -1], 1.0, atol=1e-6)  # the homogeneous coordinate
    for numpy_soft, torch_soft in (
        (hash_stills(layers, features), stills.numpy()),
        (hash_tracks(layers, tracks), videos.numpy()),
    ):
        np.testing.assert_allclose(numpy_soft, torch_soft, atol=5e-3)
        sure = np.abs(torch_soft - 0.5) > 5e-3
        np.testing.assert_array_equal((numpy_soft >= 0.5)[sure], (torch_soft >= 0.5)[sure])


def test_a_run_killed_in_any_stage_ends_the_same(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop at every new report of every stage and start again; the weights come out bit for bit as without stops."""
    monkeypatch.setattr("dhhcli.research.training.engine.loop.REPORT_EVERY", 1)
    monkeypatch.setattr("dhhcli.research.training.joint_stage.REPORT_EVERY", 1)
    out = tmp_path / "run"
    stopped: list[str] = []
    finished = False
    while not finished:
        finished = True
        for line in run([data / "train.h5"], out, PLAN):
            report = line.partition(":")[0]
            if report.split()[0] in ("backbone", "hash", "joint") and report not in stopped:
                stopped.append(report)
                finished = False
                break
    assert stopped == ["backbone 4/4", *(f"hash {i}/6" for i in range(1, 7)), *(f"joint {i}/3" for i in range(1, 4))]
    for name in ("dhh.safetensors", "dhh.onnx", "dhh-int8.onnx", "dhh-12.safetensors", "dhh-16.safetensors"):
        assert (out / name).read_bytes() == (trained / name).read_bytes()


def test_no_steps_at_all_still_makes_weights(data: Path, tmp_path: Path) -> None:
    """Stages can be left out: what is exported is then a random backbone with hash layers as ITQ starts them."""
    plan = DhhSettings(replace(PLAN.pretrain, steps=0), replace(PLAN.hash, hash_steps=0, joint_steps=0))
    list(run([data / "train.h5"], tmp_path / "run", plan))
    assert load_hash_layers(load_weights(tmp_path / "run" / "dhh-16.json")).bits == 16


def test_other_settings_do_not_go_on_with_an_old_run(trained: Path, data: Path) -> None:
    other = replace(PLAN, pretrain=replace(PLAN.pretrain, rate=0.1))
    with pytest.raises(TrainingError, match="other settings"):
        train(data, trained, other)


def test_other_data_do_not_go_on_with_an_old_run(trained: Path, data: Path) -> None:
    """As many crops of as many people, but others."""
    with pytest.raises(TrainingError, match="other settings"):
        list(run([data / "val.h5"], trained, PLAN))


def test_a_protocol_of_another_pack_is_said_before_training(data: Path, tmp_path: Path) -> None:
    people = [{"identity": 0, "queries": [0, 10_000], "sets": [], "shots": []}]
    (tmp_path / "protocol.json").write_text(json.dumps({"people": people}))
    with pytest.raises(PackError, match="row 10000"):
        list(
            run(
                [data / "train.h5"],
                tmp_path / "run",
                PLAN,
                validate=data / "val.h5",
                protocol=tmp_path / "protocol.json",
            )
        )
    assert not (tmp_path / "run" / "pretrain.safetensors").exists()


def test_nobody_with_two_photos_is_said(data: Path, tmp_path: Path) -> None:
    with h5py.File(data / "train.h5") as source, h5py.File(tmp_path / "lonely.h5", "w") as file:
        for name in ("jpeg", "offset", "teacher"):
            source.copy(name, file)
        file["identity"] = np.arange(PEOPLE * PHOTOS, dtype=np.int32)
    with pytest.raises(PackError, match="nobody has two photos or clips"):
        list(run([tmp_path / "lonely.h5"], tmp_path / "run", PLAN))


def test_a_folder_of_people_is_packed_and_trained_on(tmp_path: Path) -> None:
    """Two people, each with a photo and a track of frames; a second run goes on with the faces packed before."""
    for who, portrait in (("collins", astronaut()), ("hopper", grace_hopper())):
        (tmp_path / "people" / who / "clip").mkdir(parents=True)
        for i in range(3):
            lit = np.clip(portrait * (1 - 0.2 * i), 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "people" / who / "clip" / f"{i}.png"), lit)
    plan = DhhSettings(replace(PLAN.pretrain, steps=1), replace(PLAN.hash, hash_people=2, hash_steps=1, joint_steps=1))
    with pytest.raises(PackError, match="nobody has two photos or clips"):
        list(run([tmp_path / "people"], tmp_path / "none", plan))
    for who, portrait in (("collins", astronaut()), ("hopper", grace_hopper())):
        (tmp_path / "people" / who / "other").mkdir()
        cv2.imwrite(str(tmp_path / "people" / who / "other" / "0.png"), np.ascontiguousarray(portrait[:, ::-1]))
    lines = list(run([tmp_path / "people"], tmp_path / "run", plan))
    assert lines[0].startswith("8 crops of 2 people")
    (kept,) = (tmp_path / "run" / "data").iterdir()
    assert read_pack(kept).track.tolist() == [0, 0, 0, 1, 2, 2, 2, 3]
    weights = load_weights(tmp_path / "run" / "dhh-16.json")
    assert weights.record["training"]["data"] == [{"file": kept.name, "crops": 8}]
    again = list(run([tmp_path / "people"], tmp_path / "run", plan))
    assert [line for line in again if line.startswith(("backbone", "hash", "joint"))] == []


def test_the_bank_holds_as_many_photos_of_each_as_can_be(data: Path) -> None:
    faces = read_pack(data / "train.h5")
    some = few_photos(faces, replace(PLAN.hash, photos=2 * PEOPLE + 3))
    assert sorted(np.bincount(some.identity)) == [2] * (PEOPLE - 3) + [3] * 3
    assert len(few_photos(faces, replace(PLAN.hash, photos=1000))) == len(faces)


def test_a_run_starts_from_another_s_backbone(trained: Path, data: Path, tmp_path: Path) -> None:
    """No step of its own: what it exports is the other run's average, and the record names the file."""
    plan = DhhSettings(replace(PLAN.pretrain, steps=0), replace(PLAN.hash, hash_steps=0, joint_steps=0))
    start = trained / "pretrain.safetensors"
    list(run([data / "train.h5"], tmp_path / "run", plan, start_from=start))
    weights = load_weights(tmp_path / "run" / "dhh-16.json")
    digest = hashlib.sha256(start.read_bytes()).hexdigest()
    assert weights.record["training"]["settings"]["start_from"] == digest
    averaged = read_averaged(start)["backbone.layers.0.weight"]
    norm = read_averaged(start)["backbone.layers.1.running_var"]
    gain = read_averaged(start)["backbone.layers.1.weight"] / torch.sqrt(norm + 1e-5)
    found = load_file(tmp_path / "run" / "dhh.safetensors")["layers.0.weight"]
    torch.testing.assert_close(found, averaged * gain[:, None, None, None])


@pytest.mark.parametrize("content", [b"", b"no checkpoint", save({"other": torch.zeros(2)})])
def test_a_start_that_is_no_checkpoint_is_said(data: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "start").write_bytes(content)
    with pytest.raises(TrainingError, match=r"pretrain\.safetensors of another run"):
        list(run([data / "train.h5"], tmp_path / "run", PLAN, start_from=tmp_path / "start"))


def test_a_start_that_is_missing_is_said(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"pretrain\.safetensors of another run"):
        list(run([data / "train.h5"], tmp_path / "run", PLAN, start_from=tmp_path / "start"))


CHILD = """
import sys
from pathlib import Path
import torch
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parents[1] / "support")]
from dataclasses import replace
from dhhcli.research.training.dhh import DhhSettings, run
from test_train import PLAN
torch.set_num_threads(1)
steps = int(sys.argv[4])
later = replace(PLAN.hash, lengths=(12,), photos=16, hash_steps=1, joint_steps=0) if steps else PLAN.hash
plan = DhhSettings(replace(PLAN.pretrain, steps=steps), later)
for line in run([Path(sys.argv[2])], Path(sys.argv[3]), plan):
    print(line)
"""


def two_processes(data: Path, out: Path, backbone_steps: int) -> list[list[str]]:
    """Train as torchrun would start it; what each process printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "CUDA_VISIBLE_DEVICES": ""}
    here = str(Path(__file__).parent)
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", CHILD, here, data / "train.h5", out, str(backbone_steps)],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=Path(here).parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    printed = [child.communicate(timeout=300) for child in children]
    assert [child.returncode for child in children] == [0, 0], printed
    return [words.splitlines() for words, _ in printed]


def test_two_processes_train_like_one(data: Path, tmp_path: Path) -> None:
    """Half a batch each, gradients averaged; only the first says and writes anything.

    Pre-training takes the statistics of batch normalisation from each process's own share, so equality is asked of
    the other stages (no step of pre-training), and of pre-training that it runs.
    """
    first, second = two_processes(data, tmp_path / "two", 0)
    assert "2 processes of 1 threads" in first[0]
    assert second == []
    plan = DhhSettings(replace(PLAN.pretrain, steps=0), PLAN.hash)
    list(run([data / "train.h5"], tmp_path / "one", plan))
    before = load_file(tmp_path / "one" / "hash.safetensors")
    alone, both = (load_file(tmp_path / run / "joint.safetensors") for run in ("one", "two"))
    for part in ("still.weight", "still.bias", "track.weight", "track.bias"):
        change = alone[f"model.model.{part}"] - before[part]
        assert change.norm() > 0
        assert (both[f"model.model.{part}"] - alone[f"model.model.{part}"]).norm() < 0.02 * change.norm(), part
    first, _ = two_processes(data, tmp_path / "whole", 2)
    assert [line for line in first if line.startswith("backbone 2/2: classify")]


def test_patience_stops_both_stages_at_their_best(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures made to fall: each stage ends after one more report, with the weights of its first."""
    monkeypatch.setattr("dhhcli.research.training.joint_stage.REPORT_EVERY", 1)
    falling = iter(np.linspace(0.9, 0.1, 50))

    def figures(*_: object, **__: object) -> dict[str, float]:
        value = float(next(falling))
        return {"map_still_set": value, "map_16_still_set": value}

    monkeypatch.setattr(Validation, "figures", figures)
    monkeypatch.setattr("dhhcli.research.training.dhh.pretrain", partial(pretrain, checkpoint_every=1))
    plan = replace(PLAN, pretrain=replace(PLAN.pretrain, steps=8))
    words = {"validate": data / "val.h5", "protocol": data / "protocol.json", "patience": 1}
    lines = list(run([data / "train.h5"], tmp_path / "run", plan, **words))  # type: ignore[arg-type]
    steps = [line.partition(":")[0] for line in lines if line.startswith(("backbone", "joint"))]
    assert steps == [*(f"backbone {i}/8" for i in range(1, 7)), "joint 1/3", "joint 2/3"]  # from step 5 on at 24 pixels
    again = list(run([data / "train.h5"], tmp_path / "run", plan, **words))  # type: ignore[arg-type]
    assert not [line for line in again if line.startswith(("backbone", "joint"))]
    assert [line for line in again if "mAP" in line] == [line for line in lines if "mAP" in line]


def test_patience_needs_figures(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--validate and --protocol"):
        list(run([data / "train.h5"], tmp_path / "run", PLAN, patience=3))


def test_log_and_plot_are_written(trained: Path) -> None:
    entries = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [entry["stage"] for entry in entries] == ["backbone", "hash", "joint"]
    assert {"cross", "still", "track"} <= set(entries[1])
    assert {"map_still_set", "map_still_still"} <= set(entries[0])
    assert {"map_12_still_set", "map_16_still_still"} <= set(entries[2])
    picture = cv2.imread(str(trained / "training.png"))
    assert picture is not None
    assert picture.std() > 5


def test_hash_training_brings_a_person_s_codes_together() -> None:
    """The triplet loss falls and retrieval improves on features where identity is one of several directions."""
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(40), 6)
    who = rng.normal(size=(40, 16)) * 0.15
    features = np.zeros((240, 10, 65), np.float32)
    features[:, :, :16] = who[identity][:, None] + rng.normal(size=(240, 10, 16)) * 0.03
    features[:, :, 16:64] = rng.normal(size=(240, 1, 48)) * 0.06  # a photo's light, say
    features[:, :, -1] = 1.0
    bank = FeatureBank(torch.from_numpy(features[:, :4]).half(), torch.from_numpy(features[:, 4:]).half())
    settings = HashSettings(lengths=(16,), alpha=0.25, hash_people=16, hash_steps=300, frames=6)
    model = HashModel(16, features=65, divide=True, dropout=0.1)
    reports = [report.losses for report in train_hash(model, bank, identity, settings)]
    first, last = reports[0], reports[-1]
    assert last["cross"] < first["cross"]
