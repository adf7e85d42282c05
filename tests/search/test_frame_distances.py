"""Search by codes of frames against a slow twin that sorts everything; and the command line over a decoded film."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commands import one_line, rows_of
from footage import FRAMES, encoded_video, make, random_codes
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_search import Near, assert_same_hits, nearest_row, slow_search, soft_bits, some_rules
from typer.testing import Result

from dhhcli.errors import ShardError
from dhhcli.media.sample import Sample
from dhhcli.models.binary_codes import binarise, hamming, pack, unpack
from dhhcli.research.evaluation.frame_distances import Frames, frame_distances
from dhhcli.search import frame_distances as framesearch
from dhhcli.search.explain import ByFrames, ranked_by
from dhhcli.search.frame_distances import track_distances
from dhhcli.search.options import FrameDistance, Rank
from dhhcli.search.ranking import NO_RULES, Rules, by_codes, search
from dhhcli.storage.codes_file import ModelTag, Shard, commit, compact, open_shard

Run = Callable[..., Result]
WAYS = (FrameDistance.average, FrameDistance.minimum)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def slow(shard: Shard, way: FrameDistance, rank: Rank) -> Near:
    """What a track ranks by and what decides among equals, frame by frame, in fractions."""
    frames = [unpack(shard.frames(track), shard.tag.bits) for track in range(len(shard))]

    def near(person: np.ndarray, track: int) -> tuple[float, float]:
        found: list[tuple[float, float]] = []
        for row in person:
            each = [nearest_row(row[None], bits, rank) for bits in frames[track]]
            if way is FrameDistance.minimum:
                found.append(min(each))
            else:
                count = len(each)
                first, second = (
                    float(sum(map(Fraction, column), Fraction(0)) / count) for column in zip(*each, strict=True)
                )
                found.append((first, float(np.float32(second)) if rank is Rank.bits else second))
        return min(found)

    return near


def made(folder: Path, rng: np.random.Generator, varying: int) -> Path:
    """Some videos, in one file and parts beside it; some tracks have the same frames in another order, or doubled."""
    path = folder / "codes.h5"
    for name in "abc":
        tracks = int(rng.integers(0, 16))
        video = encoded_video(
            rng, f"/{name}.mov", shots=int(rng.integers(1, 6)), tracks=tracks, varying=varying, frames=True
        )
        frames = list(video.frame_codes or ())
        for track in range(1, tracks):
            if rng.random() < 0.3:
                frames[track] = np.tile(frames[track - 1][::-1], (int(rng.integers(1, 3)), 1))
        video.tracks["frames_used"] = [len(own) for own in frames]
        commit(path, FRAMES, replace(video, frame_codes=tuple(frames)))
        if name == "b":
            compact(path, FRAMES)
    return path


@given(seed=st.integers(0, 2**32), varying=st.integers(1, 12), words=st.sampled_from([1, 7, 1 << 18]))
@settings(max_examples=20, deadline=None)
def test_search_is_what_sorting_everything_gives(
    tmp_path_factory: pytest.TempPathFactory, seed: int, varying: int, words: int
) -> None:
    """Making a codes file takes many times as long as asking it: several questions each."""
    rng = np.random.default_rng(seed)
    with (
        open_shard(made(tmp_path_factory.mktemp("frames"), rng, varying)) as shard,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(framesearch, "WORDS", words)
        patch.setattr(framesearch, "SCORED", words)
        for way, rank in product(WAYS, Rank):
            soft, top = (
                soft_bits(rng, int(rng.integers(1, 4))),
                None if rng.random() < 0.1 else int(rng.integers(1, 13)),
            )
            rules = some_rules(rng, shard) if rng.random() < 0.7 else NO_RULES
            expected = slow_search(shard, soft, top, rules, slow(shard, way, rank), rank)
            assert_same_hits(search(shard, soft, top, rules=rules, way=way, rank=rank), expected)


@pytest.mark.parametrize("bits", [12, 48, 128, 256, 512])
def test_distances_are_those_of_the_comparison(rng: np.random.Generator, bits: int, tmp_path: Path) -> None:
    """Averages and minima as measure.py takes them, of all widths, in several threads and pieces."""
    tag = ModelTag(bits, "00" * 32, frame_codes=True)
    for name in "ab":
        commit(tmp_path / "codes.h5", tag, encoded_video(rng, f"/{name}.mov", tracks=40, bits=bits, frames=True))
    query = random_codes(rng, 3, bits)
    with open_shard(tmp_path / "codes.h5") as shard, pytest.MonkeyPatch.context() as patch:
        each = [shard.frames(track) for track in range(80)]
        starts = np.cumsum([0, *(len(own) for own in each[:-1])])
        frames = Frames(np.concatenate(each), starts)
        patch.setattr(framesearch, "WORDS", 64)
        patch.setattr(framesearch, "THREAD_FROM", 16)
        for way in WAYS:
            expected = frame_distances(Frames(query, np.arange(3)), frames, way.value).min(axis=0)  # type: ignore[arg-type]
            for threads in (1, 3):
                found = track_distances(shard.frame_pieces, query, way, threads=threads)
                np.testing.assert_allclose(found, expected, atol=1e-12)
            mask = rng.random(80) < 0.1
            few = track_distances(shard.frame_pieces, query, way, mask)
            assert (few[mask] == found[mask]).all()
            assert (few[~mask] > 8 * 64).all()


def test_equal_averages_of_unequal_numbers_of_frames_tie(rng: np.random.Generator, tmp_path: Path) -> None:
    """1/3 and 10/30 bits: the earlier track is first, whatever the sums round to."""
    path = tmp_path / "codes.h5"
    video = encoded_video(rng, "/a.mov", shots=2, tracks=2, frames=True)
    video.tracks["shot"], video.tracks["frames_used"] = [0, 1], [30, 3]
    one, none = pack(np.arange(48)[None] < 1), pack(np.arange(48)[None] < 0)
    frames = (np.concatenate([one] * 10 + [none] * 20), np.concatenate([none, one, none]))
    commit(path, FRAMES, replace(video, frame_codes=frames))
    with open_shard(path) as shard:
        hits = search(shard, np.zeros((1, 48), np.float32), 2, way=FrameDistance.average)
        assert [(hit.track, hit.distance, hit.tracks) for hit in hits] == [(0, 1 / 3, 1), (1, 1 / 3, 1)]
        assert hits[0].score == hits[1].score
        hits = search(shard, np.zeros((1, 48), np.float32), 2, way=FrameDistance.minimum)
        assert [(hit.track, hit.distance) for hit in hits] == [(0, 0), (1, 0)]
        assert type(hits[0].distance) is int


def test_confidence_is_asked_about_codes_of_tracks(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "codes.h5"
    make(rng, path, "ab", tracks=9, tag=FRAMES)
    asked: list[tuple[list[int], list[float]]] = []

    def keep(distances: np.ndarray, scores: np.ndarray) -> np.ndarray:
        asked.append((distances[0].tolist(), scores[0].tolist()))
        return np.asarray(distances[0] < 25)

    soft = soft_bits(rng, 2)
    with open_shard(path) as shard:
        codes = hamming(pack(binarise(soft)), shard.codes).min(axis=0)
        hits = search(shard, soft, None, rules=Rules(keep=keep), way=FrameDistance.average, rank=Rank.bits)
        assert 0 < len(hits) < 6
        assert {hit.track for hit in hits} <= set(np.flatnonzero(codes < 25).tolist())
        measured = by_codes(shard, [soft], hits, Rank.bits)
        for hit, other in zip(hits, measured, strict=True):
            assert (other.rank, other.distance, other.track) == (hit.rank, hit.distance, hit.track)
            distance, score = nearest_row(soft, unpack(shard.codes[hit.track][None], 48)[0])
            assert other.claims[0].distance == distance == codes[hit.track]
            assert other.claims[0].score == pytest.approx(score)
        assert by_codes(shard, [soft], []) == []
    assert len(asked[-1][0]) >= len(hits)


def test_nothing_to_find(tmp_path: Path) -> None:
    compact(tmp_path / "codes.h5", FRAMES)
    with open_shard(tmp_path / "codes.h5") as shard:
        for way in WAYS:
            assert search(shard, np.zeros((1, 48)), 5, way=way) == []
    assert track_distances([], np.zeros((1, 8), np.uint8), FrameDistance.average).shape == (0,)


@pytest.mark.parametrize(
    "ends",
    [
        lambda ends: np.r_[ends[1], ends[1:]],  # a track without frames
        lambda ends: np.r_[ends[:3], np.int64(2**62), ends[4:]],
        lambda ends: np.r_[np.int64(-1), ends[1:]],
    ],
)
def test_damaged_ends_are_an_error(
    rng: np.random.Generator, tmp_path: Path, ends: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = tmp_path / "codes.h5"
    make(rng, path, "ab", tag=FRAMES)
    with h5py.File(path, "r+") as h5:
        data = ends(h5["frame_code_ends"][:])
        del h5["frame_code_ends"]
        h5.create_dataset("frame_code_ends", data=data)
    with open_shard(path) as shard, pytest.raises(ShardError, match="frames of tracks do not fit their table: damaged"):
        search(shard, np.zeros((1, 48)), 5, way=FrameDistance.average)


def test_a_track_of_too_many_frames_is_an_error() -> None:
    codes = np.zeros((40_000, 8), np.uint8)
    with pytest.raises(ShardError, match="damaged"):
        track_distances([(codes, np.array([40_000]))], codes[:1], FrameDistance.minimum)


def test_what_explains_a_rank() -> None:
    distances = np.array([[3, 9, 6], [5, 6, 4]], np.int32)
    assert ranked_by(distances, FrameDistance.average) == ByFrames(FrameDistance.average, 5.0, 3, 4, 6)
    assert ranked_by(distances, FrameDistance.minimum) == ByFrames(FrameDistance.minimum, 3.0, 3, 3, 9)


# ------------------------------------------------------------------------------------------------ command line


@pytest.fixture
def ask(with_frames: Path, picture_weights: Path, dhh: Run) -> Run:
    """``dhh query`` on the film's codes of frames."""

    def query(*words: object) -> Result:
        return dhh("query", *map(str, words), "--codes", with_frames, "--weights", picture_weights)

    return query


def objects(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_way_of_the_command_line(ask: Run, with_frames: Path, sample: Sample) -> None:
    collins = sample.photos[0]
    by_way = {way: objects(ask(collins, "--search", way.value, "--rank", "bits", "--json")) for way in FrameDistance}
    assert objects(ask(collins, "--rank", "bits", "--json")) == by_way[FrameDistance.average]
    assert len({json.dumps([row["distance"] for row in rows]) for rows in by_way.values()}) == 3
    assert str(collins) not in {row["video"] for row in by_way[FrameDistance.average]}  # it is no answer to itself
    with open_shard(with_frames) as shard:
        itself = next(row for row, video in enumerate(shard.videos) if video.path == collins)
        own = shard.code_rows(np.flatnonzero(shard.track_rows(np.arange(len(shard)))["video"] == itself))
        for way, rows in by_way.items():
            for row in rows:
                each = hamming(own, shard.frames(row["track"]))[0]
                code = int(hamming(own, shard.code_rows(np.array([row["track"]])))[0, 0])
                expected = {
                    FrameDistance.average: round(float(each.mean()), 6),
                    FrameDistance.minimum: int(each.min()),
                    FrameDistance.majority: code,
                }
                assert row["distance"] == expected[way]
                assert type(row["distance"]) is (float if way is FrameDistance.average else int)
    # the shots of her come before those of him alone
    hers = [Path(row["video"]).suffix == ".mp4" and row["shot"] for row in by_way[FrameDistance.average]][:3]
    assert set(hers) == {2, 6, 7}
    (first, *_) = rows_of(ask(collins, "--in", "*.mp4"))
    assert first["distance"] == f"{by_way[FrameDistance.average][0]['distance']:.6f}"


def test_confidence_is_that_of_the_codes_of_tracks(ask: Run, sample: Sample) -> None:
    collins = sample.photos[0]
    by_code = {row["track"]: row["confidence"] for row in objects(ask(collins, "--search", "majority", "--json"))}
    rows = objects(ask(collins, "--json"))
    least = 1.0
    for row in rows:  # down a list it never rises
        least = min(least, by_code[row["track"]])
        assert row["confidence"] == pytest.approx(least, abs=2e-6)
    sure = [row["track"] for row in rows if row["confidence"] >= 0.5]
    assert 0 < len(sure) < len(rows)
    assert [row["track"] for row in objects(ask(collins, "--json", "--min-confidence", "0.5"))] == sure
    none = ask(collins, "--min-confidence", "1", "--max-false-rate", "0")
    assert (none.exit_code, none.stdout.count("\n")) == (3, 1)
    assert none.stderr.startswith(
        "nobody found above a confidence of 1 and within a false match rate of 0: the nearest"
    )
    limit = rows[0]["distance"]
    near = objects(ask(collins, "--json", "--max-distance", int(limit) + 1))
    assert [row["track"] for row in near] == [row["track"] for row in rows if row["distance"] <= int(limit) + 1]
    none = ask(collins, "--in", "*.mp4", "--max-distance", 0)
    assert (none.exit_code, none.stderr) == (
        3,
        f"nobody found within 0 bits: the nearest shot is {limit:g} bits away\n",
    )


def test_several_people_and_photos(ask: Run, sample: Sample) -> None:
    collins, hopper = sample.photos
    (both,) = objects(ask(collins, "--with", hopper, "--in", "*.mp4", "--json"))
    assert (both["shot"], len(both["also"])) == (6, 1)
    alone = objects(ask(collins, "--without", hopper, "--in", "*.mp4", "--json"))
    assert [row["shot"] for row in alone][:2] in ([2, 7], [7, 2])
    assert 6 not in [row["shot"] for row in alone]
    never = objects(ask(collins, "--not", hopper, "--in", "*.mp4", "--json"))
    assert {row["shot"] for row in never} == {2, 6, 7}
    track = objects(ask(f"shot:{sample.film}:2", "--json"))
    assert track[0]["shot"] != 2 or track[0]["video"] != str(sample.film)
    for fuse in ("best", "set", "both"):
        found = objects(ask(collins, sample.film, "--fuse", fuse, "--json"))
        assert str(collins) not in {row["video"] for row in found}


def test_explain_says_what_counted(ask: Run, sample: Sample, tmp_path: Path) -> None:
    row = objects(ask(sample.photos[0], "--json"))[1]
    result = ask(sample.photos[0], "--explain", "2")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    said = json.loads(ask(sample.photos[0], "--explain", "2", "--json").stdout)
    by = said["by_frames"]
    assert (by["way"], round(by["distance"], 6)) == ("average", row["distance"])
    at = next(number for number, line in enumerate(lines) if line.startswith("hit 2: "))  # words come first
    assert at > 0
    assert lines[at] == (
        f"hit 2: the average distance of its {by['frames']} frames is {row['distance']:g} bits ({by['least']} to "
        f"{by['most']}); what follows is about the code of the track, the majority of theirs"
    )
    assert lines[at + 1].startswith(f"hit 2: {said['distance']} of 48 bits differ")
    assert by["frames"] == said["crops_used"] == said["crops_again"]
    assert (said["changed"], len(said["differing"])) == (0, said["distance"])
    assert (
        json.loads(ask(sample.photos[0], "--explain", "2", "--search", "majority", "--json").stdout)["by_frames"]
        is None
    )
    assert ask(sample.photos[0], "--sheet", "hits.html", "--explain", "1").exit_code == 0
    assert "average distance of its " in (tmp_path / "hits.html").read_text()


def test_saved_rows_are_read_back(ask: Run, dhh: Run, with_frames: Path, sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "hits.json").write_text(ask(sample.photos[0], "--in", "*.mp4", "--json").stdout)
    result = dhh("export", "hits.json", "--format", "json", "--codes", with_frames)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == (tmp_path / "hits.json").read_text()
    first = json.loads(result.stdout.splitlines()[0])
    assert (
        f"{first['distance']:g} of 48 bits differ"
        in dhh("export", "hits.json", "-f", "webvtt", "-c", with_frames).stdout
    )


def test_an_index_of_codes_of_tracks_changes_nothing(
    ask: Run, dhh: Run, with_frames: Path, picture_weights: Path, sample: Sample, tmp_path: Path
) -> None:
    codes = tmp_path / "codes.h5"
    codes.write_bytes(with_frames.read_bytes())
    before = ask(sample.photos[0], "--json").stdout
    assert dhh("index", codes).exit_code == 0
    result = dhh("query", sample.photos[0], "--weights", picture_weights, "--json")
    assert result.stdout == before
    assert result.stderr == "the index of codes.h5 is of one code a track, which --search average does without\n"
    result = dhh("query", sample.photos[0], "--weights", picture_weights, "--json", "--search", "majority")
    assert result.stderr == ""
    assert result.stdout == ask(sample.photos[0], "--json", "--search", "majority").stdout


def test_what_is_refused(ask: Run, dhh: Run, encoded: Path, sample: Sample) -> None:
    for way in ("average", "minimum"):
        result = dhh("query", sample.photos[0], "--codes", encoded, "--search", way)
        one_line(result, 1, f"{encoded}: keeps no codes of frames, so there is no {way} of them", f"--search {way}")
        one_line(ask(sample.photos[0], "--search", way, "--device", "cuda"), 2, f"not the {way} of its frames")
    plain = dhh("query", sample.photos[0], "--codes", encoded, "--json")
    assert dhh("query", sample.photos[0], "--codes", encoded, "--json", "--search", "majority").stdout == plain.stdout
    assert ask(sample.photos[0], "--search", "mean").exit_code == 2


def test_forgetting_and_naming_go_by_codes_of_tracks(
    dhh: Run, with_frames: Path, picture_weights: Path, sample: Sample, tmp_path: Path
) -> None:
    codes = tmp_path / "codes.h5"
    codes.write_bytes(with_frames.read_bytes())
    words = ("--weights", picture_weights)
    rows = objects(dhh("query", sample.photos[0], "--json", "--in", "*.mp4", *words))
    track = rows[0]["track"]
    assert dhh("name", codes, "Eileen", "--track", str(track), *words).exit_code == 0
    named = objects(dhh("query", "--name", "Eileen", "--json", "--in", "*.mp4", *words))
    assert named[0]["track"] == track
    assert named[0]["distance"] > 0 or rows[0]["distance"] == 0  # her code against her frames
    result = dhh("forget", codes, "--track", str(track))
    assert result.exit_code == 0, result.stderr
    left = objects(dhh("query", sample.photos[0], "--json", "--in", "*.mp4", *words))
    assert [len(open_shard(path)) for path in (with_frames, codes)] == [8, 7]
    beside = [row for row in left if row["shot"] == rows[0]["shot"]]  # him, where he is beside her
    assert all(other["distance"] > rows[0]["distance"] + 5 for other in beside)
    again = dhh("encode", sample.film, *sample.photos, *words)
    assert again.exit_code == 0, again.stderr
    assert objects(dhh("query", sample.photos[0], "--json", "--in", "*.mp4", *words)) == left
