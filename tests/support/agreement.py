"""agreement: groups (n,) and people (n,) -> how well the groups are the people; for tests and the bench.

B-cubed (Bagga and Baldwin 1998): the mean over tracks of the share of its group that is of its person (precision), and
of the share of its person that is in its group (recall). Adjusted Rand index: Hubert and Arabie, J. Classif. 1985.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Agreement:
    """1 is best in each; pairs are those of tracks in one group against those of one person."""

    precision: float  # B-cubed
    recall: float
    f: float
    rand: float  # adjusted for chance
    pairs_f: float
    groups: int


def agreement(groups: npt.NDArray[Any], people: npt.NDArray[Any]) -> Agreement:
    """All figures of n >= 1 tracks."""
    rows, columns = (np.unique(labels, return_inverse=True)[1] for labels in (groups, people))
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    n = table.sum()
    precision = float((table**2 / table.sum(axis=1, keepdims=True)).sum() / n)
    recall = float((table**2 / table.sum(axis=0, keepdims=True)).sum() / n)
    both, together, alike, pairs = (
        float((counts * (counts - 1) / 2).sum()) for counts in (table, table.sum(axis=1), table.sum(axis=0), n)
    )
    chance = together * alike / pairs if pairs else 0.0
    most = (together + alike) / 2
    rand = (both - chance) / (most - chance) if most != chance else 1.0
    pairs_f = both / most if most else 1.0
    return Agreement(precision, recall, 2 * precision * recall / (precision + recall), rand, pairs_f, len(table))
