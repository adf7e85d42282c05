"""index: codes (n, B) -> FAISS binary index; queries (q, B) -> distances (q, k), track ids (q, k).

An index is derived data beside the codes file, `<codes>.faiss` and its record `<codes>.faiss.json`, and can be
thrown away at any time: both search functions also take the bare memory-mapped codes (`flat.py`), exactly and about
as fast up to some ten million tracks. The record goes first and comes last, so an index without its record was never
finished.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from . import flat
from .errors import IndexFileError
from .files import write_atomically
from .flat import Allowed, Pieces
from .shards import Shard, open_shard

FORMAT: Final = "dhh-index"
FORMAT_VERSION: Final = 1
MAGIC: Final = {"flat": b"IBxF", "ivf": b"IBwF"}  # first bytes of the two kinds of file we write
RECALL_AT: Final = 20
RECALL_WANTED: Final = 0.99
TRACKS_PER_LIST: Final = 39  # fewer training points per list make faiss complain, rightly

Kind = Literal["flat", "ivf"]
IndexState = Literal["fresh", "stale", "missing"]


@dataclass(frozen=True)
class IndexInfo:
    """The record beside an index."""

    kind: Kind
    n: int  # tracks
    bits: int
    model: str  # SHA-256 (hex) of the weights
    content: str  # Shard.content that it was built from
    size: int  # bytes of the index file
    nlist: int  # 1 for flat
    nprobe: int
    recall: float  # at 20, measured when it was built; 1.0 for flat

    def words(self) -> str:
        """One line for the person who built it."""
        lists = "" if self.kind == "flat" else f", {self.nlist} lists of which {self.nprobe} are searched"
        return f"{self.kind} index of {self.n} codes, {self.size:,} bytes{lists}, recall@20 {self.recall:.4f}"


@dataclass(frozen=True, eq=False)
class Index:
    """An opened index: exact for "flat", for "ivf" what `info.nprobe` of the lists hold."""

    info: IndexInfo
    faiss_index: Any


# Where to search: codes (n, B), memory-mapped or not, in one piece or several, or an index of them.
Source = NDArray[np.uint8] | Pieces | Index


def index_paths(codes_path: Path) -> tuple[Path, Path]:
    """The index file and its record."""
    return codes_path.with_name(f"{codes_path.name}.faiss"), codes_path.with_name(f"{codes_path.name}.faiss.json")


def build(
    codes_path: Path,
    kind: Kind,
    rng: "np.random.Generator",  # a string: numpy loads its generators when they are named, in 10 ms
    nlist: int | None = None,
    nprobe: int | None = None,
) -> IndexInfo:
    """Build the index of a codes file, replacing the one there.

    "ivf" clusters the codes into `nlist` lists (default 4 sqrt(n)) and looks into `nprobe` of them (default:
    the smallest power of two with a recall of 0.99). Recall at 20 is measured on up to 200 tracks of the
    shard with one bit in ten flipped, ties counted as found. `rng` draws the training sample and these
    queries. Raises ShardError and MissingPathError as `open_shard`, IndexFileError when it cannot be written
    or built.
    """
    from .faissbinary import faiss

    with open_shard(codes_path) as shard:
        codes = np.ascontiguousarray(shard.codes)
        n, width = codes.shape
        recall = 1.0
        if kind == "flat":
            built: Any = faiss.IndexBinaryFlat(8 * width)
            built.add(codes)
            nlist = nprobe = 1
        else:
            if n < TRACKS_PER_LIST:
                raise IndexFileError(f"{codes_path}: {n} tracks are too few for ivf; use flat, or no index at all")
            nlist = max(1, min(nlist or int(4 * n**0.5), n // TRACKS_PER_LIST))
            built = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(8 * width), 8 * width, nlist)
            sample = rng.choice(n, min(n, 64 * nlist), replace=False)  # training holds floats: 32 times the codes
            built.train(codes[np.sort(sample)])
            built.add(codes)
            nprobe, recall = _probes(built, codes, rng, nlist, nprobe)
        data = faiss.serialize_index_binary(built).tobytes()  # written here: faiss says nothing on a full disk
        info = IndexInfo(
            kind, n, shard.tag.bits, shard.tag.fingerprint, shard.content, len(data), nlist, nprobe, recall
        )
    file, record = index_paths(codes_path)
    words = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(info)}
    try:
        record.unlink(missing_ok=True)
        write_atomically(file, data)
        write_atomically(record, json.dumps(words, indent=2).encode() + b"\n")
    except OSError as error:
        raise IndexFileError(f"{file}: cannot be written ({error}); free space or search without index") from error
    return info


def remove_index(codes_path: Path) -> None:
    """Remove the index, if there is one: it holds every code that it was built from."""
    for path in index_paths(codes_path)[::-1]:
        path.unlink(missing_ok=True)


def fresh(codes_path: Path, shard: Shard) -> IndexState:
    """Whether the index beside `codes_path` was made of exactly this shard.

    Looks at the record only. Raises IndexFileError when that is not one of ours.
    """
    info = _read_info(codes_path)
    if info is None:
        return "missing"
    return "fresh" if (info.content, info.n) == (shard.content, len(shard)) else "stale"


def open_index(codes_path: Path, shard: Shard) -> Index:
    """Load the index of `shard`. Raises IndexFileError when it is missing, stale, damaged or foreign."""
    from .faissbinary import faiss

    file, _ = index_paths(codes_path)
    info = _read_info(codes_path)
    if info is None:
        raise IndexFileError(f"{file}: no index; make one with `dhh index`, or search without")
    if (info.content, info.n) != (shard.content, len(shard)):
        raise IndexFileError(f"{file}: made from other codes; make it again with `dhh index`")
    try:
        data = file.read_bytes()
        if len(data) != info.size or data[:4] != MAGIC[info.kind]:
            raise IndexFileError(f"{file}: damaged (not the {info.size} bytes written); run `dhh index` again")
        # Without a limit, a header that claims 12 GiB costs 12 GB before anything is read.
        faiss.set_deserialization_vector_byte_limit(len(data) + 1)
        loaded: Any = faiss.deserialize_index_binary(np.frombuffer(data, np.uint8))
    except (OSError, RuntimeError) as error:
        raise IndexFileError(f"{file}: damaged or unreadable; make it again with `dhh index`") from error
    if (loaded.d, loaded.ntotal) != (8 * shard.codes.shape[1], len(shard)):
        raise IndexFileError(f"{file}: holds other codes than its record says; run `dhh index` again")
    if info.kind == "ivf":
        loaded.nprobe = info.nprobe
    return Index(info, loaded)


def nearest(
    source: Source, queries: NDArray[np.uint8], k: int, allowed: Allowed | None = None
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The k nearest tracks of queries (q, B) by (Hamming distance, track id): distances (q, k), ids (q, k).

    `allowed` restricts what may be found: a mask (n,) bool, or id ranges [first, last) (r, 2) int64, rising and
    apart. With k > n there are n columns. Rows end in id -1 at distance 2^31 - 1 where fewer than k are allowed,
    or where the probed lists of an ivf index hold fewer. Raises ValueError for queries of another width.
    """
    n = _checked(source, queries)
    k = min(k, n)
    if k == 0 or len(queries) == 0:
        return np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.int64)
    queries = np.ascontiguousarray(queries)
    if not isinstance(source, Index):
        return flat.nearest(_pieces(source), queries, k, allowed)
    mask = _mask(allowed, n)
    if mask is not None:
        return _nearest_allowed(source, queries, k, mask)
    _use_threads(len(queries))
    distances, ids = source.faiss_index.search(queries, k)
    if source.info.kind == "ivf":
        _settle_ties(source, queries, distances, ids)
    return distances, ids


def all_within(
    source: Source, query: NDArray[np.uint8], radius: int, allowed: Allowed | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """All tracks at Hamming distance <= radius of one query (B,): ids (m,) rising, distances (m,).

    Only `allowed` ones, see `nearest`. Exact, but for an ivf index, which sees its probed lists only. Raises
    ValueError for another width.
    """
    queries = np.ascontiguousarray(query)[None]
    n = _checked(source, queries)
    if n == 0:
        return np.empty(0, np.int64), np.empty(0, np.int32)
    if not isinstance(source, Index):
        return flat.all_within(_pieces(source), queries[0], radius, allowed)
    _use_threads(1)
    _, distances, ids = source.faiss_index.range_search(queries, radius + 1)  # theirs is exclusive
    mask = _mask(allowed, n)
    if mask is not None:
        kept = mask[ids]
        ids, distances = ids[kept], distances[kept]
    order = np.argsort(ids)
    return ids[order], distances[order].astype(np.int32)


def _nearest_allowed(
    source: Index, queries: NDArray[np.uint8], k: int, mask: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """As `nearest`: looks in growing circles, since faiss's binary indexes take no filter."""
    distances = np.full((len(queries), k), flat.NOTHING, np.int32)
    ids = np.full((len(queries), k), -1, np.int64)
    for row, query in enumerate(queries):
        wanted = min(k, int(mask.sum()))
        radius, widest = 8, 8 * queries.shape[1]
        found, near = all_within(source, query, radius, mask)
        while len(found) < wanted and radius < widest:
            radius = min(widest, 2 * radius)
            found, near = all_within(source, query, radius, mask)
        order = np.argsort(near, kind="stable")[:k]
        distances[row, : len(order)], ids[row, : len(order)] = near[order], found[order]
    return distances, ids


def _pieces(source: NDArray[np.uint8] | Pieces) -> Pieces:
    return [source] if isinstance(source, np.ndarray) else source


def _mask(allowed: Allowed | None, n: int) -> NDArray[np.bool_] | None:
    return None if allowed is None else flat.mask_of(allowed, n)


def _checked(source: Source, queries: NDArray[np.uint8]) -> int:
    """How many tracks there are, once everything is what a search takes for granted."""
    if isinstance(source, Index):
        n, width = source.info.n, source.faiss_index.d // 8
    else:
        pieces = _pieces(source)
        n, width = sum(len(piece) for piece in pieces), pieces[0].shape[1] if pieces else queries.shape[-1]
        for piece in pieces:
            if piece.dtype != np.uint8 or piece.ndim != 2 or piece.shape[1] != width or not piece.flags.c_contiguous:
                raise ValueError("codes are contiguous uint8 of one width")
    if queries.dtype != np.uint8 or queries.ndim != 2 or queries.shape[1] != width:
        raise ValueError(f"queries (q, {width}) uint8 expected, not {queries.shape} {queries.dtype}")
    return n


def _use_threads(queries: int) -> None:
    from .faissbinary import faiss

    # A second thread gains nothing on one query and, on a busy machine, costs a second.
    faiss.omp_set_num_threads(1 if queries < 16 else max(1, (os.cpu_count() or 1)))


def _settle_ties(
    source: Index, queries: NDArray[np.uint8], distances: NDArray[np.int32], ids: NDArray[np.int64]
) -> None:
    """Of the tracks tied at the last place, an ivf index returns any: take those of lowest id, in place."""
    for row, query in enumerate(queries):
        k = int((ids[row] >= 0).sum())
        if k:
            all_ids, all_distances = all_within(source, query, int(distances[row, k - 1]))
            order = np.argsort(all_distances, kind="stable")[:k]
            distances[row, :k], ids[row, :k] = all_distances[order], all_ids[order]


def _probes(
    built: Any, codes: NDArray[np.uint8], rng: "np.random.Generator", nlist: int, nprobe: int | None
) -> tuple[int, float]:
    """nprobe (the smallest power of two that reaches RECALL_WANTED unless given) and its recall."""
    k = min(RECALL_AT, len(codes))
    queries = codes[rng.choice(len(codes), min(200, len(codes)), replace=False)]
    queries = queries ^ np.packbits(rng.random((len(queries), 8 * codes.shape[1])) < 0.1, axis=1)
    farthest = nearest(codes, queries, k)[0][:, -1:]
    tried = [min(nprobe, nlist)] if nprobe else [*(2**i for i in range(nlist.bit_length()) if 2**i < nlist), nlist]
    recall = 0.0
    for probes in tried:
        built.nprobe = probes
        recall = float((built.search(queries, k)[0] <= farthest).mean())
        if recall >= RECALL_WANTED:
            return probes, recall
    return tried[-1], recall


def _read_info(codes_path: Path) -> IndexInfo | None:
    """The record, or None without one. Raises IndexFileError for anything that is not a record of ours."""
    file, record = index_paths(codes_path)
    try:
        words = json.loads(record.read_bytes())
        if words.pop("format") != FORMAT or words.pop("format_version") != FORMAT_VERSION:
            raise ValueError("another format")
        info = IndexInfo(**words)
        numbers = (info.n, info.bits, info.size, info.nlist, info.nprobe)
        if info.kind not in MAGIC or not all(type(number) is int for number in numbers):
            raise ValueError("another kind")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise IndexFileError(f"{record}: not an index record of this dhh; make it again with `dhh index`") from error
    return info if file.exists() else None
