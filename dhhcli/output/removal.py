"""removal: what is to be forgotten + pictures -> a sheet of the faces, and the question whether they are the right."""

import sys
from collections.abc import Sequence
from pathlib import Path

from dhhcli.base.atomic_write import write_atomically
from dhhcli.base.text import counted
from dhhcli.errors import DhhError
from dhhcli.output.terminal.console import print_notes
from dhhcli.search.forget import Removed

LISTED = 20  # lines that are shown before the question; the rest are counted


def check_removal_sheet(sheet: Path | None) -> None:
    """Raises DhhError for a suffix that no sheet has."""
    if sheet is not None:
        from dhhcli.output.sheets.contact_sheet import check_sheet

        check_sheet(sheet, show=False)


def ask_before(
    codes_path: Path, removed: Sequence[Removed], pictures: Sequence[bytes], *, sheet: Path | None, question: bool
) -> bool:
    """Show what is to be removed and ask, where there is a terminal to ask on; whether to go on.

    Args:
        codes_path: where it is to be removed from.
        removed: a line a track.
        pictures: a JPEG a line, b"" for none.
        sheet: also write the faces to this file.
        question: whether to ask at all.

    Raises:
        DhhError: the sheet cannot be written.
    """
    if sheet is not None:
        _write_sheet(sheet, removed, pictures)
        print_notes([f"{sheet}: the faces of {counted(len(removed), 'line')}; delete it when it has been looked at"])
    if not question or not sys.stdin.isatty():
        return True
    for line in removed[:LISTED]:
        print_notes([_words(line)])
    if len(removed) > LISTED:
        print_notes([f"... and {len(removed) - LISTED} more; --sheet faces.html shows them all, --dry-run lists them"])
    sys.stderr.write(f"Erase {counted(len(removed), 'track')} from {codes_path.name!r}, for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _words(line: Removed) -> str:
    if line.track is None:
        return f"{line.video}: without faces"
    near = "" if line.distance is None else f", {line.distance} bits away"
    return f"track {line.track} ({line.track_id}): {line.video}, shot {line.shot}, {line.start}-{line.end}{near}"


def _write_sheet(path: Path, removed: Sequence[Removed], pictures: Sequence[bytes]) -> None:
    import cv2

    from dhhcli.output.sheets.contact_sheet import PICTURES, captioned

    faces = [(jpeg, line) for jpeg, line in zip(pictures, removed, strict=True) if line.track is not None]
    if path.suffix.lower() in PICTURES:
        cells = [(jpeg, (str(line.track_id), line.start, line.video.name), False) for jpeg, line in faces]
        _, picture = cv2.imencode(path.suffix.lower(), captioned(cells))
        data = picture.tobytes()
    else:
        data = _page(faces).encode()
    try:
        write_atomically(path, data)
    except OSError as error:
        raise DhhError(f"{path}: cannot be written ({error.strerror}); name another place for the sheet") from None


def _page(faces: Sequence[tuple[bytes, Removed]]) -> str:
    from dhhcli.output.sheets.html_page import asset, document, escaped, picture_tag

    cards = "\n".join(
        f"<article><figure>{picture_tag(jpeg, 'face') or '<div class=absent>no picture</div>'}</figure>"
        f"<p class=name><bdi>{escaped(line.video.name)}</bdi> <span>{escaped(line.start)}</span></p>"
        f"<p>{escaped(str(line.track_id))}</p></article>"
        for jpeg, line in faces
    )
    title = f"To be forgotten: {counted(len(faces), 'track')}"
    head = f"<header><div class=head><h1>{escaped(title)}</h1></div></header>"
    return document(title, asset("sheet.css"), f"{head}\n<main>\n{cards}\n</main>\n")
