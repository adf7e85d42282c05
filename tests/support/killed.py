"""A process that ends at the n-th change of a folder, imitated in this one."""

import os
from collections.abc import Callable

import pytest


class Killed(BaseException):
    """Stands for SIGKILL."""


def dies_at(patch: pytest.MonkeyPatch, at: int) -> None:
    """End at the at-th change of a folder; what would be cleaned up afterwards is not."""
    calls = iter(range(1000))
    dead: list[bool] = []
    for name in ("replace", "unlink", "rmdir", "mkdir"):
        real = getattr(os, name)

        def wrapped(*args: object, real: Callable[..., object] = real, **kwargs: object) -> object:
            if dead or next(calls) >= at:
                dead.append(True)
                raise Killed
            return real(*args, **kwargs)

        patch.setattr(os, name, wrapped)
