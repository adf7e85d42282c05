"""run: SFace + faces that everybody may use (one picture a person will do) -> weights, in stages that leave files.

1. ``teachers.safetensors``: what SFace makes of the clean pictures (distil.py);
2. ``start.safetensors``: SFace without its PReLUs (networks/relu.py);
3. ``distil.safetensors``: the network for film, trained (distil.py);

then the hash layers of every length in closed form (hash_start.py) and the weights (publish.py): photos are looked at
by SFace itself (NAME.onnx), film by the trained network in integers (NAME-int8.onnx).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dhhcli.base.onnx_session import start_session
from dhhcli.base.patience import to_come
from dhhcli.errors import TrainingError
from dhhcli.models.network import check_pictures
from dhhcli.research.datasets.augmentation import centre, imitate_frames
from dhhcli.research.datasets.degradation import degrade
from dhhcli.research.datasets.pack import FacePack, fingerprint, read_column
from dhhcli.research.training.engine.checkpoint import read_tensors, save_stage
from dhhcli.research.training.engine.run import TrainingRun, open_run
from dhhcli.research.training.engine.whole import trained
from dhhcli.research.training.from_sface.distil import DistilSettings, Teachers, ask_teachers, distil, look
from dhhcli.research.training.from_sface.hash_start import start_layers
from dhhcli.research.training.networks.laid_out import LaidOut
from dhhcli.research.training.networks.mobile_face import NATIVE, MobileFace
from dhhcli.research.training.networks.relu import equalise, without_slopes
from dhhcli.research.training.publishing.export import crops_to_onnx, in_halves
from dhhcli.research.training.publishing.publish import dhh_record, write_layers
from dhhcli.research.training.publishing.quantise import film_to_int8
from dhhcli.research.training.publishing.split_prelu import split_prelus
from dhhcli.research.training.validation import Validation

START = (
    "SFace (face_recognition_sface_2021dec of OpenCV Zoo, Apache-2.0) by tools/make_sface.py; its authors have not "
    "said what it was trained on"
)
ONE_PERSON = 0.3  # encoding/one_person.py
SECOND = "retail"  # column of a pack: another network's features of the pictures


@dataclass(frozen=True)
class SfaceSettings:
    """Of all stages; written into the record of the weights."""

    seed: int = 0
    fitted_on: int = 384  # crops that the ReLUs are fitted on
    shots: int = 512  # imitated, that the track layer is scaled on
    frames: int = 4  # of each
    ranged_on: int = 512  # crops that set the ranges of integers
    eps: float = 0.3  # of the log-covariance
    lengths: tuple[int, ...] = (128,)  # of the codes, bits
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


def run_sface(
    data: Sequence[Path],
    start_from: Path,
    out: Path,
    settings: SfaceSettings,
    *,
    name: str = "dhh",
    validate: Path | None = None,
    protocol: Path | None = None,
    terms: str = "not stated",
    threads: int | None = None,
) -> Iterator[str]:
    """Train, or go on training, in folder ``out``; yields a line for every report.

    The second teacher is a column of the pack; several packs have none together.

    Raises:
        PackError: a pack or the protocol cannot be read.
        TrainingError: ``start_from`` is not SFace, or ``out`` holds a run with other settings or data.
        UsageError: ``validate`` without ``protocol``, or the other way round.
    """
    with open_run(data, out, validate=validate, protocol=protocol, terms=terms, threads=threads) as training:
        yield from training.lines(_train(training, start_from, settings, name, alone=len(data) == 1))


def _train(
    training: TrainingRun, start_from: Path, settings: SfaceSettings, name: str, *, alone: bool
) -> Iterator[str]:
    net, faces, out = read_sface(start_from), training.faces, training.folder
    second = read_column(faces.path, SECOND) if alone else None
    stamp: dict[str, Any] = {
        "data": fingerprint(faces),
        "start_from": hashlib.sha256(start_from.read_bytes()).hexdigest(),
        "seed": settings.seed,
        "fitted_on": settings.fitted_on,
    }
    yield "one teacher" if second is None else "two teachers"
    to_come([trained("distil steps", settings.distil.steps * settings.distil.batch)])
    teachers = teachers_of(net, faces, second, out / "teachers.safetensors", stamp)
    student = started(net, faces, settings, out / "start.safetensors", stamp)
    stamp |= {"distil": asdict(settings.distil)}
    reports = distil(student, net, faces, teachers, settings.distil, out, stamp=stamp, devices=training.devices)
    for report in reports:
        if report.losses:
            yield training.log.write(report.stage, report.step, report.steps, report.losses)
    if training.devices.first:
        record = training.record(stamp | {"sface": asdict(settings)}, start=START)
        yield from publish(net, student.eval(), faces, teachers, settings, out, name, record, training.validation)


def publish(
    net: MobileFace,
    student: MobileFace,
    faces: FacePack,
    teachers: Teachers,
    settings: SfaceSettings,
    out: Path,
    name: str,
    training: dict[str, Any],
    validation: Validation | None,
) -> Iterator[str]:
    """Both networks and the hash layers -> weights; yields a line for every figure."""
    rng = np.random.default_rng([settings.seed, 22])
    rows = rng.choice(len(faces), min(len(faces), settings.ranged_on), replace=False)
    poor = np.stack([degrade(faces.pictures[row], rng, 0.8) for row in rows])
    equalise(student, torch.from_numpy(poor[:64]))
    clean = np.stack([centre(faces.pictures[row]) for row in rows])
    film = LaidOut(student, float(look(student, clean, bf16=False).norm(dim=1).mean()))
    onnx = in_halves(split_prelus(crops_to_onnx(LaidOut(net, teachers.scale))))
    int8 = film_to_int8(crops_to_onnx(film), poor)
    rows = rng.choice(len(faces), min(len(faces), settings.shots), replace=False)
    frames = np.concatenate([imitate_frames(faces.pictures[row], settings.frames, rng) for row in rows])
    shots = film.lay_out(look(student, frames, bf16=False)).reshape(len(rows), settings.frames, -1)
    layers = start_layers(
        teachers.sface, teachers.second, shots, settings.lengths, eps=settings.eps, seed=settings.seed
    )
    record = dhh_record(layers[settings.lengths[0]], training, homogeneous=True, mirror=True)
    record["model"] |= {"backbone": "sface", "one_person": ONE_PERSON, "film_check": check_of(int8)}
    yield from write_layers(out, name, layers, onnx, record, validation, int8=int8)


def check_of(int8: bytes) -> list[list[float]]:
    """What the network in integers gives for ``check_pictures``, computed in floats, rounded."""
    session = start_session(int8, severity=4, integers=False)
    found = session.run(None, {session.get_inputs()[0].name: check_pictures()})[0]
    return [[round(float(value), 3) for value in row] for row in found]
