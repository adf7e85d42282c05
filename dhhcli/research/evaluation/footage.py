"""footage: codes file (t, B) + label file (TSV) + folder of photos per person -> figures of real footage.

The label file has a header line and the columns ``video``, ``shot`` and ``person``, and optionally ``track`` (its row
in the codes file, as ``query`` prints it). ``video`` is the path as encoded, or a file name that only one video has;
``shot`` counts from 1. With tracks, tracks are what is found; without, shots, each as near as its nearest track. What
is not labelled is a distractor: nobody's. A labelled shot in which no face was found ranks behind everything.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dhhcli.errors import MissingPathError, PackError
from dhhcli.models.binary_codes import hamming, soft_codes, weighed_distances
from dhhcli.research.evaluation.tasks import Result, measured
from dhhcli.search.options import Rank
from dhhcli.storage.shard import Shard

COLUMNS = ("video", "shot", "person")


@dataclass(frozen=True)
class Label:
    """A person in a shot, and in which track of it."""

    shot: int  # row of the shard's shots
    track: int | None  # row of the shard's tracks
    person: str


def read_labels(path: Path, shard: Shard) -> tuple[Label, ...]:
    """Read a label file that belongs to a codes file.

    Raises:
        MissingPathError: the file cannot be read.
        PackError: a column is missing, or a line names a video, shot or track that the codes file does not have.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MissingPathError(f"{path}: cannot be read ({error.strerror}); name a label file") from None
    except UnicodeDecodeError:
        raise PackError(f"{path}: not UTF-8 text; expected tab-separated columns {', '.join(COLUMNS)}") from None
    reader = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    found = tuple(reader.fieldnames or ())
    if not {*COLUMNS} <= {*found}:
        raise PackError(f"{path}: columns {', '.join(found) or 'none'}; expected {', '.join(COLUMNS)} [, track]")
    tracks = shard.track_rows(np.arange(len(shard)))
    shots = shard.shots_rows(np.arange(sum(len(piece.shots) for piece in shard.pieces)))
    rows = {(int(shot["video"]), int(shot["number"])): row for row, shot in enumerate(shots)}
    labels = []
    for line, entry in enumerate(reader, start=2):
        where = f"{path}, line {line}"
        try:
            number, track = int(entry["shot"]), int(entry["track"]) if "track" in found else None
        except (TypeError, ValueError):
            raise PackError(f"{where}: shot and track must be whole numbers; expected {', '.join(found)}") from None
        if not entry["person"]:
            raise PackError(f"{where}: names no person; leave out what is nobody's")
        shot = rows.get((_video(entry["video"], shard, where), number))
        if shot is None:
            raise PackError(f"{where}: {entry['video']} has no shot {number} in the codes file; shots count from 1")
        if track is not None and not (0 <= track < len(tracks) and int(tracks["shot"][track]) == shot):
            raise PackError(f"{where}: track {track} is not in shot {number} of {entry['video']}")
        labels.append(Label(shot, track, entry["person"]))
    if not labels:
        raise PackError(f"{path}: no labels below the header line")
    return tuple(labels)


def _video(name: str, shard: Shard, where: str) -> int:
    exact = [row for row, video in enumerate(shard.videos) if str(video.path) == name]
    rows = exact or [row for row, video in enumerate(shard.videos) if video.path.name == name]
    if len(rows) != 1:
        count = f"{len(rows)} videos" if rows else "no video"
        raise PackError(f"{where}: {count} called {name!r} in the codes file; give the path as it was encoded")
    return rows[0]


def label_results(
    shard: Shard,
    labels: Sequence[Label],
    photos: tuple[npt.NDArray[np.float32], Sequence[str]] | None,
    weights: str,
    rank: Rank = Rank.soft,
) -> list[Result]:
    """Figures: photos find tracks or shots; labelled tracks find each other and are found among all.

    Args:
        shard: the codes.
        labels: what is known.
        photos: soft bits (q, K) and whose they are.
        weights: name for the lines.
        rank: what photos rank by; stored tracks ask with bits.
    """
    by_track = labels[0].track is not None
    results: list[Result | None] = []
    if by_track:
        who = {(label.track, label.person) for label in labels}
        items: npt.NDArray[np.int64] = np.arange(len(shard))
    else:
        who = {(label.shot, label.person) for label in labels}
        shots = shard.track_rows(np.arange(len(shard)))["shot"]
        items = np.union1d(shots, [label.shot for label in labels]).astype(np.int64)
    if photos is not None:
        asked = soft_codes(photos[0])
        found = weighed_distances(asked, shard.codes) if rank is Rank.soft else hamming(asked.codes, shard.codes)
        distances = found.astype(np.int32)  # (q, t)
        if not by_track:
            none = int(distances.max(initial=0)) + 1  # of shots without tracks
            nearest: npt.NDArray[np.int32] = np.full((len(distances), len(items)), none, np.int32)
            for column, shot in enumerate(np.searchsorted(items, shots)):
                nearest[:, shot] = np.minimum(nearest[:, shot], distances[:, column])
            distances = nearest
        relevant = np.array([[(int(item), person) in who for item in items] for person in photos[1]])
        results.append(measured(weights, "codes", "still", "track" if by_track else "shot", distances, relevant))
    if by_track:
        people: dict[int, set[str]] = {}
        for track, person in who:
            people.setdefault(int(track or 0), set()).add(person)
        queries = np.array(sorted(people))
        relevant = np.array([[bool(people[q] & people.get(int(item), set())) for item in items] for q in queries])
        keep = queries[:, None] != items[None]
        distances = hamming(np.ascontiguousarray(shard.codes[queries]), shard.codes)
        results.append(measured(weights, "codes", "track", "track", distances, relevant, keep))
    return [result for result in results if result]
