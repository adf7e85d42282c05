"""people_sheet: people + pictures of their tracks -> one picture (h, w, 3) uint8 BGR, or an HTML file, to check by eye.

Of each person the clearest track first, then others from the most to the least typical: who does not belong there is
mostly at the end.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dhhcli.base.atomic_write import write_atomically
from dhhcli.base.text import counted
from dhhcli.errors import DhhError
from dhhcli.output.sheets.contact_sheet import ABSENT, INK, PAPER, PICTURES, check_sheet
from dhhcli.output.sheets.html_page import asset, document, escaped, picture_tag
from dhhcli.people.identities import FACES, People, Person

CELL = 112  # pixels
CAPTION = 40
STYLE = """
.faces { display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: 6px; }
.faces img, .faces .absent { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 8px; cursor: default; }
main { grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); }
"""


def write_cast(path: Path, found: People) -> None:
    """Write the people as HTML, PNG or JPEG, by the suffix of ``path``; ``found`` has faces.

    Raises:
        DhhError: another suffix, or the place cannot be written.
    """
    check_sheet(path, show=False)
    if path.suffix.lower() in PICTURES:
        _, picture = cv2.imencode(path.suffix.lower(), cast_sheet(found))
        data = picture.tobytes()
    else:
        data = cast_page(found).encode()
    try:
        write_atomically(path, data)
    except OSError as error:
        raise DhhError(f"{path}: cannot be written ({error.strerror}); name another place for the sheet") from None


def cast_sheet(found: People) -> npt.NDArray[np.uint8]:
    """A line for each person: number, name, screen time, then FACES pictures. No picture is a grey field."""
    line = CELL + CAPTION
    sheet = np.full((max(1, len(found.people)) * line, FACES * CELL, 3), PAPER, np.uint8)
    for place, (person, (_, jpegs)) in enumerate(zip(found.people, found.faces, strict=True)):
        top = place * line
        # OpenCV's font has no letters beyond ASCII
        words = f"{person.person}. {person.name}  {_amounts(person)}".encode("ascii", "replace").decode()
        cv2.putText(sheet, words, (4, top + 26), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
        for column, jpeg in enumerate(jpegs):
            face = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
            cell = sheet[top + CAPTION : top + line - 4, column * CELL + 4 : (column + 1) * CELL]
            if face is None:
                cell[:] = ABSENT
            else:
                scale = min(cell.shape[0] / face.shape[0], cell.shape[1] / face.shape[1])
                size = (max(1, int(face.shape[1] * scale)), max(1, int(face.shape[0] * scale)))
                cell[: size[1], : size[0]] = cv2.resize(face, size, interpolation=cv2.INTER_AREA)
    return sheet


def cast_page(found: People) -> str:
    """The page: a card for each person. Nothing is loaded, and there are no scripts."""
    style = asset("sheet.css") + STYLE
    cards = "\n".join(_card(person, jpegs) for person, (_, jpegs) in zip(found.people, found.faces, strict=True))
    count = f"{len(found.people)} {'person' if len(found.people) == 1 else 'people'}"
    notes = "".join(f"<p>{escaped(note)}</p>" for note in found.notes)
    body = f"""<header>
<div class="head">
<h1>{count}</h1>
<p>Most screen time first. Of each the clearest face, then others from the most to the least typical.</p>
{notes}
</div>
</header>
<main>
{cards}
</main>
"""
    return document(count, style, body)


def _card(person: Person, jpegs: Sequence[bytes]) -> str:
    faces = "".join(
        f"<figure>{picture_tag(jpeg, f'face {number}') or '<div class=absent>no picture</div>'}</figure>"
        for number, jpeg in enumerate(jpegs, start=1)
    )
    others = ", ".join(map(str, person.seen_with))
    with_whom = f"<p>seen with {escaped(others)}</p>" if others else ""
    place = f"first seen {person.first_seen}, shot {person.shot}" if person.first_seen else "first seen"
    return f"""<article tabindex="0">
<h2>#{person.person} <bdi>{escaped(person.name)}</bdi> <small>{_amounts(person)}</small></h2>
<div class="faces">{faces}</div>
<p class="name"><bdi title="{escaped(str(person.video))}">{escaped(person.video.name)}</bdi> \
<span>{escaped(place)}</span></p>
{with_whom}
</article>"""


def _amounts(person: Person) -> str:
    minutes, seconds = divmod(round(person.seconds), 60)
    return (
        f"{minutes}:{seconds:02d} min, {counted(person.tracks, 'track')} in {counted(person.shots, 'shot')} "
        f"of {counted(person.videos, 'file')}"
    )
