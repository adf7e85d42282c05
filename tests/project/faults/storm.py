"""Two encoders, query, people, name, forget, index and merge at once: the end is that of one after the other.

    PYTHONPATH=.:tests/support python tests/project/faults/storm.py --seconds 600

Every command is a line of `dhh` in a process of its own, again and again, as its user would: who finds the codes file
locked tries again. The encoders' films change all the while. Whatever was answered meanwhile is an answer or one line,
every codes file that was seen is whole, and in the end the codes hold the same videos, tracks, codes, pictures,
tombstones and names as those of the same lines given one after the other.
"""

import argparse
import importlib
import multiprocessing
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from lines import copied, run, tag, video
from looking import Codes, look
from synthetic import astronaut, grace_hopper, moving_face, write_video

from dhhcli.cli.app import app
from dhhcli.storage.codes_file import commit, compact, open_shard
from dhhcli.storage.track_id import track_ids

WAITING = (
    "another dhh is writing",
    "its parts change all the time",
    "changed while it was being read",
    "has changed since",
)
MADE_UP, FORGOTTEN, NAMED = 8, 4, 3  # videos of the archive at the beginning; of them
FILMS = 2  # of each encoder
IMPORTED: tuple[str, ...] = (
    "onnxruntime",
    "portalocker",
    "dhhcli.cli.encode_loop",
    "dhhcli.encoding.run",
    "dhhcli.index.build",
)
IMPORTED += ("dhhcli.search.query", "dhhcli.search.forget", "dhhcli.people.identities", "dhhcli.people.naming")
IMPORTED += ("dhhcli.storage.merge", "dhhcli.output.delivery")
_FORK = multiprocessing.get_context("fork")


def dhh(folder: Path, said: Path, *words: str) -> tuple[int, str]:
    """A line in a process of its own: exit code and words."""
    child = os.fork()
    if not child:
        code = 70
        try:
            os.chdir(folder)
            stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
            try:
                app(list(words), prog_name="dhh")
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
        except BaseException:  # noqa: BLE001  (nothing may reach the parent's half of this function)
            traceback.print_exc()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, said.read_text(errors="replace")


class Actor:
    """Somebody who gives lines, and counts what became of them."""

    def __init__(self, name: str, folder: Path, until: float, report: "multiprocessing.queues.Queue[object]") -> None:
        self.name, self.folder, self.until, self.report = name, folder, until, report
        self.said = folder.with_name(f"said-{name}")
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []

    @property
    def on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.until

    def give(self, *words: str) -> bool:
        """One line; whether it was done. What is neither done nor a reason to wait is wrong."""
        code, said = dhh(self.folder, self.said, *words)
        if code in (0, 3):
            self.ends["done"] += 1
        elif code == 1 and any(reason in said for reason in WAITING):
            self.ends["waited"] += 1
        else:
            self.ends["wrong"] += 1
            self.wrong.append(f"{' '.join(words)}: exit code {code}: {said[-600:]}")
        if "Traceback" in said:
            self.wrong.append(f"{' '.join(words)}: {said[-900:]}")
        return code in (0, 3)

    def insist(self, *words: str) -> None:
        """Until it is done."""
        while not self.give(*words):
            time.sleep(0.05)


def shoot(path: Path, take: int) -> None:
    """A film, of which there are many takes; it is there whole at once, as after a copy."""
    portrait = astronaut() if take % 2 else grace_hopper()
    head = portrait[20:240, 115:335]
    made = path.with_name(f"new-{path.name}.part")
    written = write_video(
        made.with_suffix(".mp4"), moving_face(head, [(100 + take % 7 + 4 * i, 110) for i in range(4)])
    )
    written.rename(path)


def encoder(actor: Actor, which: str) -> None:
    """Films change, and are encoded."""
    films, take = actor.folder / "films" / which, 0
    while actor.on:
        take += 1
        shoot(films / f"{take % FILMS}.mp4", take)
        actor.give("encode", str(films), "-o", "codes.h5", "-j", "1")
    actor.insist("encode", str(films), "-o", "codes.h5", "-j", "1")


def again(*lines: tuple[str, ...]) -> Callable[[Actor], None]:
    """The same lines all the time."""

    def play(actor: Actor) -> None:
        while actor.on:
            for line in lines:
                actor.give(*line)

    return play


def namer(actor: Actor, ids: list[str]) -> None:
    """Names come and go; the last ones stay."""
    turn = 0
    while actor.on:
        turn += 1
        actor.insist("name", "codes.h5", f"Somebody {turn}", "--track", ids[turn % len(ids)])
        actor.insist("name", "codes.h5", "--remove", f"Somebody {turn}")
    for number, one in enumerate(ids):
        actor.insist("name", "codes.h5", f"Somebody {number}-last", "--track", one)


def forgetter(actor: Actor, total: float) -> None:
    """One video after the other, evenly over the time."""
    for number in range(FORGOTTEN):
        while actor.on and time.monotonic() < actor.until - total * (1 - (number + 1) / (FORGOTTEN + 1)):
            time.sleep(0.1)
        actor.insist("forget", "codes.h5", "--yes", "--video", f"/films/{number + 1}.mp4")


def merger(actor: Actor) -> None:
    """Into a new file each time, which holds all of the other."""
    turn = 0
    while actor.on:
        turn += 1
        out = f"merged{turn}.h5"
        if actor.give("merge", "codes.h5", "other.h5", "-o", out):
            seen = look(actor.folder, (out,)).of(out)
            if not {"/films/90.mp4", "/films/91.mp4"} <= dict(seen.videos).keys():
                actor.wrong.append(f"{out}: lost a video")
        for left in actor.folder.glob(f"{out}*"):
            left.unlink()


def play(actor: Actor, part: Callable[[Actor], None]) -> None:
    """What a process does."""
    try:
        part(actor)
    except BaseException:  # noqa: BLE001
        actor.wrong.append(traceback.format_exc())
    actor.report.put((actor.name, dict(actor.ends), actor.wrong))


def begin(folder: Path) -> list[str]:
    """An archive of made-up videos, another file to merge with, and films; words for the tracks that are named."""
    for seed in range(1, MADE_UP + 1):
        commit(folder / "codes.h5", tag(), video(seed, f"/films/{seed}.mp4"))
    compact(folder / "codes.h5", tag())
    for seed in (90, 91):
        commit(folder / "other.h5", tag(), video(seed, f"/films/{seed}.mp4"))
    compact(folder / "other.h5", tag())
    for which in "ab":
        (folder / "films" / which).mkdir(parents=True)
        for number in range(FILMS):
            shoot(folder / "films" / which / f"{number}.mp4", number)
    with open_shard(folder / "codes.h5") as shard:
        rows = np.arange(NAMED) * 2 + 6 * FORGOTTEN  # of videos that stay
        return track_ids(shard, rows)


def settled(folder: Path) -> Codes:
    """What is to be the same: not the numbers of people, which follow from who came first."""
    found = look(folder, ("codes.h5",)).of("codes.h5")
    named = frozenset((place, called.rsplit(" ", 2)[0]) for place, called in found.people)
    return replace(found, people=frozenset((place, who) for place, who in named if who), never=0)


def sequential(folder: Path, there: Path, ids: list[str]) -> Codes:
    """The same, one after the other; films are where they are."""
    for which in "ab":
        run("encode", there / "films" / which, "-o", folder / "codes.h5", "-j", "1")
    for number in range(FORGOTTEN):
        run("forget", folder / "codes.h5", "--yes", "--video", f"/films/{number + 1}.mp4")
    for number, one in enumerate(ids):
        run("name", folder / "codes.h5", f"Somebody {number}-last", "--track", one)
    return settled(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        top = Path(os.path.realpath(name))
        (top / "work").mkdir()
        folder, said = top / "work", top / "said"
        prepared = _FORK.Queue()
        maker = _FORK.Process(target=lambda: prepared.put(begin(folder)))
        maker.start()
        ids = prepared.get()
        maker.join()
        copied(folder, top / "sequential")
        lines = [
            ("query", f"track:{ids[0]}", "--json"),
            ("people", "codes.h5", "--json"),
            ("index", "codes.h5", "--flat"),
        ]
        for line in lines:  # what they import is there before the forks
            dhh(folder, said, *line)
        for module in IMPORTED:
            with suppress(ImportError):
                importlib.import_module(module)
        begun, report = time.monotonic(), _FORK.Queue()
        until = begun + options.seconds
        parts: dict[str, Callable[[Actor], None]] = {
            "encode, one": lambda actor: encoder(actor, "a"),
            "encode, another": lambda actor: encoder(actor, "b"),
            "query": again(*(("query", f"track:{one}", "--json", "--all") for one in ids)),
            "people": again(("people", "codes.h5", "--json")),
            "name": lambda actor: namer(actor, ids),
            "forget": lambda actor: forgetter(actor, options.seconds),
            "index": again(("index", "codes.h5", "--flat")),
            "merge": merger,
        }
        crew = [
            _FORK.Process(target=play, args=(Actor(who, folder, until, report), part)) for who, part in parts.items()
        ]
        for process in crew:
            process.start()
        ended = [report.get() for _ in crew]
        for process in crew:
            process.join()
        wrong = [f"{who}: {words}" for who, _, more in ended for words in more]
        result = _FORK.Queue()
        last = _FORK.Process(target=lambda: result.put((settled(folder), sequential(top / "sequential", folder, ids))))
        last.start()
        stormy, calm = result.get()
        last.join()
        wrong += [f"another end than one after the other: {what}" for what in stormy.__dataclass_fields__
                  if getattr(stormy, what) != getattr(calm, what)]  # fmt: skip
        left = sorted(path.name for path in folder.iterdir() if path.name.endswith((".tmp", ".forgetting", ".merging")))
        wrong += [f"left behind: {name}" for name in left]
        print("| command | done | had to wait | wrong |\n|---|--:|--:|--:|")  # noqa: T201
        for who, ends, _ in sorted(ended, key=lambda end: list(parts).index(end[0])):
            print(f"| {who} | {ends.get('done', 0)} | {ends.get('waited', 0)} | {ends.get('wrong', 0)} |")  # noqa: T201
        print(f"\n{time.monotonic() - begun:.0f} s; {len(stormy.videos)} videos, {len(stormy.rows)} codes, "  # noqa: T201
              f"{len(stormy.names)} names, {len(stormy.stones)} forgotten; {len(wrong)} wrong")  # fmt: skip
        print(*(f"- {words}" for words in wrong[:40]), sep="\n")  # noqa: T201
        return 1 if wrong else 0


if __name__ == "__main__":
    random.seed(0)
    sys.exit(main())
