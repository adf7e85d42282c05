"""patience: work that goes on for long -> what was said of it: how much is done of how much, to whoever listens.

Whoever has much to do says so as it goes, and knows of no terminal; a command that wants to show it listens. Without
anybody who listens nothing happens. What is said in other threads and processes is not heard.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Part:
    """One count of several that make up a whole. what: as it is said of it; cost: of all of it, in any unit; spent:
    the share of that cost after a share of the count, where not everything in it costs the same."""

    what: str
    cost: float
    spent: Callable[[float], float] = float


class Listener(Protocol):
    """Who hears how far something is."""

    def heard(self, what: str, done: int, total: int) -> None:
        """So many of so many are done."""

    def expected(self, parts: Sequence[Part]) -> None:
        """All the counts that are to come, in order."""


_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear what is said inside of it."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def done_so_far(what: str, done: int, total: int) -> None:
    """Say how far something is: "faces", 256, 10000."""
    listener = _listener.get()
    if listener is not None:
        listener.heard(what, done, total)


def to_come(parts: Sequence[Part]) -> None:
    """Say what all of it is, before its first count, so that whoever listens knows how long all of it takes."""
    listener = _listener.get()
    if listener is not None:
        listener.expected(parts)


class _Sum:
    """Counts of one kind, one after another, as one."""

    def __init__(self, what: str, first: int, total: int, outer: Listener) -> None:
        self.what, self.total, self.outer = what, total, outer
        self.before, self.last = first, 0

    def heard(self, what: str, done: int, total: int) -> None:
        if what != self.what:
            self.outer.heard(what, done, total)
            return
        if done == 0:  # another one begins
            self.before, self.last = self.before + self.last, total
        self.outer.heard(what, min(self.before + done, self.total), self.total)

    def expected(self, parts: Sequence[Part]) -> None:
        self.outer.expected(parts)


@contextmanager
def in_all(what: str, total: int, *, first: int = 0) -> Iterator[None]:
    """Inside of it, counts of one thing are parts of one count of ``total``, of which ``first`` were done before."""
    listener = _listener.get()
    if listener is None:
        yield
        return
    with listening(_Sum(what, first, total, listener)):
        yield
