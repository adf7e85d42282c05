"""whos_who: what the tests of people and names look at in `codes.h5.people`, and the names file of earlier versions."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dhhcli.storage.codes_file import open_shard
from dhhcli.storage.who.book import names_beside, open_book, people_in
from dhhcli.storage.who.names import Place, names_path


def named(codes_path: Path) -> dict[str, list[int]]:
    """Name -> rows of the tracks that are sure to be its person."""
    with open_shard(codes_path) as shard:
        cast = open_book(codes_path).cast
        person, sure = people_in(shard, cast)
        return {
            name: np.flatnonzero(sure & (person == number)).tolist()
            for number, name in cast.names.items()
            if name in names_beside(codes_path)
        }


def contents(codes_path: Path) -> set[str]:
    """Fingerprints of all videos that the file says anything of."""
    return set(open_book(codes_path).cast.videos)


def write_names(codes_path: Path, names: Mapping[str, Sequence[Place]]) -> None:
    """The names file as earlier versions wrote it."""
    entries = {
        name: [[p.content, p.start_pts, p.end_pts, p.best_pts, list(p.box)] for p in sorted(places)]
        for name, places in sorted(names.items())
        if places
    }
    digest = hashlib.sha256(json.dumps(entries, sort_keys=True).encode("ascii")).hexdigest()
    whole = {"format": "dhh names", "version": 1, "sha256": digest, "names": entries}
    names_path(codes_path).write_text(json.dumps(whole, indent=1) + "\n")
