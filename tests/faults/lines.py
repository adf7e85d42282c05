"""commands: the commands that write, each with a folder to begin with, for tests/spoil.py."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from footage import encoded_video
from synthetic import scene, write_video

from dhhcli.models.model_tag import ModelTag
from dhhcli.models.weights import load_weights, resolve_weights
from dhhcli.storage.codes_file import commit, compact
from dhhcli.storage.record import EncodedVideo


@dataclass(frozen=True)
class Command:
    """words: of the line that is spoilt; every one is run in a copy of what ``prepare`` leaves in an empty folder.

    forgets: the codes that the line erases must be in no file when it is done.
    """

    words: tuple[str, ...]
    prepare: Callable[[Path], None]
    codes: str = "codes.h5"  # what is looked at
    forgets: bool = False


def tag() -> ModelTag:
    """Of the usual weights."""
    weights = load_weights(resolve_weights("dhh-128"))
    return ModelTag(weights.bits, weights.fingerprint)


def video(seed: int, path: str, tracks: int = 6) -> EncodedVideo:
    """A made-up video with times and boxes that could be of a film."""
    rng = np.random.default_rng(seed)
    made = encoded_video(rng, path, tracks=tracks, bits=128, fingerprint=f"{seed:02x}" * 32)
    rows = made.tracks.copy()
    rows["shot"] = np.sort(rows["shot"])
    rows["start_pts"], rows["best_pts"], rows["end_pts"] = np.arange(3)[:, None] * 3000 + np.arange(tracks) * 90_000
    rows["box"] = np.arange(tracks)[:, None] + np.array([10, 20, 50, 70], np.float32)
    shots = made.shots.copy()
    shots["start_pts"], shots["end_pts"] = shots["start_frame"] * 3600, shots["end_frame"] * 3600
    return replace(made, tracks=rows, shots=shots, thumbnails=(b"",) * tracks)


def _codes(path: Path, first: int, count: int, tracks: int = 6, parts: bool = False) -> None:
    own = tag()
    for seed in range(first, first + count):
        commit(path, own, video(seed, f"/films/{seed}.mp4", tracks))
    if not parts:
        compact(path, own)


def _two(folder: Path) -> None:
    _codes(folder / "codes.h5", 1, 2)


def _waiting(folder: Path) -> None:
    _codes(folder / "codes.h5", 1, 2)
    _codes(folder / "codes.h5", 3, 1, parts=True)


def _many(folder: Path) -> None:
    _codes(folder / "codes.h5", 1, 2, tracks=60)


def _files(folder: Path) -> None:
    _codes(folder / "a.h5", 1, 2)
    _codes(folder / "b.h5", 3, 2)
    run("name", str(folder / "a.h5"), "Ada", "--track", "0")
    run("name", str(folder / "b.h5"), "Bob", "--track", "1")


def _named(folder: Path) -> None:
    _waiting(folder)
    run("name", str(folder / "codes.h5"), "Ada", "--track", "0", "--track", "7")
    run("name", str(folder / "codes.h5"), "Bob", "--track", "3")
    run("index", str(folder / "codes.h5"), "--flat")


def _films(folder: Path) -> None:
    (folder / "films").mkdir()
    for number in range(2):
        write_video(folder / "films" / f"{number}.mp4", [scene(number)] * 6)


def _encoded(folder: Path) -> None:
    _films(folder)
    run("encode", str(folder / "films"), "-o", str(folder / "codes.h5"))
    write_video(folder / "films" / "2.mp4", [scene(2)] * 6)
    (folder / "films" / "0.mp4").unlink()


def run(*words: str) -> None:
    """A line that is not spoilt. Raises SystemExit where it fails."""
    from dhhcli.cli.app import app

    app(list(words), standalone_mode=False)


FORGET = ("forget", "codes.h5", "--yes")
COMMANDS = {
    "encode": Command(("encode", "films"), _films),
    "encode --prune": Command(("encode", "films", "--prune"), _encoded),
    "encode --prune=all": Command(("encode", "films", "--prune=all"), _encoded),
    "encode -j 2": Command(("encode", "films", "-j", "2"), _films),
    "index flat": Command(("index", "codes.h5", "--flat"), _waiting),
    "index ivf": Command(("index", "codes.h5", "--ivf"), _many),
    "merge": Command(("merge", "a.h5", "b.h5", "-o", "codes.h5"), _files),
    "forget --video": Command((*FORGET, "--video", "/films/1.mp4"), _named, forgets=True),
    "forget --name": Command((*FORGET, "--name", "Ada"), _named, forgets=True),
    "name": Command(("name", "codes.h5", "Eve", "--track", "2"), _named),
    "name --remove": Command(("name", "codes.h5", "--remove", "Bob"), _named),
    "query -o edl": Command(("query", "track:0", "-f", "edl", "-o", "out.edl", "--all"), _two),
    "query -o csv": Command(("query", "track:0", "-o", "out.csv", "--all"), _two),
}


def copied(source: Path, target: Path) -> None:
    """A fresh copy of a prepared folder, at the same path every time: codes files hold whole paths."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
