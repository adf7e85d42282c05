"""lookup: codes file -> the index beside it, or one on a device: where to search its codes (n, B).

An index is derived data beside the codes file, `<codes>.faiss` and its record `<codes>.faiss.json`, and can be thrown
away at any time: the bare memory-mapped codes are an index too (`flat.Flat`), exactly, and at once up to some ten
million tracks. Beyond, "ivf" looks into the lists nearest to the query (`ivf_file.py`). Both kinds are files
that faiss reads too; here they are mapped and searched without it. The record goes first and comes last, so an index
without its record was never finished.
"""

import json
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dhhcli.errors import IndexFileError
from dhhcli.index import ivf_file
from dhhcli.index.codes import Codes, Index, codes_of
from dhhcli.index.flat import Flat
from dhhcli.index.ivf_file import HAMMING, HEADER, LENGTH, Lists, Probed
from dhhcli.models.binary_codes import code_bytes
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


def codes_in(shard: Shard) -> Codes:
    """All codes of a shard."""
    return codes_of(shard.code_pieces, code_bytes(shard.tag.bits))


def open_index(codes_path: Path, shard: Shard) -> Flat | Probed:
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
        return Probed(found, codes_in(shard), file)
    data = _mapped(file, info)
    width = code_bytes(shard.tag.bits)
    head = flat_head(info.n, width)
    if data[: len(head)].tobytes() != head or len(data) != len(head) + info.n * width:
        raise IndexFileError(f"{file}: damaged (not what its record says); run `dhh index` again")
    return Flat(codes_of(data[len(head) :].reshape(info.n, width)))


def on_gpu(shard: Shard, *, weighed: bool = False) -> Index:
    """All codes of `shard` on a CUDA device, for weighed distances or not. Raises DeviceError where there is none."""
    from dhhcli.index.gpu import to_gpu

    return to_gpu(codes_in(shard), weighed=weighed)


def kind_of_file(codes_path: Path) -> Kind | None:
    """What an index without its record begins like; None where there is none."""
    try:
        with index_paths(codes_path)[0].open("rb") as stream:
            begins = stream.read(4)
    except OSError:
        return None
    return "ivf" if begins == b"IBwF" else "flat" if begins == b"IBxF" else None


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


def usable_index(codes_path: Path, shard: Shard) -> tuple[Index | None, str | None]:
    """The index if it is fresh; a stale or damaged one is said and left alone: the codes themselves are searched."""
    try:
        state = fresh(codes_path, shard)
        if state == "fresh":
            return open_index(codes_path, shard), None
    except IndexFileError as error:
        return None, f"{error}; searching without it"
    if state == "stale":
        return (
            None,
            f"the index of {codes_path} is older than its codes, searching without it; run: dhh index {codes_path}",
        )
    return None, None
