"""protocol: protocol.json + face pack -> the people of an evaluation, their queries, sets and shots."""

import json
from dataclasses import dataclass
from pathlib import Path

from dhhcli.errors import PackError
from dhhcli.research.datasets.pack import FacePack


@dataclass(frozen=True)
class ProtocolPerson:
    """One person's part of a retrieval protocol; numbers are rows of the pack."""

    identity: int
    queries: tuple[int, ...]  # stills
    sets: tuple[tuple[int, ...], ...]  # photos that make up one "hard video" each
    shots: tuple[int, ...]  # photos that are each expanded to a shot by frame imitation


def read_protocol(path: Path) -> tuple[ProtocolPerson, ...]:
    """Read a protocol file: ``{"people": [{"identity", "queries", "sets", "shots"}, ...]}``.

    Raises:
        PackError: the file is missing or not of this form.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PackError(f"{path}: cannot be read ({error.strerror}); name a protocol file (JSON)") from None
    except UnicodeDecodeError:
        raise PackError(f"{path}: not a protocol file (no text); expected JSON with a list 'people'") from None
    try:
        people = json.loads(text)["people"]
        return tuple(
            ProtocolPerson(
                int(person["identity"]),
                tuple(int(row) for row in person["queries"]),
                tuple(tuple(int(row) for row in photos) for photos in person["sets"]),
                tuple(int(row) for row in person["shots"]),
            )
            for person in people
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PackError(f"{path}: not a protocol file ({error}); expected JSON with a list 'people'") from None


def check_protocol(path: Path, faces: FacePack, people: tuple[ProtocolPerson, ...]) -> None:
    """See that a protocol's rows are rows of a pack.

    Args:
        path: the protocol file, for the message.
        faces: the pack it is used on.
        people: what it says.

    Raises:
        PackError: it names nobody, a set without photos, or a row that the pack does not have.
    """
    if not any(person.queries for person in people):
        raise PackError(f"{path}: names no queries, so there is nothing to look for; expected 'queries' per person")
    if any(not photos for person in people for photos in person.sets):
        raise PackError(f"{path}: holds a set without photos; every set needs at least one row")
    for row in (row for person in people for row in (*person.queries, *person.shots, *sum(person.sets, ()))):
        if not 0 <= row < len(faces):
            raise PackError(f"{path}: names row {row}, but {faces.path} has {len(faces)} crops; pair them rightly")
