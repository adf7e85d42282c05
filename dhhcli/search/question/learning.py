"""learning: rows that are a person (r, K), rows that are not (x, K), soft bits -> one row (1, K) to ask with.

A row's say in a bit is its log odds, all rows alike together: a stored track says +1 or -1, a photo as sure as it is of
the bit. What rows that are the person say is added, and the mean of what the rejected say is taken away, the more the
more is confirmed. So a bit counts by how much the person's pictures agree in it: a linear classifier, which an index
takes as it takes a photo. The nearest of all rows gains half as much (docs/research/experiments.md#answers-that-learn).
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhhcli.models.binary_codes import SUREST

ALONE: Final = 0.1  # weight of the mean of the rejected where one row is the person
EACH: Final = 0.25  # more, for each further one
Soft = NDArray[np.floating[Any]]


def learned(yes: Soft, no: Soft) -> NDArray[np.float32]:
    """One row (1, K) of soft bits; r >= 1, x >= 0."""
    said = _said(yes).sum(axis=0)
    if len(no):
        said -= (ALONE + EACH * (len(yes) - 1)) * _said(no).mean(axis=0)
    largest = np.abs(said).max()
    if not largest:
        return np.full((1, yes.shape[1]), 0.5, np.float32)
    return np.asarray(1 / (1 + np.exp(-SUREST * said / largest)), np.float32)[None]


def _said(soft: Soft) -> NDArray[np.float64]:
    """Log odds (r, K), the root of the mean square of each row 1."""
    q = np.asarray(soft, np.float64)
    odds = np.log(np.maximum(q, 1e-9)) - np.log(np.maximum(1 - q, 1e-9))
    odds = odds.clip(-SUREST, SUREST)
    size = np.sqrt(np.square(odds).mean(axis=1, keepdims=True))
    return np.asarray(odds / np.where(size > 0, size, 1.0))
