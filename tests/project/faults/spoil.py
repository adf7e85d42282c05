"""Every step of every writing command is spoilt in each of five ways: nothing lost, doubled or left behind.

    cc -shared -fPIC -O1 -o faults.so tests/project/faults/faults.c
    LD_PRELOAD=$PWD/faults.so PYTHONPATH=.:tests/support python tests/project/faults/spoil.py [--only forget]

A step is a call that changes something on the disk (faults.c beside this). For each, `dhh` runs in a forked process in
a copy of the same folder, the step goes wrong, and then

- what is there opens, holds every video, track, code, picture, time, tombstone and name that was there before and is
  there after a run that nobody spoils, each once and whole; every other file is the old one or the new one;
- the exit code is no success unless all is done, and there is no traceback;
- the same line again, undisturbed, ends as if nothing had been, and nothing lies in the folder but what lies there
  then; codes that are to be forgotten are in no file.

Prints a table of lines and ways; exit code 1 where anything was wrong.
"""

import argparse
import ctypes
import errno
import gc
import importlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from lines import LINES, Line, copied
from looking import World, between, differ, look

from dhhcli.errors import DhhError

MODES = {  # name: number in faults.c, error
    "EIO": (1, errno.EIO),
    "disk full": (2, errno.ENOSPC),
    "SIGKILL": (3, 0),
    "half a write, SIGKILL": (4, 0),
    "SIGSTOP": (5, 0),
}
LONGEST = 120.0  # seconds of a line, before it counts as hung
READS = 24  # of a film by a worker, and some more
ROUNDS = 5  # of a watch


@dataclass(frozen=True)
class End:
    """How a line ended: its exit code (or minus the signal), its words, how many steps there were."""

    code: int
    words: str
    steps: int


@dataclass(frozen=True)
class Fault:
    """The at-th step goes wrong; 0: none."""

    at: int = 0
    mode: str = ""

    @property
    def numbers(self) -> tuple[int, int, int]:
        """As faults.c takes them."""
        return (self.at, *MODES.get(self.mode, (0, 0)))


class Bench:
    """One place below which lines are run, and the library that spoils them."""

    def __init__(self, top: Path) -> None:
        self.top, self.folder = top, top / "work"
        self.library = os.environ["LD_PRELOAD"]
        self.imported = top / "imported"

    def run(
        self, line: Line, fault: Fault = Fault(), spoils: tuple[World, World] | None = None
    ) -> tuple[End, list[str]]:
        """`dhh` in a process of its own; one that stops is looked at, and goes on: what was wrong then."""
        said, counted = self.top / "said", self.top / "steps"
        counted.write_text("0")
        child = os.fork()
        if not child:
            self._child(line, fault, said, counted)
        deadline, wrong = time.monotonic() + LONGEST, list[str]()
        while True:
            found, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
            if found and os.WIFSTOPPED(status):
                if spoils:
                    wrong += self.seen(line, *spoils)
                os.kill(child, signal.SIGCONT)
            elif found:
                break
            elif time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return End(-99, "hung", 0), ["hung"]
            else:
                time.sleep(0.002)
        code = os.waitstatus_to_exitcode(status)
        return End(code, said.read_text(errors="replace"), int(counted.read_text() or 0)), wrong

    def _child(self, line: Line, fault: Fault, said: Path, counted: Path) -> None:
        code, before = 70, set(sys.modules)
        try:
            os.chdir(self.folder)
            stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
            from dhhcli.cli import encode_loop
            from dhhcli.cli.app import app
            from dhhcli.encoding.watch import Events, encode_watching

            def some_rounds(*words: Any, **more: Any) -> Events:
                return encode_watching(*words, **{**more, "rounds": ROUNDS})

            vars(encode_loop)["encode_watching"] = some_rounds
            library = ctypes.CDLL(self.library)
            if line.workers and fault.at:
                os.environ["FAULT_READS"] = " ".join(map(str, (*fault.numbers, self.folder)))
            elif not line.workers:
                library.fault_arm(str(self.folder).encode(), *fault.numbers)
            try:
                app(list(line.words), prog_name="dhh")
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            counted.write_text(str(library.fault_steps()))
            self.imported.write_text("\n".join(sys.modules.keys() - before))
        except BaseException:  # noqa: BLE001  (nothing may reach the parent's half of this function)
            traceback.print_exc()
        finally:
            os._exit(code)

    def seen(self, line: Line, before: World, after: World) -> list[str]:
        """What is wrong with what is there now."""
        try:
            return between(look(self.folder, line.codes), before, after)
        except (AssertionError, DhhError, OSError) as error:
            return [f"lost: {error}"]

    def prepare(self, name: str, line: Line) -> tuple[Line, Path]:
        """Make the folder that a line begins with, in a process of its own; the line, with the track that is there."""
        copied(self.top / "empty", self.folder)
        child = os.fork()
        if not child:
            said = os.open(self.top / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(said, 1)
            os.dup2(said, 2)
            try:
                line.prepare(self.folder)
                os._exit(0)
            except BaseException:  # noqa: BLE001
                traceback.print_exc()
            finally:
                os._exit(1)
        if os.waitpid(child, 0)[1]:
            raise AssertionError(f"{name}: cannot be prepared: {(self.top / 'said').read_text()}")
        prepared = self.top / f"prepared-{len(list(self.top.iterdir()))}"
        self.folder.rename(prepared)
        return replace(line, words=tuple(_lasting(prepared) if word == "ID" else word for word in line.words)), prepared


def _lasting(folder: Path) -> str:
    from dhhcli.storage.codes_file import open_shard
    from dhhcli.storage.track_id import track_ids

    with open_shard(folder / "codes.h5") as shard:
        return track_ids(shard, np.array([1]))[0]


@dataclass(frozen=True)
class Right:
    """What a line does that nobody spoils, and what it does when it is given again."""

    code: int
    steps: int
    before: World
    after: World
    twice: World


def undisturbed(bench: Bench, name: str, line: Line, prepared: Path) -> Right:
    """Raises AssertionError where the line fails, or does nothing."""
    copied(prepared, bench.folder)
    before = look(bench.folder, line.codes)
    end, _ = bench.run(line)
    warm(bench.imported.read_text().split() if bench.imported.exists() else [])
    if end.code not in (0, 3):  # 3: probably nobody
        raise AssertionError(f"{name}: exit code {end.code}: {end.words}")
    after = look(bench.folder, line.codes)
    if not differ(before, after):
        raise AssertionError(f"{name}: changes nothing: {end.words}")
    if line.forgets and (not _erased(before, after) or _held(bench.folder, _erased(before, after))):
        raise AssertionError(f"{name}: erases nothing")
    bench.run(line)
    return Right(end.code, READS if line.workers else end.steps, before, after, look(bench.folder, line.codes))


def spoil(bench: Bench, line: Line, prepared: Path, fault: Fault, right: Right) -> list[str]:
    """What went wrong with one fault."""
    copied(prepared, bench.folder)
    end, wrong = bench.run(line, fault, (right.before, right.after))
    wrong += _ended_badly(end)
    here = bench.seen(line, right.before, right.after)
    said_so = "are not kept" in end.words  # an answer, which says on stderr and on the sheet what of it does not last
    if here and not (said_so and all(words.startswith("not whole") for words in here)):
        return [*wrong, *here]
    now = look(bench.folder, line.codes)
    done = not differ(now, right.after)
    if end.code == right.code and not done and not line.lasting and not said_so:
        wrong.append(f"success said of what is not done: {', '.join(differ(now, right.after))}: {end.words[-200:]}")
    if fault.mode == "SIGSTOP" and not line.lasting and (end.code != right.code or not done):
        wrong.append(f"stopped and gone on: exit {end.code}")
    for left in bench.folder.rglob("*.tmp"):  # those of processes that are gone are removed once they are a minute old
        os.utime(left, (time.time() - 300, time.time() - 300))
    again, _ = bench.run(line)
    wrong += [f"{words}, the next run" for words in _ended_badly(again)]
    wanted = right.twice if done else right.after
    try:
        then = look(bench.folder, line.codes)
    except (AssertionError, DhhError, OSError) as error:
        return [*wrong, f"lost afterwards: {error}"]
    if differ(then, wanted):
        wrong.append(f"the next run ends otherwise: {', '.join(differ(then, wanted))}: {again.words.strip()[-200:]}")
    more = then.listing - wanted.listing
    if more:
        wrong.append(f"left behind: {', '.join(sorted(more))}")
    if line.forgets and _held(bench.folder, _erased(right.before, right.after)):
        wrong.append("left behind: erased codes")
    return wrong


def _ended_badly(end: End) -> list[str]:
    if "Traceback" in end.words or end.code == 70:
        return [f"traceback: {end.words[-900:]}"]
    if end.code < 0 and end.code not in (-signal.SIGKILL, -99):
        return [f"ended by signal {-end.code}"]
    return []


def _erased(before: World, after: World) -> frozenset[bytes]:
    return before.of("codes.h5").rows - after.of("codes.h5").rows


def _held(folder: Path, erased: frozenset[bytes]) -> bool:
    held = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return any(code in data for code in erased for data in held)


def warm(modules: list[str]) -> None:
    """Import what a line has imported, so that it is there before the next fork: it takes longer than all the rest."""
    for module in sorted(modules):
        with suppress(Exception):  # what is half of something, or was imported by another name
            importlib.import_module(module)
    gc.freeze()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sample", type=int, help="so many faults, drawn over all; default every one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="lines that begin so; repeatable")
    parser.add_argument("--skip", action="append", help="but for those that begin so")
    parser.add_argument("--each", type=int, default=len(MODES), help="so many ways a step, in turn; default all")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no more faults then")
    options = parser.parse_args()
    begun = time.monotonic()
    counts: Counter[tuple[str, str]] = Counter()
    steps: dict[str, int] = {}
    wrongs: dict[tuple[str, Fault], list[str]] = {}
    draw = random.Random(options.seed)
    names = [name for name in LINES if name.startswith(tuple(options.only or [""]))]
    names = [name for name in names if not name.startswith(tuple(options.skip or ["-"]))]
    if options.sample:  # what is not drawn from need not be made
        quick = [
            name for name in names if not name.startswith(("train", "calibrate", "evaluate", "migrate", "encode -j"))
        ]
        names = draw.sample(quick, min(len(quick), 1 + options.sample // 4))
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as top:
        bench = Bench(Path(os.path.realpath(top)))
        (bench.top / "empty").mkdir()
        todo: list[tuple[str, Line, Path, Fault, Right]] = []
        for name in names:
            try:
                line, prepared = bench.prepare(name, LINES[name])
                right = undisturbed(bench, name, line, prepared)
            except (AssertionError, DhhError) as error:
                wrongs[name, Fault()] = [str(error)]
                continue
            steps[name] = right.steps
            for at in range(1, right.steps + 1):
                ways = [list(MODES)[(at + way) % len(MODES)] for way in range(options.each)]
                todo += [(name, line, prepared, Fault(at, mode), right) for mode in ways]
        draw.shuffle(todo)
        for name, line, prepared, fault, right in todo[: options.sample]:
            if time.monotonic() - begun > options.seconds:
                break
            counts[name, fault.mode] += 1
            found = spoil(bench, line, prepared, fault, right)
            if found:
                wrongs[name, fault] = found
                print(f"{name}, step {fault.at}, {fault.mode}: {found}", file=sys.stderr, flush=True)  # noqa: T201
    print("| line | steps |", " | ".join(MODES), "| wrong |")  # noqa: T201
    print("|---|" + "--:|" * (len(MODES) + 2))  # noqa: T201
    for name in names:
        wrong = sum(line == name for line, _ in wrongs)
        numbers = " | ".join(str(counts[name, mode]) for mode in MODES)
        print(f"| {name} | {steps.get(name, 0)} | {numbers} | {wrong} |")  # noqa: T201
    done = sum(counts.values())
    print(f"\n{done} of {len(todo)} faults, {len(wrongs)} went wrong, {time.monotonic() - begun:.0f} s")  # noqa: T201
    for (name, fault), found in wrongs.items():
        print(f"- {name}, step {fault.at}, {fault.mode}:", *found, sep="\n    ")  # noqa: T201
    return 1 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
