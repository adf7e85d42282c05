"""folders: folders of people's photos, frames and clips -> aligned crops (80, 80, 3) uint8 BGR -> face pack.

Photos and frames give their largest face, or the one at the annotated box where there is one. A clip goes through the
front end of run.py (decoding, shots, faces, tracks) and gives at most 30 crops, evenly spaced, of the track that is
seen longest: the person of the folder is most likely the one who is seen most, and the other tracks are left out as
somebody else, which costs clips with cuts their other shots of the same person.

The same name in several folders that are packed together is one person.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dhhcli.base.arrays import Picture
from dhhcli.base.prefetch import prefetch
from dhhcli.encoding.track_codes import FRAMES_A_CODE
from dhhcli.errors import DhhError, PackError
from dhhcli.faces.alignment import align
from dhhcli.faces.detector import Face, FaceDetector
from dhhcli.faces.scan import shot_tracks
from dhhcli.faces.schedule import SHORTEST  # training wants all that a short clip gives
from dhhcli.faces.tracker import FaceTrack, sample
from dhhcli.media.photo import read_photo
from dhhcli.media.video import open_video
from dhhcli.research.datasets.layout_names import FolderLayout
from dhhcli.research.datasets.layouts import Item, Listing, list_people
from dhhcli.research.datasets.pack import MARGIN, FacePack, read_pack
from dhhcli.research.datasets.writer import PackRow, PackWriter, skipped

READ_AHEAD = 2  # photos that are decoded while the detector works
AT_THE_BOX = 0.1  # least intersection over union of a face with the annotated box


@dataclass(frozen=True)
class Packed:
    """A file gave crops. others: faces of a photo, or tracks of a clip, that were left out as somebody else."""

    path: Path
    crops: int
    others: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Missed:
    """A file gave nothing; the others go on."""

    path: Path
    reason: str


def pack_folders(listings: Sequence[Listing], out: Path) -> Iterator[Packed | Missed]:
    """Write the faces of folders into one pack, yielding what came of each file; the pack is there when it ends.

    Raises:
        PackError: ``out`` exists or cannot be written, or there was no face in any file.
    """
    detector = FaceDetector()
    with PackWriter(out) as writer:
        files = 0
        for listing in listings:
            for event in _pack(listing, writer, detector):
                files += 1
                if isinstance(event, Missed):
                    writer.skip(f"{event.path}: {event.reason}")
                for words in event.warnings if isinstance(event, Packed) else ():
                    writer.skip(f"{event.path}: incomplete: {words}")
                yield event
        if not writer.crops:
            raise PackError(f"{out}: not written, no face was found in any of {files} files")


def _pack(listing: Listing, writer: PackWriter, detector: FaceDetector) -> Iterator[Packed | Missed]:
    source = os.fsencode(listing.source.resolve().name)
    number = {"": -1}  # track of the listing -> track of the pack
    for item, picture in prefetch(_read(listing.items), READ_AHEAD):
        file = os.fsencode(os.path.relpath(item.path, listing.source))
        try:
            if isinstance(picture, DhhError):
                raise picture
            if picture is None:
                yield _pack_clip(item, source, file, writer, detector)
                continue
            faces = detector.detect(picture)
            face = meant(faces, item.box)
            crop = align(picture, face.landmarks, margin=MARGIN)
        except (DhhError, OSError) as error:
            yield Missed(item.path, str(error).removeprefix(f"{item.path}: "))
            continue
        place = f"{item.person}/{item.track}" if item.track else ""
        track = number.setdefault(place, writer.new_track() if place not in number else -1)
        writer.add(
            crop,
            PackRow(writer.identity(item.person), source, file, face.size, face.score, track=track, frame=item.frame),
        )
        yield Packed(item.path, 1, others=len(faces) - 1)


def _read(items: Iterable[Item]) -> Iterator[tuple[Item, Picture | DhhError | None]]:
    """Items with their picture; with the error where it cannot be read; with None where it is a video."""
    for item in items:
        try:
            yield item, None if item.is_video else read_photo(item.path)
        except DhhError as error:
            yield item, error


def meant(faces: Sequence[Face], box: tuple[float, float, float, float] | None) -> Face:
    """The face that overlaps the annotated box most; without a box the largest one.

    Raises:
        PackError: there is none.
    """
    if not faces:
        raise PackError("no face found")
    if box is None:
        return max(faces, key=lambda face: (face.size, face.score))
    overlaps = [_overlap(face, box) for face in faces]
    best = int(np.argmax(overlaps))
    if overlaps[best] < AT_THE_BOX:
        words = ", ".join(f"{value:.0f}" for value in box)
        raise PackError(f"no face found at the annotated box {words} (faces elsewhere: {len(faces)})")
    return faces[best]


def _overlap(face: Face, box: tuple[float, float, float, float]) -> float:
    """Intersection over union."""
    x0, y0, x1, y1 = (float(v) for v in face.box)
    shared = max(0.0, min(x1, box[2]) - max(x0, box[0])) * max(0.0, min(y1, box[3]) - max(y0, box[1]))
    union = (x1 - x0) * (y1 - y0) + max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]) - shared
    return shared / union if union > 0 else 0.0


def _pack_clip(item: Item, source: bytes, file: bytes, writer: PackWriter, detector: FaceDetector) -> Packed:
    track, tracks, warnings = longest_track(item.path, detector)
    number = writer.new_track()
    frames = sample(track, FRAMES_A_CODE)
    for seen in frames:
        row = PackRow(
            writer.identity(item.person), source, file, seen.face.size, seen.face.score, track=number, frame=seen.frame
        )
        writer.add(seen.crop, row)
    return Packed(item.path, len(frames), others=tracks - 1, warnings=warnings)


def longest_track(path: Path, detector: FaceDetector) -> tuple[FaceTrack, int, tuple[str, ...]]:
    """The track of a clip that is seen in most frames (of equals the largest face), how many there are, warnings.

    Raises:
        VideoError, NoVideoError: the file cannot be decoded.
        PackError: it shows no face.
    """
    best: FaceTrack | None = None
    count = 0
    if not path.is_file():  # reading a pipe or a device may never end
        raise PackError("not a regular file")
    with open_video(path) as video:
        for _, tracks in shot_tracks(video, detector, margin=MARGIN, longest=SHORTEST):
            count += len(tracks)
            best = max([*([best] if best else []), *tracks], key=_length, default=None)
        warnings = video.warnings
    if best is None:
        raise PackError("; ".join(["no face found", *warnings]))
    return best, count, warnings


def _length(track: FaceTrack) -> tuple[int, float]:
    return track.detections, track.best.face.size


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def open_faces(path: Path, cache: Path, say: Callable[[str], object] = _say) -> FacePack:
    """Read a face pack, or a folder in any layout, which is packed once and kept in ``cache``.

    The kept pack is named by the listing (paths, sizes, times): a folder that has changed is packed anew. What gave no
    crop is said every time.

    Raises:
        MissingPathError, PackError: there is neither a pack nor a folder of people.
    """
    if not path.is_dir():
        return read_pack(path)
    listing = list_people(path, FolderLayout.AUTO)
    kept = cache / f"{path.resolve().name}-{listing.fingerprint()[:12]}.h5"
    if kept.exists():
        say(f"{path}: faces as packed before in {kept}")
    else:
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PackError(f"{cache}: cannot be made ({error.strerror}); name another folder with --out") from None
        say(f"{path}: packing {len(listing.items)} files (layout {listing.layout}) into {kept}")
        for _ in pack_folders([listing], kept):
            pass
    for words in skipped(kept):
        say(f"skipped: {words}")
    pack = read_pack(kept)
    say(f"{path}: {len(pack)} crops of {len(pack.names)} people")
    return pack
