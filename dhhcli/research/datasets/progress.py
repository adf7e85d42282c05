"""progress: events of packing faces -> a line now and then, then totals and everything that was left out; on stderr."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from dhhcli.base.text import one_line
from dhhcli.media.files.passed_over import LISTED
from dhhcli.output.terminal.encode_progress import QUIET_SECONDS
from dhhcli.research.datasets.folders import Missed, Packed
from dhhcli.research.datasets.layout_names import FolderLayout
from dhhcli.research.datasets.layouts import Listing


class PackProgress:
    """Says how packing goes and what came of it."""

    def __init__(self, listings: Sequence[Listing], console: Console) -> None:
        self._listings, self._console = listings, console
        self._total = sum(len(listing.items) for listing in listings)
        self._done = self._crops = self._others = 0
        self._missed: list[Missed] = []
        self._warned: list[Packed] = []
        self._said = time.monotonic()
        for listing in listings:
            self._console_line(f"{listing.source}: {_contents(listing)}")

    def done(self, event: Packed | Missed) -> None:
        """A file was looked at."""
        self._done += 1
        if isinstance(event, Missed):
            self._missed.append(event)
        else:
            self._crops += event.crops
            self._others += event.others
            if event.warnings:
                self._warned.append(event)
        now = time.monotonic()
        if now - self._said >= QUIET_SECONDS and self._done < self._total:
            self._said = now
            self._console_line(f"{self._done}/{self._total} files, {self._crops} crops, {len(self._missed)} skipped")

    def conclude(self, out: Path) -> None:
        """Say the last words."""
        others = f"; {self._others} other faces or tracks in them left out" if self._others else ""
        self._console_line(
            f"{self._total} files: {self._done - len(self._missed)} gave {self._crops} crops, "
            f"{len(self._missed)} skipped{others}"
        )
        for packed in self._warned:
            for words in packed.warnings:
                self._console_line(f"incomplete: {packed.path}: {words}")
        for missed in self._missed:
            self._console_line(f"skipped: {missed.path}: {missed.reason}")
        ignored = [path for listing in self._listings for path in listing.ignored]
        for path in ignored[:LISTED]:
            self._console_line(f"ignored: {path}: not part of this layout")
        if len(ignored) > LISTED:
            self._console_line(f"ignored: {len(ignored) - LISTED} more files that are not part of this layout")
        self._console_line(f"{out}: {out.stat().st_size:,} bytes")

    @property
    def exit_code(self) -> int:
        """0: every file gave crops; 4: some gave none or stop early."""
        return 4 if self._missed or self._warned else 0

    def _console_line(self, line: str) -> None:
        self._console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)


def _contents(listing: Listing) -> str:
    people = len({item.person for item in listing.items})
    clips = sum(item.is_video for item in listing.items)
    tracks = len({(item.person, item.track) for item in listing.items if item.track})
    frames = sum(bool(item.track) for item in listing.items)
    parts = {"photos": len(listing.items) - clips - frames, "clips": clips, f"frames of {tracks} tracks": frames}
    layout = "a folder per person" if listing.layout is FolderLayout.AUTO else f"layout {listing.layout}"
    return f"{people} people, {', '.join(f'{n} {what}' for what, n in parts.items() if n)} ({layout})"
