"""research/datasets/pickles.py: made files in every form they go around in, and files that must not be believed."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commands import one_line
from typer.testing import Result

from dhhcli.errors import PackError
from dhhcli.research.datasets.pickles import is_pickles, read_pickle, read_pickles

Run = Callable[..., Result]
RED = np.zeros((3, 32, 32), np.uint8)
RED[0] = 200


def write(path: Path, x: Any, y: Any, protocol: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps((x, y), protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("form", ["flat", "planes", "share", "column"])
def test_every_form_gives_bgr_pictures(tmp_path: Path, form: str, protocol: int) -> None:
    x: Any = np.stack([RED, RED // 2])
    y: Any = np.array([3, 0])
    if form == "flat":
        x = x.reshape(2, -1)
    elif form == "share":
        x = (x / 255).astype(np.float32)
    elif form == "column":
        y = y[:, None].astype(np.float64)
    pictures, people = read_pickle(write(tmp_path / "a.pkl", x, y, protocol))
    assert pictures.shape == (2, 32, 32, 3)
    assert pictures.dtype == np.uint8
    assert pictures[0, 5, 5].tolist() == [0, 0, 200]
    assert pictures[1, 31, 0].tolist() == [0, 0, 100]
    assert people.tolist() == [3, 0]


def test_python_2_wrote_them(tmp_path: Path) -> None:
    """Protocol 2 of Python 2: bytes come as its str, by hand: a str is opcode U, the classes are numpy.core's."""
    path = tmp_path / "old.pkl"
    data = pickle.dumps((RED.reshape(1, -1), np.array([7])), protocol=2)
    for new, old in ((b"numpy._core.multiarray", b"numpy.core.multiarray"),):
        assert new in data
        data = data.replace(new, old)
    path.write_bytes(data)
    assert read_pickle(path)[1].tolist() == [7]
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(%stDTYPE\x89%stb"
    pixels = RED.tobytes()
    shape_x, shape_y = b"K\x01M\x00\x0c", b"K\x01"
    x = array.replace(b"DTYPE", dtype).replace(b"%s", shape_x, 1).replace(
        b"%s", b"T" + len(pixels).to_bytes(4, "little") + pixels
    )  # fmt: skip
    y = array.replace(b"DTYPE", dtype).replace(b"%s", shape_y, 1).replace(b"%s", b"U\x01\x09")
    path.write_bytes(b"\x80\x02(" + x + y + b"t.")
    pictures, people = read_pickle(path)
    assert pictures[0, 0, 0].tolist() == [0, 0, 200]
    assert people.tolist() == [9]


class Evil:
    """Asks for a call when it is unpickled."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.where,))


def test_nothing_of_a_file_is_run(tmp_path: Path) -> None:
    path = write(tmp_path / "evil.pkl", Evil(tmp_path / "was here"), np.zeros(1))
    with pytest.raises(PackError, match=r"evil\.pkl: .*it asks for"):
        read_pickle(path)
    assert not (tmp_path / "was here").exists()
    for module, name in (("os", "system"), ("builtins", "eval"), ("numpy", "load"), ("numpy.testing", "run")):
        path.write_bytes(f"c{module}\n{name}\n(S'x'\ntR.".encode())
        with pytest.raises(PackError, match=f"it asks for {module}.{name}"):
            read_pickle(path)
    path.write_bytes(b"c_codecs\nencode\n(S'x'\nS'zlib'\ntR.")
    with pytest.raises(PackError, match="it asks for the encoding 'zlib'"):
        read_pickle(path)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((2, 100)), np.zeros(2), "reshape"),
        (np.zeros((1, 3072)), np.zeros(2), "reshape"),
        (np.full((1, 3072), 256), np.zeros(1), "beyond 0 to 255"),
        (np.full((1, 3072), np.nan), np.zeros(1), "beyond 0 to 255"),
        (np.zeros((1, 3072)), np.array([-1]), "no numbers from 0 up"),
        (np.zeros((1, 3072)), np.array([0.5]), "no numbers from 0 up"),
        (np.zeros((1, 3072)), np.array([None]), "arrays of objects"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, x: Any, y: Any, words: str) -> None:
    with pytest.raises(PackError, match=words):
        read_pickle(write(tmp_path / "a.pkl", x, y))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pkl", RED[None], np.zeros(1))
    whole = path.read_bytes()
    for cut in (0, 1, 40, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(PackError, match=r"a\.pkl: not pictures and people"):
            read_pickle(path)
    path.write_bytes(pickle.dumps([1, 2, 3]))
    with pytest.raises(PackError, match="too many values"):
        read_pickle(path)


def people_of(seed: int, n: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Four people as coarse coloured patterns, n pictures each."""
    who = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 3), dtype=np.uint8)
    rng = np.random.default_rng(seed)
    made = [cv2.resize(one, (32, 32)) + rng.normal(0, 8, (32, 32, 3)) for one in who for _ in range(n)]
    return np.clip(made, 0, 255).astype(np.uint8).transpose(0, 3, 1, 2).reshape(-1, 3072), np.arange(4).repeat(n)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    x, y = people_of(1, 6)
    write(tmp_path / "faces" / "facescrub_train_set" / "0.pkl", x[:10], y[:10])
    write(tmp_path / "faces" / "facescrub_train_set" / "1.pkl", x[10:], y[10:])
    write(tmp_path / "faces" / "test" / "0.pkl", *people_of(2, 2))
    (tmp_path / "faces" / "test" / ".hidden").write_text("not read")
    return tmp_path / "faces"


def test_a_folder_is_a_pack(folder: Path) -> None:
    assert is_pickles(folder)
    assert not is_pickles(folder / "test")
    pack = read_pickles(folder, "train")
    assert pack.pictures.shape == (24, 80, 80, 3)
    assert pack.identity.tolist() == np.arange(4).repeat(6).tolist()
    # a network of 32x32 that averages sees the very pixels
    x, _ = people_of(1, 6)
    inner = pack.pictures[:, 8:72, 8:72]
    small = cv2.resize(inner[7], (32, 32), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(small, x[7].reshape(3, 32, 32).transpose(1, 2, 0)[..., ::-1])
    with pytest.raises(PackError, match="no folder validation"):
        read_pickles(folder, "validation")


def test_a_comparison_on_them(dhh: Run, folder: Path) -> None:
    result = dhh("evaluate", folder, "--compare", "random,lsh,her", "--bits", "24", "--seeds", "1")
    assert result.exit_code == 0, result.stderr
    header, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert header == ["image to video", "", "still → picture, 24"]
    found = {row[0]: float(row[2]) for row in rows}
    assert found["lsh"] > found["random"] + 0.2
    assert found["her"] > found["random"] + 0.2
    one_line(dhh("evaluate", folder, "--compare", "lsh", "--fit", "x.h5"), 2, "no --fit")
