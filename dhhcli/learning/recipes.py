"""recipes: face packs + the name of a recipe + changes to its settings -> weights (K bits), a line for every report."""

import copy
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from .. import __version__
from ..errors import TrainingError, UsageError
from ..folders import open_faces
from ..packs import merge_packs
from .devices import open_devices
from .export import backbone_safetensors, to_onnx
from .finish import dhh_record, write_layers
from .hashtrain import HashSettings
from .log import Log
from .methods import run_method, settings_of
from .paper import PaperSettings, train_paper
from .plot import plot_log
from .train import Plan, run
from .validation import Validation

Settings = TypeVar("Settings")


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
    """Train by the recipe of that name, "dhh" or "paper", or a rival ``method`` (methods.py).

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
        raise UsageError(f"--recipe {recipe}: no such recipe; there are dhh, paper")
    plan = Plan.of(lengths, seed, backbone_steps=backbone_steps, hash_steps=hash_steps, joint_steps=joint_steps)
    return run(data, out, change(plan, changes), start_from=start_from, patience=patience, **rest)


def change(settings: Settings, changes: Sequence[str]) -> Settings:
    """Settings (frozen dataclasses, perhaps inside one another) with some "name=value" or "part.name=value" replaced.

    Raises:
        UsageError: no such setting, or a value that is not of its kind.
    """
    for words in changes:
        name, equals, text = words.partition("=")
        if not equals:
            raise UsageError(f"--set {words}: expected NAME=VALUE")
        settings = _replace(settings, name.split("."), text, words)
    return settings


def _replace(settings: Any, path: list[str], text: str, words: str) -> Any:
    there = {field.name: getattr(settings, field.name) for field in fields(settings)}
    name, *deeper = path
    if name not in there or is_dataclass(there[name]) != bool(deeper):
        names = [f"{key}.*" if is_dataclass(value) else key for key, value in there.items()]
        raise UsageError(f"--set {words}: no such setting; there are {', '.join(names)}")
    value = there[name]
    if deeper:
        return replace(settings, **{name: _replace(value, deeper, text, words)})
    try:
        return replace(settings, **{name: _parse(text, value)})
    except TypeError:
        raise UsageError(f"--set {words}: {name} is {value!r}, not one number or word; it cannot be set here") from None
    except ValueError:
        kind = type(value).__name__
        raise UsageError(f"--set {words}: {name} is {value!r} by default, expected another {kind}") from None


def _parse(text: str, like: Any) -> bool | int | float | str:
    """Text as a value of the same kind; ValueError where it is none, TypeError for kinds that are not one word."""
    if isinstance(like, bool):
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    if isinstance(like, int | float | str):
        return type(like)(text)
    raise TypeError(type(like))


def run_paper(
    data: Sequence[Path],
    out: Path,
    every: Sequence[PaperSettings],
    *,
    name: str = "dhh",
    validate: Path | None = None,
    protocol: Path | None = None,
    terms: str = "not stated",
    threads: int | None = None,
) -> Iterator[str]:
    """Train by the paper's recipe, or go on training, in folder ``out``; yields a line for every report.

    Each length of code gets a network of its own, as in the paper; they share the classifier that they start from. Of
    several processes only the first yields and writes.

    Raises:
        PackError: a pack or the protocol cannot be read.
        TrainingError: ``out`` holds a run with other settings or data, or a loss is no longer a number.
        UsageError: ``validate`` without ``protocol``, or the other way round; too few people for triplets.
    """
    if threads:
        torch.set_num_threads(threads)
    if bool(validate) != bool(protocol):
        raise UsageError("--validate and --protocol go together: people to measure on, and how")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out}: cannot be made ({error.strerror}); name another folder with --out") from None
    packs = [open_faces(path, out / "data") for path in data]
    sources = [{"file": pack.path.name, "crops": len(pack)} for pack in packs]
    faces = merge_packs(packs)
    del packs
    with open_devices() as devices:
        validation = None
        if validate and protocol and devices.first:
            validation = Validation.read(validate, protocol)
        log = Log(out / "log.jsonl", kept=devices.first)
        if devices.first:
            yield f"{len(faces)} crops of {len(np.unique(faces.identity))} people; {devices.words()}"
        training = {
            "recipe": "paper",
            "data": sources,
            "crops": len(faces),
            "people": len(np.unique(faces.identity)),
            "terms": terms,
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "dhh": __version__,
            "torch": str(torch.__version__),
            "machine": f"{platform.machine()}, {devices.words()}",
        }
        for settings in every:
            codes = replace(HashSettings(), lengths=(settings.bits,))
            for report, backbone, model in train_paper(faces, settings, out, devices):
                if not devices.first:
                    continue
                final = copy.deepcopy(backbone).cpu(), copy.deepcopy(model).cpu()
                figures: dict[str, float] = {}
                if validation and report.losses:
                    hashed = None if report.stage == "classifier" else final[1]
                    figures = validation.figures(final[0], settings.size, hashed, codes)
                if report.losses:
                    yield log.write(report.stage, report.step, report.steps, report.losses | figures)
            if devices.first:
                folded, layers = final[0], final[1].layers()
                record = dhh_record(layers, training | {"settings": asdict(settings)}, homogeneous=False, mirror=False)
                yield from write_layers(
                    out,
                    name,
                    {settings.bits: layers},
                    to_onnx(folded),
                    record,
                    validation,
                    network=f"{name}-{settings.bits}-backbone",
                    backbone=backbone_safetensors(folded),
                )
        if devices.first and log.path.is_file():
            plot_log(log.path, out / "training.png")
