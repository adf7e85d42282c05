"""watch: named files and folders -> encoded once, or whenever something in them is new and whole; events.

Looking is polling: it works on every file system, network shares too. A file is whole when neither its size nor its
time has changed between two looks; a file that cannot be encoded is tried again when it has changed.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dhhcli.encoding.events import Began, Ended, FileEvent, RoundEvent, Step, Waiting, Watching
from dhhcli.encoding.frame_codes import frame_choice
from dhhcli.encoding.options import USUAL, EncodeOptions
from dhhcli.encoding.run import default_workers, encode
from dhhcli.encoding.sync import Prune
from dhhcli.errors import MissingPathError, PassingError
from dhhcli.media.files.discover import VideoList, find_videos, require_videos
from dhhcli.models.network import Network
from dhhcli.storage.hdf5_file import FULL

if TYPE_CHECKING:
    from dhhcli.media.files.mapping import Cluster

State = tuple[int, int]  # size in bytes, time of the last change in ns
Events = Generator[FileEvent | RoundEvent]


def encode_once(
    paths: Sequence[Path],
    codes_path: Path,
    network: Network,
    options: EncodeOptions = USUAL,
    *,
    photos: bool = True,
    prune: Prune = False,
    workers: int | None = None,
    cluster: "Cluster | None" = None,
    on_step: Callable[[Step], None] = lambda _: None,
    on_plan: Callable[[set[Path]], None] = lambda _: None,
) -> Events:
    """Encode everything under ``paths``: Began, an event a file, Ended. Closed early, it keeps what is finished.

    Args:
        paths: files and folders.
        codes_path, network, options, prune, on_step, on_plan: as for ``encode``.
        photos: also encode the photos in folders.
        workers: files at a time; None: one for two cores.
        cluster: encode on its workers instead.

    Raises:
        MissingPathError, NoVideoError: as ``require_videos``.
        UsageError, ShardError: as ``encode``.
    """
    found = require_videos(paths, photos=photos)
    yield from _round(found, paths, codes_path, network, options, prune, workers, cluster, on_step, on_plan)


def encode_watching(
    paths: Sequence[Path],
    codes_path: Path,
    network: Network,
    options: EncodeOptions = USUAL,
    *,
    photos: bool = True,
    prune: Prune = False,
    workers: int | None = None,
    cluster: "Cluster | None" = None,
    every: float = 10.0,
    rounds: int | None = None,
    on_step: Callable[[Step], None] = lambda _: None,
    on_plan: Callable[[set[Path]], None] = lambda _: None,
) -> Events:
    """Look every ``every`` seconds and encode what is new or has changed and is whole: Watching, then round by round.

    It goes on until it is closed or interrupted. A folder that is away for a while (a network share) is waited for, and
    so is whoever else writes the codes, or room on a full disk: Waiting, once. Where another disk lies at a folder than
    at first nothing is dropped. ``rounds``: end after so many looks. The others are as for ``encode_once``.

    Raises:
        UsageError, ShardError: as ``encode``.
    """
    # what is wrong with it is said now, not when the first file comes
    frame_choice(codes_path, network, options.frame_codes)
    yield Watching(tuple(paths))
    devices: dict[Path, int] = {}
    waiting = ""
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
                some = replace(found, videos=tuple(ready), ignored=())
                pruned = prune if settled and here == devices else False
                yield from _round(some, paths, codes_path, network, options, pruned, workers, cluster, on_step, on_plan)
            done |= {path: now[path] for path in ready}
            if settled:
                done = {path: done[path] for path in done if path in now}
            before, waiting = now, ""
        except (MissingPathError, PassingError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in FULL:
                raise
            if str(error) != waiting:  # once, not every few seconds for a night
                waiting = str(error)
                yield Waiting(waiting)
        if rounds is not None:
            rounds -= 1
        time.sleep(every)


def _round(
    found: VideoList,
    roots: Sequence[Path],
    codes_path: Path,
    network: Network,
    options: EncodeOptions,
    prune: Prune,
    workers: int | None,
    cluster: "Cluster | None",
    on_step: Callable[[Step], None],
    on_plan: Callable[[set[Path]], None],
) -> Events:
    yield Began(found)
    yield from encode(
        found.videos,
        codes_path,
        network,
        options,
        prune=prune,
        roots=roots,
        workers=default_workers(len(found.videos)) if workers is None else workers,
        cluster=cluster,
        on_step=on_step,
        on_plan=on_plan,
    )
    yield Ended()


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
