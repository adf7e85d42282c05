"""bench_learning: photos of people never trained on, and what a user says of the first hits -> how much better it gets.

``PYTHONPATH=tests/support python tests/bench/accuracy/bench_learning.py [WEIGHTS]`` reads ../shared/data. Each of 150
photos asks for all sets and shots (every second of 20 imitated frames) of val-protocol.json; of the ranking the first
so many of the person are confirmed and the first so many of others, among 60, rejected. Mean average precision over the
rest, which is the same for every way: so figures of one line compare, those of two lines do not.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dhhcli.models.binary_codes import pack, soft_codes, weighed_distances
from dhhcli.models.hash_layers import hash_stills, hash_tracks
from dhhcli.models.network import load_network
from dhhcli.research.datasets.augmentation import centre, imitate_frames
from dhhcli.research.datasets.pack import read_pack
from dhhcli.research.datasets.protocol import read_protocol
from dhhcli.search.question.learning import learned

DATA = Path(__file__).parents[4] / "shared" / "data"
SAID = ((1, 0), (3, 0), (10, 0), (0, 1), (0, 3), (0, 10), (1, 1), (3, 3), (10, 10))
AMONG = 60
Array = npt.NDArray[Any]


def precision(distances: Array, right: Array, left: Array) -> float | None:
    """Average precision of a ranking of what is left (n,) bool; None where nothing of it is right."""
    rows = np.flatnonzero(left)
    hits = right[rows[np.argsort(distances[rows], kind="stable")]]
    return float((np.cumsum(hits)[hits] / (np.flatnonzero(hits) + 1)).mean()) if hits.any() else None


def ways(photo: Array, bits: Array, yes: Array, no: Array) -> dict[str, Array]:
    """Distances (n,) by every way; bits (n, K) of what is stored."""
    codes = pack(bits > 0.5)

    def nearest(rows: Array) -> Array:
        return np.asarray(weighed_distances(soft_codes(rows), codes).min(axis=0), np.float64)

    rows = np.concatenate([photo[None], bits[yes]])
    near = nearest(rows)
    away = nearest(bits[no]) if len(no) else np.full(len(bits), np.inf)
    row = learned(rows, bits[no])
    return {
        "photo alone": nearest(photo[None]),
        "nearest of all": near,
        "the same, less who is nearer to a rejected one": near + 1e6 * (away < near),
        "the same, less a quarter of the nearest rejected": near - (0.25 * away if len(no) else 0),
        "one row (search/question/learning.py)": nearest(row),
        "nearest of it and all": np.minimum(nearest(row), near),
    }


def main(name: str | None) -> None:
    """The table."""
    network, faces = load_network(name), read_pack(DATA / "faces-val.h5")
    photos, asked, tracks, whose = [], [], [], []
    for person in read_protocol(DATA / "val-protocol.json"):
        for row in person.queries:
            photos.append(network.extract(centre(faces.pictures[row])[None])[0])
            asked.append(person.identity)
        for rows in person.sets:
            tracks.append(network.extract(np.stack([centre(faces.pictures[row]) for row in rows])))
            whose.append(person.identity)
        for row in person.shots:
            frames = imitate_frames(faces.pictures[row], 20, np.random.default_rng(row))[::2]
            tracks.append(network.extract(frames))
            whose.append(person.identity)
    queries, people = hash_stills(network.layers, np.array(photos)), np.array(whose)
    bits = (hash_tracks(network.layers, tracks) > 0.5).astype(np.float64)
    for confirmed, rejected in SAID:
        found: dict[str, list[float]] = {}
        for photo, who in zip(queries, asked, strict=True):
            order = np.argsort(weighed_distances(soft_codes(photo[None]), pack(bits > 0.5))[0], kind="stable")
            right = people == who
            yes, no = order[right[order]][:confirmed], order[:AMONG][~right[order[:AMONG]]][:rejected]
            left = np.ones(len(bits), bool)
            left[yes] = left[no] = False
            for way, distances in ways(photo, bits, yes, no).items():
                value = precision(distances, right, left)
                if value is not None:
                    found.setdefault(way, []).append(value)
        line = "; ".join(f"{way} {np.mean(values):.3f}" for way, values in found.items())
        sys.stdout.write(f"{confirmed} confirmed, {rejected} rejected: {line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
