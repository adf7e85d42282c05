"""fusion: several photos of one person -> which way of asking with them finds most; on val people and on film.

Not a test: run it after training, ``python tests/bench/accuracy/fusion.py [WEIGHTS ...]``.
On faces-val.h5 the photos are the first n
of each of the protocol's sets; the database holds the other sets, or the shots that none of these photos was made
into. On the film the photos are the first n of every actor that show a face, the database its shots (who is in which
was noted by eye, film_confidence.py). Order is that of a search: what the bits that differ cost. What confidence
promises is looked at on people whom its curves were not fitted on.
"""

import dataclasses
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from film_confidence import FILM, SEEN

from dhhcli.base.arrays import Floats
from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.query_photo import largest_first
from dhhcli.encoding.run import encode
from dhhcli.models.binary_codes import UNIT, binarise, pack, soft_codes, unpack, weighed_distances
from dhhcli.models.calibration import PRIOR, Calibration, whole_bits
from dhhcli.models.hash_layers import HashLayers, hash_stills, hash_tracks
from dhhcli.models.network import Network, load_network
from dhhcli.research.calibration.curve_fit import fit_curve, how_alike, person_weights
from dhhcli.research.calibration.held_out import reliability
from dhhcli.research.calibration.pairs import DRAWS, Material, Pairs, all_pairs, material, nearest_of
from dhhcli.research.datasets.augmentation import centre, imitate_frames
from dhhcli.research.datasets.pack import read_pack
from dhhcli.research.evaluation.metrics import mean_average_precision
from dhhcli.research.evaluation.protocol import SHOT_FRAMES, read_both
from dhhcli.search.options import Fuse
from dhhcli.storage.codes_file import open_shard

DATA = FILM.parent
PHOTOS = (1, 2, 3, 6)
Looks = tuple[Floats, Floats]  # features (n, d) of photos and of their mirror images


def means(looks: Looks) -> Floats:
    """(n, d): what a photo's feature is, the mean over both sides."""
    return np.asarray((looks[0] + looks[1]) / 2, np.float32)


def best(layers: HashLayers, looks: Looks) -> Floats:
    """A row a photo."""
    return hash_stills(layers, means(looks))


def as_set(layers: HashLayers, looks: Looks) -> Floats:
    """One row: the photos are frames of a track; one photo alone is a still."""
    return hash_tracks(layers, [means(looks)]) if len(looks[0]) > 1 else best(layers, looks)


def both(layers: HashLayers, looks: Looks) -> Floats:
    """Those of both."""
    return np.concatenate([best(layers, looks), as_set(layers, looks)]) if len(looks[0]) > 1 else best(layers, looks)


# ways of asking: photos seen from both sides -> soft bits (r, K), of which the nearest counts
WAYS: dict[str, Callable[[HashLayers, Looks], Floats]] = {
    "best": best,
    "set": as_set,
    "both": both,
    "mean of soft bits": lambda layers, looks: best(layers, looks).mean(axis=0)[None],
    "mean of features": lambda layers, looks: hash_stills(layers, means(looks).mean(axis=0)[None]),
    "set, one side": lambda layers, looks: hash_tracks(layers, [looks[0]]),
    "set, both sides": lambda layers, looks: hash_tracks(layers, [np.concatenate(looks)]),
}


def order(soft: Floats, bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """(r, K), (n, K) -> (n,): what a search sorts by, weighed distances to the nearest row, bits."""
    return np.asarray(weighed_distances(soft_codes(soft), pack(bits)).min(axis=0) / UNIT, np.float64)


def both_sides(network: Network, crops: npt.NDArray[np.uint8]) -> Looks:
    """Features of crops (n, 64, 64, 3) and of their mirror images."""
    return network.extract(crops), network.extract(np.ascontiguousarray(crops[:, :, ::-1]))


def on_val(networks: list[Network]) -> None:
    """mAP of every way, by number of photos and kind of database."""
    faces, people = read_both(DATA / "faces-val.h5", DATA / "val-protocol.json")
    groups = [(person.identity, photos) for person in people for photos in person.sets]
    shots = [(person.identity, row) for person in people for row in person.shots]
    first = networks[0]
    rows = np.unique([row for _, photos in groups for row in photos])
    looks = both_sides(first, np.stack([centre(faces.pictures[row]) for row in rows]))
    place = {int(row): at for at, row in enumerate(rows)}
    frames = [
        first.extract(imitate_frames(faces.pictures[row], SHOT_FRAMES, np.random.default_rng(row))) for _, row in shots
    ]
    for network in networks:
        layers = network.layers
        stored: dict[str, tuple[Floats, list[tuple[int, tuple[int, ...]]]]] = {
            "set": (hash_tracks(layers, [looks[0][[place[row] for row in photos]] for _, photos in groups]), groups),
            "shot": (hash_tracks(layers, frames), [(identity, (row,)) for identity, row in shots]),
        }
        for kind, (soft, items) in stored.items():
            bits = binarise(soft)
            relevant = np.array([[a == b for b, _ in items] for a, _ in groups])
            keep = np.array([[not {*asked} & {*own} for _, own in items] for _, asked in groups])
            some = (relevant & keep).any(axis=1)
            for name, way in WAYS.items():
                figures = []
                for n in PHOTOS:
                    at = [[place[row] for row in photos[:n]] for _, photos in groups]
                    found = np.stack([order(way(layers, (looks[0][rows], looks[1][rows])), bits) for rows in at])
                    figures.append(mean_average_precision(found[some], relevant[some], keep[some]))
                words = "  ".join(f"{n}: {figure:.3f}" for n, figure in zip(PHOTOS, figures, strict=True))
                sys.stdout.write(f"{network.name}  val {kind} ({int(some.sum())} questions)  {name:18}  {words}\n")


def photo_looks(network: Network, actor: str) -> Looks:
    """Of every photo of an actor that shows a face."""
    from dhhcli.faces.alignment import align
    from dhhcli.media.photo import read_photo

    crops = []
    for path in sorted((FILM / "photos" / actor).glob("*.jpg")):
        picture = read_photo(path)
        faces = largest_first(network.detector.detect(picture))
        if faces:
            crops.append(align(picture, faces[0].landmarks))
    return both_sides(network, np.stack(crops))


def on_film(network: Network) -> None:
    """mAP over the shots of the clips; groups of n photos of an actor, drawn 20 times."""
    looks = {actor: photo_looks(network, actor) for actor in SEEN if SEEN[actor]}
    with tempfile.TemporaryDirectory() as folder:
        codes = Path(folder) / "codes.h5"
        for _ in encode(sorted((FILM / "clips").glob("*.mp4")), codes, network, EncodeOptions(thumbnails=False)):
            pass
        with open_shard(codes) as shard:
            bits = unpack(shard.codes, shard.tag.bits)
            rows, shot = np.unique(shard.track_rows(np.arange(len(shard)))["shot"], return_inverse=True)
            table = shard.shots_rows(rows)
            names = [(shard.video(int(row["video"])).path.stem, int(row["number"])) for row in table]
    for name, way in WAYS.items():
        figures = []
        for n in (*PHOTOS, 12):
            precision = []
            for actor, own in looks.items():
                relevant = np.array([[number in SEEN[actor].get(clip, set()) for clip, number in names]])
                rng = np.random.default_rng(n)
                for _ in range(20 if n < len(own[0]) else 1):
                    pick = rng.permutation(len(own[0]))[:n]
                    near = np.full(len(names), np.inf)
                    np.minimum.at(near, shot, order(way(network.layers, (own[0][pick], own[1][pick])), bits))
                    precision.append((actor, mean_average_precision(near[None], relevant)))
            by_actor = [np.mean([p for whose, p in precision if whose == actor]) for actor in looks]
            figures.append((n, float(np.mean(by_actor))))
        words = "  ".join(f"{n}: {figure:.3f}" for n, figure in figures)
        sys.stdout.write(f"{network.name}  film ({len(looks)} actors)  {name:18}  {words}\n")


def questions(found: Material, layers: HashLayers, single: Pairs, n: int, way: Fuse) -> Pairs:
    """Pairs of random groups of n photos of one person, asked with as `question.asked` does, and all tracks."""
    rng = np.random.default_rng(n)
    groups = [
        rng.choice(own, n, replace=False)
        for own in (np.flatnonzero(found.still_people == person) for person in np.unique(found.still_people))
        if len(own) >= n
        for _ in range(DRAWS)
    ]
    bits = binarise(hash_tracks(layers, found.tracks))
    s = []
    for group in groups:
        looks = found.stills[group], found.stills[group]
        soft = {Fuse.best: best, Fuse.set: as_set, Fuse.both: both}[way](layers, looks)
        s.append(order(soft, bits).astype(np.float32))
    scores = np.stack(s)
    distances = whole_bits(scores, layers.bits).astype(np.int32)
    usable = np.stack([single.usable[group].all(axis=0) for group in groups])
    asking = found.still_people[[g[0] for g in groups]]
    return Pairs(distances, scores, asking, found.track_people, usable, weighed=True)


def less_those_nearer_to_another(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    """What `--not` leaves of single photos' pairs: one photo of somebody else, drawn for each, is not nearer."""
    usable = pairs.usable.copy()
    for row, person in enumerate(pairs.asking):
        other = rng.choice(np.flatnonzero(pairs.asking != person))
        usable[row] &= ~(pairs.scores[other] < pairs.scores[row])
    return dataclasses.replace(pairs, usable=usable)


def held_out(network: Network) -> None:
    """Curves of half of the people, as a query uses them, on questions of the other half, both ways."""
    bits, layers = network.tag.bits, network.layers
    found = material(
        read_pack(DATA / "faces-val.h5"),
        network.extract,
        np.random.default_rng(0),
        film=network.film_extract,
        mirror=network.mirror,
    )
    kinds, plain = all_pairs(found, layers, weighed=True), all_pairs(found, layers)
    single = kinds["still-track"]
    asked: list[tuple[str, Pairs, str, int, bool]] = [
        ("one photo", single, "still-track", 1, False),
        ("one photo, --not another", single, "still-track", 1, True),
    ]
    for n in PHOTOS[1:]:
        for way in Fuse:
            kind = "still-track" if way is Fuse.best else "track-track"
            rows = {Fuse.best: n, Fuse.set: 1, Fuse.both: n + 1}[way]
            asked.append((f"{n} photos, {way}", questions(found, layers, single, n, way), kind, rows, False))
    track = plain["track-track"]  # a stored track has bits only, and their curves
    hard = dataclasses.replace(track, scores=track.distances.astype(np.float32))
    asked.append(("a stored track", hard, "track-track", 1, False))
    rng = np.random.default_rng(0)
    drawn = rng.permutation(np.unique(found.still_people))
    halves = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
    for name, pairs, kind, rows, without in asked:
        said, true, weights = [], [], []
        for half, other in (halves, halves[::-1]):
            known, unknown = single.among(half), pairs.among(other)
            alike = how_alike(known, nearest_of(known, 4, rng), 4)
            learnt = (kinds if pairs.weighed else plain)[kind]
            calibration = Calibration({kind: fit_curve(learnt.among(half), bits, PRIOR)}, PRIOR, alike)
            same = unknown.same[unknown.usable]
            weight = np.where(same, 0.0, (1 - PRIOR) / (~same).sum())
            own = person_weights(unknown)
            weight[same] = PRIOR * own / own.sum()
            left = less_those_nearer_to_another(unknown, rng).usable if without else unknown.usable
            said.append(calibration.confidence(unknown.distances[left], unknown.scores[left], kind=kind, photos=rows))
            true.append(unknown.same[left])
            weights.append(weight[left[unknown.usable]] / 2)
        of = (network.name, "soft" if pairs.weighed else "bits", kind, rows)
        line, bins = reliability(np.concatenate(said), np.concatenate(true), np.concatenate(weights), of, PRIOR)
        high = " ".join(f"{b.predicted:.2f}:{b.observed:.2f}" for b in bins if b.predicted >= 0.1)
        sys.stdout.write(
            f"{network.name}  held out  {name:26} log loss {line.log_loss:.4f}  off by {line.ece_found:.3f} from 0.1 up"
            f"  said:was {high}\n"
        )


def taken_for_another(network: Network) -> None:
    """How often a track of one person is nearer to another, by how many photos name either; 400 draws each."""
    layers = network.layers
    found = material(
        read_pack(DATA / "faces-val.h5"),
        network.extract,
        np.random.default_rng(0),
        film=network.film_extract,
        mirror=network.mirror,
    )
    bits = binarise(hash_tracks(layers, found.tracks))
    people = [person for person in np.unique(found.still_people) if (found.still_people == person).sum() >= 7]

    def nearest(person: int, photos: int, track: int, rng: np.random.Generator) -> float | None:
        own = np.flatnonzero((found.still_people == person) & ~np.isin(found.still_rows[:, 0], found.track_rows[track]))
        if len(own) < photos:
            return None
        looks = found.stills[rng.choice(own, photos, replace=False)]
        return float(order(both(layers, (looks, looks)), bits[track][None])[0])

    for theirs, others in ((1, 1), (1, 6), (6, 1), (6, 6)):
        rng = np.random.default_rng(0)
        wrong: list[bool] = []
        while len(wrong) < 400:
            person, other = rng.choice(people, 2, replace=False)
            track = int(rng.choice(np.flatnonzero(found.track_people == person)))
            near, far = nearest(person, theirs, track, rng), nearest(other, others, track, rng)
            if near is not None and far is not None:
                wrong.append(far <= near)
        sys.stdout.write(
            f"{network.name}  named by {theirs}, another by {others}: {np.mean(wrong):.3f} taken for them\n"
        )


def main() -> None:
    """Val people first, what confidence is worth, then the film."""
    networks = [load_network(name, film=True) for name in (sys.argv[1:] or ["dhh-128", "dhh-64", "dhh-48"])]
    on_val(networks)
    for network in networks:
        held_out(network)
        taken_for_another(network)
    for network in networks:
        on_film(network)


if __name__ == "__main__":
    main()
