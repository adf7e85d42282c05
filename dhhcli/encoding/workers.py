"""workers: video files -> EncodedVideo of each (shots, tracks, codes (t, B)), several at a time, a process for each.

A process takes one file after another, so a decoder that crashes on a damaged file takes down that file's process
alone: the file is reported, another process takes its place. Everything is committed by the process that started them.
"""

import multiprocessing
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from dhhcli.base.interrupts import interrupts_held
from dhhcli.encoding.begun import Begun
from dhhcli.encoding.events import Skipped, Step
from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.video import Decided, Job, OnStep, Result, encode_file
from dhhcli.models.network import Network, load_network

_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy onnxruntime's and FFmpeg's threads half


def work(connection: Connection, record: str, options: EncodeOptions) -> None:
    """What a process does: encode the files that come over the connection, send steps and results back."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the business of the process that started this one
    try:
        network = load_network(record, film=True)
        while True:
            job = connection.recv()
            connection.send(encode_file(job, network, options, on_step=connection.send))
    except (EOFError, ConnectionError):  # nothing more to do, or nobody to do it for
        return


@dataclass(eq=False, slots=True)
class _Worker:
    """A process and the file it works on."""

    process: multiprocessing.process.BaseProcess
    connection: Connection
    path: Path


def in_parallel(
    items: Iterator[Job | Decided],
    network: Network,
    options: EncodeOptions,
    workers: int,
    on_step: OnStep,
) -> Generator[tuple[Path, Result], None, None]:
    """Results as they are done; items that are no jobs are passed through. Closing it ends the processes at once."""
    threads = options.threads or max(1, (os.cpu_count() or 1) // workers)
    arguments = (str(network.weights.record_path), replace(options, threads=threads))
    crew: list[_Worker] = []
    idle: list[tuple[multiprocessing.process.BaseProcess, Connection]] = []
    try:
        more = True
        while more or crew:
            while more and len(crew) < workers:
                item = next(items, None)
                if item is None:
                    more = False
                elif isinstance(item, Job):
                    crew.append(_handed_over(item, idle, arguments))
                else:
                    yield item.path, item
            if not crew:  # all that was left needed no work: waiting for nobody would never end
                break
            for ready in wait([worker.connection for worker in crew]):
                worker = next(worker for worker in crew if worker.connection is ready)
                try:
                    message = worker.connection.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    crew.remove(worker)
                    yield worker.path, Skipped(worker.path, _epitaph(worker.process.exitcode))
                    continue
                if isinstance(message, (Step, Begun)):
                    on_step(message)
                    continue
                crew.remove(worker)
                idle.append((worker.process, worker.connection))
                yield worker.path, message
    finally:
        for process, connection in [*idle, *((worker.process, worker.connection) for worker in crew)]:
            connection.close()
            process.terminate()
            process.join()


def _handed_over(
    job: Job, idle: list[tuple[multiprocessing.process.BaseProcess, Connection]], arguments: tuple[str, EncodeOptions]
) -> _Worker:
    """Give a file to a process that has nothing to do, or to a new one."""
    while idle:
        process, connection = idle.pop()
        with suppress(OSError):  # it was killed meanwhile, perhaps because memory was short
            connection.send(job)
            return _Worker(process, connection, job.path)
        connection.close()
        process.join()
    process, connection = _start(arguments)
    with suppress(OSError):  # it is dead already: that is seen where its answer is waited for
        connection.send(job)
    return _Worker(process, connection, job.path)


def _start(arguments: tuple[str, EncodeOptions]) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=work, args=(theirs, *arguments), daemon=True)
    with interrupts_held():
        process.start()
    theirs.close()  # so that the end of the process is the end of the connection
    return process, ours


def _epitaph(exit_code: int | None) -> str:
    how = f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"
    return f"the process that encoded it ended ({how}): damaged file, or out of memory"
