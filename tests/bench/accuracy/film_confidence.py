"""film_confidence: clips and photos of ../shared/data/film -> how often what query promises there is so.

Not a test: run it after training or calibrating, ``python tests/bench/accuracy/film_confidence.py [WEIGHTS]``.
Who can be seen in
which shot was noted by eye. A shot counts with its nearest track, as in a query; every photo asks alone, then all of an
actor's photos together. The share of right shots in these clips is far above the stored prior, so confidence is also
shown at that share.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.query_photo import photo_code
from dhhcli.encoding.run import encode
from dhhcli.errors import NoFaceError
from dhhcli.models.calibration import Calibration, from_record
from dhhcli.models.network import Network, load_network
from dhhcli.search.probe import kind_of, photo_rows
from dhhcli.search.ranking import search
from dhhcli.storage.codes_file import Shard, open_shard

FILM = Path(__file__).parents[4] / "shared" / "data" / "film"
BOY, OTHER, THIRD, LAST = "02_the_boy_in_the_plastic", "02", "03_the_boy_in_the_plastic", "08"
SEEN: dict[str, dict[str, set[int]]] = {
    "JohnTravolta": {BOY: {1, 3, 5}, LAST: {1, 4, 6, 8}},
    "GlynnisOConnor": {BOY: {2}, THIRD: {2}, LAST: {3, 5, 7, 9}},
    "RobertReed": {OTHER: {2, 4, 6, 8}},
    "RalphBellamy": {OTHER: {2, 4, 8}},
    "DianaHyland": {OTHER: {3, 5, 7}},
    "PJSoles": {},
}
EDGES = (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """Every shot of every question: how near by soft bits, how many rows asked, and whether the actor is there."""

    distances: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    face_px: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.str_]


def ask(shard: Shard, network: Network, *, together: bool) -> Asked:
    """All photos of all actors, each alone or an actor's together, against all shots."""
    found: list[tuple[int, float, bool, float, int, str]] = []
    for actor in sorted(SEEN):
        codes = []
        for path in sorted((FILM / "photos" / actor).glob("*.jpg")):
            try:
                codes.append(photo_code(path, network))
            except NoFaceError as error:
                sys.stderr.write(f"{error}\n")
        for question in [codes] if together else [[one] for one in codes]:
            soft, features = np.stack([one.soft for one in question]), np.stack([one.feature for one in question])
            rows = photo_rows(soft, features, network.layers)
            for hit in search(shard, rows, 10_000):
                shot = shard.shots_rows(np.array([hit.shot]))[0]
                clip = shard.video(int(shot["video"])).path.stem
                right = int(shot["number"]) in SEEN[actor].get(clip, set())
                size = float(shard.track_rows(np.array([hit.track]))[0]["face_px"])
                # curves of weighed distances take their whole bits
                found.append(
                    (int(min(hit.score, network.tag.bits)), hit.score, right, size, len(rows), kind_of(len(question)))
                )
    columns = [np.array(column) for column in zip(*found, strict=True)]
    return Asked(*columns)


def confidence(calibration: Calibration, asked: Asked) -> npt.NDArray[np.float64]:
    """Of every shot of every question."""
    out = np.empty(len(asked.right))
    for rows, kind in {*zip(asked.rows.tolist(), asked.kinds.tolist(), strict=True)}:
        own = (asked.rows == rows) & (asked.kinds == kind)
        out[own] = calibration.confidence(asked.distances[own], asked.scores[own], kind=kind, photos=rows)
    return out


def report(title: str, calibration: Calibration, asked: Asked) -> None:
    """Bins, expected calibration error, and how many shots at .9 and .5 were right; then by face size."""
    p, right = confidence(calibration, asked), asked.right
    place = np.clip(np.searchsorted(EDGES, p, side="right") - 1, 0, len(EDGES) - 2)
    gaps = sum(abs(p[place == b].sum() - right[place == b].sum()) for b in np.unique(place)) / len(p)
    top = ", ".join(
        f"from {least}: {right[p >= least].sum()} of {(p >= least).sum()} right" for least in (0.9, 0.5, 0.1)
    )
    lines = [f"{title}, prior {calibration.prior:.3f}: {len(p)} shots, {right.sum()} right; ECE {gaps:.4f}; {top}"]
    for b in np.unique(place):
        inside = place == b
        said, was = p[inside].mean(), right[inside].mean()
        lines.append(
            f"  {EDGES[b]:.2f}-{EDGES[b + 1]:.2f}  predicted {said:.3f}  observed {was:.3f}  shots {inside.sum()}"
        )
    sys.stdout.write("\n".join(lines) + "\n")


def report_sizes(asked: Asked, calibration: Calibration) -> None:
    """Shots without the actor: how often their nearest track comes near, by its face's size."""
    rate = calibration.curves["still-track"].false_rate
    near = int(np.searchsorted(rate, 0.01, side="right")) - 1
    wrong = ~asked.right
    for low, high in ((0, 24), (24, 36), (36, 64), (64, 128), (128, 10_000)):
        inside = wrong & (asked.face_px >= low) & (asked.face_px < high)
        share = (asked.distances[inside] <= near).mean() if inside.any() else float("nan")
        sys.stdout.write(f"  faces of {low}-{high} px: {inside.sum()} wrong shots, {share:.4f} within {near} bits\n")


def main() -> None:
    """Encode the clips, ask, report."""
    network = load_network(sys.argv[1] if len(sys.argv) > 1 else None, film=True, threads=2)
    learnt = from_record(network.weights.record, network.tag.bits, network.weights.record_path)
    if learnt is None or learnt.soft is None:
        raise SystemExit(f"{network.weights.record_path}: not calibrated")
    calibration = learnt.soft
    with tempfile.TemporaryDirectory() as folder:
        codes = Path(folder) / "codes.h5"
        for _ in encode(sorted((FILM / "clips").glob("*.mp4")), codes, network, EncodeOptions(thumbnails=False)):
            pass
        with open_shard(codes) as shard:
            for together in (False, True):
                asked = ask(shard, network, together=together)
                title = "an actor's photos together" if together else "one photo"
                report(title, calibration, asked)
                report(title, dataclasses.replace(calibration, prior=float(asked.right.mean())), asked)
                if not together:
                    report_sizes(asked, calibration)


if __name__ == "__main__":
    main()
