"""encode_progress: events of an encoding -> one live line on a terminal, plain lines elsewhere; always on stderr."""

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from dhhcli.base.text import counted, one_line
from dhhcli.encoding.events import Encoded, FileEvent, Forgotten, Gone, Relinked, Skipped, Step, Unchanged
from dhhcli.media.discover import PHOTO_SUFFIXES, VIDEO_SUFFIXES, VideoList, is_photo
from dhhcli.media.passed_over import passed_over_lines

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
        lines += [f"without faces: {event.path}" for event in self.encoded if not event.tracks]
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


class EncodeProgress:
    """Shows how an encoding goes; a context manager around it.

    Time left is estimated from the bytes of what is to be encoded, files in work by their share, and the time that was
    spent on encoding alone: the length of a file is known only when it is opened, and unchanged files pass in no time.
    """

    def __init__(self, found: VideoList, console: Console) -> None:
        paths = found.videos
        self.summary = Summary()
        self._ignored, self._unreadable = found.ignored, found.unreadable
        self._sizes = {path: path.stat().st_size if path.exists() else 0 for path in paths}
        self._total = max(1, sum(self._sizes.values()))
        self._waiting = set(paths)
        self._done_bytes = 0
        self._running: dict[Path, tuple[float, float]] = {}  # files in work: since when, and the share that is done
        self._console = console
        self._began = self._since = self._said = self._event = time.monotonic()
        self._live = Progress(
            TextColumn("[bold]{task.fields[done]}/{task.total}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[name]}"),
            TextColumn("{task.fields[words]}"),
            console=console,
            disable=not console.is_terminal,
        )
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
        self._since = self._event = time.monotonic()
        self._total = max(1, sum(self._sizes[path] for path in waiting))

    def step(self, step: Step) -> None:
        """A frame was done."""
        now = time.monotonic()
        began = now if not step.seconds else self._running.get(step.path, (now, 0.0))[0]
        share = min(1.0, step.seconds / step.duration) if step.duration else 0.0
        self._running[step.path] = began, share
        if now - self._said < (0.2 if self._console.is_terminal else QUIET_SECONDS):
            return
        self._said = now
        speed = step.seconds / max(now - began, 1e-6)
        words = f"{share:.0%} {speed:.1f}x{self._left()}"
        if self._console.is_terminal:
            self._live.update(self._task, completed=self._completed, name=escape(one_line(step.path.name)), words=words)
        else:
            self._say(f"{step.path}: {words}")

    def done(self, event: FileEvent) -> None:
        """A file was finished, one way or another."""
        if isinstance(event, Gone):
            self.summary.gone.append(event)
            return
        now = time.monotonic()
        took = now - self._running.pop(event.path, (self._event, 0.0))[0]
        if event.path in self._waiting:
            self._done_bytes += self._sizes.get(event.path, 0)
        elif not self._running:
            self._since += now - self._event  # time that was spent on looking only
        self._event = now
        match event:
            case Encoded() if is_photo(event.path) and not event.seconds:
                self.summary.encoded.append(event)
                words = f"photo, {counted(event.tracks, 'face')}{self._left()}"
            case Encoded():
                self.summary.encoded.append(event)
                words = (
                    f"{event.seconds:.1f} s, {counted(event.shots, 'shot')}, "
                    f"{counted(event.tracks, 'face track')}, "
                    f"{event.seconds / max(took, 1e-6):.1f}x real time{self._left()}"
                )
            case Unchanged():
                self.summary.unchanged.append(event)
                words = "unchanged, encoded before" + (f"; {event.note}" if event.note else "")
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
        self._say(f"[{count}/{len(self._sizes)}] {event.path}: {words}")
        self._live.update(self._task, completed=self._completed, done=count, name="", words="")
        self._said = time.monotonic()

    def conclude(self, codes_path: Path) -> None:
        """Say the last words."""
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
        return len(self.summary.inputs) + sum(share for _, share in self._running.values())

    def _left(self) -> str:
        done = self._done_bytes + sum(share * self._sizes.get(path, 0) for path, (_, share) in self._running.items())
        if done <= 0 or done >= self._total:
            return ""
        return f", about {_span((time.monotonic() - self._since) * (self._total - done) / done)} left"

    def _say(self, line: str) -> None:
        self._console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)


def _gone(event: Gone) -> str:
    if event.now:
        return f"{event.path}: its content is at {event.now}; dropped"
    return f"{event.path}{': dropped' if event.dropped else ''}"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def stderr_console() -> Console:
    """Where words go; with NO_COLOR set, plain lines, as nothing but text may be written then."""
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(file=sys.stderr, highlight=False, force_terminal=False if plain else None)
