"""track_codes: face tracks, m crops (64, 64, 3) each -> one code (B,) a track, of at most 30 of them, and its row.

Tracks of several shots go to the network together. Weights that hash pictures only may also leave the codes (m, B) of a
track's crops.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dhhcli.faces.scan import Looked
from dhhcli.faces.thumbnail import jpeg
from dhhcli.faces.tracker import FaceTrack, sample
from dhhcli.media.shots import Shot
from dhhcli.models.binary_codes import binarise, code_bytes, pack
from dhhcli.models.hash_layers import hash_stills, hash_tracks, share_of_frames
from dhhcli.models.network import Network

FRAMES_A_CODE = 30  # Qiao et al. cut tracks into clips of at most 30; we sample 30, one code a track
CROPS_AT_ONCE = 96  # crops of several tracks that go to the network together: a GPU wants many


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


def code_tracks(items: Iterable[Looked | FaceTrack | Shot], network: Network) -> Iterator[Looked | Coded | Shot]:
    """Tracks become coded ones, in the same order; some wait to be coded together, and their shots with them."""
    held: list[FaceTrack | Shot] = []
    crops = 0
    for item in items:
        if isinstance(item, Looked):
            yield item
            continue
        held.append(item)
        if isinstance(item, FaceTrack):
            crops += min(len(item.observations), FRAMES_A_CODE)
        if crops >= CROPS_AT_ONCE:
            yield from _coded(held, network)
            held, crops = [], 0
    yield from _coded(held, network)


def _coded(items: Sequence[FaceTrack | Shot], network: Network) -> Iterator[Coded | Shot]:
    tracks = [item for item in items if isinstance(item, FaceTrack)]
    codes = zip(*track_and_frame_codes(tracks, network), strict=True)
    for item in items:
        if isinstance(item, Shot):
            yield item
            continue
        best = item.best
        row = (
            item.first_frame,
            item.last_frame + 1,
            item.first_pts,
            item.last_pts,
            best.frame,
            best.pts,
            best.box,
            best.face.score,
            best.face.size,
            best.sharpness,
            len(sample(item, FRAMES_A_CODE)),
        )
        code, frames = next(codes)
        thumbnail = b"" if best.surroundings is None else jpeg(best.surroundings)
        yield Coded(item.order(), row, code, thumbnail, frames)


def track_codes(tracks: Sequence[FaceTrack], network: Network) -> npt.NDArray[np.uint8]:
    """One code (t, B) per track: features of at most 30 crops each, log-covariance, hash layer, sign."""
    return track_and_frame_codes(tracks, network)[0]


def track_and_frame_codes(
    tracks: Sequence[FaceTrack], network: Network
) -> tuple[npt.NDArray[np.uint8], list[npt.NDArray[np.uint8] | None]]:
    """The same, and the codes (m, B) of each track's crops; None by layers that hash all of them together."""
    sampled = [sample(track, FRAMES_A_CODE) for track in tracks]
    if not sampled:
        return np.empty((0, code_bytes(network.layers.bits)), np.uint8), []
    crops = np.stack([observation.crop for frames in sampled for observation in frames])
    features = network.film_extract(crops)
    ends = np.cumsum([len(frames) for frames in sampled])
    if network.layers.framewise:
        own = [hash_stills(network.layers, D) for D in np.split(features, ends[:-1])]
        return pack(binarise(np.stack([share_of_frames(soft) for soft in own]))), [pack(binarise(soft)) for soft in own]
    soft = hash_tracks(network.layers, np.split(features, ends[:-1]))
    return pack(binarise(soft)), [None] * len(sampled)
