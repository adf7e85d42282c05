"""feature_cache: pictures (n, 64, 64, 3) uint8 BGR -> features (n, d) of one backbone, computed once, kept on disk.

A feature's key is the SHA-256 of its picture, and its file is named after the SHA-256 of the backbone, so neither other
weights nor a changed pack can meet old features, and splits that share pictures share the work.
"""

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Floats, Pictures
from dhhcli.base.atomic_write import write_atomically
from dhhcli.models.extractor import Extract, FeatureExtractor
from dhhcli.models.weights import Weights

CHUNK = 512  # features a file: what an interruption costs at most


def digest(*arrays: npt.NDArray[np.generic]) -> str:
    """SHA-256 over shapes, types and contents."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(repr((array.shape, array.dtype.str)).encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


@dataclass(eq=False)
class FeatureStore:
    """Features of one backbone; the network is loaded when something is missing."""

    weights: Weights
    folder: Path | None = None  # None: in memory alone
    threads: int = 1
    extract: Extract | None = None  # None: the backbone of the weights
    _known: dict[bytes, Floats] = field(default_factory=dict)
    _read: bool = False

    @property
    def _stem(self) -> str:
        return str(self.weights.record["files"]["onnx"]["sha256"])[:16]

    def __call__(self, pictures: Pictures) -> Floats:
        """(n, 64, 64, 3) -> (n, d)."""
        if not self._read:
            self._known |= dict(self._kept())
            self._read = True
        keys = [hashlib.sha256(np.ascontiguousarray(picture).data).digest() for picture in pictures]
        missing = list({key: row for row, key in enumerate(keys) if key not in self._known}.values())
        for first in range(0, len(missing), CHUNK):
            rows = missing[first : first + CHUNK]
            self._compute([keys[row] for row in rows], pictures[rows])
        if not keys:
            return np.empty((0, int(self.weights.record["model"]["features"])), np.float32)
        return np.stack([self._known[key] for key in keys])

    def of_photos(self, pictures: Pictures) -> Floats:
        """The same for photos, which some weights look at from both sides (models/extractor.py)."""
        if not self.weights.mirror:
            return self(pictures)
        return np.asarray((self(pictures) + self(pictures[:, :, ::-1])) / 2, np.float32)

    def _compute(self, keys: list[bytes], pictures: Pictures) -> None:
        if self.extract is None:
            self.extract = FeatureExtractor(self.weights.onnx_path, threads=self.threads)
        found = self.extract(np.ascontiguousarray(pictures))
        self._known |= dict(zip(keys, found, strict=True))
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = BytesIO()
            np.savez(file, keys=np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 32), features=found)
            name = hashlib.sha256(b"".join(keys)).hexdigest()[:16]
            write_atomically(self.folder / f"{self._stem}-{name}.npz", file.getvalue())

    def _kept(self) -> Iterator[tuple[bytes, Floats]]:
        """Everything on disk; a file that cannot be read is passed over, and its features are computed anew."""
        for path in sorted(self.folder.glob(f"{self._stem}-*.npz")) if self.folder else ():
            try:
                with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                    keys, features = file["keys"], file["features"]
                yield from ((key.tobytes(), feature) for key, feature in zip(keys, features, strict=True))
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                continue
