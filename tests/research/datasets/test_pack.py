"""research/datasets/pack.py: a small pack made here, whole and damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from footage import TAG
from packs import N, jpegs, write_pack

from dhhcli.errors import PackError
from dhhcli.research.datasets.pack import fingerprint, merge_packs, read_pack, take
from dhhcli.research.datasets.protocol import ProtocolPerson, read_protocol
from dhhcli.storage.codes_file import compact


def replace(name: str, data: Any) -> Callable[[Path], None]:
    """A way to damage a pack: other data under a name, None to take it away."""

    def damage(path: Path) -> None:
        with h5py.File(path, "a") as file:
            if name in file:
                del file[name]
            if data is not None:
                file[name] = data

    return damage


def test_reads_what_was_written(tmp_path: Path) -> None:
    pack = read_pack(write_pack(tmp_path / "faces.h5"))
    assert len(pack) == N
    assert pack.pictures.shape == (N, 80, 80, 3)
    assert pack.pictures.dtype == np.uint8
    for picture, data in zip(pack.pictures, jpegs(), strict=True):
        np.testing.assert_array_equal(picture, cv2.imdecode(data, cv2.IMREAD_COLOR))
    np.testing.assert_array_equal(pack.identity, [1, 0, 1, 2, 0])
    assert pack.names == ("Ann", "Béla", "Chloë")
    assert pack.teacher.shape == (N, 128)
    assert pack.teacher.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(pack.teacher).all(axis=1), [False, False, True, False, False])
    np.testing.assert_allclose(pack.face_px, np.linspace(20, 400, N))


def test_rows_choose_crops_and_everything_beside_them(tmp_path: Path) -> None:
    path = write_pack(tmp_path / "faces.h5")
    whole, part = read_pack(path), read_pack(path, slice(1, None, 2))
    np.testing.assert_array_equal(part.pictures, whole.pictures[1::2])
    np.testing.assert_array_equal(part.identity, whole.identity[1::2])
    np.testing.assert_array_equal(part.face_px, whole.face_px[1::2])
    np.testing.assert_array_equal(part.teacher, whole.teacher[1::2])
    assert part.names == whole.names


def test_teacher_names_and_face_size_may_be_missing(tmp_path: Path) -> None:
    path = write_pack(tmp_path / "faces.h5")
    for name in ("teacher", "identity_name", "face_px"):
        replace(name, None)(path)
    pack = read_pack(path)
    assert np.isnan(pack.teacher).all()
    assert pack.names == ("0", "1", "2")
    assert (pack.face_px == 64).all()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def small_jpegs(path: Path) -> None:
    write_pack(path, jpegs(64))


def broken_jpeg(path: Path) -> None:
    coded = jpegs()
    coded[3] = np.frombuffer(b"this is no picture", np.uint8)
    write_pack(path, coded)


def a_group_for_jpeg(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["jpeg"]
        file.create_group("jpeg")


def codes_instead(path: Path) -> None:
    path.unlink()
    compact(path, TAG)  # a codes file of nothing


def newer(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 2


def hostile(change: Callable[[h5py.File], object], name: str = "identity") -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with h5py.File(path, "a") as file:
            if name in file:  # tracks are not in every pack
                del file[name]
            change(file)

    return damage


def outside(file: h5py.File) -> None:
    file.create_dataset("identity", (N,), np.int32, external=[("/etc/hostname", 0, 4 * N)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((N,), np.int32)
    layout[:] = h5py.VirtualSource("nowhere.h5", "identity", (N,))
    file.create_virtual_dataset("identity", layout)


def bomb(file: h5py.File) -> None:
    file.create_dataset("identity", data=np.zeros(50_000_000, np.int32), compression="gzip", chunks=(1 << 20,))


def large_jpeg(path: Path) -> None:
    coded = jpegs()
    found = bytearray(coded[3].tobytes())
    at = found.index(b"\xff\xc0")
    found[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    coded[3] = np.frombuffer(bytes(found), np.uint8)
    write_pack(path, coded)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (hostile(lambda file: file.__setitem__("identity", h5py.SoftLink("/track"))), "identity is a link"),
        (
            hostile(lambda file: file.__setitem__("identity", h5py.ExternalLink("/etc/x.h5", "/a"))),
            "identity is a link",
        ),
        (hostile(lambda file: file.__setitem__("other", h5py.ExternalLink("/etc/x.h5", "/a"))), "other is a link"),
        (hostile(outside), "virtual or stored outside"),
        (hostile(virtual), "virtual or stored outside"),
        (hostile(lambda file: file.create_dataset("identity", (1 << 45,), np.int32, chunks=(4096,))), "claims"),
        (hostile(lambda file: file.create_dataset("identity", (1 << 45,), np.int32)), "claims"),
        (hostile(lambda file: file.create_dataset("live", (1 << 45,), np.int32), "track"), "live claims"),
        (hostile(bomb), "claims 200,000,000 bytes"),
        (hostile(lambda f: f.create_dataset("identity_name", data=["a" * 9999] * 3), "identity_name"), "9,999 bytes"),
        (large_jpeg, "crop 3 is shape .65535, 65535, 3."),
        (Path.unlink, "no such face pack"),
        (lambda path: (path.unlink(), path.mkdir()), "a folder; a face pack .* is expected, dhh pack makes one"),
        (lambda path: path.write_bytes(b"not HDF5 at all"), "not a face pack .not HDF5."),
        (codes_instead, "holds 'dhh-codes'; a face pack is expected.*; figures of a codes file need --labels"),
        (truncate, "not a face pack"),
        (a_group_for_jpeg, "jpeg is a group, not a column"),
        (replace("jpeg", None), "jpeg"),
        (replace("offset", None), "offset"),
        (replace("identity", None), "identity"),
        (replace("identity", np.zeros(N + 1, np.int32)), "6 identities but 5 crops"),
        (replace("identity", np.zeros((N, 1), np.int32)), "damaged"),
        (replace("identity", np.full(N, 3, np.int32)), "3 names"),
        (replace("identity", np.full(N, -1, np.int32)), "3 names"),
        (replace("identity", "Ann"), "not a face pack"),
        (replace("jpeg", np.zeros(100, np.uint8)), "offsets"),
        (replace("jpeg", np.zeros(100, np.float32)), "damaged"),
        (replace("offset", np.zeros(N + 1, np.int64)), "offsets"),
        (replace("teacher", np.zeros((N, 64), np.float16)), "teacher"),
        (replace("teacher", np.zeros((N - 1, 128), np.float16)), "teacher"),
        (replace("face_px", np.zeros(2, np.float32)), "face_px"),
        (replace("track", np.zeros(N - 1, np.int32)), "track"),
        (replace("track", np.full(N, -2, np.int32)), "from -1 up"),
        (replace("track", np.zeros(N, np.int32)), "a track shows several people"),
        (newer, "format 2"),
        (small_jpegs, r"crop 0 is shape \(64, 64, 3\)"),
        (broken_jpeg, "crop 3 is no JPEG"),
    ],
)
def test_a_damaged_pack_is_refused_in_one_line(tmp_path: Path, damage: Callable[[Path], None], says: str) -> None:
    path = write_pack(tmp_path / "faces.h5")
    damage(path)
    with pytest.raises(PackError, match=says) as caught:
        read_pack(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_merged_packs_keep_their_people_apart(tmp_path: Path) -> None:
    pack = read_pack(write_pack(tmp_path / "faces.h5"))
    merged = merge_packs([pack, pack, pack])
    assert len(merged) == 3 * N
    np.testing.assert_array_equal(merged.identity, [1, 0, 1, 2, 0, 4, 3, 4, 5, 3, 7, 6, 7, 8, 6])
    assert merged.names == pack.names * 3
    np.testing.assert_array_equal(merged.pictures[N : 2 * N], pack.pictures)
    np.testing.assert_array_equal(merged.teacher[2 * N :], pack.teacher)
    assert len(merged.face_px) == 3 * N


def test_tracks_are_read_and_stay_apart(tmp_path: Path) -> None:
    path = write_pack(tmp_path / "faces.h5")
    plain = read_pack(path)
    assert plain.track.tolist() == [-1] * N
    replace("track", np.array([0, -1, 0, 1, -1], np.int32))(path)
    pack = read_pack(path)
    assert pack.track.tolist() == [0, -1, 0, 1, -1]
    assert read_pack(path, slice(2, None)).track.tolist() == [0, 1, -1]
    assert take(pack, np.array([3, 0])).track.tolist() == [1, 0]
    assert merge_packs([pack, plain, pack]).track.tolist() == [0, -1, 0, 1, -1, *[-1] * N, 2, -1, 2, 3, -1]
    assert fingerprint(pack) != fingerprint(plain)


def test_reads_a_protocol(tmp_path: Path) -> None:
    path = tmp_path / "protocol.json"
    person = {"identity": 4, "queries": [1, 2], "sets": [[3, 4], [5]], "shots": [6]}
    path.write_text(json.dumps({"people": [person]}))
    assert read_protocol(path) == (ProtocolPerson(4, (1, 2), ((3, 4), (5,)), (6,)),)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"people": [{}]}', '{"people": 3}', '{"people": [{"identity": "x"}]}'],
)
def test_a_protocol_of_another_form_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "protocol.json"
    path.write_text(text)
    with pytest.raises(PackError, match="not a protocol file") as caught:
        read_protocol(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_text_or_not_there_is_no_protocol(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"none\.json: cannot be read \(No such file or directory\)"):
        read_protocol(tmp_path / "none.json")
    (tmp_path / "photo.json").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(PackError, match=r"photo\.json: not a protocol file \(no text\); expected JSON"):
        read_protocol(tmp_path / "photo.json")
