"""A row to print, names that would do harm, and a page as the tags it is made of."""

from html.parser import HTMLParser
from pathlib import Path

from dhhcli.search.result import Row

ROW = Row(
    rank=1,
    distance=7,
    bits=48,
    confidence=0.425,
    false_rate=0.0025,
    video=Path("/films/a b.mp4"),
    shot=3,
    start="01:00:04:00",
    end="01:00:06:10",
    start_seconds=4.0,
    end_seconds=6.4,
    start_frame=100,
    end_frame=160,
    face_at="01:00:04:11",
    face_frame=111,
    box=(377, 104, 458, 204),
    tracks=1,
    track=12,
    track_id="3fa91c07-5b2e90d1",
)


HOSTILE = (
    "a b.mov",
    "<b>&amp;\"'>.mov",
    "]]><script>alert(1)</script>.mov",
    "größe 映像 🎬.mov",
    "new\nline\r\t\x00".replace("\x00", "\x01") + ".mov",
    "line\u2028sep\u2029\x85\x1c.mov",
    "..",
    "...mov",
    "%2e%2e%20?#;=|\\.mov",
    "|C:ResolveColorRed |M:x |D:9.mov",
    "* FROM CLIP NAME: other.mov",
    "001  AX       V     C        00:00:00:00 00:00:00:01 00:00:00:00 00:00:00:01",
    "'quoted' 'twice'\\''.mov",
    "bytes\udcff\udc80.mov",
    "\ufffe\uffff.mov",
    "00:00:00.000 --> 00:00:01.000.mov",
    "=cmd()\u202e.mov",
    "x" * 250 + ".mov",
)


class Elements(HTMLParser):
    """Every tag with its attributes, and the text of everything but script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] and self.tags[-1][0] not in ("script", "style"):
            self.words.append(data)
