"""The contact sheet as a page: what it shows, that nothing gets into it or out of it, and how it behaves in a browser.

The tests in a browser need playwright and a Chromium; they skip without.
"""

import dataclasses
import re
from collections.abc import Callable
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import pytest
from answers import HOSTILE, Elements
from edits import answer
from synthetic import numbered, read_number, write_video
from typer.testing import Result

from dhhcli.errors import DhhError, UsageError
from dhhcli.media.sample import Sample
from dhhcli.output.sheets.contact_sheet import check_sheet, write_sheet
from dhhcli.output.sheets.frame_grabs import Stills, shot_stills
from dhhcli.output.sheets.html_page import page
from dhhcli.search.result import Row


def jpeg(level: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((60, 60, 3), level, np.uint8))[1].tobytes())


def rows_of(name: str, count: int = 3) -> list[Row]:
    shots = [(100 * n, 100 * n + 50, 100 * n + 7) for n in range(count)]
    return answer(Path("/films") / name, shots, rate=Fraction(25))[0]


@pytest.mark.parametrize("name", [*HOSTILE, '" onload=alert(1) x="', "</style></script><img src=x onerror=alert(1)>"])
def test_nothing_is_injected(name: str) -> None:
    name = name.replace("/", "∕")
    plain = Elements(page("t", [(Path("/p.jpg"), jpeg(9))], rows_of("a.mov"), [jpeg(1)] * 3, [Stills()] * 3))
    made = page(name, [(Path("/photos") / name, jpeg(9))], rows_of(name), [jpeg(1)] * 3, [Stills()] * 3)
    found = Elements(made)
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert [set(attributes) for _, attributes in found.tags] == [set(attributes) for _, attributes in plain.tags]
    assert made.encode().count(b"<script") == 1


def test_everything_is_inside(tmp_path: Path) -> None:
    made = page("t", [(Path("/p.jpg"), jpeg(9))], rows_of("a.mov"), [jpeg(1), b"", jpeg(2)], [Stills(jpeg(3))] * 3)
    found = Elements(made)
    sources = [attributes["src"] for tag, attributes in found.tags if tag == "img"]
    assert len(sources) == 1 + 3 + 2 + 3  # asked for: above and on every card; found; first frames
    assert all(source and source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not {"link", "iframe", "object", "base", "form", "a"} & {tag for tag, _ in found.tags}
    assert not re.search(r"https?:|@import|url\(", made)
    assert "no picture" in found.words
    for label in ("00:00:00:00", "00:00:02:00", "00:00:00:07", "00:00:04:07"):
        assert label in found.words
    assert write_sheet(tmp_path / "x.html", [], []) == []
    assert "0 shots" in (tmp_path / "x.html").read_text()


def test_sheets_that_cannot_be() -> None:
    check_sheet(None, show=False)
    check_sheet(Path("a.HTML"), show=True)
    with pytest.raises(DhhError, match=r"hits\.gif: a contact sheet is written as \.html, \.png or \.jpg, not \.gif"):
        check_sheet(Path("hits.gif"), show=False)
    with pytest.raises(UsageError, match="--sheet"):
        check_sheet(None, show=True)


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30_000, 1001)])
def test_stills_are_the_frames_they_are_called(tmp_path: Path, rate: Fraction) -> None:
    film = write_video(tmp_path / "film.mkv", [numbered(n) for n in range(120)], rate=rate)
    shots = [(10, 20, 13), (50, 51, 50), (100, 120, 119)]
    rows, videos = answer(film, shots, rate=rate, time_base=Fraction(1, 1000), length=120)
    ((record, end),) = videos.values()
    rows = [dataclasses.replace(row, box=(0, 90, 1, 91)) for row in rows]
    small = {film: (dataclasses.replace(record, width=160, height=96), end)}
    stills, notes = shot_stills(rows, small)
    assert notes == []
    for still, (start, end, face) in zip(stills, shots, strict=True):
        shown = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in dataclasses.astuple(still)]
        numbers = [read_number(picture[:60]) for picture in shown]  # type: ignore[index]
        assert numbers[0] == start
        assert numbers[1] == face
        assert numbers[2] in ((start + end) // 2, (start + end - 1) // 2)
        assert numbers[3] == end - 1


def test_a_video_that_is_gone_is_said() -> None:
    rows, videos = answer(Path("/nowhere/a.mov"), [(0, 9, 3)], rate=Fraction(25))
    stills, notes = shot_stills(rows, videos)
    assert stills == [Stills()]
    assert notes == ["no frames of it on the sheet: /nowhere/a.mov: cannot be opened: No such file or directory"]


def test_query_writes_a_page_and_opens_it(
    encoded: Path, sample: Sample, dhh: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def shown(url: str) -> bool:
        opened.append(url)
        return len(opened) == 1

    monkeypatch.setattr("webbrowser.open", shown)
    result = dhh("query", sample.photos[0], "--codes", encoded, "--sheet", "hits.html", "--open")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    assert opened == [(tmp_path / "hits.html").as_uri()]
    made = Elements((tmp_path / "hits.html").read_text())
    assert sum(tag == "article" for tag, _ in made.tags) == len(result.stdout.splitlines()) - 1
    assert sum(tag == "img" for tag, _ in made.tags) == 1 + 6 * (len(result.stdout.splitlines()) - 1)
    again = dhh("query", sample.photos[0], "--codes", encoded, "--sheet", "hits.html", "--open")
    assert again.stderr == "hits.html: no program was found to open it with; open it in a browser\n"
    refused = dhh("query", sample.photos[0], "--codes", encoded, "--open")
    assert refused.exit_code == 2
    assert "--sheet" in refused.stderr


# ----------------------------------------------------------------------------------------------- in a browser


def shown_page(browser: Any, path: Path, **context: Any) -> tuple[Any, list[str]]:
    """The page, and every request it makes but those for its own pictures."""
    tab = browser.new_context(**context).new_page()
    requests: list[str] = []
    tab.on("request", lambda request: None if request.url.startswith("data:") else requests.append(request.url))
    tab.on("console", lambda message: requests.append(message.text))
    tab.on("pageerror", lambda error: requests.append(str(error)))
    tab.goto(path.as_uri())
    return tab, requests


def visible(tab: Any) -> list[str]:
    return [text.split()[0] for text in tab.locator("article:visible h2").all_inner_texts()]


def test_a_browser_filters_moves_copies_and_asks_for_nothing(browser: Any, tmp_path: Path) -> None:
    made = page(
        "Äpfel & <b>",
        [(Path("/p.jpg"), jpeg(9))],
        rows_of("a.mov", 5),
        [jpeg(n) for n in range(5)],
        [Stills(jpeg(3))] * 5,
    )
    path = tmp_path / "sheet ü.html"
    path.write_text(made, encoding="utf-8")
    tab, requests = shown_page(browser, path, permissions=["clipboard-read", "clipboard-write"])
    assert tab.title() == "Äpfel & <b>: 5 shots"
    assert visible(tab) == ["#1", "#2", "#3", "#4", "#5"]
    assert tab.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    tab.locator("#filter").fill("2")
    assert visible(tab) == ["#1", "#2", "#3"]
    assert tab.locator("#count").inner_text() == "3 of 5 shots"
    tab.locator("h1").click()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("j")
    assert tab.evaluate("document.activeElement.querySelector('h2').textContent").startswith("#2")
    tab.keyboard.press("c")
    tab.wait_for_selector("#said.shown")
    assert tab.evaluate("navigator.clipboard.readText()") == "00:00:04:00"
    tab.keyboard.press("v")
    tab.locator("#said", has_text="07").wait_for()  # a function would be evaluated, which the page forbids
    assert tab.evaluate("navigator.clipboard.readText()") == "00:00:04:07"
    tab.locator("article:visible [data-what=end]").nth(2).click()
    tab.locator("#said", has_text="10:00").wait_for()
    assert tab.evaluate("navigator.clipboard.readText()") == "00:00:10:00"
    tab.locator("article").nth(1).focus()
    tab.keyboard.press("Enter")
    assert tab.locator("dialog img").count() == 3
    tab.keyboard.press("Escape")
    assert not tab.locator("dialog").is_visible()
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.id") == "filter"
    assert requests == [path.as_uri()]


def test_a_browser_filters_by_confidence_where_there_is_one(browser: Any, tmp_path: Path) -> None:
    sure = (0.95, 0.5, None)
    rows = [dataclasses.replace(row, confidence=c) for row, c in zip(rows_of("a.mov"), sure, strict=True)]
    path = tmp_path / "sheet.html"
    path.write_text(page("t", [], rows, [jpeg(1)] * 3, [Stills()] * 3), encoding="utf-8")
    tab, requests = shown_page(browser, path)
    assert tab.locator(".sure b").all_inner_texts() == ["0.95 very likely", "0.50 likely"]
    for limit, left in (("0.5", ["#1", "#2"]), ("0.51", ["#1"]), ("1", []), ("0", ["#1", "#2", "#3"])):
        tab.locator("#filter").fill(limit)
        assert visible(tab) == left
        assert tab.locator("#none").is_visible() == (not left)
    assert requests == [path.as_uri()]


def test_a_browser_refuses_what_a_page_could_ask_for(browser: Any, tmp_path: Path) -> None:
    """The policy holds: even a script that got in would not run, and a picture from elsewhere is not asked for."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        bad = f"<script>document.title = 'bad'</script><img src='{address}x.png'><script src='{address}y.js'></script>"
        made = page("t", [], rows_of("a.mov"), [jpeg(1)] * 3, [Stills()] * 3)
        path = tmp_path / "sheet.html"
        path.write_text(made.replace("<main>", f"<main>{bad}"), encoding="utf-8")
        tab, said = shown_page(browser, path)
        assert tab.title() == "t: 3 shots"
        assert sum("Content Security Policy" in line for line in said) == 3, said
        tab.evaluate(f"fetch('{address}z').catch(() => 0)")
        server.shutdown()
    assert asked == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_fits_the_page_to_its_width_and_colours(
    browser: Any, tmp_path: Path, scheme: str, width: int
) -> None:
    path = tmp_path / "sheet.html"
    rows = rows_of("a_name_without_any_place_to_break_it_that_is_much_longer_than_a_card_is_wide_and_goes_on.mov")
    path.write_text(page("t" * 90, [(Path("/p.jpg"), jpeg(9))], rows, [jpeg(1)] * 3, [Stills(jpeg(3))] * 3))
    tab, _ = shown_page(browser, path, color_scheme=scheme, viewport={"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    paper, ink = (tab.evaluate(f"getComputedStyle(document.body).{what}") for what in ("backgroundColor", "color"))
    dark, bright = (sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in (paper, ink))
    assert (bright - dark > 150) == (scheme == "dark")
    assert (dark - bright > 150) == (scheme == "light")


def test_the_photo_that_matched_and_the_folder_are_shown() -> None:
    photos = [(Path("/p/a.jpg"), jpeg(1)), (Path("/p/b & c.jpg"), jpeg(2))]
    made = page("t", photos, rows_of("a.mov"), [jpeg(3)] * 3, [Stills()] * 3, matched=(1, 0, -1))
    cards = made.split("<article")[1:]
    second = Elements(made.split("<main>")[0]).tags
    asked = [attributes["src"] for tag, attributes in second if tag == "img"]
    shown = [next(a["src"] for tag, a in Elements("<article" + card).tags if tag == "img") for card in cards]
    assert shown == [asked[1], asked[0], asked[0]]
    assert ["nearest: b &amp; c.jpg" in card for card in cards] == [True, False, False]
    assert "asked for, all together" in cards[2]
    folder = str(rows_of("a.mov")[0].video.parent)
    assert all(f'<p class="path"><bdi>{folder}</bdi></p>' in card for card in cards)


def test_a_query_of_two_photos_says_which_matched(
    encoded: Path, sample: Sample, dhh: Callable[..., Result], tmp_path: Path
) -> None:
    words = ("query", *sample.photos, "--codes", encoded, "--fuse", "best", "--sheet", "hits.html", "--all")
    assert dhh(*words).exit_code == 0
    made = (tmp_path / "hits.html").read_text()
    matched = {name for name in ("collins.jpg", "hopper.jpg") if f"nearest: {name}" in made}
    assert matched == {"collins.jpg", "hopper.jpg"}


def test_a_browser_filters_by_words(browser: Any, tmp_path: Path) -> None:
    rows = [dataclasses.replace(row, video=Path(f"/day{row.rank}x/Film.mov")) for row in rows_of("a.mov", 5)]
    made = page("t", [(Path("/p.jpg"), jpeg(9))], rows, [jpeg(1)] * 5, [Stills()] * 5)
    path = tmp_path / "sheet.html"
    path.write_text(made, encoding="utf-8")
    tab, requests = shown_page(browser, path)
    tab.locator("h1").click()
    tab.keyboard.press("w")
    tab.keyboard.type("FILM day")
    assert visible(tab) == ["#1", "#2", "#3", "#4", "#5"]
    tab.keyboard.type(" day3x")
    assert visible(tab) == ["#3"]
    tab.locator("#words").fill("nothing like it")
    assert visible(tab) == []
    assert tab.locator("#none").is_visible()
    assert requests == [path.as_uri()]


def test_a_sheet_says_soon_what_is_being_done(
    dhh: Callable[..., Result], sample: Sample, encoded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when its pictures are looked up: asking for all of an archive takes seconds before that."""
    monkeypatch.setattr("dhhcli.output.terminal.waiting.SOON", 0.0)
    said = dhh("query", sample.photos[0], "--codes", encoded, "--sheet", "hits.png").stderr.splitlines()
    assert said[0] == "hits.png: looking for who is to be on it"
    assert said[1].startswith("hits.png: looking up the pictures of ")
    plain = dhh("query", sample.photos[0], "--codes", encoded)
    assert plain.stderr == ""
