"""A watch whose time is steps."""

import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from footage import TAG
from rich.console import Console

from dhhcli.cli.encode_loop import encode_loop

NETWORK: Any = SimpleNamespace(tag=TAG)


def watched(
    folder: Path, monkeypatch: pytest.MonkeyPatch, steps: Mapping[int, Callable[[], object]], rounds: int, **how: Any
) -> list[str]:
    """Watch for so many rounds; after round r, ``steps[r]`` happens instead of waiting. What was said."""
    looks = iter(range(rounds))
    monkeypatch.setattr(time, "sleep", lambda _: steps.get(next(looks), lambda: None)())
    console = Console(file=io.StringIO(), width=500)
    encode_loop([folder], folder.parent / "codes.h5", NETWORK, console, every=10.0, rounds=rounds, **how)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()
