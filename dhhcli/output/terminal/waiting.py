"""waiting: counts of work that goes on -> a word soon, and now and then how long it will still take; on stderr."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dhhcli.base.patience import listening
from dhhcli.output.terminal.console import print_notes
from dhhcli.output.terminal.encode_progress import span

SOON = 0.5  # seconds after which what is being done is said
FIRST = 1.5  # seconds after which an estimate is given
AGAIN: Final = 30.0  # seconds between two


class Waiting:
    """Says how long a count will still take: soon after it begins, then every half minute."""

    def __init__(self) -> None:
        self._what = ""
        self._began = self._said = 0.0

    def heard(self, what: str, done: int, total: int) -> None:
        """So many of so many are done. What is done in no time is not spoken of."""
        now = time.monotonic()
        if what != self._what or done == 0:
            self._what, self._began, self._said = what, now, 0.0
            return
        spent = now - self._began
        if done >= total or spent < FIRST or (self._said and now - self._said < AGAIN):
            return
        self._said = now
        print_notes([f"{done} of {total} {what}, about {span(spent * (total - done) / done)} left"])


@contextmanager
def waiting(words: str, after: float | None = None) -> Iterator[None]:
    """Say what is being done if it is not done ``after`` seconds (SOON); then how long it takes, as far as is counted.

    The words come from another thread, so that whatever takes long, an import too, is spoken of in time.
    """
    timer = threading.Timer(SOON if after is None else after, print_notes, args=([words],))
    timer.daemon = True
    timer.start()
    try:
        with listening(Waiting().heard):
            yield
    finally:
        timer.cancel()
