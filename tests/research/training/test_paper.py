"""paper.py and train.py on a small pack: every stage, resume, what ships; settings that are refused."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import toy_pack, write_pack
from typer.testing import Result

from dhhcli.errors import TrainingError, UsageError
from dhhcli.models.extractor import FeatureExtractor
from dhhcli.models.weights import load_hash_layers, load_weights
from dhhcli.research.datasets.pack import read_pack
from dhhcli.research.train import train_by
from dhhcli.research.training.dhh import DhhSettings
from dhhcli.research.training.engine.distributed import Devices
from dhhcli.research.training.engine.settings import change
from dhhcli.research.training.networks.backbone import to_input
from dhhcli.research.training.paper import Hashing, PaperSettings, run_paper, train_paper

SMALL = PaperSettings(
    bits=12,
    alpha=2.0,
    cross_alpha=4.0,
    people=3,
    pairs=2,
    frames=3,
    size=16,
    steps=5,
    cross_share=0.4,
    pretrain_steps=3,
    pretrain_batch=6,
    precision="float32",
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


ONE = Devices(torch.device("cpu"))


def states(folder: Path, settings: PaperSettings) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Every report's stage and step, and all parameters then."""
    for report, backbone, model in train_paper(toy_pack(), settings, folder, ONE):
        tensors = {**backbone.state_dict(), **{f"hash.{k}": v for k, v in model.state_dict().items()}}
        yield f"{report.stage} {report.step}", {k: v.clone() for k, v in tensors.items()}


def test_a_run_killed_at_any_step_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, (_, whole) = states(tmp_path / "whole", SMALL)
    monkeypatch.setattr("dhhcli.research.training.engine.loop.REPORT_EVERY", 1)
    stopped: list[str] = []
    last: dict[str, torch.Tensor] = {}
    finished = False
    while not finished:
        finished = True
        for at, tensors in states(tmp_path / "stopped", SMALL):
            last = tensors
            if at not in stopped:
                stopped.append(at)
                finished = False
                break
    assert stopped == [
        *(f"classifier {i}" for i in (1, 2, 3)),
        *(f"pairs {i}" for i in (1, 2, 3)),
        "cross 4",
        "cross 5",
    ]
    assert last.keys() == whole.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, last[name]), name


def test_the_first_stage_takes_all_terms_and_ten_times_the_rate(tmp_path: Path) -> None:
    """Gradients and rates of the two stages, on one batch."""
    settings = replace(SMALL, dropout=0.0)
    pack = toy_pack()
    (_, backbone, model), *_ = train_paper(pack, replace(settings, pretrain_steps=0, steps=1), tmp_path, ONE)
    task = Hashing(backbone, model, pack, settings, ONE)
    optimiser = task.optimiser()
    batch = task.draw(0)
    with torch.no_grad():
        loss, terms = task.losses(0, batch, optimiser)
        assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([1e-4, 1e-3])
        cross_loss, cross_terms = task.losses(4, batch, optimiser)
        assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([1e-4, 1e-4])
    assert float(loss) == pytest.approx(float(terms["cross"] + terms["still"] + terms["track"]))
    assert float(cross_loss) == float(cross_terms["cross"])
    # margin 4 after 2, and every triplet is still active
    assert float(cross_terms["cross"]) == pytest.approx(float(terms["cross"]) + 2.0, abs=1e-4)
    assert optimiser.param_groups[0]["momentum"] == 0.9
    assert optimiser.param_groups[1]["weight_decay"] == 5e-4


def test_a_batch_is_people_times_pairs(tmp_path: Path) -> None:
    pack = toy_pack()
    (_, backbone, model), *_ = train_paper(pack, replace(SMALL, pretrain_steps=0, steps=1), tmp_path, ONE)
    batch = Hashing(backbone, model, pack, SMALL, ONE).draw(7)
    ids = [pair.identity for pair in batch.pairs]
    assert len(ids) == 6
    assert len(set(ids)) == 3
    assert len(batch.crops) == 6 + sum(batch.lengths)
    assert max(batch.lengths) == 3
    assert batch.crops.shape[1:] == (16, 16, 3)


def test_the_classifier_learns_to_tell_dark_from_light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhhcli.research.training.engine.loop.REPORT_EVERY", 10)
    pack = toy_pack(people=2)
    pack.pictures[:] = np.where(pack.identity == 0, 20, 230)[:, None, None, None]
    settings = replace(SMALL, pretrain_steps=40, pretrain_batch=8, steps=0)
    losses = [report.losses["classify"] for report, _, _ in train_paper(pack, settings, tmp_path, ONE)]
    assert losses[-1] < 0.3 < losses[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("paper")
    torch.set_num_threads(1)
    write_pack(folder / "train.h5", 5, 4, seed=0)
    write_pack(folder / "val.h5", 4, 6, seed=1)
    people = [
        {"identity": i, "queries": [6 * i, 6 * i + 1], "sets": [[6 * i + 2, 6 * i + 3]], "shots": [6 * i + 5]}
        for i in range(4)
    ]
    (folder / "protocol.json").write_text(json.dumps({"people": people}))
    lines = list(
        run_paper(
            [folder / "train.h5"],
            folder / "run",
            [SMALL],
            validate=folder / "val.h5",
            protocol=folder / "protocol.json",
            terms="made here",
        )
    )
    return folder, lines


def test_what_ships_is_what_was_trained(trained: tuple[Path, list[str]]) -> None:
    folder, lines = trained
    weights = load_weights(folder / "run" / "dhh-12.json")
    assert lines[-2] == f"wrote {folder / 'run' / 'dhh-12.json'}"
    assert lines[-1].startswith(f"not calibrated: {folder / 'val.h5'}: 4 people with two photos or more")
    assert weights.record["model"]["homogeneous"] is False
    assert weights.record["model"]["divide"] is False
    assert weights.record["training"]["recipe"] == "paper"
    assert weights.record["training"]["settings"]["alpha"] == 2.0
    assert weights.record["training"]["terms"] == "made here"
    assert {figure["representation"] for figure in weights.record["metrics"]["figures"]} == {
        "codes",
        "features",
        "random",
    }
    *_, (report, backbone, model) = train_paper(read_pack(folder / "train.h5"), SMALL, folder / "run", ONE)
    assert report.losses == {}  # nothing was left to do
    crops = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = backbone.eval()(to_input(torch.from_numpy(crops))).numpy()
    np.testing.assert_allclose(FeatureExtractor(weights.onnx_path)(crops), expected, atol=1e-4)
    layers = load_hash_layers(weights)
    np.testing.assert_array_equal(layers.still_weight, model.layers().still_weight)
    np.testing.assert_allclose(layers.track_weight, model.layers().track_weight, atol=1e-5)  # kept in half precision


def test_the_log_holds_every_stage_and_its_figures(trained: tuple[Path, list[str]]) -> None:
    folder, lines = trained
    entries = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["stage"] for entry in entries] == ["classifier", "pairs", "cross"]
    assert [line.partition(":")[0] for line in lines[1:4]] == ["classifier 3/3", "pairs 3/5", "cross 5/5"]
    assert "map_still_set" in entries[0]
    assert {"cross", "still", "track", "map_12_still_set"} <= set(entries[2])
    assert (folder / "run" / "training.png").is_file()


def test_other_settings_do_not_go_on_with_an_old_run(trained: tuple[Path, list[str]]) -> None:
    folder, _ = trained
    with pytest.raises(TrainingError, match="other settings"):
        list(run_paper([folder / "train.h5"], folder / "run", [replace(SMALL, rate=1.0)]))


def test_a_loss_that_is_no_number_ends_the_run_in_words(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss is nan|the loss is inf"):
        list(train_paper(toy_pack(), replace(SMALL, pretrain_rate=1e30), tmp_path, ONE))


def test_margins_are_the_papers() -> None:
    assert [PaperSettings.of(bits, 0).alpha for bits in (12, 24, 48)] == [2, 6, 6]
    assert PaperSettings.of(12, 0).cross_alpha == 4
    default = PaperSettings.of(48, 3)
    assert (default.steps, default.people, default.pairs, default.frames) == (100_000, 6, 5, 30)
    assert (default.rate, default.momentum, default.weight_decay, default.seed) == (1e-4, 0.9, 5e-4, 3)
    for bits in (8, 64, 128, 256, 512):
        PaperSettings.of(bits, 0)
    with pytest.raises(UsageError, match="alpha has to be below 4"):
        replace(default, bits=12)


def test_settings_are_changed_by_name() -> None:
    changed = change(PaperSettings.of(12, 0), ["alpha=3", "divide=true", "frames=10", "precision=bfloat16"])
    assert (changed.alpha, changed.divide, changed.frames, changed.precision) == (3.0, True, 10, "bfloat16")
    plan = change(DhhSettings.of([48], 0), ["hash.alpha=5", "pretrain.batch=8"])
    assert (plan.hash.alpha, plan.pretrain.batch) == (5.0, 8)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("alpha", "expected NAME=VALUE"),
        ("beta=1", "no such setting; there are bits, alpha"),
        ("alpha.x=1", "no such setting"),
        ("frames=1.5", "expected another int"),
        ("divide=1", "expected another bool"),
        ("alpha=17", "alpha has to be below 16"),
        ("people=1", "people 1: out of range"),
        ("precision=half", "precision half"),
    ],
)
def test_settings_that_are_refused(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        change(PaperSettings(), [words])


def test_a_list_cannot_be_set() -> None:
    plan = DhhSettings.of([48], 0)
    with pytest.raises(UsageError, match="cannot be set here"):
        change(plan, ["pretrain.sizes=1"])
    with pytest.raises(UsageError, match=r"there are pretrain\.\*, hash\.\*"):
        change(plan, ["hash=1"])


def test_one_person_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two people of two photos"):
        list(train_paper(toy_pack(people=1), SMALL, tmp_path, ONE))


def test_the_command_line_chooses_the_recipe(
    dhh: Callable[..., Result], trained: tuple[Path, list[str]], tmp_path: Path
) -> None:
    pack = trained[0] / "train.h5"
    words = ["train", "--recipe", "paper", "--data", pack, "--out", "run", "--bits", "12", "--bits", "8"]
    small = [f"--set={word}" for word in ("size=16", "frames=2", "people=2", "pairs=2", "precision=float32")]
    result = dhh(*words, "--threads", "1", "--backbone-steps", "0", "--joint-steps", "1", *small)
    assert result.exit_code == 0, result.stderr
    written = [line for line in result.stderr.splitlines() if line.startswith("wrote")]
    assert (result.stdout, written) == ("", ["wrote run/dhh-8.json", "wrote run/dhh-12.json"])
    for bits in (8, 12):
        weights = load_weights(tmp_path / "run" / f"dhh-{bits}.json")
        settings = weights.record["training"]["settings"]
        assert (settings["pretrain_steps"], settings["steps"], settings["frames"]) == (0, 1, 2)
        assert load_hash_layers(weights).bits == bits


def test_the_command_line_refuses_what_the_recipe_lacks(dhh: Callable[..., Result]) -> None:
    words = ["train", "--data", "a.h5", "--out", "run"]
    for more, code, message in (
        (["--recipe", "paper", "--hash-steps", "3"], 2, "--hash-steps: the paper's recipe has no such thing"),
        (["--recipe", "paper", "--patience", "3"], 2, "--patience: the paper's recipe has no such thing"),
        (["--recipe", "paper", "--backbone-from", "x"], 2, "--backbone-from: the paper's recipe has no such thing"),
        (["--recipe", "paper", "--set", "colour=1"], 2, "--set colour=1: no such setting"),
        (["--set", "hash.colour=1"], 2, "--set hash.colour=1: no such setting"),
        (["--recipe", "paper"], 1, "a.h5: no such face pack"),
        (["--recipe", "paper", "--backbone-steps", "0", "--joint-steps", "0"], 2, "there is nothing to train"),
        (["--recipe", "paper", "--validate", "b.h5"], 2, "go together"),
    ):
        result = dhh(*words, *more)
        assert result.exit_code == code
        assert len(result.stderr.splitlines()) == 1
        assert message in result.stderr
    assert dhh(*words, "--recipe", "theirs").exit_code == 2
    with pytest.raises(UsageError, match="no such recipe"):
        train_by("theirs", [], Path("run"), [48], seed=0)
