"""capture_time: metadata of a video, EXIF of a photo -> when it was recorded, seconds since 1970, or None."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from dhhcli.media.photo_formats import open_image

# QuickTime's own date comes first: it is of the recording and says its zone, while creation_time is often of a copy
KEYS: Final = ("com.apple.quicktime.creationdate", "creation_time", "date")
FIRST: Final = 86_400  # clocks that were never set say 1904 or 1970
EXIF, TAKEN, OFFSET = 0x8769, 0x9003, 0x9011  # EXIF 3.0: the folder, and two tags in it


def video_recorded(metadata: Iterable[Mapping[str, str]]) -> int | None:
    """From the metadata of a file and its streams, the first that says a date and a time; without a zone it is UTC."""
    found = [{key.lower(): value for key, value in one.items()} for one in metadata]
    for key in KEYS:
        for one in found:
            text = one.get(key, "").strip()
            if len(text) > len("2024-05-31"):  # a day alone is of a release
                seconds = _seconds(text, "+00:00")
                if seconds is not None:
                    return seconds
    return None


def photo_recorded(path: Path) -> int | None:
    """From EXIF: when the picture was taken; without a zone it is UTC, so that every machine reads the same."""
    try:
        with path.open("rb") as stream, open_image(stream) as image:
            exif = image.getexif().get_ifd(EXIF)
            taken, offset = str(exif.get(TAKEN, "")), str(exif.get(OFFSET, ""))
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything, and the picture itself has been read
        return None
    day, _, time = taken.strip("\0 ").partition(" ")
    return _seconds(f"{day.replace(':', '-')}T{time}", offset.strip("\0 ") or "+00:00")


def _seconds(text: str, zone: str) -> int | None:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = datetime.fromisoformat(f"{text}{zone}")
        seconds = found.timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return int(seconds) if seconds > FIRST else None
