"""feature_bank: pack + network -> cached features of imitated frames, looks (n, r, d) and shots (n, t, d) float16.

The network stands still while the hash layers are trained on its features, so every photo goes through it only a few
times, in different looks, instead of once a step.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dhhcli.research.datasets.augmentation import centre, imitate_frames
from dhhcli.research.datasets.pack import FacePack, take
from dhhcli.research.training.networks.backbone import to_input
from dhhcli.research.training.sampler import Pair

LOOKS = 2  # of a photo by ``look_twice``


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Cached features of a pack, float16."""

    looks: Tensor  # (n, r, d): r unrelated looks of every photo, the first one untouched
    shots: Tensor  # (n, t, d): one shot of t frames of every photo


@torch.no_grad()
def extract(network: nn.Module, crops: npt.NDArray[np.uint8], *, bf16: bool = True, batch: int = 256) -> Tensor:
    """Crops (n, s, s, 3) uint8 -> features (n, d) float32, evaluation mode."""
    network.eval()
    device = next(network.parameters()).device
    parts = []
    for first in range(0, len(crops), batch):
        inputs = to_input(torch.from_numpy(crops[first : first + batch]).to(device))
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            parts.append(network(inputs.contiguous(memory_format=torch.channels_last)).float().cpu())
    return torch.cat(parts)


def empty_bank(photos: int, features: int, *, looks: int = 3, frames: int = 4) -> FeatureBank:
    """Room for so many photos."""
    return FeatureBank(
        torch.zeros(photos, looks, features, dtype=torch.float16),
        torch.zeros(photos, frames, features, dtype=torch.float16),
    )


def fill_bank(bank: FeatureBank, network: nn.Module, pack: FacePack, *, seed: int = 0) -> Iterator[int]:
    """Compute every feature of a bank, in place; yields how many photos are done, 512 at a time."""
    looks, frames = bank.looks.shape[1], bank.shots.shape[1]

    def draw(first: int) -> npt.NDArray[np.uint8]:
        rng = np.random.default_rng([seed, 2, first])
        crops = []
        for picture in pack.pictures[first : first + 512]:
            crops += [imitate_frames(picture, 1, rng, strength=float(k > 0)) for k in range(looks)]
            crops.append(imitate_frames(picture, frames, rng))
        return np.concatenate(crops)

    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(draw, 0)
        for first in range(0, len(pack), 512):
            crops = pending.result()
            if first + 512 < len(pack):
                pending = pool.submit(draw, first + 512)
            features = extract(network, crops).to(torch.float16).view(-1, looks + frames, bank.looks.shape[2])
            bank.looks[first : first + 512] = features[:, :looks]
            bank.shots[first : first + 512] = features[:, looks:]
            yield min(first + 512, len(pack))


def bank_batch(
    bank: FeatureBank, pairs: list[Pair], frames: int, rng: np.random.Generator
) -> tuple[Tensor, list[Tensor]]:
    """Features of the pairs out of the bank: stills (n, d) and tracks n x (m_i <= frames, d)."""
    looks, longest = bank.looks.shape[1], min(frames, bank.shots.shape[1])
    stills, tracks = [], []
    for pair in pairs:
        stills.append(bank.looks[pair.still, int(rng.integers(looks))])
        if len(pair.track) == 1:
            tracks.append(bank.shots[pair.track[0], : int(rng.integers(1, longest + 1))].float())
        else:
            rows = torch.tensor(pair.track)
            tracks.append(bank.looks[rows, torch.from_numpy(rng.integers(0, looks, len(rows)))].float())
    return torch.stack(stills).float(), tracks


def pad(tracks: list[Tensor], frames: int) -> tuple[Tensor, Tensor]:
    """Tracks of (m_i, d) -> (n, frames, d) with zero frames behind, and the m_i (n,)."""
    padded = tracks[0].new_zeros(len(tracks), frames, tracks[0].shape[1])
    for row, track in enumerate(tracks):
        padded[row, : len(track)] = track
    return padded, torch.tensor([len(track) for track in tracks], device=padded.device)


def few_of_each(faces: FacePack, most: int, seed: int) -> FacePack:
    """At most so many pictures of every person, drawn."""
    turn = np.random.default_rng([seed, 17]).permutation(len(faces))
    order = np.lexsort((turn, faces.identity))
    first = np.searchsorted(faces.identity[order], faces.identity[order])
    return take(faces, np.sort(order[np.arange(len(faces)) - first < most]))


def look_twice(pictures: npt.NDArray[np.uint8], first: int, seed: int) -> npt.NDArray[np.uint8]:
    """Pictures (n, 80, 80, 3), numbered from ``first`` -> crops (2 n, 64, 64, 3): each as it is, then as film."""
    crops = []
    for number, picture in enumerate(pictures, start=first):
        crops += [centre(picture)[None], imitate_frames(picture, 1, np.random.default_rng([seed, 16, number]))]
    return np.concatenate(crops)
