"""crew and scan: the same bytes however many processes, a crash is one file's, long shots hand their tracks over."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from synthetic import astronaut, moving_face, write_video
from typer.testing import Result

from dhhcli.encoding import track_codes, workers
from dhhcli.encoding.events import Skipped
from dhhcli.encoding.options import USUAL, EncodeOptions
from dhhcli.encoding.track_codes import Coded, code_tracks
from dhhcli.encoding.video import Job, encode_video
from dhhcli.faces.detector import FaceDetector
from dhhcli.faces.scan import Looked, scan, shot_tracks
from dhhcli.faces.tracker import FaceTrack
from dhhcli.media.sample import Sample
from dhhcli.media.shots import Shot
from dhhcli.media.video import open_video
from dhhcli.models.network import Network, load_network
from dhhcli.storage.record import EncodedVideo

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(film=True)


@pytest.fixture(scope="module")
def coming_and_going(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One shot of 16 seconds: a face for two seconds, none for two seconds, four times."""
    head = astronaut()[20:240, 115:335]
    with_face, without = moving_face(head, [(160, 120), (-500, 0)])
    ten = [with_face] * 20 + [without] * 20
    return write_video(tmp_path_factory.mktemp("long") / "a.mp4", ten * 4, rate=10)


def test_tracks_are_handed_over_before_their_shot_ends(coming_and_going: Path) -> None:
    with open_video(coming_and_going) as video:
        items = list(scan(video, FaceDetector(width=320), thumbnails=False))
    kinds = [type(item) for item in items if not isinstance(item, Looked)]
    assert kinds == [FaceTrack] * 4 + [Shot]
    ends = [item.last_frame for item in items if isinstance(item, FaceTrack)]
    last_looks = [items[i - 1] for i, item in enumerate(items) if isinstance(item, FaceTrack)]
    for end, look in zip(ends[:3], last_looks[:3], strict=True):
        assert isinstance(look, Looked)
        # patience of three looks, and frames that the shot detector has not decided about
        assert look.seconds - Fraction(end, 10) < 5
    with open_video(coming_and_going) as video:
        ((shot, tracks),) = shot_tracks(video, FaceDetector(width=320))
    assert (shot.start_frame, shot.end_frame) == (0, 160)
    assert [track.first_frame // 40 for track in tracks] == [0, 1, 2, 3]
    assert [track.first_frame % 40 <= 5 for track in tracks] == [True] * 4


@pytest.mark.parametrize("on_gpu", [False, True])
def test_crops_are_coded_together_in_order(
    coming_and_going: Path, network: Network, on_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few at a time on a processor, which has something to do while the film is scanned; many on a GPU."""
    with open_video(coming_and_going) as video:
        items = list(scan(video, network.detector, thumbnails=False))
    monkeypatch.setattr(track_codes, "AT_ONCE", 8)
    calls: list[int] = []

    def extract(crops: np.ndarray) -> np.ndarray:
        calls.append(len(crops))
        return network.film_extract(crops)

    extract.on_gpu = on_gpu  # type: ignore[attr-defined]
    spied = replace(network, film_extract=extract)  # type: ignore[arg-type]
    coded = list(code_tracks(items, spied))
    seen = [len(item.observations) for item in items if isinstance(item, FaceTrack)]
    assert sum(calls) == sum(seen)
    assert len(calls) == 1 if on_gpu else 1 < len(calls) <= len(seen)
    assert on_gpu or max(calls) < 8 + max(seen)
    assert sum(isinstance(item, Looked) for item in coded) == sum(isinstance(item, Looked) for item in items)
    rows = [item.row[:2] for item in coded if isinstance(item, Coded)]
    assert rows == [(item.first_frame, item.last_frame + 1) for item in items if isinstance(item, FaceTrack)]
    assert isinstance(coded[-1], Shot)


def test_threads_of_the_decoder_change_nothing(coming_and_going: Path, network: Network) -> None:
    one, two = (encode_video(coming_and_going, network, EncodeOptions(threads=threads)) for threads in (1, 2))
    assert one.video == two.video
    assert len(one.tracks) == 4
    for a, b in ((one.codes, two.codes), (one.tracks, two.tracks), (one.shots, two.shots)):
        assert a.tobytes() == b.tobytes()
    assert one.thumbnails == two.thumbnails


def test_workers_change_no_byte(dhh: Run, sample: Sample, coming_and_going: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    shutil.copy(sample.film, films / "a.mp4")
    shutil.copy(coming_and_going, films / "b.mp4")
    (films / "c.mp4").write_bytes(b"no video " * 100)
    for name, count in (("one.h5", "1"), ("two.h5", "2")):
        done = dhh("encode", films, "--out", tmp_path / name, "--workers", count)
        assert done.exit_code == 4, done.stderr
        assert "3 videos: 2 encoded, 0 unchanged, 1 skipped" in done.stderr
        assert f"skipped: {films / 'c.mp4'}: is a text, no film" in done.stderr
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    again = dhh("encode", films, "--out", tmp_path / "two.h5", "--workers", "2")
    assert "3 videos: 0 encoded, 2 unchanged, 1 skipped" in again.stderr


def die(connection: Connection, record: str, options: EncodeOptions) -> None:
    """Stands in for a process whose decoder crashes on one file."""
    assert (Path(record).name, options) == ("dhh-128.json", EncodeOptions(threads=max(1, (os.cpu_count() or 1) // 2)))
    while True:
        job = connection.recv()
        if job.path.name == "bad.mp4":
            os.kill(os.getpid(), signal.SIGKILL)
        connection.send(Skipped(job.path, f"seen {job.fingerprint}"))


def test_a_crash_takes_one_file_down(monkeypatch: pytest.MonkeyPatch, network: Network) -> None:
    monkeypatch.setattr(workers, "work", die)
    jobs = [Job(Path(name), "f") for name in ("a.mp4", "bad.mp4", "b.mp4", "c.mp4", "bad.mp4", "d.mp4")]
    passed = Skipped(Path("pipe"), "not a regular file")
    items: Iterator[Job | Skipped] = iter([jobs[0], passed, *jobs[1:]])
    found = list(workers.in_parallel(items, network, USUAL, 2, lambda _: None))
    reasons = sorted((path.name, result.reason) for path, result in found if isinstance(result, Skipped))
    crashed = "the process that encoded it ended (signal 9): damaged file, or out of memory"
    assert reasons == sorted(
        [("pipe", "not a regular file"), ("bad.mp4", crashed), ("bad.mp4", crashed)]
        + [(f"{name}.mp4", "seen f") for name in "abcd"]
    )
    assert not any(isinstance(result, EncodedVideo) for _, result in found)


def test_nobody_is_waited_for_when_nothing_is_left_to_do(monkeypatch: pytest.MonkeyPatch, network: Network) -> None:
    def patient(connections: Sequence[Connection]) -> list[Any]:
        assert connections, "this would wait for ever"
        return wait(connections)

    monkeypatch.setattr(workers, "work", die)
    monkeypatch.setattr(workers, "wait", patient)
    passed = Skipped(Path("pipe"), "not a regular file")
    for before in ([], [Job(Path("a.mp4"), "f"), Job(Path("b.mp4"), "f"), Job(Path("c.mp4"), "f")]):
        items: list[Job | Skipped] = [*before, passed, passed]
        found = list(workers.in_parallel(iter(items), network, USUAL, 2, lambda _: None))
        assert sorted(str(path) for path, _ in found) == sorted(str(item.path) for item in items)


def test_quick_detection_finds_the_same_faces() -> None:
    picture = cv2.resize(astronaut(), None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    (slow,), (quick,) = FaceDetector().detect(picture), FaceDetector(quick=True).detect(picture)
    assert abs(slow.score - quick.score) < 0.05
    assert np.abs(slow.box - quick.box).max() < 0.05 * slow.size
    assert np.abs(slow.landmarks - quick.landmarks).max() < 0.04 * slow.size


def test_a_process_that_was_killed_while_it_had_nothing_to_do_takes_no_file_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone, other_end = Pipe()
    other_end.close()
    ours, theirs = Pipe()
    process = Process()
    monkeypatch.setattr(Process, "join", lambda _: None)
    monkeypatch.setattr(workers, "_start", lambda _: (process, ours))
    job = Job(Path("a.mp4"), "ab" * 32)
    worker = workers._handed_over(job, [(process, gone)], ("", USUAL))
    assert (worker.connection, theirs.recv()) == (ours, job)
    assert gone.closed
    theirs.close()  # nor does one that dies at once: its end is seen where its answer is waited for
    assert workers._handed_over(job, [], ("", USUAL)).path == job.path
