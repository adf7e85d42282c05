"""on_cluster: files -> EncodedVideo of each (shots, tracks, codes (t, B)), a Dask task a file, on several machines.

Workers read the films themselves, at the same path or where `--map` says, and send back rows, codes and small
pictures, kilobytes a film. Everything is committed by the process that asks, as on one machine, so what survives a kill
of anybody is what is committed, and the same command does the rest. A file that two workers died of is skipped.
"""

import os
import queue
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dhhcli.base.cluster import connect, differing, lost, no_workers, threads_of
from dhhcli.base.runtime import runtime
from dhhcli.encoding.begun import Begun
from dhhcli.encoding.events import Skipped, Step
from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.video import Decided, Job, OnStep, Result, encode_file
from dhhcli.errors import ClusterError
from dhhcli.media.files.mapping import Cluster, path_there
from dhhcli.models.network import Network, load_network
from dhhcli.models.weights import shipped_as
from dhhcli.storage.record import EncodedVideo, content_fingerprint, recorded_path

if TYPE_CHECKING:
    from distributed import Client, Future

EVERY: Final = 0.5  # seconds between two words of a worker about how far it is
LOOK: Final = 1.0  # seconds between two looks at the cluster
DIED: Final = "the workers that encoded it died, two of them: damaged file, or out of memory"
ALONE: Final = 30.0  # seconds without a worker, or a scheduler, after which nobody is waited for


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
    difference = differing(terms.facts, runtime())
    if difference:
        raise _UnlikeError(f"worker {worker.address} {difference}; install the same there, and start it again")
    try:
        found = content_fingerprint(path)
    except OSError as error:
        return Skipped(path, f"worker {worker.address} cannot read it ({error.strerror}); --map says where it lies")
    if found != fingerprint:
        return Skipped(path, f"worker {worker.address} finds another file there; --map says where it lies")
    told = time.monotonic()

    def tell(step: Step | Begun) -> None:
        nonlocal told
        if isinstance(step, Step) and time.monotonic() - told >= EVERY:
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
    on_step: OnStep,
) -> Generator[tuple[Path, Result], None, None]:
    """Results as they are done; items that are no jobs are passed through.

    As many files at a time as there are threads of workers. Whose worker died is encoded once more at the end, with no
    other file beside it: then it is known which one it was.

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
            runtime(),
            f"dhh-{os.getpid()}-{time.monotonic_ns()}",
        )
        client.subscribe_topic(terms.topic, lambda event: news.put(event[1]))
        running: dict[Future, Job] = {}
        suspects: list[Job] = []
        at: dict[str, Path] = {}  # path there -> path here
        more, room, watch = True, threads_of(client), _Watch(cluster.where)

        def submit(job: Job) -> None:
            there = path_there(job.path, cluster.mappings)
            at[str(there)] = job.path
            future = client.submit(encode_there, there, job.fingerprint, terms, pure=False)
            running[future] = job
            future.add_done_callback(news.put)

        while more or running or suspects:
            while more and len(running) < room:
                item = next(items, None)
                if item is None:
                    more = False
                elif isinstance(item, Job):
                    submit(item)
                else:
                    yield item.path, item
            alone = not more and not running
            if alone and suspects:
                submit(suspects.pop(0))
            if running:
                try:
                    event = news.get(timeout=LOOK)
                except queue.Empty:
                    event = None
                if isinstance(event, dict) and event["path"] in at:
                    on_step(Step(at[event["path"]], event["seconds"], event["of"]))
                elif event in running:
                    job = running.pop(event)
                    result = _result(event, job.path, cluster)
                    if result is not None:
                        yield job.path, result
                    elif alone:
                        yield job.path, Skipped(job.path, DIED)
                    else:
                        suspects.append(job)
            room = watch.room(client, room)


@dataclass(eq=False)
class _Watch:
    """When somebody was last there to work."""

    where: str
    looked: float = field(default_factory=time.monotonic)
    seen: float = field(default_factory=time.monotonic)

    def room(self, client: "Client", before: int) -> int:
        """Tasks that can be worked on at once; asked once in a while. Raises ClusterError after a long time of none."""
        now = time.monotonic()
        if now - self.looked < LOOK:
            return before
        self.looked, found = now, _room(client)
        if found:
            self.seen = now
        elif now - self.seen > ALONE:
            raise no_workers(self.where, now - self.seen)
        return found or before


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


def _result(future: "Future", path: Path, cluster: Cluster) -> EncodedVideo | Skipped | None:
    """What became of a file, as if it had been encoded here; None where its worker died. Raises ClusterError."""
    from distributed import KilledWorker

    if future.cancelled():
        raise lost(cluster.where, "the scheduler went away")
    try:
        made: EncodedVideo | Skipped = future.result()
    except KilledWorker:
        return None
    except _UnlikeError as error:
        raise ClusterError(f"{cluster.where}: {error}") from error
    except Exception as error:
        raise lost(
            cluster.where, f"a worker failed ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error
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
