"""The wheel holds the weights, an editable install finds them, and they are what their record says."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dhhcli.models.extractor import FeatureExtractor
from dhhcli.models.weights import load_hash_layers, load_weights, resolve_weights, shipped_folder

ROOT = Path(__file__).parents[2]


def test_an_editable_install_finds_the_weights() -> None:
    assert shipped_folder() == ROOT / "weights"
    assert load_weights(resolve_weights()).bits == 128


def test_the_wheel_holds_the_weights(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import dhhcli.models.weights as w; print(w.__file__); print(w.load_weights(w.resolve_weights()).record_path)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DHH_WEIGHTS"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    for part in (
        "output/sheets/sheet.css",
        "output/sheets/sheet.js",
        "models/shipped/centerface.onnx",
        "models/shipped/centerface-int8.onnx",
        "models/shipped/centerface.LICENSE",
        "media/portraits/collins.png",
        "media/portraits/hopper.png",
        "media/portraits/SOURCES.txt",
        "py.typed",
    ):
        assert (tmp_path / "site" / "dhhcli" / part).read_bytes() == (ROOT / "dhhcli" / part).read_bytes()
    module, record = done.stdout.splitlines()
    assert module == str(tmp_path / "site" / "dhhcli" / "models" / "weights.py")
    assert record == str(tmp_path / "site" / "dhhcli" / "shipped_weights" / "dhh-128.json")


@pytest.mark.parametrize("record", sorted((ROOT / "weights").glob("*.json")), ids=lambda path: path.stem)
def test_shipped_weights_carry_terms_and_figures(record: Path) -> None:
    weights = load_weights(record)
    training = weights.record["training"]
    assert "public domain" in training["terms"]
    assert "Apache-2.0" in training["start"]
    assert training["crops"] > 5_000
    figures = {
        (f["representation"], f["query"], f["database"]): f["mean_ap"] for f in weights.record["metrics"]["figures"]
    }
    for direction in (("still", "set"), ("still", "still"), ("still", "shot")):
        assert figures["codes", *direction] > 5 * figures["random", *direction]
    layers = load_hash_layers(weights)
    assert layers.bits == weights.bits
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    features = FeatureExtractor(weights.onnx_path)(crops)
    assert features.shape == (2, weights.record["model"]["features"])
    assert ((features[:, -1] > 0.1) & (features[:, -1] < 3)).all()  # how clear a picture is, where 1 is usual
