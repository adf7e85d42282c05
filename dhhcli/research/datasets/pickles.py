"""pickles: folder of 32x32 pictures as this literature shares them (train/, test/) -> face packs.

FaceScrub (530 people, 67,177 and 2,650 pictures) and YouTube Faces (1,595 people, 63,800 and 7,975) go around as
folders ``train`` and ``test`` (or ``..._train_set``, ``..._test_set``) of pickle files, written by Python 2 (Lin, Li
and Tang, IJCAI 2017, "Discriminative deep hashing", and those who compare with it). Each holds two arrays: x (n, 3072)
or (n, 3, 32, 32), red, green and blue planes of 32x32 pictures, 0 to 255 or 0 to 1, and y (n,) or (n, 1), numbers of
people.

Unpickling runs what a file tells it to. Here it may only build numpy arrays: everything else is refused by name before
it is looked up. Pictures are 64x64 afterwards, each pixel four times, so that a network of 32x32 that averages them
sees what the papers' did, with the edge repeated into the margin of a pack (packs.py).
"""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dhhcli.errors import PackError
from dhhcli.research.datasets.pack import MARGIN, FacePack

SIDE = 32
# what numpy's arrays are pickled as, by numpy 1 and 2 and by Python 2; nothing of it runs given code
ALLOWED = {
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.multiarray", "scalar") for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


def latin1(text: str, encoding: str) -> bytes:
    """The one encoding that is asked for; looking up others imports modules by name."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


class ArraysOnly(pickle.Unpickler):
    """Builds lists, tuples, numbers, bytes and numpy arrays of numbers."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse everything but what arrays are made of."""
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return latin1
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only arrays are read")
        return super().find_class(module, name)


def is_pickles(path: Path) -> bool:
    """Whether a folder holds such a ``train`` and ``test``."""
    return path.is_dir() and all(_part(path, part) is not None for part in ("train", "test"))


def read_pickles(folder: Path, part: str) -> FacePack:
    """``train`` or ``test`` as a pack; people have their numbers as names, the same in both.

    Raises:
        PackError: the folder has no such part, or a file of it does not hold pictures and people.
    """
    inside = _part(folder, part)
    if inside is None:
        raise PackError(f"{folder}: no folder {part} with pickle files in it; expected train and test")
    pictures, people = [], []
    for path in _files(inside):
        x, y = read_pickle(path)
        pictures.append(x)
        people.append(y)
    small, identity = np.concatenate(pictures), np.concatenate(people)
    large = small.repeat(2, axis=1).repeat(2, axis=2)
    framed = np.pad(large, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
    n = len(identity)
    names = tuple(str(number) for number in range(int(identity.max(initial=-1)) + 1))
    nothing = np.full((n, 128), np.nan, np.float32)
    return FacePack(inside, framed, identity, names, np.full(n, SIDE, np.float32), nothing)


def read_pickle(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """One file: pictures (n, 32, 32, 3) uint8 BGR and people (n,).

    Raises:
        PackError: it is no such file, or asks for more than arrays.
    """
    try:
        with path.open("rb") as file:
            found = ArraysOnly(file, encoding="latin1").load()
        x, y = found
        pictures, people = np.asarray(x), np.asarray(y).reshape(-1)
        if pictures.dtype.hasobject or people.dtype.hasobject:
            raise ValueError("arrays of objects")
        planes = pictures.reshape(len(people), 3, SIDE, SIDE)
        numbers = people.astype(np.int64)
        if not np.isfinite(planes).all() or planes.min(initial=0) < 0 or planes.max(initial=0) > 255:
            raise ValueError("pictures beyond 0 to 255")
        if (numbers != people).any() or numbers.min(initial=0) < 0:
            raise ValueError("people that are no numbers from 0 up")
    except Exception as error:  # noqa: BLE001 - a foreign file may raise anything while it is built
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PackError(f"{path}: not pictures and people of 32x32 ({reason}); expected a pickled (x, y)") from None
    if np.issubdtype(planes.dtype, np.floating) and planes.max(initial=0) <= 1:
        planes = planes * 255
    upright = planes.transpose(0, 2, 3, 1)[..., ::-1]
    return np.ascontiguousarray(upright.round().astype(np.uint8)), numbers


def _part(folder: Path, part: str) -> Path | None:
    """The folder called ``part``, or ``..._part_set`` where there is one such."""
    for inside in (folder / part, *sorted(folder.glob(f"*{part}_set"))):
        if inside.is_dir() and any(_files(inside)):
            return inside
    return None


def _files(folder: Path) -> Iterator[Path]:
    """Everything in it that is no folder and not hidden, by name."""
    return (path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith("."))
