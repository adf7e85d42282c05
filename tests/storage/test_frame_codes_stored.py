"""Codes of frames in a codes file: what is kept, what is refused, and that files without them are as they were."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from footage import FRAMES, TAG, assert_holds, contents, encoded_video, make
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import Result

from dhhcli.encoding.frame_codes import frame_choice
from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.run import encode
from dhhcli.encoding.track_codes import codes_of, looked_at
from dhhcli.errors import ShardError, UsageError
from dhhcli.media.sample import Sample
from dhhcli.models.binary_codes import pack, unpack
from dhhcli.models.hash_layers import HashLayers
from dhhcli.search.forget import Erasure, forget
from dhhcli.storage import hdf5_file
from dhhcli.storage.codes_file import EncodedVideo, ModelTag, commit, compact, open_shard
from dhhcli.storage.hdf5_file import read_file
from dhhcli.storage.inventory import take_inventory
from dhhcli.storage.merge import merge
from dhhcli.storage.tombstones import forgotten_tracks

Run = Callable[..., Result]


# --------------------------------------------------------------------------------------------------- the file


def test_files_without_them_are_what_they_were(rng: np.random.Generator, path: Path) -> None:
    """The digest is that of the version before there were codes of frames."""
    make(rng, path, "ab")
    with h5py.File(path, "r") as h5:
        assert (int(h5.attrs["format_version"]), "frame_codes" in h5.attrs, len(h5)) == (2, False, 8)
    with open_shard(path) as shard:
        assert shard.content == "ab9a4fed734261c446d38e961f87a3df714df417f265e00e77268e6f3929ee5d"
        assert (shard.frame_pieces, shard.encoded_video(0).frame_codes) == ((), None)


def test_an_older_dhh_refuses_a_file_with_them(
    rng: np.random.Generator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(rng, path, "a", tag=FRAMES)
    with h5py.File(path, "r") as h5:
        assert (int(h5.attrs["format_version"]), int(h5.attrs["frame_codes"]), len(h5)) == (3, 1, 10)
    monkeypatch.setattr(hdf5_file, "READ_VERSIONS", (1, 2))
    with pytest.raises(ShardError, match="format version 3, this dhh reads 1 to 2; use the dhh that made it"):
        open_shard(path)


def test_codes_of_frames_are_mapped(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "ab", tag=FRAMES)
    with open_shard(path) as shard:
        ((codes, ends),) = shard.frame_pieces
        assert not codes.flags.owndata
        every = [own for name in "ab" for own in videos[name].frame_codes or ()]
        assert codes.tobytes() == b"".join(own.tobytes() for own in every)
        assert ends.tolist() == np.cumsum([len(own) for own in every]).tolist()
        assert shard.frames(7).tobytes() == every[7].tobytes()


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(1, 4), max_size=4), max_size=4), st.integers(1, 512))
def test_any_number_of_frames_of_any_length_comes_back(
    tmp_path_factory: pytest.TempPathFactory, videos: list[list[int]], bits: int
) -> None:
    rng = np.random.default_rng(bits)
    path, tag = tmp_path_factory.mktemp("any") / "codes.h5", replace(FRAMES, bits=bits)
    made = {}
    for name, frames in zip("abcd", videos, strict=False):
        video = encoded_video(rng, f"/footage/{name}.mov", tracks=len(frames), bits=bits)
        video.tracks["frames_used"] = frames
        own = tuple(pack(rng.random((m, bits)) < 0.5) for m in frames)
        made[name] = replace(video, frame_codes=own)
        commit(path, tag, made[name])
    compact(path, tag)
    found = contents(path)
    assert found.keys() == made.keys()
    for name, video in made.items():
        assert [own.tolist() for own in found[name].frame_codes or ()] == [
            own.tolist() for own in video.frame_codes or ()
        ]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda v: replace(v, frame_codes=None),
        lambda v: replace(v, frame_codes=v.frame_codes[:-1]),
        lambda v: replace(v, frame_codes=(v.frame_codes[0][:, :4], *v.frame_codes[1:])),
        lambda v: replace(v, frame_codes=(np.concatenate([v.frame_codes[0]] * 2), *v.frame_codes[1:])),
        lambda v: replace(v, frame_codes=(v.frame_codes[0].astype(np.int16), *v.frame_codes[1:])),
    ],
)
def test_commit_refuses_frames_that_do_not_fit(
    rng: np.random.Generator, path: Path, wrong: Callable[[EncodedVideo], EncodedVideo]
) -> None:
    with pytest.raises(ValueError, match="codes of frames"):
        commit(path, FRAMES, wrong(encoded_video(rng, "/footage/a.mov", frames=True)))
    empty = encoded_video(rng, "/footage/a.mov", tracks=1, frames=True)
    empty.tracks["frames_used"] = 0
    with pytest.raises(ValueError, match="codes of frames"):
        commit(path, FRAMES, replace(empty, frame_codes=(np.empty((0, 8), np.uint8),)))
    assert not list(path.parent.iterdir())


def edit(path: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with h5py.File(path, "r+") as h5:
        data = change(h5[name][:])
        del h5[name]
        h5.create_dataset(name, data=data)


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("frame_code_ends", lambda ends: ends[:-1], "fit together"),
        ("frame_code_ends", lambda ends: ends + 1, "fit together"),
        ("frame_code_ends", lambda ends: ends.astype("u8"), "not the type"),
        ("frame_code_ends", lambda ends: ends[:0], "fit together"),
        ("frame_codes", lambda codes: codes[:-1], "fit together"),
        ("frame_codes", lambda codes: codes[:, :4], "shape"),
        ("frame_codes", lambda codes: codes.astype("i1"), "not the type"),
    ],
)
def test_hostile_tables_are_refused(
    rng: np.random.Generator, path: Path, name: str, change: Callable[[np.ndarray], np.ndarray], match: str
) -> None:
    make(rng, path, "ab", tag=FRAMES)
    edit(path, name, change)
    with pytest.raises(ShardError, match=match):
        read_file(path)


@pytest.mark.parametrize("value", [0, 2])
def test_another_choice_in_version_3_is_refused(rng: np.random.Generator, path: Path, value: int) -> None:
    make(rng, path, "a", tag=FRAMES)
    with h5py.File(path, "r+") as h5:
        h5.attrs["frame_codes"] = value
    with pytest.raises(ShardError, match="frame_codes is not 1"):
        read_file(path)
    with h5py.File(path, "r+") as h5:
        del h5["frame_codes"]
        h5.attrs["frame_codes"] = 1
    with pytest.raises(ShardError, match="other datasets"):
        read_file(path)


@pytest.mark.parametrize(
    "ends",
    [
        lambda ends: np.r_[ends[1], ends[1:]],  # a track without frames
        lambda ends: np.r_[np.int64(-(2**62)), ends[1:]],
        lambda ends: np.r_[np.int64(2**62), ends[1:]],
        lambda ends: np.r_[ends[:4], np.int64(2**62), ends[5:]],  # where the first video ends
    ],
)
def test_hostile_ends_are_refused_when_asked_for(
    rng: np.random.Generator, path: Path, ends: Callable[[np.ndarray], np.ndarray]
) -> None:
    make(rng, path, "ab", tag=FRAMES)
    edit(path, "frame_code_ends", ends)
    with open_shard(path) as shard, pytest.raises(ShardError, match="damaged"):
        shard.encoded_video(0)


def test_damage_of_a_frame_is_found(rng: np.random.Generator, path: Path) -> None:
    make(rng, path, "ab", tag=FRAMES)
    edit(
        path,
        "frame_codes",
        lambda codes: codes ^ np.outer(np.arange(len(codes)) == len(codes) - 1, np.arange(8) < 6).astype(np.uint8),
    )
    with open_shard(path) as shard:
        assert [video.name for video in shard.damaged_videos()] == ["b.mov"]


# ----------------------------------------------------------------------------------- what else touches a file


def test_one_file_is_of_one_kind(rng: np.random.Generator, path: Path) -> None:
    for there, other, words in (
        (TAG, FRAMES, "without codes of frames, with them expected"),
        (FRAMES, TAG, "with codes of frames, without them expected"),
    ):
        home = path.with_name(f"{there.frame_codes}.h5")
        make(rng, home, "a", tag=there)
        before = home.read_bytes()
        with pytest.raises(ShardError, match=f"{words}; encode to a new file"):
            commit(home, other, encoded_video(rng, "/footage/b.mov", frames=other.frame_codes))
        with pytest.raises(ShardError, match=words):
            compact(home, other)
        assert home.read_bytes() == before
    with pytest.raises(ShardError, match=r"False\.h5: without codes of frames, with them expected"):
        merge([path.with_name("True.h5"), path.with_name("False.h5")], path)
    assert not path.exists()


def test_merge_takes_them_along(rng: np.random.Generator, path: Path) -> None:
    a, b = path.with_name("a.h5"), path.with_name("b.h5")
    videos = make(rng, a, "ac", tag=FRAMES)
    gone = encoded_video(rng, "/footage/b.mov", fingerprint="22" * 32, frames=True)
    commit(b, FRAMES, gone)
    commit(b, FRAMES, encoded_video(rng, "/footage/d.mov", fingerprint="33" * 32, frames=True))
    videos["d"] = contents(b)["d"]
    for name in "ac":
        videos[name] = replace(videos[name], video=replace(videos[name].video, fingerprint=f"{ord(name):064x}"))
        commit(a, FRAMES, videos[name])
    forget(b, Erasure(videos=(gone.video.path,)))
    merge([a, b], path)
    assert_holds(path, videos)


def test_forgotten_frames_are_gone_from_the_bytes(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "abc", tag=FRAMES)
    forget(path, Erasure(tracks=(6, 8)))
    left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    b = videos["b"]
    assert b.frame_codes is not None
    for row in range(5):
        for code in b.frame_codes[row]:
            assert (code.tobytes()[:6] in left) == (row not in (1, 3))
    kept = [0, 2, 4]
    videos["b"] = replace(
        b,
        tracks=b.tracks[kept],
        codes=b.codes[kept],
        thumbnails=tuple(b.thumbnails[row] for row in kept),
        frame_codes=tuple(b.frame_codes[row] for row in kept),
    )
    assert_holds(path, videos)
    with open_shard(path) as shard:
        assert forgotten_tracks("cd" * 32, b.tracks, shard.tombstones).sum() == 2
        assert shard.tag == FRAMES


def test_inventory_counts_them(rng: np.random.Generator, path: Path) -> None:
    videos = make(rng, path, "ab", tag=FRAMES)
    videos["c"] = encoded_video(rng, "/footage/c.mov", frames=True)
    commit(path, FRAMES, videos["c"])  # in a part
    count = sum(len(own) for video in videos.values() for own in video.frame_codes or ())
    taken = take_inventory(path, check=True)
    assert (taken.format, taken.frame_codes, taken.frame_code_bytes, taken.damaged) == (3, count, 8 * (count + 15), 0)
    plain = path.with_name("plain.h5")
    make(rng, plain, "a")
    assert (take_inventory(plain).frame_codes, take_inventory(plain).frame_code_bytes) == (0, 0)


# --------------------------------------------------------------------------------------------------- the choice


def network(*, framewise: bool, tag: ModelTag = TAG) -> Any:
    return SimpleNamespace(name="made-48", tag=tag, layers=SimpleNamespace(framewise=framewise))


def test_the_choice_is_the_files(rng: np.random.Generator, path: Path) -> None:
    pictures = network(framewise=True)
    assert frame_choice(path, pictures, None) == frame_choice(path, pictures, False) == TAG
    assert frame_choice(path, pictures, True) == FRAMES
    with pytest.raises(UsageError, match="--frame-codes: made-48 hashes all frames of a track together"):
        frame_choice(path, network(framewise=False), True)
    make(rng, path, "a", tag=FRAMES)
    assert frame_choice(path, pictures, None) == frame_choice(path, pictures, True) == FRAMES
    with pytest.raises(ShardError, match="begun with codes of frames; leave out --no-frame-codes, or encode to a new"):
        frame_choice(path, pictures, False)
    plain = path.with_name("plain.h5")
    make(rng, plain, "a")
    with pytest.raises(ShardError, match="begun with no codes of frames; leave out --frame-codes, or encode to a new"):
        frame_choice(plain, pictures, True)
    with pytest.raises(ShardError, match="begun with no codes of frames"):
        list(encode([], plain, pictures, EncodeOptions(frame_codes=True)))


class Observed:
    """Stands for an observation: all that is read of it is its crop, and that no crowd was there."""

    crowd = 1

    def __init__(self, number: int) -> None:
        self.crop = np.full((64, 64, 3), number, np.uint8)
        self.pts = self.frame = number


def test_codes_of_frames_are_each_crops_own_and_their_majority_the_tracks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(256, 3)).astype(np.float32)
    none = np.empty((5, 0), np.float32), np.zeros(5, np.float32)
    layers = HashLayers(rng.normal(size=(5, 3)).astype(np.float32), np.zeros(5, np.float32), *none, framewise=True)
    weights = SimpleNamespace(one_person=None)
    made: Any = SimpleNamespace(layers=layers, weights=weights, film_extract=lambda crops: features[crops[:, 0, 0, 0]])
    monkeypatch.setattr("dhhcli.encoding.track_codes.sample", lambda track, most: track.observations[:most])
    tracks: Any = [
        SimpleNamespace(observations=[Observed(number) for number in numbers])
        for numbers in (range(1), range(1, 5), range(5, 40))
    ]
    codes, frames = codes_of([one for (one,) in looked_at(tracks, made)], made)
    assert [len(own) for own in frames if own is not None] == [1, 4, 30]
    for track, code, own in zip(tracks, codes, frames, strict=True):
        bits = [
            [float(layers.still_weight[k] @ features[one.frame]) >= 0 for k in range(5)]
            for one in track.observations[:30]
        ]
        assert own is not None
        assert own.tolist() == pack(np.array(bits)).tolist()
        most = [2 * sum(row[k] for row in bits) >= len(bits) for k in range(5)]
        assert code.tolist() == pack(np.array([most]))[0].tolist()
    assert looked_at([], made) == []
    assert codes_of([], made)[1] == []


# ------------------------------------------------------------------------------------------------ command line


def test_encode_keeps_every_sampled_frames_code(
    with_frames: Path, sample: Sample, picture_weights: Path, dhh: Run, tmp_path: Path
) -> None:
    with open_shard(with_frames) as shard:
        used = shard.track_rows(np.arange(len(shard)))["frames_used"].tolist()
        frames = [shard.frames(track) for track in range(len(shard))]
        assert [len(own) for own in frames] == used
        assert (len(used), max(used) > 5) == (8, True)
        for code, own in zip(shard.codes, frames, strict=True):
            assert code.tolist() == pack(2 * unpack(own, 48).sum(axis=0)[None] >= len(own))[0].tolist()
        count = sum(used)
    pairs = dict(line.split("\t") for line in dhh("info", with_frames).stdout.splitlines())
    assert (pairs["format"], pairs["frame_codes"], pairs["frame_code_bytes"]) == ("3", str(count), str(8 * (count + 8)))
    assert json.loads(dhh("info", with_frames, "--json").stdout)["frame_codes"] == count
    words = ["encode", sample.film, *sample.photos, "--weights", picture_weights]
    assert dhh(*words, "--out", "two.h5", "--frame-codes", "--workers", "2").exit_code == 0
    assert (tmp_path / "two.h5").read_bytes() == with_frames.read_bytes()  # whatever the number of workers
    assert dhh(*words, "--out", "plain.h5").exit_code == 0
    with open_shard(tmp_path / "plain.h5") as plain, open_shard(with_frames) as shard:
        assert plain.codes.tobytes() == shard.codes.tobytes()
        assert (plain.version, plain.frame_pieces) == (2, ())


def test_encode_adds_in_kind_and_refuses_the_other(
    with_frames: Path, sample: Sample, picture_weights: Path, dhh: Run, tmp_path: Path
) -> None:
    codes = tmp_path / "codes.h5"
    codes.write_bytes(with_frames.read_bytes())
    copy, other = tmp_path / "copy.jpg", tmp_path / "other.png"
    copy.write_bytes(sample.photos[0].read_bytes())
    cv2.imwrite(str(other), cv2.imread(str(sample.photos[1]))[:, ::-1])  # type: ignore[index]
    words = ["encode", copy, other, "--weights", picture_weights]
    result = dhh(*words)
    assert result.exit_code == 0, result.stderr
    found = contents(codes)
    assert found["copy"].frame_codes is not None
    assert found["copy"].frame_codes[0].tobytes() == found["copy"].codes.tobytes()
    assert found["other"].frame_codes is not None
    before = codes.read_bytes()
    result = dhh(*words, "--no-frame-codes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "dhh: error: codes.h5: was begun with codes of frames; leave out --no-frame-codes, or encode to a new file\n"
    )
    assert codes.read_bytes() == before
    assert dhh(*words, "--out", "plain.h5", "--no-frame-codes").exit_code == 0
    result = dhh(*words, "--out", "plain.h5", "--frame-codes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "dhh: error: plain.h5: was begun with no codes of frames; leave out --frame-codes, or encode to a new file\n"
    )
    result = dhh("merge", "codes.h5", "plain.h5", "--out", "both.h5")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "dhh: error: plain.h5: without codes of frames, with them expected; encode to a new file, or all anew\n"
    )
    for more in ([], ["--watch"]):
        result = dhh("encode", copy, "--out", "new.h5", "--frame-codes", *more)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            "dhh: error: --frame-codes: dhh-128 hashes all frames of a track together, there is no code a frame; "
            "weights of methods that hash pictures have one (dhh train --method)\n"
        )
    assert not (tmp_path / "new.h5").exists()
