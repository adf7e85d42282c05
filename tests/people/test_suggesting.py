"""`dhh people --suggest`: names of people who look like somebody, and of folders; nobody who was rejected."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from commands import one_line
from footage import encoded_video
from shipped_film import SHIPPED
from typer.testing import Result

from dhhcli.models.binary_codes import pack
from dhhcli.people.deciding import reject_tracks
from dhhcli.people.identities import find_people
from dhhcli.people.naming import give_name
from dhhcli.people.suggesting import suggestions
from dhhcli.storage.codes_file import commit, compact

Run = Callable[..., Result]


def photo(path: Path, name: str, bits: np.ndarray, content: int) -> None:
    """Commit a photo of one face at /p/NAME."""
    rng = np.random.default_rng(content)
    made = encoded_video(rng, f"/p/{name}", shots=1, tracks=1, bits=SHIPPED.bits, fingerprint=f"{content:02x}" * 32)
    tracks = made.tracks.copy()
    for field in ("start_pts", "end_pts", "best_pts"):
        tracks[field] = 0
    timeless = {"frame_rate": None, "time_base": Fraction(1), "start_timecode": None, "drop_frame": False}
    video = replace(made.video, **timeless, start_pts=0, still=True)  # type: ignore[arg-type]
    commit(path, SHIPPED, replace(made, video=video, tracks=tracks, codes=pack(bits[None])))


def near(bits: np.ndarray, flips: int, seed: int) -> np.ndarray:
    other = bits.copy()
    rows = np.random.default_rng(seed).choice(len(bits), flips, replace=False)
    other[rows] = ~other[rows]
    return other


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    path = tmp_path / "codes.h5"
    rng = np.random.default_rng(0)
    ada, bob = rng.random(SHIPPED.bits) < 0.5, rng.random(SHIPPED.bits) < 0.5
    for number, (name, bits) in enumerate(
        [
            ("Ada Lovelace/1.jpg", ada),
            ("Ada Lovelace/2.jpg", near(ada, 2, 1)),
            ("Ada Lovelace/3.jpg", near(ada, 2, 2)),
            ("2024/4.jpg", near(ada, 11, 3)),  # like her, but not near enough for --within 8
            ("2024/5.jpg", bob),
            ("2024/6.jpg", near(bob, 1, 4)),
        ]
    ):
        photo(path, name, bits, number + 1)
    compact(path, SHIPPED)
    return path


def test_a_folder_is_offered_as_a_name(path: Path) -> None:
    number = find_people(path, within=8).number.tolist()  # by path: 2024 comes first
    (one,) = suggestions(path, within=8)
    assert (one.person, one.name, one.confidence, one.because) == (number[3], "Ada Lovelace", 1.0, "folder")
    give_name(path, str(one.person), one.name, within=8)
    assert [line.because for line in suggestions(path, within=8)] == ["looks"]


def test_who_looks_like_somebody_named(path: Path) -> None:
    number = find_people(path, within=8).number.tolist()
    give_name(path, str(number[3]), "Ada", within=8)
    (like,) = suggestions(path, within=8)
    assert (like.person, like.name, like.because) == (number[0], "Ada", "looks")
    assert 0.1 <= like.confidence <= 1
    assert like.video == Path("/p/2024/4.jpg")
    reject_tracks(path, "Ada", [like.track_id], within=8)
    assert suggestions(path, within=8) == []


def test_on_the_command_line(dhh: Run, path: Path, encoded: Path, tmp_path: Path) -> None:
    line = json.loads(dhh("people", path, "--suggest", "--within", "8", "--json").stdout)
    assert (line["name"], line["because"]) == ("Ada Lovelace", "folder")
    alone = Path(shutil.copy(encoded, tmp_path / "alone.h5"))
    result = dhh("people", alone, "--suggest")
    assert (result.exit_code, result.stdout) == (3, "")
    one_line(dhh("people", alone, "--suggest", "--together"), 2, "--suggest lists names")
    one_line(dhh("people", alone, "--yes"), 2, "--yes goes with --again")
    one_line(dhh("people", alone, "--again", "--together"), 2, "--again says what changes")


def test_grouping_anew_on_the_command_line(dhh: Run, path: Path) -> None:
    assert dhh("people", path, "--within", "8").exit_code == 0
    result = dhh("people", path, "--again", "--within", "16", "--json")
    assert result.exit_code == 0
    assert "nothing was changed; --yes does it" in result.stderr
    before = find_people(path, within=8).number.tolist()
    assert len(set(before)) == 3
    assert dhh("people", path, "--again", "--within", "48", "--yes").exit_code == 0
    assert len(set(find_people(path, within=8).number.tolist())) == 1
    assert "taken back: grouping anew" in dhh("people", "undo", path).stderr
    assert find_people(path, within=8).number.tolist() == before
    assert dhh("people", path, "--again", "--within", "8").stderr.endswith("the same people as before\n")


def test_merge_split_not_and_undo_on_the_command_line(dhh: Run, path: Path) -> None:
    number = find_people(path, within=8).number.tolist()
    ada, bob, like = number[3], number[1], number[0]
    said = dhh("people", "merge", path, ada, like, "--within", "8")
    assert (said.exit_code, said.stdout) == (0, "")
    assert said.stderr == f"person {ada}: 4 tracks, also who was number {like}\n"
    assert dhh("people", "split", path, ada, "--track", "0").stderr == f"person {ada}: 3 tracks left; person 4: 1\n"
    assert (
        dhh("people", "not", path, bob, "2", "--within", "8").stderr == f"not person {bob}: 1 track, now of person 5\n"
    )
    assert dhh("people", "undo", path).stderr == f"taken back: that tracks are not person {bob}\n"
    one_line(dhh("people", "merge", path, ada, "99"), 1, "has people 1 to 5, not 99")
    one_line(dhh("people", "merge", path, ada, like), 2, "name two people or more")
    one_line(dhh("people", "split", path, "nobody"), 1, "nobody is called 'nobody'")
