"""crops: alignment against an exhaustive twin, area averaging, and every kind of photo file."""

from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dhhcli.errors import MissingPathError, PhotoError
from dhhcli.faces.alignment import TEMPLATE, align, least_squares, sharpness, similarity
from dhhcli.faces.thumbnail import thumbnail
from dhhcli.media.photo import read_photo, shrink

Points = npt.NDArray[np.float64]


def moved(points: Points, scale: float, angle: float, shift: tuple[float, float]) -> Points:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    out: Points = points @ np.array([[cos, sin], [-sin, cos]]) + shift
    return out


def through(matrix: Points, points: Points) -> Points:
    out: Points = points @ matrix[:, :2].T + matrix[:, 2]
    return out


def least_median(points: Points) -> tuple[float, set[int]]:
    """Slow twin: the least median of squared residuals over all ten point pairs, and its inliers."""
    best, inliers = np.inf, set[int]()
    for i, j in combinations(range(5), 2):
        z, t = (complex(*points[j] - points[i]), complex(*TEMPLATE[j] - TEMPLATE[i]))
        a = t / z
        b = complex(*TEMPLATE[i]) - a * complex(*points[i])
        squared = [abs(a * complex(*p) + b - complex(*q)) ** 2 for p, q in zip(points, TEMPLATE, strict=True)]
        median = sorted(squared)[2]
        if median < best:
            sigma = 2.5 * 1.4826 * (1 + 5 / (5 - 2)) * np.sqrt(median)
            best, inliers = median, {k for k in range(5) if squared[k] <= max(sigma, 1e-3) ** 2}
    return float(best), inliers


@settings(max_examples=60, deadline=None)
@given(scale=st.floats(0.2, 30), angle=st.floats(-3.1, 3.1), x=st.floats(-3000, 3000), y=st.floats(-3000, 3000))
def test_similarity_undoes_any_similarity(scale: float, angle: float, x: float, y: float) -> None:
    points = moved(TEMPLATE, scale, angle, (x, y))
    for matrix in (similarity(points), least_squares(points)):
        assert matrix.shape == (2, 3)
        np.testing.assert_allclose(through(matrix, points), TEMPLATE, atol=1e-2)


def test_similarity_is_least_median_of_squares_over_all_pairs() -> None:
    rng = np.random.default_rng(5)
    agree = 0
    for _ in range(100):
        points = moved(TEMPLATE + rng.normal(scale=1.5, size=(5, 2)), 3.0, 0.3, (200, 100))
        _, inliers = least_median(points)
        chosen = sorted(inliers)
        z = points[chosen] @ np.array([1, 1j])
        t = TEMPLATE[chosen] @ np.array([1, 1j])
        a = np.vdot(z - z.mean(), t - t.mean()) / np.vdot(z - z.mean(), z - z.mean())
        expected = a * (points @ np.array([1, 1j]) - z.mean()) + t.mean()
        found = through(similarity(points), points) @ np.array([1, 1j])
        agree += bool(np.abs(expected - found).max() < 0.05)
    # OpenCV draws 13 pairs with replacement, so it misses the best of the ten now and then.
    assert agree >= 90


def test_similarity_does_not_follow_one_wrong_landmark() -> None:
    points = moved(TEMPLATE, 2.0, 0.1, (50, 60))
    points[2] += (40, -25)
    right = [0, 1, 3, 4]
    np.testing.assert_allclose(through(similarity(points), points)[right], TEMPLATE[right], atol=1e-2)
    assert np.abs(through(least_squares(points), points)[right] - TEMPLATE[right]).max() > 1


def test_similarity_does_not_depend_on_the_random_state() -> None:
    points = moved(TEMPLATE + np.random.default_rng(0).normal(scale=2, size=(5, 2)), 2.0, 0.1, (9, 9))
    results = []
    for seed in (1, 2, 12345):
        cv2.setRNGSeed(seed)
        results.append(similarity(points))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize("points", [np.full((5, 2), 7.0), np.full((5, 2), np.nan)])
def test_coinciding_landmarks_are_refused(points: Points) -> None:
    with pytest.raises(ValueError, match="coincide"):
        similarity(points)


def test_landmarks_on_a_line_still_give_a_finite_fit() -> None:
    points = np.stack([np.arange(5.0) * 10, np.zeros(5)], axis=1)
    assert np.isfinite(similarity(points)).all()


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.9, 2.6, 5.3, 11.0])
@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_align_puts_landmarks_on_the_template(scale: float, angle: float) -> None:
    points = moved(TEMPLATE, scale, angle, (60 * scale, 40 * scale))
    side = int(150 * scale)
    yy, xx = np.mgrid[:side, :side]
    for k, (x, y) in enumerate(points):
        blob = 255 * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * (2.5 * scale) ** 2))
        picture = np.repeat(blob[:, :, None], 3, axis=2).astype(np.uint8)
        crop = align(picture, points, margin=8)[:, :, 0].astype(np.float64)
        assert crop.shape == (80, 80)
        crop[crop == 127] = 0  # what lies outside the picture
        centre = [(crop * grid).sum() / crop.sum() for grid in (np.arange(80)[None, :], np.arange(80)[:, None])]
        np.testing.assert_allclose(centre, TEMPLATE[k] + 8, atol=0.15)


def test_align_averages_large_faces_instead_of_skipping_pixels() -> None:
    checks = (np.indices((1200, 1200)).sum(axis=0) % 2 * 255).astype(np.uint8)
    picture = np.repeat(checks[:, :, None], 3, axis=2)
    crop = align(picture, moved(TEMPLATE, 10.0, 0.0, (200, 200)))
    assert abs(float(crop.mean()) - 127.5) < 1
    assert float(crop.std()) < 2


def test_align_fills_the_outside_with_grey_and_scales_with_size() -> None:
    picture = np.zeros((64, 64, 3), dtype=np.uint8)
    crop = align(picture, TEMPLATE, margin=8)
    assert crop.shape == (80, 80, 3)
    assert (crop[:7] == 127).all()
    assert (crop[9:70, 9:70] == 0).all()
    assert np.array_equal(align(picture, TEMPLATE), crop[8:72, 8:72])
    assert align(picture, TEMPLATE, size=112).shape == (112, 112, 3)
    far = align(picture, TEMPLATE + 5000)
    assert (far == 127).all()
    assert (align(picture, TEMPLATE * 20 + 9000) == 127).all()  # the averaged region is empty


def test_sharpness_falls_with_blur() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    values = [sharpness(crop), sharpness(cv2.blur(crop, (3, 3))), sharpness(cv2.blur(crop, (9, 9)))]
    assert values[0] > 4 * values[1] > 16 * values[2] > 0
    assert sharpness(np.full((64, 64, 3), 9, dtype=np.uint8)) == 0.0


def test_thumbnail_shows_the_face_and_its_surroundings() -> None:
    picture = np.zeros((400, 600, 3), dtype=np.uint8)
    picture[100:220, 200:300] = (0, 0, 255)
    box = np.array([200, 100, 300, 220], dtype=np.float32)

    def decoded(jpeg: bytes) -> npt.NDArray[np.uint8]:
        return np.asarray(cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)

    small = decoded(thumbnail(picture, box))
    assert small.shape == (112, 112, 3)
    red = small[:, :, 2] > 128
    assert red.mean() == pytest.approx(100 * 120 / (1.8 * 120) ** 2, abs=0.02)
    assert red[red.shape[0] // 2, red.shape[1] // 2]
    corner = thumbnail(picture, np.array([-20, -20, 30, 30], dtype=np.float32))
    assert decoded(corner).shape == (51, 51, 3)
    assert thumbnail(picture, box + 5000) == b""
    assert thumbnail(picture, box) == thumbnail(picture, box)


COLOURS = np.zeros((40, 60, 3), dtype=np.uint8)
COLOURS[:, :30] = (250, 20, 40)  # RGB
COLOURS[20:, 30:] = (30, 220, 60)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    """A camera stores the picture turned and says how: undone for all eight orientations."""
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[274] = orientation
    stored = np.ascontiguousarray(undo[orientation](COLOURS))
    Image.fromarray(stored).save(tmp_path / f"a.{suffix}", exif=exif)
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert photo.shape == COLOURS.shape
    loss = np.abs(photo.astype(int) - COLOURS[:, :, ::-1])
    assert loss.mean() < {"png": 0.001, "tif": 0.001, "jpg": 12, "webp": 12}[suffix]


def test_a_photo_is_turned_by_what_an_editor_wrote_into_it(tmp_path: Path) -> None:
    """XMP instead of EXIF: the other place where an orientation may stand."""
    stored = Image.fromarray(np.ascontiguousarray(COLOURS[:, ::-1]))
    stored.save(tmp_path / "a.jpg", xmp=b'<x:xmpmeta><rdf:Description tiff:Orientation="2"/></x:xmpmeta>', quality=95)
    assert np.abs(read_photo(tmp_path / "a.jpg").astype(int) - COLOURS[:, :, ::-1]).mean() < 12


def test_photos_of_every_mode_become_bgr(tmp_path: Path) -> None:
    rgb = Image.fromarray(COLOURS)
    bgr = COLOURS[:, :, ::-1].astype(int)

    def read(image: Image.Image, name: str) -> npt.NDArray[np.int64]:
        image.save(tmp_path / name)
        photo = read_photo(tmp_path / name)
        assert photo.dtype == np.uint8
        assert photo.shape == (40, 60, 3)
        assert photo.flags.c_contiguous
        return photo.astype(np.int64)

    grey = np.asarray(rgb.convert("L")).astype(int)[:, :, None]
    assert (read(rgb.convert("L"), "l.png") == grey).all()
    assert (read(rgb.convert("1"), "1.png") % 255 == 0).all()
    assert np.abs(read(rgb.convert("P"), "p.png") - bgr).max() < 60
    assert np.abs(read(rgb.convert("CMYK"), "cmyk.jpg") - bgr).mean() < 8
    assert np.abs(read(rgb, "rgb.webp") - bgr).mean() < 8
    fine = Image.fromarray((grey[:, :, 0] * 257).astype(np.uint16))
    assert np.abs(read(fine, "16.png") - grey).max() <= 1
    unit = Image.fromarray((grey[:, :, 0] / 255).astype(np.float32))
    assert np.abs(read(unit, "f.tiff") - grey).max() <= 1

    clear = np.dstack([COLOURS, np.full((40, 60), 255, dtype=np.uint8)])
    clear[:10, :, 3] = 0
    photo = read(Image.fromarray(clear), "rgba.png")
    assert (photo[:10] == 255).all()
    assert (photo[10:] == bgr[10:]).all()


def test_what_is_no_photo_is_one_line(tmp_path: Path) -> None:
    text = tmp_path / "a.jpg"
    text.write_text("no picture")
    cut = tmp_path / "b.jpg"
    Image.fromarray(COLOURS).save(cut)
    cut.write_bytes(cut.read_bytes()[:100])  # before the picture begins
    empty = tmp_path / "c.png"
    empty.touch()
    for path in (text, cut, empty):
        with pytest.raises(PhotoError) as caught:
            read_photo(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert ("no picture of a known kind" in str(caught.value)) or path == cut
    for missing, says in ((tmp_path / "none.jpg", "No such file"), (tmp_path, "a folder, where a photo is expected")):
        with pytest.raises(MissingPathError, match=says):
            read_photo(missing)


def test_a_photo_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhhcli.media.photo.MAX_PIXELS", 1000)
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    with pytest.raises(PhotoError, match="60 x 40 pixels"):
        read_photo(tmp_path / "a.png")


@pytest.mark.parametrize(("h", "w", "columns", "rows"), [(720, 1280, 512, 288), (101, 207, 40, 20), (50, 60, 120, 100)])
def test_a_shrunk_picture_is_the_mean_of_what_was_there(h: int, w: int, columns: int, rows: int) -> None:
    y, x = np.mgrid[:h, :w]
    ramp = np.stack([255 * x / w, 255 * y / h, 255 * (x + y) / (w + h)], axis=-1)
    small = shrink(ramp.astype(np.uint8), columns, rows)
    assert small.shape == (rows, columns, 3)
    wanted = cv2.resize(ramp.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    assert np.abs(small - wanted).max() <= 4
    grain = np.random.default_rng(0).integers(0, 256, (h, w, 3)).astype(np.uint8)
    block = max(1, min(h // rows, w // columns))
    assert float(shrink(grain, columns, rows).std()) <= float(grain.std()) / block * 1.1  # nothing is skipped
