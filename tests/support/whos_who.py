"""whos_who: what the tests of people and names look at in `codes.h5.people`, and the names file of earlier versions."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from footage import TAG, encoded_video

from dhhcli.models.binary_codes import pack
from dhhcli.storage.codes_file import commit, compact, open_shard
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


def write_film(path: Path, name: str, seen: str, content: str = "ab", fresh: int = 0, seed: int = 0) -> None:
    """Commit a film of 25 frames a second: "A12 B" is A from second 1 to 2 in shot 1, B all the time in shot 2.

    Everybody's codes differ from others' in half of the bits, from their own in `fresh`.
    """
    rng = np.random.default_rng(0)
    shots = seen.split()
    people = {letter: rng.random(TAG.bits) < 0.5 for letter in "ABCDEFG"}
    film = encoded_video(rng, f"/films/{name}", shots=len(shots), tracks=0)
    noise = np.random.default_rng(seed) if seed else rng
    rows, codes = [], []
    for shot, words in enumerate(shots):
        for place, word in enumerate(words.split("+")):
            start, end = (int(word[1]), int(word[2])) if len(word) > 1 else (0, 4)
            at, until = 25 * (4 * shot + start), 25 * (4 * shot + end) - 1
            box = (50 * place, 0, 50 * place + 40, 40)
            rows.append((0, shot, at, until + 1, at, until, at, at, box, 0.9, 40 + place, 1.0, 5))
            bits = people[word[0]].copy()
            flipped = noise.choice(TAG.bits, fresh, replace=False)
            bits[flipped] = ~bits[flipped]
            codes.append(bits)
    video = replace(
        film.video,
        frame_rate=Fraction(25),
        time_base=Fraction(1, 25),
        start_pts=0,
        start_timecode="01:00:00:00",
        drop_frame=False,
        fingerprint=content * 32,
    )
    tracks = np.array(rows, film.tracks.dtype)
    jpeg = bytes(cv2.imencode(".jpg", np.full((40, 40, 3), 99, np.uint8))[1].tobytes())
    commit(
        path,
        TAG,
        replace(film, video=video, tracks=tracks, codes=pack(np.array(codes)), thumbnails=(jpeg,) * len(rows)),
    )
    compact(path, TAG)
