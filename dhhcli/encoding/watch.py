"""watch: named files and folders -> encoded once, or whenever something in them is new and whole, until Ctrl-C.

Looking is polling: it works on every file system, network shares too. A file is whole when neither its size nor its
time has changed between two looks; a file that cannot be encoded is tried again when it has changed.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dhhcli.base.text import one_line
from dhhcli.encoding.frame_codes import frame_choice
from dhhcli.encoding.options import USUAL, EncodeOptions
from dhhcli.encoding.run import default_workers, encode
from dhhcli.errors import MissingPathError
from dhhcli.media.discover import VideoList, find_videos, require_videos
from dhhcli.models.network import Network
from dhhcli.output.encode_progress import EncodeProgress

State = tuple[int, int]  # size in bytes, time of the last change in ns


def encode_once(
    paths: Sequence[Path],
    codes_path: Path,
    network: Network,
    console: Console,
    options: EncodeOptions = USUAL,
    *,
    photos: bool = True,
    prune: bool = False,
    workers: int | None = None,
) -> int:
    """Encode everything under ``paths`` and say how it goes; the exit code. workers: None: one for two cores.

    Raises:
        MissingPathError, NoVideoError: as ``require_videos``.
        UsageError, ShardError: as ``encode``.
    """
    found = require_videos(paths, photos=photos)
    return _encode(found, paths, codes_path, network, console, options, prune=prune, workers=workers).exit_code


def encode_watching(
    paths: Sequence[Path],
    codes_path: Path,
    network: Network,
    console: Console,
    options: EncodeOptions = USUAL,
    *,
    photos: bool = True,
    prune: bool = False,
    workers: int | None = None,
    every: float = 10.0,
    rounds: int | None = None,
) -> int:
    """Look every ``every`` seconds and encode what is new or has changed and is whole; ends by KeyboardInterrupt.

    A folder that is away for a while (a network share) is waited for. ``rounds``: end after so many looks, with exit
    code 0.

    Raises:
        UsageError, ShardError: as ``encode``.
    """
    # what is wrong with it is said now, not when the first file comes
    frame_choice(codes_path, network, options.frame_codes)
    console.print(
        one_line(f"watching {', '.join(map(str, paths))}; Ctrl-C ends it"),
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    before: dict[Path, State] = {}
    done: dict[Path, State] = {}
    while rounds is None or rounds > 0:
        try:
            found = find_videos(paths, photos=photos)
            now = _states(found.videos)
            whole = [path for path, state in now.items() if before.get(path) == state]
            ready = [path for path in whole if done.get(path) != now[path]]
            settled = len(whole) == len(now)
            gone = [path for path in done if path not in now]  # perhaps moved to where a file is not whole yet
            if ready or (gone and settled):
                _encode(
                    replace(found, videos=tuple(ready), ignored=()),
                    paths,
                    codes_path,
                    network,
                    console,
                    options,
                    prune=prune and settled,
                    workers=workers,
                )
            done |= {path: now[path] for path in ready}
            if settled:
                done = {path: done[path] for path in done if path in now}
            before = now
        except MissingPathError as error:
            console.print(one_line(f"waiting: {error}"), markup=False, highlight=False, soft_wrap=True)
        if rounds is not None:
            rounds -= 1
        time.sleep(every)
    return 0


def _encode(
    found: VideoList,
    roots: Sequence[Path],
    codes_path: Path,
    network: Network,
    console: Console,
    options: EncodeOptions,
    *,
    prune: bool,
    workers: int | None,
) -> EncodeProgress:
    with EncodeProgress(found, console) as progress:
        events = encode(
            found.videos,
            codes_path,
            network,
            options,
            prune=prune,
            roots=roots,
            workers=workers or default_workers(len(found.videos)),
            on_step=progress.step,
            on_plan=progress.plan,
        )
        with closing(events):  # an interrupt between two files still merges what is finished
            for event in events:
                progress.done(event)
    progress.conclude(codes_path)
    return progress


def _states(paths: Sequence[Path]) -> dict[Path, State]:
    states = {}
    for path in paths:
        try:
            stat = path.stat()
        except OSError:  # gone since it was listed
            continue
        states[path] = (stat.st_size, stat.st_mtime_ns)
    return states
