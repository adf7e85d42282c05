"""run: video file -> EncodedVideo (shots, tracks, one code a track), streaming; many files -> one codes file.

The chain: frames -> shots and, some times a second, faces -> tracks as they end (scan.py, in a thread of its own) -> at
most 30 crops a track -> features -> log-covariance -> code (track_codes.py). What a film leaves behind is a row, a code
and a small picture for each track; crops are gone when their track is coded. Several films at once: workers.py. Weights
that hash pictures only may also leave the codes of all these crops (`frame_choice`).
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dhhcli.encoding.begun import Begun, begun_files, begun_path, keep_begun, tidy_begun
from dhhcli.encoding.events import FileEvent, Skipped, Step
from dhhcli.encoding.frame_codes import frame_choice
from dhhcli.encoding.options import USUAL, EncodeOptions
from dhhcli.encoding.sync import Prune, SyncPlan, decide, erase_leftovers, gone_files, make_plan, waiting
from dhhcli.encoding.video import Decided, Job, OnStep, Result, encode_file, encoded
from dhhcli.errors import MissingPathError, UsageError
from dhhcli.models.network import Network
from dhhcli.models.weights import shipped_as
from dhhcli.storage.codes_file import commit, finish, lock, open_shard
from dhhcli.storage.record import EncodedVideo, recorded_path
from dhhcli.storage.skipped import note_skipped
from dhhcli.storage.tombstones import any_forgotten, without_forgotten

if TYPE_CHECKING:
    from dhhcli.media.files.mapping import Cluster


def encode(
    paths: Sequence[Path],
    codes_path: Path,
    network: Network,
    options: EncodeOptions = USUAL,
    *,
    prune: Prune = False,
    roots: Sequence[Path] = (),
    workers: int = 1,
    cluster: "Cluster | None" = None,
    on_step: Callable[[Step], None] = lambda _: None,
    on_plan: Callable[[set[Path]], None] = lambda _: None,
) -> Generator[FileEvent]:
    """Encode files; each is on disk as soon as it is done, and one bad file stops nothing.

    What the codes file holds already is not done again, wherever it lies now; a changed file replaces its old rows (see
    encoding/sync.py). A long film goes on where an earlier run was killed in it (encoding/begun.py). When the generator
    ends or is closed, what was committed is merged into the one named file.

    Args:
        paths: video files and photos.
        codes_path: the file the user names; created when there is something to put into it.
        network: detector, backbone, hash layers.
        options: what is kept of every file, and how it is decoded.
        prune: drop the codes of files that are gone; see `gone_files`.
        roots: the folders and files where a known file that is gone is reported, and dropped.
        workers: files at a time; more than one: in processes of their own. The codes do not depend on it.
        cluster: encode on its workers instead; nor do they depend on that.
        on_step: called after every look.
        on_plan: called once, with the files that will probably be encoded.

    Raises:
        UsageError, ShardError: as `frame_choice`; UsageError also for less than one worker.
        MissingExtraError, UsageError, ClusterError: as `encode_on`.
        ShardError: the codes file is another model's, damaged, or being written by another process.
    """
    if workers < 1:
        raise UsageError(f"workers {workers}: expected at least one")
    with lock(codes_path):
        tag = frame_choice(codes_path, network, options.frame_codes)
        options = replace(options, frame_codes=tag.frame_codes)
        plan = make_plan(paths, codes_path, tag, options.thumbnails)
        tidy_begun(codes_path, tag, options)
        begun = begun_files(codes_path)
        on_plan(waiting(plan, paths))
        tried: dict[Path, str | None] = {}

        def step(done: Step | Begun) -> None:
            if isinstance(done, Begun):
                keep_begun(codes_path, done)
                begun.add(begun_path(codes_path, done.path))
            else:
                on_step(done)

        try:
            results: Generator[tuple[Path, Result]]
            if cluster is not None:
                from dhhcli.encoding.on_cluster import encode_on

                results = encode_on(cluster, _jobs(paths, plan, codes_path), network, options, step)
            elif workers == 1:
                results = _in_turn(_jobs(paths, plan, codes_path), network, options, step)
            else:
                from dhhcli.encoding.workers import in_parallel

                results = in_parallel(_jobs(paths, plan, codes_path), network, options, workers, step)
            with closing(results):
                for path, result in results:
                    if isinstance(result, EncodedVideo):
                        result = without_forgotten(result, plan.tombstones)
                        commit(codes_path, tag, result)
                    if begun and not isinstance(result, Skipped):
                        begun_path(codes_path, path).unlink(missing_ok=True)
                    tried[recorded_path(path)] = result.reason if isinstance(result, Skipped) else None
                    yield encoded(path, result) if isinstance(result, EncodedVideo) else result
            yield from gone_files(plan, codes_path, roots, prune=prune)
        finally:
            finish(codes_path, tag)
            erase_leftovers(plan, codes_path, tag)
            note_skipped(codes_path, tried)


def _jobs(paths: Sequence[Path], plan: SyncPlan, codes_path: Path) -> Iterator[Job | Decided]:
    """What there is to encode, and of the rest why not."""
    for path in paths:
        decided = decide(plan, path)
        if isinstance(decided, str):
            forgetful = any_forgotten(decided, plan.tombstones)
            yield Job(path, decided, None if forgetful else begun_path(codes_path, path))
        else:
            yield decided


def _in_turn(
    items: Iterator[Job | Decided], network: Network, options: EncodeOptions, on_step: OnStep
) -> Generator[tuple[Path, Result]]:
    for item in items:
        if isinstance(item, Job):
            yield item.path, encode_file(item, network, options, on_step=on_step)
        else:
            yield item.path, item


def default_workers(files: int) -> int:
    """Files at a time: one for two cores, which is what decoding and looking at one film keep busy."""
    return max(1, min(files, (os.cpu_count() or 1) // 2))


def weights_for(codes_path: Path, name: str | None) -> str | None:
    """Which weights to add with: the named ones, else the shipped ones that made the codes file, if there are any.

    Raises:
        ShardError: the file is damaged.
    """
    if name is not None:
        return name
    try:
        with open_shard(codes_path) as shard:
            return shipped_as(shard.tag.fingerprint)
    except MissingPathError:
        return None
