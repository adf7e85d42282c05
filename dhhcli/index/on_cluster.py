"""on_cluster: searches of codes files (f of them) -> their answers, each by a Dask worker that maps the file itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dhhcli.base.cluster import differing, lost
from dhhcli.base.runtime import runtime
from dhhcli.errors import ClusterError, DhhError
from dhhcli.index.flat import Flat
from dhhcli.index.lookup import codes_in
from dhhcli.index.spread import Answer, Search, Searcher, search_in
from dhhcli.storage.codes_file import open_shard

if TYPE_CHECKING:
    from distributed import Client

PATIENCE: Final = 60.0  # seconds to wait for an answer while workers die and others take their place
OPEN: Final = 64  # files that a worker keeps mapped


@dataclass(frozen=True)
class Place:
    """A codes file as workers find it, and what it has to hold."""

    path: Path
    content: str


def search_there(place: Place, search: Search, here: dict[str, str]) -> Answer:
    """What a worker does. Raises ClusterError where it is another dhh, or finds other codes."""
    difference = differing(here, runtime())
    if difference:
        raise ClusterError(f"a worker {difference}; install the same there, and start it again")
    return search_in(_flat(place), search)


@lru_cache(maxsize=OPEN)
def _flat(place: Place) -> Flat:
    try:
        with open_shard(place.path) as shard:
            if shard.content != place.content:
                raise ClusterError(
                    f"{place.path}: a worker finds other codes there than this machine; --map says where"
                )
            return Flat(codes_in(shard))  # arrays stay valid when the shard is closed
    except ClusterError:
        raise
    except DhhError as error:
        raise ClusterError(f"a worker cannot use it: {error}") from error


def searcher_on(client: "Client", where: str, places: Sequence[Place]) -> Searcher:
    """Who asks the workers: all files at once; whose worker dies is asked of another one."""
    from distributed import wait

    here = runtime()

    def ask(searches: Sequence[Search]) -> list[Answer]:
        # pure=False: what a worker finds today is not an answer for ever
        futures = [client.submit(search_there, places[one.file], one, here, pure=False) for one in searches]
        try:
            if futures:
                wait(futures, timeout=PATIENCE)
            answers: list[Answer] = client.gather(futures)
        except ClusterError as error:
            raise ClusterError(f"{where}: {error}") from error
        except TimeoutError as error:
            raise lost(where, f"no answer for {PATIENCE:.0f} seconds", "ask again") from error
        except Exception as error:
            words = " ".join(str(error).split())[:200]
            raise lost(where, f"a worker failed ({type(error).__name__}: {words})", "ask again") from error
        return answers

    return ask
