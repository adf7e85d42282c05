"""encode_progress: events of an encoding -> one live line on a terminal, plain lines elsewhere; always on stderr."""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from dhhcli.base.text import counted, one_line
from dhhcli.encoding.events import Encoded, FileEvent, Forgotten, Gone, Relinked, Skipped, Step, Unchanged
from dhhcli.media.files.discover import PHOTO_SUFFIXES, VIDEO_SUFFIXES, VideoList, is_photo
from dhhcli.media.files.passed_over import passed_over_lines
from dhhcli.media.video import clock

SUMMED = ("encoded", "unchanged", "relinked", "forgotten", "skipped", "gone")
NAMED = 20  # files without faces that are named at the end
QUIET_SECONDS = 30.0  # without a terminal: how long nothing may be said about a long file


@dataclass
class Summary:
    """What happened to every input; ``lines`` says it in words."""

    encoded: list[Encoded] = field(default_factory=list)
    unchanged: list[Unchanged] = field(default_factory=list)
    relinked: list[Relinked] = field(default_factory=list)
    forgotten: list[Forgotten] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    gone: list[Gone] = field(default_factory=list)
    seconds: float = 0.0  # wall clock

    @property
    def inputs(self) -> list[Encoded | Unchanged | Relinked | Forgotten | Skipped]:
        """Every file that was named or found, once."""
        return [*self.encoded, *self.unchanged, *self.relinked, *self.forgotten, *self.skipped]

    @property
    def incomplete(self) -> list[Encoded | Unchanged | Relinked]:
        """Files that were kept as far as they decode, now or by an earlier run."""
        events: list[Encoded | Unchanged | Relinked] = [*self.encoded, *self.unchanged, *self.relinked]
        return [event for event in events if event.warnings]

    @property
    def refused(self) -> bool:
        """Whether files were to be dropped and were not."""
        return any(event.kept for event in self.gone)

    def lines(self) -> list[str]:
        """The last words: totals, then every file that was skipped or is incomplete, with the reason."""
        film = sum(event.seconds for event in self.encoded)
        speed = f", {film / self.seconds:.1f}x real time" if self.seconds > 0 and film else ""
        photos = sum(is_photo(event.path) for event in self.inputs)
        videos = len(self.inputs) - photos
        kinds = [counted(n, word) for n, word in ((videos, "video"), (photos, "photo")) if n or word == "video"]
        rare = {
            "moved": sum(event.moved for event in self.relinked),
            "copied": sum(not event.moved for event in self.relinked),
            "forgotten": len(self.forgotten),
        }
        new = "nothing new"
        if self.encoded:
            tracks, shots = sum(e.tracks for e in self.encoded), sum(e.shots for e in self.encoded)
            seconds = f"{film:.1f} s of film in {self.seconds:.1f} s{speed}"
            new = f"{counted(tracks, 'face track')} in {counted(shots, 'shot')}, {seconds}"
        lines = [
            f"{' and '.join(kinds if videos else kinds[-1:])}: {len(self.encoded)} encoded, "
            f"{len(self.unchanged)} unchanged, {''.join(f'{n} {word}, ' for word, n in rare.items() if n)}"
            f"{len(self.skipped)} skipped; {new}"
        ]
        faceless = [event.path for event in self.encoded if not event.tracks]
        lines += [f"without faces: {path}" for path in faceless[:NAMED]]
        if len(faceless) > NAMED:
            lines.append(f"without faces: {len(faceless) - NAMED} more; dhh info --list names them, with 0 tracks")
        lines += [f"incomplete: {event.path}: {note}" for event in self.incomplete for note in event.warnings]
        lines += [f"skipped: {event.path}: {event.reason}" for event in self.skipped]
        bare = sum(event.note == "without pictures" for event in self.unchanged)
        if bare:
            lines.append(f"{bare} of the unchanged have no pictures and stay so; --thumbnails encodes them again")
        lines += [f"gone: {_gone(event)}" for event in self.gone]
        lines += [f"nothing dropped: {why}" for why in dict.fromkeys(event.kept for event in self.gone if event.kept)]
        if any(not event.dropped and not event.kept for event in self.gone):
            lines.append("what is gone is kept in the codes; --prune drops it")
        return lines


@dataclass(frozen=True)
class _Start:
    """Of a file in work. at: when this run began with it. since, share: of it, what an earlier run had done."""

    at: float
    since: float = 0.0
    share: float = 0.0


class EncodeProgress:
    """Shows how an encoding goes; a context manager around it. What is unchanged is counted, not named.

    Time left is estimated from the bytes of the videos and the number of the photos that are to be encoded, and the
    time that was spent on encoding each kind: the length of a file is known only when it is opened, unchanged files
    pass in no time, and a photo takes as long as another however many bytes it has. As long as nothing is known of a
    kind that is still to come, nothing is said. All files in work count by their shares; what an earlier run had done
    of a film is no work.

    quiet: no word about a file that is well, and no live line. events: JSON lines go there, one a file, and one a
    second while a file is in work.
    """

    def __init__(
        self, found: VideoList, console: Console, *, quiet: bool = False, events: IO[str] | None = None
    ) -> None:
        paths = found.videos
        self._quiet, self._events = quiet, events
        self.summary = Summary()
        self._ignored, self._unreadable = found.ignored, found.unreadable
        self._sizes = {path: path.stat().st_size if path.exists() else 0 for path in paths}
        self._waiting = set(paths)
        self._total = self._work(paths)
        self._done, self._busy = {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}  # of photos, of videos
        self._console = console
        self._began = self._said = self._spent = time.monotonic()
        self._told = 0.0
        self._shares: dict[Path, float] = {}  # of files in work: how much is done
        self._starts: dict[Path, _Start] = {}
        self._live = Progress(
            TextColumn("[bold]{task.fields[done]}/{task.total}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[name]}"),
            TextColumn("{task.fields[words]}"),
            console=console,
            disable=quiet or not console.is_terminal,
        )
        self._tell("began", files=len(paths))
        self._task: TaskID = self._live.add_task("", total=len(paths), done=0, name="", words="")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        self.summary.seconds = time.monotonic() - self._began
        if kind is KeyboardInterrupt:
            done = len(self.summary.inputs) - len(self.summary.skipped)
            safe = f"{counted(done, 'finished video')} {'is' if done == 1 else 'are'} safe"
            self._say(f"interrupted; {safe}, run the same line again for the rest")

    def plan(self, waiting: set[Path]) -> None:
        """Which files will be encoded, as far as can be known before they are looked into."""
        self._waiting = waiting
        self._total = self._work(waiting)
        self._tell("plan", files=len(self._sizes), to_encode=len(waiting))

    def step(self, step: Step) -> None:
        """A frame was done."""
        now = time.monotonic()
        if self._events and now - self._told >= 1.0:
            self._told = now
            self._tell("step", path=str(step.path), seconds=step.seconds, duration=step.duration)
        share, before = (
            min(1.0, part / step.duration) if step.duration else 0.0 for part in (step.seconds, step.since)
        )
        if step.path not in self._starts:
            self._starts[step.path] = _Start(now, step.since, before)
            self._total[False] -= before * self._sizes.get(step.path, 0)
            if step.since and not self._quiet:
                self._say(f"{step.path}: goes on at {clock(Fraction(step.since))}, where an earlier run was cut off")
        self._shares[step.path] = share
        self._spend(now, photo=False)
        if self._quiet or now - self._said < (0.2 if self._console.is_terminal else QUIET_SECONDS):
            return
        self._said = now
        start = self._starts[step.path]
        speed = (step.seconds - start.since) / max(now - start.at, 1e-6)
        words = f"{share:.0%} {speed:.1f}x{self._left()}"
        if self._console.is_terminal:
            self._live.update(self._task, completed=self._completed, name=escape(one_line(step.path.name)), words=words)
        else:
            self._say(f"{step.path}: {words}")

    def done(self, event: FileEvent) -> None:
        """A file was finished, one way or another."""
        self._tell(type(event).__name__.lower(), **dataclasses.asdict(event))
        if isinstance(event, Gone):
            self.summary.gone.append(event)
            return
        now = time.monotonic()
        start = self._starts.pop(event.path, _Start(self._spent))
        took = now - start.at
        if event.path in self._waiting:
            kind = is_photo(event.path)
            self._done[kind] += 1 if kind else self._sizes.get(event.path, 0) * (1 - start.share)
            self._spend(now, photo=kind)
        self._spent = now  # a look at what is known already is no work
        self._shares.pop(event.path, None)
        match event:
            case Encoded() if is_photo(event.path) and not event.seconds:
                self.summary.encoded.append(event)
                words = f"photo, {counted(event.tracks, 'face')}{self._left()}"
            case Encoded():
                self.summary.encoded.append(event)
                words = (
                    f"{event.seconds:.1f} s, {counted(event.shots, 'shot')}, "
                    f"{counted(event.tracks, 'face track')}, "
                    f"{(event.seconds - start.since) / max(took, 1e-6):.1f}x real time{self._left()}"
                )
            case Unchanged():
                self.summary.unchanged.append(event)
                if event.note in ("", "without pictures"):  # said at the end
                    self._live.update(self._task, completed=self._completed, done=len(self.summary.inputs))
                    self._count_unchanged()
                    return
                words = f"unchanged, encoded before; {event.note}"
            case Relinked():
                self.summary.relinked.append(event)
                words = f"moved from {event.before}" if event.moved else f"the codes of {event.before}, same content"
            case Forgotten():
                self.summary.forgotten.append(event)
                words = "forgotten, not encoded again"
            case Skipped():
                self.summary.skipped.append(event)
                words = f"skipped: {event.reason}"
        count = len(self.summary.inputs)
        self._live.update(self._task, completed=self._completed, done=count, name="", words="")
        if self._quiet and not isinstance(event, Skipped):
            return
        self._say(f"[{count}/{len(self._sizes)}] {event.path}: {words}")
        self._said = now

    def conclude(self, codes_path: Path) -> None:
        """Say the last words."""
        own = self.summary
        self._tell(
            "summary",
            **{name: len(getattr(own, name)) for name in SUMMED},
            incomplete=len(own.incomplete),
            film_seconds=sum(event.seconds for event in own.encoded),
            took_seconds=round(own.seconds, 3),
            codes=str(codes_path),
        )
        for line in self.summary.lines():
            self._say(line)
        for line in passed_over_lines(self._ignored, VIDEO_SUFFIXES, PHOTO_SUFFIXES):
            self._say(line)
        for path in self._unreadable:
            self._say(f"unreadable: {path}: folder cannot be read, what is in it was left out")
        if codes_path.exists():
            self._say(f"{codes_path}: {codes_path.stat().st_size:,} bytes")

    @property
    def exit_code(self) -> int:
        """0: everything is in; 4: something was skipped or is incomplete; 1: nothing could be done at all."""
        if self.summary.skipped and len(self.summary.skipped) == len(self.summary.inputs):
            return 1
        return 4 if self.summary.skipped or self.summary.incomplete or self._unreadable or self.summary.refused else 0

    @property
    def _completed(self) -> float:
        """Files that are done, and the shares of those in work."""
        return len(self.summary.inputs) + sum(self._shares.values())

    def _work(self, paths: Iterable[Path]) -> dict[bool, float]:
        """What there is to do: how many photos (True), and how many bytes of videos (False)."""
        work = {True: 0.0, False: 0.0}
        for path in paths:
            work[is_photo(path)] += 1 if is_photo(path) else self._sizes[path]
        return work

    def _spend(self, now: float, *, photo: bool) -> None:
        """The time since it was last spent goes to photos, or to videos."""
        self._busy[photo] += now - self._spent
        self._spent = now

    def _left(self) -> str:
        seconds = 0.0
        in_work = sum(
            (share - self._starts[path].share) * self._sizes.get(path, 0) for path, share in self._shares.items()
        )
        for kind, total in self._total.items():
            done = self._done[kind] + (0.0 if kind else in_work)
            if total > done:
                if done <= 0:  # nothing is known of these yet
                    return ""
                seconds += self._busy[kind] * (total - done) / done
        return f", about {span(seconds)} left" if seconds else ""

    def _count_unchanged(self) -> None:
        """Now and then where nobody sees the bar: that something goes on."""
        now = time.monotonic()
        if not self._quiet and not self._console.is_terminal and now - self._said >= QUIET_SECONDS:
            self._said = now
            self._say(f"[{len(self.summary.inputs)}/{len(self._sizes)}] {len(self.summary.unchanged)} unchanged so far")

    def _tell(self, event: str, **values: object) -> None:
        if self._events:
            line = json.dumps({"event": event, **values}, default=str)
            self._events.write(f"{line}\n")
            self._events.flush()

    def _say(self, line: str) -> None:
        self._console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)


def _gone(event: Gone) -> str:
    if event.now:
        return f"{event.path}: its content is at {event.now}; dropped"
    return f"{event.path}{': dropped' if event.dropped else ''}"


def span(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def stderr_console() -> Console:
    """Where words go; with NO_COLOR set, plain lines, as nothing but text may be written then."""
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(file=sys.stderr, highlight=False, force_terminal=False if plain else None)
