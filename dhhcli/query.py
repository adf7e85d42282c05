"""query: photos (h, w, 3) uint8 BGR -> the chosen face's soft bits (K,) float32 -> rows of ranked shots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .calibration import Calibration, from_record
from .crops import align, read_photo, thumbnail
from .errors import EditError, IndexFileError, NoFaceError, UsageError, WeightsError
from .faces import Face
from .features import still_features
from .hashing import hash_stills
from .index import Index, fresh, open_index
from .network import Network, load_network
from .records import VideoRecord
from .report.rows import Chance, Row, result_rows
from .search import Hit, search
from .shards import Shard, check_model, open_shard
from .weights import shipped_as

if TYPE_CHECKING:
    from .explain import Explanation


@dataclass(frozen=True, eq=False)
class PhotoCode:
    """The code of one photo and which face it is of."""

    path: Path
    soft: npt.NDArray[np.float32]  # (K,)
    face: Face
    number: int  # 1-based, largest first
    faces: int  # how many the photo shows
    picture: bytes = b""  # JPEG of the face with its surroundings


def largest_first(faces: list[Face]) -> list[Face]:
    """Faces by falling size: the person a photo is of is nearly always the largest face in it."""
    return sorted(faces, key=lambda face: (-face.size, *face.box.tolist()))


def photo_code(path: Path, network: Network, *, number: int = 1) -> PhotoCode:
    """Hash face ``number`` (1 is the largest) of a photo.

    Raises:
        PhotoError: the file is not an image.
        NoFaceError: there is no face, or there are fewer than ``number``.
    """
    picture = read_photo(path)
    faces = largest_first(network.detector.detect(picture))
    height, width = picture.shape[:2]
    if not faces:
        raise NoFaceError(
            f"{path}: no face found in {width}x{height} pixels; take a photo where the face is 20 pixels or larger"
        )
    if number > len(faces):
        raise NoFaceError(f"{path}: has {len(faces)} face(s), --face {number} asks for more")
    face = faces[number - 1]
    crop = align(picture, face.landmarks)[None]
    soft = hash_stills(network.layers, still_features(network.extract, crop, mirror=network.mirror))[0]
    return PhotoCode(path, soft, face, number, len(faces), thumbnail(picture, face.box, longest=320))


@dataclass(frozen=True)
class Answer:
    """What a query found, and what the user should know about how."""

    rows: tuple[Row, ...]
    thumbnails: tuple[bytes, ...]  # one a row when asked for; b"" where the track was encoded without
    notes: tuple[str, ...]
    # of every row's video: its record and the end of its last frame, pts
    videos: Mapping[Path, tuple[VideoRecord, int]] = field(default_factory=dict)
    photos: tuple[PhotoCode, ...] = ()
    explanation: "Explanation | None" = None

    @property
    def exit_code(self) -> int:
        """0: something was found; 3: nobody was."""
        return 0 if self.rows else 3


def find_person(
    photos: Sequence[Path],
    codes_path: Path,
    *,
    top: int = 20,
    face: int = 1,
    weights: str | None = None,
    thumbnails: bool = False,
    min_confidence: float | None = None,
    max_false_rate: float | None = None,
    why: int | None = None,
) -> Answer:
    """Rank the shots of a codes file by how near they come to the person in one or several photos.

    Several photos are of one person; a track counts as near as its distance to the nearest of them. Confidence and
    false match rate account for how many there are. Both get worse down the list, so a limit on them cuts its end.
    ``why``: rank of a hit to explain.

    Raises:
        UsageError: ``face`` with several photos, or a limit that is not between 0 and 1, or no hit of the rank ``why``.
        PhotoError, NoFaceError: a photo cannot be used.
        MissingPathError, ShardError: there are no codes, or they are damaged or another model's.
        WeightsError: the weights cannot be used, or their calibration is damaged or missing and a limit needs it.
    """
    limits = (("--min-confidence", min_confidence), ("--max-false-rate", max_false_rate))
    for option, limit in limits:
        if limit is not None and not 0 <= limit <= 1:
            raise UsageError(f"{option} {limit} is not between 0 and 1")
    if face > 1 and len(photos) > 1:
        raise UsageError("--face says which face of one photo; give one photo, or photos of one person each")
    with open_shard(codes_path) as shard:
        network = load_network(
            weights or shipped_as(shard.tag.fingerprint), tracks=why is not None, film=why is not None
        )
        check_model(shard, network.tag)
        record = network.weights.record_path
        calibration = from_record(network.weights.record, network.tag.bits, record)
        for option, limit in limits:
            if limit is not None and calibration is None:
                raise WeightsError(
                    f"{record}: not calibrated, so {option} means nothing; run: dhh calibrate PACK --weights {record}"
                )
        codes = [photo_code(photo, network, number=face) for photo in photos]
        notes = [_choice(code) for code in codes if code.faces > 1]
        index, note = _usable_index(codes_path, shard)
        notes += [note] if note else []
        hits = search(shard, np.stack([code.soft for code in codes]), top, index)
        if not hits:
            notes.append(f"nobody found: {codes_path} holds no face tracks ({len(shard.videos)} videos)")
        chances = _chances(calibration, hits, len(codes)) if calibration else None
        if chances:
            kept = _within(chances, min_confidence, max_false_rate)
            if not kept:
                notes.append(_nobody(chances[0], min_confidence, max_false_rate))
            hits, chances = hits[:kept], chances[:kept]
        rows = result_rows(shard, hits, chances)
        numbers = np.unique(shard.shots_rows(np.array([hit.shot for hit in hits], np.int64))["video"]).tolist()
        pictures = tuple(shard.thumbnail(hit.track) if thumbnails else b"" for hit in hits)
        explanation = _explained(shard, hits, why, codes, network, calibration) if why and hits else None
        return Answer(tuple(rows), pictures, tuple(notes), _ends(shard, numbers), tuple(codes), explanation)


def _explained(
    shard: Shard,
    hits: Sequence[Hit],
    why: int,
    codes: Sequence[PhotoCode],
    network: Network,
    calibration: Calibration | None,
) -> "Explanation":
    if why > len(hits):
        raise UsageError(f"--explain {why}: there are {len(hits)} hits; --top asks for more")
    from .explain import explain  # brings the chain of encode with it

    return explain(shard, hits[why - 1], [code.soft for code in codes], network, calibration)


def saved_videos(codes_path: Path, rows: Sequence[Row]) -> Mapping[Path, tuple[VideoRecord, int]]:
    """What a codes file knows of the videos of rows that were saved earlier.

    Raises:
        EditError: a video is not in the codes file.
        MissingPathError, ShardError: there are no codes, or they are damaged.
    """
    with open_shard(codes_path) as shard:
        wanted = {row.video for row in rows}
        found = _ends(shard, [number for number, video in enumerate(shard.videos) if video.path in wanted])
    for row in rows:
        if row.video not in found:
            raise EditError(f"{row.video}: not in {codes_path}; name the codes file that the rows came from, --codes")
    return found


def _ends(shard: Shard, numbers: Sequence[int]) -> dict[Path, tuple[VideoRecord, int]]:
    """Path -> record and end of the last frame, pts, of some videos of a shard."""
    records = {number: shard.video(number) for number in numbers}
    return {record.path: (record, shard.end_pts(number)) for number, record in records.items()}


def _chances(calibration: Calibration, hits: Sequence[Hit], photos: int) -> list[Chance]:
    """What each hit of a ranking is worth: confidence never rises along it, the false match rate never falls."""
    distances = np.array([hit.distance for hit in hits], np.int64)
    scores = np.array([hit.score for hit in hits], np.float64)
    confidence = calibration.confidence(distances, scores, photos=photos)
    false_rate = calibration.false_match_rate(distances, photos=photos)
    return [Chance(round(float(p), 6), float(r)) for p, r in zip(confidence, false_rate, strict=True)]


def _within(chances: Sequence[Chance], min_confidence: float | None, max_false_rate: float | None) -> int:
    """How many hits from the top keep both limits."""
    least = 0.0 if min_confidence is None else min_confidence
    most = 1.0 if max_false_rate is None else max_false_rate
    return sum(chance.confidence >= least and chance.false_rate <= most for chance in chances)


def _nobody(best: Chance, min_confidence: float | None, max_false_rate: float | None) -> str:
    wanted = [] if min_confidence is None else [f"above a confidence of {min_confidence:g}"]
    wanted += [] if max_false_rate is None else [f"within a false match rate of {max_false_rate:g}"]
    return (
        f"nobody found {' and '.join(wanted)}: the nearest shot has a confidence of {best.confidence:.2g} "
        f"and a false match rate of {best.false_rate:.2g}"
    )


def _choice(code: PhotoCode) -> str:
    size = round(code.face.size)
    which = "the largest" if code.number == 1 else f"number {code.number} by size"
    return f"{code.path}: {code.faces} faces, took {which} ({size} pixels); --face N chooses another"


def _usable_index(codes_path: Path, shard: Shard) -> tuple[Index | None, str | None]:
    """The index if it is fresh; a stale or damaged one is said and left alone: the codes themselves are searched."""
    try:
        state = fresh(codes_path, shard)
        if state == "fresh":
            return open_index(codes_path, shard), None
    except IndexFileError as error:
        return None, f"{error}; searching without it"
    if state == "stale":
        return (
            None,
            f"the index of {codes_path} is older than its codes, searching without it; run: dhh index {codes_path}",
        )
    return None, None
