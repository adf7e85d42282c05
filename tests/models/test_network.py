"""network: the quick backbone where it agrees with the exact one, the exact one everywhere else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from synthetic import astronaut, grace_hopper

from dhhcli.errors import WeightsError
from dhhcli.faces.alignment import align
from dhhcli.faces.detector import FaceDetector
from dhhcli.models import network_ahead
from dhhcli.models.extractor import FeatureExtractor, still_features
from dhhcli.models.network import check_pictures, load_network, quick_extractor
from dhhcli.models.weights import Weights, load_weights, resolve_weights

WEIGHTS = load_weights(resolve_weights("dhh-48"))


@pytest.fixture(scope="module")
def exact() -> FeatureExtractor:
    return FeatureExtractor(WEIGHTS.onnx_path)


def likeness(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


def test_integers_see_the_faces_that_float32_sees(exact: FeatureExtractor) -> None:
    """The network for film, in integers and in floats, and SFace, which looks at photos: one space."""
    quick = quick_extractor(WEIGHTS, exact)
    assert quick is not exact
    assert quick.size == exact.size
    assert WEIGHTS.int8_path is not None
    floats = FeatureExtractor(WEIGHTS.int8_path, integers=False)
    crops = np.stack([align(p, FaceDetector().detect(p)[0].landmarks) for p in (astronaut(), grace_hopper())])
    a, b, c = (extract(crops)[:, :-1] for extract in (exact, quick, floats))
    assert not np.array_equal(b, c)
    assert likeness(b, c).min() > 0.97
    assert likeness(a, b).min() > 0.85
    assert likeness(a, b[::-1]).max() < 0.4


def test_film_gets_the_quick_one_and_photos_the_exact_one() -> None:
    both, plain = load_network("dhh-48", film=True), load_network("dhh-48")
    assert both.film_extract is not both.extract
    assert plain.film_extract is plain.extract


def test_an_encoding_loads_the_exact_one_when_it_meets_a_photo() -> None:
    """A hundred megabytes that film needs not; what it gives then is what a query gets."""
    late, query = load_network("dhh-48", film=True).extract, load_network("dhh-48").extract
    assert "_session" not in vars(late)
    assert "_session" in vars(query)
    crops = check_pictures()
    np.testing.assert_array_equal(late(crops), query(crops))
    assert "_session" in vars(late)


def test_what_is_loaded_ahead_is_what_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also of other lengths, which have the same network; nothing is begun of weights that are to be tried first."""
    monkeypatch.setattr(network_ahead, "_begun", {})
    network_ahead.look_for_network("dhh-128")
    (begun,) = (wait() for wait in network_ahead._begun.values())
    assert load_network("dhh-48").extract is begun
    assert network_ahead._begun == {}
    network_ahead.look_for_network(None, film=True)
    (begun,) = (wait() for wait in network_ahead._begun.values())
    assert load_network("dhh-12", film=True).film_extract is begun
    assert network_ahead._begun == {}
    network_ahead.look_for_network(str(tmp_path / "own.json"))
    network_ahead.look_for_network("dhh-13")
    assert network_ahead._begun == {}


def test_a_still_and_its_mirror_image_go_through_together(exact: FeatureExtractor) -> None:
    crops = check_pictures()
    apart = (exact(crops) + exact(np.ascontiguousarray(crops[:, :, ::-1]))) / 2
    np.testing.assert_array_equal(still_features(exact, crops, mirror=True), apart)


def test_older_weights_have_none(exact: FeatureExtractor) -> None:
    assert quick_extractor(replace(WEIGHTS, int8_path=None), exact) is exact


def one_network() -> Weights:
    """The same weights as if film were looked at by the network for photos, rounded."""
    model = {key: value for key, value in WEIGHTS.record["model"].items() if key != "film_check"}
    return replace(WEIGHTS, record=WEIGHTS.record | {"model": model})


def test_a_gpu_gains_nothing_by_it(exact: FeatureExtractor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FeatureExtractor, "on_gpu", True)
    assert quick_extractor(one_network(), exact) is exact
    assert quick_extractor(WEIGHTS, exact) is not exact  # another network: its codes are the same everywhere


def test_integers_that_come_out_otherwise_are_not_used(
    exact: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a processor that clips the sums."""

    def clipped(self: FeatureExtractor, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.minimum(called(self, crops), 0.01 if self is not exact else np.inf).astype(np.float32)

    called = FeatureExtractor.__call__
    monkeypatch.setattr(FeatureExtractor, "__call__", clipped)
    assert quick_extractor(one_network(), exact) is exact
    made: list[bool] = []
    plain = FeatureExtractor.__init__

    def noted(self: FeatureExtractor, path: Path, threads: int = 1, *, integers: bool = True) -> None:
        made.append(integers)
        plain(self, path, threads, integers=integers)

    monkeypatch.setattr(FeatureExtractor, "__init__", noted)
    assert quick_extractor(WEIGHTS, exact) is not exact
    assert made == [True, False]  # the network for film, computed in floats


@pytest.mark.parametrize("check", ["much", [[1.0, float("nan")]], [1.0, 2.0]])
def test_a_check_that_is_no_table_is_refused(exact: FeatureExtractor, check: object) -> None:
    record = WEIGHTS.record | {"model": WEIGHTS.record["model"] | {"film_check": check}}
    with pytest.raises(WeightsError, match="film_check"):
        quick_extractor(replace(WEIGHTS, record=record), exact)


def test_a_check_of_another_network_is_refused(exact: FeatureExtractor) -> None:
    record = WEIGHTS.record | {"model": WEIGHTS.record["model"] | {"film_check": [[1.0, 2.0]]}}
    with pytest.raises(WeightsError, match=r"film_check \(1, 2\), its network gives \(4, 129\)"):
        quick_extractor(replace(WEIGHTS, record=record), exact)


def test_the_file_must_be_a_network(exact: FeatureExtractor, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match=r"x\.onnx: not a network"):
        quick_extractor(replace(WEIGHTS, int8_path=tmp_path / "x.onnx"), exact)
