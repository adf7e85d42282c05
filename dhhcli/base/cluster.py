"""cluster: `tcp://host:8786` or `local:4` -> a connected Dask client, every worker of which runs this very dhh.

The engine is Dask distributed: it hands out tasks, notices who died, and gives what they worked on to others. Nothing
here queues, retries or speaks a protocol of its own. TLS is Dask's too (docs/guide/scale.md): `tls://host:8786`.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from dhhcli.base.extras import require
from dhhcli.base.interrupts import interrupts_held
from dhhcli.base.runtime import runtime
from dhhcli.base.text import counted
from dhhcli.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from distributed import Client

MOST_LOCAL: Final = 256  # processes
PATIENCE: Final = 10.0  # seconds to wait for a scheduler, and for its first worker
ALLOWED_FAILURES: Final = 0  # workers that may die of a task before who asked is told
AGAIN: Final = "what was finished is kept: the same command does the rest"


@contextmanager
def connect(where: str) -> Iterator["Client"]:
    """A client of the cluster at ``where``: an address, or ``local:N`` for N processes of this machine.

    Raises:
        MissingExtraError: Dask is not installed.
        UsageError: neither an address nor ``local:N``.
        ClusterError: nobody answers there, there is no worker, or one of them is another dhh.
    """
    check_place(where)
    require("cluster", "--cluster")
    import dask
    from distributed import Client, LocalCluster

    for name in [*logging.root.manager.loggerDict]:  # what goes wrong is said here, in one line; each has its own level
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    kind, _, rest = where.partition(":")
    with ExitStack() as stack:
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": ALLOWED_FAILURES}))
        try:
            if kind == "local":
                with interrupts_held():  # its workers, and those that take their place later
                    local = LocalCluster(
                        n_workers=int(rest),
                        threads_per_worker=1,
                        processes=True,
                        dashboard_address=None,  # no port but those that the workers need, all of them on 127.0.0.1
                        host="127.0.0.1",
                        silence_logs=logging.CRITICAL,
                    )
                    stack.enter_context(local)
                    client = stack.enter_context(Client(local))
            else:
                client = stack.enter_context(Client(where, timeout=PATIENCE))
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            what = "cannot be started" if kind == "local" else "no Dask scheduler answers"
            todo = "" if kind == "local" else "; start one: dask scheduler"
            raise ClusterError(f"{where}: {what} ({_first_line(error)}){todo}") from error
        if kind != "local":
            client.run_on_scheduler(_allow_failures)
            check_workers(client, where)
        yield client


def check_place(where: str) -> None:
    """Raises UsageError for what is neither an address nor ``local:N``."""
    kind, _, rest = where.partition(":")
    if kind == "local" and rest.isdecimal() and 1 <= int(rest) <= MOST_LOCAL:
        return
    if kind in ("tcp", "tls", "ws", "wss") and rest.startswith("//") and len(rest) > 2:
        return
    raise UsageError(f"--cluster {where}: expected tcp://HOST:PORT, tls://HOST:PORT, or local:N with N to {MOST_LOCAL}")


def check_workers(client: "Client", where: str) -> None:
    """Raises ClusterError where there is no worker, or one that would make other codes than this machine."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        raise ClusterError(f"{where}: the scheduler has no workers; start some: dask worker {where}") from error
    here = runtime()
    for worker, found in _asked(client, where).items():
        if isinstance(found, ImportError):
            difference = f"has no dhh ({_first_line(found)})"
        elif isinstance(found, dict):
            difference = differing(here, found)
        else:  # it went away; every task asks again
            difference = ""
        if difference:
            raise ClusterError(f"{where}: worker {worker} {difference}; install the same there, and start it again")


def _asked(client: "Client", where: str) -> dict[str, Any]:
    try:
        answers: dict[str, Any] = client.run(runtime, on_error="return")
    except Exception as error:
        raise ClusterError(f"{where}: its workers do not answer ({_first_line(error)}); start them again") from error
    return answers


def differing(here: dict[str, str], there: dict[str, str]) -> str:
    """Words for the first fact that differs; "" where none does."""
    for name, wanted in here.items():
        if there.get(name) != wanted:
            return f"has {name} {there.get(name, 'unknown')}, here it is {wanted}"
    return ""


def threads_of(client: "Client") -> int:
    """How many tasks its workers can do at once."""
    return sum(client.nthreads().values())


def lost(where: str, what: str, todo: str = AGAIN) -> ClusterError:
    """What there is to say when a cluster is no more."""
    return ClusterError(f"{where}: {what}; {todo}")


def no_workers(where: str, seconds: float) -> ClusterError:
    """The same of its workers."""
    return lost(where, f"no worker was left for {counted(round(seconds), 'second')}")


def _allow_failures(dask_scheduler: Any) -> None:
    dask_scheduler.allowed_failures = ALLOWED_FAILURES


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
