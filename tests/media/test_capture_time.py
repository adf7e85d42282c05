"""recorded: what files say about when they were recorded is read, kept, and asked for."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from footage import TAG, assert_same_video, encoded_video
from PIL import Image
from synthetic import scene, write_video
from typer.testing import Result

from dhhcli.media.sample import Sample
from dhhcli.media.timing.capture_time import photo_recorded, video_recorded
from dhhcli.media.video import open_video
from dhhcli.storage.codes_file import commit, open_shard

NOON = 1_717_243_200  # 1 June 2024, 12:00 UTC


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_a_video_says_when_it_was_recorded(tmp_path: Path, container: str) -> None:
    path = write_video(tmp_path / f"a.{container}", [scene(1)] * 3, recorded="2024-06-01T12:00:00.5Z")
    with open_video(path) as video:
        assert video.info.recorded == NOON
    silent = write_video(tmp_path / f"b.{container}", [scene(1)] * 3)
    with open_video(silent) as video:
        assert video.info.recorded is None


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ([{"creation_time": "2024-06-01T12:00:00.000000Z"}], NOON),
        ([{"creation_time": "2024-06-01 12:00:00"}], NOON),
        ([{}, {"CREATION_TIME": "2024-06-01T12:00:00Z"}], NOON),
        (
            [
                {"creation_time": "2030-01-01T00:00:00Z"},
                {"com.apple.quicktime.creationdate": "2024-06-01T14:00:00+0200"},
            ],
            NOON,
        ),
        ([{"DATE": "2024-06-01T12:00:00"}], NOON),
        ([{"date": "1976"}], None),
        ([{"date": "1976-11-12"}], None),
        ([{"creation_time": "1904-01-01T00:00:00Z"}], None),
        ([{"creation_time": "1970-01-01T00:00:00Z", "date": "2024-06-01T12:00:00Z"}], NOON),
        ([{"creation_time": "a long time ago"}], None),
        ([{"creation_time": "99999-01-01T00:00:00Z"}], None),
        ([], None),
    ],
)
def test_dates_of_videos(metadata: list[dict[str, str]], expected: int | None) -> None:
    assert video_recorded(metadata) == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({0x9003: "2024:06:01 14:00:00", 0x9011: "+02:00"}, NOON),
        ({0x9003: "2024:06:01 12:00:00\0", 0x9011: "+00:00\0"}, NOON),
        ({0x9003: "0000:00:00 00:00:00"}, None),
        ({0x9003: "    :  :     :  :  "}, None),
        ({0x9003: "2024:06:01 12:00:00", 0x9011: "noon"}, None),
        ({}, None),
    ],
)
def test_dates_of_photos(tmp_path: Path, tags: dict[int, str], expected: int | None) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update(tags)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=exif)
    assert photo_recorded(tmp_path / "a.jpg") == expected
    (tmp_path / "text.jpg").write_text("no picture")
    assert photo_recorded(tmp_path / "text.jpg") is None


def test_the_same_files_give_the_same_bytes_in_every_time_zone(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2024:06:01 12:00:00"
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg", exif=exif)
    Image.new("RGB", (64, 64)).save(tmp_path / "b.jpg")
    write_video(tmp_path / "c.mp4", [scene(1)] * 5, recorded="2024-06-01T12:00:00")
    for name in ("a.jpg", "b.jpg", "c.mp4"):  # in the hour that summer time skips or repeats somewhere
        os.utime(tmp_path / name, (1_711_846_800, 1_711_846_800))
    made: list[bytes] = []
    for zone in ("UTC", "Asia/Kathmandu", "UTC+11"):
        codes = tmp_path / f"{len(made)}.h5"
        code = "from dhhcli.cli.app import main; main()"
        words = [sys.executable, "-c", code, "encode", *("a.jpg", "b.jpg", "c.mp4"), "--out", str(codes)]
        subprocess.run(words, cwd=tmp_path, env=os.environ | {"TZ": zone}, check=True, capture_output=True, timeout=120)
        made.append(codes.read_bytes())
        with open_shard(codes) as shard:
            assert [video.recorded for video in shard.videos] == [NOON, None, NOON]
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("recorded", [None, 1, NOON])
def test_the_codes_file_keeps_it(tmp_path: Path, recorded: int | None) -> None:
    import dataclasses

    import numpy as np

    video = encoded_video(np.random.default_rng(0), "/a.mov")
    video = dataclasses.replace(video, video=dataclasses.replace(video.video, recorded=recorded))
    commit(tmp_path / "codes.h5", TAG, video)
    with open_shard(tmp_path / "codes.h5") as shard:
        assert_same_video(shard.encoded_video(0), video)


def test_photos_in_the_archive_are_found_by_their_date(dhh: Callable[..., Result], sample: Sample) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0x9003: "2024:06:01 12:00:00", 0x9011: "+00:00"})
    for name, own in (("old.jpg", exif), ("new.jpg", Image.Exif())):
        with Image.open(sample.photos[0]) as image:
            image.save(name, exif=own, quality=95)
    assert dhh("encode", "old.jpg", "new.jpg").exit_code == 0
    for words, found in ((("--before", "2024-06-02"), "old.jpg"), (("--after", "2024-06-02"), "new.jpg")):
        result = dhh("query", sample.photos[0], *words, "--columns", "video")
        assert [Path(line).name for line in result.stdout.splitlines()[1:]] == [found]
