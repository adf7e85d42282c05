"""state: codes file + what a page has been given -> Review: the table as it is now, photos, rows of answers."""

import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from dhhcli.base.text import one_line
from dhhcli.encoding.query_photo import PhotoCode, photo_code
from dhhcli.errors import DhhError, NamesError, PhotoError, UsageError
from dhhcli.models.network import Network, load_network
from dhhcli.models.weights import shipped_as
from dhhcli.review.table import Table, read_table
from dhhcli.search.ranking import Hit
from dhhcli.search.result import Row, result_rows
from dhhcli.storage.track_id import rows_meant
from dhhcli.storage.who.journal import people_path

LARGEST_PHOTO: Final = 64 << 20  # bytes
MOST_PHOTOS: Final = 1000  # of one sitting


@dataclass(frozen=True)
class Photo:
    """A photo that was dropped on the page; it lies in a folder that goes when the program ends."""

    path: Path
    name: str  # as it was called
    faces: int


@dataclass(eq=False)
class Review:
    """What the page is about. Everything that reads or writes more than a table holds ``lock``."""

    codes: Path
    folder: Path  # for photos
    weights: str | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    photos: list[Photo] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)  # track_id -> as it was answered last
    _table: Table | None = None
    _stamp: tuple[object, ...] = ()
    _looks: dict[tuple[int, int], PhotoCode] = field(default_factory=dict)  # photo, face
    _networks: dict[tuple[object, ...], Network] = field(default_factory=dict)

    def table(self) -> Table:
        """Everybody as they are now. Raises as ``read_table``."""
        with self.lock:
            stamp = _stamp_of(self.codes)
            if self._table is None or stamp != self._stamp:
                before, self._table = self._table, read_table(self.codes, self.weights)
                if before and before.shard.content != self._table.shard.content:
                    self.rows.clear()  # they say at which row of the file a track was
                self._stamp = _stamp_of(self.codes)  # numbers of new tracks may have been written
            return self._table

    def load(self, name: str | None, **how: bool) -> Network:
        """``load_network``, once."""
        key = (name, *sorted(how.items()))
        if key not in self._networks:
            self._networks[key] = load_network(name, **how)
        return self._networks[key]

    def add_photo(self, name: str, data: bytes) -> int:
        """Keep a photo to ask with; its number. Raises PhotoError, NoFaceError, which call it by its own name."""
        name = one_line(name)[:200] or "photo"
        if len(self.photos) >= MOST_PHOTOS:
            raise UsageError(f"{MOST_PHOTOS} photos were dropped already; end the page and begin it anew")
        if not data:
            raise PhotoError(f"{name}: empty; drop a photo")
        with self.lock:
            number = len(self.photos)
            path = self.folder / f"{secrets.token_hex(8)}-{number}"  # nothing of the name that came from outside
            path.write_bytes(data)
            try:
                code = self._looked_at(path, name)
            except DhhError:
                path.unlink()
                raise
            self.photos.append(Photo(path, name, code.faces))
            self._looks[number, 1] = code
            return number

    def look(self, number: int, face: int) -> PhotoCode:
        """What was seen of a face of a photo, 1 is the largest. Raises UsageError, NoFaceError."""
        photo = self.photo(number)
        with self.lock:
            if (number, face) not in self._looks:
                self._looks[number, face] = self._looked_at(photo.path, photo.name, face)
            return self._looks[number, face]

    def _looked_at(self, path: Path, name: str, face: int = 1) -> PhotoCode:
        """Its code; what is wrong with the photo calls it by the name that it came with."""
        network = self.load(self.weights or shipped_as(self.table().shard.tag.fingerprint), tracks=False)
        try:
            return photo_code(path, network, number=face)
        except DhhError as error:
            raise type(error)(str(error).replace(str(path), name)) from None

    def photo(self, number: int) -> Photo:
        """One of them. Raises UsageError."""
        if not 0 <= number < len(self.photos):
            raise UsageError(f"there is no photo {number} any more; drop it again")
        return self.photos[number]

    def renamed(self, words: str) -> str:
        """Words that may name photos by where they lie, with the names they came with."""
        for photo in reversed(self.photos):
            words = words.replace(str(photo.path), photo.name).replace(photo.path.name, photo.name)
        return words

    def row_of(self, track: str) -> Row:
        """A track as an answer has it: as it was found last, else as if by itself. Raises NamesError for none."""
        if track in self.rows:
            return self.rows[track]
        shard = self.table().shard
        try:
            at = rows_meant(shard, [track], str(self.codes))[0]
        except DhhError as error:
            raise NamesError(str(error)) from None
        shot = int(shard.track_rows(np.array([at]))[0]["shot"])
        return result_rows(shard, [Hit(1, 0, 0.0, int(at), shot, 1)])[0]


def _stamp_of(codes: Path) -> tuple[object, ...]:
    """What changes whenever the codes file or what is beside it does."""
    parts = codes.resolve().with_name(f"{codes.resolve().name}.parts")
    found: list[object] = []
    for path in (codes, people_path(codes), parts):
        try:
            state = path.stat()
            found.append((state.st_ino, state.st_size, state.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)
