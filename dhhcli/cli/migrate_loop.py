"""migrate_loop: events of a change of weights -> words and a live line on stderr; the question what may go."""

import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dhhcli.base.text import counted, one_line
from dhhcli.encoding.events import Began, FileEvent
from dhhcli.encoding.migrate import Events, Lost, Migrated, migrate
from dhhcli.encoding.run import default_workers
from dhhcli.media.files.discover import VideoList
from dhhcli.models.network import Network
from dhhcli.output.terminal.console import print_notes
from dhhcli.output.terminal.encode_progress import EncodeProgress
from dhhcli.storage.codes_file import open_shard

if TYPE_CHECKING:
    from rich.console import Console

LISTED = 20  # files that are named; the rest are counted


def migrate_loop(
    codes_path: Path,
    network: Network,
    console: "Console",
    *,
    drop: bool = False,
    frame_codes: bool | None = None,
    workers: int | None = None,
) -> None:
    """Migrate and say how it goes; ``drop`` and a yes on a terminal let the codes go of what is gone.

    What is raised is as for ``migrate``.
    """
    if workers is None:
        with open_shard(codes_path) as shard:
            workers = default_workers(len(shard.videos))
    progress = EncodeProgress(VideoList((), ()), console)
    events = migrate(
        codes_path,
        network,
        frame_codes=frame_codes,
        workers=workers,
        may_drop=partial(_may_drop, drop=drop),
        on_step=lambda step: progress.step(step),
        on_plan=lambda waiting: progress.plan(waiting),
    )
    with closing(events):
        for event in events:
            match event:
                case Began(files):
                    progress = EncodeProgress(files, console)
                    _show(events, progress)
                case Migrated(already=True):
                    _say(console, f"{codes_path}: is of {network.name} already; nothing to do")
                case Migrated():
                    progress.conclude(codes_path)
                    _say(console, _words(codes_path, network.name, event))


def _show(events: Events, progress: EncodeProgress) -> None:
    """Show what becomes of the files, to the last."""
    with progress:
        try:
            for event in events:
                if isinstance(event, FileEvent):
                    progress.done(event)
                else:
                    return
        except BaseException:  # an interrupt between two files: what is finished is merged before that is said
            events.close()
            raise


def _words(codes_path: Path, weights: str, done: Migrated) -> str:
    named = f"; {done.named} named tracks, {done.named_before} before" if done.named_before else ""
    dropped = f"; {counted(len(done.dropped), 'file')} dropped" if done.dropped else ""
    return f"{codes_path}: {counted(done.videos, 'file')}, {counted(done.tracks, 'track')} by {weights}{named}{dropped}"


def _may_drop(lost: Sequence[Lost], *, drop: bool) -> bool:
    """List what cannot be encoded again, and ask where there is a terminal to ask on."""
    print_notes([f"cannot be encoded again: {one.path}: {one.reason}" for one in lost[:LISTED]])
    if len(lost) > LISTED:
        print_notes([f"... and {len(lost) - LISTED} more"])
    if drop or not sys.stdin.isatty():
        return drop
    sys.stderr.write(f"Let the codes of {counted(len(lost), 'file')} go, for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _say(console: "Console", line: str) -> None:
    console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)
