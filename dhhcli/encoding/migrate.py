"""migrate: codes file of other weights + the files it was made of -> codes of these weights, in its place.

Files are encoded by the same chain as ever into `codes.h5.migrating` (storage/migration.py), which begins with the
tombstones of the old codes, so that what was forgotten is not even looked for. The old codes stay in use until all is
done; a run that was cut off goes on when the same line is given again.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dhhcli.base.text import counted
from dhhcli.encoding.events import Began, Ended, FileEvent, RoundEvent, Skipped, Step
from dhhcli.encoding.options import EncodeOptions
from dhhcli.encoding.run import encode
from dhhcli.errors import ShardError, UsageError
from dhhcli.index.lookup import remove_index
from dhhcli.media.files.discover import VideoList
from dhhcli.models.model_tag import ModelTag
from dhhcli.models.network import Network
from dhhcli.models.weights import shipped_folder
from dhhcli.storage.codes_file import Shard, lock, open_shard
from dhhcli.storage.migration import begin, finish_earlier, new_codes, take_place
from dhhcli.storage.skipped import is_gone, note_skipped
from dhhcli.storage.tombstones import forgotten
from dhhcli.storage.who.book import open_book


@dataclass(frozen=True)
class Lost:
    """A file of the codes that cannot be encoded again."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Migrated:
    """The codes are new; or they were of these weights before, and nothing was done."""

    videos: int
    tracks: int
    dropped: tuple[Lost, ...] = ()
    named_before: int = 0  # tracks with names in the videos that are still there
    named: int = 0
    already: bool = False


@dataclass(frozen=True)
class _Old:
    """What the old codes say that is to stay so."""

    tag: ModelTag
    pictured: tuple[Path, ...]  # files of which small pictures are kept
    bare: tuple[Path, ...]
    gone: tuple[Lost, ...]


MayDrop = Callable[[Sequence[Lost]], bool]
Events = Generator[FileEvent | RoundEvent | Migrated]


def migrate(
    codes_path: Path,
    network: Network,
    *,
    frame_codes: bool | None = None,
    workers: int = 1,
    may_drop: MayDrop = lambda _: False,
    on_step: Callable[[Step], None] = lambda _: None,
    on_plan: Callable[[set[Path]], None] = lambda _: None,
) -> Events:
    """Encode anew everything that a codes file holds and that is still there: Began, an event a file, Ended, Migrated.

    Names, tombstones, and whether pictures and codes of frames are kept stay as they were; the index goes. A file whose
    content has changed is encoded as it is now.

    Args:
        codes_path: the codes file; it is replaced when all is done, and not touched before.
        network: of the weights that it is to be of.
        frame_codes: whether to keep codes of frames; None: as before.
        workers: files at a time.
        may_drop: asked with the files that are gone, before anything is encoded, and with those that could not be
            encoded, at the end: whether to go on without their codes.
        on_step: called after every look.
        on_plan: called with the files that will probably be encoded.

    Raises:
        MissingPathError, ShardError: there are no codes, they are damaged or being written; or files cannot be encoded
            again and their codes may not be dropped.
        UsageError: codes of frames were kept, and these weights have none.
        NamesError: the names beside the codes are damaged.
    """
    open_shard(codes_path).close()  # before the lock leaves its file beside a name that was mistyped
    with lock(codes_path):
        with open_shard(codes_path) as shard:
            tag = _tag(codes_path, shard, network, frame_codes)
            if shard.tag == tag:
                finish_earlier(codes_path)
                yield Migrated(len(shard.videos), len(shard), already=True)
                return
            old, tombstones = _old(shard), shard.tombstones
        open_book(codes_path)  # what is wrong with them is said before the work, not after it
        _let_go(codes_path, old.gone, may_drop)
        begin(codes_path, tag, tombstones)
        files = tuple(sorted((*old.pictured, *old.bare)))
        yield Began(VideoList(files, ()))
        failed: list[Lost] = []
        for paths, thumbnails in ((old.pictured, None), (old.bare, False)):
            if not paths:
                continue
            options = EncodeOptions(thumbnails, tag.frame_codes)
            for event in encode(
                paths, new_codes(codes_path), network, options, workers=workers, on_step=on_step, on_plan=on_plan
            ):
                if isinstance(event, Skipped):
                    failed.append(Lost(event.path, event.reason))
                yield event
        yield Ended()
        _let_go(codes_path, failed, may_drop)
        remove_index(codes_path)
        before, named = take_place(codes_path, tag)
        note_skipped(codes_path, {lost.path: lost.reason for lost in failed})
        with open_shard(codes_path) as shard:
            yield Migrated(len(shard.videos), len(shard), (*old.gone, *failed), before, named)


def weights_after(codes_path: Path, name: str | None) -> str | None:
    """Which weights to change to: the named ones, else the shipped ones with as many bits, else the usual ones.

    Raises:
        MissingPathError, ShardError: there are no codes, or they are damaged.
    """
    with open_shard(codes_path) as shard:
        alike = f"dhh-{shard.tag.bits}"
    return name or (alike if (shipped_folder() / f"{alike}.json").exists() else None)


def _tag(codes_path: Path, shard: Shard, network: Network, frame_codes: bool | None) -> ModelTag:
    wanted = shard.tag.frame_codes if frame_codes is None else frame_codes
    if wanted and not network.layers.framewise:
        raise UsageError(
            f"{codes_path}: codes of frames are to be kept, and {network.name} has none; add --no-frame-codes, or name "
            "weights of a method that hashes pictures (--weights)"
        )
    return replace(network.tag, frame_codes=wanted)


def _old(shard: Shard) -> _Old:
    pictures = shard.pictures()
    usual = any(pictured for _, pictured in pictures) or not any(count for count, _ in pictures)
    there: dict[bool, list[Path]] = {True: [], False: []}
    gone: list[Lost] = []
    contents = {video.fingerprint for video in shard.videos if not is_gone(video.path)}
    for video, (count, pictured) in zip(shard.videos, pictures, strict=True):
        if forgotten(video.fingerprint, shard.tombstones):
            continue
        if not is_gone(video.path):
            there[pictured if count else usual].append(video.path)
        elif video.fingerprint not in contents:  # a copy of what is still there is no loss
            gone.append(Lost(video.path, "gone"))
    return _Old(shard.tag, tuple(there[True]), tuple(there[False]), tuple(gone))


def _let_go(codes_path: Path, lost: Sequence[Lost], may_drop: MayDrop) -> None:
    if lost and not may_drop(lost):
        raise ShardError(
            f"{codes_path}: {counted(len(lost), 'file')} of it cannot be encoded again, the first {lost[0].path} "
            f"({lost[0].reason}); nothing has changed: bring them back, or let their codes go with --drop"
        )
