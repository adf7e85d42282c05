"""research/baselines/deep/train.py: a rival from a pack to weights that hash photos and tracks; what it refuses."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from synthetic import toy_pack, write_pack
from typer.testing import Result

from dhhcli.errors import WeightsError
from dhhcli.media.sample import Sample
from dhhcli.models.binary_codes import unpack
from dhhcli.models.extractor import FeatureExtractor, still_features
from dhhcli.models.hash_layers import HashLayers, hash_stills, hash_tracks
from dhhcli.models.weights import Weights, load_hash_layers, load_weights, resolve_weights
from dhhcli.research.baselines.base import Covariance, Looks, Training
from dhhcli.research.baselines.comparison.trained import from_weights
from dhhcli.research.baselines.deep.image_networks import StillSettings, train_stills
from dhhcli.research.baselines.deep.validation import values_of
from dhhcli.research.baselines.feature_cache import FeatureStore
from dhhcli.research.baselines.names import FITTED, FRAMEWISE
from dhhcli.research.baselines.registry import method as rival
from dhhcli.research.baselines.split import Split, looks_of, photos_of, training_of, videos_of
from dhhcli.research.datasets.augmentation import centre
from dhhcli.research.datasets.pack import FacePack, read_pack, take
from dhhcli.research.evaluation.tables import Loaded
from dhhcli.research.training.engine.distributed import Devices
from dhhcli.research.training.feature_bank import few_of_each
from dhhcli.storage.codes_file import open_shard

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

EXPANSIONS = {
    "sh": {"still": "cosine"},
    "ksh": {"still": "gaussian"},
    "mlbe": {"still": "settled", "track": "settled"},
    "mm-nn": {"still": "tanh", "track": "tanh"},
    "plmh": {"still": "local", "track": "local"},
    "her": {"still": "gaussian", "track": "gaussian"},
}
QUICK = ("--set", "epochs=2", "--set", "batch=8", "--set", "precision=float32")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``train.h5``, ``more.h5``, ``val.h5`` (other people) and ``protocol.json``."""
    folder = tmp_path_factory.mktemp("methods")
    write_pack(folder / "train.h5", 4, 4, seed=0)
    write_pack(folder / "more.h5", 6, 4, seed=0)
    write_pack(folder / "val.h5", 4, 6, seed=1)
    people = [
        {"identity": i, "queries": [6 * i, 6 * i + 1], "sets": [[6 * i + 2, 6 * i + 3]], "shots": [6 * i + 5]}
        for i in range(4)
    ]
    (folder / "protocol.json").write_text(json.dumps({"people": people}))
    return folder


@dataclass(frozen=True, eq=False)
class Compared:
    """What the comparison fits on and asks with, by the features of dhh-12, which ``features`` keeps."""

    weights: Weights
    training: Training
    stills: Looks
    tracks: Sequence[Looks]
    features: Path


@pytest.fixture(scope="module")
def compared(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    weights, features = load_weights(resolve_weights("dhh-12")), tmp_path_factory.mktemp("features")
    made, store = load_hash_layers(weights), FeatureStore(weights, features)
    covariance = Covariance(made.eps, made.divide, homogeneous=True)
    faces, asked = read_pack(data / "more.h5"), read_pack(data / "val.h5")  # others
    training = training_of(Split(faces, np.arange(len(faces)), {}, ()), store, covariance)
    stills = looks_of(photos_of(asked, range(24)), store, covariance)[0]
    videos = videos_of(asked, [[6 * i + j for j in range(m)] for i in range(4) for m in (2, 5)])
    return Compared(weights, training, stills, looks_of(videos, store, covariance), features)


def framewise(bits: int = 5, d: int = 3) -> HashLayers:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(bits, d)).astype(np.float32)
    none = np.empty((bits, 0), np.float32), np.zeros(bits, np.float32)
    return HashLayers(weight, rng.normal(size=bits).astype(np.float32), *none, framewise=True)


def test_a_track_has_the_bits_of_most_of_its_frames() -> None:
    layers, rng = framewise(), np.random.default_rng(1)
    tracks = [rng.normal(size=(m, 3)).astype(np.float32) for m in (1, 4, 7)]
    for frames, soft in zip(tracks, hash_tracks(layers, tracks), strict=True):
        for k in range(5):
            ones = sum(float(frame @ layers.still_weight[k] + layers.still_bias[k]) >= 0 for frame in frames)
            assert soft[k] == pytest.approx(ones / len(frames))
            assert (soft[k] >= 0.5) == (2 * ones >= len(frames))


@pytest.mark.parametrize(("method", "size"), [("ddah", 32), ("dcbh", 32), ("dmh", 64)])
def test_what_ships_is_what_was_trained(
    method: str, size: int, dhh: Callable[..., Result], data: Path, tmp_path: Path
) -> None:
    words = ["train", "--method", method, "--data", data / "train.h5", "--out", "run", "--bits", "12", "--bits", "8"]
    figures = ["--validate", data / "val.h5", "--protocol", data / "protocol.json"] if size == 32 else []
    result = dhh(*words, *figures, *QUICK, "--set", f"size={size}", "--threads", "1", "--terms", "made here")
    assert result.exit_code == 0, result.stderr
    settings = StillSettings.of(method, (8, 12), 0)  # type: ignore[arg-type]
    run = tmp_path / "run"
    weights = [load_weights(run / f"{method}-{bits}.json") for bits in (8, 12)]
    training = weights[0].record["training"]
    assert (training["method"], training["terms"], training["people"]) == (method, "made here", 4)
    assert weights[0].record["model"]["tracks"] == "majority"
    assert weights[0].onnx_path == weights[1].onnx_path == run / f"{method}.onnx"
    trained = StillSettings(**{**training["settings"], "lengths": tuple(training["settings"]["lengths"])})
    faces = read_pack(data / "train.h5")
    *_, (report, network) = train_stills(faces, trained, run, Devices(torch.device("cpu")))
    assert report.losses == {}  # nothing was left to do
    expected = values_of(network, faces.pictures[:5], size).numpy()
    crops = np.stack([centre(picture) for picture in faces.pictures[:5]])
    features = still_features(FeatureExtractor(weights[0].onnx_path), crops, mirror=weights[0].mirror)
    # shrinking a picture of whole numbers rounds, averaging inside the network does not
    np.testing.assert_allclose(features, expected, atol=1e-3 if size == 64 else 0.05)
    for one in weights:
        soft = hash_stills(load_hash_layers(one), features)
        np.testing.assert_allclose(soft, 1 / (1 + np.exp(-features[:, settings.rows(one.bits)])), atol=1e-5)
    if size == 32:
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        assert {"map_8_still_set", "map_12_still_still"} <= set(lines[-1])
        represented = {figure["representation"] for figure in weights[0].record["metrics"]["figures"]}
        assert represented == {"codes", "features", "random"}
        assert f"wrote {Path('run') / f'{method}-12.json'}" in result.stderr.splitlines()


@pytest.mark.parametrize("method", ["dnnh", "dsh", "hashnet"])
def test_a_layer_on_finished_features(
    method: str, dhh: Callable[..., Result], data: Path, other_weights: Path, tmp_path: Path
) -> None:
    words = ["train", "--method", method, "--data", data / "train.h5", "--out", "run", "--bits", "12", "--name", "mine"]
    more = ["--features-of", other_weights, "--set", "steps=3", "--set", "people=3", "--threads", "1"]
    result = dhh(*words, *more)
    assert result.exit_code == 0, result.stderr
    weights, base = load_weights(tmp_path / "run" / "mine-12.json"), load_weights(other_weights)
    assert weights.record["files"]["onnx"]["sha256"] == base.record["files"]["onnx"]["sha256"]
    assert weights.record["training"]["features_of"] == "other-32"
    layers = load_hash_layers(weights)
    assert (layers.still_weight.shape, layers.framewise) == ((12, 320), True)
    again = dhh(*words, *more)
    assert again.exit_code == 0, again.stderr
    assert load_weights(tmp_path / "run" / "mine-12.json").fingerprint == weights.fingerprint
    assert "features: " not in again.stderr  # kept


@pytest.mark.parametrize("method", FITTED)
def test_a_fitted_layer_is_what_the_comparison_fits(
    method: str,
    dhh: Callable[..., Result],
    data: Path,
    compared: Compared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On features with a constant last one: all bits of photos, frames and tracks but a few that lie at 0."""
    if method == "mm-nn":
        from dhhcli.research.baselines.cross_modal import mm_nn

        monkeypatch.setattr(mm_nn, "STEPS", 20)
    shutil.copytree(compared.features, tmp_path / "run" / "features")  # the same for every method
    words = ["train", "--method", method, "--data", data / "more.h5", "--out", "run", "--bits", "8"]
    result = dhh(*words, "--features-of", "dhh-12", "--seed", "5", "--threads", "1")
    assert result.exit_code == 0, result.stderr
    weights, base = load_weights(tmp_path / "run" / f"{method}-8.json"), compared.weights
    layers = load_hash_layers(weights)
    assert (weights.record["training"]["method"], weights.record["training"]["features_of"]) == (method, "dhh-12")
    expansions = EXPANSIONS.get(method, {})
    assert weights.record["model"].get("expansions", {}) == expansions
    assert weights.record["format_version"] == (3 if expansions else 2)
    assert (layers.framewise, weights.mirror) == (method in FRAMEWISE, base.mirror)
    fitted = rival(method).fit(compared.training, 8, np.random.default_rng([5, 21, 8]))
    stills, tracks = compared.stills, compared.tracks
    read = from_weights(Loaded(weights, layers, homogeneous=True), None)
    turned = int((read.stills(stills) != fitted.stills(stills)).sum())
    turned += sum(int((a != b).sum()) for a, b in zip(read.videos(tracks), fitted.videos(tracks), strict=True))
    assert turned <= 1  # of 24 codes of photos and 28 of frames or 8 of tracks, of 8 bits each


def test_fitted_methods_say_what_they_lack(dhh: Callable[..., Result], data: Path, tmp_path: Path) -> None:
    write_pack(tmp_path / "one.h5", 1, 5, seed=0)
    for words, message in (
        (["ksh", "--data", data / "train.h5", "--set", "steps=3"], "--set steps=3: no such setting"),
        (["her", "--data", "one.h5"], "one.h5: photos of two people or more are needed; give another pack with --data"),
        (["cvh", "--data", data / "train.h5", "--bits", "64"], "cvh: 64 bits of "),
        (["plmh", "--data", data / "train.h5", "--bits", "64"], "plmh: 64 bits of "),
        (["ssh", "--data", data / "train.h5", "--bits", "256"], "ssh: 256 bits of 128 features"),
        (["sh", "--data", data / "train.h5", "--recipe", "paper"], "--recipe paper: sh has no such thing"),
    ):
        result = dhh("train", "--out", "run", "--threads", "1", "--method", *words)
        assert result.exit_code == 2, result.stderr
        assert message in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("method", ["ksh", "her"])
def test_weights_with_expansions_index_films(
    method: str, dhh: Callable[..., Result], data: Path, encoded: Path, sample: Sample, tmp_path: Path
) -> None:
    """Fitted on the two people of the film, each photo in a few looks."""
    for number, photo in enumerate(sample.photos):
        (tmp_path / "people" / str(number)).mkdir(parents=True)
        picture = cv2.imread(str(photo))
        assert picture is not None
        for look, changed in enumerate([picture, picture[:, ::-1], cv2.GaussianBlur(picture, (0, 0), 3), picture // 2]):
            cv2.imwrite(str(tmp_path / "people" / str(number) / f"{look}.jpg"), changed)
    words = ["train", "--method", method, "--data", "people", "--out", "run", "--bits", "24", "--threads", "1"]
    trained = dhh(*words)
    assert trained.exit_code == 0, trained.stderr
    weights = f"run/{method}-24.json"
    result = dhh("encode", sample.film, "--out", "mine.h5", "--weights", weights)
    assert result.exit_code == 0, result.stderr
    with open_shard(tmp_path / "mine.h5") as shard, open_shard(encoded) as known:
        assert (shard.tag.bits, len(shard)) == (24, len(known))
    found = dhh("query", sample.photos[0], "--codes", "mine.h5", "--weights", weights, "--json")
    assert found.exit_code == 0, found.stderr
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert rows[0]["bits"] == 24
    assert {row["shot"] for row in rows[:3]} == {2, 6, 7}  # those of the first photo's
    figures = dhh("evaluate", data / "val.h5", "--protocol", data / "protocol.json", "--weights", weights, "--json")
    assert figures.exit_code == 0, figures.stderr


def test_features_are_of_few_pictures_of_each() -> None:
    faces = uneven_pack()
    few = few_of_each(faces, 3, seed=1)
    assert np.bincount(few.identity).tolist() == [3, 3, 2]
    rows = few.pictures[:, 0, 0, 0].tolist()
    assert rows == sorted(rows)
    assert (faces.identity[rows] == few.identity).all()
    kept = {seed: few_of_each(faces, 3, seed=seed).pictures.tobytes() for seed in (1, 1, 2, 3)}
    assert kept[1] == few.pictures.tobytes()
    assert len(set(kept.values())) > 1


def uneven_pack() -> FacePack:
    """Three people of 6, 4 and 2 photos; every photo's first bytes are its row."""
    faces = take(toy_pack(people=3, photos=6), np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13]))
    faces.pictures[:, 0, 0] = np.arange(12)[:, None]
    return faces


def test_known_people_keep_pictures_out(dhh: Callable[..., Result], tmp_path: Path) -> None:
    write_pack(tmp_path / "many.h5", 3, 22, seed=0)
    words = ["train", "--method", "ddah", "--data", "many.h5", "--out", "run", "--bits", "8", "--hold-out", "2"]
    result = dhh(*words, "--set", "epochs=0.5", "--set", "batch=8", "--threads", "1")
    assert result.exit_code == 0, result.stderr
    record = json.loads((tmp_path / "run" / "ddah-8.json").read_text())
    assert (record["training"]["crops"], record["training"]["hold_out"]) == (66 - 20, 2)


def test_weights_of_stills_index_films(
    dhh: Callable[..., Result], data: Path, encoded: Path, sample: Sample, tmp_path: Path
) -> None:
    words = ["train", "--method", "ddah", "--data", data / "train.h5", "--out", "run", "--bits", "12", "--threads", "1"]
    assert dhh(*words, *QUICK).exit_code == 0
    result = dhh("encode", sample.film, "--out", "mine.h5", "--weights", "run/ddah-12.json")
    assert result.exit_code == 0, result.stderr
    with open_shard(tmp_path / "mine.h5") as shard, open_shard(encoded) as known:
        assert shard.tag.bits == 12
        assert len(shard) == len(known)
        assert unpack(shard.codes[:], 12).shape == (len(known), 12)
    found = dhh("query", sample.photos[0], "--codes", "mine.h5", "--weights", "run/ddah-12.json", "--json")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout.splitlines()[0])["bits"] == 12


def test_weights_that_hash_tracks_in_some_other_way(
    dhh: Callable[..., Result], data: Path, other_weights: Path, tmp_path: Path
) -> None:
    words = ["train", "--method", "dsh", "--data", data / "train.h5", "--out", "run", "--bits", "12"]
    assert dhh(*words, "--features-of", other_weights, "--set", "steps=1", "--threads", "1").exit_code == 0
    path = tmp_path / "run" / "dsh-12.json"
    record = json.loads(path.read_text())
    record["model"]["tracks"] = "vote"
    path.write_text(json.dumps(record))
    with pytest.raises(WeightsError, match="hashes tracks by 'vote', this dhh knows 'covariance' and 'majority'"):
        load_hash_layers(load_weights(path))


def test_the_command_line_refuses_what_a_rival_lacks(dhh: Callable[..., Result], data: Path) -> None:
    words = ["train", "--data", data / "train.h5", "--out", "run"]
    for more, code, message in (
        (["--method", "ddah", "--recipe", "paper"], 2, "--recipe paper: ddah has no such thing"),
        (["--method", "dsh", "--joint-steps", "3"], 2, "--joint-steps: dsh has no such thing"),
        (["--method", "dsh", "--patience", "3"], 2, "--patience: dsh has no such thing"),
        (["--method", "dmh", "--set", "colour=1"], 2, "--set colour=1: no such setting"),
        (["--method", "dmh", "--set", "margin=1"], 2, "margin 1.0: out of range, or dmh has no such thing"),
        (["--method", "dmh", "--features-of", "dhh-12"], 2, "--features-of: dmh trains a network of its own"),
        (["--method", "dsh", "--features-of", "none"], 1, "no such weights"),
        (["--method", "dsh", "--validate", "b.h5"], 2, "go together"),
        (["--features-of", "dhh-12"], 2, "--features-of: for the rivals"),
        (["--hold-out", "3"], 2, "--hold-out: for the rivals"),
    ):
        result = dhh(*words, *more)
        assert result.exit_code == code, result.stderr
        assert message in result.stderr
        assert result.stderr.count("\n") <= 2  # what is trained on may be said first
    assert dhh(*words, "--method", "theirs").exit_code == 2
