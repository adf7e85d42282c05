"""Kill whoever works on a cluster, again and again, while it encodes: nothing is lost or doubled, the bytes are equal.

    python tests/bench/cluster_kills.py --films 20 --kills 100

Scheduler, workers (each under a nanny) and `dhh encode --cluster` run as processes of their own. Every second or so one
of them, drawn by chance, is killed with SIGKILL and, but for a worker, whose nanny does it, started again, as a service
manager does; a client that ends with an error is started again by the same line. A round ends when a client says that
all is done; its codes file has to be, byte for byte, what one machine wrote without a kill.
"""

import argparse
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from dhhcli.media.sample import RATE, SCRIPT, frames, portraits, write_film

DHH = [sys.executable, "-c", "from dhhcli.cli.app import main; main()"]
WHOM = ("worker", "nanny", "scheduler", "client")
Process = subprocess.Popen[bytes]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Cluster:
    """The processes, and how each is started."""

    def __init__(self, folder: Path, films: Path, workers: int) -> None:
        port = free_port()
        self.where, self.said = f"tcp://127.0.0.1:{port}", folder / "said"
        dask = [sys.executable, "-m", "dask"]
        self.start: dict[str, Callable[[], Process]] = {
            "scheduler": lambda: self._run(
                [*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
            ),
            "client": lambda: self._run(
                [*DHH, "encode", str(films), "-o", str(folder / "codes.h5"), "--cluster", self.where]
            ),
        } | {
            f"nanny {number}": lambda: self._run(
                [*dask, "worker", self.where, "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]
            )
            for number in range(workers)
        }
        self.running = {name: start() for name, start in self.start.items()}

    def _run(self, words: list[str]) -> Process:
        with self.said.open("ab") as said:
            return subprocess.Popen(words, stdout=said, stderr=said)

    def kill(self, whom: str, rng: random.Random) -> bool:
        """Whether there was anybody to kill."""
        nannies = [name for name in self.running if name.startswith("nanny")]
        name = rng.choice(nannies) if whom in ("worker", "nanny") else whom
        process = self.running[name]
        if whom != "worker":
            process.kill()
            return True
        try:
            children = [
                one for one in psutil.Process(process.pid).children() if "spawn_main" in " ".join(one.cmdline())
            ]
        except psutil.Error:
            return False
        for child in children:
            child.kill()
        return bool(children)

    def mend(self) -> bool:
        """Start again whoever ended; whether the client was done."""
        for name, process in self.running.items():
            code = process.poll()
            if code is None:
                continue
            if name == "client" and code == 0:
                return True
            self.running[name] = self.start[name]()
        return False

    def stop(self) -> None:
        for process in self.running.values():
            for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
                child.kill()
            process.send_signal(signal.SIGKILL)
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=20)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two kills, on average")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, counts, wrong, rounds = random.Random(options.seed), Counter[str](), 0, 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as top:
        folder, people = Path(top), portraits()
        films = folder / "films"
        films.mkdir()
        with (folder / "film.mp4").open("wb") as file:
            write_film(file, (picture for scene in SCRIPT[1:4] for picture in frames(scene, people)), RATE)
        for number in range(options.films):  # each of content of its own
            (films / f"{number:02}.mp4").write_bytes((folder / "film.mp4").read_bytes() + b"\0\0\0\x08free" * number)
        subprocess.run([*DHH, "encode", str(films), "-o", str(folder / "right.h5"), "-q"], check=True, timeout=600)
        right = (folder / "right.h5").read_bytes()
        while counts.total() < options.kills:
            rounds += 1
            cluster = Cluster(folder, films, options.workers)
            try:
                while not cluster.mend():
                    time.sleep(rng.uniform(0, 2 * options.every))
                    whom = rng.choice(WHOM)
                    if counts.total() < options.kills and cluster.kill(whom, rng):
                        counts[whom] += 1
            finally:
                cluster.stop()
            found = (folder / "codes.h5").read_bytes()
            left = sorted(path.name for path in folder.glob("codes.h5?*"))
            if found != right or left not in ([], ["codes.h5.lock"]):
                wrong += 1
                shutil.copy(folder / "codes.h5", f"wrong-{rounds}.h5")
            for path in folder.glob("codes.h5*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    kills = ", ".join(f"{whom} {counts[whom]}" for whom in WHOM)
    print(f"{counts.total()} kills ({kills}) in {rounds} encodings of {options.films} films: {wrong} wrong, ", end="")  # noqa: T201
    print(f"{time.monotonic() - begun:.0f} s")  # noqa: T201
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
