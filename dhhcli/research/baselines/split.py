"""split: face packs and a protocol -> what methods are fitted on, and the photos (q,) and videos (t,) that are asked.

Methods with networks of their own get every picture. Features are of at most eight photos a person, drawn once: enough
for what is fitted here, a quarter of the work on a large pack. Packs hold photos, so training videos are made of them
as a protocol makes videos: of every person two *sets* of up to six of those photos, unlike each other, and a *shot* of
ten frames imitated from one; real tracks, where the pack has them, are taken as they are, 30 frames at most. The same
for every method and seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dhhcli.base.arrays import Pictures, Rows
from dhhcli.research.baselines.base import Covariance, Looks, Training
from dhhcli.research.baselines.feature_cache import FeatureStore, digest
from dhhcli.research.datasets.augmentation import centre, imitate_frames
from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.datasets.pack import fingerprint as pack_fingerprint
from dhhcli.research.datasets.protocol import ProtocolPerson
from dhhcli.research.datasets.splits import closed_set
from dhhcli.research.evaluation.frame_distances import evenly
from dhhcli.research.evaluation.protocol import DIRECTIONS, SHOT_FRAMES
from dhhcli.research.evaluation.sessions import DIRECTIONS as SESSION_DIRECTIONS
from dhhcli.research.evaluation.sessions import FRAMES_A_CODE, Sessions

PHOTOS = 8  # of a person, at most, whose features are fitted on
SETS, SET_PHOTOS, TRAIN_FRAMES = 2, 6, 10  # of a person's training videos, of a set, of a shot


@dataclass(frozen=True, eq=False)
class Things:
    """Photos or videos of one kind."""

    pictures: Pictures  # (f, 64, 64, 3) BGR, frames of one after the other
    counts: Rows  # (n,) frames of each; photos have one
    people: Rows  # (n,)
    photos: bool


@dataclass(frozen=True, eq=False)
class Split:
    """One comparison's data."""

    source: FacePack
    rows: Rows  # (k,) of ``source`` that methods are fitted on
    asked: dict[str, Things]  # kind -> things
    ways: tuple[tuple[str, str], ...]  # query, database

    def fingerprint(self) -> str:
        """SHA-256 of everything that figures depend on."""
        parts = [f"{kind} {digest(each.pictures, each.counts, each.people)}" for kind, each in self.asked.items()]
        return digest(
            np.frombuffer(repr((pack_fingerprint(self.source), digest(self.rows), parts, self.ways)).encode(), np.uint8)
        )


def photos_of(faces: FacePack, rows: Sequence[int] | Rows) -> Things:
    """Rows of a pack as photos."""
    return Things(_centres(faces, rows), np.ones(len(rows), np.int64), faces.identity[np.asarray(rows, int)], True)


def videos_of(faces: FacePack, rows: Sequence[Sequence[int] | Rows]) -> Things:
    """Each some rows of one person in a pack, as a video's frames."""
    flat = np.concatenate([np.asarray(each, int) for each in rows]) if rows else np.empty(0, int)
    people = faces.identity[[each[0] for each in rows]] if rows else np.empty(0, np.int64)
    return Things(_centres(faces, flat), np.array([len(each) for each in rows], int), people, False)


def shots_of(faces: FacePack, rows: Sequence[int] | Rows, frames: int = SHOT_FRAMES) -> Things:
    """Rows of a pack, each made a shot of so many frames; the row's number is its seed."""
    made = [imitate_frames(faces.pictures[row], frames, np.random.default_rng(row)) for row in rows]
    pictures = np.concatenate(made) if made else np.empty((0, 64, 64, 3), np.uint8)
    return Things(pictures, np.full(len(rows), frames), faces.identity[np.asarray(rows, int)], False)


def protocol_split(fit: FacePack, faces: FacePack, people: Sequence[ProtocolPerson], rows: Rows | None = None) -> Split:
    """People of a protocol (pack.py) on one pack, methods fitted on some rows (default: all) of another."""
    asked = {
        "still": photos_of(faces, [row for person in people for row in person.queries]),
        "set": videos_of(faces, [photos for person in people for photos in person.sets]),
        "shot": shots_of(faces, [row for person in people for row in person.shots]),
    }
    there = {kind: things for kind, things in asked.items() if len(things.counts)}
    return Split(fit, _rows(fit, rows), there, tuple(way for way in DIRECTIONS[:4] if {*way} <= {*there}))


def closed_split(faces: FacePack, people: int, seed: int = 0) -> Split:
    """The same people in fitting and asking, in other pictures (research/datasets/splits.py)."""
    train, protocol = closed_set(faces, people, seed=seed)
    return protocol_split(faces, faces, protocol, train)


def session_split(fit: FacePack, faces: FacePack, sessions: Sessions) -> Split:
    """Real tracks (research/evaluation/sessions.py), at most 30 frames of each."""
    tracks = [evenly(rows[:, None].astype(np.float32), FRAMES_A_CODE)[:, 0].astype(int) for rows in sessions.tracks]
    asked = {"still": photos_of(faces, sessions.stills), "session": videos_of(faces, tracks)}
    return Split(fit, _rows(fit), asked, SESSION_DIRECTIONS)


def _rows(faces: FacePack, rows: Rows | None = None) -> Rows:
    return np.arange(len(faces)) if rows is None else rows


def _centres(faces: FacePack, rows: Sequence[int] | Rows) -> Pictures:
    if not len(rows):
        return np.empty((0, 64, 64, 3), np.uint8)
    return np.stack([centre(faces.pictures[row]) for row in rows])


@dataclass(frozen=True, eq=False)
class Drawn:
    """Rows of a pack."""

    photos: Rows  # (f,)
    sets: list[Rows]  # (m_i,) each; also real tracks
    shots: Rows  # (s,) a shot each


def draw(faces: FacePack, rows: Rows, seed: int = 0) -> Drawn:
    """Which of some rows are photos, and which make up videos, in training."""
    rng = np.random.default_rng([seed, 15])
    place = rng.permutation(len(faces))  # of all rows, so that splits of one pack share most of what they draw
    photos, sets, shots = [], [], []
    for person in np.unique(faces.identity[rows]):
        own = rows[faces.identity[rows] == person]
        stills = own[faces.track[own] < 0]
        stills = stills[np.argsort(place[stills])][:PHOTOS]
        photos.append(stills)
        if len(stills) > 1:
            sets += [rng.permutation(stills)[:SET_PHOTOS] for _ in range(SETS)]
        shots.append(stills[:1])
        for track in np.unique(faces.track[own]):
            if track >= 0:
                frames = own[faces.track[own] == track]
                kept = np.linspace(0, len(frames) - 1, min(len(frames), FRAMES_A_CODE))
                sets.append(frames[kept.round().astype(int)])
    return Drawn(np.concatenate(photos), sets, np.concatenate(shots))


def training_of(split: Split, store: FeatureStore, covariance: Covariance, *, videos: bool = True) -> Training:
    """Everything that a method may learn from, ``videos`` or none; features come from the store."""
    faces, drawn = split.source, draw(split.source, split.rows)
    if not videos:
        drawn = replace(drawn, sets=[], shots=np.empty(0, np.int64))
    cut = slice(None, -1) if covariance.homogeneous else slice(None)
    photos = store.of_photos(_centres(faces, drawn.photos))
    ends = np.cumsum([len(rows) for rows in drawn.sets])
    sets = np.split(store(_centres(faces, np.concatenate(drawn.sets))), ends[:-1]) if drawn.sets else []
    filmed = shots_of(faces, drawn.shots, TRAIN_FRAMES)
    shots = np.split(store(filmed.pictures), len(drawn.shots)) if len(drawn.shots) else []
    stills = split.rows[faces.track[split.rows] < 0]
    return Training(
        faces.pictures[stills] if len(stills) < len(faces) else faces.pictures,
        faces.identity[stills],
        photos[:, cut],
        faces.identity[drawn.photos],
        tuple(video[:, cut] for video in (*sets, *shots)),
        faces.identity[np.array([*(rows[0] for rows in drawn.sets), *drawn.shots], np.int64)],
        covariance,
    )


def looks_of(things: Things, store: FeatureStore, covariance: Covariance) -> list[Looks]:
    """Things with their features: all photos together, or each video."""
    cut = slice(None, -1) if covariance.homogeneous else slice(None)
    features = store.of_photos(things.pictures) if things.photos else store(things.pictures)
    whole = Looks(things.pictures, features[:, cut])
    if things.photos:
        return [whole]
    ends = np.cumsum(things.counts)[:-1]
    return [Looks(*both) for both in zip(np.split(whole.crops, ends), np.split(whole.features, ends), strict=True)]
