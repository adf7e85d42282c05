"""What takes long is spoken of within two seconds, with an estimate; what does not is done without a word."""

import time

import numpy as np
import pytest

from dhhcli.base.patience import done_so_far, listening
from dhhcli.models.network import load_network
from dhhcli.output.terminal.waiting import Waiting, waiting


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
    with listening(Waiting().heard):
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


def test_features_are_counted() -> None:
    heard: list[tuple[str, int, int]] = []
    network = load_network()
    with listening(lambda *said: heard.append(said)):
        network.extract(np.zeros((40, 64, 64, 3), np.uint8))
    assert heard == [("faces", 0, 40), ("faces", 16, 40), ("faces", 32, 40)]


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
