"""probe: words (search/terms.py) that name one person -> Asked: soft bits (r, K) and what they are of.

Several photos of a person are asked with in one of three ways; a track is as near as the nearest row:

- ``best``: one row a photo, by the still branch;
- ``set``: one row: photos are frames of a track, each photo's feature the mean over both sides;
- ``both``: those of best and of set.

``both`` is the default: with three photos .973 mean average precision on sets (best .957, set .962), and within 0.013
of the better one on film (docs/research/experiments.md#several-photos-of-one-person). A single photo goes through the
branch of stills. What is stored of tracks are bits, so a stored track joins as a row of its own.

Confidence of several rows is that of the nearest of so many (calibration.py), by the curve of tracks as soon as one of
them is a track's or went through that branch. On people held out, promises from 0.1 up were then off on average by
0.02 to 0.06.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dhhcli.base.arrays import Floats, Ints
from dhhcli.encoding.query_photo import LONGEST, PhotoCode, photo_code
from dhhcli.errors import NoFaceError, ShardError, UsageError
from dhhcli.models.binary_codes import unpack
from dhhcli.models.hash_layers import HashLayers, hash_tracks
from dhhcli.models.network import Network
from dhhcli.search.itself import NONE, same_moment, same_photo
from dhhcli.search.options import Fuse
from dhhcli.search.scope import shot_tracks_of, video_row
from dhhcli.search.terms import FileTerm, NameTerm, ShotTerm, TrackTerm, Word, is_film, text_of
from dhhcli.search.unique import distinct
from dhhcli.storage.codes_file import Shard
from dhhcli.storage.record import content_fingerprint
from dhhcli.storage.track_id import rows_called

CALLED = 64  # tracks of a name that are asked with
SHOWN = 4  # of these, on a sheet


@dataclass(frozen=True, eq=False)
class Asked:
    """One person to search for; r rows."""

    soft: Floats  # (r, K)
    names: tuple[str, ...]  # what each row is of
    kind: str  # of the calibration's curves
    faces: tuple[tuple[Path, bytes], ...]  # what was asked with, and a JPEG of the face in it
    apart: Ints  # shots that are asked with, so no answer
    notes: tuple[str, ...]

    @property
    def unsure(self) -> bool:
        """Whether any row is more than bits: not only of stored tracks."""
        return bool(((self.soft > 0) & (self.soft < 1)).any())


def photo_rows(soft: Floats, features: Floats, layers: HashLayers, fuse: Fuse = Fuse.both) -> Floats:
    """What photos of a person are asked with: soft bits (q, K), features (q, d) -> rows (r, K), the set last."""
    if len(soft) == 1 or fuse is Fuse.best:
        return soft
    together = hash_tracks(layers, [features])
    return together if fuse is Fuse.set else np.concatenate([soft, together])


def kind_of(photos: int, fuse: Fuse = Fuse.both) -> str:
    """Which of the calibration's curves holds for the rows of so many photos."""
    return "still-track" if photos == 1 or fuse is Fuse.best else "track-track"


@dataclass(frozen=True, eq=False)
class _Look:
    """What one word gives."""

    soft: Floats  # (K,)
    name: str
    face: tuple[Path, bytes] | None
    feature: Floats | None = None  # (d,) of a photo
    apart: Ints = field(default_factory=lambda: NONE)  # shots that show the very same
    note: str | None = None


def asked(
    words: Sequence[Word],
    shard: Shard,
    network: Network,
    codes_path: Path,
    *,
    face: int = 1,
    fuse: Fuse = Fuse.both,
) -> Asked:
    """Hash what is named and look up what is stored.

    ``codes_path``: of the shard; names lie beside it. ``face``: which face of a photo, largest first, of a shot,
    largest first, or of a video, longest seen first.

    Raises:
        UsageError: ``face`` with several words, or with a name.
        NamesError: nobody is called so, or the names are damaged.
        MissingPathError, PhotoError, NoFaceError, VideoError, NoVideoError: a file cannot be used.
        ShardError: there is no such track or shot.
    """
    if face > 1 and len(words) > 1:
        raise UsageError("--face says which face of one photo; give one photo, or photos of one person each")
    looks = [
        look
        for word in words
        for look in (
            _called(shard, codes_path, word, face)
            if isinstance(word, NameTerm)
            else [_look(word, shard, network, face)]
        )
    ]
    photos = [look for look in looks if look.feature is not None]
    others = [look for look in looks if look.feature is None]
    soft = [look.soft[None] for look in others]
    names = [look.name for look in others]
    if photos:
        own = np.stack([look.soft for look in photos])
        features = np.stack([look.feature for look in photos if look.feature is not None])
        soft.insert(0, photo_rows(own, features, network.layers, fuse))
        together = [f"the {len(photos)} photos together"] if kind_of(len(photos), fuse) == "track-track" else []
        alone = [look.name for look in photos]
        names = [*(alone[: len(soft[0]) - len(together)]), *together, *names]
    return Asked(
        np.concatenate(soft),
        tuple(names),
        kind_of(len(photos), fuse) if not others else "track-track",
        tuple(look.face for look in looks if look.face is not None),
        distinct(np.concatenate([look.apart for look in looks])),
        tuple(look.note for look in looks if look.note is not None),
    )


def _called(shard: Shard, codes_path: Path, word: NameTerm, face: int) -> list[_Look]:
    """The tracks of a name, at most CALLED of them; their shots are answers too."""
    from dhhcli.storage.people import known_rows

    if face > 1:
        raise UsageError("--face says which face of one photo; a name has its own tracks")
    rows = known_rows(codes_path, shard, word.name).yes
    rows = rows[:: -(-len(rows) // CALLED)]
    looks = [_stored(shard, int(row)) for row in rows]
    return [replace(look, apart=NONE, face=look.face if number < SHOWN else None) for number, look in enumerate(looks)]


def _look(word: FileTerm | TrackTerm | ShotTerm, shard: Shard, network: Network, face: int) -> _Look:
    match word:
        case TrackTerm():
            return _stored(shard, _checked(shard, word))
        case ShotTerm():
            return _of_shot(shard, word, face)
        case FileTerm() if is_film(word):
            return _of_film(word.path, shard, network, face)
        case FileTerm(path):
            code = photo_code(path, network, number=face)
            lines = [*(f"{path}: {line}" for line in code.warnings), *([_choice(code)] if code.faces > 1 else [])]
            note = "; ".join(lines) or None
            apart = same_photo(shard, path)
            return _Look(code.soft, path.name, (path, code.picture), feature=code.feature, apart=apart, note=note)


def _choice(code: PhotoCode) -> str:
    size = round(code.face.size)
    which = "the largest" if code.number == 1 else f"number {code.number} by size"
    return f"{code.path}: {code.faces} faces, took {which} ({size} pixels); --face N chooses another"


def _stored(shard: Shard, track: int, note: str | None = None) -> _Look:
    rows = shard.track_rows(np.array([track]))[0]
    soft = unpack(shard.code_rows(np.array([track])), shard.tag.bits)[0].astype(np.float32)
    video = shard.video(int(rows["video"]))
    apart = same_moment(shard, video.fingerprint, int(rows["best_pts"]))
    return _Look(soft, f"track {track}", (video.path, shard.picture(track)), apart=apart, note=note)


def _checked(shard: Shard, word: TrackTerm) -> int:
    """Its row. Raises ShardError where there is none, or it is not where it should be."""
    if isinstance(word.row, str):
        return int(rows_called(shard, word.row, "the codes file")[0])
    if word.row >= len(shard):
        last = f"tracks 0 to {len(shard) - 1}" if len(shard) else "no tracks"
        raise ShardError(f"track {word.row}: the codes file has {last}; see the column track of dhh query")
    if word.video is not None and word.shot is not None:
        row = shard.track_rows(np.array([word.row]))[0]
        number = int(shard.shots_rows(row["shot"][None])[0]["number"])
        if (shard.video(int(row["video"])).path, number) != (word.video, word.shot):
            raise ShardError(
                f"track {word.row}: not in shot {word.shot} of {word.video} in this codes file; "
                "name the one that the rows came from, --codes"
            )
    return word.row


def _of_shot(shard: Shard, word: ShotTerm, face: int) -> _Look:
    text = text_of(word)
    video = video_row(shard, word.video, text)
    _, tracks = shot_tracks_of(shard, video, word.number, text)
    if not len(tracks):
        raise NoFaceError(f"{text}: no face was found in this shot")
    if face > len(tracks):
        raise NoFaceError(f"{text}: has {len(tracks)} face track(s), --face {face} asks for more")
    rows = shard.track_rows(tracks)
    chosen = int(np.lexsort((tracks, -rows["face_px"]))[face - 1])
    note = None
    if len(tracks) > 1:
        size = round(float(rows["face_px"][chosen]))
        note = (
            f"{text}: {len(tracks)} face tracks, took {_nth(face, 'largest', 'size')} ({size} pixels, "
            f"track {tracks[chosen]}); --face N chooses another"
        )
    return _stored(shard, int(tracks[chosen]), note)


def _nth(number: int, first: str, by: str) -> str:
    return f"the {first}" if number == 1 else f"number {number} by {by}"


def _of_film(path: Path, shard: Shard, network: Network, face: int) -> _Look:
    """A track of a video file: the one seen in most looks, of equals the larger face."""
    from dhhcli.encoding.track_codes import FRAMES_A_CODE
    from dhhcli.faces.scan import shot_tracks
    from dhhcli.faces.thumbnail import thumbnail
    from dhhcli.faces.tracker import sample
    from dhhcli.media.video import open_video

    with open_video(path) as video:
        found = [(shot.number, track) for shot, own in shot_tracks(video, network.film_detector) for track in own]
    if not found:
        raise NoFaceError(f"{path}: no face found in this video")
    if face > len(found):
        raise NoFaceError(f"{path}: has {len(found)} face track(s), --face {face} asks for more")
    found.sort(key=lambda item: (-item[1].detections, -item[1].best.face.size, item[0]))
    number, track = found[face - 1]
    crops = np.stack([observation.crop for observation in sample(track, FRAMES_A_CODE)])
    soft = hash_tracks(network.layers, [network.film_extract(crops)])[0]
    note = None
    if len(found) > 1:
        which = "the one seen longest" if face == 1 else f"number {face} by how long it is seen"
        note = f"{path}: {len(found)} face tracks, took {which} (shot {number}); --face N chooses another"
    return _Look(
        soft,
        path.name,
        (path, thumbnail(crops[0], np.array([0, 0, 64, 64]), longest=LONGEST)),
        apart=same_moment(shard, content_fingerprint(path), track.best.pts),
        note=note,
    )
