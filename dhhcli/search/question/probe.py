"""probe: words (search/question/terms.py) that name one person -> Asked: soft bits (r, K) and what they are of.

Several photos of a person are asked with in one of three ways; a track is as near as the nearest row:

- ``best``: one row a photo, by the still branch;
- ``set``: one row: photos are frames of a track, each photo's feature the mean over both sides;
- ``both``: those of best and of set.

``both`` is the default: with three photos .973 mean average precision on sets (best .957, set .962), and within 0.013
of the better one on film (docs/research/experiments.md#several-photos-of-one-person). A single photo goes through the
branch of stills. What is stored of tracks are bits, so a stored track joins as a row of its own.

Confidence of several photos is what the nearest row says, by the curve of stills; of stored tracks, or of both, that of
the nearest of so many by the curve of tracks (search/confidence.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dhhcli.base.arrays import Floats, Ints
from dhhcli.base.text import counted
from dhhcli.encoding.query_photo import LONGEST, PhotoCode, photo_code
from dhhcli.errors import NoFaceError, PhotoError, ShardError, UsageError
from dhhcli.media.files.discover import find_videos, is_photo
from dhhcli.models.binary_codes import unpack
from dhhcli.models.hash_layers import HashLayers, hash_tracks
from dhhcli.models.network import Network
from dhhcli.search.options import Fuse
from dhhcli.search.question.itself import NONE, same_moment, same_photo
from dhhcli.search.question.learning import learned
from dhhcli.search.question.scope import shot_tracks_of, video_row
from dhhcli.search.question.terms import FileTerm, NameTerm, ShotTerm, TrackTerm, Word, is_film, is_folder, text_of
from dhhcli.search.unique import distinct
from dhhcli.storage.codes_file import Shard
from dhhcli.storage.record import content_fingerprint
from dhhcli.storage.track_id import rows_called

SHOWN = 4  # tracks of a name, on a sheet


@dataclass(frozen=True, eq=False)
class Asked:
    """One person to search for; r rows."""

    soft: Floats  # (r, K)
    names: tuple[str, ...]  # what each row is of
    kind: str  # of the calibration's curves
    faces: tuple[tuple[Path, bytes], ...]  # what was asked with, and a JPEG of the face in it
    apart: Ints  # shots that are asked with, so no answer
    notes: tuple[str, ...]
    gone: Ints = field(default_factory=lambda: NONE)  # tracks that are said not to be the person
    shown: tuple[int, ...] = ()  # of each row, which of the faces it is of; -1: of all together

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
    return "track-track" if photos > 1 and fuse is Fuse.set else "still-track"


@dataclass(frozen=True, eq=False)
class _Look:
    """What one word gives."""

    soft: Floats  # (K,)
    name: str
    faces: tuple[tuple[Path, bytes], ...]
    feature: Floats | None = None  # (d,) of a photo
    apart: Ints = field(default_factory=lambda: NONE)  # shots that show the very same
    note: str | None = None
    tracks: Ints = field(default_factory=lambda: NONE)  # it is made of
    gone: Ints = field(default_factory=lambda: NONE)  # that are not the person
    rows: Floats = field(default_factory=lambda: np.empty((0, 0), np.float32))  # (y, K) of a name's tracks
    never: Floats = field(default_factory=lambda: np.empty((0, 0), np.float32))  # (x, K) of those


def asked(
    words: Sequence[Word],
    shard: Shard,
    network: Network,
    codes: Path | Sequence[Path],
    *,
    face: int = 1,
    fuse: Fuse = Fuse.both,
    yes: Sequence[Word] = (),
    no: Sequence[Word] = (),
) -> Asked:
    """Hash what is named and look up what is stored.

    ``codes``: of the shard; who is who lies beside them. ``face``: which face of a photo, largest first, of a shot,
    largest first, or of a video, longest seen first. ``yes``, ``no``: what is the person too, and may be an answer, and
    what is not; then all of it is one row (learning.py), as a name's tracks are always.

    Raises:
        UsageError: ``face`` with several words, or with a name.
        NamesError: nobody is called so, or the file that says so is damaged.
        MissingPathError, PhotoError, NoFaceError, VideoError, NoVideoError: a file cannot be used.
        ShardError: there is no such track or shot.
    """
    if face > 1 and len(words) > 1:
        raise UsageError("--face says which face of one photo; give one photo, or photos of one person each")
    looks: list[_Look] = []
    for word in words:
        if isinstance(word, FileTerm) and is_folder(word):
            looks += _in_folder(word.path, shard, network, face)
            continue
        look = _called(shard, codes, word, face) if isinstance(word, NameTerm) else _look(word, shard, network, face)
        looks.append(look)
    photos = [look for look in looks if look.feature is not None]
    others = [look for look in looks if look.feature is None]
    soft = [look.soft[None] for look in others]
    names = [look.name for look in others]
    if photos:
        own = np.stack([look.soft for look in photos])
        features = np.stack([look.feature for look in photos if look.feature is not None])
        soft.insert(0, photo_rows(own, features, network.layers, fuse))
        together = [f"the {len(photos)} photos together"] if len(photos) > 1 and fuse is not Fuse.best else []
        alone = [look.name for look in photos]
        names = [*(alone[: len(soft[0]) - len(together)]), *together, *names]
    kind = kind_of(len(photos), fuse) if not others else "track-track"
    starts = np.cumsum([0, *(len(look.faces) for look in looks)]).tolist()
    first = {id(look): start for look, start in zip(looks, starts, strict=False)}
    of_photos = [first[id(look)] for look in photos][: len(soft[0]) if photos else 0]
    shown = of_photos if not photos or len(soft[0]) >= len(photos) else []  # fewer rows: the photos together
    shown += [-1] * ((len(soft[0]) if photos else 0) - len(shown))
    found = Asked(
        np.concatenate(soft),
        tuple(names),
        kind,
        tuple(face for look in looks for face in look.faces),
        distinct(np.concatenate([look.apart for look in looks])),
        tuple(look.note for look in looks if look.note is not None),
        distinct(np.concatenate([look.gone for look in looks])),
        (*shown, *(first[id(look)] if len(look.faces) == 1 else -1 for look in others)),
    )
    return _with_feedback(found, looks, yes, no, shard, network, codes) if yes or no else found


def _with_feedback(
    found: Asked,
    looks: Sequence[_Look],
    yes: Sequence[Word],
    no: Sequence[Word],
    shard: Shard,
    network: Network,
    codes: Path | Sequence[Path],
) -> Asked:
    """The same person, asked for by one row of everything that is confirmed and rejected."""
    sides = [
        [
            _called(shard, codes, word, 1) if isinstance(word, NameTerm) else _look(word, shard, network, 1)
            for word in words
        ]
        for words in (yes, no)
    ]
    more, away = sides
    rows = np.concatenate([one.rows if len(one.rows) else one.soft[None] for one in (*looks, *more)])
    never = [one.rows if len(one.rows) else one.soft[None] for one in away]
    against = np.concatenate(
        [np.empty((0, rows.shape[1]), np.float32), *never, *(look.never for look in looks if len(look.never))]
    )
    name = f"{found.names[0]} and what is confirmed" if more else found.names[0]
    return replace(
        found,
        soft=learned(rows, against),
        names=(name,),
        shown=(-1,),
        kind="track-track" if more else found.kind,
        gone=distinct(np.concatenate([found.gone, *(one.tracks for one in away)])),
        faces=(*found.faces, *(face for look in more for face in look.faces[:SHOWN])),
        notes=(*found.notes, *(look.note for look in (*more, *away) if look.note is not None)),
    )


def _called(shard: Shard, codes: Path | Sequence[Path], word: NameTerm, face: int) -> _Look:
    """All that is known of a name: its sure tracks, against those that are not its person. All are answers too."""
    from dhhcli.storage.who.book import known_rows

    if face > 1:
        raise UsageError("--face says which face of one photo; a name has its own tracks")
    known = known_rows(codes, shard, word.name)
    yes, no = (unpack(shard.code_rows(rows), shard.tag.bits).astype(np.float32) for rows in (known.yes, known.no))
    shown = tuple(
        (shard.video(int(track["video"])).path, shard.picture(int(row)))
        for row, track in zip(known.yes[:SHOWN], shard.track_rows(known.yes[:SHOWN]), strict=True)
    )
    name = f"track {known.yes[0]}" if len(yes) == 1 else f"the {len(yes)} tracks of {word.name}"
    return _Look(learned(yes, no)[0], name, shown, gone=known.no, rows=yes, never=no, tracks=known.yes)


def _in_folder(folder: Path, shard: Shard, network: Network, face: int) -> list[_Look]:
    """The photos in a folder, all of one person; those that show no face, or cannot be read, are said and left out."""
    if face > 1:
        raise UsageError("--face says which face of one photo; a folder's photos are all of one person")
    photos = sorted(path for path in find_videos([folder], photos=True).videos if is_photo(path))
    looks, left_out = [], []
    for path in photos:
        try:
            looks.append(_look(FileTerm(path), shard, network, face))
        except (NoFaceError, PhotoError) as error:
            left_out.append(f"left out: {error}")
    if not looks:
        raise NoFaceError(f"{folder}: {counted(len(photos), 'photo')} in it, none with a face; name a folder of photos")
    notes = [note for note in (looks[0].note, *left_out) if note]
    return [replace(looks[0], note="; ".join(notes) or None), *looks[1:]]


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
            return _Look(code.soft, path.name, ((path, code.picture),), feature=code.feature, apart=apart, note=note)


def _choice(code: PhotoCode) -> str:
    size = round(code.face.size)
    which = "the largest" if code.number == 1 else f"number {code.number} by size"
    return f"{code.path}: {code.faces} faces, took {which} ({size} pixels); --face N chooses another"


def _stored(shard: Shard, track: int, note: str | None = None) -> _Look:
    rows = shard.track_rows(np.array([track]))[0]
    soft = unpack(shard.code_rows(np.array([track])), shard.tag.bits)[0].astype(np.float32)
    video = shard.video(int(rows["video"]))
    apart = same_moment(shard, video.fingerprint, int(rows["best_pts"]))
    face = (video.path, shard.picture(track))
    return _Look(soft, f"track {track}", (face,), apart=apart, note=note, tracks=np.array([track]))


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
        ((path, thumbnail(crops[0], np.array([0, 0, 64, 64]), longest=LONGEST)),),
        apart=same_moment(shard, content_fingerprint(path), track.best.pts),
        note=note,
    )
