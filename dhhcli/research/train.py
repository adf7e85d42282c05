"""train: face packs + the name of a recipe + changes to its settings -> weights (K bits), a line for every report."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dhhcli.errors import UsageError
from dhhcli.research.baselines.deep.train import run_method, settings_of
from dhhcli.research.training.dhh import DhhSettings, run
from dhhcli.research.training.engine.settings import change
from dhhcli.research.training.from_sface.distil import DistilSettings
from dhhcli.research.training.from_sface.run import SfaceSettings, run_sface
from dhhcli.research.training.paper import PaperSettings, run_paper


def train_by(
    recipe: str,
    data: Sequence[Path],
    out: Path,
    lengths: Sequence[int],
    *,
    seed: int,
    method: str = "dhh",
    name: str | None = None,
    features_of: str | None = None,
    hold_out: int = 0,
    changes: Sequence[str] = (),
    backbone_steps: int | None = None,
    hash_steps: int | None = None,
    joint_steps: int | None = None,
    start_from: Path | None = None,
    patience: int = 0,
    **rest: Any,
) -> Iterator[str]:
    """Train by the recipe "dhh", "sface" or "paper", or a rival ``method`` (research/baselines/deep/train.py).

    None: as long as the recipe says. ``rest``: see ``run``.

    Raises:
        UsageError: no such recipe or method, or it has no such setting.
    """
    if method != "dhh":
        for option, given in {
            f"--recipe {recipe}": recipe != "dhh",
            "--backbone-steps": backbone_steps is not None,
            "--hash-steps": hash_steps is not None,
            "--joint-steps": joint_steps is not None,
            "--backbone-from": start_from is not None,
            "--patience": bool(patience),
        }.items():
            if given:
                raise UsageError(
                    f"{option}: {method} has no such thing; leave it out, its settings are changed by --set"
                )
        settings = change(settings_of(method, lengths, seed), changes)
        return run_method(data, out, settings, name=name, features_of=features_of, hold_out=hold_out, **rest)
    if features_of is not None or hold_out:
        raise UsageError(f"{'--features-of' if features_of else '--hold-out'}: for the rivals (--method); leave it out")
    rest["name"] = name or "dhh"
    if recipe == "sface":
        for option, given in {
            "--hash-steps": hash_steps is not None,
            "--joint-steps": joint_steps is not None,
            "--patience": bool(patience),
        }.items():
            if given:
                raise UsageError(f"{option}: the recipe sface has no such thing; leave it out")
        if start_from is None:
            raise UsageError("--recipe sface starts from SFace: give --backbone-from, made by tools/make_sface.py")
        wanted = SfaceSettings(seed=seed, lengths=tuple(sorted(set(lengths))), distil=DistilSettings(seed=seed))
        if backbone_steps is not None:
            wanted = replace(wanted, distil=replace(wanted.distil, steps=backbone_steps))
        return run_sface(data, start_from, out, change(wanted, changes), **rest)
    if recipe == "paper":
        for option, given in {
            "--hash-steps": hash_steps is not None,
            "--backbone-from": start_from is not None,
            "--patience": bool(patience),
        }.items():
            if given:
                raise UsageError(f"{option}: the paper's recipe has no such thing; leave it out")
        every = [
            change(PaperSettings.of(bits, seed, backbone_steps=backbone_steps, joint_steps=joint_steps), changes)
            for bits in sorted(set(lengths))
        ]
        return run_paper(data, out, every, **rest)
    if recipe != "dhh":
        raise UsageError(f"--recipe {recipe}: no such recipe; there are dhh, sface, paper")
    plan = DhhSettings.of(lengths, seed, backbone_steps=backbone_steps, hash_steps=hash_steps, joint_steps=joint_steps)
    return run(data, out, change(plan, changes), start_from=start_from, patience=patience, **rest)
