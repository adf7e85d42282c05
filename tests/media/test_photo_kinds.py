"""Photos that people have: formats, files that are cut short or damaged, small faces in large ones."""

import io
import re
import struct
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from heic import write_heic
from PIL import Image
from synthetic import astronaut, grace_hopper, scene
from video_files import CASES

from dhhcli.base.arrays import Picture
from dhhcli.encoding.events import Encoded, Skipped
from dhhcli.encoding.photo import encode_still
from dhhcli.encoding.query_photo import photo_code
from dhhcli.encoding.run import encode
from dhhcli.errors import PhotoError
from dhhcli.faces.detector import Face, FaceDetector, photo_detector
from dhhcli.faces.photo_faces import TILE, photo_faces, shares, united
from dhhcli.media.photo import open_photo, read_photo
from dhhcli.media.photo_formats import is_heic
from dhhcli.models.network import Network, load_network

given = pytest.mark.skipif(not CASES.is_dir(), reason="needs the files of the optional folder ../shared/cases")


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network("dhh-48")


def save(path: Path, picture: Picture, kind: str = "JPEG", **options: object) -> Path:
    Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1])).save(path, format=kind, **options)
    return path


# --------------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PPM", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF"])
def test_formats_of_photos_are_read_whatever_their_suffix(tmp_path: Path, kind: str) -> None:
    picture = cv2.GaussianBlur(astronaut(), (0, 0), 2)
    path = save(tmp_path / "a.photo", picture, kind)
    assert np.abs(read_photo(path).astype(int) - picture).mean() < (14 if kind == "GIF" else 6)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "TGA", "PCX", "SGI", "IM", "DDS", "XBM"])
def test_formats_that_no_photo_has_are_not_even_tried(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Image.fromarray(astronaut()[:128, :128])
    (image.convert("1") if kind == "XBM" else image).save(tmp_path / "a.jpg", format=kind)
    ran: list[object] = []
    monkeypatch.setattr("subprocess.Popen.__init__", lambda *words, **_: ran.append(words))
    with pytest.raises(PhotoError, match="no picture of a known kind"):
        read_photo(tmp_path / "a.jpg")
    assert not ran


@pytest.mark.parametrize("quarters", range(4))
def test_heic_is_read_upright(tmp_path: Path, quarters: int) -> None:
    pytest.importorskip("pi_heif")
    picture = cv2.resize(scene(7), (128, 96))
    path = write_heic(tmp_path / "a.heic", picture, quarters)
    assert np.abs(read_photo(path).astype(int) - np.rot90(picture, quarters)).mean() < 12


def test_without_its_reader_heic_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    path = write_heic(tmp_path / "a.jpg", scene(7))
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    assert str(caught.value).startswith(f"{path}: a HEIC photo needs pi_heif")
    assert 'pip install "dhhcli[heif]"' in str(caught.value)


def test_heif_is_known_by_all_its_brands() -> None:
    def head(*brands: bytes) -> bytes:
        return struct.pack(">I", 12 + 4 * len(brands)) + b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])

    assert is_heic(head(b"heic")) and is_heic(head(b"mif1", b"heic")) and is_heic(head(b"msf1"))  # noqa: PT018
    assert not is_heic(head(b"avif")) and not is_heic(head(b"mif1", b"miaf", b"avif"))  # noqa: PT018
    assert not is_heic(head(b"isom")) and not is_heic(b"") and not is_heic(b"\xff\xd8\xff\xe0")  # noqa: PT018


@pytest.mark.parametrize("head", [b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"])
def test_jpeg_xl_without_a_reader_is_said(tmp_path: Path, head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    (tmp_path / "a.jxl").write_bytes(head + bytes(100))
    with pytest.raises(PhotoError, match=r"a\.jxl: JPEG XL, and nothing is installed that reads it; convert it"):
        read_photo(tmp_path / "a.jxl")


# ------------------------------------------------------------------------------------- cut short and damaged


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_without_its_end_is_taken_as_far_as_it_goes(tmp_path: Path, progressive: bool, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    picture = astronaut()
    path = save(tmp_path / "a.jpg", picture, quality=90, progressive=progressive, exif=exif)
    whole = open_photo(path)
    assert whole.warnings == ()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    photo = open_photo(path)
    assert len(photo.warnings) == 1
    assert "cut short" in photo.warnings[0]
    assert photo.picture.shape == whole.picture.shape
    off = np.abs(photo.picture.astype(int) - whole.picture).mean(axis=2)
    upright = np.rot90(off) if orientation == 6 else off
    assert upright[:300].mean() < (8 if progressive else 0.5)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_other_photos_without_their_end(tmp_path: Path, kind: str) -> None:
    picture = cv2.GaussianBlur(astronaut(), (0, 0), 1)
    path = save(tmp_path / "a.photo", picture, kind)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    photo = open_photo(path)
    assert "cut short" in photo.warnings[0]
    rows = slice(250, None) if kind == "BMP" else slice(250)  # BMP begins with the last line
    assert np.abs(photo.picture[rows].astype(int) - picture[rows]).mean() < 1


def test_a_query_by_half_a_photo_says_so(tmp_path: Path, network: Network) -> None:
    path = save(tmp_path / "a.jpg", astronaut(), quality=90)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    assert "cut short" in photo_code(path, network).warnings[0]
    encoded = encode_still(path, network)
    assert "cut short" in encoded.video.warnings[0]
    assert len(encoded.tracks) == 1


def test_one_damaged_photo_never_ends_a_batch(tmp_path: Path, network: Network) -> None:
    rng = np.random.default_rng(3)
    files = []
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "JPEG2000", "AVIF", "BMP", "PPM"):
        memory = io.BytesIO()
        Image.fromarray(astronaut()[:128, :128]).save(memory, kind)
        for trial in range(6):
            data = bytearray(memory.getvalue())
            for place in rng.integers(0, len(data) if trial % 2 else 64, 12):
                data[place] = rng.integers(256)
            files.append(tmp_path / f"{kind}{trial}.jpg")
            files[-1].write_bytes(data[: len(data) if trial < 3 else rng.integers(8, len(data))])
    files.append(save(tmp_path / "z.jpg", astronaut()))
    events = list(encode(files, tmp_path / "codes.h5", network))
    assert [event.path for event in events if isinstance(event, Encoded | Skipped)] == files
    assert isinstance(events[-1], Encoded)
    for event in events:
        if isinstance(event, Skipped):
            assert "\n" not in event.reason
            with pytest.raises(PhotoError, match=re.escape(f"{event.path}: {event.reason}")):
                read_photo(event.path)


def test_an_error_that_no_reader_should_raise_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("struct\nof nothing")

    path = save(tmp_path / "a.jpg", astronaut())
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", fail)
    with pytest.raises(PhotoError, match=r"a\.jpg: cannot be read as a photo \(struct of nothing\)"):
        read_photo(path)


def test_large_photos_are_read_up_to_the_limit_of_dhh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow refuses what has twice its own limit; ours is another."""
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
    assert read_photo(save(tmp_path / "a.jpg", astronaut())).shape == (512, 512, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


# ------------------------------------------------------------------------------------------------ small faces


def crowd(width: int, height: int, places: list[tuple[int, int]], size: int) -> Picture:
    """Faces of about this size, in pixels, with their middles at these places."""
    picture = cv2.resize(scene(2), (width, height), interpolation=cv2.INTER_CUBIC)
    small = []
    for portrait, face in ((astronaut(), 116), (grace_hopper(), 215)):
        sides = [max(1, round(side * size / face)) for side in portrait.shape[1::-1]]
        small.append(cv2.resize(portrait, sides, interpolation=cv2.INTER_AREA))
    for number, (x, y) in enumerate(places):
        one = small[number % 2][: 3 * size]
        left, top = x - one.shape[1] // 2, y - one.shape[0] // 2
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + one.shape[1], width), min(top + one.shape[0], height)
        picture[y0:y1, x0:x1] = one[y0 - top : y1 - top, x0 - left : x1 - left]
    return np.asarray(picture, np.uint8)


def found_at(faces: list[Face], places: list[tuple[int, int]], near: int) -> int:
    """Places with exactly one face whose middle is near."""
    middles = np.array([(face.box[:2] + face.box[2:]) / 2 for face in faces]).reshape(-1, 2)
    return sum(int((np.abs(middles - place).max(axis=1) < near).sum() == 1) for place in places)


@pytest.fixture(scope="module")
def quick() -> FaceDetector:
    return FaceDetector(quick=True)


def test_faces_of_20_pixels_in_photos_of_6000(quick: FaceDetector) -> None:
    places = [(1000, 600), (TILE - 48, 900), (3000, 350), (5400, 800), (5800, 200)]
    faces = photo_faces(photo_detector(), crowd(6000, 1100, places, 20), quick)
    assert found_at(faces, places, 20) == len(places)
    assert len(faces) < 3 * len(places)


def test_a_crowd_of_300(quick: FaceDetector) -> None:
    places = [(60 + 84 * column, 60 + 84 * row) for row in range(15) for column in range(20)]
    faces = photo_faces(photo_detector(), crowd(1760, 1320, places, 28), quick)
    middles = np.array([(face.box[:2] + face.box[2:]) / 2 for face in faces])
    assert sum(int((np.abs(middles - place).max(axis=1) < 28).any()) for place in places) >= 294


def test_a_face_is_found_once_by_all_looks(quick: FaceDetector) -> None:
    for size in (60, 150, 400):
        faces = photo_faces(photo_detector(), crowd(1800, 1200, [(900, 600)], size), quick)
        assert found_at(faces, [(900, 600)], size) == 1, size


def test_united_keeps_what_is_sure() -> None:
    def face(x: float, side: float, score: float) -> Face:
        box = np.array([x, 0, x + side, side], np.float32)
        return Face(box, np.zeros((5, 2), np.float32), score)

    sure, unsure, part, elsewhere = face(0, 100, 0.7), face(200, 100, 0.4), face(20, 40, 0.9), face(400, 100, 0.8)
    better = face(205, 100, 0.65)
    assert united([sure, unsure], [part, elsewhere, better]) == [elsewhere, sure, better]
    assert united([sure, unsure], []) == [sure, unsure]
    assert shares(part, [sure, elsewhere]).tolist() == [1.0, 0.0]


def test_a_query_looks_closer_only_where_it_has_to(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []

    def counted(*words: Any) -> list[Face]:
        looks.append(words)
        return photo_faces(*words)

    monkeypatch.setattr("dhhcli.encoding.query_photo.photo_faces", counted)
    both = crowd(2000, 1400, [(500, 700), (1500, 300)], 300)
    small = cv2.resize(astronaut()[:260], None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)
    both[900 : 900 + small.shape[0], 1700 : 1700 + small.shape[1]] = small
    path = save(tmp_path / "a.jpg", both)
    assert photo_code(path, network).faces == 2
    assert not looks
    assert photo_code(path, network, number=3).face.size < 40
    assert len(looks) == 1


@given
def test_the_given_photos(tmp_path: Path, network: Network) -> None:
    files = [CASES / "photo_decoders" / "damaged-avif.jpg", CASES / "photo_decoders" / "damaged-blp.jpg"]
    files += [CASES / "truncated_photo" / "trunc.jpg", CASES / "photo_small_faces" / "one_6000_80.jpg"]
    events = list(encode(files[:3], tmp_path / "codes.h5", network))
    assert [type(event) for event in events] == [Skipped, Skipped, Encoded]
    cut = events[2]
    assert isinstance(cut, Encoded)
    assert "cut short" in cut.warnings[0]
    assert cut.tracks == 1
    ours = encode_still(files[3], load_network("dhh-48", film=True))
    assert ours.tracks["face_px"][0] == pytest.approx(80, rel=0.4)
