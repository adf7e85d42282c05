"""looking: folder with codes files and all that a command writes -> World: what is in it, to be compared with another.

A World that equals another one holds the same videos (tracks, codes, times, pictures), tombstones, people and files.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dhhcli.errors import MissingPathError
from dhhcli.storage.codes_file import Shard, open_shard
from dhhcli.storage.who.book import open_book, people_in

AGAIN = (".faiss", ".faiss.json")  # can be made again, so they may go first
MEANWHILE = (".forgetting", ".merging", ".skipped", "log.jsonl")  # what says that something is not done yet
Held = frozenset[tuple[str, str]]  # a thing, and a hash of all that is held of it


@dataclass(frozen=True)
class Codes:
    """What is in a codes file, its parts, and the people beside it."""

    videos: Held = frozenset()  # by path
    stones: frozenset[bytes] = frozenset()
    names: frozenset[str] = frozenset()
    people: Held = frozenset()  # by place of the track: who it is said to be, and whether that is sure
    never: int = 0  # how often it was said that somebody is not somebody
    rows: frozenset[bytes] = frozenset()  # codes


@dataclass(frozen=True)
class World:
    """Codes files by name, all other files by path."""

    codes: tuple[tuple[str, Codes], ...]
    files: Held
    listing: frozenset[str]

    def of(self, name: str) -> Codes:
        """One of the codes files."""
        return dict(self.codes)[name]


def look(folder: Path, names: tuple[str, ...]) -> World:
    """See what is there. Raises DhhError, and AssertionError for what is damaged or there twice."""
    own = {f"{name}{end}" for name in names for end in ("", ".people", ".names")}
    files, listing = [], set()
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        listing.add(name)
        beside = any(name.startswith(f"{one}.parts") or name.startswith(f"{one}.migrating") for one in names)
        if path.is_file() and name not in own and not beside and not name.endswith((".lock", ".tmp")):
            files.append((name, _content(path)))
    return World(tuple((name, _codes(folder / name)) for name in names), frozenset(files), frozenset(listing))


def _content(path: Path) -> str:
    data = path.read_bytes()
    if path.name.endswith(".faiss"):  # made from others, so of its lists there are several that are right
        return data[:4].decode()
    if path.name.endswith(".faiss.json"):
        record = json.loads(data)
        return f"{record['kind']} {record['n']} {record['content']}"
    if path.name == "log.jsonl":  # of a training: what was reported, not when, nor that it was reported again
        whole = {line.split(b'"seconds": ')[0] + line.partition(b'"seconds": ')[2].partition(b", ")[2]
                 for line in data.split(b"\n") if line.endswith(b"}")}  # fmt: skip
        data = b"\n".join(sorted(whole))
    if path.name in (
        "pretrain.safetensors",
        "joint.safetensors",
    ):  # that library puts what is said of them in any order
        length = 8 + int.from_bytes(data[:8], "little")
        data = json.dumps(json.loads(data[8:length]), sort_keys=True).encode() + data[length:]
    return hashlib.sha256(data).hexdigest()


def _codes(path: Path) -> Codes:
    try:
        shard = open_shard(path)
    except MissingPathError:
        return Codes(names=frozenset(open_book(path).cast.names.values()))
    with shard:
        damaged = shard.damaged_videos()
        assert not damaged, f"damaged: {damaged}"
        videos = [_video(shard, row) for row in range(len(shard.videos))]
        assert len({path for path, _ in videos}) == len(videos), "a video is there twice"
        book = open_book(path)
        person, sure = people_in(shard, book.cast)
        called = [
            f"{book.cast.names.get(int(number), '')} {number} {certain}"
            for number, certain in zip(person, sure, strict=True)
        ]
        stones = frozenset(_timeless(stone) for stone in shard.tombstones)
        assert len(stones) == len(shard.tombstones), "a tombstone is there twice"
        return Codes(
            frozenset(videos),
            stones,
            frozenset(book.cast.names.values()),
            frozenset(zip(_places(shard), called, strict=True)),
            len(book.cast.never),
            frozenset(bytes(code) for code in shard.codes),
        )


def _video(shard: Shard, row: int) -> tuple[str, str]:
    video = shard.encoded_video(row)
    whole = hashlib.sha256(repr(video.video).encode())
    for data in (video.shots, video.tracks, video.codes, *(video.frame_codes or ())):
        whole.update(np.ascontiguousarray(data).tobytes())
    for picture in video.thumbnails:
        whole.update(hashlib.sha256(picture).digest())
    return str(video.video.path), whole.hexdigest()


def _timeless(stone: np.void) -> bytes:
    """Without the second in which it was made."""
    return b"|".join(stone[name].tobytes() for name in (stone.dtype.names or ()) if name != "at")


def _places(shard: Shard) -> list[str]:
    rows = shard.track_rows(np.arange(len(shard)))
    return [f"{shard.video(int(row['video'])).path} {row['start_pts']} {row['box'].tolist()}" for row in rows]


def between(seen: World, before: World, after: World) -> list[str]:
    """What is wrong with a world that is on the way from one to another, cut off anywhere."""
    wrong = []
    for (name, now), (_, was), (_, will) in zip(seen.codes, before.codes, after.codes, strict=True):
        if not dict(was.videos).keys() & dict(will.videos).keys() <= dict(now.videos).keys():
            wrong.append(f"lost: videos of {name}")
        if not now.videos <= was.videos | will.videos:
            wrong.append(f"lost: what is held of a video of {name}")
        if not was.stones & will.stones <= now.stones or not now.stones <= was.stones | will.stones:
            wrong.append(f"lost: tombstones of {name}")
        if not was.names & will.names <= now.names or not now.names <= was.names | will.names:
            wrong.append(f"lost: names of {name}")
        said, always = _said(now), _said(was) & _said(will)
        if not said <= _said(was) | _said(will) or (now.videos and not _there(always, now) <= said):
            wrong.append(f"lost: who is who in {name}")
    whole = before.files | after.files
    wrong += [
        f"not whole: {name}"
        for name, content in seen.files
        if (name, content) not in whole and not name.endswith(MEANWHILE)
    ]
    there = {name for name, _ in before.files} & {name for name, _ in after.files}
    gone = there - {name for name, _ in seen.files}
    wrong += [f"lost: {name}" for name in sorted(gone) if not name.endswith(AGAIN)]
    return wrong


def _said(codes: Codes) -> Held:
    """What somebody said; who looks like whom may be found out in between."""
    return frozenset((place, called) for place, called in codes.people if called.endswith("True"))


def _there(people: Held, codes: Codes) -> Held:
    places = {place for place, _ in codes.people}
    return frozenset((place, called) for place, called in people if place in places)


def differ(one: World, other: World) -> list[str]:
    """In what two worlds are not the same, in words."""
    found = []
    for (name, a), (_, b) in zip(one.codes, other.codes, strict=True):
        found += [f"{what} of {name}" for what in a.__dataclass_fields__ if getattr(a, what) != getattr(b, what)]
    found += sorted(f"file {name}" for name in {name for name, _ in one.files ^ other.files})
    return found
