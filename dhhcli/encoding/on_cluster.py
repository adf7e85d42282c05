"""on_cluster: files -> EncodedVideo of each (shots, tracks, codes (t, B)), a Dask task a file, on several machines.

Workers read the films themselves, at the same path or where `Mapping` says, and send back rows, codes and small
pictures, kilobytes a film. Everything is committed by the process that asks, as on one machine, so what survives a kill
of anybody is what is committed, and the same command does the rest. A file that two workers died of is skipped.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dhhcli.base.cluster import connect, differing, facts, lost, no_workers, threads_of
from dhhcli.encoding.events import Skipped, Step
from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.video import Decided, Job, Result, encode_file
from dhhcli.errors import ClusterError, UsageError
from dhhcli.models.network import Network, load_network
from dhhcli.models.weights import shipped_as
from dhhcli.storage.record import EncodedVideo, content_fingerprint, recorded_path

if TYPE_CHECKING:
    from distributed import Client, Future

EVERY: Final = 0.5  # seconds between two words of a worker about how far it is
LOOK: Final = 1.0  # seconds between two looks at the cluster
ALONE: Final = 30.0  # seconds without a worker, or a scheduler, after which nobody is waited for


@dataclass(frozen=True)
class Mapping:
    """Where workers find what lies below a folder here."""

    here: Path
    there: Path


def parse_mapping(word: str) -> Mapping:
    """``/mnt/a=/data/a``. Raises UsageError for anything else."""
    here, equals, there = word.partition("=")
    if not equals or not Path(here).is_absolute() or not Path(there).is_absolute():
        raise UsageError(f"--map {word}: expected HERE=THERE, two absolute folders: /mnt/films=/data/films")
    return Mapping(Path(here), Path(there))


def path_there(path: Path, mappings: tuple[Mapping, ...]) -> Path:
    """Where a worker finds a file: by the mapping of the longest folder that holds it, else at the same path."""
    path = path if path.is_absolute() else Path.cwd() / path
    fitting = [mapping for mapping in mappings if path.is_relative_to(mapping.here)]
    if not fitting:
        return path
    best = max(fitting, key=lambda mapping: len(mapping.here.parts))
    return best.there / path.relative_to(best.here)


@dataclass(frozen=True)
class Cluster:
    """Where the workers are, and where they find the files."""

    where: str  # address, or local:N
    mappings: tuple[Mapping, ...] = ()


@dataclass(frozen=True)
class Terms:
    """What every task of a run has in common; it goes to the workers."""

    weights: str  # name of shipped weights, or path of a record there
    fingerprint: str
    options: EncodeOptions
    facts: dict[str, str]
    topic: str  # under which steps are told


class _UnlikeError(Exception):
    """A worker is another dhh, or has other weights: it goes to the client in place of a result."""


def encode_there(path: Path, fingerprint: str, terms: Terms) -> EncodedVideo | Skipped:
    """What a worker does: encode a file that it reads itself.

    Raises:
        _UnlikeError: it would make other codes than the machine that asks.
    """
    from distributed import get_worker

    worker = get_worker()
    difference = differing(terms.facts, facts())
    if difference:
        raise _UnlikeError(f"worker {worker.address} {difference}; install the same there, and start it again")
    try:
        found = content_fingerprint(path)
    except OSError as error:
        return Skipped(path, f"worker {worker.address} cannot read it ({error.strerror}); --map says where it lies")
    if found != fingerprint:
        return Skipped(path, f"worker {worker.address} finds another file there; --map says where it lies")
    told = time.monotonic()

    def tell(step: Step) -> None:
        nonlocal told
        if time.monotonic() - told >= EVERY:
            told = time.monotonic()
            worker.log_event(terms.topic, {"path": str(step.path), "seconds": step.seconds, "of": step.duration})

    return encode_file(Job(path, fingerprint), _network(terms, worker.address), terms.options, on_step=tell)


_loaded = threading.local()  # a network for each thread of a worker: it is not made to be shared


def _network(terms: Terms, address: str) -> Network:
    if getattr(_loaded, "weights", None) != (terms.weights, terms.fingerprint):
        network = load_network(terms.weights, film=True)
        if network.tag.fingerprint != terms.fingerprint:
            raise _UnlikeError(
                f"worker {address} has other weights {terms.weights} ({network.tag.fingerprint[:12]}, here "
                f"{terms.fingerprint[:12]}); copy them there"
            )
        _loaded.network, _loaded.weights = network, (terms.weights, terms.fingerprint)
    found: Network = _loaded.network
    return found


def encode_on(
    cluster: Cluster,
    items: Iterator[Job | Decided],
    network: Network,
    options: EncodeOptions,
    on_step: Callable[[Step], None],
) -> Generator[tuple[Path, Result], None, None]:
    """Results as they are done; items that are no jobs are passed through. As many files at a time as there are
    threads of workers, so that nobody who is killed takes more files along than it worked on.

    Raises:
        MissingExtraError, UsageError, ClusterError: as ``connect``; ClusterError also when a worker turns out to be
            another dhh, or everybody went away.
    """
    with connect(cluster.where) as client:
        news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        terms = Terms(
            shipped_as(network.tag.fingerprint) or str(path_there(network.weights.record_path, cluster.mappings)),
            network.tag.fingerprint,
            replace(options, threads=options.threads or _decoder_threads(client)),
            facts(),
            f"dhh-{os.getpid()}-{time.monotonic_ns()}",
        )
        client.subscribe_topic(terms.topic, lambda event: news.put(event[1]))
        running: dict[Future, Path] = {}
        at: dict[str, Path] = {}  # path there -> path here
        room, more, seen, looked = threads_of(client), True, time.monotonic(), time.monotonic()
        while more or running:
            while more and len(running) < room:
                item = next(items, None)
                if item is None:
                    more = False
                elif isinstance(item, Job):
                    there = path_there(item.path, cluster.mappings)
                    at[str(there)] = item.path
                    future = client.submit(encode_there, there, item.fingerprint, terms, pure=False)
                    running[future] = item.path
                    future.add_done_callback(news.put)
                else:
                    yield item.path, item
            try:
                event = news.get(timeout=LOOK) if running or more else None
            except queue.Empty:
                event = None
            if isinstance(event, dict):
                if event["path"] in at:
                    on_step(Step(at[event["path"]], event["seconds"], event["of"]))
            elif event is not None and event in running:
                path = running.pop(event)
                yield path, _result(event, path, cluster)
            if (now := time.monotonic()) - looked >= LOOK:
                looked, there_are = now, _room(client)
                room, seen = (there_are, now) if there_are else (room, seen)
                if now - seen > ALONE:
                    raise no_workers(cluster.where, now - seen)


def _room(client: "Client") -> int:
    """Tasks that can be worked on now; 0 where nobody can be asked."""
    if client.status != "running":
        return 0
    try:
        return threads_of(client)
    except (OSError, TimeoutError):
        return 0


def _decoder_threads(client: "Client") -> int:
    """For each film: the processors of a machine, shared by what it encodes at once."""
    hosts: dict[str, int] = {}
    for address, count in client.nthreads().items():
        host = address.rpartition(":")[0]
        hosts[host] = hosts.get(host, 0) + count
    return max(1, (os.cpu_count() or 1) // max(hosts.values(), default=1))


def _result(future: "Future", path: Path, cluster: Cluster) -> Result:
    """What became of a file, as if it had been encoded here. Raises ClusterError."""
    from distributed import KilledWorker

    if future.cancelled():
        raise lost(cluster.where, "the scheduler went away")
    try:
        made = future.result()
    except KilledWorker:
        return Skipped(path, "the workers that encoded it died, two of them: damaged file, or out of memory")
    except _UnlikeError as error:
        raise ClusterError(f"{cluster.where}: {error}") from error
    except Exception as error:
        raise lost(cluster.where, f"a worker failed ({type(error).__name__}: {' '.join(str(error).split())[:200]})") from error
    finally:
        future.release()
    if isinstance(made, Skipped):
        return replace(made, path=path)
    try:
        stat = path.stat()
    except OSError as error:
        return Skipped(path, error.strerror or str(error))
    record = replace(made.video, path=recorded_path(path), size=stat.st_size, mtime_ns=stat.st_mtime_ns)
    return replace(made, video=record)
