"""explain: Asked (soft bits (r, K)) + a hit + shard -> Explanation: why this shot is where it is in the ranking."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dhhcli.encoding.track_codes import codes_of, looked_at
from dhhcli.errors import DhhError
from dhhcli.faces.scan import scan
from dhhcli.faces.tracker import FaceTrack
from dhhcli.media.timing.clock import counted_on
from dhhcli.media.timing.timecode import source_timecode
from dhhcli.models.binary_codes import UNIT, binarise, hamming, soft_codes, unpack, weighed_distances
from dhhcli.models.calibration import STEPS_A_BIT, WORDS, Calibration, whole_bits
from dhhcli.models.network import Network
from dhhcli.search.confidence import ConfidenceModel
from dhhcli.search.options import FrameDistance, Rank
from dhhcli.search.question.probe import Asked
from dhhcli.search.question.scope import extents
from dhhcli.search.ranking import Hit
from dhhcli.storage.codes_file import Shard
from dhhcli.storage.record import VideoRecord

CHUNK = 1 << 20  # codes compared at once
UNSURE = 0.1  # a soft bit this near to the fence at 0.5
LEAD = Fraction(2)  # seconds before a shot from which on its looks are repeated: its beginning has to be recognised
FAR = Fraction(60)  # a track that begins later than this in its shot is not sought from the shot's beginning
ENOUGH = 30  # tracks, to speak of a distribution


@dataclass(frozen=True)
class ByFrames:
    """How a hit was ranked by the codes of its frames."""

    way: FrameDistance
    distance: float  # average or minimum, to the nearest row
    frames: int
    least: int  # of their distances to that row
    most: int


@dataclass(frozen=True)
class BySoftBits:
    """How a hit was ranked by soft bits."""

    distance: float  # what the bits that differ weigh, bits
    nearer: int  # tracks whose codes weigh less


@dataclass(frozen=True, eq=False)
class Explanation:
    """Of one hit, by the code of its track. Bits count from 0; times are source timecode."""

    rank: int
    distance: int
    bits: int
    photo: str  # which of the photos, or what else was asked with, is nearest
    differing: tuple[tuple[int, float], ...]  # bit, the photo's soft bit; those it is surest of first
    unsure: int  # bits of the photo that lie within UNSURE of the fence
    unsure_differing: int  # of these, how many differ
    histogram: NDArray[np.int64]  # (K + 1,): tracks of the codes file at every distance, but for what is asked with
    limits: tuple[
        tuple[str, float], ...
    ]  # words of models/calibration.py, and up to which distance of those ranked by they hold; -1: nowhere
    stands_out: int | None  # largest distance at which less than one track is expected by chance; None: too few tracks
    first_seen: str
    last_seen: str  # the frame itself: a track's end_pts is that of its last detection
    crops_used: int
    face_px: float
    score: float
    sharpness: float
    crops: tuple[NDArray[np.uint8], ...]  # cut again from the video, (64, 64, 3) BGR; none where it is not there
    changed: int | None  # bits in which the code of these differs from the stored one; None: none to compare
    why_no_crops: str  # "" where there are
    still: bool = False  # the hit is a photo
    number: int | None = None  # which of several photos `photo` is, from 1; None: all together, or there is one
    photos: int = 1  # how many were asked with
    likely: str = ""  # its confidence as a word; "": not calibrated
    turn: float | None = None  # how far the nose is from the middle of the eyes, in their distance; None: unknown
    by_frames: ByFrames | None = None  # None: it was ranked by the code of its track
    by_soft: BySoftBits | None = None  # None: it was ranked by Hamming distance

    @property
    def nearer(self) -> int:
        """Tracks whose codes are nearer to the photo than this one's."""
        return int(self.histogram[: self.distance].sum())


def explain(
    shard: Shard,
    hit: Hit,
    rank: int,
    person: Asked,
    network: Network,
    calibration: Calibration | None = None,
    way: FrameDistance = FrameDistance.majority,
    by: Rank = Rank.soft,
    share: float | None = None,
    likely: str = "",
) -> Explanation:
    """Explain a hit of a search for a person, of some rank; decodes the track's part of its video, or its photo, again.

    `network` is one with layers for tracks. `way`, `by`: how it was searched; all but `Explanation.by_frames` is about
    codes of tracks. `share`: of the tracks that are the person's, None: what the calibration says.
    """
    K = shard.tag.bits
    softs = person.soft
    asked = soft_codes(softs)
    queries = asked.codes
    own = shard.code_rows(np.array([hit.track]))
    bits, weights = hamming(queries, own)[:, 0], weighed_distances(asked, own)[:, 0]
    photo = int(np.lexsort((bits, weights))[0] if by is Rank.soft else bits.argmin())
    distance = int(bits[photo])
    soft = np.asarray(softs[photo], np.float64)
    stored = unpack(own, K)[0]
    wrong = np.flatnonzero(stored != binarise(soft[None])[0])
    order = wrong[np.argsort(-np.abs(soft[wrong] - 0.5), kind="stable")]
    unsure = np.abs(soft - 0.5) < UNSURE
    counts, lighter = np.zeros(K + 1, np.int64), 0
    for start in range(0, len(shard), CHUNK):
        codes = np.asarray(shard.codes[start : start + CHUNK])
        counts += np.bincount(hamming(queries, codes).min(axis=0), minlength=K + 1)[: K + 1]
        lighter += int((weighed_distances(asked, codes).min(axis=0) < weights[photo]).sum())
    itself = tracks_of(shard, person.apart)  # what is asked with is nobody who could be nearer
    if len(itself):
        codes = shard.code_rows(itself)
        counts -= np.bincount(hamming(queries, codes).min(axis=0), minlength=K + 1)[: K + 1]
        lighter -= int((weighed_distances(asked, codes).min(axis=0) < weights[photo]).sum())
    track = shard.track_rows(np.array([hit.track]))[0]
    video = shard.video(int(track["video"]))
    shot = shard.shots_rows(np.array([hit.shot]))[0]
    crops, changed, reason, turn = (
        _photo_again(video, track, own, network)
        if video.still
        else _cut_again(video, int(shot["start_pts"]), track, own, network)
    )
    several = len(person.faces) > 1
    return Explanation(
        rank=rank,
        distance=distance,
        bits=K,
        photo=person.names[photo],
        differing=tuple((int(bit), float(soft[bit])) for bit in order),
        unsure=int(unsure.sum()),
        unsure_differing=int(unsure[wrong].sum()),
        histogram=counts,
        limits=word_limits(ConfidenceModel(calibration, (person,), by, (share,) if share else ()), K)
        if calibration
        else (),
        stands_out=outlying(counts),
        first_seen=_label(video, int(track["start_pts"])),
        last_seen=_label(video, int(track["end_pts"])),
        crops_used=int(track["frames_used"]),
        face_px=float(track["face_px"]),
        score=float(track["score"]),
        sharpness=float(track["sharpness"]),
        crops=crops,
        changed=changed,
        why_no_crops=reason,
        still=video.still,
        number=photo + 1 if several and photo < len(person.faces) and " together" not in person.names[photo] else None,
        photos=max(1, len(person.faces)),
        likely=likely,
        turn=turn,
        by_frames=None if way is FrameDistance.majority else ranked_by(hamming(queries, shard.frames(hit.track)), way),
        by_soft=BySoftBits(float(weights[photo]) / UNIT, lighter) if by is Rank.soft and person.unsure else None,
    )


def tracks_of(shard: Shard, shots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of the tracks of some shots (s,); reads only their videos."""
    if not len(shots):
        return shots
    starts = extents(shard, "track")
    videos = sorted(set(shard.shots_rows(shots)["video"].tolist()))
    rows = np.concatenate([np.arange(starts[video], starts[video + 1]) for video in videos])
    return rows[np.isin(shard.track_rows(rows)["shot"], shots)]


def ranked_by(distances: NDArray[np.int32], way: FrameDistance) -> ByFrames:
    """Distances (r, m) of the rows of a question to the frames of a track -> what counted; of equal rows the first."""
    each = distances.mean(axis=1) if way is FrameDistance.average else distances.min(axis=1)
    row = distances[int(each.argmin())]
    return ByFrames(way, float(each.min()), len(row), int(row.min()), int(row.max()))


def word_limits(worth: ConfidenceModel, K: int) -> tuple[tuple[str, float], ...]:
    """Up to which distance a track is very likely, likely, unsure to be one person.

    By soft bits to a quarter of a bit; by bits with a soft score in the middle of what is usual.
    """
    (person,) = worth.people
    curves, _ = worth.curves_of(person)
    spread = curves.curves[person.kind].spread
    if spread is None:
        scores = np.arange(STEPS_A_BIT * (K + 1)) / STEPS_A_BIT
        distances = whole_bits(scores, K)
    else:
        distances = np.arange(K + 1)
        scores = distances / 2 + (spread.low + spread.high) / 2 * K / 2  # the inverse of calibration.score_place
    confidence = worth.each(distances[None].astype(np.int32), scores[None].astype(np.float32))[0]
    held = ((word, int((confidence >= least).sum()) - 1) for least, word in WORDS if least > 0)
    return tuple((word, last / STEPS_A_BIT if last >= 0 and spread is None else last) for word, last in held)


def outlying(histogram: NDArray[np.int64]) -> int | None:
    """The largest distance at or below which less than one of n tracks is expected, were all of them strangers.

    Distances of strangers are taken as normal, with the median and the upper quartile of all distances: people who
    are asked for lie below the median and so do not widen it. None for fewer than ENOUGH tracks.
    """
    n = int(histogram.sum())
    if n < ENOUGH:
        return None
    # a whole distance d covers d - 1/2 to d + 1/2; quartiles of whole numbers would be too coarse
    ordered = np.concatenate([[0], np.cumsum(histogram)])
    median, upper = np.interp([0.5 * n, 0.75 * n], ordered, np.arange(len(ordered)) - 0.5)
    spread = (upper - median) / NormalDist().inv_cdf(0.75)
    return max(-1, int(np.floor(median + spread * NormalDist().inv_cdf(1 / n) - 0.5)))


def _cut_again(
    video: VideoRecord, shot_pts: int, track: np.void, stored: NDArray[np.uint8], network: Network
) -> tuple[tuple[NDArray[np.uint8], ...], int | None, str, float | None]:
    """Crops of the track out of its video, bits in which their code differs from the stored one, why there are none,
    and how far the best face is turned.

    The frames that encode looked at follow from what it saw since the shot began, so the shot is looked at again from
    there; of a track that comes late in a long shot only the last seconds before it, and then the code may differ.
    """
    from dhhcli.media.video import open_video

    end, first = int(track["end_pts"]), int(track["start_pts"])
    begin = max((shot_pts - video.start_pts) * video.time_base - LEAD, Fraction(0))
    late = (first - video.start_pts) * video.time_base - LEAD
    begin = video.start_pts * video.time_base + (begin if late - begin < FAR else late)
    try:
        with open_video(video.path) as opened:
            frames = takewhile(lambda frame: frame.pts <= end, opened.since(begin, counted=counted_on(video.warnings)))
            seen = scan(opened, network.film_detector, thumbnails=False, part=frames)
            tracks = [item for item in seen if isinstance(item, FaceTrack)]
            scale = np.array([video.width / opened.info.width, video.height / opened.info.height] * 2)
            near = [one for one in tracks if _has_best(one, track, scale)]
            people = [part for parts in looked_at(near, network) for part in parts]
            same = next((part for part in people if _has_best(part.track, track, scale)), None)
    except (DhhError, OSError) as error:
        return (), None, str(error), None
    if same is None:
        return (), None, f"{video.path}: the face is not found again; has the file changed?", None
    changed = int(hamming(codes_of([same], network)[0], stored)[0, 0])
    return tuple(seen.crop for seen in same.sampled), changed, "", turned(same.track.best.face.landmarks)


def _photo_again(
    video: VideoRecord, track: np.void, stored: NDArray[np.uint8], network: Network
) -> tuple[tuple[NDArray[np.uint8], ...], int | None, str, float | None]:
    """The same of a face in a photo."""
    from dhhcli.encoding.photo import encode_still
    from dhhcli.faces.alignment import align
    from dhhcli.media.photo import read_photo

    try:
        again = encode_still(video.path, network)
        picture = read_photo(video.path)
        faces = network.detector.detect(picture)
    except (DhhError, OSError) as error:
        return (), None, str(error), None
    for face, row, code in zip(faces, again.tracks, again.codes, strict=True):
        if np.allclose(row["box"], track["box"], atol=2):
            changed = int(hamming(code[None], stored)[0, 0])
            return (align(picture, face.landmarks),), changed, "", turned(face.landmarks)
    return (), None, f"{video.path}: the face is not found again; has the file changed?", None


def turned(landmarks: NDArray[np.floating[Any]]) -> float | None:
    """How far the tip of the nose is from the middle of the eyes along the line between them, in their distance.

    About 0 from in front; None where the eyes coincide.
    """
    left, right, nose = (np.asarray(landmarks[point], np.float64) for point in range(3))
    apart = right - left
    length = float(apart @ apart)
    return abs(float((nose - (left + right) / 2) @ apart)) / length if length > 0 else None


def _has_best(found: FaceTrack, track: np.void, scale: NDArray[np.float64]) -> bool:
    """Whether a track's face is somewhere where the stored track has its best.

    scale: (4,) from pixels of the film's first frame to those that stored boxes are in.
    """
    return any(
        seen.pts == int(track["best_pts"]) and np.allclose(seen.box * scale, track["box"], atol=2)
        for seen in found.observations
    )


def _label(video: VideoRecord, pts: int) -> str:
    if video.still:
        return ""
    seconds = (pts - video.start_pts) * video.time_base
    return source_timecode(seconds, video.frame_rate, video.start_timecode, drop=video.drop_frame)
