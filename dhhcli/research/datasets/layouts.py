"""layouts: folder of people -> the photos, frames and clips in it, each with the name of the person it shows.

Five ways in which people lay out faces:

- ``images``: a folder per person, photos at any depth in it.
- ``videos``: a folder per person, video files at any depth in it.
- ``pb``: a folder per person, in it a folder per track, in it the track's frames as pictures: how the face tracks of
  Prison Break are laid out that ICT, Chinese Academy of Sciences, works with. Nothing but the three levels is relied
  on; pictures that lie in a person's folder itself are taken as photos.
- ``ytc``: YouTube Celebrities (Kim, Kumar, Pavlovic and Rowley, CVPR 2008): clips that are all called
  ``0193_01_001_al_gore.avi``; the name after the three numbers is the person. The starting positions that are
  published beside them (MATLAB files) are not read.
- ``umdfaces``: UMDFaces (Bansal et al., IJCB 2017; its videos: Bansal et al., ICCV workshops 2017): one
  ``*_ultraface.csv`` a batch with the columns FILE, FACE_X, FACE_Y, FACE_WIDTH and FACE_HEIGHT, and the pictures beside
  it. FILE is PERSON/PHOTO, or PERSON/VIDEO/FRAME in the part of videos. The box says which face is meant; SUBJECT_ID
  and the annotated points are not read.
"""

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from dhhcli.base.version import __version__
from dhhcli.errors import MissingPathError, PackError
from dhhcli.media.files.discover import PHOTO_SUFFIXES, VIDEO_SUFFIXES, find_files
from dhhcli.research.datasets.layout_names import FolderLayout

FRAMES_A_TRACK = 30  # as many as encoding/track_codes.py makes a code of
CLIP = re.compile(r"\d+_\d+_\d+_(?P<person>[^\d].*)\.avi", re.IGNORECASE)
BOX_COLUMNS = ("FACE_X", "FACE_Y", "FACE_WIDTH", "FACE_HEIGHT")


@dataclass(frozen=True, slots=True)
class Item:
    """One file that shows a person. track: "" for a photo or a clip; frames of one track name the same one.
    frame: number in its track, -1 for a photo or a clip. box: x0, y0, x1, y1 in pixels of the face that is meant.
    """

    person: str
    path: Path
    is_video: bool = False
    track: str = ""
    frame: int = -1
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Listing:
    """What a folder holds. layout: as found. items: ordered by person, frames of a track in a row. ignored: files
    passed over because they are hidden, not of a wanted suffix or not in a person's folder.
    """

    source: Path
    layout: FolderLayout
    items: tuple[Item, ...]
    ignored: tuple[Path, ...]

    def fingerprint(self) -> str:
        """SHA-256 over everything listed (names, sizes and times of the files) and the version of dhh."""
        digest = hashlib.sha256(__version__.encode())
        for item in self.items:
            try:
                stat = item.path.stat()
                state = (stat.st_size, stat.st_mtime_ns)
            except OSError:
                state = (-1, -1)
            within = replace(item, path=item.path.relative_to(self.source))
            digest.update(repr((within, state)).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def list_people(source: Path, layout: FolderLayout = FolderLayout.AUTO) -> Listing:
    """List a folder.

    Raises:
        MissingPathError: there is no such folder, or it cannot be read.
        PackError: it holds nobody in this layout, or an annotation file is not what it should be.
    """
    if not source.is_dir():
        found = "a file; face packs need no packing" if source.exists() else "no such folder"
        raise MissingPathError(f"{source}: {found}; expected a folder of people's photos or videos")
    try:
        if layout is FolderLayout.AUTO:
            layout = _recognise(source)
        items, ignored = _listed(source, layout)
    except OSError as error:
        raise MissingPathError(f"{error.filename or source}: folder cannot be read: {error.strerror}") from None
    if not items:
        raise PackError(f"{source}: nothing found in layout {layout}; {_EXPECTED[layout]}")
    return Listing(source, layout, tuple(_thinned(sorted(items, key=_order))), ignored)


def _listed(source: Path, layout: FolderLayout) -> tuple[list[Item], tuple[Path, ...]]:
    if layout is FolderLayout.UMDFACES:
        return list(_umdfaces(source)), ()
    if layout is FolderLayout.YTC:
        return _ytc(source)
    return _people(source, layout)


_EXPECTED = {
    FolderLayout.AUTO: "expected a folder per person with photos or videos in it",
    FolderLayout.IMAGES: "expected a folder per person with photos in it (.jpg, .png, ...)",
    FolderLayout.VIDEOS: "expected a folder per person with video files in it (.mp4, .avi, ...)",
    FolderLayout.PB: "expected a folder per person, in it a folder per track with its frames as pictures",
    FolderLayout.YTC: "expected clips called like 0193_01_001_al_gore.avi",
    FolderLayout.UMDFACES: "expected a *_ultraface.csv with the pictures that it names beside it",
}


def _recognise(source: Path) -> FolderLayout:
    """The published layouts by their names; frames in folders of folders; else photos and videos of people."""
    if _tables(source):
        return FolderLayout.UMDFACES
    if any(CLIP.fullmatch(path.name) for path in source.iterdir()):
        return FolderLayout.YTC
    found = False
    for person in _folders(source):
        for entry in person.iterdir():
            if entry.suffix.lower() in PHOTO_SUFFIXES | VIDEO_SUFFIXES and entry.is_file():
                return FolderLayout.AUTO
            found = found or (entry.is_dir() and any(e.suffix.lower() in PHOTO_SUFFIXES for e in entry.iterdir()))
    return FolderLayout.PB if found else FolderLayout.AUTO


def _folders(source: Path) -> list[Path]:
    return sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))


def _people(source: Path, layout: FolderLayout) -> tuple[list[Item], tuple[Path, ...]]:
    wanted = {FolderLayout.IMAGES: PHOTO_SUFFIXES, FolderLayout.PB: PHOTO_SUFFIXES, FolderLayout.VIDEOS: VIDEO_SUFFIXES}
    suffixes = wanted.get(layout, PHOTO_SUFFIXES | VIDEO_SUFFIXES)
    items: list[Item] = []
    ignored = sorted(path for path in source.iterdir() if path.name.startswith(".") or not path.is_dir())
    for person in _folders(source):
        files, passed_over = find_files([person], suffixes)
        ignored += passed_over
        for path in files:
            folder = path.parent.relative_to(person).as_posix()
            if layout is FolderLayout.PB and folder != ".":
                items.append(Item(person.name, path, track=folder))
            else:
                items.append(Item(person.name, path, is_video=path.suffix.lower() in VIDEO_SUFFIXES))
    return items, tuple(ignored)


def _ytc(source: Path) -> tuple[list[Item], tuple[Path, ...]]:
    files, ignored = find_files([source], frozenset((".avi",)))
    named = [(path, CLIP.fullmatch(path.name)) for path in files]
    items = [Item(name["person"].lower(), path, is_video=True) for path, name in named if name]
    return items, (*ignored, *(path for path, name in named if not name))


def _tables(source: Path) -> list[Path]:
    return sorted([*source.glob("*_ultraface.csv"), *source.glob("*/*_ultraface.csv")])


def _umdfaces(source: Path) -> Iterator[Item]:
    for table in _tables(source):
        # the pictures lie beside the table, or in a folder of its name
        homes = [table.parent, table.parent / table.name.removesuffix("_ultraface.csv")]
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, skipinitialspace=True)
                missing = {"FILE", *BOX_COLUMNS} - set(reader.fieldnames or ())
                if missing:
                    raise PackError(
                        f"{table}: no column {', '.join(sorted(missing))}; {_EXPECTED[FolderLayout.UMDFACES]}"
                    )
                for row in reader:
                    yield _annotated(row, homes, f"{table}: line {reader.line_num}")
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise PackError(
                f"{table}: cannot be read as a table ({error}); {_EXPECTED[FolderLayout.UMDFACES]}"
            ) from None


def _annotated(row: dict[str, str], homes: Sequence[Path], where: str) -> Item:
    name = PurePosixPath((row["FILE"] or "").strip())
    if name.is_absolute() or ".." in name.parts or len(name.parts) not in (2, 3):
        raise PackError(f"{where}: FILE is '{name}'; expected PERSON/PHOTO or PERSON/VIDEO/FRAME")
    try:
        x, y, width, height = (float(row[column]) for column in BOX_COLUMNS)
    except (TypeError, ValueError):
        found = ", ".join(str(row[column]) for column in BOX_COLUMNS)
        raise PackError(f"{where}: the box is {found}; expected four numbers") from None
    path = next((home / name for home in homes if (home / name).is_file()), homes[0] / name)
    track = name.parts[1] if len(name.parts) == 3 else ""
    return Item(name.parts[0], path, track=track, box=(x, y, x + width, y + height))


def _order(item: Item) -> tuple[str, str, list[tuple[int, str]]]:
    """Person, track, then file with its numbers as numbers: frame 10 comes after frame 9."""
    parts = re.split(r"(\d+)", str(item.path))
    return item.person, item.track, [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]


def _thinned(items: Sequence[Item]) -> Iterator[Item]:
    """Of every track at most 30 frames, the middles of equal parts, numbered as they were."""
    first = 0
    while first < len(items):
        end = first + 1
        while items[first].track and end < len(items) and _same_track(items[first], items[end]):
            end += 1
        n = end - first
        if not items[first].track:
            yield items[first]
        else:
            m = min(n, FRAMES_A_TRACK)
            for i in range(m):
                number = (2 * i + 1) * n // (2 * m)
                yield replace(items[first + number], frame=number)
        first = end


def _same_track(a: Item, b: Item) -> bool:
    return (a.person, a.track) == (b.person, b.track)
