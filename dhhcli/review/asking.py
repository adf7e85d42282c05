"""asking: question of the page (photos, a name or a person, what was confirmed and rejected) -> ranked hits as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dhhcli.errors import NamesError, UsageError
from dhhcli.models.binary_codes import unpack
from dhhcli.people.joining import never_of
from dhhcli.review.bodies import number_in, numbers_in, text_in, texts_in
from dhhcli.review.describing import KEY, about_track
from dhhcli.review.state import Review
from dhhcli.review.table import Table, picked_faces
from dhhcli.search.distances import Soft
from dhhcli.search.query import Answer, find_person
from dhhcli.search.question.request import Query
from dhhcli.search.question.terms import FileTerm, NameTerm, TrackTerm, Word
from dhhcli.search.result import Row
from dhhcli.storage.track_id import track_ids
from dhhcli.storage.who.book import open_book, tracks_in
from dhhcli.storage.who.cast import Cast

TOP: Final = 60
MOST: Final = 1000  # hits
SHOWN: Final = 64  # tracks of somebody that a hit may be shown beside
EXAMPLES: Final = 16  # tracks of somebody without a name that are asked with


@dataclass(frozen=True)
class Question:
    """Who is asked for: one of photos, a name and the number of somebody without one."""

    photos: tuple[int, ...] = ()
    name: str = ""
    person: int = 0
    face: int = 1  # which one of a single photo
    yes: tuple[str, ...] = ()  # track_ids of hits that are right
    no: tuple[str, ...] = ()
    top: int = TOP


def question_in(body: dict[str, Any]) -> Question:
    """The question that a page sends. Raises UsageError."""
    found = Question(
        numbers_in(body, "photos"),
        text_in(body, "name"),
        number_in(body, "person"),
        max(1, number_in(body, "face", 1)),
        texts_in(body, "yes"),
        texts_in(body, "no"),
        min(MOST, max(1, number_in(body, "top", TOP))),
    )
    if bool(found.photos) + bool(found.name) + bool(found.person) != 1:
        raise UsageError("ask with photos, or with a name, or for a person")
    return found


def ask(review: Review, question: Question) -> dict[str, Any]:
    """Hits, best first, with what of the question each of them is most like.

    What was said of hits changes the ranking at once (search/question/learning.py): those that are right come first,
    those that are wrong are gone. Raises as ``search.query.find_person``.
    """
    with review.lock:
        table = review.table()
        request = _request(review, table, question)
        answer = find_person(request, review.codes, weights=review.weights, load=review.load)
        answered = {row.track_id: row for row in answer.rows}
        confirmed = [answered.get(track) or review.row_of(track) for track in question.yes]
        own = {row.track_id for row in confirmed}
        rows = [*confirmed, *(row for row in answer.rows if row.track_id not in {*own, *question.no})]
        review.rows |= {str(row.track_id): row for row in answer.rows}
        person = question.person or next((n for n, name in table.names.items() if name == question.name), 0)
        shown = sources(review, table, question, person)
        like = matched(table, rows, [soft for _, soft in shown])
        hits = [
            about_track(table, row.track, row)
            | {
                "rank": rank,
                "like": shown[at][0] if shown else None,
                "yes": row.track_id in own or bool(person and table.number[row.track] == person and _said(table, row)),
            }
            for rank, (row, at) in enumerate(zip(rows, like, strict=True), start=1)
        ]
        return {
            "content": table.shard.content[:KEY],
            "hits": hits,
            "notes": [review.renamed(note).replace("; --face N chooses another", "") for note in answer.notes],
            "person": person,
            "more": _more(answer, question),
        }


def _said(table: Table, row: Row) -> bool:
    return bool(table.sure[row.track])


def _more(answer: Answer, question: Question) -> bool:
    return len(answer.rows) == question.top < MOST


def _request(review: Review, table: Table, question: Question) -> Query:
    """What is searched. A name knows its confirmed and rejected tracks; others are asked for by some of their own."""
    words: list[Word] = [FileTerm(review.photo(number).path) for number in question.photos]
    no = list(question.no)
    if question.name:
        words.append(NameTerm(question.name))
    elif question.person:
        if not len(table.rows(question.person)):
            raise NamesError(f"person {question.person} is no more; the list of people shows who is there")
        words += [TrackTerm(word) for word in track_ids(table.shard, picked_faces(table, question.person, EXAMPLES))]
        no += _rejected(table, open_book(review.codes).cast, question.person)
    return Query(
        words=tuple(words),
        face=question.face if len(words) == 1 and question.photos else 1,
        yes=tuple(TrackTerm(word) for word in question.yes),
        no=tuple(TrackTerm(word) for word in dict.fromkeys(no)),
        top=question.top,
    )


def _rejected(table: Table, cast: Cast, person: int) -> list[str]:
    """track_ids of what was said not to be a person and is in the file."""
    found = [rows for rows, who in never_of(cast, cast.find(tracks_in(table.shard))) if who == person]
    return [word for rows in found for word in track_ids(table.shard, rows)]


def sources(review: Review, table: Table, question: Question, person: int) -> list[tuple[dict[str, int], Soft]]:
    """What can be shown beside a hit: photos, tracks that are sure or asked with; where it is, and soft bits (K,)."""
    face = question.face if len(question.photos) == 1 else 1
    found: list[tuple[dict[str, int], Soft]] = [
        ({"photo": number}, review.look(number, face).soft) for number in question.photos
    ]
    rows = [review.row_of(track).track for track in question.yes]
    own = table.rows(person)
    own = own[table.sure[own]] if question.name and table.sure[own].any() else own
    rows += own[np.unique(np.linspace(0, len(own) - 1, min(len(own), SHOWN)).astype(np.int64))].tolist()
    bits = unpack(table.shard.code_rows(np.array(rows, np.int64)), table.shard.tag.bits).astype(np.float32)
    return found + [({"track": int(row)}, soft) for row, soft in zip(rows, bits, strict=True)]


def matched(table: Table, rows: Sequence[Row], shown: Sequence[Soft]) -> list[int]:
    """Which of some soft bits (K,) each hit's code is nearest to, itself left out where there is another."""
    if not rows or not shown:
        return [0] * len(rows)
    bits = unpack(table.shard.code_rows(np.array([row.track for row in rows], np.int64)), table.shard.tag.bits)
    away = np.abs(bits[:, None].astype(np.float32) - np.stack(shown)[None]).sum(axis=2)  # (h, s)
    away[away == 0] = len(bits[0])  # a hit beside itself shows nothing
    return [int(at) for at in away.argmin(axis=1)]
