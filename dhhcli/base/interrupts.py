"""interrupts: processes are started -> they never see Ctrl-C, which is the business of the one that started them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_held() -> Iterator[None]:
    """What is started here never sees Ctrl-C, not even while Python itself starts; here it comes a moment later.

    A blocked signal stays so in threads and processes that start meanwhile.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
