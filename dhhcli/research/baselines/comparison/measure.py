"""measure: a Fitted + photos and videos that are asked -> retrieval figures of every direction, in every way there is.

A video-wise method has one code a video. A frame-wise one has a code a frame, and a video's distance to a photo is the
average over all pairs of frames, as the paper's single-modality baselines do it (``average``), the smallest of them
(``minimum``), that of the code each bit of which most frames have (``majority``; on a draw the bit is 1), or, where it
hashes features, that of the mean feature's code (``mean``). Real-valued features stand beside them: the cosine of the
mean over all frames, or over some.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from dhhcli.base.arrays import Floats
from dhhcli.models.binary_codes import hamming, pack
from dhhcli.research.baselines.base import Bits, Fitted, Framewise, Looks
from dhhcli.research.evaluation.frame_distances import Frames, evenly, frame_distances
from dhhcli.research.evaluation.metrics import cosine_distances
from dhhcli.research.evaluation.tasks import Group, Result, results

MEANS = (1, 15, 30)  # frames
Ways = Sequence[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class ComparisonData:
    """Photos and videos with their people, by kind."""

    photos: Mapping[str, Looks]
    videos: Mapping[str, Sequence[Looks]]
    people: Mapping[str, npt.NDArray[np.int64]]
    ways: Ways

    def groups(self, vectors: Mapping[str, Any]) -> dict[str, Group]:
        """Whatever photos and videos became, with their people."""
        return {kind: Group(each, self.people[kind]) for kind, each in vectors.items()}


def code_results(name: str, fitted: Fitted, asked: ComparisonData) -> Iterator[Result]:
    """Figures of a method's codes; ``representation`` says in which way."""
    photos = {kind: fitted.stills(looks) for kind, looks in asked.photos.items()}
    videos = {kind: fitted.videos(tracks) for kind, tracks in asked.videos.items()}
    if not isinstance(fitted, Framewise):
        whole = photos | {kind: np.concatenate(each) for kind, each in videos.items()}
        yield from _hamming(name, "code", whole, asked)
        return
    frames: dict[str, Any] = {kind: Frames(pack(bits), np.arange(len(bits))) for kind, bits in photos.items()}
    for kind, each in videos.items():
        starts = np.cumsum([0, *(len(bits) for bits in each[:-1])])
        frames[kind] = Frames(pack(np.concatenate(each)), starts)
    for how in ("average", "minimum"):
        yield from results(name, how, asked.groups(frames), partial(frame_distances, how=how), asked.ways)
    most = {kind: np.stack([2 * bits.sum(axis=0) >= len(bits) for bits in each]) for kind, each in videos.items()}
    yield from _hamming(name, "majority", photos | most, asked)
    if fitted.feature_bits is not None:
        means = {kind: fitted.feature_bits(_means(tracks)) for kind, tracks in asked.videos.items()}
        yield from _hamming(name, "mean", photos | means, asked)


def feature_results(name: str, asked: ComparisonData) -> Iterator[Result]:
    """Figures of the real-valued features themselves."""
    photos = {kind: looks.features for kind, looks in asked.photos.items()}
    longest = max((len(track) for tracks in asked.videos.values() for track in tracks), default=0)
    for m in (None, *(m for m in MEANS if m < longest)):
        means = {kind: _means(tracks, m) for kind, tracks in asked.videos.items()}
        how = "all frames" if m is None else f"{m} frame{'s' if m > 1 else ''}"
        yield from results(name, how, asked.groups(photos | means), cosine_distances, asked.ways)


def _hamming(name: str, how: str, bits: Mapping[str, Bits], asked: ComparisonData) -> list[Result]:
    return results(name, how, asked.groups({kind: pack(each) for kind, each in bits.items()}), hamming, asked.ways)


def _means(tracks: Sequence[Looks], m: int | None = None) -> Floats:
    taken = [track.features if m is None else evenly(track.features, m) for track in tracks]
    return np.stack([frames.mean(axis=0) for frames in taken])
