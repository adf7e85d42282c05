"""bench_people: people never trained on -> how well groups of their tracks are people, by algorithm and by limit.

``PYTHONPATH=tests/support python tests/bench/accuracy/bench_people.py [WEIGHTS]`` reads ../shared/data.
Tracks: *shots* of 20 frames
imitated from one photo each, *mixed* the same and sets of six unlike photos (val-protocol.json); *tail*, 1 to 16 tracks
a person of 1 to 30 frames and faces of 12 to 160 pixels; each on two halves of the people: settings are chosen on A.
*webcam*: tracks-nuaa.h5 in pieces of 30 frames. *film*: the clips, people in film_people.tsv by eye, the rest not
judged. *one*: ten people alone with 40 photos of theirs; recall only. Rows are shuffled. With ``--scale [TRACKS...]``
it measures time and memory on random people instead.
"""

import csv
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from agreement import agreement
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import HDBSCAN

from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.run import encode
from dhhcli.models.binary_codes import binarise, hamming, pack
from dhhcli.models.calibration import Curve, Spread, from_record
from dhhcli.models.hash_layers import hash_tracks
from dhhcli.models.network import Network, load_network
from dhhcli.people.clustering import EXACT, group_tracks, limit_of, usual_distances
from dhhcli.people.moments import at_once
from dhhcli.research.datasets.augmentation import centre, imitate_frames
from dhhcli.research.datasets.pack import FacePack, read_pack
from dhhcli.research.datasets.protocol import read_protocol
from dhhcli.research.evaluation.sessions import read_sessions
from dhhcli.storage.codes_file import open_shard

DATA = Path(__file__).parents[4] / "shared" / "data"
FAR = 1e12
FRAMES = (1, 2, 3, 5, 8, 13, 20, 30)
Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Tracks:
    """Codes (n, B), whose they are (k,), of which rows that is known (k,), and pairs that are two people."""

    codes: Array
    people: Array
    judged: Array
    apart: Array


def of(network: Network, features: list[Array], people: list[int], rng: np.random.Generator) -> Tracks:
    order = rng.permutation(len(people))
    codes = pack(binarise(hash_tracks(network.layers, features)))
    return Tracks(codes[order], np.array(people)[order], np.arange(len(order)), np.empty((0, 2), np.int64))


def imitated(network: Network, faces: FacePack, row: int, rng: np.random.Generator) -> Array:
    """Features of a track as film shows them."""
    side = min(64, round(float(np.exp(rng.uniform(np.log(12), np.log(160))))))
    return network.extract(imitate_frames(faces.pictures[row], int(rng.choice(FRAMES)), rng, side=side))


def gathered(network: Network, rng: np.random.Generator) -> dict[str, Tracks]:
    """Everything but *one*."""
    faces = read_pack(DATA / "faces-val.h5")
    sets: dict[str, Tracks] = {}
    protocol = read_protocol(DATA / "val-protocol.json")
    for half in (0, 1):
        shots: list[Array] = []
        mixed: list[Array] = []
        whose: tuple[list[int], list[int]] = ([], [])
        for person in protocol[half::2]:
            for photo in person.shots:
                frames = imitate_frames(faces.pictures[photo], 20, np.random.default_rng(photo))
                shots.append(network.extract(frames))
                whose[0].append(person.identity)
            for photos in person.sets:
                mixed.append(network.extract(np.stack([centre(faces.pictures[row]) for row in photos])))
                whose[1].append(person.identity)
        name = "AB"[half]
        sets[f"shots {name}"] = of(network, shots, whose[0], rng)
        sets[f"mixed {name}"] = of(network, shots + mixed, whose[0] + whose[1], rng)
        tail, owners = [], []
        for identity in np.unique(faces.identity)[half::2]:
            rows = rng.permutation(np.flatnonzero(faces.identity == identity))
            for row in rows[: int(np.ceil(16 * rng.random() ** 2))]:
                tail.append(imitated(network, faces, row, rng))
                owners.append(int(identity))
        sets[f"tail {name}"] = of(network, tail, owners, rng)
    pack_path = DATA / "tracks-nuaa.h5"
    filmed = read_pack(pack_path)
    pieces, owners = [], []
    sessions = read_sessions(pack_path, filmed)
    for rows, identity in zip(sessions.tracks, sessions.track_people, strict=True):
        features = network.extract(np.stack([centre(filmed.pictures[row]) for row in rows]))
        for start in range(0, len(rows), 30):
            pieces.append(features[start : start + 30])
            owners.append(int(identity))
    sets["webcam"] = of(network, pieces, owners, rng)
    sets["film"] = film(network)
    return sets


def alone(network: Network, rng: np.random.Generator) -> list[Tracks]:
    """*one*."""
    faces = read_pack(DATA / "faces-val.h5")
    found = []
    for identity in np.argsort(-np.bincount(faces.identity), kind="stable")[:10]:
        rows = rng.permutation(np.flatnonzero(faces.identity == identity))[:40]
        features = [imitated(network, faces, row, rng) for row in rows]
        found.append(of(network, features, [int(identity)] * len(rows), rng))
    return found


def film(network: Network) -> Tracks:
    """The clips, encoded anew; a label belongs to the track of its frame whose best face is nearest to it."""
    labels: dict[int, str] = {}
    nearest: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codes.h5"
        for _ in encode(
            sorted((DATA / "film" / "clips").glob("*.mp4")), path, network, EncodeOptions(thumbnails=False)
        ):
            pass
        with open_shard(path) as shard:
            tracks, codes = shard.track_rows(np.arange(len(shard))), np.array(shard.codes)
            shots = shard.shots_rows(tracks["shot"])["number"]
            names = np.array([shard.videos[int(video)].path.name for video in tracks["video"]])
    middles = (tracks["box"][:, :2] + tracks["box"][:, 2:]) / 2
    with (Path(__file__).parent / "film_people.tsv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file, delimiter="\t"):
            frame, own = int(line["frame"]), np.flatnonzero((names == line["video"]) & (shots == int(line["shot"])))
            own = own[(tracks["start_frame"][own] <= frame) & (frame < tracks["end_frame"][own])]
            if len(own):
                away = np.hypot(*(middles[own] - (float(line["x"]), float(line["y"]))).T) / tracks["face_px"][own]
                track = int(own[away.argmin()])
                if away.min() < nearest.get(track, 1.0):
                    labels[track], nearest[track] = line["person"], float(away.min())
    sys.stderr.write(f"film: {len(labels)} of {len(tracks)} tracks judged, {len(set(labels.values()))} people\n")
    judged = np.array(sorted(labels))
    return Tracks(codes, np.array([labels[row] for row in judged]), judged, at_once(tracks))


def relative(found: Tracks, curve: Curve) -> Array:
    """Distances (n, n) as people/clustering.py takes them."""
    usual = usual_distances(found.codes, curve)
    return np.asarray(hamming(found.codes, found.codes) / np.sqrt(np.outer(usual, usual)))


def scipy_linkage(distances: Array, apart: Array, method: str, limit: float) -> Array:
    distances = distances.astype(np.float64)
    if len(apart):
        distances[apart[:, 0], apart[:, 1]] = distances[apart[:, 1], apart[:, 0]] = FAR
    flat = distances[np.triu_indices(len(distances), 1)]
    return np.asarray(fcluster(linkage(flat, method), limit, "distance"))


def components(curve: Curve, limit: float, found: Tracks) -> Array:
    return np.asarray(connected_components(csr_matrix(relative(found, curve) <= limit))[1])


def density(curve: Curve, method: str, found: Tracks) -> Array:
    """HDBSCAN; noise becomes people of one track."""
    groups = HDBSCAN(min_cluster_size=2, metric="precomputed", cluster_selection_method=method, copy=True)
    labels = np.array(groups.fit_predict(relative(found, curve)))
    labels[labels < 0] = labels.max() + 1 + np.arange((labels < 0).sum())
    return labels


def compare(name: str | None) -> None:
    """The table."""
    network = load_network(name)
    calibration = from_record(network.weights.record, network.tag.bits, network.weights.record_path)
    if calibration is None:
        raise SystemExit(f"{network.weights.record_path}: not calibrated")
    curve, bits = calibration.curves["track-track"], network.tag.bits
    sets = gathered(network, np.random.default_rng(5))
    singles = alone(network, np.random.default_rng(9))
    sys.stdout.write(f"{network.name}; B-cubed precision/recall=F, adjusted Rand\n{'':22}")
    sys.stdout.write(" | ".join(f"{key + ' ' + str(len(found.codes)):19}" for key, found in sets.items()) + " | one\n")

    def line(title: str, group: Callable[[Tracks], Array]) -> None:
        cells = []
        for found in sets.values():
            score = agreement(group(found)[found.judged], found.people)
            cells.append(f"{score.precision:.2f}/{score.recall:.2f}={score.f:.3f} {score.rand:.2f}")
        recall = np.mean([agreement(group(found), found.people).recall for found in singles])
        sys.stdout.write(f"{title:22}" + " | ".join(cells) + f" | {recall:.2f}\n")
        sys.stdout.flush()

    def ours(exact: int, neighbours: int = 1) -> Callable[[Tracks], Array]:
        def group(found: Tracks) -> Array:
            usual, limit = usual_distances(found.codes, curve), limit_of(curve)
            return group_tracks(found.codes, bits, found.apart, limit, usual=usual, exact=exact, neighbours=neighbours)

        return group

    def relinked(how: str, limit: float, *, plain: bool = False, apart: bool = True) -> Callable[[Tracks], Array]:
        def group(found: Tracks) -> Array:
            distances = hamming(found.codes, found.codes) if plain else relative(found, curve)
            return scipy_linkage(distances, found.apart if apart else found.apart[:0], how, limit)

        return group

    line("as dhh people does", ours(1_000_000))
    for neighbours in (20, 5, 2):
        line(f"  by {neighbours} neighbours", ours(0, neighbours))
    limit = limit_of(curve)
    line("  nobody kept apart", relinked("average", limit, apart=False))
    for rate in (0.003, 0.005, 0.015, 0.02, 0.03):
        limit = limit_of(curve, rate)
        line(f"  rate {rate}: {limit} bits", relinked("average", limit))
    for rate in (1e-4, 0.003, 0.01, 0.02):
        limit = limit_of(curve, rate)
        line(f"average, {limit} plain", relinked("average", limit, plain=True))
    for rate in (0.02, 0.05, 0.1):
        limit = limit_of(curve, rate)
        line(f"complete, {limit}", relinked("complete", limit))
    for rate in (1e-4, 3e-4, 1e-3):
        limit = limit_of(curve, rate)
        line(f"components, {limit}", partial(components, curve, limit))
    for how in ("eom", "leaf"):
        line(f"HDBSCAN, {how}", partial(density, curve, how))


def scale(sizes: tuple[int, ...], bits: int = 128) -> list[tuple[float, float, float]]:
    """Time and peak memory; people of 1 to 30 tracks, each bit flipped with a chance of 0.15. Of each size seconds of
    grouping, B-cubed precision and recall.
    """
    lines = []
    curve_rate = np.minimum(1.0, np.exp(-0.5 * ((np.arange(bits + 1) - bits / 2) / 7.0) ** 2))
    curve_rate[bits // 2 :] = 1.0
    matches = np.round(1e9 * curve_rate).astype(np.int64)
    curve = Curve(bits, Spread(0, 1), matches, np.ones(bits + 1), 10**9, np.array([0]), np.array([0.0]))
    for n in sizes:
        rng = np.random.default_rng(0)
        counts = rng.integers(1, 31, n)
        people = rng.permutation(np.repeat(np.arange(n), counts)[:n])
        centres = rng.random((people.max() + 1, bits)) < 0.5
        codes = np.concatenate(
            [
                pack(centres[part] ^ (rng.random((len(part), bits)) < 0.15))
                for part in np.array_split(people, -(-n // 50_000))
            ]
        )
        before = time.perf_counter()
        usual = usual_distances(codes, curve)
        middle = time.perf_counter()
        groups = group_tracks(codes, bits, np.empty((0, 2), np.int64), limit_of(curve), usual=usual)
        after = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        joint = np.unique(np.stack([groups, people]), axis=1, return_counts=True)
        (group_of, person_of), count = joint
        sizes_g, sizes_p = np.bincount(groups), np.bincount(people)
        precision = float((count**2 / sizes_g[group_of]).sum() / n)
        recall = float((count**2 / sizes_p[person_of]).sum() / n)
        sys.stdout.write(
            f"{n:>9,} tracks: {middle - before:6.1f} s what is usual, {after - middle:7.1f} s grouping, "
            f"peak {peak:.2f} GiB, B-cubed {precision:.3f}/{recall:.3f}\n"
        )
        sys.stdout.flush()
        lines.append((after - middle, precision, recall))
    return lines


def test_neighbours_find_the_same_people_sooner() -> None:
    """4,000 tracks by all distances, 4,001 by neighbours."""
    (all_of_them, *_), (neighbours, precision, recall) = scale((EXACT, EXACT + 1))
    assert neighbours < all_of_them
    assert min(precision, recall) > 0.99


if __name__ == "__main__":
    if sys.argv[1:2] == ["--scale"]:
        scale(tuple(int(n) for n in sys.argv[2:]) or (3_000, 12_000, 100_000))
    else:
        compare(sys.argv[1] if len(sys.argv) > 1 else None)
