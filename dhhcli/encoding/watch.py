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
from dhhcli.encoding.run import default_workers, encode
from dhhcli.encoding.sync import Prune
from dhhcli.errors import MissingPathError, PassingError
from dhhcli.media.discover import VideoList, find_videos, require_videos
from dhhcli.models.network import Network
from dhhcli.output.encode_progress import EncodeProgress
from dhhcli.storage.hdf5_file import FULL

State = tuple[int, int]  # size in bytes, time of the last change in ns


def encode_once(
    paths: Sequence[Path],
    codes_path: Path,
    network: Network,
    console: Console,
    *,
    thumbnails: bool | None = None,
    frame_codes: bool | None = None,
    photos: bool = True,
    prune: Prune = False,
    workers: int | None = None,
) -> int:
    """Encode everything under ``paths`` and say how it goes; the exit code. workers: None: one for two cores.

    Raises:
        MissingPathError, NoVideoError: as ``require_videos``.
        UsageError, ShardError: as ``encode``.
    """
    found = require_videos(paths, photos=photos)
    kept = (thumbnails, frame_codes)
    return _encode(found, paths, codes_path, network, console, kept, prune=prune, workers=workers).exit_code


def encode_watching(
    paths: Sequence[Path],
    codes_path: Path,
    network: Network,
    console: Console,
    *,
    thumbnails: bool | None = None,
    frame_codes: bool | None = None,
    photos: bool = True,
    prune: Prune = False,
    workers: int | None = None,
    every: float = 10.0,
    rounds: int | None = None,
) -> int:
    """Look every ``every`` seconds and encode what is new or has changed and is whole; ends by KeyboardInterrupt.

    A folder that is away for a while (a network share) is waited for, and so is whoever else writes the codes, or room
    on a full disk. Where another disk lies at a folder than at first nothing is dropped. ``rounds``: end after so many
    looks, with exit code 0.

    Raises:
        UsageError, ShardError: as ``encode``.
    """
    frame_choice(codes_path, network, frame_codes)  # what is wrong with it is said now, not when the first file comes
    console.print(
        one_line(f"watching {', '.join(map(str, paths))}; Ctrl-C ends it"),
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    waiting = ""
    devices: dict[Path, int] = {}
    before: dict[Path, State] = {}
    done: dict[Path, State] = {}
    while rounds is None or rounds > 0:
        try:
            found = find_videos(paths, photos=photos)
            now = _states(found.videos)
            here = _devices(paths)
            devices = here | devices
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
                    (thumbnails, frame_codes),
                    prune=settled and here == devices and prune,
                    workers=workers,
                )
            done |= {path: now[path] for path in ready}
            if settled:
                done = {path: done[path] for path in done if path in now}
            before, waiting = now, ""
        except (MissingPathError, PassingError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in FULL:
                raise
            if str(error) != waiting:  # once, not every few seconds for a night
                waiting = str(error)
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
    kept: tuple[bool | None, bool | None],
    *,
    prune: Prune,
    workers: int | None,
) -> EncodeProgress:
    """kept: small pictures, and codes of frames, as for ``encode``."""
    with EncodeProgress(found, console) as progress:
        events = encode(
            found.videos,
            codes_path,
            network,
            thumbnails=kept[0],
            frame_codes=kept[1],
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


def _devices(roots: Sequence[Path]) -> dict[Path, int]:
    """On which disk each of the named folders is that is there."""
    return {root: root.stat().st_dev for root in roots if root.exists()}


def _states(paths: Sequence[Path]) -> dict[Path, State]:
    states = {}
    for path in paths:
        try:
            stat = path.stat()
        except OSError:  # gone since it was listed
            continue
        states[path] = (stat.st_size, stat.st_mtime_ns)
    return states
