"""begun: what is done of a long film -> `codes.h5.begun-<hash of its path>`, and back for a run that goes on with it.

While a film is in work its rows and codes are in memory; every ten minutes of it they are also written to a file beside
the codes, whole, with what the scan knew there (faces/bookmark.py). A run that was killed goes on from it, to the same
bytes. The file holds codes and small pictures, and crops of the faces that were in the picture just then. So it

- goes when its film is committed, is gone or has changed, and when anything is forgotten (search/forget.py);
- is not made of a film of which a track was forgotten: its code would come back for a while;
- counts only for the same content, the same settings and the same libraries; else the film begins anew.

Only the process that holds the lock of the codes writes; workers send what is to be written.
"""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dhhcli.base.atomic_write import write_atomically
from dhhcli.base.packing import pack, unpack
from dhhcli.base.runtime import runtime
from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.track_codes import Coded
from dhhcli.faces.bookmark import Bookmark
from dhhcli.media.shots import Shot
from dhhcli.models.model_tag import ModelTag
from dhhcli.models.network import Network
from dhhcli.storage.record import recorded_path
from dhhcli.storage.schema import SHOT_DTYPE, TRACK_DTYPE

FORMAT: Final = 1


@dataclass(frozen=True)
class Begun:
    """What is done of a film that is still in work, to be written beside the codes."""

    path: Path
    data: bytes


@dataclass(eq=False)
class Findings:
    """What a film left behind so far: rows of shots and tracks, codes, small pictures. of_shot: of the shot in work."""

    shots: list[tuple[Any, ...]] = field(default_factory=list)
    tracks: list[tuple[Any, ...]] = field(default_factory=list)
    codes: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    thumbnails: list[bytes] = field(default_factory=list)
    frames: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    of_shot: list[Coded] = field(default_factory=list)

    def end(self, shot: Shot, *, frame_codes: bool) -> None:
        """A shot is over: the tracks that were found since the one before are its own."""
        self.of_shot.sort(key=lambda coded: coded.order)
        self.tracks += [(0, len(self.shots), *coded.row) for coded in self.of_shot]
        self.codes += [coded.code for coded in self.of_shot]
        self.thumbnails += [coded.thumbnail for coded in self.of_shot]
        self.frames += [coded.frames for coded in self.of_shot if frame_codes and coded.frames is not None]
        self.of_shot.clear()
        self.shots.append((0, shot.number, shot.start_frame, shot.end_frame, shot.start_pts, shot.end_pts))

    def plain(self) -> dict[str, Any]:
        """As it is packed."""
        return {
            "shots": np.array(self.shots, SHOT_DTYPE).tobytes(),
            "tracks": np.array(self.tracks, TRACK_DTYPE).tobytes(),
            "codes": np.stack(self.codes) if self.codes else None,
            "thumbnails": self.thumbnails,
            "frames": self.frames,
            "of_shot": self.of_shot,
        }


@dataclass(frozen=True)
class Kept:
    """What a killed run had done of a film, ``seconds`` of it. scan: what its scan knew. largest: (width, height)."""

    findings: Findings
    seconds: float
    scan: bytes
    largest: tuple[int, int]


def packed(identity: dict[str, Any], findings: Findings, mark: Bookmark, largest: tuple[int, int]) -> bytes:
    """The bytes of the file."""
    value = {"identity": identity, "seconds": float(mark.seconds), "scan": mark.data, "largest": largest}
    return pack(value | {"findings": findings.plain()}, (Coded,))


def read_begun(file: Path, identity: dict[str, Any]) -> Kept | None:
    """What a killed run had done of the film of this identity; None where there is nothing, or nothing that fits."""
    try:
        value = unpack(file.read_bytes(), (Coded,))
        if value["identity"] != identity:
            return None
        rows = value["findings"]
        findings = Findings(
            shots=np.frombuffer(rows["shots"], SHOT_DTYPE).tolist(),
            tracks=[tuple(row) for row in np.frombuffer(rows["tracks"], TRACK_DTYPE)],
            codes=[] if rows["codes"] is None else list(rows["codes"]),
            thumbnails=rows["thumbnails"],
            frames=rows["frames"],
            of_shot=rows["of_shot"],
        )
        return Kept(findings, value["seconds"], value["scan"], value["largest"])
    except (OSError, ValueError, TypeError, KeyError):  # nobody's loss but time
        return None


def identity_of(path: Path, fingerprint: str, network: Network, options: EncodeOptions) -> dict[str, Any]:
    """What has to be the same for a film to be gone on with."""
    stat = path.stat()
    return {
        "format": FORMAT,
        "film": {
            "path": os.fsencode(recorded_path(path)).hex(),
            "fingerprint": fingerprint,
            "size": stat.st_size,
            "mtime_ns": stat.st_mtime_ns,
        },
        "codes": codes_identity(network.tag, options),
        "gpu": network.film_extract.on_gpu,
        "every": options.every,
        "versions": runtime(),
    }


def codes_identity(tag: ModelTag, options: EncodeOptions) -> dict[str, Any]:
    """What of it concerns all films of a codes file."""
    return {
        "weights": tag.fingerprint,
        "bits": tag.bits,
        "frames": bool(options.frame_codes),
        "pictures": options.pictures,
    }


def begun_path(codes_path: Path, path: Path) -> Path:
    """Where is kept what is done of a film."""
    home = codes_path.resolve()
    name = hashlib.sha256(os.fsencode(recorded_path(path))).hexdigest()[:32]
    return home.with_name(f"{home.name}.begun-{name}")


def begun_files(codes_path: Path) -> set[Path]:
    """All of these beside a codes file."""
    home = codes_path.resolve()
    return {path for path in home.parent.glob(f"{escape(home.name)}.begun-*") if path.suffix != ".tmp"}


def discard_begun(codes_path: Path) -> bool:
    """Remove what killed runs had done of films; whether there was anything."""
    found = begun_files(codes_path)
    for path in found:
        path.unlink(missing_ok=True)
    return bool(found)


def tidy_begun(codes_path: Path, tag: ModelTag, options: EncodeOptions) -> None:
    """Remove what is of no use: of films that are gone or have changed, and of other settings. The lock is held."""
    for file in begun_files(codes_path):
        try:
            identity = unpack(file.read_bytes(), (Coded,))["identity"]
            film = identity["film"]
            stat = Path(os.fsdecode(bytes.fromhex(film["path"]))).stat()
            same = (stat.st_size, stat.st_mtime_ns) == (film["size"], film["mtime_ns"])
            useful = same and identity["codes"] == codes_identity(tag, options)
        except FileNotFoundError:
            useful = False
        except OSError:  # its disk is away, perhaps for a while
            continue
        except (ValueError, TypeError, KeyError):
            useful = False
        if not useful:
            file.unlink(missing_ok=True)


def keep_begun(codes_path: Path, begun: Begun) -> None:
    """Write it. A full disk is no reason to stop: the film goes on, and its commit says what is wrong."""
    with suppress(OSError):
        write_atomically(begun_path(codes_path, begun.path), begun.data)
