"""Codes that lie in clusters as those of real tracks do, as many as wanted, on disk."""

from pathlib import Path

import numpy as np

DIMENSIONS = 48
SPREAD = 0.5  # of a person's tracks around their mean, where people have a spread of 1
TRACKS = 100  # a person, on average
ROWS = 1 << 18


def clustered_codes(path: Path, n: int, bits: int, seed: int = 0) -> np.ndarray:
    """n codes (n, bits / 8), memory-mapped from `path`.

    People are points of a normal distribution in 48 dimensions, every track is one of n / 100 people plus half as much
    noise, and a bit says on which side of a random plane through the middle it lies: two tracks of a person differ in a
    fifth of their bits (as with the shipped weights), tracks of two people in half, and neighbouring people in less.
    """
    planes = np.random.default_rng(seed).standard_normal((DIMENSIONS, bits), dtype=np.float32)
    people = np.random.default_rng(seed + 1).standard_normal((max(1, n // TRACKS), DIMENSIONS), dtype=np.float32)
    with path.open("wb") as file:
        for first in range(0, n, ROWS):
            rng = np.random.default_rng((seed, first))
            who = rng.integers(0, len(people), min(ROWS, n - first))
            tracks = people[who] + SPREAD * rng.standard_normal((len(who), DIMENSIONS), dtype=np.float32)
            file.write(np.packbits(tracks @ planes > 0, axis=1).data)
    codes: np.ndarray = np.memmap(path, np.uint8, "r", shape=(n, bits // 8))
    return codes
