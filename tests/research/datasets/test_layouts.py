"""research/datasets/layouts.py: small folders in every layout; empty files will do, nothing is opened but tables."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dhhcli.errors import MissingPathError, PackError
from dhhcli.research.datasets.layout_names import FolderLayout
from dhhcli.research.datasets.layouts import FRAMES_A_TRACK, Item, list_people

HEADER = "SUBJECT_ID,FILE,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT,PITCH,YAW,ROLL"


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def listed(root: Path, layout: FolderLayout = FolderLayout.AUTO) -> list[tuple[str, str, str, int]]:
    return [
        (item.person, item.path.relative_to(root).as_posix(), item.track, item.frame)
        for item in list_people(root, layout).items
    ]


def test_a_folder_per_person_with_photos_and_clips(tmp_path: Path) -> None:
    touch(tmp_path, "bo/2.jpg", "bo/10.JPG", "bo/old/1.png", "ann/talk.mp4", "ann/a.webp", "ann/.b.jpg", "list.txt")
    touch(tmp_path, "ann/notes.txt", ".git/x.jpg")
    found = list_people(tmp_path)
    assert found.layout is FolderLayout.AUTO
    assert listed(tmp_path) == [
        ("ann", "ann/a.webp", "", -1),
        ("ann", "ann/talk.mp4", "", -1),
        ("bo", "bo/2.jpg", "", -1),
        ("bo", "bo/10.JPG", "", -1),
        ("bo", "bo/old/1.png", "", -1),
    ]
    assert [item.is_video for item in found.items] == [False, True, False, False, False]
    assert {path.relative_to(tmp_path).as_posix() for path in found.ignored} == {
        ".git",
        "ann/.b.jpg",
        "ann/notes.txt",
        "list.txt",
    }
    assert [name for _, name, _, _ in listed(tmp_path, FolderLayout.VIDEOS)] == ["ann/talk.mp4"]
    assert [name for _, name, _, _ in listed(tmp_path, FolderLayout.IMAGES)] == [
        "ann/a.webp",
        "bo/2.jpg",
        "bo/10.JPG",
        "bo/old/1.png",
    ]


def test_frames_of_tracks_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    touch(tmp_path, *(f"scofield/{track}/{frame}.jpg" for track in ("s1_002", "s1_010") for frame in range(12)))
    touch(tmp_path, "sara/t/7.jpg")
    found = listed(tmp_path)
    assert list_people(tmp_path).layout is FolderLayout.PB
    assert found[0] == ("sara", "sara/t/7.jpg", "t", 0)
    assert found[1:13] == [("scofield", f"scofield/s1_002/{i}.jpg", "s1_002", i) for i in range(12)]
    assert {track for _, _, track, _ in found[13:]} == {"s1_010"}
    photos = list_people(tmp_path, FolderLayout.IMAGES)  # the same files, if those folders are albums
    assert {item.track for item in photos.items} == {""}


def test_a_photo_beside_track_folders_is_a_photo(tmp_path: Path) -> None:
    touch(tmp_path, "sara/t/1.jpg", "sara/portrait.jpg")
    assert listed(tmp_path, FolderLayout.PB) == [
        ("sara", "sara/portrait.jpg", "", -1),
        ("sara", "sara/t/1.jpg", "t", 0),
    ]


@pytest.mark.parametrize("n", [FRAMES_A_TRACK, FRAMES_A_TRACK + 1, 95])
def test_of_a_long_track_frames_are_taken_evenly(tmp_path: Path, n: int) -> None:
    touch(tmp_path, *(f"sara/t/{frame}.jpg" for frame in range(n)))
    frames = [frame for _, _, _, frame in listed(tmp_path)]
    assert frames == [int((i + 0.5) * n / FRAMES_A_TRACK) for i in range(FRAMES_A_TRACK)]
    assert [name for _, name, _, _ in listed(tmp_path)] == [f"sara/t/{frame}.jpg" for frame in frames]


def test_youtube_celebrities(tmp_path: Path) -> None:
    touch(tmp_path, "0193_01_001_al_gore.avi", "0193_01_002_al_gore.avi", "1413_02_013_Meryl_Streep.AVI", "other.avi")
    touch(tmp_path, "Init_State/0193_01_001_al_gore.mat")
    found = list_people(tmp_path)
    assert found.layout is FolderLayout.YTC
    assert [(item.person, item.path.name, item.is_video) for item in found.items] == [
        ("al_gore", "0193_01_001_al_gore.avi", True),
        ("al_gore", "0193_01_002_al_gore.avi", True),
        ("meryl_streep", "1413_02_013_Meryl_Streep.AVI", True),
    ]
    assert {path.name for path in found.ignored} == {"0193_01_001_al_gore.mat", "other.avi"}


def umdfaces(root: Path) -> Path:
    batch = touch(root, "umdfaces_batch1/ann/ann_0001.jpg", "umdfaces_batch1/bo/bo_0001.jpg") / "umdfaces_batch1"
    rows = ["1,ann/ann_0001.jpg,10.5,20,30,40,0,0,0", "2, bo/bo_0001.jpg ,1,2,3,4,0,0,0"]
    (batch / "umdfaces_batch1_ultraface.csv").write_text("\n".join([HEADER, *rows, ""]))
    touch(root, *(f"umdfaces_videos/ann/v_1/frame_{frame}.jpg" for frame in (9, 10)))
    rows = [f"1,ann/v_1/frame_{frame}.jpg,5,6,7,8,0,0,0" for frame in (10, 9)]
    (root / "umdfaces_videos_ultraface.csv").write_text("\n".join([HEADER, *rows, ""]))
    return root


def test_umdfaces(tmp_path: Path) -> None:
    found = list_people(umdfaces(tmp_path))
    assert found.layout is FolderLayout.UMDFACES
    batch, videos = tmp_path / "umdfaces_batch1", tmp_path / "umdfaces_videos"
    assert found.items == (
        Item("ann", batch / "ann/ann_0001.jpg", box=(10.5, 20, 40.5, 60)),
        Item("ann", videos / "ann/v_1/frame_9.jpg", track="v_1", frame=0, box=(5, 6, 12, 14)),
        Item("ann", videos / "ann/v_1/frame_10.jpg", track="v_1", frame=1, box=(5, 6, 12, 14)),
        Item("bo", batch / "bo/bo_0001.jpg", box=(1, 2, 4, 6)),
    )


def test_umdfaces_batch_folder_itself_and_a_picture_that_is_not_there(tmp_path: Path) -> None:
    batch = umdfaces(tmp_path) / "umdfaces_batch1"
    (batch / "bo/bo_0001.jpg").unlink()
    found = list_people(batch)  # kept: reading it later says that it is missing
    assert [item.path for item in found.items] == [batch / "ann/ann_0001.jpg", batch / "bo/bo_0001.jpg"]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("SUBJECT_ID,FILE,FACE_X\n1,a/b.jpg,3\n", "no column FACE_HEIGHT, FACE_WIDTH, FACE_Y"),
        ("", "no column"),
        (f"{HEADER}\n1,a/b.jpg,1,2,x,4,0,0,0\n", "line 2: the box is 1, 2, x, 4"),
        (f"{HEADER}\n1,a/b.jpg,1,2\n", "line 2: the box is 1, 2, None, None"),
        (f"{HEADER}\n1,a/b.jpg,1,2,3,4,0,0,0\n1,../../b.jpg,1,2,3,4,0,0,0\n", "line 3: FILE is '../../b.jpg'"),
        (f"{HEADER}\n1,/etc/b/c.jpg,1,2,3,4,0,0,0\n", "FILE is '/etc/b/c.jpg'"),
        (f"{HEADER}\n1,b.jpg,1,2,3,4,0,0,0\n", "FILE is 'b.jpg'"),
        (f"{HEADER}\n", "nothing found"),
        (b"\xff\xfe\x00", "cannot be read as a table"),
    ],
)
def test_a_table_of_another_form_is_refused_in_one_line(tmp_path: Path, table: str | bytes, says: str) -> None:
    path = tmp_path / "batch_ultraface.csv"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(PackError) as caught:
        list_people(tmp_path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", list(FolderLayout))
def test_nobody_in_a_layout_is_said_with_what_was_expected(tmp_path: Path, layout: FolderLayout) -> None:
    touch(tmp_path, "ann/notes.txt")
    with pytest.raises(PackError, match=f"nothing found in layout {layout}; expected"):
        list_people(tmp_path, layout)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "faces.h5")
    with pytest.raises(MissingPathError, match=r"faces\.h5: a file; face packs need no packing"):
        list_people(tmp_path / "faces.h5")
    with pytest.raises(MissingPathError, match="no such folder"):
        list_people(tmp_path / "nowhere")


def add(path: Path) -> None:
    touch(path, "ann/3.jpg")


def grow(path: Path) -> None:
    (path / "ann/2.jpg").write_bytes(b"xy")


def rename(path: Path) -> None:
    (path / "ann").rename(path / "anna")


@pytest.mark.parametrize("change", [add, grow, rename, lambda path: (path / "ann/1.jpg").unlink()])
def test_the_fingerprint_knows_every_change(tmp_path: Path, change: Callable[[Path], None]) -> None:
    before = list_people(touch(tmp_path, "ann/1.jpg", "ann/2.jpg")).fingerprint()
    assert list_people(tmp_path).fingerprint() == before
    change(tmp_path)
    assert list_people(tmp_path).fingerprint() != before
