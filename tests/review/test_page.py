"""The page over people in a browser: all of it by keyboard, each action in the journal, no request to anywhere else."""

import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from whos_who import named

from dhhcli.media.sample import Sample
from dhhcli.people.naming import give_name
from dhhcli.storage.who.book import open_book

pytest.importorskip("uvicorn", reason="the extra review is not installed")
import uvicorn

from dhhcli.review.application import application
from dhhcli.review.guard import Guard
from dhhcli.review.serve import bound
from dhhcli.review.state import Review

ODD = "<img src=x onerror=document.title='bad'>"


@pytest.fixture
def codes(encoded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(encoded, tmp_path / "codes.h5"))


@pytest.fixture
def address(browser: Any, codes: Path, tmp_path: Path) -> Iterator[str]:
    """A server in a thread; it ends with the test, after the pages, whose connections it would wait for."""
    (tmp_path / "photos").mkdir()
    with bound(0) as listening:
        port = listening.getsockname()[1]
        guarded = Guard(application(Review(codes, tmp_path / "photos")), "token", [f"127.0.0.1:{port}"])
        server = uvicorn.Server(
            uvicorn.Config(guarded, lifespan="off", log_config=None, http="h11", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield f"http://127.0.0.1:{port}/token/"
        for context in list(browser.contexts):
            context.close()
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


# how often the page asks to be told of what comes into sight
COUNTING = """
  window.watched = 0;
  const observe = IntersectionObserver.prototype.observe;
  IntersectionObserver.prototype.observe = function (element) { window.watched += 1; observe.call(this, element); };
"""


class Tab:
    """A page of the browser, and all that it asked for and complained of."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.address, self.asked, self.words = address, [], []  # type: ignore[var-annotated]
        self.tab = browser.new_context(accept_downloads=True, **context).new_page()
        self.tab.add_init_script(COUNTING)
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("console", lambda message: self.words.append(message.text))
        self.tab.on("pageerror", lambda error: self.words.append(str(error)))
        self.tab.goto(address)
        self.ready("people")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tab.keyboard.press(key)

    def ready(self, view: str) -> None:
        """Until a list has the focus."""
        self.tab.locator(f"#{view}-list article[aria-current]:focus").wait_for()

    def said(self, words: str) -> None:
        self.tab.locator("#said.shown", has_text=words).wait_for()

    def focus(self) -> str:
        return str(self.tab.evaluate("document.activeElement.dataset.key ?? document.activeElement.id"))

    def stayed_at_home(self, *refused: str) -> None:
        """refused: what the browser says of answers that were to be errors, the end of each line."""
        foreign = [url for url in self.asked if not url.startswith((self.address, f"blob:{self.address[:16]}"))]
        assert foreign == []
        assert [words for words in self.words if not words.endswith(refused)] == []


def said_in(codes: Path) -> list[str]:
    return [entry["op"] for entry in open_book(codes).entries if entry["op"] not in ("join", "base")]


def test_people_are_named_merged_split_and_undone_by_keyboard(browser: Any, address: str, codes: Path) -> None:
    page = Tab(browser, address)
    page.ready("people")
    assert page.focus() == "1"
    page.press("ArrowRight")
    assert page.focus() == "2"
    page.press("n")
    page.tab.locator("#naming").wait_for()
    page.tab.keyboard.type(ODD)
    page.press("Enter")
    page.said("3 tracks")
    assert list(named(codes)) == [ODD]
    page.tab.locator("#people-list h2", has_text="onerror").wait_for()
    assert page.focus() == "2"
    page.press("Space", "ArrowLeft", "Space", "m")
    page.said("seen at once")
    assert said_in(codes) == ["name"]
    page.press("Escape", "Home", "Enter")
    page.ready("person")
    page.press("End", "Space", "s")
    page.said("person 3: 1")
    page.tab.locator("#person-list article").nth(2).wait_for(state="detached")  # else keys are about what was there
    page.ready("person")
    page.press("x")
    page.said("not person 1: 1 track")
    assert said_in(codes) == ["name", "split", "not"]
    page.press("u")
    page.said("taken back: that tracks are not person 1")
    page.press("y")
    page.said("1 track confirmed")
    page.press("Escape")
    page.ready("people")
    page.tab.locator("#people-list article").nth(2).wait_for()
    keys = [one.get_attribute("data-key") for one in page.tab.locator("#people-list article").all()]
    page.press("Home")
    for _ in range(keys.index("1")):
        page.press("ArrowRight")
    page.press("Space")
    page.press("Home")
    for _ in range(keys.index("3")):
        page.press("ArrowRight")
    page.press("Space", "m")
    page.said("also who was number")
    assert said_in(codes)[-2:] == ["yes", "merge"]
    page.press("/")
    page.tab.keyboard.type("onerr")
    page.tab.locator("#people-count", has_text="1 of 2").wait_for()
    assert page.tab.title() == "People"
    page.stayed_at_home("409 (Conflict)")  # who is seen at once is not merged


def test_a_photo_is_asked_with_judged_and_kept_as_a_name(
    browser: Any, address: str, codes: Path, sample: Sample
) -> None:
    page = Tab(browser, address)
    page.press("g")
    page.tab.locator("#ask:not([hidden])").wait_for()
    page.tab.set_input_files("#files", [str(photo) for photo in sample.photos])
    page.tab.locator("#ask-list article").nth(1).wait_for()
    assert page.tab.locator("#asked figure").count() == 2
    assert page.tab.locator("#ask-list article .pair").first.locator("img").count() == 2
    page.tab.locator("#asked button").nth(1).click()  # leave the second out
    page.tab.locator("#asked figure").nth(1).wait_for(state="detached")
    page.tab.locator("#ask-count", has_text="most likely first").wait_for()
    page.tab.locator("#ask-list article").first.focus()
    first = page.focus()
    page.press("y")
    page.tab.locator("#ask-list .badge", has_text="right").wait_for()
    assert said_in(codes) == []
    page.tab.locator("#ask-list article").nth(1).focus()
    wrong = page.focus()
    page.press("x")
    page.tab.locator(f"[data-key='{wrong}']").wait_for(state="detached")
    page.press("n")
    page.tab.locator("#naming").wait_for()
    page.tab.keyboard.type("Eileen Collins")
    page.press("Enter")
    page.said("Eileen Collins: 1 track")
    assert said_in(codes) == ["yes", "not"]
    page.tab.locator(f"[data-key='{first}'] .badge").wait_for()
    assert page.tab.locator("#name").input_value() == "Eileen Collins"
    assert page.tab.locator(f"[data-key='{wrong}']").count() == 0
    page.stayed_at_home()


def test_a_pasted_and_a_dropped_photo(browser: Any, address: str, sample: Sample) -> None:
    import base64

    page = Tab(browser, address)
    data = base64.b64encode(sample.photos[0].read_bytes()).decode()
    for count, kind in enumerate(("paste", "drop"), start=1):
        page.tab.evaluate(
            """([kind, data]) => {
              const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
              const all = new DataTransfer();
              all.items.add(new File([bytes], "<b>.jpg", { type: "image/jpeg" }));
              const how = { bubbles: true, cancelable: true };
              document.body.dispatchEvent(kind === "paste" ? new ClipboardEvent("paste", { ...how, clipboardData: all })
                : new DragEvent("drop", { ...how, dataTransfer: all }));
            }""",
            [kind, data],
        )
        page.tab.locator("#asked figure").nth(count - 1).wait_for()
        page.tab.locator("#ask-list article").first.wait_for()
    assert page.tab.locator("#asked bdi").all_inner_texts() == ["<b>.jpg"] * 2
    page.stayed_at_home()


def test_a_shot_plays_where_the_face_was_found_or_shows_its_frames(browser: Any, address: str, sample: Sample) -> None:
    page = Tab(browser, address)
    page.press("Enter")
    page.ready("person")
    page.press("ArrowRight", "Enter")
    stage = page.tab.locator("article.playing .stage")
    stage.wait_for()
    if stage.locator("video").count():  # a Chromium without H.264 shows frames
        page.tab.locator("article.playing video").wait_for()
        for _ in range(100):
            at = page.tab.evaluate("document.querySelector('video')?.currentTime ?? 0")
            if at:
                break
            page.tab.wait_for_timeout(50)
        assert at > 0.5
        assert any("/media/" in url for url in page.asked)
    page.press("Escape")
    stage.wait_for(state="detached")
    page.stayed_at_home()
    moved = sample.film.with_name("moved.mp4")
    sample.film.rename(moved)
    try:
        page = Tab(browser, address)
        page.press("Enter")
        page.ready("person")
        page.press("Enter")
        page.tab.locator("article.playing .frames").wait_for()
        assert page.tab.locator("article.playing .frames figcaption").all_inner_texts() == [
            "first frame",
            "frame with the best face",
            "last frame",
        ]
    finally:
        moved.rename(sample.film)


def test_shots_are_picked_and_saved_and_somebody_is_forgotten(browser: Any, address: str, codes: Path) -> None:
    give_name(codes, 1, "Grace")
    page = Tab(browser, address)
    page.press("f")
    page.ready("ask")
    page.press("Space", "ArrowRight", "Space", "p")
    page.tab.locator("#picked", has_text="2").wait_for()
    page.press("g")
    page.tab.locator("#picks-list article").nth(1).wait_for()
    with page.tab.expect_download() as download:
        page.tab.locator("#export button").click()
    assert download.value.suggested_filename == "shots.edl"
    assert len(re.findall(r"^\d{3} ", Path(download.value.path()).read_text(), re.MULTILINE)) == 2
    page.tab.locator("#picks-list article").first.focus()
    page.press("p")
    page.tab.locator("#picked", has_text="1").wait_for()
    page.press("g")
    page.ready("people")
    page.press("Home", "Delete")
    page.tab.locator("#forgetting").wait_for()
    assert page.tab.locator("#forgetting-faces img").count() == 3
    page.press("Escape")
    page.tab.locator("#forgetting").wait_for(state="hidden")
    assert list(named(codes)) == ["Grace"]
    page.press("Delete")
    page.tab.locator("#forgetting button[type=submit]").click()
    page.said("forgotten for ever: 3 tracks")
    assert named(codes) == {}
    page.tab.locator("#people-count", has_text="1 person, 3 tracks").wait_for()
    page.stayed_at_home()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark"), (2560, "light")])
def test_the_page_fits_its_width_and_names_what_it_shows(
    browser: Any, address: str, codes: Path, width: int, scheme: str
) -> None:
    give_name(codes, 1, "W" * 150)
    page = Tab(browser, address, color_scheme=scheme, viewport={"width": width, "height": 800})
    for view in ("people", "person/1", "ask", "picks"):
        page.tab.goto(f"{address}#{view}")
        page.tab.locator(f"#{view.partition('/')[0]}:not([hidden])").wait_for()
        page.tab.locator("article").first.wait_for(state="attached")
        assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
        unnamed = page.tab.evaluate(
            """[...document.querySelectorAll("img, button, input, select, a, article, dialog, [role=group]")]
              .filter((one) => !(one.alt || one.textContent.trim() || one.getAttribute("aria-label")))
              .filter((one) => !one.labels?.length).map((one) => one.outerHTML)"""
        )
        assert unnamed == []
    paper, ink = (page.tab.evaluate(f"getComputedStyle(document.body).{what}") for what in ("backgroundColor", "color"))
    dark, bright = (sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in (paper, ink))
    assert (bright - dark > 150) == (scheme == "dark")
    page.stayed_at_home()


@pytest.mark.skipif("DHH_AXE" not in os.environ, reason="DHH_AXE names no axe.min.js of the npm package axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Any, address: str, codes: Path, scheme: str) -> None:
    give_name(codes, 1, "Grace")
    page = Tab(browser, address, color_scheme=scheme)
    page.tab.evaluate(Path(os.environ["DHH_AXE"]).read_text(encoding="utf-8"))
    page.press("f")
    page.ready("ask")
    page.press("p")
    found = []
    for view in ("people", "person/1", "ask", "picks"):
        page.tab.evaluate(f"location.hash = '{view}'")
        page.tab.locator(f"#{view.partition('/')[0]}-list article[aria-current]").wait_for()
        found += [(view, one) for one in axe_on(page)]
    for dialog in ("naming", "forgetting", "help"):
        page.tab.evaluate(f"document.getElementById('{dialog}').showModal()")
        found += [(dialog, one) for one in axe_on(page)]
        page.press("Escape")
    assert found == []


def axe_on(page: Tab) -> list[str]:
    return list(
        page.tab.evaluate(
            """async () => (await axe.run()).violations.map(
              (one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`)"""
        )
    )


def test_a_page_that_is_left_alone_rests(browser: Any, address: str) -> None:
    """With everything in sight that there is, it once asked anew where its end is, for ever, with a whole core."""
    page = Tab(browser, address)
    page.tab.wait_for_timeout(200)
    before, asked = page.tab.evaluate("window.watched"), len(page.asked)
    page.tab.wait_for_timeout(300)
    assert page.tab.evaluate("window.watched") == before <= 4
    assert len(page.asked) == asked


def test_another_page_gets_nothing_even_with_the_address(browser: Any, address: str, codes: Path) -> None:
    give_name(codes, 1, "Grace")
    before = said_in(codes)
    tab = browser.new_context().new_page()
    tab.route("http://evil.example/", lambda route: route.fulfill(body="<title>evil</title>", content_type="text/html"))
    tab.goto("http://evil.example/")
    found = tab.evaluate(
        """async (address) => {
          const tried = [];
          for (const how of [{}, { mode: "no-cors" }, { method: "POST", body: '{"do":"undo"}' },
              { method: "POST", body: '{"do":"undo"}', mode: "no-cors" },
              { method: "POST", body: '{"do":"undo"}', headers: { "content-type": "application/json" } }])
            tried.push(await fetch(address + (how.method ? "do" : "people"), how)
              .then((answer) => answer.text(), () => "failed"));
          const image = new Image();
          tried.push(await new Promise((done) => {
            image.onload = () => done("loaded"); image.onerror = () => done("failed"); image.src = address + "icon.svg";
          }));
          return tried;
        }""",
        address,
    )
    assert set(found) <= {"", "failed"}
    assert said_in(codes) == before
