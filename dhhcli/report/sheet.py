"""sheet: rows + thumbnails -> one picture (h, w, 3) uint8 BGR to check the answers by eye."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import DhhError
from ..files import write_atomically
from .rows import Row

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


def write_sheet(path: Path, rows: Sequence[Row], thumbnails: Sequence[bytes]) -> None:
    """Write the contact sheet as PNG or JPEG, by the suffix of ``path``.

    Raises:
        DhhError: another suffix, or the place cannot be written.
    """
    if path.suffix.lower() not in {".png", ".jpg", ".jpeg"}:
        raise DhhError(f"{path}: a contact sheet is written as .png or .jpg, not {path.suffix or 'without suffix'}")
    _, data = cv2.imencode(path.suffix.lower(), contact_sheet(rows, thumbnails))
    try:
        write_atomically(path, data.tobytes())
    except OSError as error:
        raise DhhError(f"{path}: cannot be written ({error.strerror}); name another place for the sheet") from None
