"""A film that was cut off is gone on with, and the result is the same to the last byte."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from killed import Killed
from typer.testing import Result
from video_files import write_stream

from dhhcli.base.packing import pack, unpack
from dhhcli.encoding.begun import Begun, begun_path, identity_of, keep_begun, read_begun, tidy_begun
from dhhcli.encoding.events import Step
from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.run import encode
from dhhcli.encoding.video import encode_video
from dhhcli.media.sample import Sample
from dhhcli.models.network import Network, load_network
from dhhcli.storage.codes_file import commit, finish, open_shard
from dhhcli.storage.record import content_fingerprint, to_tables
from dhhcli.storage.schema import video_digest

OFTEN = EncodeOptions(every=Fraction(1, 2))  # in the clip inside shots as well as between two


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(film=True)


@dataclass
class Run:
    """Of one film: what was told while it was encoded, and SHA-256 of everything that it left."""

    kept: list[bytes]
    steps: list[Step]
    digest: bytes


def run(path: Path, network: Network, at: Path, options: EncodeOptions = OFTEN) -> Run:
    told: list[Step | Begun] = []
    made = encode_video(path, network, options, on_step=told.append, keep_at=at)
    digest = video_digest(to_tables(replace(network.tag, frame_codes=bool(options.frame_codes)), made))
    return Run(
        [one.data for one in told if isinstance(one, Begun)],
        [one for one in told if isinstance(one, Step)],
        digest,
    )


def remade(clip: Path, path: Path, codec: str, **options: str) -> Path:
    """The clip by another encoder, in another container."""
    with av.open(str(clip)) as source:
        pictures = [
            np.asarray(frame.to_ndarray(width=320, height=180, format="bgr24"), np.uint8)
            for frame in source.decode(video=0)
        ]
    return write_stream(path, pictures, codec=codec, options=options)


def hurt(path: Path) -> Path:
    """A second of film is spoilt."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(value ^ 0x5A for value in data[middle : middle + 3000])
    path.write_bytes(data)
    return path


KINDS: dict[str, Callable[[Path, Path], Path]] = {
    "mp4": lambda clip, _: clip,
    "open groups": lambda clip, folder: remade(
        clip, folder / "a.mkv", "libx264", preset="ultrafast", **{"x264-params": "open-gop=1:keyint=20:bframes=3"}
    ),
    "transport stream": lambda clip, folder: remade(clip, folder / "a.ts", "mpeg2video", bf="2", g="12"),
    "few key frames": lambda clip, folder: remade(clip, folder / "a.ts", "libx264", preset="ultrafast"),
    "no stamps": lambda clip, folder: remade(clip, folder / "a.avi", "mpeg4", bf="2", g="12"),
    "damaged": lambda clip, folder: hurt(remade(clip, folder / "a.ts", "mpeg2video", g="12")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_from_every_place_on_it_is_the_same(kind: str, clip: Path, tmp_path: Path, network: Network) -> None:
    film, at = KINDS[kind](clip, tmp_path), tmp_path / "kept"
    whole = run(film, network, at)
    assert len(whole.kept) >= 4
    assert all(step.since == 0 for step in whole.steps)
    for data in whole.kept[:: 1 if kind == "mp4" else 3]:
        at.write_bytes(data)
        kept = read_begun(at, identity_of(film, content_fingerprint(film), network, OFTEN))
        assert kept is not None
        again = run(film, network, at)
        assert again.digest == whole.digest
        assert [(step.since, step.seconds) for step in again.steps] == [
            (kept.seconds, step.seconds) for step in whole.steps if step.seconds >= kept.seconds
        ]  # what was looked at is not looked at again
        later = [seconds for seconds in map(seconds_of, whole.kept) if seconds > kept.seconds]
        assert [seconds_of(one) for one in again.kept] == later


def seconds_of(data: bytes) -> float:
    return float(unpacked(data)["seconds"])


def unpacked(data: bytes) -> Any:
    from dhhcli.encoding.track_codes import Coded

    return unpack(data, (Coded,))


def test_codes_of_frames_are_gone_on_with(clip: Path, tmp_path: Path, picture_weights: Path) -> None:
    network, options = load_network(str(picture_weights), film=True), replace(OFTEN, frame_codes=True)
    at = tmp_path / "kept"
    whole = run(clip, network, at, options)
    at.write_bytes(whole.kept[-2])
    again = run(clip, network, at, options)
    assert again.steps[0].since > 1
    assert again.digest == whole.digest


def spoilt(what: str, data: bytes, film: Path, at: Path) -> EncodeOptions:
    """Change something; the options to go on with."""
    at.write_bytes(data)
    value = unpacked(data)
    match what:
        case "time":
            os.utime(film, ns=(1, 1))
        case "pictures":
            return replace(OFTEN, thumbnails=False)
        case "half":
            at.write_bytes(data[: len(data) // 2])
        case "bit":
            at.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        case "version":
            value["identity"]["versions"]["av"] = "0"
        case "scan":  # rightly hashed, and nothing that a scan knows
            value["scan"] = pack({"place": 3})
        case "place":  # of another file
            from dhhcli.faces.bookmark import KINDS as KNOWN

            scan = unpack(value["scan"], KNOWN)
            scan["picture"] = "0" * 64
            value["scan"] = pack(scan, KNOWN)
    if what in ("version", "scan", "place"):
        from dhhcli.encoding.track_codes import Coded

        at.write_bytes(pack(value, (Coded,)))
    return OFTEN


@pytest.mark.parametrize("what", ["time", "pictures", "half", "bit", "version", "scan", "place"])
def test_what_does_not_fit_is_not_gone_on_with(what: str, clip: Path, tmp_path: Path, network: Network) -> None:
    film, at = tmp_path / "film.mp4", tmp_path / "kept"
    film.write_bytes(clip.read_bytes())
    data = run(film, network, at).kept[-1]
    options = spoilt(what, data, film, at)
    again = run(film, network, at, options)
    assert (again.steps[0].since, again.steps[0].seconds) == (0, 0)
    at.unlink()
    assert again.digest == run(film, network, at, options).digest


def killed_at(step: int) -> Callable[[Step], None]:
    """What ends the run at that look."""
    looks = iter(range(10_000))

    def on_step(_: Step) -> None:
        if next(looks) == step:
            raise Killed

    return on_step


@pytest.mark.parametrize("step", [0, 7, 10])
def test_a_run_goes_on_and_leaves_nothing_but_codes(step: int, clip: Path, tmp_path: Path, network: Network) -> None:
    whole, codes = tmp_path / "whole.h5", tmp_path / "codes.h5"
    list(encode([clip], whole, network, OFTEN))
    with pytest.raises(Killed), closing(encode([clip], codes, network, OFTEN, on_step=killed_at(step))) as events:
        list(events)
    left = {path.name for path in tmp_path.iterdir()} - {"whole.h5", "whole.h5.lock"}
    assert left == {"codes.h5.lock"} | ({begun_path(codes, clip).name} if step else set())
    steps: list[Step] = []
    list(encode([clip], codes, network, OFTEN, on_step=steps.append))
    assert (steps[0].since > 0) == bool(step)
    assert codes.read_bytes() == whole.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"codes.h5", "codes.h5.lock", "whole.h5", "whole.h5.lock"}


def waiting_file(codes: Path, film: Path, network: Network, options: EncodeOptions = OFTEN) -> Path:
    """As a killed run leaves it."""
    identity = identity_of(film, content_fingerprint(film), network, options)
    keep_begun(codes, Begun(film, pack({"identity": identity})))
    return begun_path(codes, film)


def test_what_is_of_no_use_is_removed(tmp_path: Path, network: Network) -> None:
    films = [tmp_path / f"{name}.mp4" for name in "abcde"]
    for film in films:
        film.write_bytes(film.name.encode())
    _, gone, changed, _, bare = films
    codes = tmp_path / "codes.h5"
    kept = [waiting_file(codes, film, network, replace(OFTEN, thumbnails=film != bare)) for film in films]
    gone.unlink()
    changed.write_bytes(b"longer than before")
    kept[3].write_bytes(b"half")
    tidy_begun(codes, network.tag, OFTEN)
    assert [path.exists() for path in kept] == [True, False, False, False, False]


def test_forgetting_removes_it(sample: Sample, encoded: Path, tmp_path: Path, dhh: Callable[..., Result]) -> None:
    codes = tmp_path / "codes.h5"
    codes.write_bytes(encoded.read_bytes())
    migrating = tmp_path / "codes.h5.migrating"
    left = [begun_path(name, sample.film) for name in (codes, migrating)]
    for path in left:
        path.write_bytes(b"codes of somebody")
    dry = dhh("forget", codes, "--track", "0", "--dry-run")
    assert dry.exit_code == 0
    assert all(path.exists() for path in left)
    done = dhh("forget", codes, "--track", "0", "--yes")
    assert done.exit_code == 0
    assert "cut off had done of films is removed too" in done.stderr
    assert not any(path.exists() for path in left)


def test_nothing_is_kept_of_a_film_of_which_something_was_forgotten(
    clip: Path, tmp_path: Path, network: Network, dhh: Callable[..., Result]
) -> None:
    codes, film = tmp_path / "codes.h5", tmp_path / "film.mp4"
    film.write_bytes(clip.read_bytes())
    made = encode_video(film, network)
    commit(codes, network.tag, replace(made, thumbnails=(b"",) * len(made.tracks)))
    finish(codes, network.tag)
    assert dhh("forget", codes, "--track", "0", "--yes").exit_code == 0
    options = replace(OFTEN, thumbnails=True)  # encoded again for its pictures, where any track is left
    seen: list[bool] = []
    film.touch()
    with open_shard(codes) as shard:
        assert len(shard.tombstones) == 1
    list(encode([film], codes, network, options, on_step=lambda _: seen.append(begun_path(codes, film).exists())))
    assert not any(seen)


# ---------------------------------------------------------------------------------------------------- packing


def test_what_is_packed_comes_back() -> None:
    step = Step(Path("a"), 1.5, None)
    value = {
        "none": None,
        3: [True, -1, 2.5, 1e-300, "ä\udcff", b"\x00\xff", Fraction(-3, 7)],
        "tuple": (1, (2, ())),
        "arrays": [np.arange(6, dtype=np.float32).reshape(2, 3), np.empty((0, 4), np.uint8), np.float32(0.1)],
    }
    back = unpack(pack(value))
    assert repr(back) == repr(value)
    assert back["arrays"][0].dtype == np.float32
    one = replace(step, path="a")  # type: ignore[arg-type]
    first, second, other = unpack(pack([one, one, replace(one)], (Step,)), (Step,))
    assert first is second
    assert first == other == one
    assert first is not other


@pytest.mark.parametrize("thing", [object(), Step(Path("a"), 0, None), Path("a"), np.array(["a"]), {1, 2}])
def test_only_plain_things_are_packed(thing: object) -> None:
    with pytest.raises(TypeError, match="cannot be packed"):
        pack([thing])


def test_every_bit_counts() -> None:
    data = pack({"a": np.arange(3), "b": [1, "two"]})
    for at in range(len(data)):
        with pytest.raises(ValueError, match="damaged"):
            unpack(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with pytest.raises(ValueError, match="damaged"):
            unpack(data[:at])


def test_nothing_is_made_but_what_the_reader_names() -> None:
    data = pack(replace(Step(Path("a"), 0, None), path="a"), (Step,))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not what was expected"):
        unpack(data)
