"""However the same videos lie in the codes file and its parts, everybody is told the same of them."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import assert_same_shard
from hypothesis import given, settings
from hypothesis import strategies as st
from shipped_film import SHIPPED, film
from typer.testing import Result

from dhhcli.output.delimited import json_lines, tsv
from dhhcli.output.formats import Format, Order, SequenceLayout
from dhhcli.output.sheets.contact_sheet import write_sheet
from dhhcli.output.timelines.cuts import parse_handles
from dhhcli.output.timelines.export import export
from dhhcli.search.query import Answer, find_person
from dhhcli.search.question.request import Query
from dhhcli.search.question.terms import parse_word
from dhhcli.search.result import saved_videos
from dhhcli.storage.codes_file import EncodedVideo, commit, compact, open_shard
from dhhcli.storage.hdf5_file import write_file
from dhhcli.storage.inventory import list_entries
from dhhcli.storage.record import path_bytes, to_tables


def split(path: Path, videos: list[EncodedVideo], places: list[int], older: list[bool]) -> None:
    """Put every video where ``places`` says: 0 the codes file, 1 and 2 packs, 3 a part; an older one below it."""
    home = path.resolve()
    folder = home.with_name(home.name + ".parts")
    folder.mkdir()
    for place, name in ((0, None), (1, "pack-0000000001.h5"), (2, "pack-0000000002.h5")):
        units = {
            path_bytes(unit, 0): unit
            for unit in (to_tables(SHIPPED, video) for video, at in zip(videos, places, strict=True) if at == place)
        }
        if place == 0:  # what a newer version takes the place of
            rng = np.random.default_rng(3)
            for video, at, old in zip(videos, places, older, strict=True):
                if old and at:
                    unit = to_tables(SHIPPED, film(rng, video.video.path.stem, shots=2, tracks=3))
                    units[path_bytes(unit, 0)] = unit
        pieces = [units[key] for key in sorted(units)]
        if pieces or place == 0:
            write_file(home if name is None else folder / name, SHIPPED, pieces)
    for video, at in zip(videos, places, strict=True):
        if at == 3:
            commit(path, SHIPPED, video)


def answer(path: Path, **more: object) -> Answer:
    return find_person(Query(words=(parse_word("track:0"),), top=None, thumbnails=True, **more), path)  # type: ignore[arg-type]


def told(path: Path, folder: Path) -> list[object]:
    """All that is said of a codes file: rows, lines, sheets, timelines, the inventory."""
    found = answer(path)
    folder.mkdir(exist_ok=True)
    pages = []
    for kind in ("html", "png"):
        page = folder / f"sheet.{kind}"
        write_sheet(page, found.rows, found.thumbnails, videos=found.videos, photos=[], why=None)
        pages.append(page.read_bytes())
    texts = []
    for kind in (Format.edl, Format.otio, Format.fcpxml, Format.fcp7, Format.resolve, Format.webvtt, Format.ffconcat):
        for layout in SequenceLayout:
            files = export(
                found.rows, found.videos, kind, handles=parse_handles("5f"), order=Order.time, layout=layout, name="x"
            )
            for number, file in enumerate(files):
                there = folder / str(number)
                with there.open("wb") as stream:
                    file.write(stream)
                texts.append(there.read_bytes())
    with open_shard(path) as shard:
        ends = [shard.end_pts(row) for row in range(len(shard.videos))]
        units = [shard.unit(row).codes.tobytes() for row in range(len(shard.videos))]
        pictures = shard.pictures()
    return [
        [*tsv(found.rows), *json_lines(found.rows)],
        found.notes,
        saved_videos(path, found.rows),
        pages,
        texts,
        [ends, units, pictures],
        list_entries(path),
    ]


@settings(max_examples=12, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_any_split_into_parts_tells_the_same(
    data: st.DataObject, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    count = data.draw(st.integers(1, 6))
    sizes = data.draw(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), min_size=count, max_size=count))
    videos = [film(rng, chr(97 + at), shots=shots, tracks=tracks) for at, (shots, tracks) in enumerate(sizes)]
    videos.append(film(rng, "m", shots=2, tracks=2))
    places = data.draw(st.lists(st.integers(0, 3), min_size=count + 1, max_size=count + 1))
    older = data.draw(st.lists(st.booleans(), min_size=count + 1, max_size=count + 1))
    folder = tmp_path_factory.mktemp("split")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        whole, parted = folder / "whole" / "codes.h5", folder / "parted" / "codes.h5"
        for path in (whole, parted):
            path.parent.mkdir()
        for video in videos:
            commit(whole, SHIPPED, video)
        compact(whole, SHIPPED)
        split(parted, videos, places, older)
        with open_shard(whole) as a, open_shard(parted) as b:
            assert_same_shard(a, b)
        assert told(whole, folder / "a") == told(parted, folder / "b")
        compact(parted, SHIPPED)
        assert parted.read_bytes() == whole.read_bytes()


def test_the_same_is_told_while_an_encode_writes_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    rng = np.random.default_rng(5)
    videos = [film(rng, name, shots=3, tracks=3) for name in "abcdefg"]
    path = tmp_path / "codes.h5"
    for video in videos:
        commit(path, SHIPPED, video)
    compact(path, SHIPPED)
    expected = told(path, tmp_path / "before")
    done, failures = threading.Event(), []

    def encode_again() -> None:
        try:
            while not done.is_set():
                for at in rng.permutation(len(videos)).tolist():
                    commit(path, SHIPPED, videos[at])
                compact(path, SHIPPED)
        except Exception as error:  # noqa: BLE001 - shown by the thread that asks
            failures.append(error)

    writer = threading.Thread(target=encode_again)
    writer.start()
    try:
        for _ in range(3):
            assert told(path, tmp_path / "meanwhile") == expected
    finally:
        done.set()
        writer.join()
    assert failures == []


def test_parts_that_are_merged_while_they_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "codes.h5"
    commit(path, SHIPPED, film(np.random.default_rng(1), "a", shots=2, tracks=3))
    compact(path, SHIPPED)
    folder = path.with_name("codes.h5.parts")
    folder.mkdir()
    real = os.scandir

    def gone(at: Any = ".") -> Any:
        if str(at) == str(folder):
            raise FileNotFoundError(2, "No such file or directory", str(folder))
        return real(at)

    monkeypatch.setattr(os, "scandir", gone)
    with open_shard(path) as shard:
        assert len(shard.videos) == 1


def test_query_on_the_command_line_where_parts_wait(
    tmp_path: Path, dhh: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies behind a part in the order of paths is read from the middle of the codes file."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    rng = np.random.default_rng(11)
    videos = [film(rng, name, shots=shots, tracks=2) for name, shots in (("a", 4), ("b", 1), ("c", 3))]
    split(tmp_path / "codes.h5", videos, [0, 3, 0], [False] * 3)
    for kind in ("otio", "ffconcat", "csv"):
        result = dhh(
            "query",
            "track:0",
            "--format",
            kind,
            "--sequence" if kind == "otio" else "--all",
            *(["stringout"] if kind == "otio" else []),
        )
        assert result.exit_code == 0, result.output
    with open_shard(tmp_path / "codes.h5") as shard:
        assert [shard.end_pts(row) for row in range(3)] == [int(video.shots["end_pts"][-1]) for video in videos]
