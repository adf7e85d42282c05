"""ablation_data: face packs + a network -> features of photos and of imitated shots (n, d), to train on and to ask.

Computed once: every variant of an ablation sees the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dhhcli.research.datasets.augmentation import centre, imitate_frames
from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.datasets.protocol import ProtocolPerson
from dhhcli.research.training.sampler import rows_by_person

SHOT_FRAMES = 30  # of a validation shot
TRAIN_FRAMES = 8  # of a training shot
LOOKS = 2  # of a training photo
PHOTOS = 12  # of a person, at most, in training
Extract = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Bank:
    """Features of training people: photos in some looks, and shots of frames imitated from each."""

    looks: Tensor  # (n, r, d)
    shots: Tensor  # (n, t, d)
    identity: npt.NDArray[np.int64]  # (n,)


@dataclass(frozen=True, eq=False)
class Held:
    """Features of validation people."""

    stills: Tensor  # (q, d)
    still_people: npt.NDArray[np.int64]
    sets: tuple[Tensor, ...]  # (m_i, d) each
    set_people: npt.NDArray[np.int64]
    shots: Tensor  # (s, SHOT_FRAMES, d)
    shot_people: npt.NDArray[np.int64]


def make_bank(faces: FacePack, extract: Extract, people: int, seed: int) -> Bank:
    """Features of at most 12 photos each of some people of a pack who have two or more."""
    rng = np.random.default_rng([seed, 10])
    groups = rows_by_person(faces.identity)
    chosen = rng.choice(len(groups), min(people, len(groups)), replace=False)
    rows = np.concatenate([rng.permutation(groups[who])[:PHOTOS] for who in chosen])
    looks, shots = [], []
    for row in rows:
        own = np.random.default_rng([seed, 11, row])
        crops = [imitate_frames(faces.pictures[row], 1, own, strength=float(k > 0)) for k in range(LOOKS)]
        features = extract(np.concatenate([*crops, imitate_frames(faces.pictures[row], TRAIN_FRAMES, own)]))
        looks.append(features[:LOOKS])
        shots.append(features[LOOKS:])
    return Bank(torch.from_numpy(np.stack(looks)), torch.from_numpy(np.stack(shots)), faces.identity[rows])


def hold_out(faces: FacePack, people: Sequence[ProtocolPerson], extract: Extract) -> Held:
    """Features of everything that a protocol names, its shots with 30 frames."""
    stills = [(row, person.identity) for person in people for row in person.queries]
    sets = [(photos, person.identity) for person in people for photos in person.sets]
    shots = [(row, person.identity) for person in people for row in person.shots]

    def photos_of(rows: Sequence[int]) -> Tensor:
        return torch.from_numpy(extract(np.stack([centre(faces.pictures[row]) for row in rows])))

    def shot_of(row: int) -> Tensor:
        return torch.from_numpy(extract(imitate_frames(faces.pictures[row], SHOT_FRAMES, np.random.default_rng(row))))

    return Held(
        photos_of([row for row, _ in stills]),
        np.array([who for _, who in stills]),
        tuple(photos_of(photos) for photos, _ in sets),
        np.array([who for _, who in sets]),
        torch.stack([shot_of(row) for row, _ in shots]),
        np.array([who for _, who in shots]),
    )
