"""track_codes: face tracks, m crops (64, 64, 3) each -> one code (B,) a person, of at most 30 of them, and its row.

Tracks of several shots go to the network together; one whose features say that it is two people is cut. Weights that
hash pictures only may also leave the codes (m, B) of a track's crops.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dhhcli.encoding.one_person import cut_places, parts_of
from dhhcli.faces.bookmark import Bookmark
from dhhcli.faces.scan import Looked
from dhhcli.faces.thumbnail import jpeg
from dhhcli.faces.tracker import FaceTrack, Observation, sample
from dhhcli.media.shots import Shot
from dhhcli.models.binary_codes import binarise, code_bytes, pack
from dhhcli.models.hash_layers import hash_stills, hash_tracks, share_of_frames
from dhhcli.models.network import Network

CROWD = 40  # faces in a frame: where there are more, fewer crops of each are looked at
LEAST_CROPS = 8  # of a track in a crowd
FRAMES_A_CODE = 30  # Qiao et al. cut tracks into clips of at most 30; we sample 30, one code a track
# Crops of several tracks that go to the network together: a GPU wants many; on a processor a crop costs the same from
# four on, and what waits until the end of a film is done while nothing is scanned.
AT_ONCE_ON_GPU, AT_ONCE = 96, 16


@dataclass(frozen=True, eq=False, slots=True)
class Coded:
    """What remains of a track. order: key within its shot. row: TRACK_DTYPE, less its first two fields. code: (B,).

    frames: codes (m, B) of its m crops, None where its features are hashed together.
    """

    order: tuple[float, ...]
    row: tuple[Any, ...]
    code: npt.NDArray[np.uint8]
    thumbnail: bytes
    frames: npt.NDArray[np.uint8] | None


def code_tracks(
    items: Iterable[Looked | FaceTrack | Shot | Bookmark], network: Network
) -> Iterator[Looked | Coded | Shot | Bookmark]:
    """Tracks become coded ones, in the same order; some wait to be coded together, and their shots with them. Nothing
    waits over a bookmark, so that what follows it is coded as by who begins there.
    """
    held: list[FaceTrack | Shot] = []
    crops, most = 0, AT_ONCE_ON_GPU if network.film_extract.on_gpu else AT_ONCE
    for item in items:
        if isinstance(item, Looked):
            yield item
            continue
        if isinstance(item, Bookmark):
            yield from _coded(held, network)
            held, crops = [], 0
            yield item
            continue
        held.append(item)
        if isinstance(item, FaceTrack):
            crops += min(len(item.observations), FRAMES_A_CODE)
        if crops >= most:
            yield from _coded(held, network)
            held, crops = [], 0
    yield from _coded(held, network)


def _coded(items: Sequence[FaceTrack | Shot], network: Network) -> Iterator[Coded | Shot]:
    people = iter(looked_at([item for item in items if isinstance(item, FaceTrack)], network))
    apart = [[item] if isinstance(item, Shot) else next(people) for item in items]
    codes = zip(
        *codes_of([part for parts in apart for part in parts if isinstance(part, OnePerson)], network), strict=True
    )
    for part in (part for parts in apart for part in parts):
        if isinstance(part, Shot):
            yield part
            continue
        track, best = part.track, part.track.best
        row = (
            track.first_frame,
            track.last_frame + 1,
            track.first_pts,
            track.last_pts,
            best.frame,
            best.pts,
            best.box,
            best.face.score,
            best.face.size,
            best.sharpness,
            len(part.features),
        )
        code, frames = next(codes)
        thumbnail = b"" if best.surroundings is None else jpeg(best.surroundings)
        yield Coded(track.order(), row, code, thumbnail, frames)


@dataclass(frozen=True, eq=False, slots=True)
class OnePerson:
    """A track, or what of one is one person. sampled: m of its observations. features: (m, d) of these."""

    track: FaceTrack
    sampled: Sequence[Observation]
    features: npt.NDArray[np.float32]


def crops_of(track: FaceTrack) -> int:
    """How many crops of a track are looked at, at most: 30, and in a crowd so many fewer as there are more faces."""
    crowd = max(observation.crowd for observation in track.observations)
    return max(LEAST_CROPS, min(FRAMES_A_CODE, FRAMES_A_CODE * CROWD // crowd))


def looked_at(tracks: Sequence[FaceTrack], network: Network) -> list[list[OnePerson]]:
    """Features of at most 30 crops of each track, and the people that it is of (one_person.py), in order of time."""
    sampled = [sample(track, crops_of(track)) for track in tracks]
    if not sampled:
        return []
    features = network.film_extract(np.stack([observation.crop for frames in sampled for observation in frames]))
    own = np.split(features, np.cumsum([len(frames) for frames in sampled])[:-1])
    least = network.weights.one_person
    return [
        [
            OnePerson(part, frames[which], of_track[which])
            for part, which in parts_of(track, frames, [] if least is None else cut_places(of_track, least))
        ]
        for track, frames, of_track in zip(tracks, sampled, own, strict=True)
    ]


def codes_of(
    people: Sequence[OnePerson], network: Network
) -> tuple[npt.NDArray[np.uint8], list[npt.NDArray[np.uint8] | None]]:
    """One code (t, B) a track: log-covariance of the features of its crops, hash layer, sign. And the codes (m, B) of
    each track's crops; None by layers that hash all of them together.
    """
    if not people:
        return np.empty((0, code_bytes(network.layers.bits)), np.uint8), []
    features = [one.features for one in people]
    if network.layers.framewise:
        own = [hash_stills(network.layers, D) for D in features]
        return pack(binarise(np.stack([share_of_frames(soft) for soft in own]))), [pack(binarise(soft)) for soft in own]
    return pack(binarise(hash_tracks(network.layers, features))), [None] * len(people)
