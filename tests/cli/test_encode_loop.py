"""encoding/watch.py says what happens by events alone; cli/encode_loop.py makes words of them, in the right order."""

import io
import json
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
from dhhcli.encoding.events import Began, Encoded, Ended, Gone, Skipped, Step, Unchanged, Waiting, Watching
from dhhcli.encoding.options import EncodeOptions
from dhhcli.errors import MissingPathError, NoVideoError
from dhhcli.media.files.discover import VideoList
from dhhcli.models.network import Network, load_network
from dhhcli.output.terminal.encode_progress import EncodeProgress

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


def test_ten_thousand_unchanged_files_are_a_count(tmp_path: Path) -> None:
    paths = tuple(tmp_path / f"{number}.mp4" for number in range(10_000))
    console = Console(file=io.StringIO(), width=200)
    with EncodeProgress(VideoList(paths, ()), console) as progress:
        progress.plan(set())
        for path in paths:
            progress.done(Unchanged(path))
    progress.conclude(tmp_path / "codes.h5")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "10000 videos: 0 encoded, 10000 unchanged, 0 skipped; nothing new\n"


def test_quiet_says_what_is_wrong_and_the_summary(tmp_path: Path) -> None:
    good, bad = tmp_path / "a.mp4", tmp_path / "b.mp4"
    console = Console(file=io.StringIO(), width=200)
    with EncodeProgress(VideoList((good, bad), ()), console, quiet=True) as progress:
        progress.done(Encoded(good, 1, 1, 1.0, ()))
        progress.done(Skipped(bad, "no film"))
    progress.conclude(tmp_path / "codes.h5")
    assert isinstance(console.file, io.StringIO)
    first, summary, last = console.file.getvalue().splitlines()
    assert first == f"[2/2] {bad}: skipped: no film"
    assert summary.startswith("2 videos: 1 encoded, 0 unchanged, 1 skipped; 1 face track in 1 shot")
    assert last == f"skipped: {bad}: no film"


def test_events_are_json_lines(tmp_path: Path) -> None:
    film, photo = tmp_path / "a.mp4", tmp_path / "b.jpg"
    events = io.StringIO()
    with EncodeProgress(VideoList((film, photo), ()), Console(file=io.StringIO()), events=events) as progress:
        progress.plan({film})
        progress.step(Step(film, 1.0, 10.0))
        progress.step(Step(film, 1.1, 10.0))  # not a second later: not told
        progress.done(Encoded(film, 3, 2, 10.0, ("cut short",)))
        progress.done(Unchanged(photo))
        progress.done(Gone(tmp_path / "c.mp4", dropped=True))
    progress.conclude(tmp_path / "codes.h5")
    told = [json.loads(line) for line in events.getvalue().splitlines()]
    assert [one["event"] for one in told] == ["began", "plan", "step", "encoded", "unchanged", "gone", "summary"]
    assert told[3] | {"event": ""} == {
        "event": "",
        "path": str(film),
        "shots": 3,
        "tracks": 2,
        "seconds": 10.0,
        "warnings": ["cut short"],
    }
    assert (told[-1]["encoded"], told[-1]["unchanged"], told[-1]["gone"], told[-1]["incomplete"]) == (1, 1, 1, 1)


def test_time_left_waits_until_it_knows_both_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo is not measured in bytes of film: with two films of 100 s and ten photos of 1 s left, 110 s are left."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    films = [tmp_path / f"{number}.mp4" for number in range(3)]
    photos = [tmp_path / f"{number}.jpg" for number in range(11)]
    for path in (*films, *photos):
        path.write_bytes(bytes(1000 if path in films else 999_999))
    progress = EncodeProgress(VideoList((*films, *photos), ()), Console(file=io.StringIO()))
    now[0] += 50.0
    progress.done(Encoded(films[0], 1, 1, 1.0, ()))
    assert progress._left() == ""  # nothing is known of photos
    now[0] += 1.0
    progress.done(Encoded(photos[0], 1, 1, 0.0, ()))
    assert progress._left() == ", about 2 min left"  # 2 x 50 + 10 x 1 s
    for film in films[1:]:
        now[0] += 50.0
        progress.done(Encoded(film, 1, 1, 1.0, ()))
    assert progress._left() == ", about 10 s left"


def test_then_runs_a_command_that_knows_how_it_went(films: Path, network: Network, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=500)
    command = f"echo $DHH_ENCODED $DHH_SKIPPED $DHH_EXIT > {tmp_path / 'said'}; exit 3"
    code = loop.encode_loop([films], tmp_path / "codes.h5", network, console, then=command)
    encoded, skipped, told = (tmp_path / "said").read_text().split()
    assert (int(encoded), int(skipped)) == (1, 1)
    assert int(told) == code
    assert isinstance(console.file, io.StringIO)
    assert "ended with exit code 3" in console.file.getvalue()
