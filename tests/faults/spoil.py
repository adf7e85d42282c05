"""Every step of every writing command is spoilt once in each of five ways: nothing lost, doubled or left behind.

    LD_PRELOAD=faults.so PYTHONPATH=.:tests/support python tests/storage/spoil.py --library faults.so [--sample 40]

A step is a call that changes something on the disk (faults.c beside this). For each, `dhh` runs in a forked process in
a copy of the same folder, the step goes wrong, and then

- what is there opens, holds every video that it held before (unless the line drops it), each once, none damaged;
- words are of one line, the exit code is no success unless all is done, and there is no traceback;
- the same line again, undisturbed, ends as if nothing had been, and no other file lies in the folder than then.

Prints a table of commands and ways; exit code 1 where anything was lost.
"""

import argparse
import ctypes
import errno
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from writing_commands import COMMANDS, Command, copied

from dhhcli.cli.app import app
from dhhcli.errors import DhhError, MissingPathError
from dhhcli.storage.codes_file import open_shard
from dhhcli.storage.who.names import read_names

MODES = {  # name: number in faults.c, error
    "EIO": (1, errno.EIO),
    "ENOSPC": (2, errno.ENOSPC),
    "SIGKILL": (3, 0),
    "half a write": (4, 0),
    "SIGSTOP": (5, 0),
}
LONGEST = 120.0  # seconds of a line, before it counts as hung


@dataclass(frozen=True)
class End:
    """How a line ended: its exit code (or minus the signal), its words on stderr, how many steps there were."""

    code: int
    words: str
    steps: int


def run(library: str, words: tuple[str, ...], folder: Path, at: int = 0, mode: int = 0, error: int = 0) -> End:
    """`dhh` in a process of its own, in ``folder``, with one step spoilt. A stopped one is looked at and goes on."""
    said = folder.with_name("words")
    counted = folder.with_name("steps")
    counted.write_text("0")
    child = os.fork()
    if not child:
        code = 70
        try:
            os.chdir(folder)
            stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
            fault = ctypes.CDLL(library)
            fault.fault_arm(str(folder).encode(), at, mode, error)
            try:
                app(list(words), prog_name="dhh")
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            counted.write_text(str(fault.fault_steps()))
        except BaseException:  # noqa: BLE001  (nothing may reach the parent's half of this function)
            traceback.print_exc()
        finally:
            os._exit(code)
    deadline = time.monotonic() + LONGEST
    while True:
        found, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
        if found and os.WIFSTOPPED(status):
            _look(folder)
            os.kill(child, signal.SIGCONT)
        elif found:
            break
        elif time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return End(-99, "hung", 0)
        else:
            time.sleep(0.002)
    return End(os.waitstatus_to_exitcode(status), said.read_text(errors="replace"), int(counted.read_text() or 0))


def _look(folder: Path) -> None:
    """Whoever reads while a writer stands still gets an answer."""
    state(folder / "codes.h5")


def state(codes: Path) -> tuple[tuple[str, ...], int, str]:
    """Paths and contents of the videos, how many names there are, a hash of the codes.

    Raises DhhError, and AssertionError for a damaged video.
    """
    try:
        with open_shard(codes) as shard:
            if shard.damaged_videos():
                raise AssertionError(f"damaged: {shard.damaged_videos()}")
            videos = tuple(f"{video.path} {video.fingerprint}" for video in shard.videos)
            # not the content's hash: tombstones say the second in which they were made
            content = hashlib.sha256(b"".join(bytes(code) for code in shard.codes)).hexdigest()
    except MissingPathError:
        return (), len(read_names(codes)), ""
    return videos, len(read_names(codes)), content


def age(folder: Path) -> None:
    """Temporary files of processes that are gone are removed once they are a minute old."""
    for left in folder.rglob("*.tmp"):
        os.utime(left, (time.time() - 300, time.time() - 300))


def listing(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def spoil(
    library: str, command: Command, prepared: Path, folder: Path, at: int, mode: str, right: "Right"
) -> list[str]:
    """What went wrong with one fault."""
    copied(prepared, folder)
    end = run(library, command.words, folder, at, *MODES[mode])
    wrong = []
    if "Traceback" in end.words or end.code == 70:
        wrong.append("traceback")
    if end.code == -99:
        wrong.append("hung")
    if mode == "SIGSTOP" and end.code != right.code:
        wrong.append(f"stopped and gone on: exit {end.code}")
    try:
        videos, names, content = state(folder / command.codes)
    except (AssertionError, DhhError) as error:
        return [*wrong, f"lost: {error}"]
    before, after = set(right.before[0]), set(right.after[0])
    if len(set(videos)) != len(videos):
        wrong.append("doubled")
    if not (before & after) <= set(videos) or not set(videos) <= before | after:
        wrong.append("lost: videos")
    if names < min(right.before[1], right.after[1]) and not (command.words[0] == "merge" and not videos):
        wrong.append("lost: names")
    if end.code == right.code and (content != right.after[2] or names != right.after[1]):
        wrong.append("success said of what is not done")
    age(folder)
    again = run(library, command.words, folder)
    if "Traceback" in again.words:
        wrong.append("traceback of the next run")
    try:
        now = state(folder / command.codes)
    except (AssertionError, DhhError) as error:
        return [*wrong, f"lost afterwards: {error}"]
    if now != right.after:
        wrong.append(f"the next run ends otherwise: {again.words.strip()[-200:]}")
    more = listing(folder) - right.listing
    if more:
        wrong.append(f"left behind: {', '.join(sorted(more))}")
    if command.forgets and _held(folder, right.erased):
        wrong.append("left behind: erased codes")
    return wrong


@dataclass(frozen=True)
class Right:
    """What a line does that nobody spoils."""

    code: int
    steps: int
    before: tuple[tuple[str, ...], int, str]
    after: tuple[tuple[str, ...], int, str]
    listing: set[str]
    erased: tuple[bytes, ...]


def _codes_of(codes: Path) -> set[bytes]:
    try:
        with open_shard(codes) as shard:
            return {bytes(code) for code in shard.codes}
    except MissingPathError:
        return set()


def _held(folder: Path, erased: tuple[bytes, ...]) -> bool:
    held = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return any(code in data for code in erased for data in held)


def undisturbed(library: str, command: Command, prepared: Path, folder: Path) -> Right:
    """Count the steps of a line, and see what is there before and after. Raises AssertionError where it fails."""
    copied(prepared, folder)
    before, codes = state(folder / command.codes), _codes_of(folder / command.codes)
    end = run(library, command.words, folder)
    if end.code not in (0, 3, 4):  # 3: probably nobody
        raise AssertionError(f"{command.words}: {end.words}")
    erased = tuple(codes - _codes_of(folder / command.codes)) if command.forgets else ()
    if command.forgets and (not erased or _held(folder, erased)):
        raise AssertionError(f"{command.words}: erases nothing")
    return Right(end.code, end.steps, before, state(folder / command.codes), listing(folder), erased)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--library", required=True)
    parser.add_argument("--sample", type=int, help="so many faults, drawn over all; default every one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="commands that begin so")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop drawing then")
    options = parser.parse_args()
    begun = time.monotonic()
    counts: Counter[tuple[str, str]] = Counter()
    wrongs: list[str] = []
    with tempfile.TemporaryDirectory() as top:
        work = Path(os.path.realpath(top)) / "work"
        todo: list[tuple[str, Path, int, str, Right]] = []
        chosen = {name: one for name, one in COMMANDS.items() if name.startswith(options.only or "")}
        if options.sample:  # what is not drawn from need not be made
            names = random.Random(options.seed).sample(sorted(chosen), min(len(chosen), 1 + options.sample // 4))
            chosen = {name: chosen[name] for name in names}
        for name, command in chosen.items():
            prepared = Path(top) / name.replace("/", "-")
            work.mkdir(exist_ok=True)
            child = os.fork()
            if not child:
                sys.stdout = sys.stderr = open(os.path.join(top, "said"), "w", buffering=1)  # noqa: SIM115, PTH123, PTH118
                try:
                    command.prepare(work)
                    os._exit(0)
                except BaseException:  # noqa: BLE001  (nothing may reach the half of the parent)
                    traceback.print_exc()
                finally:
                    os._exit(1)
            if os.waitpid(child, 0)[1]:
                raise AssertionError(f"{name}: cannot be prepared: {Path(top, 'said').read_text()}")
            work.rename(prepared)
            right = undisturbed(options.library, command, prepared, work)
            todo += [(name, prepared, at, mode, right) for at in range(1, right.steps + 1) for mode in MODES]
        random.Random(options.seed).shuffle(todo)
        for name, prepared, at, mode, right in todo[: options.sample]:
            if time.monotonic() - begun > options.seconds:
                break
            counts[name, mode] += 1
            found = spoil(options.library, COMMANDS[name], prepared, work, at, mode, right)
            wrongs.extend(f"{name}, step {at}, {mode}: {words}" for words in found)
    lost = Counter(words.rpartition(": ")[0] for words in wrongs)
    print("| command |", " | ".join(MODES), "| wrong |")  # noqa: T201
    print("|---" * (len(MODES) + 2) + "|")  # noqa: T201
    for name in COMMANDS:
        if any(counts[name, mode] for mode in MODES):
            wrong = sum(words.startswith(f"{name}, step") for words in wrongs)
            print(f"| {name} |", " | ".join(str(counts[name, mode]) for mode in MODES), f"| {wrong} |")  # noqa: T201
    print(f"\n{sum(counts.values())} faults, {len(lost)} went wrong, {time.monotonic() - begun:.0f} s")  # noqa: T201
    for words in wrongs:
        print(f"- {words}")  # noqa: T201
    return 1 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
