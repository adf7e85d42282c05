"""html_page: rows + pictures -> one HTML file to check the answers by eye, complete in itself.

Nothing is loaded: pictures are data URLs, and the page's Content-Security-Policy forbids every request and every
script and style but its own two, by their hash. What comes from outside (names, paths) is escaped as text.
"""

import base64
import hashlib
import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from dhhcli.base.text import counted, one_line
from dhhcli.output.sheets.frame_grabs import Stills
from dhhcli.search.result import Row

if TYPE_CHECKING:
    from dhhcli.search.explain import Explanation


_ABSENT = '<div class="absent">no picture</div>'
KEYS = "← → move · c copy the start · v copy the face's timecode · Enter enlarge · / filter · w words"


def page(
    title: str,
    photos: Sequence[tuple[Path, bytes]],
    rows: Sequence[Row],
    faces: Sequence[bytes],
    stills: Sequence[Stills],
    why: "Explanation | None" = None,
    matched: Sequence[int] = (),
) -> str:
    """The page. photos: every query photo with a JPEG of its face; faces, stills: one a row; why: of one row; matched:
    which photo each row is nearest to, -1 for all together, where that is known.
    """
    reason = _why(why) if why else ""
    nearest = matched or [0 if len(photos) == 1 else -1] * len(rows)
    cards = "\n".join(
        _card(row, face, still, _asked_for(photos, place), reason if why and why.rank == row.rank else "")
        for row, face, still, place in zip(rows, faces, stills, nearest, strict=True)
    )
    asked = "".join(
        f"<figure>{picture_tag(picture, f'the face asked for, in {path.name}')}"
        f"<figcaption><bdi>{escaped(path.name)}</bdi></figcaption></figure>"
        for path, picture in photos
    )
    count = counted(len(rows), "shot")
    body = f"""<header>
<div class="asked">{asked}</div>
<div class="head">
<h1><bdi>{escaped(title)}</bdi></h1>
<p><output id="count">{count}</output>, most likely first. A rank is not a promise: look at the faces.</p>
{_filter(rows)}
{_search(rows)}
<p class="keys">{KEYS}</p>
</div>
</header>
<main>
{cards}
</main>
<p id="none" hidden>No shot is left: the filter is too strict.</p>
<dialog id="large" aria-label="Enlarged pictures"><div id="enlarged"></div><button type="button">Close</button></dialog>
<p id="said" role="status" aria-live="polite"></p>
"""
    return document(f"{title}: {count}", asset("sheet.css"), body, asset("sheet.js"))


def document(title: str, style: str, body: str, script: str = "") -> str:
    """An HTML file of a body's markup, which may load nothing and run no other style and script than these.

    The title is escaped here; what else comes from outside was escaped where it was put into the markup.
    """
    policy = f"default-src 'none'; img-src data:; style-src {_policy_hash(style)}"
    if script:
        policy += f"; script-src {_policy_hash(script)}"
        body += f"<script>{script}</script>\n"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escaped(title)}</title>
<style>{style}</style>
</head>
<body>
{body}</body>
</html>
"""


def _filter(rows: Sequence[Row]) -> str:
    """A slider over confidence where rows have one, else over the distance."""
    if not rows:
        return ""
    if any(row.confidence is not None for row in rows):
        return (
            '<label class="filter">confidence at least <output id="limit">0.00</output>'
            '<input id="filter" type="range" data-by="confidence" min="0" max="1" step="0.01" value="0"></label>'
        )
    low, high = math.floor(min(row.distance for row in rows)), math.ceil(max(row.distance for row in rows))
    return (
        f'<label class="filter">at most <output id="limit">{high}</output> of {rows[0].bits} bits differ'
        f'<input id="filter" type="range" data-by="distance" min="{low}" max="{high}" step="1" value="{high}"></label>'
    )


def _search(rows: Sequence[Row]) -> str:
    """A field for words that a card has to show: of its path, shot or timecode."""
    if not rows:
        return ""
    return '<label class="words">showing <input id="words" type="search" placeholder="path, shot or timecode"></label>'


def _why(why: "Explanation") -> str:
    """The crops that its code was made of, and what is said about it."""
    import cv2

    from dhhcli.output.explanation import explained

    crops = "".join(
        picture_tag(bytes(cv2.imencode(".jpg", crop)[1].tobytes()), f"crop {number}")
        for number, crop in enumerate(why.crops, start=1)
    )
    lines = "\n".join(escaped(line) for line in explained(why))
    return (
        f'<details open><summary>why it is here</summary><div class="crops">{crops}</div><pre>{lines}</pre></details>'
    )


def _asked_for(photos: Sequence[tuple[Path, bytes]], place: int) -> tuple[str, bytes]:
    """The photo that a row is nearest to, and what is written below it."""
    if not photos:
        return "asked for", b""
    path, picture = photos[max(0, place)]
    if len(photos) == 1:
        return "asked for", picture
    return (f"nearest: {path.name}" if place >= 0 else "asked for, all together"), picture


def _card(row: Row, face: bytes, stills: Stills, query: tuple[str, bytes], reason: str) -> str:
    sure = row.confidence
    attribute = "" if sure is None else f' data-confidence="{sure:.6f}"'
    meter = "" if sure is None else f'<p class="sure"><b>{escaped(row.confidence_in_words)}</b> {_meter(sure)}</p>'
    strip = "".join(
        f"<figure>{picture_tag(picture, f'{what} of the shot')}<figcaption>{what}</figcaption></figure>"
        for what, picture in (("first frame", stills.first), ("middle", stills.middle), ("last frame", stills.last))
        if picture
    )
    best = (
        f'<figure class="best">{picture_tag(stills.best, "frame with the best face")}</figure>' if stills.best else ""
    )
    pair = "".join(
        f"<figure>{picture_tag(picture, what) or _ABSENT}<figcaption><bdi>{escaped(what)}</bdi></figcaption></figure>"
        for what, picture in (query, ("found", face))
    )
    return f"""<article tabindex="0" data-distance="{row.distance}"{attribute}>
<h2>#{row.rank} <small>{row.distance:g} of {row.bits} bits differ</small></h2>
{meter}
<div class="pair">{pair}</div>
{best}
<div class="strip">{strip}</div>
<p class="name"><bdi title="{escaped(str(row.video))}">{escaped(row.video.name)}</bdi> <span>shot {row.shot}</span></p>
<p class="path"><bdi>{escaped(str(row.video.parent))}</bdi></p>
<p class="codes">{_copy(row.start, "start")} – {_copy(row.end, "end")}</p>
<p class="codes">face at {_copy(row.face_at, "face")}</p>
{reason}
</article>"""


def _meter(sure: float) -> str:
    return f'<meter min="0" max="1" value="{sure:.3f}">{sure:.2f}</meter>'


def _copy(label: str, what: str) -> str:
    text = escaped(label)
    return f'<button type="button" data-copy="{text}" data-what="{what}" title="copy">{text}</button>'


def picture_tag(jpeg: bytes, what: str) -> str:
    """An image complete in itself, or nothing for no bytes."""
    if not jpeg:
        return ""
    return f'<img alt="{escaped(what)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'


def escaped(words: str) -> str:
    """Escaped for text and for attributes; line breaks and bytes that are no UTF-8 are shown as escapes."""
    return escape(one_line(words))


def asset(name: str) -> str:
    """A text file of this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _policy_hash(text: str) -> str:
    """What a Content-Security-Policy allows a style or script by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
