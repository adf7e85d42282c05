"""200 kills at random moments while 20 videos are encoded: nothing lost, nothing doubled, an equal result.

    PYTHONPATH=.:tests/support python tests/bench/kills.py [--kills 200] [--seed 0] [--every 1] [--workers 2]

`dhh encode` runs in a process of its own and is killed (SIGKILL) after a time drawn between nothing and a quarter of
what a whole run takes, counted from when it begins to work, and started again on what is there, until it ends by
itself; then the codes file is compared, byte for byte, with that of a run that nobody disturbed, and all begins anew,
until so many kills have hit. Parts are folded after every third video, so that kills also meet folding and merging.
After every kill the file must open, hold no video that is damaged or unknown, and hold every video that it held before
and every one that was announced.

With ``--every`` there are three films of 17 s, in an MP4, a transport stream and an AVI, whose state is kept every so
many seconds of film; how often a run went on inside a film is counted too.

The processes are forked from one that has imported everything, which takes longer than all the rest.
"""

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import onnxruntime  # noqa: F401
from synthetic import scene, write_video
from video_files import write_stream

import dhhcli.cli.encode_loop  # what every child needs is imported before it is forked
import dhhcli.encoding.options
import dhhcli.encoding.run
import dhhcli.storage.codes_file
from dhhcli.cli.app import app
from dhhcli.errors import MissingPathError
from dhhcli.media.sample import write_sample
from dhhcli.storage.codes_file import open_shard


def work(folder: Path, codes: Path, words: Path, every: float, workers: int) -> None:
    """`dhh encode` of the folder in this process, what it says to a file; three parts are folded already."""
    if every:
        usual = dhhcli.encoding.options.EncodeOptions.__init__
        usual.__defaults__ = (
            *(usual.__defaults__ or ())[:-1],
            Fraction(every),
        )  # the last field
    dhhcli.storage.codes_file.MAX_PARTS = 3  # type: ignore[misc]
    stream = os.open(words, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    app(["encode", str(folder), "--out", str(codes), "--workers", str(workers)])


def start(folder: Path, codes: Path, words: Path, *how: float) -> multiprocessing.process.BaseProcess:
    """A process that does that."""
    process = multiprocessing.get_context("fork").Process(target=work, args=(folder, codes, words, *how))
    process.start()
    return process


def finished(said: str) -> int:
    """How many files were announced as encoded."""
    return sum(line.startswith("[") and ": skipped" not in line for line in said.splitlines())


def videos(folder: Path) -> None:
    """20 short films: five of two people, cut to different lengths, and fifteen of nobody."""
    folder.mkdir()
    film = write_sample(folder.parent / "sample").film
    for i in range(20):
        if i % 4:
            write_video(folder / f"{i:02d}.mp4", [scene(i)] * (10 + i))
        else:
            with av.open(str(film)) as source:
                pictures = []
                for n, frame in enumerate(source.decode(video=0)):
                    if n >= 75 + 10 * i:
                        break
                    pictures.append(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
            write_video(folder / f"{i:02d}.mp4", pictures[50 + 5 * i :])


def long_videos(folder: Path) -> None:
    """Three films that are long enough to be gone on with."""
    folder.mkdir()
    film = write_sample(folder.parent / "sample").film
    shutil.copy(film, folder / "a.mp4")
    with av.open(str(film)) as source:
        pictures = [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in source.decode(video=0)]
    write_stream(folder / "b.ts", pictures, codec="mpeg2video", options={"bf": "2", "g": "15"})
    write_stream(folder / "c.avi", pictures, codec="mpeg4", options={"bf": "2", "g": "40"})


def held(codes: Path) -> set[str]:
    """Names of the videos in a codes file; it must be sound."""
    try:
        shard = open_shard(codes)
    except MissingPathError:
        return set()
    with shard:
        names = [video.path.name for video in shard.videos]
        assert not shard.damaged_videos()
    assert len(names) == len(set(names))
    return set(names)


def main() -> None:
    """Kill, look, go on; print totals, or fail by an assertion."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=0.0)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    how = options.every, options.workers
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        maker = multiprocessing.get_context("fork").Process(
            target=long_videos if options.every else videos, args=(home / "films",)
        )
        maker.start()  # not in this process: a fork does not get on with the threads of OpenCV
        maker.join()
        reference = home / "reference.h5"
        words = home / "words"
        began = time.monotonic()
        whole = start(home / "films", reference, words, *how)
        whole.join()
        took = time.monotonic() - began
        assert whole.exitcode == 0, words.read_text()
        names = {path.name for path in (home / "films").iterdir()}
        assert held(reference) == names
        with open_shard(reference) as shard:
            sys.stdout.write(f"{len(names)} videos, {len(shard)} tracks, {took:.1f} s undisturbed\n")
        longest = took / 4 if options.workers == 1 else took  # processes of their own take some time to begin
        kills = rounds = inside = 0
        while kills < options.kills:
            rounds += 1
            codes = home / f"round{rounds}" / "codes.h5"
            codes.parent.mkdir()
            before: set[str] = set()
            while True:
                process = start(home / "films", codes, words, *how)
                process.join(rng.uniform(0, longest) if kills < options.kills else None)
                ended = process.exitcode is not None
                if not ended:
                    process.kill()
                    process.join()
                    kills += 1
                said = words.read_text() if words.exists() else ""
                words.unlink(missing_ok=True)
                inside += said.count(": goes on at ")
                now = held(codes)
                assert before <= now <= names, (before, now)
                assert len(now) >= finished(said), (now, said)
                before = now
                if ended:
                    assert process.exitcode == 0, said
                    break
            assert codes.read_bytes() == reference.read_bytes()
            assert sorted(path.name for path in codes.parent.iterdir()) == ["codes.h5", "codes.h5.lock"]
            shutil.rmtree(codes.parent)
            sys.stdout.write(f"{kills} kills in {rounds} runs, {inside} of them gone on with: results are equal\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
