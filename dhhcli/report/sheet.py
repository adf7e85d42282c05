"""sheet: rows + thumbnails -> one picture (h, w, 3) uint8 BGR, or one HTML file, to check the answers by eye."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import DhhError, UsageError
from ..files import write_atomically
from ..records import VideoRecord
from .rows import Row

if TYPE_CHECKING:
    from ..explain import Explanation

PICTURES = (".png", ".jpg", ".jpeg")
CELL = 160  # pixels, picture and caption
CAPTION = 51  # three lines
COLUMNS = 5
INK, PAPER, ABSENT = (30, 30, 30), (250, 250, 250), (200, 200, 200)


def contact_sheet(rows: Sequence[Row], thumbnails: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """Best first, left to right, five a line: the face, its rank and source timecode, distance and confidence, file.

    A track encoded without thumbnails is a grey field.
    """
    lines = max(1, -(-len(rows) // COLUMNS))
    sheet = np.full((lines * (CELL + CAPTION), COLUMNS * CELL, 3), PAPER, np.uint8)
    for place, (row, jpeg) in enumerate(zip(rows, thumbnails, strict=True)):
        top, left = place // COLUMNS * (CELL + CAPTION), place % COLUMNS * CELL
        face = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
        cell = sheet[top + 4 : top + CELL, left + 4 : left + CELL - 4]
        if face is None:
            cell[:] = ABSENT
        else:
            scale = min(cell.shape[0] / face.shape[0], cell.shape[1] / face.shape[1])
            size = (max(1, int(face.shape[1] * scale)), max(1, int(face.shape[0] * scale)))
            fitted = cv2.resize(face, size, interpolation=cv2.INTER_LINEAR)
            y, x = (cell.shape[0] - size[1]) // 2, (cell.shape[1] - size[0]) // 2
            cell[y : y + size[1], x : x + size[0]] = fitted
        words = f"{row.distance}/{row.bits}  {row.confidence_in_words}".rstrip()
        for line, text in enumerate((f"{row.rank}.  {row.face_at}", words, row.video.name)):
            # OpenCV's font has no letters beyond ASCII
            ascii_text = text.encode("ascii", "replace").decode()[:27]
            at = (left + 4, top + CELL + 13 + 15 * line)
            cv2.putText(sheet, ascii_text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.35, INK, 1, cv2.LINE_AA)
    return sheet


def check_sheet(path: Path | None, *, show: bool) -> None:
    """Raises DhhError for a suffix that no sheet has, UsageError where there is nothing to show."""
    if path is None:
        if show:
            raise UsageError("--open shows the sheet; name it with --sheet, say --sheet hits.html")
    elif path.suffix.lower() not in {".html", ".htm", *PICTURES}:
        suffix = path.suffix or "without suffix"
        raise DhhError(f"{path}: a contact sheet is written as .html, .png or .jpg, not {suffix}")


def write_sheet(
    path: Path,
    rows: Sequence[Row],
    thumbnails: Sequence[bytes],
    *,
    videos: Mapping[Path, tuple[VideoRecord, int]] | None = None,
    photos: Sequence[tuple[Path, bytes]] = (),
    why: "Explanation | None" = None,
) -> list[str]:
    """Write the contact sheet as HTML, PNG or JPEG, by the suffix of ``path`` -> words about what it lacks.

    HTML also shows frames out of the ``videos``, the ``photos`` (path, JPEG of the face) that were asked with, and
    ``why`` a hit was found.

    Raises:
        DhhError: another suffix, or the place cannot be written.
    """
    check_sheet(path, show=False)
    notes: list[str] = []
    if path.suffix.lower() in PICTURES:
        _, picture = cv2.imencode(path.suffix.lower(), contact_sheet(rows, thumbnails))
        data = picture.tobytes()
    else:
        from .page import page
        from .stills import shot_stills

        stills, notes = shot_stills(rows, videos or {})
        names = [photo.name for photo, _ in photos]
        title = f"{len(names)} photos" if len(names) > 3 else ", ".join(names) or path.stem
        data = page(title, photos, rows, thumbnails, stills, why).encode()
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
