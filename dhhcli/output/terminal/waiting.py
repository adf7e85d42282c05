"""waiting: counts of work that goes on -> a word soon, and now and then how long it will still take; on stderr."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dhhcli.base.patience import Part, listening
from dhhcli.base.text import counted
from dhhcli.output.terminal.console import print_notes
from dhhcli.output.terminal.encode_progress import span

SOON = 0.5  # seconds after which what is being done is said
FIRST = 1.5  # seconds after which an estimate is given
A_HIT: Final = 0.2  # seconds of the frames of one hit, of film of 640 pixels on two cores
AGAIN: Final = 30.0  # seconds between two, at the least
RARER: Final = 20  # and this part of the time that it has taken so far


@dataclass
class _Count:
    """What is counted. began: seconds; share: of it that was done then; said: when it was last spoken of."""

    what: str = ""
    began: float = 0.0
    share: float = 0.0
    said: float = 0.0


class Waiting:
    """Says how long a count, or several that make up a whole, will still take: soon after it begins, then ever more
    rarely. While there is a whole, other counts are not spoken of.
    """

    def __init__(self) -> None:
        self._one, self._all = _Count(), _Count()
        self._parts: Sequence[Part] = ()
        self._at = self._done = 0  # which of them, and how much of it
        self._over = False  # all of them

    def expected(self, parts: Sequence[Part]) -> None:
        """All counts that are to come, in order; of one name there may be several."""
        self._parts, self._at, self._done, self._all, self._over = tuple(parts), 0, 0, _Count(), False

    def heard(self, what: str, done: int, total: int) -> None:
        """So many of so many are done. What is done in no time is not spoken of."""
        whole = any(part.what == what for part in self._parts)
        if self._parts and not whole and not self._over:
            return
        now = time.monotonic()
        share = self._whole(what, done, total) if whole else done / max(total, 1)
        count = self._all if whole else self._one
        self._over = whole and share >= 1
        if not count.what or (not whole and (what != count.what or done == 0)):
            count.what, count.began, count.share, count.said = what, now, share, 0.0
            return
        spent = now - count.began
        if share >= 1 or share <= count.share or spent < FIRST:
            return
        if count.said and now - count.said < max(AGAIN, spent / RARER):
            return
        count.said = now
        left = span(spent * (1 - share) / (share - count.share))
        print_notes([f"{done} of {total} {what}, about {left} left{' in all' if whole else ''}"])

    def _whole(self, what: str, done: int, total: int) -> float:
        """Of all that was expected, the share that is done."""
        if self._parts[self._at].what != what or done < self._done:
            later = [at for at in range(self._at + 1, len(self._parts)) if self._parts[at].what == what]
            self._at = later[0] if later else self._at
        self._done = done
        now, cost = self._parts[self._at], [part.cost for part in self._parts]
        return (sum(cost[: self._at]) + now.cost * now.spent(done / max(total, 1))) / max(sum(cost), 1e-9)


@contextmanager
def waiting(words: str, after: float | None = None) -> Iterator[None]:
    """Say what is being done if it is not done ``after`` seconds (SOON); then how long it takes, as far as is counted.

    The words come from another thread, so that whatever takes long, an import too, is spoken of in time.
    """
    timer = threading.Timer(SOON if after is None else after, print_notes, args=([words],))
    timer.daemon = True
    timer.start()
    try:
        with listening(Waiting()):
            yield
    finally:
        timer.cancel()


def sheet_words(sheet: Path, hits: int) -> str:
    """What a sheet of so many hits is made of: a page shows four frames of each, cut from its video."""
    seconds = hits * A_HIT if sheet.suffix.lower() in (".html", ".htm") else 1.0
    return f"{sheet}: looking up the pictures of {counted(hits, 'hit')}; about {span(max(1.0, seconds))}"


def grouping_words(codes: Path, takes: tuple[int, float] | None) -> str:
    """What grouping does: of so many tracks, for so many seconds."""
    if takes is None:
        return f"{codes}: grouping its tracks by who they show"
    tracks, seconds = takes
    return f"{codes}: grouping its {counted(tracks, 'track')} by who they show; about {span(max(1.0, seconds))}"
