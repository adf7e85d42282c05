"""bench_quality: would it help to trust small, short or blurred tracks less? Gates and weights in the ranking.

``PYTHONPATH=tests/support python tests/bench/accuracy/bench_quality.py`` reads ../shared/data.
*val*: stills of people never trained on
against tracks imitated from other photos of them, faces of 12 to 160 pixels, 1 to 13 frames: everybody is shown in all
qualities, as far as that can be imitated. *film*: the clips and photos of film_confidence.py, one photo a question;
those actors were mostly filmed large, so whatever keeps small faces back seems to help there. Mean average precision,
128 bits; film: mean over actors; right shots that a gate loses in brackets.

==============================  ============  ==========
way                             val           film
==============================  ============  ==========
distance alone                  .515          .566
only faces from 24 / 48 pixels  .445 / .300   .567 / .623
only tracks from 2 / 5 frames   .439 / .321   .593 / .592 [2]
only detections from .5 / .7    -             .564 / .574 [1]
without the 25 % least sharp    -             .616
1 / 4 bits a halving of 64 px   .505 / .460   .574 / .597
1 / 4 bits a halving of 8 m     .501 / .433   .580 / .603
relative to what is usual       .503          .571
==============================  ============  ==========

Nothing is weighed, and nothing left out: where small faces belong to people as large ones do, strangers come as near to
either (within 40 bits: 4 to 6 of a thousand, at any size; the mean distance is 64), and a small face of the right
person is only somewhat farther (46 bits instead of 39), so every rule loses. What film gains is that the people who
were asked for are never small in it.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from film_confidence import FILM, SEEN

from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.query_photo import photo_code
from dhhcli.encoding.run import encode
from dhhcli.errors import NoFaceError
from dhhcli.models.binary_codes import binarise, hamming, pack, soft_distance, unpack
from dhhcli.models.calibration import Curve, from_record
from dhhcli.models.extractor import still_features
from dhhcli.models.hash_layers import hash_stills, hash_tracks
from dhhcli.models.network import Network, load_network
from dhhcli.people.clustering import usual_distances
from dhhcli.research.datasets.augmentation import centre, imitate_frames
from dhhcli.research.datasets.pack import read_pack
from dhhcli.research.evaluation.metrics import mean_average_precision
from dhhcli.storage.codes_file import open_shard

FRAMES = (1, 2, 3, 5, 8, 13)
Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Asked:
    """q questions against t tracks in s shots (a shot a track on val)."""

    distances: Array  # (q, t) Hamming, then soft
    usual: Array  # (t,) how far a track is from others (people/clustering.py)
    size: Array  # (t,) pixels
    frames: Array  # (t,)
    score: Array  # (t,) of the detector
    sharpness: Array  # (t,)
    shot: Array  # (t,)
    right: Array  # (q, s)
    who: Array  # (q,)

    def mean_ap(self, distances: Array, kept: Array | None = None) -> float:
        """Mean over people, of their questions' mean; shots without a kept track come last, together."""
        shots = np.full((len(distances), self.right.shape[1]), 1e9)
        for track in np.flatnonzero(np.ones(len(self.shot), bool) if kept is None else kept):
            shots[:, self.shot[track]] = np.minimum(shots[:, self.shot[track]], distances[:, track])
        return float(
            np.mean(
                [
                    mean_average_precision(shots[self.who == who], self.right[self.who == who])
                    for who in np.unique(self.who)
                    if self.right[self.who == who].any()
                ]
            )
        )

    def lost(self, kept: Array) -> int:
        """Right shots, of everybody, in which no track is kept."""
        there = np.isin(np.arange(self.right.shape[1]), self.shot[kept])
        return int(sum((self.right[self.who == who][0] & ~there).sum() for who in np.unique(self.who)))


def distances(soft: Array, codes: Array) -> Array:
    bits = unpack(codes, soft.shape[1])
    return hamming(pack(binarise(soft)), codes) + np.stack([soft_distance(one, bits) for one in soft]) / 1000


def val(network: Network, curve: Curve, rng: np.random.Generator) -> Asked:
    faces = read_pack(FILM.parent / "faces-val.h5")
    stills, asking, tracks, asked, sizes, lengths = [], [], [], [], [], []
    for person in np.unique(faces.identity):
        rows = rng.permutation(np.flatnonzero(faces.identity == person))
        if len(rows) < 3:
            continue
        stills += rows[:2].tolist()
        asking += [person] * 2
        for row in rows[-min(4, len(rows) // 2) :]:
            size, m = float(np.exp(rng.uniform(np.log(12), np.log(160)))), int(rng.choice(FRAMES))
            tracks.append(network.extract(imitate_frames(faces.pictures[row], m, rng, side=min(64, round(size)))))
            asked.append(person)
            sizes.append(size)
            lengths.append(m)
    crops = np.stack([centre(faces.pictures[row]) for row in stills])
    soft = hash_stills(network.layers, still_features(network.extract, crops, mirror=network.mirror))
    codes = pack(binarise(hash_tracks(network.layers, tracks)))
    t = len(codes)
    return Asked(
        distances(soft, codes),
        usual_distances(codes, curve),
        np.array(sizes),
        np.array(lengths),
        np.ones(t),
        np.ones(t),
        np.arange(t),
        np.array(asking)[:, None] == np.array(asked)[None],
        np.array(asking),
    )


def film(network: Network, curve: Curve) -> Asked:
    soft, who = [], []
    for actor in sorted(actor for actor, seen in SEEN.items() if seen):
        for path in sorted((FILM / "photos" / actor).glob("*.jpg")):
            try:
                soft.append(photo_code(path, network).soft)
                who.append(actor)
            except NoFaceError as error:
                sys.stderr.write(f"{error}\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codes.h5"
        for _ in encode(sorted((FILM / "clips").glob("*.mp4")), path, network, EncodeOptions(thumbnails=False)):
            pass
        with open_shard(path) as shard:
            tracks, codes = shard.track_rows(np.arange(len(shard))), np.array(shard.codes)
            shots = shard.shots_rows(np.arange(sum(len(piece.shots) for piece in shard.pieces)))
            clips = [shard.video(int(shot["video"])).path.stem for shot in shots]
    right = np.array(
        [
            [int(shot["number"]) in SEEN[actor].get(clip, set()) for clip, shot in zip(clips, shots, strict=True)]
            for actor in who
        ]
    )
    return Asked(
        distances(np.stack(soft), codes),
        usual_distances(codes, curve),
        tracks["face_px"].astype(float),
        tracks["frames_used"].astype(int),
        tracks["score"].astype(float),
        tracks["sharpness"].astype(float),
        tracks["shot"],
        right,
        np.array(who),
    )


def main() -> None:
    """Print the table."""
    network = load_network(film=True)
    calibration = from_record(network.weights.record, network.tag.bits, network.weights.record_path)
    if calibration is None:
        raise SystemExit(f"{network.weights.record_path}: not calibrated")
    curve = calibration.curves["track-track"]
    sets = {"val": val(network, curve, np.random.default_rng(3)), "film": film(network, curve)}
    sys.stdout.write(f"{'':30}{'val':>14}{'film':>14}\n")

    def line(title: str, moved: Callable[[Asked], Array], only: tuple[str, ...] = ("val", "film")) -> None:
        cells = [f"{asked.mean_ap(moved(asked)):.3f}" if name in only else "" for name, asked in sets.items()]
        sys.stdout.write(f"{title:30}{cells[0]:>14}{cells[1]:>14}\n")

    def gate(title: str, kept: Callable[[Asked], Array], only: tuple[str, ...] = ("val", "film")) -> None:
        cells = [
            f"{asked.mean_ap(asked.distances, kept(asked)):.3f} ({asked.lost(kept(asked))})" if name in only else ""
            for name, asked in sets.items()
        ]
        sys.stdout.write(f"{title:30}{cells[0]:>14}{cells[1]:>14}\n")

    line("distance", lambda a: a.distances)
    for pixels in (24, 32, 48, 64):
        gate(f"faces from {pixels} pixels", lambda a, px=pixels: a.size >= px)  # type: ignore[misc]
    for frames in (2, 3, 5):
        gate(f"from {frames} frames", lambda a, m=frames: a.frames >= m)  # type: ignore[misc]
    for score in (0.5, 0.6, 0.7):
        gate(f"detector from {score}", lambda a, least=score: a.score >= least, ("film",))  # type: ignore[misc]
    for share in (10, 25, 50):
        gate(
            f"without the {share} % least sharp",
            lambda a, least=share: a.sharpness >= np.percentile(a.sharpness, least),  # type: ignore[misc]
            ("film",),
        )
    for bits in (1, 2, 4):
        line(
            f"+ {bits} bits a halving of 64 px",
            lambda a, b=bits: a.distances + b * np.log2(64 / np.minimum(a.size, 64)),  # type: ignore[misc]
        )
    for bits in (1, 2, 4):
        line(
            f"+ {bits} bits a halving of 8 frames",
            lambda a, b=bits: a.distances + b * np.log2(8 / np.minimum(a.frames, 8)),  # type: ignore[misc]
        )
    line("relative to what is usual", lambda a: a.distances / np.sqrt(a.usual))
    a = sets["val"]
    sys.stdout.write("val by size: strangers' mean distance, share within 40 bits; median of the same person\n")
    same = a.right[:, a.shot]
    for low, high in ((12, 18), (18, 24), (24, 36), (36, 64), (64, 161)):
        inside = (a.size >= low) & (a.size < high)
        others, own = a.distances[:, inside][~same[:, inside]], a.distances[:, inside][same[:, inside]]
        sys.stdout.write(f"{low}-{high - 1}: {others.mean():.1f}, {(others < 41).mean():.4f}; {np.median(own):.1f}\n")


if __name__ == "__main__":
    main()
