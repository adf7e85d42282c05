"""forecast: what a command was told to train or measure -> words: how much that is, and about how long it takes here.

Said before anything heavy is imported, so it is a guess: crops by what one cost where the figures were measured, and by
how long this machine takes for a product of matrices. A run that goes on knows better: its log says how fast it was.
What is measured on the way takes the place of both (output/terminal/waiting.py).
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dhhcli.base.text import counted
from dhhcli.output.terminal.encode_progress import span
from dhhcli.research.datasets.pack import crops_in

CORES: Final = 2  # of the machine that these are of
PRODUCT: Final = 0.000017  # seconds of a product of 96x96 matrices on one of them
A_CROP: Final = 0.008  # seconds of a crop of 64x64 pixels that is trained on
A_FACE: Final = 0.012  # that photos' network looks at, once
A_FILE: Final = 0.25  # a photo whose faces are looked for


@dataclass(frozen=True)
class Stage:
    """Steps of a recipe. setting: the --set that changes how many; crops: trained on in one, of 64x64 pixels."""

    name: str
    setting: str
    steps: int
    crops: float


# As the recipes' settings are, which import torch; a test holds them together.
RECIPES: Final = {
    "dhh": (
        Stage("backbone", "pretrain.steps", 28_000, 64 * 0.669),
        Stage("joint", "hash.joint_steps", 300, 192),
    ),
    "sface": (Stage("distil", "distil.steps", 1200, 48 * 4),),
    "paper": (
        Stage("classifier", "pretrain_steps", 20_000, 64),
        Stage("pairs", "steps", 100_000, 930),
    ),
}


def stages_of(
    recipe: str, changes: Sequence[str], *, backbone_steps: int | None, joint_steps: int | None
) -> tuple[Stage, ...]:
    """The stages of a recipe with the steps that were asked for."""
    asked = dict(change.split("=", 1) for change in changes if "=" in change)
    found = []
    for number, stage in enumerate(RECIPES[recipe]):
        option = joint_steps if number else backbone_steps
        word = asked.get(stage.setting, "")
        steps = int(word) if word.isdecimal() else stage.steps if option is None else option
        found.append(Stage(stage.name, stage.setting, steps, stage.crops))
    return tuple(found)


def training_words(
    data: Sequence[Path],
    out: Path,
    recipe: str,
    *,
    method: str = "dhh",
    lengths: Sequence[int] = (128,),
    changes: Sequence[str] = (),
    backbone_steps: int | None = None,
    joint_steps: int | None = None,
) -> str:
    """What a training does and how long it takes, as ``train_by`` is told; a rival's steps may depend on its data."""
    stages = stages_of(recipe, changes, backbone_steps=backbone_steps, joint_steps=joint_steps)
    crops = [crops_in(path) for path in data]
    known = sum(number for number in crops if number is not None)
    what = f"training on {counted(known, 'crop')}" if None not in crops else f"training on {', '.join(map(str, data))}"
    if method != "dhh":
        return f"{out}: {what}; how long that takes is said after its first steps"
    times = len(set(lengths)) if recipe == "paper" else 1  # a network for every length, behind one classifier
    todo = {stage.name: stage.steps * (times if number else 1) for number, stage in enumerate(stages)}
    speeds, reached = past_of(out / "log.jsonl")
    steps = sum(todo.values())
    if reached:
        stage, step = reached
        names = [one.name for one in stages]
        for before in names[: names.index(stage)] if stage in names else ():
            todo[before] = 0
        if stage in todo:
            todo[stage] = max(0, todo[stage] - step)
    guess = slowness() * A_CROP
    seconds = sum(todo[stage.name] * speeds.get(stage.name, stage.crops * guess) for stage in stages)
    if reached:
        return (
            f"{out}: {what}, going on at {reached[0]} step {reached[1]}; about {span(seconds)} left, as it went before"
        )
    how_long = f"about {span(seconds)} in all without a GPU, a guess until some are done"
    return f"{out}: {what}, {counted(steps, 'step')}; {how_long}"


def past_of(log: Path) -> tuple[dict[str, float], tuple[str, int] | None]:
    """Seconds a step of every stage of a run that was begun, and the last stage and step it reached."""
    speeds: dict[str, float] = {}
    last: tuple[str, int, float] | None = None
    try:
        for line in log.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            now = (str(entry["stage"]), int(entry["step"]), float(entry["seconds"]))
            if last and now[0] == last[0] and now[1] > last[1] and now[2] > last[2]:
                speeds[now[0]] = (now[2] - last[2]) / (now[1] - last[1])
            last = now
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no run, or a log that was cut: what was read of it counts
    return speeds, last and last[:2]


def evaluation_words(data: Path, weights: int = 1) -> str:
    """What an evaluation looks at, and about how long that takes."""
    crops = crops_in(data)
    if crops is not None:
        seconds = crops * 2 * A_FACE * max(1, weights)  # from both sides
        return (
            f"{data}: reading {counted(crops, 'crop')}, then comparing the features and codes of their faces; "
            f"about {span(seconds * slowness())}, a guess until some are done"
        )
    if data.is_dir():
        files = sum(1 for path in data.glob("*/*") if path.is_file())
        return (
            f"{data}: looking for faces in {counted(files, 'file')}, then comparing their features and codes; "
            f"about {span(files * A_FILE * slowness())} where they are photos, a guess until some are done"
        )
    return f"{data}: comparing the codes of its tracks; some seconds"


def slowness() -> float:
    """How many times as long this machine takes as the one of the figures."""
    import numpy as np

    matrix = np.ones((96, 96), np.float32)  # small: on one core, and over before something else has its turn
    took = []
    for _ in range(200):
        began = time.perf_counter()
        _ = matrix @ matrix
        took.append(time.perf_counter() - began)
    return min(took) / PRODUCT * CORES / (os.cpu_count() or 1)
