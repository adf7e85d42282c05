"""folders.py, writer.py: public domain portraits and small clips in every layout -> face packs; all that is bad."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from synthetic import ASTRONAUT_LANDMARKS, astronaut, grace_hopper, moving_face, scene, truncate, write_video

from dhhcli.base.arrays import Picture
from dhhcli.errors import MissingPathError, PackError
from dhhcli.faces.alignment import TEMPLATE, align
from dhhcli.faces.detector import Face, FaceDetector
from dhhcli.research.datasets.folders import Missed, Packed, meant, open_faces, pack_folders
from dhhcli.research.datasets.layout_names import FolderLayout
from dhhcli.research.datasets.layouts import list_people
from dhhcli.research.datasets.pack import FacePack, read_pack
from dhhcli.research.datasets.writer import PackRow, PackWriter, skipped


def save(path: Path, picture: Picture) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)
    return path


def clip(path: Path, *shots: tuple[Picture, int]) -> Path:
    """Shots of a portrait that moves a little, so many frames each."""
    pictures = [
        moving_face(face, [(100 + 2 * frame, 120)], side=200)[0] for face, frames in shots for frame in range(frames)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, pictures)


def both() -> Picture:
    """Collins, large, on the left and Hopper, smaller, on the right: (512, 812, 3)."""
    return np.concatenate([astronaut(), cv2.resize(grace_hopper(), (300, 512))], axis=1)


def pack(source: Path, out: Path, layout: FolderLayout = FolderLayout.AUTO) -> tuple[FacePack, list[Packed | Missed]]:
    events = list(pack_folders([list_people(source, layout)], out))
    return read_pack(out), events


def column(path: Path, name: str) -> list[Any]:
    with h5py.File(path) as file:
        return [value.decode() if isinstance(value, bytes) else int(value) for value in file[name][:]]


def likeness(a: Picture, b: Picture) -> float:
    """Correlation of grey values."""
    return float(np.corrcoef(a.mean(axis=2).ravel(), b.mean(axis=2).ravel())[0, 1])


@pytest.fixture(scope="module")
def crops() -> dict[str, Picture]:
    """The aligned crops that the portraits must give."""
    detector = FaceDetector()
    return {
        name: align(picture, detector.detect(picture)[0].landmarks, margin=8)
        for name, picture in {"collins": astronaut(), "hopper": grace_hopper()}.items()
    }


# ------------------------------------------------------------------------------------------------- photos


def test_photos_become_crops_aligned_with_a_margin(tmp_path: Path, crops: dict[str, Picture]) -> None:
    save(tmp_path / "people/collins/a.png", astronaut())
    save(tmp_path / "people/hopper/b.png", grace_hopper())
    faces, events = pack(tmp_path / "people", tmp_path / "faces.h5")
    assert events == [
        Packed(tmp_path / "people/collins/a.png", 1),
        Packed(tmp_path / "people/hopper/b.png", 1),
    ]
    assert faces.names == ("collins", "hopper")
    assert faces.identity.tolist() == [0, 1]
    assert faces.track.tolist() == [-1, -1]
    assert np.isnan(faces.teacher).all()
    for picture, expected in zip(faces.pictures, crops.values(), strict=True):
        assert np.abs(picture.astype(int) - expected).mean() < 6  # JPEG, its colour at half the size
    moved = align(astronaut(), ASTRONAUT_LANDMARKS.astype(np.float32), margin=8)  # landmarks read off by eye
    assert likeness(faces.pictures[0], moved) > 0.8 > likeness(faces.pictures[1], moved)
    assert column(tmp_path / "faces.h5", "source") == ["people", "people"]
    assert column(tmp_path / "faces.h5", "file") == ["collins/a.png", "hopper/b.png"]
    assert column(tmp_path / "faces.h5", "frame") == [-1, -1]
    assert skipped(tmp_path / "faces.h5") == ()
    with h5py.File(tmp_path / "faces.h5") as file:
        assert (file.attrs["format"], file.attrs["format_version"]) == (b"dhh-faces", 1)
        assert "teacher" not in file
        assert (file["score"][:] > 0.5).all()
        assert file["face_px"][0] == pytest.approx(100, abs=40)


def test_the_largest_face_or_the_one_at_the_box(tmp_path: Path) -> None:
    detector = FaceDetector()
    large, small = sorted(detector.detect(both()), key=lambda face: -face.size)[:2]
    folder = tmp_path / "umdfaces_batch1"
    save(folder / "x/x_1.png", both())
    save(folder / "y/y_1.png", both())
    save(folder / "z/z_1.png", both())
    lines = ["SUBJECT_ID,FILE,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT"]
    for who, (x0, y0, x1, y1) in (("x", large.box), ("y", small.box), ("z", (0, 0, 30, 30))):
        lines.append(f"1,{who}/{who}_1.png,{x0},{y0},{x1 - x0},{y1 - y0}")
    (folder / "umdfaces_batch1_ultraface.csv").write_text("\n".join(lines))
    faces, events = pack(tmp_path, tmp_path / "faces.h5")
    assert faces.names == ("x", "y")  # nobody for z: not a person of the pack
    assert faces.face_px.tolist() == [large.size, small.size]
    largest, _ = pack(folder, tmp_path / "largest.h5", FolderLayout.IMAGES)
    assert largest.face_px.tolist() == [large.size] * 3
    assert [event.others for event in events if isinstance(event, Packed)] == [1, 1]
    missed = events[-1]
    assert isinstance(missed, Missed)
    assert missed.reason == "no face found at the annotated box 0, 0, 30, 30 (faces elsewhere: 2)"


def test_of_overlapping_faces_the_one_nearest_the_box_is_meant() -> None:
    def face(*box: float) -> Face:
        return Face(np.array(box, np.float32), TEMPLATE.astype(np.float32), 0.9)

    faces = [face(0, 0, 100, 100), face(60, 0, 120, 60), face(300, 0, 500, 200)]
    assert meant(faces, (62, 2, 118, 61)) is faces[1]
    assert meant(faces, (5, 5, 100, 90)) is faces[0]
    assert meant(faces, None) is faces[2]
    with pytest.raises(PackError, match="no face found at the annotated box"):
        meant(faces, (0, 300, 50, 350))
    with pytest.raises(PackError, match=r"no face found$"):
        meant([], None)


# -------------------------------------------------------------------------------------------------- clips


def test_a_clip_gives_the_track_that_is_seen_longest(tmp_path: Path, crops: dict[str, Picture]) -> None:
    """A cut between two people: 15 frames of Collins, 30 of Hopper."""
    clip(tmp_path / "people/hopper/talk.mp4", (astronaut(), 15), (grace_hopper(), 30))
    save(tmp_path / "people/hopper/photo.png", grace_hopper())
    faces, events = pack(tmp_path / "people", tmp_path / "faces.h5")
    assert faces.names == ("hopper",)
    photo, *frames = column(tmp_path / "faces.h5", "frame")
    assert photo == -1
    assert frames[:2] == [15, 20]  # a look every fifth of a second, and one when the cut is settled
    assert frames == sorted(frames)
    assert 6 <= len(frames) <= 7
    assert faces.track.tolist() == [-1] + [0] * len(frames)
    assert column(tmp_path / "faces.h5", "file")[1:] == ["hopper/talk.mp4"] * len(frames)
    assert events[1] == Packed(tmp_path / "people/hopper/talk.mp4", len(frames), others=1)
    for picture in faces.pictures:
        # the clip shows her narrower than the photo
        assert likeness(picture, crops["hopper"]) > 0.4 > likeness(picture, crops["collins"])


def test_youtube_celebrities_clips_are_tracks_of_the_people_in_their_names(tmp_path: Path) -> None:
    clip(tmp_path / "yt/0001_01_001_eileen_collins.avi", (astronaut(), 6))
    clip(tmp_path / "yt/0002_01_001_grace_hopper.avi", (grace_hopper(), 6))
    clip(tmp_path / "yt/0002_01_002_grace_hopper.avi", (grace_hopper(), 11))
    faces, _ = pack(tmp_path / "yt", tmp_path / "faces.h5")
    assert faces.names == ("eileen_collins", "grace_hopper")
    assert faces.identity.tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert faces.track.tolist() == [0, 0, 1, 1, 2, 2, 2]


def test_frames_of_prison_break_tracks(tmp_path: Path, crops: dict[str, Picture]) -> None:
    for track, portrait in (("t1", astronaut()), ("t2", astronaut()[:, ::-1])):
        for frame in (1, 2, 10):
            tight = portrait[40:200, 140:310]  # as cut out around a face
            save(tmp_path / f"pb/collins/{track}/{frame}.png", np.ascontiguousarray(tight))
    faces, _ = pack(tmp_path / "pb", tmp_path / "faces.h5")
    assert faces.track.tolist() == [0, 0, 0, 1, 1, 1]
    assert column(tmp_path / "faces.h5", "frame") == [0, 1, 2, 0, 1, 2]
    inner = slice(8, 72)
    assert likeness(faces.pictures[0][inner, inner], crops["collins"][inner, inner]) > 0.75  # found in a tight cut


def test_folders_packed_together_share_their_people_but_no_tracks(tmp_path: Path) -> None:
    save(tmp_path / "photos/collins/a.png", astronaut())
    clip(tmp_path / "clips/collins/b.mp4", (astronaut(), 6))
    clip(tmp_path / "more/collins/b.mp4", (astronaut(), 6))
    listings = [list_people(tmp_path / name) for name in ("photos", "clips", "more")]
    list(pack_folders(listings, tmp_path / "faces.h5"))
    faces = read_pack(tmp_path / "faces.h5")
    assert faces.names == ("collins",)
    assert faces.track.tolist() == [-1, 0, 0, 1, 1]
    assert column(tmp_path / "faces.h5", "source") == ["photos", "clips", "clips", "more", "more"]


# ---------------------------------------------------------------------------------------------- what is bad


def spoiled(folder: Path) -> Path:
    """One good photo, and files that give nothing."""
    save(folder / "ann/good.png", astronaut())
    save(folder / "ann/sky.png", scene(1, 320, 240))
    (folder / "ann/text.jpg").write_text("not a picture")
    (folder / "ann/text.mp4").write_text("not a film")
    write_video(folder / "ann/sky.mp4", [scene(2)] * 6)
    return folder


def test_what_gives_no_face_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    faces, events = pack(spoiled(tmp_path / "people"), tmp_path / "faces.h5")
    assert len(faces) == 1
    missed = {event.path.name: event.reason for event in events if isinstance(event, Missed)}
    assert missed.keys() == {"sky.png", "text.jpg", "text.mp4", "sky.mp4"}
    assert missed["sky.png"] == missed["sky.mp4"] == "no face found"
    assert "cannot be read as a photo" in missed["text.jpg"]
    assert "is a text, no film" in missed["text.mp4"]
    assert set(skipped(tmp_path / "faces.h5")) == {
        f"{tmp_path / 'people' / 'ann' / name}: {reason}" for name, reason in missed.items()
    }


def test_a_clip_that_stops_early_is_kept_and_said(tmp_path: Path) -> None:
    truncate(clip(tmp_path / "people/ann/cut.mkv", (astronaut(), 60)), 0.5)
    faces, events = pack(tmp_path / "people", tmp_path / "faces.h5")
    assert isinstance(events[0], Packed)
    assert events[0].warnings
    assert 1 < len(faces) < 12
    assert "incomplete" in skipped(tmp_path / "faces.h5")[0]


def test_no_face_at_all_leaves_no_file(tmp_path: Path) -> None:
    save(tmp_path / "people/ann/sky.png", scene(1, 320, 240))
    with pytest.raises(PackError, match=r"faces\.h5: not written, no face was found in any of 1 files"):
        pack(tmp_path / "people", tmp_path / "faces.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["people"]


def test_a_pack_is_whole_or_not_there(tmp_path: Path) -> None:
    crop = np.zeros((80, 80, 3), np.uint8)

    def stop_after(crops: int) -> None:
        with PackWriter(tmp_path / "faces.h5") as writer:
            for _ in range(crops):
                writer.add(crop, PackRow(writer.identity("ann"), b"", b"", 1, 1))
            raise KeyboardInterrupt

    for crops in (0, 1, 1024 + 1):
        with pytest.raises(KeyboardInterrupt):
            stop_after(crops)
        assert list(tmp_path.iterdir()) == []


def test_crops_are_written_in_portions_and_names_may_be_any_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with PackWriter(tmp_path / "faces.h5") as writer:
        for number in range(1024 + 2):
            crop = np.full((80, 80, 3), rng.integers(256), np.uint8)
            crop[0, 0] = number % 256
            person = "b\udce9a" if number % 2 else "ann"
            writer.add(crop, PackRow(writer.identity(person), b"s", b"f\xff", number, 0.5, frame=number))
    faces = read_pack(tmp_path / "faces.h5")
    assert faces.face_px.tolist() == list(range(1024 + 2))
    assert faces.names == ("ann", "b\ufffda")
    assert faces.identity.tolist() == [number % 2 for number in range(1024 + 2)]
    again = np.random.default_rng(0)
    levels = [int(again.integers(256)) for _ in range(1024 + 2)]
    assert np.abs(faces.pictures[:, 40, 40, 0].astype(int) - levels).max() <= 2
    with pytest.raises(ValueError, match="expected"), PackWriter(tmp_path / "other.h5") as writer:
        writer.add(np.zeros((64, 64, 3), np.uint8), PackRow(0, b"", b"", 1, 1))


def test_where_no_pack_can_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "there.h5").write_bytes(b"mine")
    with pytest.raises(PackError, match="is there already"):
        PackWriter(tmp_path / "there.h5")
    assert (tmp_path / "there.h5").read_bytes() == b"mine"
    with pytest.raises(PackError, match="cannot be made"):
        PackWriter(tmp_path / "no" / "folder.h5")


def test_a_full_disk_leaves_nothing_and_says_so_in_the_systems_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("dhhcli.research.datasets.writer.tempfile.TemporaryFile", full)
        with pytest.raises(PackError, match=r"p\.h5: cannot be made \(No space left on device\); name another place"):
            PackWriter(tmp_path / "p.h5")
    monkeypatch.setattr("dhhcli.base.atomic_write.os.fsync", full)
    with (
        pytest.raises(PackError, match=r"p\.h5: cannot be written \(No space left on device\); free space"),
        PackWriter(tmp_path / "p.h5") as writer,
    ):
        writer.add(np.zeros((80, 80, 3), np.uint8), PackRow(writer.identity("ann"), b"", b"", 1, 1))
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------ open_faces


def test_a_folder_is_packed_once_until_it_changes(tmp_path: Path) -> None:
    folder, cache = spoiled(tmp_path / "people"), tmp_path / "run" / "data"
    first: list[str] = []
    faces = open_faces(folder, cache, first.append)
    assert first[0].startswith(f"{folder}: packing 5 files (layout auto) into {cache / 'people-'}")
    assert first[-1] == f"{folder}: 1 crops of 1 people"
    assert len([line for line in first if line.startswith("skipped: ")]) == 4
    (kept,) = cache.iterdir()
    before = kept.stat().st_mtime_ns
    again: list[str] = []
    np.testing.assert_array_equal(open_faces(folder, cache, again.append).pictures, faces.pictures)
    assert kept.stat().st_mtime_ns == before
    assert again[0] == f"{folder}: faces as packed before in {kept}"
    assert again[1:] == first[1:]  # what was skipped stays said
    save(folder / "ann/more.png", grace_hopper())
    assert len(open_faces(folder, cache, again.append)) == 2
    assert len(list(cache.iterdir())) == 2


def test_a_pack_is_read_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "people/ann/good.png", astronaut())
    faces, _ = pack(tmp_path / "people", tmp_path / "faces.h5")
    np.testing.assert_array_equal(open_faces(tmp_path / "faces.h5", tmp_path / "c").pictures, faces.pictures)
    assert not (tmp_path / "c").exists()
    assert capsys.readouterr() == ("", "")
    open_faces(tmp_path / "people", tmp_path / "c")
    assert "1 crops of 1 people" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda path: path, PackError, "no such face pack"),
        (lambda path: path.mkdir(), PackError, "nothing found"),
    ],
)
def test_neither_pack_nor_people(
    tmp_path: Path, make: Callable[[Path], None], error: type[Exception], says: str
) -> None:
    make(tmp_path / "people")
    with pytest.raises(error, match=says):
        open_faces(tmp_path / "people", tmp_path / "c")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError, match="no such folder"):
        list_people(tmp_path / "people")
