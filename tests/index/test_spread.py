"""spread: codes that lie in several files, in any order and with some left out, are searched as the one of them all."""

import numpy as np
from bare_codes import pieces_of, questions, ranges_of
from hypothesis import given
from hypothesis import strategies as st

from dhhcli.index.codes import Queries, codes_of
from dhhcli.index.flat import Flat
from dhhcli.index.spread import here, joined_ranges, spread
from dhhcli.models.binary_codes import soft_codes

Asked = tuple[np.ndarray, np.ndarray, int, np.ndarray, list[int]]


def scattered(
    codes: np.ndarray, cuts: list[int], files: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], list[tuple[int, int, int]]]:
    """The codes cut into runs, each in one of some files (or in none), among codes that are in the whole nowhere."""
    held: list[list[np.ndarray]] = [[] for _ in range(files)]
    runs = []
    for piece in pieces_of(codes, cuts):
        file = int(rng.integers(-1, files))
        if file >= 0:
            if rng.random() < 0.5:  # left out: another file's newer version is in the whole
                held[file].append(codes[rng.integers(0, len(codes), int(rng.integers(1, 9)))])
            runs.append((file, sum(map(len, held[file])), len(piece)))
            held[file].append(piece)
        else:
            runs.append((-1, 0, len(piece)))
    empty = np.empty((0, codes.shape[1]), np.uint8)
    return [np.ascontiguousarray(np.concatenate([empty, *own])) for own in held], runs


@given(
    questions(), st.integers(1, 4), st.integers(0, 2**32), st.sampled_from(["none", "mask", "ranges"]), st.booleans()
)
def test_several_files_answer_as_one(asked: Asked, files: int, seed: int, limit: str, soft: bool) -> None:
    codes, queries, k, mask, cuts = asked
    rng = np.random.default_rng(seed)
    held, runs = scattered(codes, [*cuts, len(codes) // 2, len(codes) // 3], files, rng)
    allowed = {"none": None, "mask": mask, "ranges": ranges_of(mask)}[limit]
    whole = codes_of(codes)
    found = spread(whole, runs, [len(one) for one in held], here([Flat(codes_of(one)) for one in held]))
    one: Queries = soft_codes(rng.random((len(queries), 8 * codes.shape[1]))) if soft else queries
    for ours, right in zip(found.nearest(one, k, allowed), Flat(whole).nearest(one, k, allowed), strict=True):
        np.testing.assert_array_equal(ours, right)
    radius = 4 * codes.shape[1] * (64 if soft else 1)
    for ours, right in zip(
        found.within(one[:1], radius, allowed), Flat(whole).within(one[:1], radius, allowed), strict=True
    ):
        np.testing.assert_array_equal(ours, right)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=9))
def test_joined_ranges_hold_the_same_numbers(steps: list[tuple[int, int]]) -> None:
    at, ranges = 0, []
    for gap, length in steps:
        ranges.append((at + gap, at + gap + length))
        at += gap + length
    joined = joined_ranges(np.array(ranges, np.int64).reshape(-1, 2))
    numbers = [number for first, last in ranges for number in range(first, last)]
    assert [number for first, last in joined.tolist() for number in range(first, last)] == numbers
    assert all(last < first for (_, last), (first, _) in zip(joined.tolist(), joined.tolist()[1:], strict=False))


def test_files_without_a_row_that_is_allowed_are_not_asked() -> None:
    codes = np.arange(64, dtype=np.uint8).reshape(16, 4)
    asked: list[int] = []

    def searcher(searches: object) -> list[tuple[np.ndarray, np.ndarray]]:
        asked.extend(search.file for search in searches)  # type: ignore[attr-defined]
        return here([Flat(codes_of(codes[:8])), Flat(codes_of(codes[8:]))])(searches)  # type: ignore[arg-type]

    found = spread(codes_of(codes), [(0, 0, 8), (1, 0, 8)], [8, 8], searcher)
    distances, ids = found.nearest(codes[3:4], 2, np.array([[9, 12]], np.int64))
    assert asked == [1]
    assert ids.shape == distances.shape == (1, 2)
    assert set(ids[0].tolist()) <= {9, 10, 11}
