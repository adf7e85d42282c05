"""contact_sheet: rows + thumbnails -> one picture (h, w, 3) uint8 BGR, or one HTML file, to check answers by eye."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from dhhcli.base.atomic_write import write_atomically
from dhhcli.errors import DhhError, UsageError
from dhhcli.output.places import check_place
from dhhcli.search.result import Row
from dhhcli.storage.record import VideoRecord

if TYPE_CHECKING:
    from dhhcli.search.explain import Explanation


PICTURES = (".png", ".jpg", ".jpeg")
CELL = 160  # pixels, picture and caption
CAPTION = 51  # three lines
COLUMNS = 5
INK, PAPER, ABSENT = (30, 30, 30), (250, 250, 250), (200, 200, 200)


def contact_sheet(
    rows: Sequence[Row], thumbnails: Sequence[bytes], photos: Sequence[tuple[Path, bytes]] = ()
) -> npt.NDArray[np.uint8]:
    """Left to right, five a line: what was asked with, framed, at most a line of it; then the answers, best first.

    Under a photo its name; under an answer its rank and source timecode, distance and confidence, file. A track
    encoded without thumbnails is a grey field.
    """
    cells = [(jpeg, ("asked with", path.name, ""), True) for path, jpeg in photos[:COLUMNS]]
    for row, jpeg in zip(rows, thumbnails, strict=True):
        words = f"{row.distance:g}/{row.bits}  {row.confidence_in_words}".rstrip()
        cells.append((jpeg, (f"{row.rank}.  {row.face_at}", words, row.video.name), False))
    return captioned(cells)


def captioned(cells: Sequence[tuple[bytes, tuple[str, str, str], bool]]) -> npt.NDArray[np.uint8]:
    """Cells of a JPEG, three lines of words, and whether it is framed -> one picture, five a line."""
    lines = max(1, -(-len(cells) // COLUMNS))
    sheet = np.full((lines * (CELL + CAPTION), COLUMNS * CELL, 3), PAPER, np.uint8)
    for place, (jpeg, caption, framed) in enumerate(cells):
        top, left = place // COLUMNS * (CELL + CAPTION), place % COLUMNS * CELL
        cell = sheet[top + 4 : top + CELL, left + 4 : left + CELL - 4]
        _show(cell, jpeg)
        if framed:
            cv2.rectangle(sheet, (left + 2, top + 2), (left + CELL - 3, top + CELL + 1), INK, 2)
        for line, text in enumerate(caption):
            # OpenCV's font has no letters beyond ASCII
            ascii_text = text.encode("ascii", "replace").decode()[:27]
            at = (left + 4, top + CELL + 13 + 15 * line)
            cv2.putText(sheet, ascii_text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.35, INK, 1, cv2.LINE_AA)
    return sheet


def _show(cell: npt.NDArray[np.uint8], jpeg: bytes) -> None:
    """Put a picture into the middle of a cell (h, w, 3), as large as it goes."""
    face = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if face is None:
        cell[:] = ABSENT
        return
    scale = min(cell.shape[0] / face.shape[0], cell.shape[1] / face.shape[1])
    size = (max(1, int(face.shape[1] * scale)), max(1, int(face.shape[0] * scale)))
    y, x = (cell.shape[0] - size[1]) // 2, (cell.shape[1] - size[0]) // 2
    cell[y : y + size[1], x : x + size[0]] = cv2.resize(face, size, interpolation=cv2.INTER_LINEAR)


def check_sheet(path: Path | None, *, show: bool) -> None:
    """Raises DhhError for a suffix that no sheet has, UsageError where there is nothing to show."""
    if path is None:
        if show:
            raise UsageError("--open shows the sheet; name it with --sheet, say --sheet hits.html")
    elif path.suffix.lower() not in {".html", ".htm", *PICTURES}:
        suffix = path.suffix or "without suffix"
        raise DhhError(f"{path}: a contact sheet is written as .html, .png or .jpg, not {suffix}")
    else:
        check_place(path)


def write_sheet(
    path: Path,
    rows: Sequence[Row],
    thumbnails: Sequence[bytes],
    *,
    videos: Mapping[Path, tuple[VideoRecord, int]] | None = None,
    photos: Sequence[tuple[Path, bytes]] = (),
    matched: Sequence[int] = (),
    why: "Explanation | None" = None,
) -> list[str]:
    """Write the contact sheet as HTML, PNG or JPEG, by the suffix of ``path`` -> words about what it lacks.

    Both begin with the ``photos`` (path, JPEG of the face) that were asked with; HTML also shows the one that each row
    ``matched`` (-1: all together), frames out of the ``videos`` and ``why`` a hit was found.

    Raises:
        DhhError: another suffix, or the place cannot be written.
    """
    check_sheet(path, show=False)
    notes: list[str] = []
    if path.suffix.lower() in PICTURES:
        _, picture = cv2.imencode(path.suffix.lower(), contact_sheet(rows, thumbnails, photos))
        data = picture.tobytes()
    else:
        from dhhcli.output.sheets.frame_grabs import shot_stills
        from dhhcli.output.sheets.html_page import page

        stills, notes = shot_stills(rows, videos or {})
        names = [photo.name for photo, _ in photos]
        title = f"{len(names)} photos" if len(names) > 3 else ", ".join(names) or path.stem
        data = page(title, photos, rows, thumbnails, stills, why, matched).encode()
    try:
        write_atomically(path, data)
    except OSError as error:
        raise DhhError(f"{path}: cannot be written ({error.strerror}); name another place for the sheet") from None
    return notes


def show_sheet(path: Path) -> list[str]:
    """Open it with what the system opens such files with -> words where that did not work."""
    import webbrowser

    if webbrowser.open(path.resolve().as_uri()):
        return []
    return [f"{path}: no program was found to open it with; open it in a browser"]
