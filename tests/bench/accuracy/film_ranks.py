"""film_ranks: clips and photos of ../shared/data/film -> how many of the first shots are right, average precision.

Not a test: run it after training or a change to the pipeline, ``python tests/bench/accuracy/film_ranks.py [WEIGHTS]``.
Who can be seen
in which shot stands in film_confidence.py. All of an actor's photos ask together, then each alone. Weights that hash
pictures only are searched in every way: by their frames' average or minimum, by their majority.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from film_confidence import FILM, SEEN

from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.query_photo import photo_code
from dhhcli.encoding.run import encode
from dhhcli.errors import NoFaceError
from dhhcli.models.network import Network, load_network
from dhhcli.search.options import FrameDistance
from dhhcli.search.question.probe import photo_rows
from dhhcli.search.ranking import search
from dhhcli.storage.codes_file import Shard, open_shard

TOP = 10


def soft_bits(actor: str, network: Network) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Of all photos of an actor in which there is a face, (q, K), and the rows (r, K) that they ask with together."""
    found = []
    for path in sorted((FILM / "photos" / actor).glob("*.jpg")):
        try:
            found.append(photo_code(path, network))
        except NoFaceError as error:
            sys.stderr.write(f"{error}\n")
    soft, features = np.stack([code.soft for code in found]), np.stack([code.feature for code in found])
    return soft, photo_rows(soft, features, network.layers)


def right_shots(
    shard: Shard, question: npt.NDArray[np.float32], actor: str, way: FrameDistance = FrameDistance.majority
) -> npt.NDArray[np.bool_]:
    """Shots in order of rank: whether the actor can be seen in them."""
    right = []
    for hit in search(shard, question, 10_000, way=way):
        shot = shard.shots_rows(np.array([hit.shot]))[0]
        clip = shard.video(int(shot["video"])).path.stem
        right.append(int(shot["number"]) in SEEN[actor].get(clip, set()))
    return np.array(right)


def average_precision(right: npt.NDArray[np.bool_], relevant: int) -> float:
    """Of a ranking; shots without any track are never found."""
    ranks = np.flatnonzero(right) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).sum() / relevant)


def report(shard: Shard, network: Network, way: FrameDistance) -> None:
    """Ask for every actor who can be seen, and say how that went."""
    together, alone = [], []
    for actor, shots in SEEN.items():
        relevant = sum(map(len, shots.values()))
        if not relevant:
            continue
        soft, rows = soft_bits(actor, network)
        whole = right_shots(shard, rows, actor, way)
        single = [right_shots(shard, one[None], actor, way) for one in soft]
        together.append(average_precision(whole, relevant))
        alone.append(float(np.mean([average_precision(one, relevant) for one in single])))
        sys.stdout.write(
            f"{actor}: {len(soft)} photos: {whole[:TOP].sum()} of {relevant} among the first {TOP}, AP "
            f"{together[-1]:.3f}; one photo: {np.mean([one[:TOP].sum() for one in single]):.1f}, "
            f"AP {alone[-1]:.3f}\n"
        )
    sys.stdout.write(f"mean AP: together {np.mean(together):.3f}, one photo {np.mean(alone):.3f}\n")


def main() -> None:
    """Encode the clips, ask, report."""
    network = load_network(sys.argv[1] if len(sys.argv) > 1 else None, film=True, threads=2)
    frames = network.layers.framewise
    with tempfile.TemporaryDirectory() as folder:
        codes = Path(folder) / "codes.h5"
        for _ in encode(sorted((FILM / "clips").glob("*.mp4")), codes, network, EncodeOptions(frame_codes=frames)):
            pass
        with open_shard(codes) as shard:
            sys.stdout.write(f"{network.name}: {len(shard)} tracks, {codes.stat().st_size} bytes\n")
            if frames:
                count = sum(len(own) for own, _ in shard.frame_pieces)
                sys.stdout.write(f"{count} codes of frames, {count / len(shard):.1f} a track\n")
            for way in FrameDistance if frames else [FrameDistance.majority]:
                sys.stdout.write(f"by the {way} of their frames\n" if frames else "")
                report(shard, network, way)


if __name__ == "__main__":
    main()
