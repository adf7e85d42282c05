"""Codes files of strangers, hashed as they should be: whatever is in them, an answer or one line."""

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commands import one_line
from shipped_film import SHIPPED, film
from typer.testing import Result

from dhhcli.errors import DhhError, ShardError
from dhhcli.index.build import build
from dhhcli.models.model_tag import ModelTag
from dhhcli.output.delimited import json_lines, tsv
from dhhcli.output.formats import Format, Order
from dhhcli.output.sheets.contact_sheet import write_sheet
from dhhcli.output.sheets.people_sheet import write_cast
from dhhcli.output.timelines.cuts import parse_handles
from dhhcli.output.timelines.export import export
from dhhcli.people.identities import find_people
from dhhcli.people.naming import give_name
from dhhcli.search.forget import Erasure as Unwanted
from dhhcli.search.forget import forget
from dhhcli.search.query import find_person
from dhhcli.search.question.request import Query
from dhhcli.search.question.terms import parse_word
from dhhcli.storage import hdf5_file
from dhhcli.storage.codes_file import open_shard
from dhhcli.storage.inventory import list_entries, take_inventory
from dhhcli.storage.merge import merge
from dhhcli.storage.record import to_tables
from dhhcli.storage.schema import NO_TOMBSTONES, TOMBSTONE_DTYPE, Tables, cut, video_digest
from dhhcli.storage.values import jpeg_size

Run = Callable[..., Result]
INTS = [-(1 << 63), (1 << 63) - 1, -1, 0, 1, 1 << 40, -(1 << 31), (1 << 31) - 1, 1 << 62, 2, 7]
FLOATS = [float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 3.4e38, -3.4e38, 1e-45, 1e7, 1e9]
VALUES: list[Any] = [
    *INTS, *FLOATS, None, True, "", "x", "\x1b[31m", "ab" * 32, "zz" * 32, [], [1], [1, 0], [0, 1], [-1, 1], [1, -1],
    [10**300, 1], [1, 10**300], [10**300, 10**300 + 1], [1.5, 2], [True, True], {}, {"a": 1}, ["x"] * 2000, [["x"]],
    "99:99:99:99", "01:00:00:00" * 200, 10**4000, -(10**300),
]  # fmt: skip


def bomb() -> bytes:
    """A small JPEG that says it has 60,000 x 60,000 pixels."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xea\x60\xea\x60"
    return bytes(data)


def write(path: Path, pieces: list[Tables], stones: np.ndarray = NO_TOMBSTONES, tag: ModelTag = SHIPPED) -> None:
    """A codes file whose hashes are right, unread."""
    for piece in pieces:
        for row in range(len(piece.videos)):
            unit = cut(piece, row, row + 1)
            piece.videos["digest"][row] = np.frombuffer(video_digest(unit), np.uint8)
    hdf5_file._write(path, tag, pieces, stones)


def owned(tables: Tables) -> Tables:
    """A copy that can be changed."""
    names = ("codes", "tracks", "shots", "videos", "texts", "thumbnail_ends", "thumbnails")
    copies: dict[str, Any] = {name: np.array(getattr(tables, name)) for name in names}
    return Tables(**copies)


def mutated(seed: int, path: Path) -> None:
    """One video with a value, or some, that cannot be; another that is as it should be."""
    draw, rng = random.Random(seed), np.random.default_rng(seed % 7)
    good = [to_tables(SHIPPED, film(rng, name, shots=3, tracks=4)) for name in "az"]
    bad = owned(to_tables(SHIPPED, film(rng, "m", shots=3, tracks=4)))
    stones = np.zeros(draw.choice([0, 0, 2]), TOMBSTONE_DTYPE)
    for _ in range(draw.choice([1, 1, 1, 3])):
        what = draw.choice(
            ["tracks", "tracks", "shots", "text", "text", "ends", "thumbnails", "codes", "stones", "path"]
        )
        if what in ("tracks", "shots", "stones"):
            table = {"tracks": bad.tracks, "shots": bad.shots, "stones": stones}[what]
            if not len(table):
                continue
            name = draw.choice(table.dtype.names or ())
            field = table[name][draw.randrange(len(table))] if table[name].ndim > 1 else table[name]
            value = draw.choice(FLOATS if field.dtype.kind == "f" else INTS)
            with np.errstate(all="ignore"):
                field[draw.randrange(len(field))] = np.array(value).astype(field.dtype)
        elif what in ("text", "path"):
            head, _, rest = bad.texts.tobytes().partition(b"\0")
            try:
                values = json.loads(rest)
            except ValueError:
                continue
            if what == "path":
                head = draw.choice([b"", b"relative", b"/" + b"a" * 9000, b"/a\x1b[31m\xff\n", b"/..", head])
            else:
                name = draw.choice([*values, "still", "recorded", "other"])
                values[name] = draw.choice(VALUES)
            text = head + b"\0" + json.dumps(values).encode()
            bad = replace(bad, texts=np.frombuffer(text, np.uint8).copy())
            bad.videos["text_end"] = len(text)
        elif what == "ends":
            bad.thumbnail_ends[draw.randrange(4)] = draw.choice(INTS)
        elif what == "thumbnails":
            jpeg = draw.choice([bomb(), b"\xff\xd8" + os.urandom(30), b"\x89PNG\r\n\x1a\n" + bytes(50), bomb()[:-20]])
            bad = replace(bad, thumbnails=np.frombuffer(jpeg * 4, np.uint8).copy())
            bad.thumbnail_ends[:] = len(jpeg) * (np.arange(4) + 1)
        else:
            bad.codes[draw.randrange(4)] = 255
    write(path, [good[0], bad, good[1]], stones)


def commands(path: Path, folder: Path) -> dict[str, Callable[[], object]]:
    def answer(**more: Any) -> Any:
        return find_person(Query(words=(parse_word("track:5"),), top=None, **more), path)

    def printed() -> None:
        rows = answer().rows
        assert [*tsv(rows), *json_lines(rows)]

    def sheets() -> None:
        for kind in ("html", "png"):
            found = answer(thumbnails=True)
            faces = [face for person in found.asked for face in person.faces]
            write_sheet(folder / f"q.{kind}", found.rows, found.thumbnails, videos=found.videos, photos=faces)

    def cast() -> None:
        for kind in ("html", "png"):
            write_cast(folder / f"p.{kind}", find_people(path, within=3, faces=True))

    def timelines() -> None:
        found = answer()
        for kind in (
            Format.edl,
            Format.otio,
            Format.fcpxml,
            Format.fcp7,
            Format.resolve,
            Format.webvtt,
            Format.ffconcat,
        ):
            for file in export(
                found.rows, found.videos, kind, handles=parse_handles("5f"), order=Order.time, layout=None, name="x"
            ):
                with (folder / "out").open("wb") as stream:
                    file.write(stream)

    def merged() -> None:
        out = folder / "merged.h5"
        out.unlink(missing_ok=True)
        merge([path], out)

    return {
        "query": printed,
        "sheet": sheets,
        "timelines": timelines,
        "people": cast,
        "info": lambda: (take_inventory(path), list_entries(path)),
        "check": lambda: take_inventory(path, check=True),
        "forget": lambda: forget(path, Unwanted(tracks=(0, 5, 9)), dry_run=True),
        "index": lambda: build(path, "flat", np.random.default_rng(0)),
        "merge": merged,
        "name": lambda: give_name(path, None, "Ada", tracks=[5]),
        "erase": lambda: forget(path, Unwanted(tracks=(5,))),
    }


COUNT = int(os.environ.get("DHH_HOSTILE", "60"))


@pytest.mark.parametrize("start", range(0, COUNT, 20))
def test_values_that_cannot_be_are_an_answer_or_one_line(
    tmp_path: Path, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    refused = said = 0
    for seed in range(start, start + 20):
        path = tmp_path / f"{seed}.h5"
        mutated(seed, path)
        for name, command in commands(path, tmp_path).items():
            try:
                command()
            except DhhError as error:
                refused += "\n" not in str(error)
                said += 1
            except Exception as error:
                raise AssertionError(f"{name} of seed {seed}") from error
    assert refused == said > 0


def one(tmp_path: Path, change: Callable[[Tables], Tables | None]) -> Path:
    tables = owned(to_tables(SHIPPED, film(np.random.default_rng(1), "a", shots=2, tracks=3)))
    path = tmp_path / "codes.h5"
    write(path, [change(tables) or tables])
    return path


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_box_without_end_is_one_line_everywhere(tmp_path: Path, value: float, dhh: Run) -> None:
    path = one(tmp_path, lambda tables: tables.tracks["box"].__setitem__((1, 2), value))
    for words in (
        ("query", "track:0", "--all"),
        ("people", path, "--within", "3"),
        ("forget", path, "--track", "1"),
        ("merge", path, "-o", "new.h5"),
        ("info", path, "--check"),
    ):
        one_line(dhh(*words), 1, "codes.h5: a track's box lies nowhere in a picture")


def test_a_picture_of_a_gigapixel_is_one_line(tmp_path: Path, dhh: Run) -> None:
    jpeg = bomb()

    def change(tables: Tables) -> Tables:
        tables.thumbnail_ends[:] = len(jpeg) * (np.arange(3) + 1)
        return replace(tables, thumbnails=np.frombuffer(jpeg * 3, np.uint8))

    path = one(tmp_path, change)
    for words in (
        ("query", "track:0", "--all", "--sheet", "s.png"),
        ("query", "track:0", "--all", "--sheet", "s.html"),
        ("people", path, "--within", "3", "--sheet", "s.html"),
        ("forget", path, "--track", "1", "--sheet", "s.png", "--dry-run"),
        ("info", path, "--check"),
    ):
        one_line(dhh(*words), 1, "60000x60000 pixels")
    assert not list(tmp_path.glob("s.*"))


@pytest.mark.parametrize("text", ["", "zz" * 32, "AB" * 32, "ab" * 31, "ab" * 33, "\x1b" * 64])
def test_an_odd_fingerprint_is_one_line(tmp_path: Path, text: str, dhh: Run) -> None:
    def change(tables: Tables) -> Tables:
        head, _, rest = tables.texts.tobytes().partition(b"\0")
        data = head + b"\0" + json.dumps(json.loads(rest) | {"fingerprint": text}).encode()
        tables.videos["text_end"] = len(data)
        return replace(tables, texts=np.frombuffer(data, np.uint8))

    path = one(tmp_path, change)
    for words in (("info", path), ("query", "track:0"), ("people", path), ("forget", path, "--track", "0")):
        one_line(dhh(*words), 1, "damaged record")


def test_bits_behind_the_last_are_refused(tmp_path: Path) -> None:
    path = one(tmp_path, lambda tables: tables.codes.__setitem__((0, 7), 128))
    with pytest.raises(ShardError, match="more than 48 bits"):
        open_shard(path)


def test_the_size_of_a_jpeg_is_read_without_decoding_it() -> None:
    for height, width in ((8, 8), (112, 77), (1, 300)):
        for options in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]):
            data = cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8), options)[1].tobytes()
            assert jpeg_size(data) == (width, height)
            assert all(jpeg_size(data[:cut]) is None for cut in range(data.index(b"\xff\xda")))
    assert jpeg_size(bomb()) == (60000, 60000)
    data = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    assert jpeg_size(data + bomb()) is None
    assert jpeg_size(b"") is None
    assert jpeg_size(b"\x89PNG") is None
