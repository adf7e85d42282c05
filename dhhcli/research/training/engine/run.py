"""run: face packs, folder, people to measure on -> TrainingRun, what every recipe trains with; the plot at its end.

A run has one folder: packs made of folders of people (``data/``), checkpoints, ``log.jsonl``, then ``training.png`` and
the weights. Of several processes (distributed.py) all train, the first measures, writes and speaks.
"""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dhhcli.base.version import __version__
from dhhcli.errors import TrainingError, UsageError
from dhhcli.research.datasets.folders import open_faces
from dhhcli.research.datasets.pack import FacePack, merge_packs
from dhhcli.research.training.engine.distributed import Devices, open_devices
from dhhcli.research.training.engine.log import Log
from dhhcli.research.training.engine.plot import plot_log
from dhhcli.research.training.validation import Validation


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """What is trained on, where and on what it runs, and what is said about it."""

    folder: Path
    faces: FacePack  # all packs, merged
    sources: tuple[dict[str, Any], ...]  # file and crops of each pack
    terms: str  # under which the data may be used
    devices: Devices
    validation: Validation | None  # in the first process
    log: Log

    @property
    def people(self) -> int:
        """How many are trained on."""
        return len(np.unique(self.faces.identity))

    def lines(self, trained: Iterator[str]) -> Iterator[str]:
        """A line about the data, then those of a training; other processes than the first train without a word."""
        if self.devices.first:
            yield f"{len(self.faces)} crops of {self.people} people; {self.devices.words()}"
        for line in trained:
            if self.devices.first:
                yield line

    def record(self, settings: dict[str, Any], **more: Any) -> dict[str, Any]:
        """What the weights' record says of their training."""
        return more | {
            "data": list(self.sources),
            "crops": len(self.faces),
            "people": self.people,
            "terms": self.terms,
            "settings": settings,
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "dhh": __version__,
            "torch": str(torch.__version__),
            "machine": f"{platform.machine()}, {self.devices.words()}",
        }


@contextmanager
def open_run(
    data: Sequence[Path],
    out: Path,
    *,
    validate: Path | None = None,
    protocol: Path | None = None,
    terms: str = "not stated",
    threads: int | None = None,
    choose: Callable[[FacePack], FacePack] = lambda faces: faces,
) -> Iterator[TrainingRun]:
    """Everything that a recipe needs, for as long as it trains; then its log is plotted, if it went well.

    Args:
        data: face packs or folders of people.
        out: made where it is missing.
        validate: face pack of other people, for figures; with ``protocol``.
        protocol: what is asked of whom there.
        terms: of the data, for the record.
        threads: of the CPU, for all of this process.
        choose: the crops to train on, of all there are.

    Raises:
        PackError: a pack or the protocol cannot be read.
        TrainingError: ``out`` cannot be made.
        UsageError: ``validate`` without ``protocol``, or the other way round; torchrun's variables are incomplete.
    """
    if threads:
        torch.set_num_threads(threads)
    if bool(validate) != bool(protocol):
        raise UsageError("--validate and --protocol go together: people to measure on, and how")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out}: cannot be made ({error.strerror}); name another folder with --out") from None
    with open_devices() as devices:
        packs = [open_faces(path, out / "data") for path in data]
        sources = tuple({"file": pack.path.name, "crops": len(pack)} for pack in packs)
        faces = choose(merge_packs(packs))
        del packs  # decoded twice otherwise: 19 kB a crop
        validation = Validation.read(validate, protocol) if validate and protocol and devices.first else None
        log = Log(out / "log.jsonl", kept=devices.first)
        yield TrainingRun(out, faces, sources, terms, devices, validation, log)
        if devices.first and log.path.is_file():  # stages of no steps report nothing
            plot_log(log.path, out / "training.png")
