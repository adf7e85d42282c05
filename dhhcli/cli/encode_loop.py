"""encode_loop: events of an encoding, or of a watch without end -> words and a live line on stderr; an exit code."""

import os
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dhhcli.base.text import one_line
from dhhcli.encoding.events import Began, Ended, RoundEvent, Waiting, Watching
from dhhcli.encoding.options import USUAL, EncodeOptions
from dhhcli.encoding.sync import Prune
from dhhcli.encoding.watch import Events, encode_once, encode_watching
from dhhcli.models.network import Network
from dhhcli.output.terminal.encode_progress import EncodeProgress

if TYPE_CHECKING:
    from rich.console import Console

    from dhhcli.media.files.mapping import Cluster


def encode_loop(
    paths: list[Path],
    codes_path: Path,
    network: Network,
    console: "Console",
    options: EncodeOptions = USUAL,
    *,
    photos: bool = True,
    prune: Prune = False,
    workers: int | None = None,
    cluster: "Cluster | None" = None,
    every: float | None = None,
    rounds: int | None = None,
    quiet: bool = False,
    as_json: bool = False,
    then: str | None = None,
) -> int:
    """Encode and say how it goes; the exit code.

    ``every``: watch, with so many seconds between two looks, until KeyboardInterrupt, or for so many ``rounds`` with
    exit code 0; None: encode once. ``quiet``: words only about what is wrong, and the summary; ``as_json``: events as
    JSON lines on stdout; ``then``: a command for the shell when all is done, or a round has encoded something.
    Everything else, and what is raised, is as for ``encode_once`` and
    ``encode_watching``.
    """
    run = encode_once if every is None else partial(encode_watching, every=every, rounds=rounds)
    shown: list[EncodeProgress] = []  # of the round that is on, or was the last
    events = run(
        paths,
        codes_path,
        network,
        options,
        photos=photos,
        prune=prune,
        workers=workers,
        cluster=cluster,
        on_step=lambda step: shown[-1].step(step),
        on_plan=lambda waiting: shown[-1].plan(waiting),
    )
    with closing(events):
        for event in events:
            after: object = event
            if isinstance(event, Began):
                shown[:] = [EncodeProgress(event.files, console, quiet=quiet, events=sys.stdout if as_json else None)]
                after = _show(events, shown[-1])
            match after:
                case Ended():
                    shown[-1].conclude(codes_path)
                    if then and (every is None or shown[-1].summary.encoded):
                        _run(console, then, shown[-1], codes_path)
                case Watching(watched):
                    _say(console, f"watching {', '.join(map(str, watched))}; Ctrl-C ends it")
                case Waiting(reason):
                    _say(console, f"waiting: {reason}")
    return shown[-1].exit_code if every is None else 0


def _show(events: Events, progress: EncodeProgress) -> RoundEvent | None:
    """Show what becomes of the files of a round; the event that ends it."""
    with progress:
        try:
            for event in events:
                if isinstance(event, RoundEvent):
                    return event
                progress.done(event)
        except BaseException:  # an interrupt between two files: what is finished is merged before that is said
            events.close()
            raise
    return None


def _run(console: "Console", command: str, progress: EncodeProgress, codes_path: Path) -> None:
    """What the user wants done then; it is told how it went in its environment."""
    own = progress.summary
    told = {
        "DHH_CODES": str(codes_path),
        "DHH_EXIT": str(progress.exit_code),
        "DHH_ENCODED": str(len(own.encoded)),
        "DHH_SKIPPED": str(len(own.skipped)),
    }
    # its words are no data of ours
    code = subprocess.run(command, shell=True, env={**os.environ, **told}, stdout=sys.stderr, check=False).returncode
    if code:
        _say(console, f"--then {command}: ended with exit code {code}")


def _say(console: "Console", line: str) -> None:
    console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)
