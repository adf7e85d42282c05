"""patience: work that goes on for long -> what was said of it: how much is done of how much, to whoever listens.

Whoever has much to do says so as it goes, and knows of no terminal; a command that wants to show it listens. Without
anybody who listens nothing happens. What is said in other threads and processes is not heard.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int], None]  # what is counted, how many are done, of how many
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
        listener(what, done, total)
