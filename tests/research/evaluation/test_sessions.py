"""research/evaluation/sessions.py: packs with real tracks, made here."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from packs import write_sessions

from dhhcli.errors import PackError
from dhhcli.models.binary_codes import binarise
from dhhcli.models.hash_layers import HashLayers, hash_tracks
from dhhcli.research.datasets.pack import read_pack
from dhhcli.research.evaluation.sessions import (
    SessionFeatures,
    frames_lines,
    has_sessions,
    read_sessions,
    session_features,
    session_results,
)


def test_a_track_is_one_person_in_one_session_in_the_order_of_its_frames(tmp_path: Path) -> None:
    path = write_sessions(tmp_path / "tracks.h5")
    assert has_sessions(path)
    sessions = read_sessions(path, read_pack(path))
    assert sessions.stills.tolist() == [0, 4]
    assert [rows.tolist() for rows in sessions.tracks] == [[7, 2, 1], [6], [5, 3]]
    assert sessions.track_people.tolist() == [0, 0, 1]

    def extract(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return crops.reshape(len(crops), -1)[:, :4].astype(np.float32)

    features = session_features(read_pack(path), sessions, extract, extract, mirror=False)
    assert [track.shape for track in features.tracks] == [(3, 4), (1, 4), (2, 4)]
    assert features.stills.shape == (2, 4)


def test_packs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    short = write_sessions(tmp_path / "short.h5", frame=[1, 2])
    with pytest.raises(PackError, match="one value for each of 8 crops"):
        read_sessions(short, read_pack(short))
    still = write_sessions(tmp_path / "still.h5", live=np.zeros(8, np.uint8))
    with pytest.raises(PackError, match="8 stills and 0 frames"):
        read_sessions(still, read_pack(still))
    assert not has_sessions(tmp_path / "absent.h5")


def made() -> tuple[SessionFeatures, HashLayers]:
    rng = np.random.default_rng(0)
    who = rng.normal(size=(6, 5))
    identity = np.arange(6)
    features = SessionFeatures(
        np.repeat(who, 2, axis=0).astype(np.float32),
        identity.repeat(2),
        tuple(
            (who[p] + 0.3 * rng.normal(size=(m, 5))).astype(np.float32)
            for p, m in zip(identity, (1, 4, 9, 35, 40, 60), strict=True)
        ),
        identity,
    )
    layers = HashLayers(
        rng.normal(size=(24, 5)).astype(np.float32),
        np.zeros(24, np.float32),
        rng.normal(size=(24, 15)).astype(np.float32),
        np.zeros(24, np.float32),
        divide=True,
    )
    return features, layers


def test_bits_from_all_are_counted_and_end_at_none() -> None:
    features, layers = made()
    lines = frames_lines(features, layers, homogeneous=False, weights="made")
    codes = [line for line in lines if line.representation == "codes"]
    assert [(line.divided, line.as_trained, line.frames) for line in codes] == [
        (divided, divided, frames) for divided in (True, False) for frames in ("1", "2", "5", "10", "20", "30", "all")
    ]
    whole = binarise(hash_tracks(layers, features.tracks))
    one = binarise(hash_tracks(layers, [track[len(track) // 2][None] for track in features.tracks]))
    changed = {line.frames: line.bits_from_all for line in codes if line.divided}
    assert changed["1"] == pytest.approx(np.mean([(a != b).sum() for a, b in zip(whole, one, strict=True)]))
    assert changed["all"] == 0
    assert (changed["1"] or 0) > 0
    real = [line for line in lines if line.representation == "features"]
    assert len(real) == 7
    assert all(line.bits_from_all is None and line.divided is None for line in real)
    assert real[-1].still_session == pytest.approx(1.0)


def test_the_main_figures_are_those_of_thirty_frames() -> None:
    features, layers = made()
    found = session_results(features, layers, homogeneous=False, weights="made")
    maps = {(r.line.representation, r.line.query, r.line.database): r.line.mean_ap for r in found}
    thirty = next(line for line in frames_lines(features, layers, homogeneous=False, weights="made")
                  if line.frames == "30" and line.as_trained)  # fmt: skip
    assert maps["codes", "still", "session"] == thirty.still_session
    assert maps["codes", "session", "still"] == thirty.session_still
    assert ("codes", "session", "session") not in maps  # everybody has one session, so there is nobody to find
