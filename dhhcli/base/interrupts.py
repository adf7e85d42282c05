"""interrupts: processes are started -> they never see Ctrl-C, which is the business of the one that started them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_held() -> Iterator[None]:
    """What is started here never sees Ctrl-C, not even while Python itself starts; here it comes a moment later.

    A blocked signal stays so in threads and processes that start meanwhile. Other threads of this process take it all
    the same, and Python then runs its handler in the main thread: so that is another one until all is started, as a
    process that is left half started says so with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    # the helper that goes with the first process unblocks SIGINT for whoever starts it (CPython, resource_tracker.py)
    resource_tracker.ensure_running()
    came: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number)) if main else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if main:
            signal.signal(signal.SIGINT, handler)
            if came:
                signal.raise_signal(signal.SIGINT)
