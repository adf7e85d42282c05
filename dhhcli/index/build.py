"""build: codes file -> index file and its record, built anew or brought up to date; and what its figures are."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.atomic_write import write_atomically, write_stream_atomically
from dhhcli.errors import IndexFileError
from dhhcli.index import ivf, ivf_file
from dhhcli.index.ivf_file import Lists
from dhhcli.index.lookup import (
    FORMAT,
    FORMAT_VERSION,
    IndexInfo,
    Kind,
    codes_in,
    flat_head,
    index_paths,
    kind_of_file,
    read_info,
    read_lists_of,
)
from dhhcli.models.binary_codes import code_bytes
from dhhcli.storage.codes_file import Shard, lock, open_shard, remove_unfinished

if TYPE_CHECKING:
    from numpy.random import Generator


FLAT_UP_TO: Final = 20_000_000  # tracks that are compared one by one in a twentieth of a second


def build(
    codes_path: Path,
    kind: Kind | None,
    rng: "Generator",
    nlist: int | None = None,
    nprobe: int | None = None,
    *,
    again: bool = False,
) -> tuple[IndexInfo, str]:
    """Bring the index of a codes file up to date, or build it; and what was done, in words.

    kind: None is the one that is there, else "flat" up to FLAT_UP_TO tracks. "ivf" clusters the codes into `nlist`
    lists (default: near 2 sqrt(n)) and looks into `nprobe` of them (default: the fewest with a recall of 0.99 at 20,
    see `ivf.probes`). The lists of an older index of the same kind are kept: codes of videos that it does not know go
    where they belong, those of other videos go; unless `again`, `nlist` is given, or there are more than twice or less
    than half as many tracks as when the lists were made. `rng` draws what is clustered and measured.

    The lock is held: an index of codes that are forgotten meanwhile would bring them back.

    Raises ShardError and MissingPathError as `open_shard`, ShardError where the codes are being written,
    IndexFileError when it cannot be written or built.
    """
    file, record = index_paths(codes_path)
    open_shard(codes_path).close()  # before the lock leaves its file beside a name that was mistyped
    with lock(codes_path), open_shard(codes_path) as shard:
        remove_unfinished(codes_path)
        kind = kind or _kind_there(codes_path) or ("flat" if len(shard) <= FLAT_UP_TO else "ivf")
        old = None if again or nlist or kind == "flat" else _older(codes_path, shard)
        if kind == "ivf":
            plan, how = _lists_for(codes_path, shard, old, rng, nlist, nprobe)
        else:
            plan, how = None, "built"
        found: dict[str, Any] = {}

        def write(stream: IO[bytes]) -> None:
            if plan:
                videos = ivf_file.videos_of(shard.pieces)
                found["head"] = ivf_file.write_lists(
                    stream, plan.centres, plan.nprobe, codes_in(shard), plan.owners, videos
                )
            else:
                found["head"] = _write_flat(stream, shard)
            found["size"] = stream.tell()

        try:
            record.unlink(missing_ok=True)
            write_stream_atomically(file, write)
            info = IndexInfo(
                kind,
                len(shard),
                shard.tag.bits,
                shard.tag.fingerprint,
                shard.content,
                found["size"],
                found["head"],
                *((len(plan.centres), plan.nprobe, plan.recall, plan.clustered) if plan else (1, 1, 1.0, 0)),
            )
            words = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(info)}
            write_atomically(record, json.dumps(words, indent=2).encode() + b"\n")
        except OSError as error:
            raise IndexFileError(f"{file}: cannot be written ({error}); free space or search without index") from error
    return info, how


@dataclass(frozen=True, eq=False)
class _Plan:
    """What an ivf index is written from."""

    centres: NDArray[np.uint8]  # (L, B)
    owners: NDArray[np.int32]  # (n,)
    nprobe: int
    recall: float
    clustered: int


def _lists_for(
    codes_path: Path,
    shard: Shard,
    old: tuple[IndexInfo, Lists] | None,
    rng: "Generator",
    nlist: int | None,
    nprobe: int | None,
) -> tuple[_Plan, str]:
    n, codes = len(shard), codes_in(shard)
    if n < ivf.LEAST:
        raise IndexFileError(f"{codes_path}: {n} tracks are too few for ivf; use flat, or no index at all")
    if old:
        info, there = old
        owners, new = ivf.kept_owners(there, ivf_file.videos_of(shard.pieces))
        centres, clustered = there.centres.copy(), info.clustered
        added = sum(last - first for first, last in new)
        how = f"updated: {added} tracks added, {info.n + added - n} removed"
    else:
        centres = ivf.cluster(codes, max(1, min(nlist or ivf.list_count(n), n // ivf.LEAST)), rng)
        owners, new, clustered, how = np.empty(n, np.int32), [(0, n)], n, "built"
    ivf.assign(codes, centres, owners, new)
    return _Plan(centres, owners, *ivf.probes(codes, centres, owners, rng, nprobe), clustered), how


def _older(codes_path: Path, shard: Shard) -> tuple[IndexInfo, Lists] | None:
    """An ivf index whose lists can be kept; None where there is none, whatever is wrong with it."""
    try:
        info = read_info(codes_path)
        if info is None or info.kind != "ivf" or (info.bits, info.model) != (shard.tag.bits, shard.tag.fingerprint):
            return None
        if not info.clustered / 2 <= len(shard) <= info.clustered * 2:
            return None
        there = read_lists_of(codes_path, info)
        ivf_file.owners_of(there)
    except (IndexFileError, ValueError):
        return None
    return info, there


def _kind_there(codes_path: Path) -> Kind | None:
    """Of the index that is there, also where a run that was cut off has left no record of it."""
    try:
        info = read_info(codes_path)
    except IndexFileError:
        return None
    return info.kind if info else kind_of_file(codes_path)


def _write_flat(stream: IO[bytes], shard: Shard) -> str:
    """All codes as faiss's IndexBinaryFlat; the hash of what comes before them."""
    head = flat_head(len(shard), code_bytes(shard.tag.bits))
    stream.write(head)
    for piece in shard.code_pieces:
        stream.write(np.ascontiguousarray(piece).data)
    return hashlib.sha256(head).hexdigest()
