"""splits: face pack (n,) -> rows to train on, and a protocol on other pictures of the same people.

The closed set of this literature: people are known, pictures are new. For figures on people who are known too, beside
those on people nobody was trained on; the protocol has the form of ``packs.read_protocol``.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.datasets.protocol import ProtocolPerson

QUERIES, SET, SHOTS = 2, 6, 2  # pictures held out of a person: stills, those of one set, one a shot
LEFT = 10  # pictures of a person that stay, at least


def closed_set(
    faces: FacePack, people: int = 150, *, seed: int = 0
) -> tuple[npt.NDArray[np.int64], tuple[ProtocolPerson, ...]]:
    """Hold ten pictures out of some people who have twenty stills or more.

    Args:
        faces: the pack; frames of real tracks stay in training.
        people: how many, at most; drawn from ``seed``.
        seed: of everything drawn.

    Returns:
        Rows to train on (k,), in order, of everybody; the protocol, by identity. Their rows are disjoint.
    """
    rng = np.random.default_rng([seed, 14])
    out = QUERIES + SET + SHOTS
    stills: dict[int, Sequence[int]] = {}
    for identity in np.unique(faces.identity):
        rows = np.flatnonzero((faces.identity == identity) & (faces.track < 0))
        if len(rows) >= out + LEFT:
            stills[int(identity)] = rows.tolist()
    chosen = sorted(rng.choice(list(stills), min(people, len(stills)), replace=False).tolist()) if stills else []
    protocol = []
    for identity in chosen:
        drawn = rng.permutation(stills[identity])[:out].tolist()
        queries, photos, shots = drawn[:QUERIES], drawn[QUERIES : QUERIES + SET], drawn[QUERIES + SET :]
        protocol.append(ProtocolPerson(identity, tuple(queries), (tuple(photos),), tuple(shots)))
    held = [row for p in protocol for row in (*p.queries, *p.sets[0], *p.shots)]
    return np.setdiff1d(np.arange(len(faces)), held), tuple(protocol)
