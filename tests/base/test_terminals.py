"""What a file is called never moves a cursor, turns a line around, or ends a command."""

import io
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import PROGRAM, on_pty
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from shipped_film import SHIPPED, film
from synthetic import scene
from typer.testing import Result

from dhhcli.base.text import in_a_cell, on_a_terminal, one_line
from dhhcli.encoding.events import Encoded, Step
from dhhcli.media.files.discover import VideoList
from dhhcli.output.terminal.encode_progress import EncodeProgress
from dhhcli.storage.codes_file import commit, compact

Run = Callable[..., Result]
EVIL = "a\x1b]0;owned\x07\x1b[2J\u202egpj.\u2066x\x9b31m\u2028z"


def harmless(text: str) -> bool:
    """Nothing in it that a terminal acts on, but for ends of lines, tabs and colours that rich wrote."""
    turning = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"
    return not any((unicodedata.category(c) == "Cc" and c not in "\r\n\t") or c in turning for c in text)


@given(st.text(st.characters(), max_size=40))
@example(EVIL)
def test_lines_cells_and_terminals_hold_nothing_that_acts(text: str) -> None:
    assert harmless(one_line(text))
    assert "\n" not in one_line(text)
    assert harmless(in_a_cell(text))
    assert not set("\t\n\r") & set(in_a_cell(text))
    assert harmless(on_a_terminal(text))
    quiet = "".join(c for c in text if c.isprintable() and c != "\\")
    assert one_line(quiet) == in_a_cell(quiet) == on_a_terminal(quiet) == quiet
    if "\\" in text or not text.isascii():
        return
    assert in_a_cell(text).encode().decode("unicode_escape") == text  # there is a way back


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Codes of a film with such a name, called by such a name."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    rng, path = np.random.default_rng(3), tmp_path / "codes.h5"
    for name in (EVIL, "größe\udcff"):
        made = film(rng, "a", shots=2, tracks=3)
        warnings = (f"stopped: {EVIL}",)
        commit(
            path, SHIPPED, replace(made, video=replace(made.video, path=Path(f"/films/{name}.mov"), warnings=warnings))
        )
    compact(path, SHIPPED)
    return path


WORDS = [
    ["query", "track:0", "--all"],
    ["query", "track:3", "--all"],
    ["query", "track:0", "--all", "-f", "tsv"],
    ["query", "track:0", "--all", "-f", "table"],
    ["query", "track:0", "--explain", "1"],
    ["query", "shot:" + EVIL + ".mov:9"],
    ["query", "name:" + EVIL],
    ["query", EVIL],
    ["info"],
    ["info", "--list"],
    ["people", "--within", "2"],
    ["forget", "codes.h5", "--track", "0", "--dry-run"],
    ["forget", "codes.h5", "--video", EVIL],
    ["name", "codes.h5", "--track", "0", EVIL],
    ["name", "codes.h5", "--track", EVIL, "Ada"],
    ["merge", "codes.h5", EVIL, "-o", "new.h5"],
    ["merge", "codes.h5", "codes.h5", "-o", "new.h5"],
    ["index", EVIL],
    ["export", EVIL, "-f", "csv"],
    ["encode", EVIL],
]


@pytest.mark.parametrize("words", WORDS, ids=[str(number) for number in range(len(WORDS))])
@pytest.mark.usefixtures("evil")
def test_no_command_hands_a_name_on_as_it_is(words: list[str], dhh: Run) -> None:
    result = dhh(*words)
    assert "Traceback" not in result.output
    assert harmless(result.stdout), result.stdout
    assert harmless(result.stderr), result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["query", "track:0", "--all"],
        ["query", "track:0", "--all", "-f", "csv"],
        ["query", "track:0", "--all", "-f", "edl"],
        ["query", "track:0", "--all", "-f", "fcpxml"],
        ["info", "--list"],
        ["people", "--within", "2"],
        ["forget", "codes.h5", "--track", "0", "--dry-run"],
    ],
)
def test_a_terminal_gets_nothing_to_act_on(evil: Path, words: list[str]) -> None:
    shown = on_pty(words, evil.parent)
    assert "owned" in shown
    assert harmless(shown), ascii(shown)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_an_encoding_that_lacks_a_letter_escapes_it(evil: Path, encoding: str, tmp_path: Path) -> None:
    names = {"ascii": b"gr\\xf6\\xdfe", "latin-1": b"gr\xf6\xdfe", "cp1252": b"gr\xf6\xdfe", "utf-8": "größe".encode()}
    for words in (["query", "track:3", "--all"], ["info", "--list"], ["query", "track:3", "--all", "-f", "table"]):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "300"},
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert names[encoding] in done.stdout
    assert evil.exists()


def test_the_progress_bar_shows_names_as_words(tmp_path: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    cv2.imwrite(str(tmp_path / "a.png"), scene(1))
    path = tmp_path / f"{EVIL}.mp4"
    console = Console(file=Terminal(), force_terminal=True, width=200, color_system=None)
    with EncodeProgress(VideoList((path,), (path,), (path,)), console) as progress:
        progress._said = 0.0
        progress.step(Step(path, 1.0, 2.0))
        progress._live.refresh()
        progress.done(Encoded(path, 1, 1, 1.0, (EVIL,)))
    progress.conclude(tmp_path / "codes.h5")
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "owned" in shown
    for act in ("\x1b]0", "\x07", "\x1b[2J", "\u202e", "\u2066", "\x9b", "\u2028"):
        assert act not in shown
