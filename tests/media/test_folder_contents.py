"""What is taken in folders, what is passed over and how that is said; encrypted files and raw video of cameras."""

import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image
from synthetic import astronaut, scene, write_video
from video_files import CASES, write_stream

from dhhcli.encoding.video import Job, encode_file
from dhhcli.errors import VideoError
from dhhcli.media.files.discover import PHOTO_SUFFIXES, VIDEO_SUFFIXES, find_videos, is_photo
from dhhcli.media.files.encrypted import program_scrambled, transport_scrambled
from dhhcli.media.files.passed_over import LISTED, passed_over_lines, why
from dhhcli.media.photo import is_animated
from dhhcli.media.video import open_video
from dhhcli.models.network import load_network
from dhhcli.storage.record import EncodedVideo

given = pytest.mark.skipif(not CASES.is_dir(), reason="needs the files of the optional folder ../shared/cases")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


PHOTOS = ["jfif", "jpe", "avif", "gif", "jp2", "heic", "HEIF", "hif", "jxl", "mpo", "JPG", "dib", "jif"]
FILMS = [
    "mod",
    "tod",
    "mpe",
    "m1v",
    "h264",
    "hevc",
    "264",
    "265",
    "insv",
    "360",
    "obu",
    "ivf",
    "trp",
    "m2p",
    "vro",
    "dvr-ms",
    "MTS",
    "dav",
    "nut",
]


def test_suffixes_in_folders(tmp_path: Path) -> None:
    touch(tmp_path, *(f"a.{suffix}" for suffix in PHOTOS + FILMS), "a.txt", "a.srt")
    found = find_videos([tmp_path], photos=True)
    assert {path.suffix[1:] for path in found.videos} == {*PHOTOS, *FILMS}
    assert {path.suffix[1:] for path in found.videos if is_photo(path)} == set(PHOTOS)
    assert {path.name for path in found.ignored} == {"a.txt", "a.srt"}
    assert not VIDEO_SUFFIXES & PHOTO_SUFFIXES


def test_folders_of_the_system_are_passed_over(tmp_path: Path) -> None:
    system = ["@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX", "@Recycle"]
    hidden = [".Trash", ".Trash-1000", ".Trashes", ".@__thumb", ".AppleDouble", "._b.jpg"]
    touch(tmp_path, "a.jpg", "sub/b.jpg", "@eaDirectors/c.jpg", *(f"sub/{name}/t.jpg" for name in system + hidden[:-1]))
    touch(tmp_path, "sub/._b.jpg", "recycler.mp4")
    found = find_videos([tmp_path], photos=True)
    assert {path.name for path in found.videos} == {"a.jpg", "b.jpg", "c.jpg", "recycler.mp4"}
    assert {path.name for path in found.ignored} == {*system, *hidden}
    lines = passed_over_lines(found.ignored, VIDEO_SUFFIXES, PHOTO_SUFFIXES)
    assert len(lines) == len(hidden) + 1
    assert f"ignored: {tmp_path}/sub/.Trash: hidden" in lines
    assert lines[-1].startswith("ignored: 7 folders of the system, with all that is in them: #recycle, ")
    assert [path.name for path in find_videos([tmp_path / "sub" / "@eaDir"], photos=True).videos] == ["t.jpg"]  # named


def test_every_kind_that_is_passed_over_has_its_words(tmp_path: Path) -> None:
    words = {
        "a.R3D": "REDCODE RAW, which only its maker's software reads",
        "a.braw": "Blackmagic RAW, which",
        "a.cr3": "a raw photo, not developed",
        "a.lrv": "a small copy that the camera keeps beside its film",
        "a.wav": "sound",
        "a.pdf": "a picture that is no photo",
        "a.txt": "not the suffix of a video or photo",
        ".a.jpg": "hidden",
        "a.png": "a photo, and photos are left out",
    }
    touch(tmp_path, *words)
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "none")
    found = find_videos([tmp_path])
    assert {path.name for path in found.ignored} == {*words, "gone.mp4"}
    for path in found.ignored:
        expected = words.get(path.name, "no file; a link to nothing")
        assert why(path, VIDEO_SUFFIXES, PHOTO_SUFFIXES).startswith(expected)
    many = [tmp_path / f"{number}.txt" for number in range(LISTED + 5)] + [tmp_path / f"{n}.wav" for n in range(3)]
    last = passed_over_lines(many, VIDEO_SUFFIXES, PHOTO_SUFFIXES)[-1]
    assert last == "ignored: 8 more files (5: not the suffix of a video or photo; 3: sound)"


def test_folders_nested_1300_deep(tmp_path: Path) -> None:
    """Removed step by step as well: pytest's own way of removing does not go as deep."""
    depth = 1300
    deepest = tmp_path.joinpath(*["a"] * depth)
    for number in range(1, depth + 1):
        tmp_path.joinpath(*["a"] * number).mkdir()  # os.makedirs recurs
    (deepest / "b.mp4").touch()
    try:
        found = find_videos([tmp_path])
        assert found.videos == (deepest / "b.mp4",)
        assert (found.ignored, found.unreadable) == ((), ())
    finally:
        (deepest / "b.mp4").unlink()
        os.removedirs(deepest)


def test_a_gif_that_moves_is_a_film(tmp_path: Path) -> None:
    pictures = [Image.fromarray(np.ascontiguousarray(astronaut()[:, :, ::-1])).convert("P") for _ in range(10)]
    pictures[0].save(tmp_path / "still.gif")
    pictures[3].putpixel((0, 0), 3)
    for number, picture in enumerate(pictures):
        picture.putpixel((number, 5), 200)
    pictures[0].save(tmp_path / "moves.gif", save_all=True, append_images=pictures[1:], duration=100)
    (tmp_path / "text.gif").write_text("nothing")
    assert [is_animated(tmp_path / f"{name}.gif") for name in ("still", "moves", "text")] == [False, True, False]
    network = load_network("dhh-48")
    still, moves = (encode_file(Job(tmp_path / f"{name}.gif", "0" * 64), network) for name in ("still", "moves"))
    assert isinstance(still, EncodedVideo)
    assert isinstance(moves, EncodedVideo)
    assert (still.video.still, len(still.tracks)) == (True, 1)
    assert (moves.video.still, moves.video.frames, len(moves.tracks)) == (False, 10, 1)


# ----------------------------------------------------------------------------------------------- encrypted


def refused(path: Path) -> str:
    with pytest.raises(VideoError) as caught:
        open_video(path)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(("kind", "words"), [(b"encv", "common encryption"), (b"drmi", "FairPlay")])
@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov"])
def test_protected_mp4_is_encrypted(tmp_path: Path, kind: bytes, words: str, flags: str) -> None:
    path = write_video(tmp_path / "a.mp4", [scene(1)] * 10, codec="libx264", options={"movflags": flags})
    data = path.read_bytes()
    at = data.index(b"avc1", data.index(b"stsd"))
    path.write_bytes(data[:at] + kind + data[at + 4 :])
    assert refused(path) == f"encrypted ({words}): it has to be decrypted by whoever may do so"
    path.write_bytes(data)
    open_video(path).close()


def test_encrypted_matroska(tmp_path: Path) -> None:
    """ContentEncodings take the place of the track's name, which is as long."""
    encodings = bytes.fromhex("62408b 503381 01 503584 47e18105".replace(" ", ""))
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.metadata["title"] = "x" * len(encodings)
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(1), format="bgr24")))
        container.mux(stream.encode(None))
    data = (tmp_path / "a.mkv").read_bytes()
    open_video(tmp_path / "a.mkv").close()
    size = bytes([0x80 | len(encodings)])
    name = b"\x53\x6e" + size + b"x" * len(encodings)
    assert name in data
    (tmp_path / "a.mkv").write_bytes(data.replace(name, b"\x6d\x80" + size + encodings))
    assert refused(tmp_path / "a.mkv").startswith("encrypted (Matroska encryption)")


def test_scrambled_transport_streams(tmp_path: Path) -> None:
    path = write_stream(tmp_path / "a.ts", [scene(1)] * 25, kind="mpegts")
    data = bytearray(path.read_bytes())
    assert not transport_scrambled(bytes(data), 0x100)
    for at in range(0, len(data), 188):
        if (data[at + 1] & 31) << 8 | data[at + 2] == 0x100:
            data[at + 3] |= 0x80
    assert transport_scrambled(bytes(data), 0x100)
    assert not transport_scrambled(bytes(data), 0x101)
    blocks = b"".join(bytes(4) + data[at : at + 188] for at in range(0, len(data), 188))
    assert transport_scrambled(blocks, 0x100)  # M2TS
    assert not transport_scrambled(b"", 0x100)


def test_scrambled_program_streams(tmp_path: Path) -> None:
    path = write_stream(tmp_path / "a.vob", [scene(1)] * 25, codec="mpeg2video", kind="vob")
    data = bytearray(path.read_bytes())
    assert not program_scrambled(bytes(data))
    at = data.find(b"\0\0\1\xe0")
    while at >= 0:
        data[at + 6] |= 0x10
        at = data.find(b"\0\0\1\xe0", at + 1)
    assert program_scrambled(bytes(data))
    path.write_bytes(data)
    assert refused(path).startswith("encrypted (a scrambled program stream")


def test_encrypted_windows_media(tmp_path: Path) -> None:
    path = write_stream(tmp_path / "a.wmv", [scene(1)] * 10, codec="wmv2", kind="asf")
    open_video(path).close()
    data = bytearray(path.read_bytes())
    size = struct.unpack("<Q", data[16:24])[0]
    extra = bytes.fromhex("14e68a292226174cb935dae07ee9289c") + struct.pack("<Q", 24)
    data[size:size] = extra  # one more object in the header
    data[16:24] = struct.pack("<Q", size + 24)
    data[24:28] = struct.pack("<I", struct.unpack("<I", data[24:28])[0] + 1)
    path.write_bytes(data)
    assert refused(path).startswith("encrypted (Windows Media DRM)")


@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        ("a.R3D", b"nothing", "REDCODE RAW, which only its maker's software reads; export it"),
        ("a.mov", b"\0\0\1\0RED2" + bytes(300), "REDCODE RAW, which"),
        ("a.braw", bytes(100), "Blackmagic RAW, which"),
        ("a.mp4", b"\0\0\0\x10ftypcrx \0\0\0\1", "Canon Cinema RAW, which"),
    ],
)
def test_raw_video_is_named_as_what_it_is(tmp_path: Path, name: str, head: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(head)
    assert refused(tmp_path / name).startswith(words)


def test_blackmagic_raw_under_another_name(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mov", [scene(1)] * 3, codec="libx264")
    data = path.read_bytes()
    at = data.index(b"avc1", data.index(b"stsd"))
    path.write_bytes(data[:at] + b"brxq" + data[at + 4 :].replace(b"avcC", b"xxxx"))
    assert refused(path).startswith("Blackmagic RAW, which")


@given
def test_the_given_folders_and_encrypted_files() -> None:
    assert refused(CASES / "encrypted" / "cenc.mp4").startswith("encrypted (common encryption)")
    found = find_videos([CASES / "suffixes"], photos=True)
    assert {path.name for path in found.videos} == {"h_avif_.avif", "h_jfif_.jfif", "v.mod", "v.h264"}
    found = find_videos([CASES / "system_folders"], photos=True)
    assert [path.name for path in found.videos] == ["a.jpg"]
    assert {path.name for path in found.ignored} == {"#recycle", "@eaDir"}
