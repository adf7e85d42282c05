"""Tables for a person: one line a hit at 80, 120 and 200 columns, as text; nothing but text with NO_COLOR."""
# ruff: noqa: E501  (lines as a terminal of 200 columns shows them)

import dataclasses
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from answers import ROW
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from dhhcli.output.inventory import print_lines, print_pairs
from dhhcli.output.terminal.console import print_scores
from dhhcli.output.terminal.screen import Column, bar, elided, fitted, hit_columns, print_columns, terminal
from dhhcli.people.identities import Companion, Person
from dhhcli.people.naming import Named
from dhhcli.search.forget import Removed
from dhhcli.search.result import Row
from dhhcli.storage.inventory import Entry

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FOLDER = Path("/volumes/shuttle/2026-05-31/day 1/camera A")
HITS = (
    dataclasses.replace(
        ROW, confidence=0.97, video=FOLDER / "A001_C003_0531RG.mov", name="Ada Lovelace", names=("Ada Lovelace",)
    ),
    dataclasses.replace(ROW, rank=2, confidence=0.61, video=FOLDER / "A001_C011_0531RG_a_long_name_of_a_clip.mov"),
    dataclasses.replace(ROW, rank=3, confidence=0.23, video=Path("/x/b.mp4"), name="Grace Hopper"),
    dataclasses.replace(
        ROW, rank=10, confidence=0.02, video=FOLDER.parent / "still.jpg", start="", end="", start_seconds=0.0
    ),
)
PEOPLE = (
    Person(
        1,
        "Ada Lovelace",
        754.2,
        41,
        38,
        6,
        "01:00:04:00",
        HITS[0].video,
        3,
        17,
        "3fa91c07-5b2e90d1",
        (Companion(2, 7), Companion(5, 1)),
    ),
    Person(2, "", 9.96, 3, 3, 1, "", HITS[3].video, 1, 4, "8c4e718f-9c010d90", (Companion(1, 7),)),
)
NAMES = (Named("Ada Lovelace", 41, 6, 0), Named("Grace Hopper", 3, 1, 2))
GONE = (
    Removed(HITS[0].video, "ab", False, 3, "01:00:04:00", "01:00:06:10", None, 4, 17, "3fa91c07-5b2e90d1"),
    Removed(HITS[2].video, "cd", True, None, "", "", None, None, None, None),
)
ENTRIES = (
    Entry("video", HITS[0].video, 812, 96, 3605.4, 90135, 1920, 1080, "25", "01:00:00:00", 812345678, "ab", ()),
    Entry(
        "skipped", HITS[1].video, 0, 0, 0.0, 0, 0, 0, "", "", 0, "", ("cannot be decoded as video: is it complete?",)
    ),
)


class Terminal(io.StringIO):
    """A terminal that keeps what it was sent."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def said(
    width: int, lines: "tuple[DataclassInstance, ...]", monkeypatch: pytest.MonkeyPatch, wide: bool = False
) -> str:
    """What a command shows of some lines."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    print_lines(lines, as_json=False, wide=wide)
    return stream.getvalue()


def shown(width: int, rows: tuple[Row, ...] = HITS, encoding: str = "utf-8") -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    console = Console(file=stream, width=width, force_terminal=True, color_system=None)
    print_columns(console, hit_columns(rows, ascii_only=not encoding.startswith("utf")))
    stream.flush()
    return stream.buffer.getvalue().decode(encoding).splitlines()


# what a person sees, to the character
SEEN = {
    ("hits", 80): """\
 # confidence         file           in          out         length name
 1 very likely █████▉ A001_C003….mov 01:00:04:00 01:00:06:10  2.4 s Ada Lovelace
 2 likely      ███▋   A001_C011….mov 01:00:04:00 01:00:06:10  2.4 s
 3 unsure      █▍     /x/b.mp4       01:00:04:00 01:00:06:10  2.4 s Grace Hopper
10 unlikely    ▏      /vo…/still.jpg                          photo
""",
    ("people", 80): """\
person name         seconds tracks shots first seen  video          seen with
     1 Ada Lovelace   754.2     41    38 01:00:04:00 A001_C003….mov 2 (7), 5 (1)
     2                 9.96      3     3             /vo…/still.jpg 1 (7)
""",
    ("names", 80): """\
name         tracks videos missing
Ada Lovelace     41      6       0
Grace Hopper      3      1       2
""",
    ("gone", 80): """\
video        whole shot start       end         distance track track id
A001_C0….mov no       3 01:00:04:00 01:00:06:10        4    17 3fa91c07-5b2e90d1
/x/b.mp4     yes
""",
    ("entries", 80): """\
kind    path                shots tracks seconds start       problems
video   A001_C003_05…RG.mov   812     96  3605.4 01:00:00:00
skipped A001_C011_05…ip.mov     0      0     0.0             cannot be de…plete?
""",
    ("hits", 120): """\
 # confidence         file                                                   in          out         length name
 1 very likely █████▉ /volumes/shuttle/2…day 1/camera A/A001_C003_0531RG.mov 01:00:04:00 01:00:06:10  2.4 s Ada Lovelace
 2 likely      ███▋   /volumes/s…/A001_C011_0531RG_a_long_name_of_a_clip.mov 01:00:04:00 01:00:06:10  2.4 s
 3 unsure      █▍     /x/b.mp4                                               01:00:04:00 01:00:06:10  2.4 s Grace Hopper
10 unlikely    ▏      /volumes/shuttle/2026-05-31/day 1/still.jpg                                     photo
""",
    ("people", 120): """\
person name         seconds tracks shots videos first seen  video              shot track track id          seen with
     1 Ada Lovelace   754.2     41    38      6 01:00:04:00 A001_C003_05…G.mov    3    17 3fa91c07-5b2e90d1 2 (7), 5 (1)
     2                 9.96      3     3      1             /volum…1/still.jpg    1     4 8c4e718f-9c010d90 1 (7)
""",
    ("names", 120): """\
name         tracks videos missing
Ada Lovelace     41      6       0
Grace Hopper      3      1       2
""",
    ("gone", 120): """\
video                                                whole shot start       end         distance track track id
/volumes/shuttle/…ay 1/camera A/A001_C003_0531RG.mov no       3 01:00:04:00 01:00:06:10        4    17 3fa91c07-5b2e90d1
/x/b.mp4                                             yes
""",
    ("entries", 120): """\
kind    path                                    shots tracks seconds start       problems
video   /volumes/shut…ra A/A001_C003_0531RG.mov   812     96  3605.4 01:00:00:00
skipped A001_C011_0531RG_a_long_na…f_a_clip.mov     0      0     0.0             cannot be decoded as video…it complete?
""",
    ("hits", 200): """\
 # confidence         file                                                                                  in          out         length name
 1 very likely █████▉ /volumes/shuttle/2026-05-31/day 1/camera A/A001_C003_0531RG.mov                       01:00:04:00 01:00:06:10  2.4 s Ada Lovelace
 2 likely      ███▋   /volumes/shuttle/2026-05-31/day 1/camera A/A001_C011_0531RG_a_long_name_of_a_clip.mov 01:00:04:00 01:00:06:10  2.4 s
 3 unsure      █▍     /x/b.mp4                                                                              01:00:04:00 01:00:06:10  2.4 s Grace Hopper
10 unlikely    ▏      /volumes/shuttle/2026-05-31/day 1/still.jpg                                                                    photo
""",
    ("people", 200): """\
person name         seconds tracks shots videos first seen  video                                                           shot track track id          seen with
     1 Ada Lovelace   754.2     41    38      6 01:00:04:00 /volumes/shuttle/2026-05-31/day 1/camera A/A001_C003_0531RG.mov    3    17 3fa91c07-5b2e90d1 2 (7), 5 (1)
     2                 9.96      3     3      1             /volumes/shuttle/2026-05-31/day 1/still.jpg                        1     4 8c4e718f-9c010d90 1 (7)
""",
    ("names", 200): """\
name         tracks videos missing
Ada Lovelace     41      6       0
Grace Hopper      3      1       2
""",
    ("gone", 200): """\
video                                                           whole shot start       end         distance track track id
/volumes/shuttle/2026-05-31/day 1/camera A/A001_C003_0531RG.mov no       3 01:00:04:00 01:00:06:10        4    17 3fa91c07-5b2e90d1
/x/b.mp4                                                        yes
""",
    ("entries", 200): """\
kind    path                                                                                  shots tracks seconds start       problems
video   /volumes/shuttle/2026-05-31/day 1/camera A/A001_C003_0531RG.mov                         812     96  3605.4 01:00:00:00
skipped /volumes/shuttle/2026-05-31/day 1/camera A/A001_C011_0531RG_a_long_name_of_a_clip.mov     0      0     0.0             cannot be decoded as video: is it complete?
""",
}


LINES: dict[str, tuple[Any, ...]] = {"people": PEOPLE, "names": NAMES, "gone": GONE, "entries": ENTRIES}


@pytest.mark.parametrize(("what", "width"), sorted(SEEN))
def test_a_line_a_hit_at_every_width(what: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(width) if what == "hits" else said(width, LINES[what], monkeypatch).splitlines()
    assert [line.rstrip() for line in lines] == SEEN[what, width].splitlines()
    assert all(cell_len(line) <= width for line in lines)


@given(st.integers(8, 220), st.lists(st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1), min_size=1))
def test_no_line_is_wider_and_numbers_stay_whole(width: int, names: list[str]) -> None:
    rows = tuple(
        dataclasses.replace(ROW, rank=number, video=Path("/films") / name.replace("/", "-"), name=name, confidence=0.3)
        for number, name in enumerate(names, start=1)
    )
    lines = shown(width, rows)
    if lines[0].startswith("#: "):
        assert width < 40  # a line a cell
        assert f"in: {ROW.start}" in lines
        return
    assert len(lines) == len(rows) + 1
    for row, line in zip(rows, lines[1:], strict=True):
        assert cell_len(line) <= width
        assert line.split()[0] == str(row.rank)
        assert row.start in line
        for head, value in (("out", row.end), ("length", "2.4 s")):
            assert (value in line) == (head in lines[0].split())


@given(st.text(st.characters(categories=("L", "N"))), st.integers(0, 40))
def test_what_is_elided_keeps_both_ends(text: str, width: int) -> None:
    short = elided(Text(text), width, "…").plain
    assert cell_len(short) <= width or short == text
    if cell_len(text) <= width:
        assert short == text
    elif width:
        begin, _, end = short.partition("…")
        assert text.startswith(begin)
        assert text.endswith(end)


def test_a_files_name_stays_whole_where_it_can() -> None:
    assert elided(Text("/volumes/shuttle/day 1/A001_C003.mov"), 16, "…").plain == "…/A001_C003.mov"
    assert elided(Text("/volumes/shuttle/day 1/A001_C003.mov"), 20, "…").plain == "/volu…/A001_C003.mov"


def test_a_files_name_that_is_too_long_keeps_both_its_ends() -> None:
    """What tells a camera's clips from each other is in front."""
    for path in ("/volumes/day 1/A001_C003_0531RG.mov", "A001_C003_0531RG.mov"):
        assert elided(Text(path), 14, "…").plain == "A001_C003….mov"
    assert elided(Text("/volumes/day 1/A001_C003_0531RG.mov"), 20, "…").plain == "A001_C003_0531RG.mov"
    assert elided(Text("/x/日本語の長い名前.mov"), 9, "…").plain == "日本….mov"


def test_photos_alone_have_no_column_of_time() -> None:
    lines = shown(80, HITS[3:])
    assert lines[0].split() == ["#", "confidence", "file", "length"]


def test_bars_are_as_long_as_they_say() -> None:
    for share in (0.0, 0.1, 0.5, 0.97, 1.0):
        assert cell_len(bar(share, ascii_only=False)) == len(bar(share, ascii_only=True)) == 6
    assert (bar(0.5, ascii_only=False), bar(0.5, ascii_only=True)) == ("███   ", "###...")
    assert shown(80, encoding="ascii")[1].startswith(" 1 very likely ######")


def test_wide_has_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(400, PEOPLE, monkeypatch, wide=True).split("\n")[0].split() == [
        field.name for field in dataclasses.fields(Person)
    ]
    assert "fingerprint" in said(400, ENTRIES, monkeypatch, wide=True)
    assert "fingerprint" not in said(400, ENTRIES, monkeypatch)


@pytest.mark.parametrize("value", ["1", "x"])
def test_no_color_means_no_escapes_at_all(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    for variable, escapes in (("", True), (value, False)):
        monkeypatch.setenv("NO_COLOR", variable)
        stream = Terminal()
        monkeypatch.setattr(sys, "stdout", stream)
        print_columns(terminal(), hit_columns(HITS))
        print_lines(PEOPLE, as_json=False)
        print_pairs(PEOPLE[0], as_json=False)
        print_scores(NAMES, as_json=False)
        assert ("\x1b" in stream.getvalue()) == escapes


def test_columns_fall_away_the_least_needed_first() -> None:
    columns = [
        Column("a", [Text("x" * 10)]),
        Column("b", [Text("y" * 10)], order=2),
        Column("c", [Text("z" * 10)], order=1),
    ]
    heads = {width: [column.head for column, _ in fitted(columns, width) or ()] for width in (32, 31, 21, 20, 10, 9)}
    assert heads == {32: ["a", "b", "c"], 31: ["a", "c"], 21: ["a", "c"], 20: ["a"], 10: ["a"], 9: []}
