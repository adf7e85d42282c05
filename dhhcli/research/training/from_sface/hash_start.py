"""hash_start: features of people seen once, and of imitated shots of them -> hash layers of every length, closed form.

The still layer is a rotation of the features: up to 64 bits of the directions on which two networks agree
(agreement.py), for longer codes of all of them, several rotations side by side. The track layer is the still layer on
the row of the log-covariance that holds the mean of the frames (HashModel.tracks_like_stills). Fitting it to imitated
shots by ridge regression lost at every length: imitations vary less than film does (docs/research/backbone.md).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from dhhcli.errors import TrainingError
from dhhcli.models.hash_layers import HashLayers
from dhhcli.models.log_covariance import triangle
from dhhcli.research.training.from_sface.agreement import agreement
from dhhcli.research.training.networks.hash_model import HashModel
from dhhcli.research.training.networks.log_covariance import log_covariance

AGREED: Final = 64  # longest codes of the directions that two networks agree on
POWER: Final = 0.25  # of their ratio of variance to residual
LEAST: Final = 1e-3  # deviation of features of unit length along any direction, in the mean
SPREAD: Final = 0.8  # deviation of what goes into the sigmoid: soft bits are then nearly linear in the feature


def still_weights(features: Tensor, second: Tensor | None, bits: int, rng: np.random.Generator) -> Tensor:
    """Weights (bits, d) of features (n, d) of unit length.

    Raises:
        TrainingError: they are all alike.
    """
    d = features.shape[1]
    basis = torch.eye(d)
    if bits <= AGREED:
        directions, ratio = agreement(features, second)
        basis = (directions * ratio**POWER)[:, : min(bits, d)]
    size = basis.shape[1]
    turns = [np.linalg.qr(rng.normal(size=(size, size)))[0] for _ in range(-(-bits // size))]
    weights = torch.from_numpy(np.concatenate(turns)[:bits]).float() @ basis.T
    spread = (features @ weights.T).std(0).mean()
    if not spread > LEAST:
        raise TrainingError(
            f"the features of {len(features)} faces are all alike ({float(spread):.2g}); start from a network that "
            "tells faces apart, and give more of them"
        )
    return weights * (SPREAD / spread)


@torch.no_grad()
def start_layers(
    clean: Tensor, second: Tensor | None, shots: Tensor, lengths: Sequence[int], *, eps: float, seed: int
) -> dict[int, HashLayers]:
    """Hash layers of each length.

    Args:
        clean: (n, d) unit features of clean pictures, by the network for photos.
        second: (n, e) another network's, or None.
        shots: (n, m, d + 1) features of imitated shots of some of them, by the network for film (laid_out.py).
        lengths: of the codes, bits.
        eps: of the log-covariance.
        seed: of the rotations.
    """
    d = clean.shape[1]
    vectors = log_covariance(shots, eps=eps, counts=torch.full((len(shots),), shots.shape[1]))
    rows, columns, _ = triangle(d + 1)
    entries = vectors[:, torch.from_numpy(np.flatnonzero((columns == d) & (rows < d)))]
    scale = float((shots[..., :d].mean(1) * entries).sum() / entries.square().sum())
    found = {}
    for number, bits in enumerate(lengths):
        model = HashModel(bits, features=d + 1, eps=eps, divide=True, dropout=0.0)
        model.still.weight.zero_()
        model.still.bias.zero_()
        model.still.weight[:, :d] = still_weights(clean, second, bits, np.random.default_rng([seed, 5, number]))
        model.tracks_like_stills(scale, d)
        found[bits] = model.layers()
    return found
