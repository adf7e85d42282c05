"""health: this installation -> Checks: what is there, what is wrong with it, and how to mend it."""

import importlib.metadata
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dhhcli.base.extras import MODULES, require
from dhhcli.base.text import counted, on_a_terminal
from dhhcli.base.version import __version__
from dhhcli.errors import DhhError, MissingExtraError

LIBRARIES: Final = ("numpy", "h5py", "faiss-cpu", "faiss-gpu", "onnxruntime", "onnxruntime-gpu")
SLOW: Final = 1.0  # times real time below which encoding is said to be slow
LONGEST: Final = 10.0  # seconds of the speed test


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. wrong: "" where it is well; mend: what to do where it is not."""

    what: str
    found: str
    wrong: str = ""
    mend: str = ""


def checks(
    codes_path: Path, settings: str, weights: str | None = None, *, wrong: str = "", speed: bool = True
) -> Iterator[Check]:
    """Look at everything, one after another; ``settings``: words about the file of defaults, ``wrong`` with it."""
    yield Check("dhh", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    yield _libraries()
    yield _decoders()
    yield from _devices()
    for extra in MODULES:
        yield _extra(extra)
    yield _pictures()
    yield _weights(weights)
    yield Check("settings", "" if wrong else settings, wrong, "mend or remove that file" if wrong else "")
    said = {name: value for name, value in os.environ.items() if name.startswith("DHH_")}
    yield Check("environment", ", ".join(f"{name}={value}" for name, value in sorted(said.items())) or "nothing set")
    for what, folder in (
        ("this folder", Path.cwd()),
        ("folder of the codes", codes_path.absolute().parent),
        ("folder for temporary files", Path(tempfile.gettempdir())),
    ):
        yield _writable(what, folder)
    yield _codes(codes_path)
    if speed:
        yield _speed(weights)


def print_checks(found: Iterator[Check], *, as_json: bool) -> int:
    """A line each, as soon as it is known; the exit code: 1 where anything is wrong."""
    import dataclasses
    import json

    bad = 0
    for check in found:
        bad += bool(check.wrong)
        if as_json:
            sys.stdout.write(f"{json.dumps(dataclasses.asdict(check))}\n")
        else:
            words = f"{'!!' if check.wrong else 'ok'} {check.what}: {check.found}"
            if check.wrong:
                words += f"\n   {check.wrong}; {check.mend}"
            sys.stdout.write(f"{on_a_terminal(words)}\n")
        sys.stdout.flush()
    if not as_json:
        sys.stdout.write(f"{counted(bad, 'thing')} to mend\n" if bad else "all is well\n")
    return 1 if bad else 0


def _libraries() -> Check:
    from dhhcli.media.files.decoders import library_words

    there = []
    for name in LIBRARIES:
        try:
            there.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return Check("libraries", ", ".join([library_words(), *there]))


def _decoders() -> Check:
    from dhhcli.media.files.decoders import NEEDED, missing_decoders

    missing = missing_decoders()
    there = ", ".join(name for name in NEEDED if name not in missing)
    wrong = f"cannot decode {', '.join(missing)}" if missing else ""
    return Check("decoders", there, wrong, "install PyAV from PyPI: pip install --force-reinstall av")


def _devices() -> Iterator[Check]:
    from dhhcli.base.onnx_session import CPU, VARIABLE, wanted_providers

    wanted = wanted_providers()
    named = os.environ.get(VARIABLE)
    wrong = f"{VARIABLE}={named} is not among them" if named and named != wanted[0] else ""
    yield Check("processor", f"{counted(os.cpu_count() or 1, 'core')}")
    yield Check(
        "networks run on",
        ", ".join(name.removesuffix("ExecutionProvider") for name in wanted),
        wrong,
        f"unset {VARIABLE}, or install the onnxruntime that has it" if named != CPU else "",
    )


def _extra(extra: str) -> Check:
    try:
        require(extra, extra)
    except MissingExtraError:
        return Check(f"dhhcli[{extra}]", f'not installed; where it is needed: pip install "dhhcli[{extra}]"')
    return Check(f"dhhcli[{extra}]", "installed")


def _pictures() -> Check:
    from dhhcli.output.terminal.pictures import able, may_show

    if not sys.stdout.isatty():
        return Check("faces below tables", "none: standard output is no terminal")
    ability = able() if may_show() else None
    if ability is None:
        return Check("faces below tables", "none: this terminal does not say that it shows pictures")
    width, height = ability.cell
    return Check("faces below tables", f"shown as {ability.way}, a character is {width}x{height} pixels")


def _weights(name: str | None) -> Check:
    from dhhcli.models.weights import load_weights, resolve_weights

    path = resolve_weights(name)
    try:
        weights = load_weights(path)
    except DhhError as error:
        return Check("weights", path.stem, str(error), "name others with --weights, or install dhhcli again")
    texts = sorted(path.parent.glob("LICENSE*"))  # beside the shipped ones
    licences = [next(filter(None, map(str.strip, text.read_text().splitlines())), "") for text in texts]
    licence = "; ".join(licences) or "no word of it beside them"
    return Check("weights", f"{path.stem}, {weights.bits} bits, {weights.fingerprint[:12]}, licence: {licence}")


def _writable(what: str, folder: Path) -> Check:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"dhh")
    except OSError as error:
        return Check(what, str(folder), f"cannot be written to ({error.strerror})", "change its rights, or use another")
    return Check(what, f"{folder}, can be written to")


def _codes(path: Path) -> Check:
    from dhhcli.storage.codes_file import open_shard

    if not path.exists():
        return Check("codes", f"{path}: not there yet; dhh encode FOLDER --out {path} makes it")
    try:
        with open_shard(path) as shard:
            videos, tracks = len(shard.videos), len(shard)
    except DhhError as error:
        return Check("codes", str(path), str(error), "name another with --codes")
    return Check("codes", f"{path}: {counted(videos, 'file')}, {counted(tracks, 'track')}")


def _speed(name: str | None) -> Check:
    """How fast a film is encoded here: the sample's, for at most LONGEST seconds."""
    from dhhcli.encoding.events import Step
    from dhhcli.encoding.watch import encode_once
    from dhhcli.media.sample import write_sample
    from dhhcli.models.network import load_network

    reached = [0.0]
    began = time.monotonic()

    def on_step(step: Step) -> None:
        reached[0] = step.seconds
        if time.monotonic() - began > LONGEST:
            raise TimeoutError

    try:
        with tempfile.TemporaryDirectory(prefix="dhh-doctor-") as folder:
            film = write_sample(Path(folder)).film
            network = load_network(name, film=True)
            began = time.monotonic()
            try:
                for _ in encode_once([film], Path(folder, "codes.h5"), network, on_step=on_step, workers=1):
                    pass
            except TimeoutError:  # long enough
                pass
            took = time.monotonic() - began
    except (DhhError, OSError) as error:
        return Check("speed", "not measured", str(error), "mend what is said above first")
    speed = reached[0] / max(took, 1e-6)
    words = f"{speed:.1f}x real time with one file at a time ({reached[0]:.0f} s of film of 640 pixels in {took:.1f} s)"
    slow = "slower than the film plays" if speed < SLOW else ""
    return Check("speed", words, slow, "close other programs, or use a GPU: pip install onnxruntime-gpu")
