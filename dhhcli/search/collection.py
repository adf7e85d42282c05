"""collection: paths of codes files -> Collection: one Shard over all (n tracks), who is who, and where to search."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dhhcli.base.text import counted
from dhhcli.errors import MissingPathError, NamesError
from dhhcli.index.codes import Index
from dhhcli.index.flat import Flat
from dhhcli.index.lookup import codes_in
from dhhcli.index.spread import here, spread
from dhhcli.media.files.mapping import Cluster, path_there
from dhhcli.storage.codes_file import Shard, open_shard
from dhhcli.storage.merge import union
from dhhcli.storage.who.book import cast_of
from dhhcli.storage.who.cast import Cast


@dataclass(frozen=True, eq=False)
class Collection:
    """Codes files that are asked as one."""

    paths: tuple[Path, ...]
    shard: Shard
    index: Index | None  # None: as the one file has it
    notes: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What messages call it."""
        return str(self.paths[0]) if len(self.paths) == 1 else counted(len(self.paths), "codes file")


@contextmanager
def open_collection(paths: Sequence[Path], cluster: Cluster | None = None) -> Iterator[Collection]:
    """Open codes files as one, as `merge` would join them; with a ``cluster`` its workers search them.

    Raises:
        MissingPathError, ShardError: as ``open_shard`` and ``union``.
        MissingExtraError, UsageError, ClusterError: as ``base.cluster.connect``.
    """
    with ExitStack() as stack:
        if len(paths) == 1 and cluster is None:
            yield Collection(tuple(paths), stack.enter_context(open_shard(paths[0])), None)
            return
        shards = [stack.enter_context(open_shard(path)) for path in paths]
        both = union(paths, shards)
        if cluster is None:
            searcher = here([Flat(codes_in(shard)) for shard in shards])
        else:
            from dhhcli.base.cluster import connect
            from dhhcli.index.on_cluster import Place, searcher_on

            client = stack.enter_context(connect(cluster.where))
            there = [path_there(path.resolve(), cluster.mappings) for path in paths]
            places = [Place(path, shard.content) for path, shard in zip(there, shards, strict=True)]
            searcher = searcher_on(client, cluster.where, places)
        runs = [(run.file, run.first, run.tracks) for run in both.runs]
        index = spread(codes_in(both.shard), runs, [len(shard) for shard in shards], searcher)
        yield Collection(tuple(paths), both.shard, index, both.twice)


def cast_or_words(paths: Sequence[Path]) -> tuple[Cast, list[str]]:
    """The same, or words about why that cannot be told: an answer does without."""
    try:
        return cast_of(paths), []
    except NamesError as error:
        return Cast(), [f"{error}; answered without names"]


def codes_files(words: Sequence[Path]) -> tuple[Path, ...]:
    """Paths as they were typed, those with * ? [ that name no file as all that they match, by name; each once.

    Raises MissingPathError for one that matches nothing.
    """
    found: dict[Path, None] = {}
    for word in words:
        matched = [word]
        if not word.exists() and any(letter in str(word) for letter in "*?["):
            matched = sorted(Path(word.anchor or ".").glob(str(word.relative_to(word.anchor))))
            if not matched:
                raise MissingPathError(f"{word}: matches no codes file; encode makes them")
        found |= dict.fromkeys(matched)
    return tuple(found)
