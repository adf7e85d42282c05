"""lookup: codes (n, B) -> index file and record; queries (q, B) -> distances (q, k), track ids (q, k).

An index is derived data beside the codes file, `<codes>.faiss` and its record `<codes>.faiss.json`, and can be thrown
away at any time: both search functions also take the bare memory-mapped codes (`flat.py`), exactly, and at once up to
some ten million tracks. Beyond, "ivf" looks into the lists nearest to the query (`ivf_file.py`). Both kinds are files
that faiss reads too; here they are mapped and searched without it. The record goes first and comes last, so an index
without its record was never finished.
"""

import json
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from dhhcli.errors import IndexFileError
from dhhcli.index import flat, ivf_file
from dhhcli.index.flat import Allowed, Queries
from dhhcli.index.ivf_file import HAMMING, HEADER, LENGTH, Lists
from dhhcli.models.binary_codes import Pieces, SoftCodes, code_bytes
from dhhcli.storage.codes_file import Shard

FORMAT: Final = "dhh-index"
FORMAT_VERSION: Final = 2  # 1 had no digests of videos, and no hash
KINDS: Final = ("flat", "ivf")
MAX_RECORD: Final = 1 << 16  # bytes
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
    head: str  # SHA-256 (hex) of its bytes but for codes and ids
    nlist: int  # 1 for flat
    nprobe: int
    recall: float  # at 20, measured when it was built; 1.0 for flat
    clustered: int  # how many tracks there were when the lists were made anew; 0 for flat

    def words(self) -> str:
        """One line for the person who built it."""
        found = "" if self.kind == "flat" else f", {self.nlist} lists of which {self.nprobe} are searched"
        return f"{self.kind} index of {self.n} codes, {self.size:,} bytes{found}, recall@20 {self.recall:.4f}"


@dataclass(frozen=True, eq=False)
class Index:
    """An opened index: exact for "flat", for "ivf" what `info.nprobe` of the lists hold."""

    info: IndexInfo
    path: Path
    pieces: Pieces  # all codes: out of the index for "flat", the shard's for "ivf"
    lists: Lists | None
    gpu: Any = None  # the codes on a CUDA device, see index/gpu.py
    weighed: bool = False  # whether the device holds them for weighed distances


# Where to search: codes (n, B), memory-mapped or not, in one piece or several, or an index of them.
Source = NDArray[np.uint8] | Pieces | Index


def index_paths(codes_path: Path) -> tuple[Path, Path]:
    """The index file and its record: beside the codes file itself, however it is reached, so that there is one."""
    home = codes_path.resolve()
    return home.with_name(f"{home.name}.faiss"), home.with_name(f"{home.name}.faiss.json")


def flat_head(n: int, width: int) -> bytes:
    """What faiss writes before the n codes of an IndexBinaryFlat."""
    return bytes(HEADER.pack(b"IBxF", 8 * width, width, n, 1, HAMMING) + LENGTH.pack(n * width))


def remove_index(codes_path: Path) -> None:
    """Remove the index, if there is one: it holds every code that it was built from.

    Also one beside a link to the codes file, where earlier versions put it.
    """
    beside = (codes_path.with_name(f"{codes_path.name}.faiss"), codes_path.with_name(f"{codes_path.name}.faiss.json"))
    for path in (*index_paths(codes_path)[::-1], *beside[::-1]):
        path.unlink(missing_ok=True)


def fresh(codes_path: Path, shard: Shard) -> IndexState:
    """Whether the index beside `codes_path` was made of exactly this shard.

    Looks at the record only. Raises IndexFileError when that is not one of ours.
    """
    info = read_info(codes_path)
    if info is None:
        return "missing"
    return "fresh" if (info.content, info.n) == (shard.content, len(shard)) else "stale"


def open_index(codes_path: Path, shard: Shard) -> Index:
    """Map the index of `shard`. Raises IndexFileError when it is missing, stale, damaged or foreign.

    Everything but codes and ids is checked; of these, that they fit the file.
    """
    file, _ = index_paths(codes_path)
    info = read_info(codes_path)
    if info is None:
        raise IndexFileError(f"{file}: no index; make one with `dhh index`, or search without")
    if (info.content, info.n) != (shard.content, len(shard)):
        raise IndexFileError(f"{file}: made from other codes; make it again with `dhh index`")
    if info.kind == "ivf":
        found = read_lists_of(codes_path, info)
        if (found.width, int(found.sizes.sum())) != (code_bytes(shard.tag.bits), info.n):
            raise IndexFileError(f"{file}: holds other codes than its record says; run `dhh index` again")
        return Index(info, file, shard.code_pieces, found)
    data = _mapped(file, info)
    width = code_bytes(shard.tag.bits)
    head = flat_head(info.n, width)
    if data[: len(head)].tobytes() != head or len(data) != len(head) + info.n * width:
        raise IndexFileError(f"{file}: damaged (not what its record says); run `dhh index` again")
    return Index(info, file, [data[len(head) :].reshape(info.n, width)], None)


def on_gpu(codes_path: Path, shard: Shard, *, weighed: bool = False) -> Index:
    """All codes of `shard` on a CUDA device, for weighed distances or not. Raises DeviceError where there is none."""
    from dhhcli.index.gpu import to_gpu

    width = code_bytes(shard.tag.bits)
    info = IndexInfo("flat", len(shard), shard.tag.bits, shard.tag.fingerprint, shard.content, 0, "", 1, 1, 1.0, 0)
    device = to_gpu(shard.code_pieces, width, weighed=weighed)
    return Index(info, codes_path, shard.code_pieces, None, device, weighed)


def read_lists_of(codes_path: Path, info: IndexInfo) -> Lists:
    file, _ = index_paths(codes_path)
    try:
        found, head = ivf_file.read_lists(_mapped(file, info))
    except ValueError as error:
        raise IndexFileError(f"{file}: damaged ({error}); run `dhh index` again") from error
    if head != info.head or (len(found.centres), found.nprobe) != (info.nlist, info.nprobe):
        raise IndexFileError(f"{file}: damaged (not what its record says); run `dhh index` again")
    return found


def _mapped(file: Path, info: IndexInfo) -> NDArray[np.uint8]:
    """The bytes of an index file, nothing loaded."""
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size != info.size or size == 0:
                raise IndexFileError(f"{file}: damaged (not the {info.size} bytes written); run `dhh index` again")
            return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except (OSError, ValueError) as error:
        raise IndexFileError(f"{file}: damaged or unreadable; make it again with `dhh index`") from error


# ------------------------------------------------------------------------------------------------ searching


def nearest(
    source: Source, queries: Queries, k: int, allowed: Allowed | None = None
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The k nearest tracks of queries (q, B) by (distance, track id): distances (q, k), ids (q, k).

    Distances are Hamming, or weighed where the queries say what their bits cost (`SoftCodes`). `allowed` restricts
    what may be found: a mask (n,) bool, or id ranges [first, last) (r, 2) int64, rising and apart; such a search is
    exact for an ivf index too. With k > n there are n columns. Rows end in id -1 at distance 2^31 - 1 where fewer than
    k are allowed, or where the probed lists of an ivf index hold fewer. Raises ValueError for
    queries of another width, IndexFileError where an index turns out to be damaged.
    """
    n = _checked(source, queries)
    k = min(k, n)
    if k == 0 or len(queries) == 0:
        return np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.int64)
    soft = isinstance(queries, SoftCodes)
    queries = queries if isinstance(queries, SoftCodes) else np.ascontiguousarray(queries)
    if isinstance(source, Index) and source.gpu is not None and source.weighed == soft and allowed is None:
        from dhhcli.index import gpu

        return gpu.nearest(source.gpu, source.pieces, queries, k)
    if isinstance(source, Index) and source.lists and allowed is None:
        try:
            return ivf_file.nearest(source.lists, queries, k)
        except ValueError as error:
            raise _damaged(source, error) from error
    return flat.nearest(_pieces(source), queries, k, allowed)


def all_within(
    source: Source, query: Queries, radius: int, allowed: Allowed | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """All tracks at a distance <= radius of one query (B,), or one `SoftCodes`: ids (m,) rising, distances (m,).

    Only `allowed` ones, see `nearest`, whose errors it raises too. Exact, but for an ivf index without `allowed`,
    which sees its probed lists only.
    """
    query = query if isinstance(query, SoftCodes) else np.ascontiguousarray(query)
    if _checked(source, query if isinstance(query, SoftCodes) else query[None]) == 0:
        return np.empty(0, np.int64), np.empty(0, np.int32)
    if isinstance(source, Index) and source.lists and allowed is None:
        try:
            return ivf_file.all_within(source.lists, query, radius)
        except ValueError as error:
            raise _damaged(source, error) from error
    return flat.all_within(_pieces(source), query, radius, allowed)


def _damaged(index: Index, error: ValueError) -> IndexFileError:
    return IndexFileError(f"{index.path}: damaged ({error}); run `dhh index` again")


def _pieces(source: Source) -> Pieces:
    if isinstance(source, Index):
        return source.pieces
    return [source] if isinstance(source, np.ndarray) else source


def _checked(source: Source, asked: Queries) -> int:
    """How many tracks there are, once everything is what a search takes for granted."""
    pieces, queries = _pieces(source), asked.codes if isinstance(asked, SoftCodes) else asked
    width = pieces[0].shape[1] if pieces else queries.shape[-1]
    for piece in pieces:
        if piece.dtype != np.uint8 or piece.ndim != 2 or piece.shape[1] != width or not piece.flags.c_contiguous:
            raise ValueError("codes are contiguous uint8 of one width")
    if queries.dtype != np.uint8 or queries.ndim != 2 or queries.shape[1] != width:
        raise ValueError(f"queries (q, {width}) uint8 expected, not {queries.shape} {queries.dtype}")
    return sum(len(piece) for piece in pieces)


def read_info(codes_path: Path) -> IndexInfo | None:
    """The record, or None without one. Raises IndexFileError for anything that is not a record of ours."""
    file, record = index_paths(codes_path)
    try:
        with record.open("rb") as stream:
            words = json.loads(stream.read(MAX_RECORD))
        if words.pop("format") != FORMAT or words.pop("format_version") != FORMAT_VERSION:
            raise ValueError("another format")
        info = IndexInfo(**words)
        numbers = (info.n, info.bits, info.size, info.nlist, info.nprobe, info.clustered)
        texts = (info.model, info.content, info.head)
        if info.kind not in KINDS or not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("another kind")
        if not all(isinstance(text, str) for text in texts) or not isinstance(info.recall, float):
            raise ValueError("another type")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise IndexFileError(f"{record}: not an index record of this dhh; make it again with `dhh index`") from error
    return info if file.exists() else None
