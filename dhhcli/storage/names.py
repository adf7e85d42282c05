"""names: who is who in a codes file -> `codes.h5.names`; a name -> rows (k,) and codes (k, B) of its tracks.

A name is given to tracks. A track is known by the content of its video, and by when and where its face shows (what
tombstones.py goes by), so names outlive moved files, videos that are added, and weights; a video whose content changed
is another video. Nothing of how a face looks is in the file. It is JSON:

    {"format": "dhh names", "version": 1, "sha256": <of the names as canonical JSON>,
     "names": {<name>: [[<content>, <start_pts>, <end_pts>, <best_pts>, [x0, y0, x1, y1]], ...]}}

Forgetting a track or a video removes it from the names first (search/forget.py); storage/merge.py carries them along.
"""

import difflib
import hashlib
import json
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.base.arrays import Rows
from dhhcli.base.atomic_write import write_atomically
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


def write_names(codes_path: Path, names: Names) -> None:
    """Put names beside a codes file, atomically; without any, the file is removed."""
    path = names_path(codes_path)
    for hidden in ("", "."):  # of killed writers: they hold names that may be forgotten
        for left in path.parent.glob(f"{hidden}{escape(path.name)}.*.tmp"):
            left.unlink(missing_ok=True)
    entries = {
        name: [[p.content, p.start_pts, p.end_pts, p.best_pts, list(p.box)] for p in sorted(places)]
        for name, places in sorted(names.items())
        if places
    }
    if entries:
        whole = {"format": FORMAT, "version": VERSION, "sha256": _digest(entries), "names": entries}
        write_atomically(path, (json.dumps(whole, indent=1) + "\n").encode("ascii"))
    else:
        path.unlink(missing_ok=True)


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


def rows_of(shard: Shard, names: Names) -> dict[str, Rows]:
    """Name -> the rows (k,) of its tracks that the codes file holds, rising; a copy of a video counts as well."""
    wanted = {place: name for name, places in names.items() for place in places}
    contents = {place.content for place in wanted}
    found: dict[str, list[int]] = {name: [] for name in names}
    first = 0
    for row, (count, _) in enumerate(shard.pictures()):
        if count and shard.videos[row].fingerprint in contents:
            rows = np.arange(first, first + count)
            for track, place in zip(rows.tolist(), places_of(shard, rows), strict=True):
                if place in wanted:
                    found[wanted[place]].append(track)
        first += count
    return {name: np.array(rows, np.int64) for name, rows in found.items()}


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


def named_rows(codes_path: Path, shard: Shard, name: str) -> Rows:
    """Rows (k,), k >= 1, of the tracks that were given a name.

    Raises:
        NamesError: there is no such name, or none of its tracks is in the codes file any more.
    """
    names = read_names(codes_path)
    known = known_name(names, name, codes_path)
    rows = rows_of(shard, {known: names[known]})[known]
    if not len(rows):
        raise NamesError(
            f"{codes_path}: holds none of the {len(names[known])} tracks called {known!r} any more; "
            f"encode their videos again, or dhh name {codes_path} --remove {known!r}"
        )
    return rows


def named_codes(codes_path: Path, shard: Shard, name: str) -> NDArray[np.uint8]:
    """Codes (k, B), k >= 1, of the tracks that were given a name. Raises NamesError as ``named_rows``."""
    return np.asarray(shard.codes[named_rows(codes_path, shard, name)])


def with_name(names: Names, name: str, places: Iterable[Place]) -> dict[str, tuple[Place, ...]]:
    """Names after some places got a name; they lose the one they had."""
    given = set(places)
    kept = {known: tuple(p for p in own if p not in given) for known, own in names.items()}
    kept[name] = tuple(sorted({*kept.get(name, ()), *given}))
    return {known: own for known, own in kept.items() if own}


def without_places(
    names: Names, places: Collection[Place], contents: Collection[str] = ()
) -> dict[str, tuple[Place, ...]]:
    """Names without some places, and without everything in some contents."""
    gone, videos = set(places), set(contents)
    kept = {name: tuple(p for p in own if p not in gone and p.content not in videos) for name, own in names.items()}
    return {name: own for name, own in kept.items() if own}


def forget_names(codes_path: Path, tombstones: NDArray[np.void], places: Collection[Place] = ()) -> None:
    """Remove from the names beside a codes file what was forgotten, and some more places.

    Raises NamesError as ``read_names``.
    """
    names = read_names(codes_path)
    gone, contents = set(places), set()
    for stone in tombstones if names else ():
        content = stone["fingerprint"].tobytes().hex()
        if stone["whole"]:
            contents.add(content)
        else:
            gone.add(_place([content, *(int(stone[at]) for at in ("start_pts", "end_pts", "best_pts")), stone["box"]]))
    kept = without_places(names, gone, contents)
    if kept != names:
        write_names(codes_path, kept)


def united_names(lists: Sequence[Names]) -> tuple[dict[str, tuple[Place, ...]], int]:
    """All names of several files, and how many tracks had two: the first file's counts."""
    taken: dict[Place, str] = {}
    clashes = 0
    for names in lists:
        for name, places in names.items():
            for place in places:
                clashes += taken.setdefault(place, name) != name
    united: dict[str, list[Place]] = {}
    for place, name in sorted(taken.items()):
        united.setdefault(name, []).append(place)
    return {name: tuple(places) for name, places in united.items()}, clashes
