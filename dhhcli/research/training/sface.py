"""sface: SFace + faces that everybody may use (one picture a person will do) -> weights, in stages that leave files.

1. ``teachers.safetensors``: what SFace makes of the clean pictures (distil.py);
2. ``start.safetensors``: SFace without its PReLUs (networks/relu.py);
3. ``distil.safetensors``: the network for film, trained (distil.py).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dhhcli.errors import TrainingError
from dhhcli.research.datasets.degradation import degrade
from dhhcli.research.datasets.pack import FacePack, fingerprint, read_column, read_pack
from dhhcli.research.training.distil import DistilSettings, Teachers, ask_teachers, distil
from dhhcli.research.training.engine.checkpoint import read_tensors, save_stage
from dhhcli.research.training.engine.log import Log
from dhhcli.research.training.networks.mobile_face import NATIVE, MobileFace
from dhhcli.research.training.networks.relu import without_slopes

SECOND = "retail"  # column of a pack: another network's features of the pictures


@dataclass(frozen=True)
class SfaceSettings:
    """Of all stages; written into the record of the weights."""

    seed: int = 0
    fitted_on: int = 384  # crops that the ReLUs are fitted on
    distil: DistilSettings = field(default_factory=DistilSettings)


def read_sface(path: Path) -> MobileFace:
    """SFace as ``tools/make_sface.py`` writes it.

    Raises:
        TrainingError: the file is missing, or holds something else.
    """
    net = MobileFace(NATIVE)
    try:
        net.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        words = " ".join(str(error).split())[:200]
        raise TrainingError(f"{path}: not SFace as tools/make_sface.py writes it ({words}); make it anew") from None
    return net.eval()


def teachers_of(
    net: MobileFace, faces: FacePack, second: np.ndarray[Any, Any] | None, path: Path, stamp: dict[str, Any]
) -> Teachers:
    """What is asked for of every face; computed once, then read."""
    stored = read_tensors(path, stamp)
    if stored is None:
        found = ask_teachers(net, faces.pictures, second, bf16=False)
        stored = {"sface": found.sface, "length": found.length, "scale": torch.tensor(found.scale)}
        if found.second is not None:
            stored["second"] = found.second
        save_stage(path, stored, stamp)
    return Teachers(stored["sface"], stored["length"], float(stored["scale"]), stored.get("second"))


def started(net: MobileFace, faces: FacePack, settings: SfaceSettings, path: Path, stamp: dict[str, Any]) -> MobileFace:
    """SFace without its PReLUs, fitted on mildly degraded faces; computed once, then read."""
    stored = read_tensors(path, stamp)
    if stored is None:
        rng = np.random.default_rng([settings.seed, 21])
        rows = rng.choice(len(faces), min(len(faces), settings.fitted_on), replace=False)
        crops = np.stack([degrade(faces.pictures[row], rng, 0.5) for row in rows])
        made = without_slopes(net, torch.from_numpy(crops), torch.Generator().manual_seed(settings.seed))
        stored = made.state_dict()
        save_stage(path, stored, stamp)
    made = MobileFace(net.side)
    made.load_state_dict(stored)
    made.set_keep(0.0)
    return made


def run_sface(data: Path, start_from: Path, out: Path, settings: SfaceSettings) -> Iterator[str]:
    """Train, or go on training, in folder ``out``; yields a line for every report."""
    out.mkdir(parents=True, exist_ok=True)
    faces = read_pack(data)
    second = read_column(data, SECOND)
    net = read_sface(start_from)
    stamp: dict[str, Any] = {"data": fingerprint(faces), "seed": settings.seed, "fitted_on": settings.fitted_on}
    log = Log(out / "log.jsonl", kept=True)
    teachers = teachers_of(net, faces, second, out / "teachers.safetensors", stamp)
    yield f"{len(faces)} faces, {'two teachers' if teachers.second is not None else 'one teacher'}"
    student = started(net, faces, settings, out / "start.safetensors", stamp)
    stamp |= {"distil": asdict(settings.distil)}
    for report in distil(student, net, faces, teachers, settings.distil, out, stamp=stamp):
        if report.losses:
            yield log.write(report.stage, report.step, report.steps, report.losses)
