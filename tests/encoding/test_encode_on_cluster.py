"""encode --cluster: the same bytes whoever encodes, and whoever dies."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from dhhcli.base import cluster
from dhhcli.encoding import on_cluster
from dhhcli.encoding.events import Encoded, Skipped
from dhhcli.encoding.run import encode
from dhhcli.errors import UsageError
from dhhcli.media.files.mapping import Cluster, Mapping, parse_mapping, path_there
from dhhcli.models.network import Network, load_network
from dhhcli.storage.record import EncodedVideo

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(film=True)


@pytest.fixture
def films(clip: Path, tmp_path: Path) -> Path:
    """Three films of different content, and what is none."""
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.mp4").write_bytes(clip.read_bytes() + b"\0\0\0\x08free" * number)
    (folder / "none.mp4").write_bytes(b"no film")
    return folder


def test_workers_leave_the_bytes_of_one_machine(films: Path, tmp_path: Path, workers: Any, dhh: Run) -> None:
    """They find the films elsewhere; the codes name them as they are called here."""
    alone = dhh("encode", films, "--out", "alone.h5", "--json")
    away = tmp_path / "away"
    shutil.copytree(films, away)
    there = ("--cluster", workers.scheduler_address, "--map", f"{films}={away}")
    shared = dhh("encode", films, "--out", "shared.h5", "--json", *there)
    assert alone.exit_code == shared.exit_code == 4, shared.stderr
    assert (tmp_path / "shared.h5").read_bytes() == (tmp_path / "alone.h5").read_bytes()
    again = dhh("encode", films, "--out", "shared.h5", *there)
    assert "0 encoded, 3 unchanged" in again.stderr
    (away / "1.mp4").write_bytes(b"another film")
    (away / "2.mp4").unlink()
    third = dhh("encode", films, "--out", "third.h5", *there)
    assert third.exit_code == 4
    assert "finds another file there; --map says where it lies" in third.stderr
    assert "cannot read it (No such file or directory); --map says where it lies" in third.stderr
    assert "1 encoded" in third.stderr


ENCODE = on_cluster.encode_there


def dying(path: Path, fingerprint: str, terms: on_cluster.Terms) -> EncodedVideo | Skipped:
    """Runs in a worker: two films end it, one the first time only."""
    once = path.with_suffix(".once")
    if path.name == "0.mp4" or (path.name == "1.mp4" and not once.exists()):
        once.touch()
        os._exit(1)
    return ENCODE(path, fingerprint, terms)


def test_a_film_that_kills_workers_twice_is_skipped(
    films: Path, tmp_path: Path, network: Network, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_cluster, "encode_there", dying)
    paths = sorted(films.glob("[012].mp4"))
    events = list(encode(paths, tmp_path / "codes.h5", network, cluster=Cluster(workers.scheduler_address)))
    assert {event.path.name: type(event) for event in events} == {"0.mp4": Skipped, "1.mp4": Encoded, "2.mp4": Encoded}
    (skipped,) = (event for event in events if isinstance(event, Skipped))
    assert skipped.reason == "the workers that encoded it died, two of them: damaged file, or out of memory"
    monkeypatch.undo()
    events = list(encode(paths, tmp_path / "codes.h5", network, cluster=Cluster(workers.scheduler_address)))
    assert [type(event).__name__ for event in events].count("Encoded") == 1


def test_workers_of_another_version_are_refused(
    films: Path, workers: Any, dhh: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dhhcli.base.runtime.__version__", "9.9")
    result = dhh("encode", films, "--cluster", workers.scheduler_address)
    assert result.exit_code == 1
    assert ", here it is 9.9; install the same there, and start it again\n" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cluster", "host:8786"], "--cluster host:8786: expected tcp://HOST:PORT, tls://HOST:PORT, or local:N"),
        (["--cluster", "local:0"], "--cluster local:0: expected"),
        (["--cluster", "local:2", "--workers", "2"], "--cluster and --workers: give one of them"),
        (["--map", "/a=/b"], "add --cluster"),
        (["--cluster", "local:2", "--map", "/a"], "--map /a: expected HERE=THERE"),
    ],
)
def test_what_means_no_cluster(films: Path, dhh: Run, words: list[str], said: str) -> None:
    result = dhh("encode", films, *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_nobody_answers(films: Path, dhh: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    result = dhh("encode", films, "--cluster", "tcp://127.0.0.1:9")
    assert result.exit_code == 1
    assert result.stderr.startswith("dhh: error: tcp://127.0.0.1:9: no Dask scheduler answers (")
    assert result.stderr.count("\n") == 1


def test_paths_elsewhere() -> None:
    mappings = (Mapping(Path("/mnt/a"), Path("/data/a")), Mapping(Path("/mnt/a/b"), Path("/b")))
    assert path_there(Path("/mnt/a/x.mov"), mappings) == Path("/data/a/x.mov")
    assert path_there(Path("/mnt/a/b/x.mov"), mappings) == Path("/b/x.mov")
    assert path_there(Path("/mnt/ab/x.mov"), mappings) == Path("/mnt/ab/x.mov")
    assert parse_mapping("/a=/b=c") == Mapping(Path("/a"), Path("/b=c"))
    with pytest.raises(UsageError):
        parse_mapping("a=/b")
