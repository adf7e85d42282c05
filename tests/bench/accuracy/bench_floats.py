"""bench_floats: clips and photos of ../shared/data/film -> codes against what one would take instead: floats a frame.

``PYTHONPATH=tests/support python tests/bench/accuracy/bench_floats.py [WEIGHTS]``.
The rival keeps the backbone's feature of every frame
that a code is made of (at most 30 a track), as float32, and searches them by brute force: a track is as far as the
mean, or the least, of the cosine distances of its frames. Also the mean feature of a track. Detector, tracks, crops and
backbone are the same, so nothing but what is stored and searched differs. Shots are ranked, each by its best track; who
is in which is film_confidence.py's, and the five actors who are there ask. Time: one photo against the tracks laid end
to end until there are TRACKS of them, one thread, least of several runs, all ways in one run.

128 bits, 83 tracks of 491 frames, 60 photos, time with everything else stopped:

======================  =======  ===========  =========================  ===========================
way                     bytes a  ms a query,  one photo: mAP, precision  an actor's 12 photos, the
                        track    50,000       of the first, of the       nearest counts: the same
                                 tracks       first ten; recall of ten
======================  =======  ===========  =========================  ===========================
codes                        16         0.14  .538 .433 .323 .735        .733 .600 .400 .800
floats a frame, mean       3005         7.88  .589 .467 .367 .821        .704 .600 .400 .800
floats a frame, least      3005         6.76  .613 .517 .358 .787        .726 .600 .400 .800
floats of the mean          508         0.94  .615 .450 .368 .821        .759 .800 .400 .800
======================  =======  ===========  =========================  ===========================

An actor is in 4.6 of the 29 shots on average, so .46 is the most that the first ten can reach.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: one thread each

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from film_confidence import FILM, SEEN

from dhhcli.encoding.query_photo import photo_code
from dhhcli.errors import NoFaceError
from dhhcli.faces.scan import shot_tracks
from dhhcli.faces.tracker import sample
from dhhcli.index.codes import codes_of
from dhhcli.index.flat import Flat
from dhhcli.media.video import open_video
from dhhcli.models.binary_codes import binarise, hamming, pack, soft_distance, unpack
from dhhcli.models.hash_layers import hash_tracks
from dhhcli.models.network import Network, load_network
from dhhcli.research.evaluation.metrics import mean_average_precision, ranking

TRACKS = 50_000
RUNS = 5
Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Film:
    """Tracks of the clips: t of them, f frames, s shots."""

    features: Array  # (f, d) float32, of length 1
    starts: Array  # (t,) first frame of each
    means: Array  # (t, d) of length 1
    codes: Array  # (t, B)
    shot: Array  # (t,)
    shots: list[tuple[str, int]]


@dataclass(frozen=True, eq=False)
class Photos:
    """q of them."""

    soft: Array  # (q, K)
    features: Array  # (q, d) of length 1
    actors: Array  # (q,)


def unit(features: Array, network: Network) -> Array:
    """Without the constant that some networks append, of length 1."""
    cut = features[:, :-1] if network.weights.record["model"].get("homogeneous") else features
    return np.asarray(cut / np.linalg.norm(cut, axis=1, keepdims=True), np.float32)


def read_film(network: Network) -> Film:
    frames: list[Array] = []
    shot: list[int] = []
    shots: list[tuple[str, int]] = []
    for path in sorted((FILM / "clips").glob("*.mp4")):
        with open_video(path) as video:
            for one, tracks in shot_tracks(video, network.film_detector):
                for track in tracks:
                    frames.append(network.extract(np.stack([seen.crop for seen in sample(track, 30)])))
                    shot.append(len(shots))
                shots.append((path.stem, one.number))
    codes = pack(binarise(hash_tracks(network.layers, frames)))
    starts = np.cumsum([0, *(len(own) for own in frames[:-1])])
    means = np.stack([own.mean(axis=0) for own in frames])
    return Film(unit(np.concatenate(frames), network), starts, unit(means, network), codes, np.array(shot), shots)


def read_photos(network: Network) -> Photos:
    found = []
    for actor in sorted(actor for actor, seen in SEEN.items() if seen):
        for path in sorted((FILM / "photos" / actor).glob("*.jpg")):
            try:
                found.append((photo_code(path, network), actor))
            except NoFaceError as error:
                sys.stderr.write(f"{error}\n")
    features = np.stack([code.feature for code, _ in found])
    soft = np.stack([code.soft for code, _ in found])
    return Photos(soft, unit(features, network), np.array([actor for _, actor in found]))


def ways(film: Film, photos: Photos) -> dict[str, tuple[Array, float]]:
    """Way -> distances (q, t) and stored bytes a track."""
    t, d = film.means.shape
    frames = len(film.features) / t
    cosine = 1 - photos.features @ film.features.T
    ends = np.r_[film.starts[1:], len(film.features)]
    bits = unpack(film.codes, photos.soft.shape[1])
    # distance, then soft distance: what query ranks by
    codes = hamming(pack(binarise(photos.soft)), film.codes) + np.stack(
        [soft_distance(soft, bits) for soft in photos.soft]
    ) / (2 * photos.soft.shape[1])
    return {
        "codes": (codes, film.codes.shape[1]),
        "floats a frame, mean": (np.add.reduceat(cosine, film.starts, axis=1) / (ends - film.starts), 4 * d * frames),
        "floats a frame, least": (np.minimum.reduceat(cosine, film.starts, axis=1), 4 * d * frames),
        "floats of the mean": (1 - photos.features @ film.means.T, 4 * d),
    }


def scores(distances: Array, film: Film, photos: Photos) -> tuple[list[float], list[float]]:
    """Of one photo (mean over an actor's, then over actors) and of all of an actor's (the nearest counts): mean average
    precision, precision of the first and of the first ten shots, and share of the right shots among these ten.
    """
    shots = np.full((len(distances), len(film.shots)), np.inf)
    for track, shot in enumerate(film.shot):
        shots[:, shot] = np.minimum(shots[:, shot], distances[:, track])
    alone, together = [], []
    for actor in np.unique(photos.actors):
        right = np.array([number in SEEN[actor].get(clip, set()) for clip, number in film.shots])
        own = shots[photos.actors == actor]
        alone.append(_figures(own, np.broadcast_to(right, own.shape)))
        together.append(_figures(own.min(axis=0, keepdims=True), right[None]))
    return np.mean(alone, axis=0).tolist(), np.mean(together, axis=0).tolist()


def _figures(shots: Array, right: Array) -> list[float]:
    curve = ranking(shots, right)
    ten = curve.precision_at(10)
    return [mean_average_precision(shots, right), curve.precision_at(1), ten, 10 * ten / float(right[0].sum())]


def times(film: Film, photos: Photos) -> dict[str, float]:
    """Way -> seconds for one photo over TRACKS tracks and the 20 nearest of them."""
    copies = -(-TRACKS // len(film.codes))
    codes = np.ascontiguousarray(np.tile(film.codes, (copies, 1))[:TRACKS])
    means = np.tile(film.means, (copies, 1))[:TRACKS]
    features = np.tile(film.features, (copies, 1))
    step = len(film.features)
    starts = np.concatenate([film.starts + copy * step for copy in range(copies)])
    lengths = np.diff(np.r_[starts, len(features)])
    photo, soft = photos.features[0], photos.soft[:1]

    def first(distances: Array) -> Array:
        return np.argpartition(distances, 20)[:20]

    runs: dict[str, Callable[[], object]] = {
        "codes": lambda: Flat(codes_of(codes), 1).nearest(pack(binarise(soft)), 20),
        "floats a frame, mean": lambda: first(1 - np.add.reduceat(features @ photo, starts) / lengths),
        "floats a frame, least": lambda: first(-np.maximum.reduceat(features @ photo, starts)),
        "floats of the mean": lambda: first(-(means @ photo)),
    }
    found = {}
    for name, run in runs.items():
        run()
        took = []
        for _ in range(RUNS):
            began = time.perf_counter()
            run()
            took.append(time.perf_counter() - began)
        found[name] = min(took)
    return found


def main(name: str | None = None) -> None:
    """Print the table."""
    network = load_network(name, film=True)
    film, photos = read_film(network), read_photos(network)
    took = times(film, photos)
    sys.stdout.write(
        f"{network.name}: {len(film.codes)} tracks, {len(film.features)} frames, {len(film.shots)} shots, "
        f"{len(photos.actors)} photos of {len(np.unique(photos.actors))} actors; time over {TRACKS:,} tracks\n"
        f"{'':24}bytes a track   ms a query   one photo: mAP  p@1  p@10  r@10   all photos: mAP  p@1  p@10  r@10\n"
    )
    for name, (distances, size) in ways(film, photos).items():
        alone, together = scores(distances, film, photos)
        cells = [f"{value:.3f}" for value in (*alone, *together)]
        sys.stdout.write(f"{name:24}{size:13.0f}   {1e3 * took[name]:10.2f}   {'  '.join(cells)}\n")


@pytest.mark.skipif(not FILM.is_dir(), reason="no ../shared/data/film")
def test_codes_are_smaller_and_quicker_than_floats() -> None:
    network = load_network(film=True)
    film, photos = read_film(network), read_photos(network)
    size = {name: bytes_a_track for name, (_, bytes_a_track) in ways(film, photos).items()}
    took = times(film, photos)
    for name in size:
        sys.stdout.write(f"\n{name}: {size[name] / size['codes']:.0f} x bytes, {took[name] / took['codes']:.1f} x time")
    assert size["floats a frame, mean"] > 100 * size["codes"]
    assert min(took["floats a frame, mean"], took["floats a frame, least"]) > 10 * took["codes"]


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
