"""What takes long is spoken of within two seconds, with an estimate; what does not is done without a word."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dhhcli.base.patience import Part, done_so_far, in_all, listening, to_come
from dhhcli.models.network import load_network
from dhhcli.output.terminal.waiting import Waiting, sheet_words, waiting


def test_quick_work_is_done_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("working", after=0.3):
        done_so_far("faces", 0, 10)
    time.sleep(0.5)
    assert capsys.readouterr() == ("", "")


def test_slow_work_is_spoken_of_while_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("x.h5: working", after=0.05):
        time.sleep(0.4)
        assert capsys.readouterr() == ("", "x.h5: working\n")


def test_the_estimate_is_of_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("dhhcli.output.terminal.waiting.time.monotonic", lambda: now[0])
    with listening(Waiting()):
        for second in range(0, 101):  # one a second
            now[0] = 100.0 + second
            done_so_far("faces", second, 100)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "2 of 100 faces, about 2 min left",
        "32 of 100 faces, about 68 s left",
        "62 of 100 faces, about 38 s left",
        "92 of 100 faces, about 8 s left",
    ]
    done_so_far("faces", 1, 2)  # nobody listens
    assert capsys.readouterr().err == ""


def test_what_is_left_of_several_counts_is_left_of_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stages whose steps cost differently, the first of them begun in the middle, as a run that goes on has it."""
    now = [100.0]
    monkeypatch.setattr("dhhcli.output.terminal.waiting.time.monotonic", lambda: now[0])
    parts = (Part("steps", 100.0), Part("photos", 20.0), Part("steps", 80.0))
    with listening(Waiting()):
        to_come(parts)
        for what, first, total, seconds in (("steps", 50, 100, 1.0), ("photos", 0, 10, 2.0), ("steps", 0, 20, 4.0)):
            done_so_far(what, first, total)
            for done in range(first + 1, total + 1):
                now[0] += seconds
                done_so_far("faces", done % 2, 2)  # of something in between, which is not spoken of
                done_so_far(what, done, total)
    assert capsys.readouterr().err.splitlines() == [
        "52 of 100 steps, about 2 min left in all",  # a second for one of 148 that are left
        "82 of 100 steps, about 2 min left in all",
        "6 of 10 photos, about 88 s left in all",
        "6 of 20 steps, about 56 s left in all",  # 56 there are
        "14 of 20 steps, about 24 s left in all",
    ]


def test_sheets_say_how_long_they_take() -> None:
    assert sheet_words(Path("x.html"), 20) == "x.html: looking up the pictures of 20 hits; about 4 s"
    assert sheet_words(Path("x.png"), 1) == "x.png: looking up the pictures of 1 hit; about 1 s"


def test_words_become_rarer_in_hours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr("dhhcli.output.terminal.waiting.time.monotonic", lambda: now[0])
    with listening(Waiting()):
        for second in range(0, 36_001, 10):
            now[0] = float(second)
            done_so_far("steps", second, 36_000)
    assert 60 < len(capsys.readouterr().err.splitlines()) < 100


def test_several_counts_are_one() -> None:
    heard = Heard()
    with listening(heard):
        for _ in range(2):
            with in_all("faces", 6):
                for size in (2, 4):
                    for done in range(size):
                        done_so_far("faces", done, size)
                    done_so_far("files", 1, 1)
        with in_all("faces", 6, first=2):
            done_so_far("faces", 0, 4)
    once = [
        ("faces", 0, 6),
        ("faces", 1, 6),
        ("files", 1, 1),
        *(("faces", done, 6) for done in range(2, 6)),
        ("files", 1, 1),
    ]
    assert heard.said == [*once, *once, ("faces", 2, 6)]
    with in_all("faces", 6):  # nobody listens
        done_so_far("faces", 0, 4)


class Heard:
    def __init__(self) -> None:
        self.said: list[tuple[str, int, int]] = []

    def heard(self, what: str, done: int, total: int) -> None:
        self.said.append((what, done, total))

    def expected(self, parts: Sequence[Part]) -> None:
        raise AssertionError(parts)


def test_features_are_counted() -> None:
    heard = Heard()
    network = load_network()
    with listening(heard):
        network.extract(np.zeros((40, 64, 64, 3), np.uint8))
    assert heard.said == [("faces", 0, 40), ("faces", 16, 40), ("faces", 32, 40)]


def test_an_evaluation_speaks_within_two_seconds() -> None:
    """From the command to the first word, imports included, where reading takes longer than that."""
    began = time.monotonic()
    said: list[float] = []

    def say(_: object) -> None:
        said.append(time.monotonic() - began)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dhhcli.output.terminal.waiting.print_notes", say)
        with waiting("x"):
            while time.monotonic() - began < 1.6:
                sum(range(1000))  # a busy interpreter
    assert len(said) == 1
    assert said[0] < 2.0
