"""faces: JPEGs of faces and a word about each -> lines of small pictures on a terminal that shows some, below a table.

Nothing is stored or loaded by the terminal but what is sent here. A face is TILE characters; below it stands its
number, so that what is not a face, or is damaged, leaves a number without a picture.
"""

import base64
import io
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from rich.text import Text

from dhhcli.base.text import take_any_text
from dhhcli.output.terminal.pictures import Able, Way, able, may_show
from dhhcli.output.terminal.screen import plain, terminal

if TYPE_CHECKING:
    from PIL import Image

TILE: Final = (8, 4)  # characters, width and height
GAP: Final = 1
MOST: Final = 40  # faces: what comes later is far down the list
COLOURS: Final = 32  # of a sixel picture: more are hardly seen and cost ten times as much
PART: Final = 4096  # letters of one of kitty's commands
UP, DOWN, TO, KEEP, BACK = "\x1b[{}A", "\x1b[{}B", "\x1b[{}G", "\x1b7", "\x1b8"


def show_faces(faces: Sequence[tuple[str, bytes]], *, wanted: bool | None = None) -> Sequence[str]:
    """Show small pictures, a word below each, if standard output shows any; words about why not, where they are wanted.

    faces: at most MOST are shown; b"" is none. wanted: True says why there are none.
    """
    ability, why = _ability(faces, wanted)
    if ability is None:
        return (f"no faces: {why}",) if wanted else ()
    console = terminal()
    if console.height > TILE[1] + 2 and console.width > TILE[0]:  # else pictures would scroll away under the cursor
        fine = (console.encoding or "").lower().startswith("utf")
        take_any_text(sys.stdout)
        sys.stdout.write(strips(faces[:MOST], ability, console.width, fine=fine))
        sys.stdout.flush()
    return ()


def _ability(faces: Sequence[tuple[str, bytes]], wanted: bool | None) -> tuple[Able | None, str]:
    """What standard output can do; else None and why. A terminal is not asked where there is nothing to show."""
    if not any(jpeg for _, jpeg in faces):
        return None, "the codes file has no pictures of these; dhh encode --thumbnails makes some"
    if not sys.stdout.isatty():
        return None, "standard output is no terminal"
    ability = able() if may_show(wanted=wanted) else None
    if ability is None:
        return None, "this terminal does not say that it shows pictures (kitty, iTerm2, sixel)"
    if ability.way is Way.sixel:
        from dhhcli.base.extras import require
        from dhhcli.errors import MissingExtraError

        try:
            require("pictures", "a terminal that knows sixel only")
        except MissingExtraError as error:
            return None, str(error)
    return ability, ""


def strips(faces: Sequence[tuple[str, bytes]], ability: Able, width: int, *, fine: bool = True) -> str:
    """Text that shows faces side by side on a terminal of so many columns.

    Empty lines and the words come first, so that nothing scrolls while a picture is drawn above them. ``fine``: it
    knows letters beyond ASCII.
    """
    across, down = TILE
    step = across + GAP
    each = max(1, (width + GAP) // step)
    draw = {Way.kitty: _kitty, Way.iterm2: _iterm2, Way.sixel: _sixel}[ability.way]
    out = []
    for first in range(0, len(faces), each):
        line = faces[first : first + each]
        words = [Text(plain(word)) for word, _ in line]
        for word in words:
            word.truncate(across, overflow="ellipsis" if fine else "crop", pad=True)
        out.append("\n" * down + (" " * GAP).join(word.plain for word in words).rstrip())
        out.append("\n" + UP.format(down + 1))
        for number, (_, jpeg) in enumerate(line):
            picture = _tile(jpeg, ability)
            if picture is not None:
                out.append(f"{TO.format(number * step + 1)}{KEEP}{draw(picture)}{BACK}")
        out.append(f"\r{DOWN.format(down + 1)}")
    return "".join(out)


def _tile(jpeg: bytes, ability: Able) -> "Image.Image | None":
    """A face as large as a tile, its middle; None for what is no picture."""
    from PIL import Image, ImageOps

    size = (TILE[0] * ability.cell[0], TILE[1] * ability.cell[1])
    if ability.way is Way.sixel:
        size = (size[0], size[1] // 6 * 6)  # sixels are six pixels high
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as opened:
            return ImageOps.fit(opened.convert("RGB"), size)
    except (OSError, ValueError):
        return None


def _bytes(picture: "Image.Image", kind: str) -> str:
    data = io.BytesIO()
    picture.save(data, kind)
    return base64.b64encode(data.getvalue()).decode("ascii")


def _kitty(picture: "Image.Image") -> str:
    """https://sw.kovidgoyal.net/kitty/graphics-protocol: shown at once, no answer wanted, the cursor stays."""
    data = _bytes(picture, "PNG")
    parts = [data[at : at + PART] for at in range(0, len(data), PART)]
    out = []
    for number, part in enumerate(parts):
        head = f"a=T,f=100,q=2,C=1,c={TILE[0]},r={TILE[1]}," if not number else "q=2,"
        out.append(f"\x1b_G{head}m={int(number < len(parts) - 1)};{part}\x1b\\")
    return "".join(out)


def _iterm2(picture: "Image.Image") -> str:
    """https://iterm2.com/documentation-images.html"""
    form = f"inline=1;width={TILE[0]};height={TILE[1]};preserveAspectRatio=0;doNotMoveCursor=1"
    return f"\x1b]1337;File={form}:{_bytes(picture, 'JPEG')}\a"


def _sixel(picture: "Image.Image") -> str:
    from timg.methods.sixel import SixelMethod

    to_text: Callable[[], str] = SixelMethod(picture.quantize(COLOURS)).to_string
    return to_text()
