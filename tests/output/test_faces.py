"""Small faces below tables: only on terminals that say that they show pictures, which are never waited for long."""

import base64
import io
import os
import re
import sys
import termios
import time
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from terminals import ANSWERS, in_terminal, screen_of, terminal_of

from dhhcli.media.sample import portraits
from dhhcli.output.terminal import faces, pictures
from dhhcli.output.terminal.faces import MOST, TILE, show_faces, strips
from dhhcli.output.terminal.pictures import CELL, Able, Way, able, ask, may_show, read_answers

Pixels = npt.NDArray[np.float64]


def jpeg_of(face: npt.NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".jpg", face)[1].tobytes())


@pytest.fixture(scope="module")
def jpegs() -> tuple[bytes, ...]:
    """Two faces that nobody takes for each other."""
    return tuple(jpeg_of(np.asarray(cv2.resize(face, (112, 112)), np.uint8)) for face in portraits().values())


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (ANSWERS["kitty"], Able(Way.kitty, (10, 20))),
        (ANSWERS["iterm2"], Able(Way.iterm2, (9, 18))),
        (ANSWERS["sixel"], Able(Way.sixel, (9, 18))),
        (b"\x1bP>|WezTerm 20240203\x1b\\\x1b[?65;4;6;18;22c", Able(Way.iterm2)),
        (b"\x1b_Gi=31;ENOTSUP:no\x1b\\\x1b[?62;4c", Able(Way.sixel)),  # kitty's question, but refused
        (b"\x1b[6;0;0t\x1b[?62;4c", Able(Way.sixel)),
        (b"\x1b[6;9999;9999t\x1b[?62;4c", Able(Way.sixel)),
        (ANSWERS["plain"], None),
        (b"\x1b[?4;2c", None),  # a VT132, not sixels
        (b"\x1b[?64;14;24c", None),
        (b"", None),
        (b"\xff\x1b[?\x1b_Gi=31;OK", None),
    ],
)
def test_what_terminals_answer(answers: bytes, expected: Able | None) -> None:
    assert read_answers(answers) == expected


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_a_terminal_is_asked_and_not_waited_for(kind: str) -> None:
    with terminal_of(kind) as (fd, seen):
        before = termios.tcgetattr(fd)
        began = time.monotonic()
        found = ask(fd, wait=5.0 if ANSWERS[kind] else pictures.WAIT)
        took = time.monotonic() - began
        assert found == ANSWERS[kind]
        assert termios.tcgetattr(fd) == before
        os.write(fd, b"end")
        while b"end" not in b"".join(seen):
            time.sleep(0.001)
        assert b"".join(seen) == pictures.QUESTIONS + b"end"  # the answer is not shown
    assert took < (2.5 if ANSWERS[kind] else 1.5)
    assert pictures.WAIT < 0.2


def test_what_is_typed_ahead_stays_for_the_shell() -> None:
    ours, theirs = os.openpty()
    os.write(ours, b"ls\n")
    assert ask(theirs) == b""
    assert os.read(theirs, 10) == b"ls\n"
    os.close(ours)
    os.close(theirs)


def test_a_terminal_that_is_not_ours_is_not_asked() -> None:
    with terminal_of("kitty") as (fd, seen), os.fdopen(os.dup(fd), "w") as stream:
        assert able(stream) is None
        time.sleep(0.03)
        assert not seen


class Tty(io.StringIO):
    def __init__(self, tty: bool) -> None:
        super().__init__()
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty


@pytest.mark.parametrize(
    ("environment", "wanted", "tty", "expected"),
    [
        ({}, None, True, True),
        ({}, None, False, False),
        ({}, True, False, False),  # off in a pipe, whatever is said
        ({}, False, True, False),
        ({"NO_COLOR": "1"}, None, True, False),
        ({"NO_COLOR": "1"}, True, True, True),
        ({"TERM": "dumb"}, None, True, False),
        ({"TERM": "dumb"}, True, True, False),
        ({"TERM": ""}, None, True, False),
        ({"TERM": "linux"}, None, True, False),
        ({"TERM_PROGRAM": "Apple_Terminal"}, None, True, False),
    ],
)
def test_when_a_terminal_is_asked(
    environment: dict[str, str], wanted: bool | None, tty: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm-256color"} | environment).items():
        monkeypatch.setenv(name, value)
    assert may_show(Tty(tty), wanted=wanted) is expected


def pixels_of(command: str) -> Pixels:
    """What a terminal draws: the picture of one command (h, w, 3) RGB."""
    if command.startswith("\x1bP"):
        return sixels(command)
    data = command.partition(":" if "1337" in command else ";")[2].rstrip("\a\x1b\\")
    with Image.open(io.BytesIO(base64.b64decode(data))) as opened:
        return np.asarray(opened.convert("RGB"), np.float64)


def sixels(command: str) -> Pixels:
    """Sixels -> pixels, as a terminal reads them."""
    colours: dict[int, tuple[float, ...]] = {}
    drawn: dict[tuple[int, int], tuple[float, ...]] = {}
    body = command[command.index("q") + 1 : -2]
    x = y = 0
    pen: tuple[float, ...] = ()
    for found in re.finditer(r'#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|([$-])|"[0-9;]*', body):
        if found[1] and found[2]:
            colours[int(found[1])] = tuple(int(found[at]) * 2.55 for at in (2, 3, 4))
        elif found[1]:
            pen = colours[int(found[1])]
        elif found[8]:
            x, y = 0, y + 6 * (found[8] == "-")
        elif letter := found[6] or found[7]:
            run = range(x, x + int(found[5] or 1))
            drawn |= {(y + bit, at): pen for at in run for bit in range(6) if (ord(letter) - 63) >> bit & 1}
            x = run.stop
    height, width = (max(place[axis] for place in drawn) + 1 for axis in (0, 1))
    assert len(drawn) == height * width  # no hole
    return np.array([[drawn[row, column] for column in range(width)] for row in range(height)])


def shrunk(jpeg: bytes, size: tuple[int, int]) -> Pixels:
    face = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert face is not None
    return np.asarray(cv2.resize(face, size, interpolation=cv2.INTER_AREA)[..., ::-1], np.float64)


@pytest.mark.parametrize("width", [9, 80, 120, 200])
@pytest.mark.parametrize("way", list(Way))
def test_faces_stand_above_their_numbers(way: Way, width: int, jpegs: tuple[bytes, ...]) -> None:
    """Where each is drawn, what is drawn there, and that the cursor ends below, whatever a picture does to it."""
    shown = [
        ("1", jpegs[0]),
        ("2 Grace Hopper", jpegs[1]),
        ("3", b""),
        ("4", b"\xff\xd8damaged"),
        *[("5", jpegs[0])] * 9,
    ]
    text = strips(shown, Able(way, (10, 20)), width)
    screen = screen_of(text)
    each = (width + 1) // 9
    lines = -(-len(shown) // each)
    assert screen.cursor == (lines * 5, 0)
    assert [line for number, line in enumerate(screen.lines) if number % 5 != 4] == [""] * (lines * 4 + 1)
    assert [word for line in screen.lines for word in line.split()][:4] == ["1", "2", "Grace…", "3"]
    assert all(len(line) <= width for line in screen.lines)
    places = [(number // each * 5, number % each * 9) for number in range(len(shown)) if number not in (2, 3)]
    assert [(row, column) for row, column, _ in screen.pictures] == places
    if width == 80:
        for face, (_, _, command) in zip((jpegs[0], jpegs[1]), screen.pictures, strict=False):
            drawn = pixels_of(command)
            height = 78 if way is Way.sixel else 80
            assert drawn.shape == (height, 80, 3)
            right, wrong = (np.abs(drawn - shrunk(one, (80, height))).mean() for one in (face, jpegs[face is jpegs[0]]))
            assert right < 15 < wrong


def test_pictures_are_small(jpegs: tuple[bytes, ...]) -> None:
    """Twenty faces over a slow line."""
    for way in Way:
        assert len(strips([("1", jpegs[0])], Able(way), 80)) < 25_000
    assert TILE[0] * CELL[0] == TILE[1] * CELL[1]  # square


def test_faces_on_this_stream(
    jpegs: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """None in a pipe; a word why not only where they are wanted; at most so many; none on a terminal of a few lines."""
    hits = [(str(number), jpegs[0]) for number in range(1, 50)]
    for name, value in {"TERM": "xterm", "COLUMNS": "80", "LINES": "40"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(faces, "able", lambda: Able(Way.iterm2))
    assert show_faces(hits) == ()
    assert capsys.readouterr().out == ""
    assert show_faces(hits, wanted=True) == ("no faces: standard output is no terminal",)
    screen = Tty(tty=True)
    monkeypatch.setattr(sys, "stdout", screen)
    assert show_faces(hits) == ()
    assert screen.getvalue().count("\x1b]1337") == MOST
    assert show_faces([("1", b"")]) == ()
    assert "has no pictures of these" in show_faces([("1", b"")], wanted=True)[0]
    before = screen.getvalue()
    monkeypatch.setenv("LINES", "5")
    assert show_faces(hits) == ()
    monkeypatch.setattr(faces, "able", lambda: Able(Way.sixel))
    monkeypatch.setitem(sys.modules, "timg", None)
    assert show_faces(hits) == ()
    assert 'pip install "dhhcli[pictures]"' in show_faces(hits, wanted=True)[0]
    monkeypatch.setattr(faces, "able", lambda: None)
    assert show_faces(hits) == ()
    assert "does not say that it shows pictures" in show_faces(hits, wanted=True)[0]
    assert screen.getvalue() == before


@pytest.mark.parametrize("kind", ["kitty", "silent"])
def test_people_in_a_terminal(kind: str, encoded: Path) -> None:
    """The whole command: the table first, then the question, then faces or nothing, and soon."""
    told = in_terminal(["people", encoded], kind)
    assert told.code == 0
    table, asked, rest = told.text.partition(pictures.QUESTIONS)
    assert b"very likely" not in table
    assert table.count(b"film.mp4") == 2
    assert asked
    assert rest.count(b"a=T,f=100") == (2 if kind == "kitty" else 0)
    if kind == "silent":
        assert rest == b""


def test_nothing_is_asked_where_nothing_may_be_shown(encoded: Path, tmp_path: Path) -> None:
    config = tmp_path / "dhh.toml"
    config.write_text("faces = false\n")
    for environment in ({"NO_COLOR": "1"}, {"DHH_CONFIG": str(config)}):
        told = in_terminal(["people", encoded], "kitty", environment=environment)
        assert told.code == 0
        assert b"film.mp4" in told.text
        assert b"\x1b_G" not in told.text


def _never(_: IO[str] | None = None) -> None:
    raise AssertionError("a terminal was asked")
