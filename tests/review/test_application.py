"""The page over people: each action ends in the journal; who is not the page gets nothing; only what the codes name."""

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import scene, write_video
from video_files import write_stream
from whos_who import named

from dhhcli.errors import DhhError, MissingExtraError
from dhhcli.media.playable import playable
from dhhcli.media.sample import Sample
from dhhcli.storage.codes_file import open_shard
from dhhcli.storage.who.book import open_book, people_in

pytest.importorskip("starlette", reason="the extra review is not installed")
from starlette.testclient import TestClient

from dhhcli.review.application import FILES, application
from dhhcli.review.guard import Guard
from dhhcli.review.serve import serve
from dhhcli.review.state import Review

HOST, TOKEN = "127.0.0.1:8000", "a-token"
HOME = f"http://{HOST}/{TOKEN}/"
OWN = {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}
ODD = "<img src=x onerror=alert(1)> ‮\" 'Ü"


@pytest.fixture
def codes(encoded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(encoded, tmp_path / "codes.h5"))


@pytest.fixture
def review(codes: Path, tmp_path: Path) -> Review:
    (tmp_path / "photos").mkdir()
    return Review(codes, tmp_path / "photos")


@pytest.fixture
def page(review: Review) -> Iterator["Page"]:
    with TestClient(Guard(application(review), TOKEN, [HOST]), base_url=HOME, headers=OWN) as client:
        yield Page(client, review)


class Page:
    """What the script of the page does."""

    def __init__(self, client: Any, review: Review) -> None:
        self.client, self.review = client, review

    def look(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, status: int = 200, **body: Any) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def do(self, what: str, **body: Any) -> list[str]:
        return list(self.post("do", do=what, **body)["said"])

    def refused(self, path: str, **body: Any) -> str:
        answer = self.client.post(path, json=body)
        assert answer.status_code in (400, 404, 409, 413, 503), (answer.status_code, answer.text)
        words = str(answer.json()["error"])
        assert "\n" not in words
        return words

    def tracks(self, person: int) -> list[str]:
        return [line["id"] for line in self.look(f"person/{person}")["list"]]

    def photo(self, path: Path, name: str = "") -> int:
        answer = self.client.post("photo", params={"name": name or path.name}, content=path.read_bytes())
        assert answer.status_code == 200, answer.text
        return int(answer.json()["photo"])

    def ask(self, **question: Any) -> Any:
        return self.post("ask", **question)


def steps(codes: Path) -> list[str]:
    """What was said, in the journal; what came by itself is left out."""
    return [entry["op"] for entry in open_book(codes).entries if entry["op"] not in ("base", "join")]


def who(codes: Path) -> list[int]:
    with open_shard(codes) as shard:
        return [int(number) for number in people_in(shard, open_book(codes).cast)[0]]


# ---------------------------------------------------------------------------------------- what is decided is written


def test_people_come_with_faces_and_screen_time(page: Page) -> None:
    found = page.look("people")
    assert [one["person"] for one in found["people"]] == [1, 2]
    assert [one["tracks"] for one in found["people"]] == [3, 3]
    assert found["people"][0]["seconds"] > found["people"][1]["seconds"] > 5
    assert (found["all"], found["found"], found["tracks"]) == (2, 2, 6)
    for one in found["people"]:
        assert len(one["faces"]) == 3
        for row in one["faces"]:
            answer = page.client.get(f"face/{found['content']}/{row}")
            assert answer.headers["content-type"] == "image/jpeg"
            assert answer.content.startswith(b"\xff\xd8")
    assert page.client.get(f"face/{'0' * 16}/0").status_code == 404  # of codes that were there before
    assert page.client.get(f"face/{found['content']}/99").status_code == 404
    assert [one["person"] for one in page.look("people?from=1&count=1")["people"]] == [2]
    assert page.look("people?from=7")["people"] == []
    assert [one["person"] for one in page.look("people?find=2")["people"]] == [2]
    assert page.client.get("people?from=-1").status_code == 400
    own = page.look("person/1")
    assert [line["person"] for line in own["list"]] == [1, 1, 1]
    assert own["list"] == sorted(own["list"], key=lambda line: line["from"])
    assert page.client.get("person/77").status_code == 404


def test_every_action_is_a_step_of_the_journal(page: Page, codes: Path) -> None:
    page.look("people")
    before = who(codes)
    assert page.do("name", people=[2], name="Ada") == ["Ada: 3 tracks"]
    assert named(codes) == {"Ada": [row for row, number in enumerate(before) if number == 2]}
    assert page.do("name", people=[2], name="Ada Lovelace") == ["Ada is now called Ada Lovelace"]
    assert page.look("people?find=love")["people"][0]["name"] == "Ada Lovelace"
    first, second, third = page.tracks(1)
    page.do("split", person=1, tracks=[third])
    assert page.tracks(3) == [third]
    page.do("merge", people=[1, 3])
    assert page.tracks(1) == [first, second, third]
    page.do("not", person=1, tracks=[second])
    assert second not in page.tracks(1)
    page.do("yes", person=1, tracks=[second])
    assert second in page.tracks(1)
    page.do("unname", name="Ada Lovelace")
    assert named(codes) == {}
    assert steps(codes) == ["name", "rename", "split", "merge", "not", "yes", "free"]
    for _ in range(7):
        assert page.do("undo")[0].startswith("taken back: ")
    assert who(codes) == before
    assert "nothing was said" in page.refused("do", do="undo")


def test_what_cannot_be_is_said_in_one_line_and_changes_nothing(page: Page, codes: Path) -> None:
    page.look("people")
    before = steps(codes)
    assert "has people 1 to 2, not 9" in page.refused("do", do="name", people=[9], name="Ada")
    assert "is no name" in page.refused("do", do="name", people=[1], name=" ")
    assert "name two people or more" in page.refused("do", do="merge", people=[1])
    assert "seen at once" in page.refused("do", do="merge", people=[1, 2])
    assert "holds no track" in page.refused("do", do="not", person=1, tracks=["00000000-00000000"])
    assert "the page knows name" in page.refused("do", do="eat")
    for body in ({"people": "1"}, {"people": [1.5]}, {"people": [-1]}, {"people": [1], "name": 3}, {"people": [True]}):
        assert "expected" in page.refused("do", do="name", **body)
    for data in (b"", b"[]", b"[" * 100_000, b"\xff", b"nul"):
        answer = page.client.post("do", content=data, headers={"content-type": "application/json"})
        assert answer.status_code == 400
    assert page.client.post("do", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert (
        page.client.post("do", content=b" " * (9 << 20), headers={"content-type": "application/json"}).status_code
        == 413
    )
    assert page.client.get("do").status_code == 405
    assert steps(codes) == before


def test_what_another_program_says_meanwhile_is_seen(page: Page, codes: Path) -> None:
    from dhhcli.people.naming import give_name

    page.look("people")
    give_name(codes, 1, "Grace")
    assert page.look("person/1")["name"] == "Grace"


# ---------------------------------------------------------------------------------------------------------- asking


def test_photos_find_their_shots_and_say_which_was_like_them(page: Page, sample: Sample) -> None:
    one, two = page.photo(sample.photos[0], ODD), page.photo(sample.photos[1])
    found = page.ask(photos=[one, two])
    truth = {line["id"]: line["person"] for line in found["hits"]}
    of_one = page.ask(photos=[one])["hits"][0]["person"]
    for hit in found["hits"]:
        assert hit["like"] == {"photo": one if truth[hit["id"]] == of_one else two}
    assert [hit["rank"] for hit in found["hits"]] == list(range(1, len(found["hits"]) + 1))
    assert page.client.get(f"asked/{one}").content.startswith(b"\xff\xd8")
    assert "asks for more" in page.client.get(f"asked/{one}?face=2").json()["error"]
    for bad in ("asked/99", f"asked/{one}?face=0x", f"asked/{one}?face="):
        assert page.client.get(bad).status_code == 400
    assert "there is no photo 7" in page.refused("ask", photos=[7])
    assert "ask with photos, or with a name" in page.refused("ask")
    assert "ask with photos, or with a name" in page.refused("ask", photos=[one], name="Ada")
    assert "nobody is called 'Ada'" in page.refused("ask", name="Ada")


def test_what_is_said_of_the_hits_of_a_photo_changes_the_ranking_and_can_be_kept(
    page: Page, sample: Sample, codes: Path
) -> None:
    photo = page.photo(sample.photos[0])
    first = page.ask(photos=[photo])
    assert first["person"] == 0
    best, wrong = first["hits"][0], first["hits"][1]
    assert steps(codes) == []
    then = page.ask(photos=[photo], yes=[best["id"]], no=[wrong["id"]])
    assert then["hits"][0]["id"] == best["id"]
    assert then["hits"][0]["yes"]
    assert wrong["id"] not in [hit["id"] for hit in then["hits"]]
    page.do("keep", name=ODD.replace("‮", ""), yes=[best["id"]], no=[wrong["id"]])
    (name,) = named(codes)
    assert named(codes)[name] == [best["row"]]
    assert steps(codes) == ["yes", "not"]


def test_a_name_learns_from_what_is_said_of_its_hits(page: Page, codes: Path) -> None:
    page.look("people")
    page.do("name", people=[1], name="Grace")
    found = page.ask(name="Grace")
    assert found["person"] == 1
    own = [hit for hit in found["hits"] if hit["person"] == 1]
    assert found["hits"][: len(own)] == own
    assert all(hit["yes"] for hit in own)
    wrong = own[-1]["id"]
    page.do("not", person=1, tracks=[wrong])
    left = page.ask(name="Grace")["hits"]
    assert wrong not in [hit["id"] for hit in left]
    page.do("yes", person=1, tracks=[wrong])
    assert wrong in [hit["id"] for hit in page.ask(name="Grace")["hits"]]
    other = page.ask(person=2)
    assert other["person"] == 2
    assert not {hit["id"] for hit in other["hits"]} & set(page.tracks(2))  # those that are asked with
    assert "person 9 is no more" in page.refused("ask", person=9)
    assert steps(codes) == ["name", "not", "yes"]


def test_hostile_photos_are_refused_by_their_own_names(page: Page, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    write_png(blank)
    for name, data, words in (
        ("a.jpg", b"", "a.jpg: empty"),
        ("../../etc/passwd", b"root:x:0:0", "../../etc/passwd: "),
        ("b.jpg", b"\xff\xd8\xff\xe0" + bytes(500), "b.jpg: "),
        ("blank.png", blank.read_bytes(), "blank.png: no face found"),
        (ODD, b"GIF89a", "<img src=x onerror=alert(1)> \\u202e"),
    ):
        answer = page.client.post("photo", params={"name": name}, content=data)
        assert answer.status_code == 409, answer.text
        assert answer.json()["error"].startswith(words)
        assert str(tmp_path) not in answer.json()["error"]
    assert list(page.review.folder.iterdir()) == []
    assert page.client.post("photo", content=bytes((64 << 20) + 1)).status_code == 413


def write_png(path: Path) -> None:
    import cv2

    cv2.imwrite(str(path), np.full((80, 80, 3), 128, np.uint8))


# ------------------------------------------------------------------------------------------------ pictures and media


def test_frames_of_a_shot_and_the_film_itself(page: Page, sample: Sample) -> None:
    line = page.look("person/1")["list"][0]
    for which in ("first", "best", "last"):
        assert page.client.get(f"still/{line['id']}/{which}").content.startswith(b"\xff\xd8")
    assert page.client.get(f"still/{line['id']}/other").status_code == 404
    assert page.client.get("still/00000000-00000000/best").status_code == 409
    assert line["type"] == "video/mp4"
    data = sample.film.read_bytes()
    whole = page.client.get(f"media/{line['media']}")
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, data, "video/mp4")
    assert whole.headers["accept-ranges"] == "bytes"
    for words, wanted in (
        ("bytes=0-99", data[:100]),
        ("bytes=100-100", data[100:101]),
        ("bytes=-50", data[-50:]),
        (f"bytes={len(data) - 10}-", data[-10:]),
        (f"bytes=5-{len(data) * 9}", data[5:]),
    ):
        part = page.client.get(f"media/{line['media']}", headers={"range": words})
        assert (part.status_code, part.content) == (206, wanted), words
        assert part.headers["content-range"].endswith(f"/{len(data)}")
    for words in (f"bytes={len(data)}-", "bytes=9-1", "bytes=a-b", "lines=1-2"):
        assert page.client.get(f"media/{line['media']}", headers={"range": words}).status_code in (200, 400, 416), words


def test_only_what_the_codes_name_and_a_browser_plays_is_served(page: Page, sample: Sample, tmp_path: Path) -> None:
    key = page.look("person/1")["list"][0]["media"]
    secret = tmp_path / "secret.txt"
    secret.write_text("no")
    for path in (
        "media/..%2f..%2fsecret.txt",
        "media/%2e%2e/secret.txt",
        f"media/{secret}",
        f"media/{key[:-1]}",
        f"media/{key.upper()}x",
        "../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "review.js/../page.py",
        "page.html",
        "guard.py",
        "__init__.py",
        "static/..%2fguard.py",
    ):
        assert page.client.get(path).status_code in (404, 405), path
    moved = sample.film.with_name("moved.mp4")
    sample.film.rename(moved)
    try:
        sample.film.write_text("a text under the name of a video")  # what the codes name is no video any more
        assert page.client.get(f"media/{key}").status_code == 404
        sample.film.unlink()
        sample.film.symlink_to(secret)
        assert page.client.get(f"media/{key}").status_code == 404
        sample.film.unlink()
        os.mkfifo(sample.film)  # would wait for ever
        assert page.client.get(f"media/{key}").status_code == 404
    finally:
        sample.film.unlink()
        moved.rename(sample.film)


def test_what_a_browser_plays(tmp_path: Path) -> None:
    pictures = [scene(n) for n in range(3)]
    for name, codec, pixels, kind in (
        ("a.mp4", "libx264", None, "video/mp4"),
        ("a.mov", "libx264", None, "video/mp4"),
        ("deep.mp4", "libx264", "yuv422p10le", None),
        ("a.mp4", "mpeg4", None, None),
        ("a.mkv", "ffv1", None, None),
        ("a.webm", "libvpx-vp9", None, "video/webm"),
        ("a.mxf", "mpeg2video", None, None),
    ):
        assert playable(write_stream(tmp_path / name, pictures, codec=codec, pixels=pixels)) == kind, (name, codec)
    assert playable(write_video(tmp_path / "b.avi", pictures)) is None
    assert playable(tmp_path / "none.mp4") is None
    assert playable(tmp_path) is None


# ---------------------------------------------------------------------------------------------------------- export


@pytest.mark.parametrize(
    ("format", "begins"),
    [("edl", b"TITLE: shots"), ("otio", b"{"), ("fcpxml", b"<?xml"), ("fcp7", b"<?xml"), ("csv", b"rank,distance")],
)
def test_picked_shots_are_exported_by_the_exporters_that_are_there(
    page: Page, sample: Sample, format: str, begins: bytes
) -> None:
    hits = page.ask(photos=[page.photo(sample.photos[0])])["hits"]
    picks = [hits[1]["id"], hits[0]["id"], hits[1]["id"]]
    made = page.post("export", format=format, picks=picks)
    data = base64.b64decode(made["data"])
    assert data.startswith(begins)
    assert re.fullmatch(r"shots\.\w+", made["name"])
    if format == "csv":
        lines = data.decode().splitlines()
        shot = lines[0].split(",").index("shot")
        assert [int(line.split(",")[shot]) for line in lines[1:]] == [hits[1]["shot"], hits[0]["shot"]]
    if format == "edl":
        assert len(re.findall(rb"^\d{3} ", data, re.MULTILINE)) == 2
        by_time = page.post("export", format=format, picks=picks, order="time", handles="5f")
        assert base64.b64decode(by_time["data"]) != data


def test_exports_that_cannot_be(page: Page) -> None:
    track = page.tracks(1)[0]
    assert "nothing is picked" in page.refused("export", format="edl")
    assert "is no format of this page" in page.refused("export", format="otioz", picks=[track])
    assert "expected frames like 12f" in page.refused("export", format="edl", picks=[track], handles="9 days")
    assert "holds no track" in page.refused("export", format="edl", picks=["00000000-00000000"])


# ---------------------------------------------------------------------------------------------------------- forget


def test_somebody_is_forgotten_after_a_picture_of_what_goes(page: Page, codes: Path) -> None:
    page.look("people")
    page.do("name", people=[1], name="Grace")
    own = page.tracks(1)
    goes = page.post("goes", person=1)
    assert sorted(line["id"] for line in goes["lines"]) == sorted(own)
    assert page.client.get(f"face/{page.look('people')['content']}/{goes['lines'][0]['row']}").status_code == 200
    assert len(who(codes)) == 6  # nothing yet
    assert "has changed since you saw" in page.refused("forget", person=1, agreed="")
    assert "has changed since you saw" in page.refused("forget", person=2, agreed=goes["agreed"])
    assert len(who(codes)) == 6
    assert page.post("forget", person=1, agreed=goes["agreed"])["said"] == ["forgotten for ever: 3 tracks"]
    found = page.look("people")
    assert [(one["person"], one["name"]) for one in found["people"]] == [(2, "")]
    assert named(codes) == {}
    two = page.tracks(2)
    goes = page.post("goes", tracks=two[:1])
    assert page.post("forget", tracks=two[:1], agreed=goes["agreed"])["said"] == ["forgotten for ever: 1 track"]
    assert page.tracks(2) == two[1:]
    goes = page.post("goes", person=2)  # who has no name
    page.post("forget", person=2, agreed=goes["agreed"])
    assert page.look("people")["people"] == []
    assert "name what to forget" in page.refused("goes")


# ------------------------------------------------------------------------------------------------ who gets nothing


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8000"},
        {"host": "127.0.0.1"},
        {"host": "127.0.0.1:8001"},
        {"host": "127.0.0.1:8000.evil.example"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1:8000"},
        {"origin": "http://127.0.0.1:8001"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_origin_or_host_gets_nothing(page: Page, codes: Path, headers: dict[str, str]) -> None:
    page.look("people")
    before = steps(codes)
    body = {"do": "name", "people": [1], "name": "Eve"}
    key = page.look("person/1")["list"][0]["media"]
    for answer in (
        page.client.get("people", headers=headers),
        page.client.get("", headers=headers),
        page.client.get(f"media/{key}", headers=headers),
        page.client.post("do", json=body, headers=headers),
        page.client.options("do", headers=headers),
    ):
        assert (answer.status_code, answer.text) == (404, "there is nothing here\n")
        assert "access-control-allow-origin" not in answer.headers
    assert steps(codes) == before


@pytest.mark.parametrize("token", ["", "wrong", "a-toke", "a-token-", "A-TOKEN", "%61-token%00", "ä"])
def test_without_the_token_there_is_nothing(page: Page, token: str) -> None:
    for path in ("/", "/people", "/review.js", "/do"):
        answer = page.client.get(f"http://{HOST}/{token}{path}")
        assert (answer.status_code, answer.text) == (404, "there is nothing here\n")


def test_a_post_has_to_say_where_it_is_from(review: Review, codes: Path) -> None:
    client = TestClient(Guard(application(review), TOKEN, [HOST]), base_url=HOME)
    assert client.get("people").status_code == 200  # an address that was typed
    body = {"do": "name", "people": [1], "name": "Eve"}
    assert client.post("do", json=body).status_code == 404
    assert client.post("do", json=body, headers=[("origin", f"http://{HOST}"), ("host", HOST)]).status_code == 200
    assert named(codes) == {"Eve": [row for row, number in enumerate(who(codes)) if number == 1]}


def test_every_answer_forbids_all_that_is_not_the_page(page: Page) -> None:
    found = page.look("people")
    paths = [*FILES, "people", "person/1", f"face/{found['content']}/0", "nothing", "person/99"]
    for path in paths:
        headers = page.client.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert {policy[f"{what}-src"] for what in ("script", "style", "img", "media", "connect")} == {"'self'"}
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    html = page.client.get("").text
    assert not re.findall(r"https?:|\son\w+=|<style|style=|javascript:", html)
    assert re.findall(r"<script([^>]*)>", html) == [' src="review.js" defer']
    script = page.client.get("review.js").text
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|https?://", script)


# --------------------------------------------------------------------------------------------------- the program


def test_it_answers_on_this_machine_alone_and_ends_with_ctrl_c(codes: Path) -> None:
    code = "import sys; from dhhcli.cli.start import main; sys.argv[0] = 'dhh'; main()"
    # whoever runs the tests in the background of a shell has SIGINT ignored
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", heard + code, "review", str(codes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            address = program.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address), address
            import httpx2

            with httpx2.Client(trust_env=False) as client:
                found = client.get(f"{address}people")
                assert (found.status_code, found.json()["all"]) == (200, 2)
                assert "server" not in found.headers
                assert client.get(address.rsplit("/", 2)[0] + "/people").status_code == 404
                assert client.get(f"{address}people", headers={"host": "evil.example"}).status_code == 404
                program.send_signal(signal.SIGINT)  # while the browser's connection is open
                out, words = program.communicate(timeout=30)
        finally:
            program.kill()
    assert (program.returncode, out) == (130, "")
    assert words == "open this address in a browser of this machine; Ctrl-C ends it\n"


def test_what_is_wrong_is_said_before_the_page_is_there(
    dhh: Any, codes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = dhh("review", tmp_path / "none.h5")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "none.h5" in done.stderr
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(DhhError, match="cannot be listened on"):
            serve(codes, port=taken.getsockname()[1], tell=lambda _: None)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"dhh review needs uvicorn, .* pip install .dhhcli\[review\]"):
        serve(codes, tell=lambda _: None)
