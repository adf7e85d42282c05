"""film_confidence: ../shared/data -> how often what query promises is so, and whom strangers pass for.

Not a test: run it after training or calibrating, ``python tests/bench/accuracy/film_confidence.py [WEIGHTS]``; a few
minutes. Who can be seen in which shot of the film was noted by eye; a shot counts with its nearest track, as in a
query. Webcam sessions are cut into three tracks each and asked for with re-photographed prints, or with the three
tracks of a session as a name has them. Strangers are people of faces-val.h5 and, by source, of the training packs: the
shipped weights have seen none of them. Features of photos are SFace's as they lie beside the packs,
which only weights from SFace can use.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.query_photo import photo_code
from dhhcli.encoding.run import encode
from dhhcli.errors import NoFaceError
from dhhcli.models.binary_codes import binarise, pack
from dhhcli.models.calibration import Calibration, from_record
from dhhcli.models.hash_layers import hash_stills, hash_tracks
from dhhcli.models.network import Network, load_network
from dhhcli.research.calibration.pairs import _side
from dhhcli.research.datasets.augmentation import centre, imitate_frames
from dhhcli.research.datasets.pack import read_pack
from dhhcli.search.confidence import ConfidenceModel
from dhhcli.search.distances import measured_by_code
from dhhcli.search.options import Rank
from dhhcli.search.question.probe import Asked, photo_rows
from dhhcli.search.share import share_of
from dhhcli.storage.codes_file import Shard, open_shard

DATA = Path(__file__).parents[4] / "shared" / "data"
FILM = DATA / "film"
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
Floats = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Tracks that are asked: their codes, as a codes file would hold them, and which shot each is in."""

    codes: npt.NDArray[np.uint8]
    shots: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)

    def code_rows(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """As a Shard's."""
        return self.codes[rows]


def confidence(
    rows: Floats, kind: str, calibration: Calibration, gallery: Gallery, prior: float | None = None
) -> Probabilities:
    """Of every shot, as a query promises it."""
    asked = Asked(rows, ("",) * len(rows), kind, (), np.empty(0, np.int64), ())
    shard: Shard = gallery  # type: ignore[assignment]  # the two things that are asked of it
    worth = ConfidenceModel(calibration, (asked,))
    worth = replace(worth, priors=(prior or share_of(worth, shard, None),))
    distances, scores = measured_by_code(shard, [rows], np.arange(len(gallery)), Rank.soft)
    each = worth.each(distances, scores)[0]
    return np.array([each[gallery.shots == shot].max() for shot in np.unique(gallery.shots)])


def report(title: str, answers: Sequence[tuple[Probabilities, Truth]]) -> None:
    """Bins, expected calibration error, and how many at .9, .5 and .1 were right."""
    p, right = (np.concatenate(column) for column in zip(*answers, strict=True))
    place = np.clip(np.searchsorted(EDGES, p, side="right") - 1, 0, len(EDGES) - 2)
    gaps = sum(abs(p[place == b].sum() - right[place == b].sum()) for b in np.unique(place)) / len(p)
    top = ", ".join(
        f"from {least}: {right[p >= least].sum()} of {(p >= least).sum()} right" for least in (0.9, 0.5, 0.1)
    )
    lines = [f"{title}: {len(answers)} questions, {len(p)} answers, {right.sum()} right; ECE {gaps:.4f}; {top}"]
    for b in np.unique(place):
        inside = place == b
        lines.append(
            f"  {EDGES[b]:.2f}-{EDGES[b + 1]:.2f}  predicted {p[inside].mean():.3f}  observed "
            f"{right[inside].mean():.3f}  answers {inside.sum()}"
        )
    sys.stdout.write("\n".join(lines) + "\n")


def strangers(title: str, rows: Floats, calibration: Calibration, gallery: Gallery) -> None:
    """How many questions by photos of others have an answer that is likely, or worth a look."""
    best = np.array([confidence(row[None], "still-track", calibration, gallery).max() for row in rows])
    first = best[np.random.default_rng(0).permutation(len(best))[:50]]
    sys.stdout.write(
        f"{title}: {len(rows)} questions by others, {(best >= 0.5).sum()} with a likely answer, {(best >= 0.1).sum()} "
        f"with one of 0.1; 50 of them: {(first >= 0.5).sum()} and {(first >= 0.1).sum()}\n"
    )


def photos_of(network: Network) -> dict[str, list[tuple[Floats, Floats]]]:
    """Soft bits and feature of every photo of every actor."""
    found: dict[str, list[tuple[Floats, Floats]]] = {}
    for actor in sorted(SEEN):
        for path in sorted((FILM / "photos" / actor).glob("*.jpg")):
            try:
                code = photo_code(path, network)
            except NoFaceError as error:
                sys.stderr.write(f"{error}\n")
                continue
            found.setdefault(actor, []).append((code.soft, code.feature))
    return found


def film(network: Network, calibration: Calibration, rng: np.random.Generator) -> Gallery:
    """The film, by one photo, three and all of an actor; its tracks."""
    with tempfile.TemporaryDirectory() as folder:
        codes = Path(folder) / "codes.h5"
        for _ in encode(sorted((FILM / "clips").glob("*.mp4")), codes, network, EncodeOptions(thumbnails=False)):
            pass
        with open_shard(codes) as shard:
            tracks = shard.track_rows(np.arange(len(shard)))
            gallery = Gallery(np.array(shard.codes), tracks["shot"].astype(np.int64))
            shots = np.unique(gallery.shots)
            rows = shard.shots_rows(shots)
            names = [(shard.video(int(row["video"])).path.stem, int(row["number"])) for row in rows]
    photos = photos_of(network)
    for title, prior in (("film", None), ("film, --prior as it is", 0.0)):
        for how, count, draws in (("one photo", 1, 0), ("three photos", 3, 8), ("all photos", 0, 1)):
            answers = []
            for actor, own in photos.items():
                right = np.array([number in SEEN[actor].get(clip, set()) for clip, number in names])
                several = [rng.permutation(len(own))[: count or len(own)] for _ in range(draws)]
                for chosen in several or [np.array([number]) for number in range(len(own))]:
                    soft, features = (np.stack([own[n][part] for n in chosen]) for part in (0, 1))
                    asked = photo_rows(soft, features, network.layers)
                    share = None if prior is None else max(float(right.mean()), 0.001)
                    answers.append((confidence(asked, "still-track", calibration, gallery, share), right))
            report(f"{title}, {how}", answers)
    return gallery


def stills(pack: str, rows: npt.NDArray[np.int64], network: Network) -> tuple[Floats, Floats]:
    """Soft bits and features of photos of a pack; rows without a feature are NaN."""
    column = np.load(DATA / f"teachers-{pack}.npz")["sface"][rows].astype(np.float32)
    features = np.concatenate([column, np.ones((len(rows), 1), np.float32)], axis=1)
    return hash_stills(network.layers, features), features


def codes_of(tracks: Sequence[Floats], network: Network) -> npt.NDArray[np.uint8]:
    """Codes of tracks, of the features of their frames."""
    return pack(binarise(hash_tracks(network.layers, tracks)))


def webcam(network: Network, calibration: Calibration, rng: np.random.Generator) -> Gallery:
    """Webcam sessions, by prints and by what a name would hold; their tracks."""
    faces = read_pack(DATA / "tracks-nuaa.h5")
    with h5py.File(faces.path) as file:
        live, session, frame = file["live"][:] == 1, file["session"][:].astype(str), file["frame"][:]
    tracks, who, which = [], [], []
    for name in np.unique(session[live]):
        own = np.flatnonzero(live & (session == name))
        own = own[np.argsort(frame[own])]
        own = own[np.linspace(0, len(own) - 1, min(48, len(own))).round().astype(int)]
        features = network.film_extract(np.stack([centre(faces.pictures[row]) for row in own]))
        for part in range(0, len(own), 16):
            tracks.append(features[part : part + 16])
            who.append(int(faces.identity[own[0]]))
            which.append(str(name))
    codes, people, sessions = codes_of(tracks, network), np.array(who), np.array(which)
    gallery = Gallery(codes, np.arange(len(codes)))
    prints = np.flatnonzero(~live)
    soft, features = stills("nuaa", prints, network)
    for how, count in (("one print", 1), ("three prints", 3)):
        answers = []
        for person in np.unique(people):
            own = np.flatnonzero((faces.identity[prints] == person) & np.isfinite(soft).all(axis=1))
            for _ in range(6 if len(own) >= count else 0):
                chosen = rng.permutation(own)[:count]
                asked = photo_rows(soft[chosen], features[chosen], network.layers)
                answers.append((confidence(asked, "still-track", calibration, gallery), people == person))
        report(f"webcam, {how}", answers)
    answers = []
    for name in np.unique(sessions):
        own, rest = sessions == name, sessions != name
        bits = np.unpackbits(codes[own], axis=1, bitorder="little")[:, : network.tag.bits].astype(np.float32)
        others = Gallery(codes[rest], np.arange(int(rest.sum())))
        answers.append((confidence(bits, "track-track", calibration, others), people[rest] == people[own][0]))
    report("webcam, a name of three tracks", answers)
    return gallery


def by_source(network: Network, calibration: Calibration, rng: np.random.Generator) -> None:
    """How often strangers pass at the stored prior where "likely" and 0.1 begin, by source of who is asked for."""
    soft, asking, of, tracks, there, its = [], [], [], [], [], []
    for name in ("core", "wide"):
        faces = read_pack(DATA / f"faces-train-{name}.h5")
        with h5py.File(faces.path) as file:
            source = np.char.replace(file["source"][:].astype(str), "bollywood6_hires", "bollywood100")
        for one in np.unique(source):
            own = np.flatnonzero(source == one)
            people = rng.permutation(np.unique(faces.identity[own]))[:250]
            photos = np.concatenate(
                [
                    rng.permutation(own[faces.identity[own] == person])[: max(2, min(60, 300 // len(people)))]
                    for person in people
                ]
            )
            made = stills(name, photos, network)[0]
            known = np.isfinite(made).all(axis=1)
            soft.append(made[known])
            asking += [f"{name} {person}" for person in faces.identity[photos[known]]]
            of += [str(one)] * int(known.sum())
            for person in people[:60]:
                for row in rng.permutation(own[faces.identity[own] == person])[: 2 if len(people) >= 60 else 4]:
                    frames = imitate_frames(faces.pictures[row], int(rng.choice((2, 5, 8, 13))), rng, side=_side(rng))
                    tracks.append(network.film_extract(frames))
                    there.append(f"{name} {person}")
                    its.append(str(one))
    gallery = Gallery(codes_of(tracks, network), np.arange(len(tracks)))
    p = np.stack([confidence(row[None], "still-track", calibration, gallery, 0.01) for row in np.concatenate(soft)])
    other = np.array(asking)[:, None] != np.array(there)[None]
    for least in (0.5, 0.1):
        shares = {}
        for one in sorted(set(of)):
            mine = (np.array(of) == one)[:, None] & other
            within = mine & (np.array(its) == one)[None]
            shares[one] = float((p[mine] >= least).mean())
            sys.stdout.write(
                f"from {least}, {one}: {(p[mine] >= least).sum()} of {mine.sum()} ({shares[one]:.6f}); in tracks "
                f"of its own: {(p[within] >= least).sum()} of {within.sum()} ({(p[within] >= least).mean():.6f})\n"
            )
        mean = float(np.mean(list(shares.values())))
        most = max(shares.values()) / max(mean, 1e-12)
        sys.stdout.write(f"from {least}: mean {mean:.6f}, the highest {most:.2f} times\n")


def main() -> None:
    """Film, webcam, strangers, sources."""
    network = load_network(sys.argv[1] if len(sys.argv) > 1 else None, film=True, threads=1)
    calibration = from_record(network.weights.record, network.tag.bits, network.weights.record_path)
    if calibration is None or calibration.soft is None:
        raise SystemExit(f"{network.weights.record_path}: not calibrated")
    galleries = {"film": film(network, calibration, np.random.default_rng(0))}
    galleries["webcam"] = webcam(network, calibration, np.random.default_rng(0))
    with h5py.File(DATA / "faces-val.h5") as file:
        identity = file["identity"][:]
    first = np.unique(identity, return_index=True)[1]
    soft = stills("val", first, network)[0]
    for name, gallery in galleries.items():
        strangers(name, soft[np.isfinite(soft).all(axis=1)], calibration, gallery)
    by_source(network, calibration, np.random.default_rng(0))


if __name__ == "__main__":
    main()
