"""research/datasets/splits.py: whom it holds out, and that nothing of them is trained on."""

from dataclasses import replace

import numpy as np
from synthetic import toy_pack

from dhhcli.research.datasets.pack import FacePack
from dhhcli.research.datasets.splits import closed_set


def uneven() -> FacePack:
    """Five people of 24 pictures, except that two of them have 19."""
    pack = toy_pack(people=5, photos=24)
    keep = np.ones(len(pack), bool)
    for person in (1, 3):
        keep[np.flatnonzero(pack.identity == person)[19:]] = False
    return replace(
        pack,
        pictures=pack.pictures[keep],
        identity=pack.identity[keep],
        face_px=pack.face_px[keep],
        teacher=pack.teacher[keep],
        track=pack.track[keep],
    )


def test_pictures_are_disjoint_and_people_the_same() -> None:
    pack = uneven()
    train, people = closed_set(pack, 2)
    assert len(people) == 2
    held = [row for p in people for row in (*p.queries, *p.sets[0], *p.shots)]
    assert len(set(held)) == 2 * 10
    assert sorted([*held, *train.tolist()]) == list(range(len(pack)))
    for person in people:
        assert person.identity in (0, 2, 4)
        assert (len(person.queries), [len(s) for s in person.sets], len(person.shots)) == (2, [6], 2)
        own = [*person.queries, *person.sets[0], *person.shots]
        assert (pack.identity[own] == person.identity).all()
        assert (pack.identity[train] == person.identity).sum() == 14


def test_the_seed_decides() -> None:
    pack = uneven()
    assert closed_set(pack, 2, seed=1)[1] == closed_set(pack, 2, seed=1)[1]
    assert len({closed_set(pack, 2, seed=seed)[1] for seed in range(8)}) == 8


def test_few_pictures_and_real_tracks_stay() -> None:
    pack = uneven()
    assert [p.identity for p in closed_set(pack)[1]] == [0, 2, 4]
    filmed = replace(pack, track=np.where(pack.identity == 0, 3, -1))
    assert [p.identity for p in closed_set(filmed)[1]] == [2, 4]
    nobody = replace(pack, track=pack.identity.copy())
    train, people = closed_set(nobody)
    assert (len(train), people) == (len(pack), ())
