"""photo_formats: a file -> an opened picture of one of the formats that photos have; nothing else is tried.

Pillow would try some forty formats, of games and of printers: PostScript is run by Ghostscript. HEIC is read by pi-heif
(extra ``heif``), JPEG XL where pillow-jxl-plugin happens to be installed, which dhh does not ask for: it is GPL.
"""

from importlib import import_module
from typing import Any, BinaryIO, Final

from dhhcli.errors import MissingExtraError, PhotoError

COMMON: Final = ("JPEG", "MPO", "PNG", "PPM", "GIF", "BMP")  # the readers that Pillow brings first
OTHERS: Final = ("TIFF", "WEBP", "JPEG2000", "AVIF")
HEIC: Final = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))
AVIF: Final = frozenset((b"avif", b"avis"))
JXL: Final = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")


def photo_formats() -> tuple[str, ...]:
    """What is read, as Pillow names it, without the readers that have to be brought."""
    return (*COMMON, *OTHERS)


def open_image(stream: BinaryIO) -> Any:
    """A picture (PIL.Image.Image), not loaded yet. stream: stays open while it is used.

    Raises:
        PhotoError: HEIC or JPEG XL, and nothing is installed that reads it.
        PIL.UnidentifiedImageError: it is of no format that is read. And what readers raise on damaged headers.
    """
    from PIL import Image, UnidentifiedImageError

    head = stream.read(256)
    stream.seek(0)
    if is_heic(head):
        _bring_heic()
        return Image.open(stream, formats=("HEIF",))
    if head.startswith(JXL):
        _bring_jxl()
        return Image.open(stream, formats=("JXL",))
    Image.preinit()
    try:
        return Image.open(stream, formats=[name for name in COMMON if name in Image.OPEN])
    except UnidentifiedImageError:
        Image.init()
        stream.seek(0)
        return Image.open(stream, formats=[name for name in OTHERS if name in Image.OPEN])


def is_heic(head: bytes) -> bool:
    """Whether a file that begins so is HEIF with pictures of HEVC, or of a kind it does not say; AVIF is not."""
    if head[4:8] != b"ftyp":
        return False
    size = int.from_bytes(head[:4], "big")
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(size, len(head)) - 3, 4))}
    return bool(brands & HEIC) and not brands & AVIF


def _bring_heic() -> None:
    from dhhcli.base.extras import require

    try:
        require("heif", "a HEIC photo")
    except MissingExtraError as error:
        raise PhotoError(str(error)) from error
    import_module("pi_heif").register_heif_opener()


def _bring_jxl() -> None:
    try:
        import_module("pillow_jxl")  # registers itself
    except ImportError as error:
        raise PhotoError("JPEG XL, and nothing is installed that reads it; convert it to JPEG or PNG") from error
