"""actions: what somebody decided on the page, JSON -> a step in the journal (or tracks forgotten); words."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from dhhcli.errors import ShardError, UsageError
from dhhcli.people.deciding import confirm_tracks, merge_people, reject_tracks, split_person, undo
from dhhcli.people.naming import give_name, take_name
from dhhcli.review.bodies import number_in, numbers_in, text_in, texts_in
from dhhcli.review.describing import about_track
from dhhcli.review.state import Review
from dhhcli.search.forget import Erasure, Removed, forget


def act(review: Review, body: dict[str, Any]) -> dict[str, Any]:
    """Do what ``do`` names. Raises UsageError, and as the functions of people/ that are called."""
    done = ACTIONS.get(text_in(body, "do"))
    if done is None:
        raise UsageError(f"the page knows {', '.join(ACTIONS)}, not {text_in(body, 'do')[:40]!r}; reload it")
    with review.lock:
        return {"said": list(done(review, body))}


def _name(review: Review, body: dict[str, Any]) -> Sequence[str]:
    """People get a name; one who has another is renamed."""
    people, name = numbers_in(body, "people"), text_in(body, "name")
    known = review.table().names.get(people[0], "") if len(people) == 1 else ""
    return give_name(review.codes, known or list(people), name, weights=review.weights)


def _unname(review: Review, body: dict[str, Any]) -> Sequence[str]:
    return take_name(review.codes, text_in(body, "name"))


def _merge(review: Review, body: dict[str, Any]) -> Sequence[str]:
    return merge_people(review.codes, numbers_in(body, "people"), weights=review.weights).words


def _split(review: Review, body: dict[str, Any]) -> Sequence[str]:
    who, tracks = number_in(body, "person"), texts_in(body, "tracks")
    return split_person(review.codes, who, tracks=tracks, weights=review.weights).words


def _not(review: Review, body: dict[str, Any]) -> Sequence[str]:
    who, tracks = number_in(body, "person"), texts_in(body, "tracks")
    return reject_tracks(review.codes, who, tracks, weights=review.weights).words


def _yes(review: Review, body: dict[str, Any]) -> Sequence[str]:
    who, tracks = number_in(body, "person"), texts_in(body, "tracks")
    return confirm_tracks(review.codes, who, tracks, weights=review.weights).words


def _keep(review: Review, body: dict[str, Any]) -> Sequence[str]:
    """What was confirmed and rejected among the hits of photos becomes somebody with a name."""
    name, yes, no = text_in(body, "name"), texts_in(body, "yes"), texts_in(body, "no")
    said = give_name(review.codes, None, name, tracks=yes, weights=review.weights)
    return [*said, *(reject_tracks(review.codes, name, no, weights=review.weights).words if no else ())]


def _undo(review: Review, _body: dict[str, Any]) -> Sequence[str]:
    return undo(review.codes).words


ACTIONS: Final[dict[str, Callable[[Review, dict[str, Any]], Sequence[str]]]] = {
    "name": _name,
    "unname": _unname,
    "merge": _merge,
    "split": _split,
    "not": _not,
    "yes": _yes,
    "keep": _keep,
    "undo": _undo,
}


# ----------------------------------------------------------------------------------------------------------- forget


def what_goes(review: Review, body: dict[str, Any]) -> dict[str, Any]:
    """What forgetting a person or some tracks would remove, with a word that agrees to exactly that."""
    with review.lock:
        gone: list[Removed] = []
        _, notes = forget(review.codes, _asked(review, body), weights=review.weights, dry_run=True, ask=_into(gone))
        table = review.table()
        lines = [about_track(table, line.track) for line in gone if line.track is not None]
        return {"lines": lines, "agreed": _word(gone), "notes": list(notes)}


def forget_agreed(review: Review, body: dict[str, Any]) -> dict[str, Any]:
    """Forget it, if it still is what was agreed to. Raises ShardError where it is not, and as ``search.forget``."""
    agreed = text_in(body, "agreed")

    def same(removed: Sequence[Removed], _pictures: Sequence[bytes]) -> bool:
        if _word(removed) != agreed:
            raise ShardError(f"{review.codes}: has changed since you saw what would go; look again")
        return True

    with review.lock:
        removed, notes = forget(review.codes, _asked(review, body), weights=review.weights, ask=same)
        tracks = sum(line.track is not None for line in removed)
        return {"said": [f"forgotten for ever: {tracks} track{'' if tracks == 1 else 's'}", *notes]}


def _asked(review: Review, body: dict[str, Any]) -> Erasure:
    table, person = review.table(), number_in(body, "person")
    if person:
        name = table.names.get(person)
        rows = table.rows(person)
        return Erasure(names=(name,)) if name else Erasure(tracks=tuple(rows.tolist()))
    return Erasure(tracks=texts_in(body, "tracks"))


def _into(gone: list[Removed]) -> Callable[[Sequence[Removed], Sequence[bytes]], bool]:
    def kept(removed: Sequence[Removed], _pictures: Sequence[bytes]) -> bool:
        gone.extend(removed)
        return False

    return kept


def _word(removed: Sequence[Removed]) -> str:
    lines = sorted(f"{line.track_id} {line.video!s} {line.whole}" for line in removed)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
