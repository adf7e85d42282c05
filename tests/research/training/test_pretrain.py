"""pretrain.py and checkpoint.py: the losses, and that stopping and going on changes no bit."""

import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dhhcli.errors import TrainingError
from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.training.engine.loop import Report
from dhhcli.research.training.pretrain import (
    PretrainSettings,
    cosface,
    draw_batch,
    pretrain,
    rate_at,
    relational,
    size_at,
)

PEOPLE, PHOTOS = 6, 4
TINY = PretrainSettings(steps=6, batch=8, warmup=2, sizes=((0.5, 16), (1.0, 24)), ema=0.8, bf16=False)


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def tiny_pack(people: int = PEOPLE, *, taught: bool = True) -> FacePack:
    """Every person has a pattern of their own and a place in the teacher's space; one row has no teacher."""
    rng = np.random.default_rng(0)
    n = people * PHOTOS
    identity = np.repeat(np.arange(people), PHOTOS)
    patterns = rng.integers(0, 200, (people, 4, 4, 3)).repeat(20, axis=1).repeat(20, axis=2)
    teacher = rng.normal(size=(people, 128))[identity] / 128**0.5 if taught else np.full((n, 128), np.nan)
    teacher[0] = np.nan
    return FacePack(
        path=Path("made.h5"),
        pictures=(patterns[identity] + rng.integers(0, 50, (n, 80, 80, 3))).astype(np.uint8),
        identity=identity,
        names=tuple(str(i) for i in range(people)),
        face_px=np.full(n, 64, np.float32),
        teacher=teacher.astype(np.float32),
    )


def trained(
    pack: FacePack, settings: PretrainSettings, folder: Path, *, every: int = 2, reports: int | None = None
) -> tuple[list[Report], dict[str, Tensor]]:
    """Run (stopping after some reports) and return the reports and the last weights."""
    seen: list[Report] = []
    weights: dict[str, Tensor] = {}
    for report, averaged in pretrain(pack, settings, folder, stamp=asdict(settings), checkpoint_every=every):
        seen.append(report)
        weights = {name: value.clone() for name, value in averaged.state_dict().items()}
        if len(seen) == reports:
            break
    return seen, weights


def test_cosface_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    features, classes = rng.normal(size=(5, 7)), rng.normal(size=(4, 7))
    identity, scale, margin = [0, 3, 3, 1, 2], 24.0, 0.2
    total = 0.0
    for x, own in zip(features, identity, strict=True):
        scores = []
        for k, c in enumerate(classes):
            cosine = sum(x * c) / math.sqrt(sum(x * x)) / math.sqrt(sum(c * c))
            scores.append(scale * (cosine - margin if k == own else cosine))
        total += math.log(sum(math.exp(s) for s in scores)) - scores[own]
    found = cosface(torch.from_numpy(features), torch.from_numpy(classes), torch.tensor(identity), scale, margin)
    assert float(found) == pytest.approx(total / 5)


def test_relational_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(5, 3)), rng.normal(size=(5, 9))
    differences = [
        math.dist(student[i], student[j]) - math.dist(teacher[i], teacher[j]) for i in range(5) for j in range(i + 1, 5)
    ]
    found = relational(torch.from_numpy(student), torch.from_numpy(teacher))
    assert float(found) == pytest.approx(sum(x * x for x in differences) / len(differences))


def test_relational_of_equal_rows_has_a_finite_gradient() -> None:
    student = torch.ones(4, 3, requires_grad=True)
    relational(student, torch.eye(4)).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_rate_warms_up_and_decays_to_a_two_hundredth() -> None:
    settings = PretrainSettings(steps=100, warmup=10, rate=1.0)
    rates = [rate_at(step, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1.0)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5025)
    assert rates[99] == pytest.approx(0.005, abs=0.001)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_crops_grow() -> None:
    settings = PretrainSettings(steps=100)
    sizes = [size_at(step, settings) for step in range(100)]
    assert sizes == [40] * 35 + [52] * 35 + [64] * 30


def test_an_epoch_sees_every_crop_once() -> None:
    pack = tiny_pack()  # 24 crops
    settings = replace(TINY, batch=5)
    rows = np.concatenate([draw_batch(pack, step, settings)[1] for step in range(24)])  # 120 = 5 epochs
    for epoch in rows.reshape(5, 24):
        assert sorted(epoch.tolist()) == list(range(24))
    assert (rows[:24] != rows[24:48]).any()


def test_a_batch_may_be_larger_than_the_pack() -> None:
    crops, rows = draw_batch(tiny_pack(2), 0, replace(TINY, batch=20))
    assert crops.shape == (20, 16, 16, 3)
    assert set(np.bincount(rows, minlength=8)) == {2, 3}  # two whole epochs and half of a third


def test_a_step_decides_its_batch() -> None:
    pack = tiny_pack()
    first, again, other = (draw_batch(pack, step, TINY) for step in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()
    assert (first[0] != draw_batch(pack, 1, replace(TINY, seed=1))[0]).any()


def test_every_step_draws_anew_how_a_photo_is_shown() -> None:
    pack = tiny_pack(2)  # as many photos as a batch holds, all alike
    pack.pictures[:] = pack.pictures[0]
    settings = replace(TINY, steps=99, sizes=((1.0, 16),))
    batches = [draw_batch(pack, step, settings)[0] for step in range(4)]
    assert len({batch.tobytes() for batch in batches}) == 4


def test_every_loss_falls(tmp_path: Path) -> None:
    settings = replace(TINY, steps=60, batch=16, sizes=((1.0, 16),), rate=3e-3)
    settings = replace(settings, classify=1.0, distil=1.0, relate=1.0)
    reports, weights = trained(tiny_pack(), settings, tmp_path, every=10)
    assert [report.step for report in reports] == [10, 20, 30, 40, 50, 60]
    for name in ("classify", "distil", "relate"):
        assert reports[-1].losses[name] < 0.5 * reports[0].losses[name]
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_a_pack_without_a_teacher_is_only_classified(tmp_path: Path) -> None:
    reports, _ = trained(tiny_pack(taught=False), replace(TINY, steps=1), tmp_path)
    assert set(reports[-1].losses) == {"classify"}


def test_stopped_and_resumed_it_gives_the_same_bits(tmp_path: Path) -> None:
    pack = tiny_pack()
    straight, expected = trained(pack, TINY, tmp_path / "straight")
    first, _ = trained(pack, TINY, tmp_path / "stopped", reports=1)
    rest, found = trained(pack, TINY, tmp_path / "stopped")
    assert first + rest == straight
    assert [report.step for report in rest] == [4, 6]
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    checkpoints = [tmp_path / run / "pretrain.safetensors" for run in ("straight", "stopped")]
    one, other = (load_file(path) for path in checkpoints)  # safetensors orders its metadata at random
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_complete_run_yields_its_weights_again(tmp_path: Path) -> None:
    pack, settings = tiny_pack(), replace(TINY, steps=2)
    _, expected = trained(pack, settings, tmp_path)
    reports, found = trained(pack, settings, tmp_path)
    assert reports == [Report("backbone", 2, 2, {})]
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_weights_are_the_average_not_the_last(tmp_path: Path) -> None:
    """ema 0 keeps the last weights, ema 0.8 remembers older ones: same training, other result."""
    pack = tiny_pack()
    _, last = trained(pack, replace(TINY, steps=3, ema=0.0), tmp_path / "last")
    _, mean = trained(pack, replace(TINY, steps=3, ema=0.8), tmp_path / "mean")
    assert (last["heads.classes"] - mean["heads.classes"]).abs().max() > 1e-4


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("run")
    trained(tiny_pack(), replace(TINY, steps=1), folder)
    return (folder / "pretrain.safetensors").read_bytes()


def refused(folder: Path, says: str, *, people: int = PEOPLE, settings: PretrainSettings | None = None) -> None:
    with pytest.raises(TrainingError, match=says) as caught:
        trained(tiny_pack(people), settings or replace(TINY, steps=1), folder)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{folder / 'pretrain.safetensors'}: ")


@pytest.mark.parametrize("other", [{"seed": 1}, {"steps": 9}, {"rate": 1e-3}, {"batch_norm": False}])
def test_other_settings_are_refused(tmp_path: Path, checkpoint: bytes, other: dict[str, int]) -> None:
    (tmp_path / "pretrain.safetensors").write_bytes(checkpoint)
    refused(tmp_path, "other settings", settings=replace(TINY, **({"steps": 1} | other)))  # type: ignore[arg-type]


def test_other_people_are_refused(tmp_path: Path, checkpoint: bytes) -> None:
    (tmp_path / "pretrain.safetensors").write_bytes(checkpoint)
    refused(tmp_path, "another pack", people=PEOPLE + 1)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path, checkpoint: bytes) -> None:
    path = tmp_path / "pretrain.safetensors"
    for data in (b"", b"nothing of the kind", checkpoint[:1000], checkpoint[:-1]):
        path.write_bytes(data)
        refused(tmp_path, "damaged checkpoint")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "pretrain.safetensors")
    refused(tmp_path, "other settings")
