"""rivalry: people made of numbers, to fit rivals on and to look for."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dhhcli.research.baselines.base import Bits, Covariance, Looks, Training
from dhhcli.research.evaluation.metrics import mean_average_precision

D = 20


@dataclass(frozen=True, eq=False)
class Made:
    """Training people, and others to ask about."""

    training: Training
    stills: Looks
    still_people: npt.NDArray[np.int64]
    tracks: list[Looks]
    track_people: npt.NDArray[np.int64]
    chance: float  # share of tracks that are of the person asked for


def made_people(
    people: int = 10, photos: int = 20, videos: int = 4, *, spread: float = 0.35, pictures: bool = False
) -> Made:
    """People as points around the origin, photos and frames around them; the asked are the same people, looked at anew.

    Args:
        people, photos, videos: how many, of each.
        spread: of photos around a person, whose own spread is 1.
        pictures: give photos pictures (80, 80, 3) that show the first three features; otherwise they are black.
    """
    rng = np.random.default_rng(0)
    who = rng.normal(size=(people, D))

    def near(person: int | np.int64, n: int) -> npt.NDArray[np.float32]:
        return np.asarray(who[person] + spread * rng.normal(size=(n, D)), np.float32)

    def looks(features: npt.NDArray[np.float32], side: int = 64) -> Looks:
        crops = np.zeros((len(features), side, side, 3), np.uint8)
        if pictures:
            crops += np.clip(128 + 40 * features[:, None, None, :3], 0, 255).astype(np.uint8)
        return Looks(crops, features)

    identity = np.arange(people)
    photographed, filmed = identity.repeat(photos), identity.repeat(videos)
    trained = looks(np.concatenate([near(p, photos) for p in identity]), 80)
    training = Training(
        trained.crops,
        photographed,
        trained.features,
        photographed,
        tuple(near(p, 5) for p in filmed),
        filmed,
        Covariance(0.3, divide=True, homogeneous=True),
    )
    asked, shown = identity.repeat(2), identity.repeat(2)
    stills = looks(np.concatenate([near(p, 2) for p in identity]))
    tracks = [looks(near(p, 4 + i % 3)) for i, p in enumerate(shown)]
    return Made(training, stills, asked, tracks, shown, 1 / people)


def mean_ap(stills: Bits, videos: list[Bits], made: Made, *, turned: bool = False) -> float:
    """Mean average precision of stills -> videos (or, turned, back) by the mean distance over all frames, by loops."""
    distances = np.array([[(photo[None] != frames).sum(axis=1).mean() for frames in videos] for photo in stills])
    same = made.still_people[:, None] == made.track_people[None]
    return mean_average_precision(distances.T, same.T) if turned else mean_average_precision(distances, same)
