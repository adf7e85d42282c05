"""Inverted lists: building, recall, time and memory against looking at every code, in one run (`make bench`).

Times are a processor's, summed over cores.

DHH_IVF_CODES says how many codes (default 1e6; 1e7 takes minutes and 1e8 an hour), DHH_IVF_BITS of how many bits,
DHH_IVF_LISTS in how many lists, if not in as many as `dhh index` makes.
"""

import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from clustered import clustered_codes

from dhhcli.index import ivf, ivf_file
from dhhcli.index.codes import codes_of
from dhhcli.index.flat import Flat
from dhhcli.index.ivf_file import VIDEO

N = int(float(os.environ.get("DHH_IVF_CODES", "1e6")))
BITS = int(os.environ.get("DHH_IVF_BITS", "128"))
LISTS = int(os.environ.get("DHH_IVF_LISTS", "0")) or ivf.list_count(N)
ASKED = 300


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def anonymous_mib() -> float:
    """Memory that is this process's own, without pages of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_lists_against_every_code(tmp_path: Path) -> None:
    codes = clustered_codes(tmp_path / "codes", N, BITS)
    rng = np.random.default_rng(5)
    own = anonymous_mib()
    times, began = {}, time.process_time()

    def lap(name: str) -> None:
        nonlocal began
        times[name] = time.process_time() - began
        began = time.process_time()

    centres = ivf.cluster(codes_of(codes), LISTS, rng)
    lap("clustering")
    owners = np.empty(N, np.int32)
    ivf.assign(codes_of(codes), centres, owners, [(0, N)])
    lap("assigning")
    nprobe, promised = ivf.probes(codes_of(codes), centres, owners, rng)
    lap("measuring")
    videos = np.zeros(1, VIDEO)
    videos["track_end"] = N
    with (tmp_path / "index").open("wb") as file:
        ivf_file.write_lists(file, centres, nprobe, codes_of(codes), owners, videos)
    lap("writing")
    built = anonymous_mib() - own
    del owners
    size = (tmp_path / "index").stat().st_size
    there, _ = ivf_file.read_lists(np.memmap(tmp_path / "index", np.uint8, "r"))
    lap("opening")

    asked = np.random.default_rng(77)  # not the queries that nprobe was chosen by
    queries = np.array(codes[np.sort(asked.choice(N, ASKED, replace=False))])
    queries ^= np.packbits(asked.random((ASKED, BITS)) < 0.1, axis=1)
    truth = Flat(codes_of(codes)).nearest(queries, 20)[0][:, -1:]
    began = time.process_time()
    exact = [Flat(codes_of(codes), 1).nearest(query[None], 20) for query in queries[:20]]
    every = (time.process_time() - began) / 20
    found: list[tuple[np.ndarray, np.ndarray]] = []
    each: list[float] = []
    before = anonymous_mib()
    for _ in range(2):  # the second time from memory
        found, each = [], []
        for query in queries:
            began = time.process_time()  # of one core, whatever else runs
            found.append(ivf_file.nearest(there, query[None], 20))
            each.append(time.process_time() - began)
    asked_mib = anonymous_mib() - before
    recall = float(np.mean([near[0] <= far for (near, _), far in zip(found, truth, strict=True)]))
    began = time.process_time()
    many = ivf_file.nearest(there, np.repeat(queries, -(-1000 // ASKED), axis=0)[:1000], 20)
    batch = (time.process_time() - began) / 1000
    print(  # noqa: T201
        f"\n{N:.0e} codes of {BITS} bits: {len(centres)} lists, {nprobe} probed, {size / 1e6:.0f} MB; built in "
        f"{sum(times.values()):.1f} s ({', '.join(f'{name} {value:.1f}' for name, value in times.items())}), "
        f"{built:.0f} MiB of its own\nrecall@20 {recall:.4f} (at building {promised:.4f}); a query "
        f"{np.median(each) * 1e3:.2f} ms (99 of 100 under {np.quantile(each, 0.99) * 1e3:.2f}), every code "
        f"{every * 1e3:.1f} ms: ratio {every / np.median(each):.0f}; of 1,000 in one call {batch * 1e3:.2f} ms each; "
        f"{asked_mib:.1f} MiB of its own for queries; peak with mapped pages {peak_mib():.0f} MiB"
    )
    assert recall >= 0.99
    assert all((near[0] >= far).all() for (near, _), far in zip(found, truth - 64, strict=True))
    assert len(many[0]) == 1000
    assert len(exact) == 20
