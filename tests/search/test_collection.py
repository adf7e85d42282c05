"""collection: several codes files are asked as the one that merge makes of them, here and on a cluster."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shipped_film import SHIPPED, film
from typer.testing import Result

from dhhcli.errors import ClusterError, MissingPathError
from dhhcli.media.files.mapping import Cluster, Mapping
from dhhcli.output.delimited import tsv
from dhhcli.search.collection import codes_files
from dhhcli.search.forget import Erasure, forget
from dhhcli.search.query import find_person
from dhhcli.search.question.request import Query
from dhhcli.search.question.scope import Where
from dhhcli.search.question.terms import parse_word
from dhhcli.search.result import saved_videos
from dhhcli.storage.codes_file import EncodedVideo, commit, compact, open_shard
from dhhcli.storage.merge import merge

Run = Callable[..., Result]


def write(path: Path, videos: list[EncodedVideo]) -> None:
    for video in videos:
        commit(path, SHIPPED, video)
    compact(path, SHIPPED)


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Codes files whose videos lie between each other by path, one of them in two."""
    rng = np.random.default_rng(2)
    films = [film(rng, name, shots=3, tracks=4) for name in "abcdefg"]
    paths = [tmp_path / f"shard-{number}.h5" for number in range(3)]
    for number, path in enumerate(paths):
        write(path, films[number::3] + ([films[0]] if number == 2 else []))
    return paths


def told(paths: Path | list[Path], cluster: Cluster | None = None, **more: Any) -> tuple[Any, ...]:
    found = find_person(
        Query(words=(parse_word("track:5"),), top=None, thumbnails=True, **more), paths, cluster=cluster
    )
    return [*tsv(found.rows)], found.thumbnails, found.videos


@settings(max_examples=10)
@given(places=st.lists(st.integers(0, 3), min_size=1, max_size=7), seed=st.integers(0, 2**16), again=st.booleans())
def test_however_videos_lie_in_files_the_answer_is_that_of_one(
    places: list[int], seed: int, again: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("files")
    films = [film(rng, "abcdefg"[at], shots=3, tracks=int(rng.integers(2, 6))) for at in range(len(places))]
    own = [[one for one, at in zip(films, places, strict=True) if at == number] for number in range(4)]
    if again:  # a later version of one of them, elsewhere
        newer = film(rng, "a", shots=2, tracks=3)
        own[3].append(replace(newer, video=replace(newer.video, mtime_ns=newer.video.mtime_ns + 1)))
        own[3] = [one for one in own[3] if one is not films[0]]
    paths = [folder / f"{number}.h5" for number, videos in enumerate(own) if videos]
    for number, videos in enumerate(own):
        if videos:
            write(folder / f"{number}.h5", videos)
    with open_shard(paths[0]) as shard:
        if len(shard) > 2:
            forget(paths[0], Erasure(tracks=(1,)))
    whole = folder / "whole.h5"
    merge(paths, whole)
    question = Query(words=(parse_word("track:0"),), top=None, thumbnails=True)
    one, several = find_person(question, whole), find_person(question, paths)
    assert [*tsv(several.rows)] == [*tsv(one.rows)]
    assert several.thumbnails == one.thumbnails
    assert several.videos == one.videos == saved_videos(paths, several.rows)


def test_limits_and_names_hold_for_all_of_them(three: list[Path], tmp_path: Path, dhh: Run) -> None:
    for path in three[:2]:
        named = dhh("name", path, "1", "Ada", "--within", "3")
        assert named.exit_code == 0, named.stderr
    whole = tmp_path / "whole.h5"
    merge(three, whole)
    for words in (["name:Ada"], ["track:3", "--in", "*[bd].mov"], ["track:3", "--with", "track:9", "--all"]):
        one = dhh("query", *words, "--codes", whole)
        assert one.stdout.count("\n") > 1
        assert dhh("query", *words, "--codes", "shard-*.h5").stdout == one.stdout
        assert dhh("query", *words, *(w for path in three for w in ("--codes", path))).stdout == one.stdout


@pytest.mark.usefixtures("three")
def test_a_video_that_two_files_hold_is_said(dhh: Run) -> None:
    result = dhh("query", "track:3", "--codes", "shard-*.h5")
    assert "shard-2.h5: /footage/a.mov: same content as in shard-0.h5" in result.stderr


@pytest.mark.usefixtures("three")
def test_an_answer_over_several_is_exported_from_several(dhh: Run, tmp_path: Path) -> None:
    (tmp_path / "hits.jsonl").write_text(dhh("query", "track:3", "--codes", "shard-*.h5", "--json").stdout)
    result = dhh("export", "hits.jsonl", "--codes", "shard-*.h5", "--format", "edl")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("TITLE: hits")
    lacking = dhh("export", "hits.jsonl", "--codes", "shard-1.h5", "--format", "edl")
    assert lacking.exit_code == 1
    assert "name the codes file that the rows came from" in lacking.stderr


def test_words_that_match_nothing(tmp_path: Path, dhh: Run) -> None:
    with pytest.raises(MissingPathError, match="matches no codes file"):
        codes_files([tmp_path / "*.h5"])
    odd = tmp_path / "a[1].h5"
    odd.touch()
    assert codes_files([odd, odd]) == (odd,)
    assert dhh("query", "track:1", "--codes", "*.nothing").exit_code == 1


def test_files_of_two_models_are_not_asked_together(three: list[Path], encoded: Path, dhh: Run) -> None:
    result = dhh("query", "track:3", "--codes", three[0], "--codes", encoded)
    assert result.exit_code == 1
    assert "codes of another model" in result.stderr
    assert result.stderr.count("\n") == 1


# ------------------------------------------------------------------------------------------------------- on a cluster


def test_workers_give_the_answer_of_one_machine(three: list[Path], tmp_path: Path, workers: Any) -> None:
    away = tmp_path / "away"
    away.mkdir()
    for path in three:  # workers know them elsewhere
        (away / path.name).write_bytes(path.read_bytes())
    where = Cluster(workers.scheduler_address, (Mapping(tmp_path, away),))
    some = Where(("*[ace].mov",))
    assert told(three, where) == told(three)
    assert told(three, where, where=some) == told(three, where=some)
    assert told(three[0], Cluster(workers.scheduler_address)) == told(three[0])


def test_workers_that_find_other_codes_are_told_of(three: list[Path], tmp_path: Path, workers: Any) -> None:
    away = tmp_path / "away"
    away.mkdir()
    for path in three:
        (away / path.name).write_bytes(three[0].read_bytes())
    with pytest.raises(ClusterError, match=r"shard-\d\.h5: a worker finds other codes there"):
        told(three, Cluster(workers.scheduler_address, (Mapping(tmp_path, away),)))
    with pytest.raises(ClusterError, match=r"a worker cannot use it: .*nowhere"):
        told(three, Cluster(workers.scheduler_address, (Mapping(tmp_path, tmp_path / "nowhere"),)))


def test_a_worker_that_dies_is_replaced(three: list[Path], workers: Any) -> None:
    right = told(three)
    nanny = next(iter(workers.workers.values()))
    nanny.process.process._process.kill()  # as kill -9 does
    assert told(three, Cluster(workers.scheduler_address)) == right
