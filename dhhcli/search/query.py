"""query: Query (who, where, how sure) + codes file -> Answer: rows of ranked shots, and words about them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dhhcli.base.arrays import Ints
from dhhcli.errors import DhhError, ShardError, UsageError, WeightsError
from dhhcli.index.codes import Allowed, Index
from dhhcli.index.lookup import index_paths, on_gpu, usable_index
from dhhcli.media.files.mapping import Cluster
from dhhcli.models.binary_codes import binarise, hamming, pack, soft_codes, weighed_distances
from dhhcli.models.calibration import Calibration, from_record
from dhhcli.models.network import Network, load_network
from dhhcli.models.weights import shipped_as
from dhhcli.search.collection import Collection, cast_or_words, open_collection
from dhhcli.search.confidence import (
    THERE,
    ConfidenceModel,
    Limits,
    never_rising,
    nobody,
    probably_nobody,
    somebody,
)
from dhhcli.search.distances import Soft
from dhhcli.search.exact import Hit as ExactHit
from dhhcli.search.exact import exact_hits
from dhhcli.search.options import FrameDistance, Rank
from dhhcli.search.question.probe import Asked, asked
from dhhcli.search.question.request import Query, check_query, everybody
from dhhcli.search.question.scope import tracks_where
from dhhcli.search.question.terms import is_film, is_folder, text_of
from dhhcli.search.ranking import Hit, Rules, by_codes, search, shots_of
from dhhcli.search.result import Row, films_of, joined, result_rows
from dhhcli.search.share import share_of
from dhhcli.search.unique import distinct
from dhhcli.search.who import with_names
from dhhcli.storage.codes_file import Shard, check_model
from dhhcli.storage.record import VideoRecord
from dhhcli.storage.who.cast import Cast

if TYPE_CHECKING:
    from dhhcli.search.explain import Explanation


@dataclass(frozen=True)
class Answer:
    """What a query found, and what the user should know about how."""

    rows: tuple[Row, ...]
    thumbnails: tuple[bytes, ...]  # one a row when asked for; b"" where the track was encoded without
    notes: tuple[str, ...]
    # of every row's video: its record and the end of its last frame, pts
    videos: Mapping[Path, tuple[VideoRecord, int]] = field(default_factory=dict)
    asked: tuple[Asked, ...] = ()  # a question each
    skipped: int = 0  # questions that could not be asked
    explanation: "Explanation | None" = None
    exact: tuple[ExactHit, ...] = ()  # one a row when asked for
    matched: tuple[int, ...] = ()  # one a row when pictures are: which face that was asked with is nearest; -1: none

    @property
    def exit_code(self) -> int:
        """0: somebody was found; 3: nobody was, or probably nobody; 4: some questions were skipped, 1: all."""
        if self.skipped:
            return 4 if self.asked else 1
        return 0 if somebody(self.rows) else 3


def find_person(
    request: Query,
    codes: Path | Sequence[Path],
    *,
    weights: str | None = None,
    load: Callable[..., Network] = load_network,
    cluster: Cluster | None = None,
) -> Answer:
    """Rank the shots of a codes file by how near they come to a person, or to each of several.

    Several codes files are asked as the one that ``merge`` would make of them, at once or on a ``cluster``.

    First the tracks are searched that ``where`` allows; shots are ranked (ranking.py), those beyond the limits left
    out, then all but the first ``per_video`` of a video, then all but the first ``top``; what remains is joined.
    ``load``: stands in for ``load_network``, where what it loads is kept from one request to the next.

    Raises:
        UsageError: options that contradict each other, a number out of its range, no row of the rank ``why``; codes
            of frames are to be searched on a GPU.
        MissingPathError, PhotoError, NoFaceError, VideoError, NoVideoError: a photo or video cannot be used; with
            ``each`` this is a note.
        MissingPathError, ShardError: there are no codes, or they are damaged, another model's, or hold no such track,
            or no codes of frames for ``way``.
        WeightsError: the weights cannot be used, or their calibration is damaged or missing and the request needs it.
        DeviceError: it is to be searched on a GPU, and there is none.
        MissingExtraError, ClusterError: the cluster cannot be used.
    """
    check_query(request)
    paths = [codes] if isinstance(codes, Path) else list(codes)
    if cluster and request.cuda:
        raise UsageError("--cluster and --device cuda: give one of them")
    with open_collection(paths, cluster) as collection:
        shard = collection.shard
        named = everybody(request)
        films = any(is_film(word) for word in named)
        several = (len(request.words) > 1 and not request.each) or any(is_folder(word) for word in named)
        network = load(
            weights or shipped_as(shard.tag.fingerprint),
            tracks=request.why is not None or films or several,
            film=request.why is not None or films,
        )
        check_model(shard, network.tag)
        way = _way(request, shard, collection.words)
        on_device = request.cuda and on_gpu(shard, weighed=request.rank is Rank.soft)
        if on_device:
            source: tuple[Index | None, str | None] = on_device, None
        elif collection.index is not None:
            source = (collection.index if way is FrameDistance.majority else None), None
        else:
            source = _usable_index(paths[0], shard, way)
        cast, notes = cast_or_words(paths)
        desk = _Session(shard, network, _calibration(request, network), *source, request, way, cast)
        answer = _answered(desk, collection)
        return replace(answer, notes=(*collection.notes, *notes, *answer.notes))


def _way(request: Query, shard: Shard, where: str) -> FrameDistance:
    kept = shard.tag.frame_codes
    way = request.way or (FrameDistance.average if kept else FrameDistance.majority)
    if way is not FrameDistance.majority and not kept:
        raise ShardError(
            f"{where}: keeps no codes of frames, so there is no {way} of them; leave out --search {way}, "
            "or encode to a new file with --frame-codes"
        )
    if way is not FrameDistance.majority and request.cuda:
        raise UsageError(f"--device cuda compares one code a track, not the {way} of its frames: add --search majority")
    return way


def _calibration(request: Query, network: Network) -> Calibration | None:
    record = network.weights.record_path
    calibration, what = from_record(network.weights.record, network.tag.bits, record), "not calibrated"
    if calibration and request.rank is Rank.soft and not calibration.soft:
        calibration, what = (
            None,
            "not calibrated for --rank soft",
        )  # of before there were soft bits: what it knows of Hamming distances does not hold for these
    for option in (*request.limits.calibrated, *(("--without",) if request.without else ())):
        if calibration is None:
            raise WeightsError(
                f"{record}: {what}, so {option} means nothing; run: dhh calibrate PACK --weights {record}"
            )
    return calibration


@dataclass(frozen=True, eq=False)
class _Session:
    """What every question of a request needs."""

    shard: Shard
    network: Network
    calibration: Calibration | None
    index: Index | None
    note: str | None  # about the index
    request: Query
    way: FrameDistance
    cast: Cast  # who is who


def _answered(desk: _Session, collection: Collection) -> Answer:
    request, shard = desk.request, desk.shard
    notes = [desk.note] if desk.note else []
    allowed: Allowed | None = None
    if not request.where.everywhere:
        allowed = tracks_where(shard, request.where)
    others = {
        name: tuple(asked([word], shard, desk.network, collection.paths) for word in words)
        for name, words in (("also", request.also), ("without", request.without), ("never", request.never))
    }
    notes += [note for people in others.values() for person in people for note in person.notes]
    people: list[Asked] = []
    rows: list[Row] = []
    hits: list[Hit] = []
    skipped = 0
    for words in [[word] for word in request.words] if request.each else [list(request.words)]:
        name = text_of(words[0])
        try:
            person = asked(
                words,
                shard,
                desk.network,
                collection.paths,
                face=request.face,
                fuse=request.fuse,
                yes=request.yes,
                no=request.no,
            )
        except DhhError as error:
            if not request.each:
                raise
            skipped += 1
            notes.append(f"skipped: {name}: {str(error).removeprefix(f'{name}: ')}")
            continue
        people.append(person)
        notes += person.notes
        found, own, words_about = _one(desk, collection, person, others, allowed)
        notes += [f"{name}: {line}" if request.each else line for line in words_about]
        hits += found
        rows += _named(own, name) if request.each else own
    pictures = tuple(shard.picture(row.track) if request.thumbnails else b"" for row in rows)
    numbers = distinct(shard.shots_rows(np.array([hit.shot for hit in hits], np.int64))["video"]).tolist()
    explanation = _explained(desk, rows, hits, people[0], allowed) if request.why and rows else None
    exact = tuple(exact_hits(shard, rows, pictures)) if request.exact else ()
    videos = films_of(shard, numbers)
    matched = _matched(desk, people[0], rows) if request.thumbnails and people else ()
    return Answer(tuple(rows), pictures, tuple(notes), videos, tuple(people), skipped, explanation, exact, matched)


def _matched(desk: _Session, person: Asked, rows: Sequence[Row]) -> tuple[int, ...]:
    """Of each row, which face of those asked with its track is nearest to, as its code is ranked."""
    codes = desk.shard.code_rows(np.array([row.track for row in rows], np.int64))
    if desk.request.rank is Rank.soft:
        nearest = weighed_distances(soft_codes(person.soft), codes).argmin(axis=0)
    else:
        nearest = hamming(pack(binarise(person.soft)), codes).argmin(axis=0)
    return tuple(person.shown[row] for row in nearest.tolist())


def _one(
    desk: _Session,
    collection: Collection,
    person: Asked,
    others: Mapping[str, tuple[Asked, ...]],
    allowed: Allowed | None,
) -> tuple[list[Hit], list[Row], list[str]]:
    """Hits, rows and words for one question."""
    request, shard, limits = desk.request, desk.shard, desk.request.limits
    wanted = (person, *others["also"])
    worth = None
    if desk.calibration:
        alone = [_worth(desk, one, allowed, request.prior if one is person else None) for one in wanted]
        worth = ConfidenceModel(
            desk.calibration, wanted, request.rank, tuple(share for one in alone for share in one.shares)
        )
    reach = None
    if worth and limits.calibrated and desk.way is FrameDistance.majority:
        reach = worth.reach(limits, shard.tag.bits)
    rules = Rules(
        also=tuple(one.soft for one in others["also"]),
        without=tuple(one.soft for one in others["without"]),
        never=tuple(one.soft for one in others["never"]),
        allowed=allowed,
        apart=_apart(desk, wanted, others, allowed),
        gone=tuple(one.gone for one in wanted),
        radius=limits.max_distance,
        reach=reach,
        per_video=request.per_video,
        keep=partial(worth.keep, limits) if worth and limits.calibrated else None,
    )
    hits = search(shard, person.soft, request.top, desk.index, rules, desk.way, request.rank)
    chances = never_rising(worth.chances(_claims(desk, wanted, hits))) if worth else None
    if chances and limits.min_confidence is not None:  # those that one before them is not sure enough for
        chances = [chance for chance in chances if chance.confidence >= limits.min_confidence]
        hits = hits[: len(chances)]
    notes = [] if hits else [_why_nobody(desk, collection, wanted, rules, worth)]
    rows = with_names(shard, desk.cast, result_rows(shard, hits, chances), [hit.shot for hit in hits])
    if rows and not somebody(rows):
        notes.append(probably_nobody(rows))
    return hits, rows if request.merge is None else joined(rows, request.merge), notes


def _worth(desk: _Session, person: Asked, allowed: Allowed | None, prior: float | None = None) -> ConfidenceModel:
    """Of one person, with the share of the tracks that this person is."""
    assert desk.calibration is not None
    worth = ConfidenceModel(desk.calibration, (person,), desk.request.rank)
    return replace(worth, priors=(share_of(worth, desk.shard, allowed) if prior is None else prior,))


def _claims(desk: _Session, wanted: Sequence[Asked], hits: Sequence[Hit]) -> Sequence[Hit]:
    """Hits with the distances that confidence was learnt on: those of the codes of tracks."""
    if desk.way is FrameDistance.majority:
        return hits
    return by_codes(desk.shard, [one.soft for one in wanted], hits, desk.request.rank)


def _apart(
    desk: _Session, wanted: Sequence[Asked], others: Mapping[str, tuple[Asked, ...]], allowed: Allowed | None
) -> Ints | None:
    """Shots that are no answer: those that are asked with, and those that somebody of ``without`` is in."""
    shots, there = [one.apart for one in wanted], Limits(min_confidence=THERE)
    everybody = (*wanted, *others["without"], *others["never"])
    people: list[Soft] = [one.soft for one in everybody]
    gone = [one.gone for one in everybody]
    for number, one in enumerate(others["without"], start=len(wanted)):
        worth = _worth(desk, one, allowed)
        keep, radius = partial(worth.keep, there), worth.reach(there, desk.shard.tag.bits)
        # every track counts, so no index that leaves some out
        shots.append(shots_of(desk.shard, people, number, radius, keep, rank=desk.request.rank, gone=gone))
    found = distinct(np.concatenate(shots))
    return found if len(found) else None


def _why_nobody(
    desk: _Session, collection: Collection, wanted: Sequence[Asked], rules: Rules, worth: ConfidenceModel | None
) -> str:
    """Words for an answer without rows."""
    shard, limits = desk.shard, desk.request.limits
    if not len(shard):
        return f"nobody found: {collection.words} holds no face tracks ({len(shard.videos)} videos)"
    if rules.allowed is not None and not len(rules.allowed):
        limited = "that --in, --only, --after and --before allow"
        return f"nobody found: no video of {collection.words} {limited} has face tracks"
    free = Rules(rules.also, rules.without, rules.never, rules.allowed, rules.apart, rules.gone)
    nearest = search(shard, wanted[0].soft, 1, desk.index, free, desk.way, desk.request.rank)
    if not nearest:
        return "nobody found: no shot is left by --with, --without, --not, and what was asked with"
    if limits.max_distance is not None:
        away = search(shard, wanted[0].soft, 1, desk.index, free, desk.way, Rank.bits)[0].distance
        if away > limits.max_distance:
            return f"nobody found within {limits.max_distance} bits: the nearest shot is {away:g} bits away"
    assert worth is not None
    return nobody(worth.chances(_claims(desk, wanted, nearest))[0], limits)


def _named(rows: Sequence[Row], question: str) -> Iterator[Row]:
    return (replace(row, question=question) for row in rows)


def _explained(
    desk: _Session, rows: Sequence[Row], hits: Sequence[Hit], person: Asked, allowed: Allowed | None
) -> "Explanation":
    why = desk.request.why or 1
    if why > len(rows):
        raise UsageError(f"--explain {why}: there are {len(rows)} hits; --top asks for more")
    from dhhcli.search.explain import explain  # brings the chain of encode with it

    hit = next(hit for hit in hits if hit.track == rows[why - 1].track)
    share = _worth(desk, person, allowed, desk.request.prior).shares[0] if desk.calibration else None
    likely = rows[why - 1].confidence_in_words.partition(" ")[2]
    return explain(
        desk.shard, hit, why, person, desk.network, desk.calibration, desk.way, desk.request.rank, share, likely
    )


def _usable_index(codes_path: Path, shard: Shard, way: FrameDistance) -> tuple[Index | None, str | None]:
    """The index if it can be used; one of codes of tracks is left alone where those of frames are looked at."""
    if way is not FrameDistance.majority:
        there = index_paths(codes_path)[1].exists()
        note = f"the index of {codes_path} is of one code a track, which --search {way} does without"
        return None, note if there else None
    return usable_index(codes_path, shard)
