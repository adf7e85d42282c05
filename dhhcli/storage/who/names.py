"""names: what a name may be, and which one is meant; places of tracks; `codes.h5.names`, where names were kept.

That file is read on, and taken over by `codes.h5.people` (storage/who/book.py) as soon as anything is said. It is JSON:

    {"format": "dhh names", "version": 1, "sha256": <of the names as canonical JSON>,
     "names": {<name>: [[<content>, <start_pts>, <end_pts>, <best_pts>, [x0, y0, x1, y1]], ...]}}

A track is known by the content of its video, and by when and where its face shows (what tombstones.py goes by too).
"""

import difflib
import hashlib
import json
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dhhcli.base.arrays import Rows
from dhhcli.errors import NamesError
from dhhcli.storage.shard import Shard

FORMAT: Final = "dhh names"
VERSION: Final = 1
LARGEST: Final = 1 << 28  # bytes: two million tracks
LONGEST: Final = 200  # letters of a name


@dataclass(frozen=True, order=True)
class Place:
    """Where a track is: in which content, when (pts), and where in the picture (pixels)."""

    content: str  # fingerprint of the video, hex
    start_pts: int
    end_pts: int
    best_pts: int
    box: tuple[float, float, float, float]


Names = Mapping[str, tuple[Place, ...]]  # every place under one name


def names_path(codes_path: Path) -> Path:
    """`codes.h5.names`."""
    home = codes_path.resolve()
    return home.with_name(f"{home.name}.names")


def read_names(codes_path: Path) -> dict[str, tuple[Place, ...]]:
    """The names beside a codes file; none where there is no such file.

    Raises:
        NamesError: it is damaged, foreign, or of another version.
    """
    path = names_path(codes_path)
    try:
        if path.stat().st_size > LARGEST:
            raise NamesError(f"{path}: {path.stat().st_size:,} bytes, no names file is as large; move it elsewhere")
        whole = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise NamesError(
            f"{path}: not a names file ({type(error).__name__}); restore it, or move it elsewhere"
        ) from None
    try:
        if whole["format"] != FORMAT or whole["version"] != VERSION:
            raise NamesError(
                f"{path}: {whole['format']!r} version {whole['version']!r}, this dhh reads {FORMAT!r} version "
                f"{VERSION}; upgrade dhh"
            )
        if whole["sha256"] != _digest(whole["names"]):
            raise ValueError("its checksum is another")
        names = {str(name): tuple(_place(entry) for entry in entries) for name, entries in whole["names"].items()}
        if sum(map(len, names.values())) != len({place for places in names.values() for place in places}):
            raise ValueError("a track has two names")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise NamesError(
            f"{path}: damaged ({type(error).__name__}: {error}); restore it, or move it elsewhere"
        ) from None
    return names


def _digest(entries: object) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode("ascii")).hexdigest()


def _place(entry: Any) -> Place:
    content, start, end, best, (x0, y0, x1, y1) = entry
    if not (isinstance(content, str) and len(bytes.fromhex(content)) == 32):
        raise ValueError("no fingerprint of a video")
    if not all(isinstance(pts, int) and abs(pts) < 1 << 63 for pts in (start, end, best)):
        raise ValueError("a time that is no number")
    return Place(content, start, end, best, (float(x0), float(y0), float(x1), float(y1)))


def checked_name(text: str) -> str:
    """A name as it is stored: composed letters, single spaces.

    Raises:
        NamesError: it is empty, a number (people have numbers too), too long, or not printable.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or len(name) > LONGEST or not name.isprintable() or name.isdigit():
        raise NamesError(f"{text[:40]!r} is no name; a name has 1 to {LONGEST} printable letters and is not a number")
    return name


def places_of(shard: Shard, rows: Rows) -> list[Place]:
    """Where some tracks (k,) of a shard are."""
    tracks = shard.track_rows(rows)
    contents = {int(video): shard.video(int(video)).fingerprint for video in sorted(set(tracks["video"].tolist()))}
    return [
        Place(
            contents[int(track["video"])],
            int(track["start_pts"]),
            int(track["end_pts"]),
            int(track["best_pts"]),
            tuple(float(edge) for edge in track["box"]),  # type: ignore[arg-type]
        )
        for track in tracks
    ]


def known_name(names: Collection[str], text: str, where: Path) -> str:
    """The name that is meant: as given, or the only one that differs in case.

    Raises:
        NamesError: nobody is called so; the nearest names are said.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    alike = [known for known in names if known.casefold() == name.casefold()]
    if name in names or len(alike) == 1:
        return name if name in names else alike[0]
    folded: dict[str, str] = {known.casefold(): known for known in sorted(names)}
    near = [folded[key] for key in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)]
    near += [known for known in sorted(names) if name.casefold() in known.casefold() and known not in near][:3]
    if near:
        hint = f"nearest: {', '.join(map(repr, near))}"
    else:
        hint = "dhh name shows the names" if names else "nobody is named; dhh people and dhh name do that"
    raise NamesError(f"{where}: nobody is called {name!r}; {hint}")
