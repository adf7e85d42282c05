"""validation: a network in training + people it does not know -> mAP of its codes, of every length.

Quicker than the evaluation of finished weights (protocol.py): pictures go through the network itself, once.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from dhhcli.models.binary_codes import binarise, hamming, pack
from dhhcli.research.datasets.augmentation import centre
from dhhcli.research.datasets.protocol import ProtocolPerson
from dhhcli.research.evaluation.metrics import mean_average_precision
from dhhcli.research.training.feature_bank import extract
from dhhcli.research.training.validation import Validation


def code_maps(
    network: nn.Module, lengths: Sequence[int], validation: Validation | None, size: int = 64
) -> dict[str, float]:
    """What every length of code reaches on other people, where there are some."""
    if not validation:
        return {}
    values = values_of(network, validation.faces.pictures, size)
    found: dict[str, float] = {}
    for K, rows in rows_of(lengths).items():
        found |= code_figures(values, rows, validation.people, K)
    return found


def rows_of(lengths: Sequence[int]) -> dict[int, slice]:
    """Where the codes of every length lie among the outputs of a network for all of them."""
    ends = accumulate(lengths)
    return {K: slice(end - K, end) for K, end in zip(lengths, ends, strict=True)}


def values_of(network: nn.Module, pictures: npt.NDArray[np.uint8], size: int) -> Tensor:
    """Hash values (n, sum of all K) of untouched pictures (n, 80, 80, 3)."""
    return extract(network, np.stack([centre(picture, size) for picture in pictures]), bf16=False)


def code_figures(values: Tensor, rows: slice, people: Sequence[ProtocolPerson], bits: int) -> dict[str, float]:
    """mAP still -> still and still -> set of a protocol, the sets by majority; ``values`` of the whole pack."""
    ones = values.numpy()[:, rows] >= 0
    stills = [(row, person.identity) for person in people for row in person.queries]
    sets = [(list(photos), person.identity) for person in people for photos in person.sets]
    codes = pack(ones[[row for row, _ in stills]])
    majority = pack(binarise(np.stack([ones[photos].mean(axis=0) for photos, _ in sets])))
    who = np.array([identity for _, identity in stills])
    same = who[:, None] == np.array([identity for _, identity in sets])[None]
    alike, others = who[:, None] == who[None], ~np.eye(len(who), dtype=bool)
    return {
        f"map_{bits}_still_set": mean_average_precision(hamming(codes, majority), same),
        f"map_{bits}_still_still": mean_average_precision(hamming(codes, codes), alike, others),
    }
