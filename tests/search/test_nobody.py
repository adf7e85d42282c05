"""dhh query of somebody who is not there: it says so in one line, exits with 3, and prints the rows all the same."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import on_pty
from shipped_film import SHIPPED, film
from typer.testing import Result

from dhhcli.library import Library
from dhhcli.media.sample import Sample
from dhhcli.search.confidence import THERE, probably_nobody, somebody
from dhhcli.search.query import Answer
from dhhcli.search.result import Row
from dhhcli.storage.codes_file import commit, compact

Run = Callable[..., Result]
SAID = "probably nobody: the best shot has a confidence of 0"


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codes file of drawn codes that differ in 12 bits: far from everybody's."""
    path = tmp_path_factory.mktemp("strangers") / "codes.h5"
    for name in "ab":
        commit(path, SHIPPED, film(np.random.default_rng(3), name, shots=3, tracks=4))
    compact(path, SHIPPED)
    return path


def row(confidence: float | None) -> Row:
    return Row(1, 30, 128, confidence, None, Path("a.mov"), 1, "", "", 0, 1, 0, 25, "", 0, (0, 0, 1, 1), 1, 0)


@pytest.mark.parametrize("words", [(), ("--json",), ("-f", "csv"), ("--top", "2"), ("--merge", "9")])
def test_one_line_says_it_and_rows_come_all_the_same(
    strangers: Path, sample: Sample, dhh: Run, words: tuple[str, ...]
) -> None:
    answer = dhh("query", sample.photos[0], "-c", strangers, *words)
    assert answer.exit_code == 3
    assert answer.stderr.startswith(SAID)
    assert answer.stderr.endswith(", less than 0.1\n")
    assert answer.stderr.count("\n") == 1
    lines = answer.stdout.splitlines()
    assert len(lines) >= 2
    if words == ("--json",):
        assert all(json.loads(line)["confidence"] < THERE for line in lines)


def test_a_terminal_shows_the_line_and_the_table(strangers: Path, sample: Sample) -> None:
    shown = on_pty(["query", str(sample.photos[0])], strangers.parent)
    assert shown.count(SAID) == 1
    assert "/footage/" in shown
    assert "unlikely" in shown


def test_each_question_is_answered_for_itself(strangers: Path, encoded: Path, sample: Sample, dhh: Run) -> None:
    collins, hopper = sample.photos
    answer = dhh("query", collins, hopper, "--each", "-c", strangers)
    assert answer.exit_code == 3
    assert [line.partition(": probably nobody")[0] for line in answer.stderr.splitlines()] == [
        str(collins),
        str(hopper),
    ]
    assert dhh("query", collins, hopper, "--each", "-c", encoded).exit_code == 0
    skipped = dhh("query", collins, "gone.jpg", "--each", "-c", strangers)
    assert skipped.exit_code == 4  # that some were not asked is what a script should know first
    assert len(skipped.stderr.splitlines()) == 2


def test_somebody_among_several_questions_is_somebody() -> None:
    assert Answer((row(0.01), row(0.1)), (), ()).exit_code == 0
    assert Answer((row(0.01), row(0.0999)), (), ()).exit_code == 3
    assert Answer((), (), ()).exit_code == 3
    assert Answer((row(None),), (), ()).exit_code == 0  # not calibrated: nothing is promised or denied


def test_the_figure_is_cut_and_never_looks_like_the_limit() -> None:
    assert probably_nobody([row(0.02), row(0.09999)]) == (
        "probably nobody: the best shot has a confidence of 0.099, less than 0.1"
    )
    assert not somebody([row(0.09999)])


def test_python_gets_the_rows(strangers: Path, sample: Sample, caplog: pytest.LogCaptureFixture) -> None:
    """An exception would keep a program from the rows; the words go to the log."""
    with caplog.at_level(logging.INFO, logger="dhhcli"):
        hits = Library(strangers).search(sample.photos[0])
    assert len(hits) > 1
    assert [record.message.startswith(SAID) for record in caplog.records] == [True]


def test_weights_that_promise_nothing_deny_nothing(dhh: Run, clip: Path, sample: Sample, other_weights: Path) -> None:
    assert dhh("encode", clip, "--weights", other_weights).exit_code == 0
    answer = dhh("query", sample.photos[0], "--weights", other_weights)
    assert (answer.exit_code, answer.stderr) == (0, "")
