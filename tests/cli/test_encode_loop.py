"""encoding/watch.py says what happens by events alone; cli/encode_loop.py makes words of them, in the right order."""

import io
import time
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from footage import TAG, contents
from rich.console import Console
from synthetic import scene, write_video

from dhhcli.cli import encode_loop as loop
from dhhcli.encoding import watch
from dhhcli.encoding.events import Began, Encoded, Ended, Skipped, Step, Waiting, Watching
from dhhcli.encoding.options import EncodeOptions
from dhhcli.errors import MissingPathError, NoVideoError
from dhhcli.models.network import Network, load_network
from dhhcli.output.encode_progress import EncodeProgress

NETWORK: Any = SimpleNamespace(tag=TAG)


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(film=True)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    write_video(folder / "a.mp4", [scene(1)] * 30)
    (folder / "b.mp4").write_bytes(b"no film")
    (folder / "notes.txt").write_text("ignored")
    return folder


def test_encoding_once_is_a_round_of_events(films: Path, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    steps: list[Step] = []
    plans: list[set[Path]] = []
    codes = films.parent / "codes.h5"
    events = list(watch.encode_once([films], codes, network, on_step=steps.append, on_plan=plans.append))
    began, encoded, skipped, ended = events
    assert isinstance(began, Began)
    assert began.files.videos == (films / "a.mp4", films / "b.mp4")
    assert began.files.ignored == (films / "notes.txt",)
    assert isinstance(encoded, Encoded)
    assert (encoded.path, encoded.shots, encoded.tracks) == (films / "a.mp4", 1, 0)
    assert isinstance(skipped, Skipped)
    assert skipped.path == films / "b.mp4"
    assert ended == Ended()
    assert plans == [{films / "a.mp4", films / "b.mp4"}]
    assert {step.path for step in steps} == {films / "a.mp4"}
    assert capsys.readouterr() == ("", "")


def test_nothing_to_encode_is_an_error_at_the_first_event(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError, match="no such file"):
        next(watch.encode_once([tmp_path / "nowhere"], tmp_path / "codes.h5", NETWORK))
    with pytest.raises(NoVideoError, match="no video or photo found"):
        next(watch.encode_once([tmp_path], tmp_path / "codes.h5", NETWORK))


def test_watching_says_what_it_waits_for(
    films: Path, network: Network, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = films.with_name("away")
    happens: list[Callable[[], object]] = [lambda: films.rename(away), lambda: away.rename(films), list, list]
    steps = iter(happens)
    monkeypatch.setattr(time, "sleep", lambda _: next(steps)())
    options = EncodeOptions(thumbnails=False)
    events = list(watch.encode_watching([films], films.parent / "codes.h5", network, options, rounds=4))
    assert events[:2] == [Watching((films,)), Waiting(f"{films}: no such file or folder")]
    assert [type(event) for event in events[2:]] == [Began, Encoded, Skipped, Ended]
    assert capsys.readouterr() == ("", "")


def test_what_is_finished_is_merged_before_an_interrupt_is_said(
    films: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, console = films.parent / "codes.h5", Console(file=io.StringIO(), width=500)
    held: list[set[str]] = []
    say = EncodeProgress._say

    def done(progress: EncodeProgress, event: object) -> None:
        progress.summary.encoded.append(event)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    def listening(progress: EncodeProgress, line: str) -> None:
        if line.startswith("interrupted"):
            held.append(set(contents(codes)))
            assert not (films.parent / "codes.h5.parts").exists()
        say(progress, line)

    monkeypatch.setattr(EncodeProgress, "done", done)
    monkeypatch.setattr(EncodeProgress, "_say", listening)
    with pytest.raises(KeyboardInterrupt):
        loop.encode_loop([films], codes, network, console)
    assert held == [{"a"}]
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().startswith("interrupted; 1 finished video is safe, ")


def test_a_round_that_has_to_wait_has_no_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"film")

    def encode(*_: object, **__: object) -> Generator[Skipped]:
        yield Skipped(tmp_path / "a.mp4", "no film")
        raise MissingPathError("codes.h5: the share is away")

    monkeypatch.setattr(watch, "encode", encode)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    console = Console(file=io.StringIO(), width=500)
    assert loop.encode_loop([tmp_path], tmp_path / "codes.h5", NETWORK, console, every=1.0, rounds=2) == 0
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        f"watching {tmp_path}; Ctrl-C ends it",
        f"[1/1] {tmp_path / 'a.mp4'}: skipped: no film",
        "waiting: codes.h5: the share is away",
    ]
