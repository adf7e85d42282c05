"""What training and evaluating take is said in the first words, within two seconds of the command."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import PROGRAM
from packs import write_pack

from dhhcli.research import forecast
from dhhcli.research.forecast import RECIPES, evaluation_words, past_of, stages_of, training_words
from dhhcli.research.training.dhh import DhhSettings, parts_of
from dhhcli.research.training.from_sface.run import SfaceSettings
from dhhcli.research.training.paper import PaperSettings
from dhhcli.research.training.paper import parts_of as paper_parts


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is as quick as the one of the figures."""
    monkeypatch.setattr(forecast, "slowness", lambda: 1.0)


def test_stages_are_those_of_the_recipes() -> None:
    """Their settings import torch, so they are written down twice."""
    plan, paper, sface = DhhSettings.of([128], 0), PaperSettings(), SfaceSettings()
    backbone, joint = RECIPES["dhh"]
    assert (backbone.steps, joint.steps) == (plan.pretrain.steps, plan.hash.joint_steps)
    costs = {part.what: part.cost for part in parts_of(plan, 10**6)}
    assert backbone.steps * backbone.crops == pytest.approx(costs["backbone steps"], rel=0.01)
    assert joint.steps * joint.crops == pytest.approx(costs["joint steps"])
    assert plan.hash.hash_steps == 0
    classifier, pairs = RECIPES["paper"]
    assert (classifier.steps, pairs.steps) == (paper.pretrain_steps, paper.steps)
    assert [stage.steps * stage.crops for stage in RECIPES["paper"]] == [
        pytest.approx(part.cost) for part in paper_parts(paper, first=True)
    ]
    assert RECIPES["sface"][0].steps == sface.distil.steps


def test_steps_that_were_asked_for() -> None:
    asked = stages_of("dhh", ["pretrain.steps=10", "hash.shrink=1"], backbone_steps=5, joint_steps=7)
    assert [stage.steps for stage in asked] == [10, 7]  # --set comes last there too
    assert [stage.steps for stage in stages_of("paper", ["steps=3"], backbone_steps=2, joint_steps=None)] == [2, 3]


def test_a_new_run_and_one_that_goes_on(tmp_path: Path) -> None:
    pack, out = write_pack(tmp_path / "faces.h5"), tmp_path / "run"
    words = training_words([pack], out, "dhh")
    assert (
        words
        == f"{out}: training on 5 crops, 28300 steps; about 2.8 h in all without a GPU, a guess until some are done"
    )
    assert "about 5.5 h" in training_words([pack], out, "dhh", backbone_steps=56_000)
    out.mkdir()
    lines = [
        {"stage": "backbone", "step": step, "steps": 28_000, "seconds": seconds}
        for step, seconds in ((250, 500.0), (500, 900.0), (750, 5.0), (1000, 255.0))  # it was begun twice
    ]
    (out / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"stage": "ba')
    assert past_of(out / "log.jsonl") == ({"backbone": 1.0}, ("backbone", 1000))
    words = training_words([pack], out, "dhh", joint_steps=0)
    assert words.endswith("going on at backbone step 1000; about 7.5 h left, as it went before")
    assert "said after its first steps" in training_words([pack], out, "dhh", method="dsh")
    assert "training on " + str(tmp_path) in training_words([tmp_path], out, "dhh")


def test_an_evaluation(tmp_path: Path) -> None:
    pack = write_pack(tmp_path / "faces.h5")
    assert re.search(r"reading 5 crops, .*; about 0 s, a guess", evaluation_words(pack))
    (tmp_path / "people" / "Ada").mkdir(parents=True)
    for number in range(400):
        (tmp_path / "people" / "Ada" / f"{number}.jpg").touch()
    assert re.search(r"faces in 400 files, .*about 2 min ", evaluation_words(tmp_path / "people"))
    assert evaluation_words(tmp_path / "none.h5")  # what is wrong with it is said later


def first_line(*words: str | Path) -> tuple[float, str]:
    """Seconds from the start of a command to its first word, and the line; it is not waited for."""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        line = process.stdout.readline()
        took = time.monotonic() - began
        process.kill()
    return took, line


def test_the_first_words_come_at_once_and_say_how_long(tmp_path: Path) -> None:
    """Also where torch is imported first, and where much was done before: soon, or as many times later as a
    command that does nothing takes longer than its 0.28 seconds on two quiet cores.
    """
    pack, out = write_pack(tmp_path / "faces.h5"), tmp_path / "run"
    least, _ = first_line("--version")
    for begun in (False, True):
        if begun:
            (out / "log.jsonl").write_text(json.dumps({"stage": "backbone", "step": 9, "steps": 28_000, "seconds": 1}))
        took, line = first_line("train", "--data", pack, "--out", out)
        assert re.search(r"training on 5 crops, .*; about \d\S* (s|min|h) (left|in all)", line), line
        assert took < 5 * max(1.0, least / 0.28)  # two on a quiet machine; other tests run beside this one
        out.mkdir(exist_ok=True)
