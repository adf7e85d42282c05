"""rivals: every method behind one protocol, on people whose answer is known."""

from collections.abc import Sequence

import numpy as np
import pytest
from rivalry import D, made_people, mean_ap

from dhhcli.errors import UsageError
from dhhcli.research.baselines.base import Framewise, Looks, Videowise
from dhhcli.research.baselines.names import FITTED, METHODS
from dhhcli.research.baselines.registry import method

pytestmark = pytest.mark.slow

BITS = 16


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:  # noqa: ARG001
    """As many steps as these few people need."""
    from dhhcli.research.baselines.cross_modal import mm_nn

    monkeypatch.setattr(mm_nn, "STEPS", 120)


@pytest.mark.parametrize("name", FITTED)
def test_every_fitted_method_finds_people(name: str) -> None:
    """People apart from each other, both ways, better than chance by far, and shapes as the protocol says."""
    made = made_people()
    one = method(name)
    assert one.name == name
    fitted = one.fit(made.training, BITS, np.random.default_rng(0))
    stills, videos = fitted.stills(made.stills), fitted.videos(made.tracks)
    assert stills.shape == (len(made.stills), BITS)
    assert stills.dtype == np.bool_
    rows = [1] * len(made.tracks) if one.kind == "video-wise" else [len(track) for track in made.tracks]
    assert [bits.shape for bits in videos] == [(n, BITS) for n in rows]
    for found in (mean_ap(stills, videos, made), mean_ap(stills, videos, made, turned=True)):
        assert found > made.chance + 0.3


@pytest.mark.parametrize("name", FITTED)
def test_the_generator_decides(name: str) -> None:
    made = made_people()
    first, again = (method(name).fit(made.training, 3, np.random.default_rng(3)).stills(made.stills) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no method called 'abc'; there are lsh, "):
        method("abc")
    assert len(set(METHODS)) == len(METHODS)


def test_frames_are_hashed_as_photos_and_come_back_by_video() -> None:
    made = made_people()
    fitted = Framewise(lambda looks: looks.features > 0)
    found = fitted.videos(made.tracks)
    for bits, track in zip(found, made.tracks, strict=True):
        np.testing.assert_array_equal(bits, fitted.stills(track))
    assert fitted.videos([]) == []


def test_videos_get_one_code_each() -> None:
    def signs(
        tracks: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.float32]]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        return np.stack([frames.mean(axis=0) > 0 for frames in tracks])

    fitted = Videowise(lambda x: x > 0, signs)
    tracks = [Looks(np.zeros((m, 64, 64, 3), np.uint8), np.full((m, D), m - 2.5, np.float32)) for m in (2, 3)]
    assert [bits.tolist() for bits in fitted.videos(tracks)] == [[[False] * D], [[True] * D]]
    assert fitted.videos([]) == []
