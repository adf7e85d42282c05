"""Answers that learn: one row of what is confirmed and rejected, and a rejected face that never comes back."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import one_line
from footage import TAG, encoded_video
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import Result
from whos_who import write_film

from dhhcli.media.sample import Sample
from dhhcli.models.binary_codes import SUREST, binarise, pack
from dhhcli.people.deciding import confirm_tracks, reject_tracks
from dhhcli.people.naming import give_name
from dhhcli.search.options import Rank
from dhhcli.search.question.learning import ALONE, EACH, learned
from dhhcli.search.question.probe import asked
from dhhcli.search.question.terms import NameTerm, TrackTerm
from dhhcli.search.ranking import Rules, search
from dhhcli.storage.codes_file import commit, open_shard

Run = Callable[..., Result]
K = TAG.bits


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(0, 5), st.booleans())
def test_one_row_is_what_a_slow_loop_adds_up(seed: int, yes: int, no: int, photo: bool) -> None:
    rng = np.random.default_rng(seed)
    bits = (rng.random((yes + no, 8)) < 0.5).astype(float)
    if photo:
        bits[0] = rng.uniform(0.02, 0.98, 8)
    odds = [[float(np.clip(np.log(max(q, 1e-9) / max(1 - q, 1e-9)), -SUREST, SUREST)) for q in row] for row in bits]
    said = [[x / np.sqrt(sum(y * y for y in row) / 8) for x in row] for row in odds]
    sums = []
    for bit in range(8):
        total = sum(said[row][bit] for row in range(yes))
        if no:
            away = sum(said[row][bit] for row in range(yes, yes + no)) / no
            total -= (ALONE + EACH * (yes - 1)) * away
        sums.append(total)
    largest = max(map(abs, sums))
    expected = [1 / (1 + np.exp(-SUREST * x / largest)) if largest > 1e-12 else 0.5 for x in sums]
    np.testing.assert_allclose(learned(bits[:yes], bits[yes:])[0], expected, atol=1e-5)


def test_one_stored_track_is_asked_for_as_it_is() -> None:
    bits = (np.random.default_rng(0).random((1, K)) < 0.5).astype(float)
    assert (pack(binarise(learned(bits, bits[:0]))) == pack(bits > 0)).all()


@pytest.mark.parametrize("rank", list(Rank))
def test_a_rejected_face_never_comes_back(tmp_path: Path, rank: Rank) -> None:
    """Not even where its code is a confirmed one's."""
    path = tmp_path / "codes.h5"
    write_film(path, "a.mov", "A A A B A C", fresh=3)
    give_name(path, None, "Ada", tracks=[0, 1])
    reject_tracks(path, "Ada", [2, 4], within=8)
    with open_shard(path) as shard:
        person = asked([NameTerm("Ada")], shard, object(), path)  # type: ignore[arg-type]
        hits = search(shard, person.soft, None, rules=Rules(gone=(person.gone,)), rank=rank)
        assert {hit.track for hit in hits[:2]} == {0, 1}
        assert {hit.track for hit in hits} == {0, 1, 3, 5}
        fed = asked([TrackTerm(3)], shard, object(), path, yes=[TrackTerm(0)], no=[TrackTerm(1)])  # type: ignore[arg-type]
        assert fed.gone.tolist() == [1]
        assert 0 not in fed.apart  # what is confirmed stays an answer
        hits = search(shard, fed.soft, 2, rules=Rules(gone=(fed.gone,), apart=np.array([3])), rank=rank)
        assert hits[0].track == 0
        assert 1 not in {hit.track for hit in hits}
    confirm_tracks(path, "Ada", [2], within=8)
    with open_shard(path) as shard:
        person = asked([NameTerm("Ada")], shard, object(), path)  # type: ignore[arg-type]
        assert person.gone.tolist() == [4]


def test_who_is_rejected_may_be_somebody_else(tmp_path: Path) -> None:
    """A track that is not the one may be the other of two people who have to be there."""
    rng = np.random.default_rng(0)
    path = tmp_path / "codes.h5"
    commit(path, TAG, encoded_video(rng, "/a.mov", tracks=6, shots=1))
    with open_shard(path) as shard:
        soft = np.unpackbits(shard.codes[:2], axis=1, count=K, bitorder="little").astype(float)
        rules = Rules(also=(soft[1:],), gone=(np.array([1]), np.array([0])))
        assert [[claim.track for claim in hit.claims] for hit in search(shard, soft[:1], 1, rules=rules)] == [[0, 1]]
        swapped = Rules(also=(soft[1:],), gone=(np.array([0]), np.array([1])))
        (hit,) = search(shard, soft[:1], 1, rules=swapped)
        assert hit.claims[0].track != 0


def test_yes_and_no_on_the_command_line(dhh: Run, encoded: Path, sample: Sample) -> None:
    plain = dhh("query", sample.photos[0], "-c", encoded, "--all", "--columns", "track").stdout.split()[1:]
    best, second, *_ = plain
    said = ("query", sample.photos[0], "-c", encoded, "--all", "--columns", "track")
    fed = dhh(*said, "--yes", f"track:{second}", "--no", f"track:{best}").stdout.split()[1:]
    assert fed[0] == second
    assert best not in fed
    one_line(dhh(*said, "--each", "--no", f"track:{best}"), 2, "--each asks for several people")
    one_line(dhh(*said, "--no", "name:Nobody"), 1, "nobody is called 'Nobody'")
