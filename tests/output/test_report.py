"""report/: what is printed, to the character."""

import dataclasses
import io
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from answers import ROW
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dhhcli.encoding.events import Encoded, Skipped, Step, Unchanged
from dhhcli.errors import DhhError
from dhhcli.media.files.discover import VideoList
from dhhcli.output.columns import COLUMNS
from dhhcli.output.delimited import json_lines, tsv
from dhhcli.output.inventory import print_lines, print_pairs
from dhhcli.output.sheets.contact_sheet import CAPTION, CELL, contact_sheet, write_sheet
from dhhcli.output.terminal.console import print_scores
from dhhcli.output.terminal.encode_progress import EncodeProgress, Summary
from dhhcli.output.terminal.table import print_result
from dhhcli.research.datasets.folders import Missed, Packed
from dhhcli.research.datasets.layout_names import FolderLayout
from dhhcli.research.datasets.layouts import Item, Listing
from dhhcli.research.datasets.progress import PackProgress


def test_tsv_to_the_character() -> None:
    header, line = tsv([ROW])
    assert header == (
        "rank\tdistance\tbits\tconfidence\tfalse_rate\tvideo\tshot\tstart\tend\tstart_seconds\tend_seconds\tstart_frame\tend_frame"
        "\tface_at\tface_frame\tbox\ttracks\ttrack\ttrack_id\tname\tnames"
    )
    assert line == (
        "1\t7\t48\t0.425000\t0.002500\t/films/a b.mp4\t3\t01:00:04:00\t01:00:06:10\t4.000000\t6.400000\t100\t160"
        "\t01:00:04:11\t111\t377,104,458,204\t1\t12\t3fa91c07-5b2e90d1\t\t"
    )


def unescape(cell: str) -> str:
    """What a reader of the TSV does."""
    out, i = "", 0
    while i < len(cell):
        if cell[i] == "\\" and cell[i + 1] in "xu":
            digits = {"x": 2, "u": 4}[cell[i + 1]]
            out += chr(int(cell[i + 2 : i + 2 + digits], 16))
            i += 2 + digits
        elif cell[i] == "\\":
            out += {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}[cell[i + 1]]
            i += 2
        else:
            out += cell[i]
            i += 1
    return out


@given(st.text(alphabet=st.characters(exclude_characters="\0/"), min_size=1))
def test_any_path_survives_tsv_and_json(name: str) -> None:
    row = dataclasses.replace(ROW, video=Path("/") / name)
    _, line = tsv([row])
    cells = line.split("\t")
    assert len(cells) == len(COLUMNS)
    assert "\n" not in line
    assert unescape(cells[5]) == str(row.video)
    (text,) = json_lines([row])
    assert json.loads(text)["video"] == str(row.video)
    assert json.loads(text)["box"] == [377, 104, 458, 204]


def jpeg(level: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((112, 90, 3), level, np.uint8))[1].tobytes())


def test_sheet_lays_faces_out_in_rank_order() -> None:
    rows = [dataclasses.replace(ROW, rank=i + 1) for i in range(6)]
    sheet = contact_sheet(rows, [jpeg(10), jpeg(60), jpeg(110), jpeg(160), b"", jpeg(240)])
    assert sheet.shape == (2 * (CELL + CAPTION), 5 * CELL, 3)
    centres = [sheet[CELL // 2, CELL * i + CELL // 2].tolist() for i in range(5)]
    for centre, level in zip(centres, (10, 60, 110, 160, 200), strict=True):
        assert centre == pytest.approx([level] * 3, abs=3)
    assert sheet[CELL + CAPTION + CELL // 2, CELL // 2].tolist() == pytest.approx([240] * 3, abs=3)
    assert contact_sheet([], []).std() == 0


def test_sheet_begins_with_what_was_asked_with() -> None:
    def jpeg(level: int) -> bytes:
        return bytes(cv2.imencode(".jpg", np.full((80, 80, 3), level, np.uint8))[1].tobytes())

    photos = [(Path(f"/p/{i}.jpg"), jpeg(20 * i)) for i in range(7)]
    sheet = contact_sheet([ROW], [jpeg(220)], photos)
    assert sheet.shape == (2 * (CELL + CAPTION), 5 * CELL, 3)  # a line of photos at most, then the answers
    levels = [int(sheet[CELL // 2, CELL * i + CELL // 2, 0]) for i in range(5)]
    assert levels == pytest.approx([0, 20, 40, 60, 80], abs=3)
    assert int(sheet[CELL + CAPTION + CELL // 2, CELL // 2, 0]) == pytest.approx(220, abs=3)
    assert (sheet[2, 3 : CELL - 3] == sheet[2, 3]).all()  # the frame
    assert sheet[2, 3, 0] < 60 < sheet[CELL + CAPTION + 2, 3, 0]


@pytest.mark.parametrize("width", [20, 40, 67, 74, 75, 80, 81, 82, 200])
def test_all_columns_are_never_cut(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    columns = ("rank", "distance", "confidence", "shot", "start", "end", "face_at", "video")
    print_result(console, [ROW, dataclasses.replace(ROW, rank=2)], columns)
    header = ("rank", "distance", "confidence", "shot", "start", "end", "face at", "video")
    cells = ["1", "7/48", "0.42 unsure", "3", "01:00:04:00", "01:00:06:10", "01:00:04:11", "/films/a b.mp4"]
    shown = words(console)
    if width < 75:  # 60 for what is never broken, 8 for the path, 7 between them
        first = [f"{name}: {cell}" for name, cell in zip(header, cells, strict=True)]
        assert shown == [*first, "", "rank: 2", *first[1:]]  # whole: the terminal breaks what is too long for it
    else:
        assert max(map(len, shown)) <= width
        assert shown[0].split() == " ".join(header).split()
        assert shown[1].split()[:8] == " ".join(cells[:-1]).split()
        path = shown[0].index("video")
        folded = shown[1 : len(shown) // 2 + 1]
        assert "".join(line[path:].rstrip() for line in folded).replace(" ", "") == "/films/ab.mp4"


def test_a_narrow_terminal_gets_whole_people_pairs_and_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass(frozen=True)
    class Line:
        protocol: str
        video: str
        map: float

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    line = Line("still to set", "/films/" + "long" * 12 + ".mp4", 0.25)
    monkeypatch.setenv("NO_COLOR", "1")
    for width in ("40", "200"):
        monkeypatch.setenv("COLUMNS", width)
        monkeypatch.setattr(sys, "stdout", Terminal())
        print_scores([line], as_json=False)
        print_lines([line], as_json=False)
        print_pairs(line, as_json=False)
        assert isinstance(sys.stdout, Terminal)
        text = sys.stdout.getvalue()
        assert "\x1b[3" not in text  # a colour
        shown = text.splitlines()
        if width == "40":
            assert shown[:3] == ["protocol: still to set", f"video: {line.video}", "map: 0.2500"]
            pairs = shown[-4:]
            assert "".join(part.removeprefix("video").strip() for part in pairs[1:3]) == line.video
            assert all(len(part) <= 40 for part in pairs)
        else:
            assert shown[1].split() == ["still", "to", "set", line.video, "0.2500"]


def test_sheet_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DhhError, match="cannot be written"):
        write_sheet(tmp_path / "no" / "hits.png", [ROW], [b""])


def words(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_progress_without_a_terminal_is_plain_lines(tmp_path: Path) -> None:
    videos = []
    for i, size in enumerate((10, 30, 60)):
        videos.append(tmp_path / f"[b]{i}.mp4")  # square brackets are no markup
        videos[-1].write_bytes(bytes(size))
    console = Console(file=io.StringIO(), width=60, force_terminal=False)
    with EncodeProgress(VideoList(tuple(videos), (tmp_path / "notes.txt",)), console) as progress:
        for number, video in enumerate(videos):
            progress.step(Step(video, 0.0, 10.0))
            progress.step(Step(video, 5.0, 10.0))
            event = (
                Encoded(video, 3, 2, 10.0, ()),
                Encoded(video, 1, 0, 5.0, ("stopped at 00:00:05.0: end of file",)),
                Skipped(video, "not a video"),
            )[number]
            progress.done(event)
    progress.conclude(tmp_path / "codes.h5")
    lines = words(console)
    assert lines[0].startswith(f"[1/3] {videos[0]}: 10.0 s, 3 shots, 2 face tracks, ")
    assert "left" in lines[0]
    assert lines[1].startswith(f"[2/3] {videos[1]}: 5.0 s, 1 shot, 0 face tracks, ")
    assert lines[2] == f"[3/3] {videos[2]}: skipped: not a video"
    assert lines[3].startswith("3 videos: 2 encoded, 0 unchanged, 1 skipped; 2 face tracks in 4 shots, 15.0 s of film")
    assert lines[4:] == [
        f"without faces: {videos[1]}",
        f"incomplete: {videos[1]}: stopped at 00:00:05.0: end of file",
        f"skipped: {videos[2]}: not a video",
        f"ignored: {tmp_path / 'notes.txt'}: not the suffix of a video or photo",
    ]
    assert progress.exit_code == 4


def test_many_photos_without_faces_are_counted() -> None:
    """Of ten thousand landscapes the summary is no list."""
    some, many = (Summary([Encoded(Path(f"{number}.jpg"), 1, 0, 0.0, ()) for number in range(n)]) for n in (20, 10_000))
    assert some.lines()[1:] == [f"without faces: {number}.jpg" for number in range(20)]
    assert len(many.lines()) == 22
    assert many.lines()[-1] == "without faces: 9980 more; dhh info --list names them, with 0 tracks"


def test_the_bar_moves_inside_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("dhhcli.output.terminal.encode_progress.time.monotonic", lambda: now[0])
    videos = [tmp_path / f"{name}.mp4" for name in "abcd"]
    for video in videos:
        video.write_bytes(bytes(100))
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    progress = EncodeProgress(VideoList(tuple(videos), ()), console)
    progress.plan(set(videos[1:]))
    now[0] += 50  # a look at what is known takes a while
    progress.done(Unchanged(videos[0]))
    for video, seconds in ((videos[1], 0.0), (videos[2], 0.0), (videos[1], 50.0), (videos[2], 25.0)):
        now[0] += 30 if seconds == 50 else 0
        progress.step(Step(video, seconds, 100.0))
    assert progress._completed == pytest.approx(1.75)
    now[0] += 30
    progress.done(Encoded(videos[1], 1, 1, 100.0, ()))
    assert progress._completed == pytest.approx(2.25)


def test_what_an_earlier_run_had_done_is_no_work_of_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 s 60 were done; 20 more took 10 s: the other 20 take 10 s, and all of it goes at twice real time."""
    now = [100.0]
    monkeypatch.setattr("dhhcli.output.terminal.encode_progress.time.monotonic", lambda: now[0])
    film = tmp_path / "a.mp4"
    film.write_bytes(bytes(1000))
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    progress = EncodeProgress(VideoList((film,), ()), console)
    progress.step(Step(film, 60.0, 100.0, since=60.0))
    now[0] += 10
    progress.step(Step(film, 80.0, 100.0, since=60.0))
    assert progress._completed == pytest.approx(0.8)
    assert progress._left() == ", about 10 s left"
    now[0] += 10
    progress.done(Encoded(film, 1, 1, 100.0, ()))
    first, last = words(console)
    assert first == f"{film}: goes on at 00:01:00.0, where an earlier run was cut off"
    assert "2.0x real time" in last


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([Encoded(Path("a"), 1, 1, 1.0, ())], 0),
        ([Unchanged(Path("a"))], 0),
        ([Unchanged(Path("a"), ("cut short",))], 4),
        ([Encoded(Path("a"), 1, 1, 1.0, ("cut short",))], 4),
        ([Unchanged(Path("a")), Skipped(Path("b"), "bad")], 4),
        ([Skipped(Path("b"), "bad")], 1),
    ],
)
def test_exit_codes_of_encode(events: list[Encoded | Unchanged | Skipped], code: int) -> None:
    progress = EncodeProgress(VideoList((), ()), Console(file=io.StringIO()))
    for event in events:
        progress.done(event)
    assert progress.exit_code == code


def test_many_ignored_files_are_counted(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    progress = EncodeProgress(VideoList((), tuple(Path(f"{i}.txt") for i in range(25))), console)
    progress.conclude(tmp_path / "codes.h5")
    assert words(console)[-1] == "ignored: 5 more files (5: not the suffix of a video or photo)"


def test_summary_of_nothing() -> None:
    assert Summary().lines()[0].startswith("0 videos: 0 encoded, 0 unchanged, 0 skipped")


def test_a_terminal_shows_speed_and_share(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"x")
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    with EncodeProgress(VideoList((video,), ()), console) as progress:
        progress.step(Step(video, 0.0, 10.0))
        progress._said -= 1  # a fifth of a second must pass between two drawings
        progress.step(Step(video, 5.0, 10.0))
        progress._live.refresh()
    assert "a.mp4" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "50%" in console.file.getvalue()  # type: ignore[attr-defined]


def packing(events: list[Packed | Missed], out: Path, ignored: int = 0) -> tuple[list[str], int]:
    items = (
        Item("ann", Path("s/ann/1.jpg")),
        Item("ann", Path("s/ann/2.mp4"), is_video=True),
        *(Item("bo", Path(f"s/bo/t/{i}.jpg"), track="t", frame=i) for i in range(2)),
    )
    listing = Listing(Path("s"), FolderLayout.PB, items, tuple(Path(f"s/{i}.txt") for i in range(ignored)))
    stream = io.StringIO()
    progress = PackProgress([listing], Console(file=stream, width=40))
    for event in events:
        progress.done(event)
    progress.conclude(out)
    return stream.getvalue().splitlines(), progress.exit_code


def test_packing_says_totals_and_names_everything_left_out(tmp_path: Path) -> None:
    out = tmp_path / "faces.h5"
    out.write_bytes(bytes(1234))
    events: list[Packed | Missed] = [
        Packed(Path("s/ann/1.jpg"), 1, others=2),
        Packed(Path("s/ann/2.mp4"), 30, others=1, warnings=("stopped at 00:00:02.0",)),
        Missed(Path("s/bo/t/0.jpg"), "no face found"),
        Packed(Path("s/bo/t/1.jpg"), 1),
    ]
    lines, code = packing(events, out, ignored=22)
    assert code == 4
    assert lines == [
        "s: 2 people, 1 photos, 1 clips, 2 frames of 1 tracks (layout pb)",
        "4 files: 3 gave 32 crops, 1 skipped; 3 other faces or tracks in them left out",
        "incomplete: s/ann/2.mp4: stopped at 00:00:02.0",
        "skipped: s/bo/t/0.jpg: no face found",
        *(f"ignored: s/{i}.txt: not part of this layout" for i in range(20)),
        "ignored: 2 more files that are not part of this layout",
        f"{out}: 1,234 bytes",
    ]


def test_packing_is_fine_when_everything_gave_crops_and_talks_on_long_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "faces.h5"
    out.write_bytes(b"")
    events: list[Packed | Missed] = [Packed(Path("s/x.jpg"), 1)] * 4
    assert packing(events, out)[1] == 0
    monkeypatch.setattr("dhhcli.research.datasets.progress.QUIET_SECONDS", 0.0)
    lines, _ = packing(events, out)
    assert lines[1:4] == [f"{i}/4 files, {i} crops, 0 skipped" for i in (1, 2, 3)]


def test_many_curves_fit_beside_their_panel(tmp_path: Path) -> None:
    """Six weights against a dozen others: the picture grows with its legend (a warning would be an error here)."""
    from dhhcli.research.evaluation.metrics import Ranking
    from dhhcli.research.evaluation.plots import plot_curves
    from dhhcli.research.evaluation.tasks import Line, Result

    curve = Ranking(*(np.linspace(1, 0, 5) for _ in Ranking.__dataclass_fields__))

    def drawn(lines: int) -> int:
        results = [
            Result(Line(f"dhh-{k}", "codes", "still", "set", 0.5, 0.5, 0.5, 0.5, None, None, 3, 4), curve)
            for k in range(lines)
        ]
        plot_curves(tmp_path / "curves.png", results)
        picture = cv2.imread(str(tmp_path / "curves.png"))
        assert picture is not None
        return len(picture)

    assert drawn(78) > 2 * drawn(3)  # pixels high
