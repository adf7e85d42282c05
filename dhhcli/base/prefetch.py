"""prefetch: items, or one thing -> the same, made ahead by another thread; of items at most ``depth`` waiting."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

T = TypeVar("T")


def prefetch(
    items: Iterable[T], depth: int, *, most: int | None = None, weigh: Callable[[T], int] = lambda _: 1
) -> Generator[T, None, None]:
    """Yield ``items``, made ahead by a thread of its own, at most ``depth`` of them waiting, and one of them or what
    weighs ``most`` together.

    Exceptions of ``items`` are raised here, after what was made before them. Closing this generator stops
    the thread and waits for it, so ``items`` must not block for ever.
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}, expected at least 1")
    return _prefetch(items, depth, most, weigh)


def _prefetch(items: Iterable[T], depth: int, most: int | None, weigh: Callable[[T], int]) -> Generator[T, None, None]:
    waiting: deque[T] = deque()
    changed = threading.Condition()
    failure: list[BaseException] = []
    done = stopped = False

    def room() -> bool:
        return len(waiting) < depth and (not waiting or most is None or sum(map(weigh, waiting)) < most)

    def produce() -> None:
        nonlocal done
        try:
            for item in items:
                with changed:
                    changed.wait_for(lambda: stopped or room())
                    if stopped:
                        return
                    waiting.append(item)
                    changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that consumes
            failure.append(error)
        finally:
            with changed:
                done = True
                changed.notify_all()

    thread = threading.Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            with changed:
                changed.wait_for(lambda: waiting or done)
                if not waiting:
                    break
                item = waiting.popleft()
                changed.notify_all()
            yield item
            del item  # a frame that is no longer used must not be held until the next one
    finally:
        with changed:
            stopped = True
            changed.notify_all()
        thread.join()
        waiting.clear()
    if failure:
        raise failure[0]


def ahead(make: Callable[[], T]) -> Callable[[], T]:
    """Begin to ``make`` something now, in a thread; call what is returned to have it, as soon as it is done.

    An exception of ``make`` is raised by every such call. The process does not end before the thread has.
    """
    made: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            made.append(make())
        except BaseException as error:  # noqa: BLE001 - raised again where it is asked for
            failure.append(error)

    thread = threading.Thread(target=work, name="ahead")
    thread.start()

    def wait() -> T:
        thread.join()
        if failure:
            raise failure[0]
        return made[0]

    return wait
