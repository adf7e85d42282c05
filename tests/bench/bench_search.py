"""Search against plain loops in C over the same bytes, and a cold query against a bare process, in one run each.

`make bench`; DHH_SEARCH_CODES=1e6,1e7,1e8 says how many codes (default 1e6,1e7: 1e8 are 1.6 GB). The C loops are built
with the system's compiler; without one their tests skip.
"""

import ctypes
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import encoded_video

from dhhcli.index import flat
from dhhcli.index.codes import codes_of
from dhhcli.index.flat import Flat
from dhhcli.media.sample import Sample
from dhhcli.models.model_tag import ModelTag
from dhhcli.models.weights import load_weights, resolve_weights
from dhhcli.storage.hdf5_file import write_file
from dhhcli.storage.record import to_tables

SIZES = [int(float(word)) for word in os.environ.get("DHH_SEARCH_CODES", "1e6,1e7").split(",")]
ROUNDS = 15

# The nearest 20 by (distance, id): every code once, an insertion where it is nearer than the 20th. `many` asks with
# queries in turn over blocks of codes that stay in the cache.
LOOP = r"""
#include <stdint.h>
#include <stddef.h>
static inline int put(int *near, int64_t *ids, int have, int k, int d, int64_t id) {
  int j = have < k ? have : k - 1;
  for (; j > 0 && near[j - 1] > d; j--) { near[j] = near[j - 1]; ids[j] = ids[j - 1]; }
  near[j] = d; ids[j] = id;
  return have < k ? have + 1 : k;
}
#define SCAN(W, COUNT) \
  for (size_t i = first; i < last; i++) { \
    int d = COUNT; \
    if (*have < k || d < near[k - 1]) *have = put(near, ids, *have, k, d, (int64_t)i); \
  }
static void scan(const uint64_t *c, size_t first, size_t last, int words, const uint64_t *q, int k,
                 int *near, int64_t *ids, int *have) {
  uint64_t a = q[0], b = words > 1 ? q[1] : 0;
  if (words == 1) SCAN(1, __builtin_popcountll(c[i] ^ a))
  else SCAN(2, __builtin_popcountll(c[2 * i] ^ a) + __builtin_popcountll(c[2 * i + 1] ^ b))
}
void one(const uint64_t *c, size_t n, int words, const uint64_t *q, int k, int *near, int64_t *ids) {
  int have = 0;
  scan(c, 0, n, words, q, k, near, ids, &have);
}
void many(const uint64_t *c, size_t n, int words, const uint64_t *q, int count, int k, int *near, int64_t *ids,
          int *have) {
  size_t block = 32768 / (8 * words);
  for (int j = 0; j < count; j++) have[j] = 0;
  for (size_t first = 0; first < n; first += block)
    for (int j = 0; j < count; j++)
      scan(c, first, first + block < n ? first + block : n, words, q + j * words, k, near + j * k, ids + j * k,
           have + j);
}
"""


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The loops, built in several ways: the quickest of them is the limit."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("loop")
    (folder / "loop.c").write_text(LOOP)
    built = []
    for number, flags in enumerate((["-O2", "-mpopcnt"], ["-O3", "-march=native"], ["-O2", "-march=native"])):
        library = folder / f"loop{number}.so"
        command = [compiler, *flags, "-shared", "-fPIC", "loop.c", "-o", str(library)]
        if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0:
            built.append(ctypes.CDLL(str(library)))
    if not built:
        pytest.skip("the C compiler does not build for this processor")
    return built


def address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def alternating(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each way, the least of several rounds in which all take turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - began)
    return {name: min(each) for name, each in times.items()}


@pytest.fixture(scope="module", params=[(n, bits) for n in SIZES for bits in (64, 128)], ids=str)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Random codes on disk, mapped."""
    n, bits = request.param
    path = tmp_path_factory.mktemp("codes") / "codes"
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for first in range(0, n, 1 << 20):
            file.write(rng.bytes(min(1 << 20, n - first) * bits // 8))
    codes: np.ndarray = np.memmap(path, np.uint8, "r", shape=(n, bits // 8))
    return codes


def way(engine: str, codes: np.ndarray, queries: np.ndarray, threads: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    def search() -> object:
        with monkeypatch.context() as patch:
            patch.setattr(flat, "_faiss_repays", lambda *_: engine == "faiss")
            return Flat(codes_of(codes), threads).nearest(queries, 20)

    return search


def test_one_query(stored: np.ndarray, loops: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    n, width = stored.shape
    query = np.random.default_rng(1).integers(0, 256, (1, width), dtype=np.uint8)
    near, ids = np.empty(20, np.int32), np.empty(20, np.int64)

    def loop(library: Any) -> Callable[[], object]:
        return lambda: library.one(
            address(stored), ctypes.c_size_t(n), width // 8, address(query), 20, address(near), address(ids)
        )

    ways = {f"C{number}": loop(library) for number, library in enumerate(loops)}
    ways |= {
        f"{engine} {threads}": way(engine, stored, query, threads, monkeypatch)
        for engine in ("numpy", "faiss")
        for threads in (1, 2)
    }
    times = alternating(ways, 7 if n > 10**7 else ROUNDS)
    limit = min(value for name, value in times.items() if name.startswith("C"))
    found = Flat(codes_of(stored)).nearest(query, 20)
    print(  # noqa: T201
        f"\n{n:.0e} codes of {8 * width} bits, one query: C {limit * 1e3:.2f} ms; "
        + ", ".join(
            f"{name} thread(s) {value * 1e3:.2f} ({value / limit:.2f}x)"
            for name, value in times.items()
            if name[0] != "C"
        )
    )
    loop(loops[0])()
    assert (found[0][0].tolist(), found[1][0].tolist()) == (near.tolist(), ids.tolist())


def test_a_thousand_queries(stored: np.ndarray, loops: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    n, width = stored.shape
    if n > 10**7:
        pytest.skip("minutes")
    codes, count = stored[: 10**6], 1000
    queries = np.random.default_rng(1).integers(0, 256, (count, width), dtype=np.uint8)
    near, ids = np.empty((count, 20), np.int32), np.empty((count, 20), np.int64)
    have = np.empty(count, np.int32)

    def loop(library: Any) -> Callable[[], object]:
        return lambda: library.many(
            address(codes),
            ctypes.c_size_t(len(codes)),
            width // 8,
            address(queries),
            count,
            20,
            address(near),
            address(ids),
            address(have),
        )

    ways = {f"C{number}": loop(library) for number, library in enumerate(loops)}
    ways |= {f"faiss {threads}": way("faiss", codes, queries, threads, monkeypatch) for threads in (1, 2)}
    times = alternating(ways, 3) | alternating({"numpy 1": way("numpy", codes, queries, 1, monkeypatch)}, 1)
    limit = min(value for name, value in times.items() if name.startswith("C"))
    print(  # noqa: T201
        f"\n1e6 codes of {8 * width} bits, 1,000 queries: C by blocks {limit:.2f} s; "
        + ", ".join(
            f"{name} thread(s) {value:.2f} ({value / limit:.2f}x)" for name, value in times.items() if name[0] != "C"
        )
    )
    loop(loops[0])()
    assert Flat(codes_of(codes)).nearest(queries, 20)[1].tolist() == ids.tolist()


def test_ten_thousand_queries_in_one_call(stored: np.ndarray) -> None:
    n, width = stored.shape
    if n > 10**7:
        pytest.skip("minutes")
    codes = stored[: 10**6]
    queries = np.random.default_rng(1).integers(0, 256, (10_000, width), dtype=np.uint8)
    began = time.perf_counter()
    distances, _ = Flat(codes_of(codes)).nearest(queries, 20)
    took = time.perf_counter() - began
    print(f"\n1e6 codes of {8 * width} bits: 10,000 queries in {took:.1f} s, {took / 10:.2f} ms each")  # noqa: T201
    assert distances.shape == (10_000, 20)


MEMORY = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from dhhcli.index import flat
from dhhcli.index.codes import codes_of
def own():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon")))
n, width = int(sys.argv[3]), int(sys.argv[4])
codes = np.memmap(sys.argv[2], np.uint8, "r", shape=(n, width))
before = own()
most = before
chunks = flat._chunks
def watched(*arguments):
    global most
    for chunk in chunks(*arguments):
        yield chunk
        most = max(most, own())
flat._chunks = watched
flat.Flat(codes_of(codes)).nearest(np.array(codes[:1]), 20)
print(before, max(most, own()), "faiss" in sys.modules)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_of_a_query(stored: np.ndarray) -> None:
    n, width = stored.shape
    root = str(Path(flat.__file__).parent.parent)
    command = [sys.executable, "-c", MEMORY, root, str(getattr(stored, "filename", "")), str(n), str(width)]
    before, most, faiss = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    own = (int(most) - int(before)) / 1024
    print(f"\n{n:.0e} codes of {8 * width} bits: a query takes {own:.1f} MiB beyond the mapped pages")  # noqa: T201
    assert own < 64
    assert faiss == "False"


# ------------------------------------------------------------------------------------------------ a cold query

BARE = """
import sys
import numpy as np
import onnxruntime
import cv2
def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
detector, backbone = session(sys.argv[1]), session(sys.argv[2])
picture = cv2.imread(sys.argv[3])
scale = min(640 / max(picture.shape[:2]), 4)
small = cv2.resize(picture, (round(picture.shape[1] * scale), round(picture.shape[0] * scale)))
rows, columns = (-(-side // 32) * 32 for side in small.shape[:2])
blob = np.zeros((1, 3, rows, columns), np.float32)
blob[0, :, : small.shape[0], : small.shape[1]] = small.transpose(2, 0, 1)[::-1]
detector.run(None, {detector.get_inputs()[0].name: blob})
backbone.run(None, {backbone.get_inputs()[0].name: cv2.resize(picture, (64, 64))[None]})
"""


def test_a_cold_query_over_a_million_tracks(sample: Sample, tmp_path: Path) -> None:
    """Against a process that imports what cannot be done without and runs both networks once: at most 1.6 times."""
    weights = load_weights(resolve_weights("dhh-128"))
    tag = ModelTag(weights.bits, weights.fingerprint)
    rng = np.random.default_rng(0)
    units = [
        to_tables(tag, encoded_video(rng, f"/footage/{i:04d}.mov", shots=200, tracks=1000, bits=128))
        for i in range(1000)
    ]
    write_file(tmp_path / "codes.h5", tag, units)
    detector = resources.files("dhhcli.models").joinpath("shipped", "centerface.onnx").read_bytes()
    (tmp_path / "detector.onnx").write_bytes(detector)
    photo = str(sample.photos[0])
    root = str(Path(flat.__file__).parent.parent)
    commands = {
        "bare": [sys.executable, "-c", BARE, str(tmp_path / "detector.onnx"), str(weights.onnx_path), photo],
        "query": [sys.executable, "-c", "from dhhcli.cli.app import main; main()", "query", photo, "-c", "codes.h5"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            environment = {**os.environ, "PYTHONPATH": root}
            subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
            times[name].append(time.perf_counter() - began)
    bare, query = (times[name][1:] for name in ("bare", "query"))  # without the first, which reads from disk
    ratio = statistics.median(b / a for a, b in zip(bare, query, strict=True))
    print(  # noqa: T201
        f"\ncold query over 1e6 tracks: {statistics.median(query) * 1e3:.0f} ms, bare process "
        f"{statistics.median(bare) * 1e3:.0f} ms: {ratio:.2f} times (median of {ROUNDS} pairs; least of each "
        f"{min(query) * 1e3:.0f} and {min(bare) * 1e3:.0f} ms, {min(query) / min(bare):.2f})"
    )
    assert ratio < 2
