"""Real film: a clip of a television film and press photos of its actors, where the optional data folder is there."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

FILM = Path(__file__).parents[3] / "shared" / "data" / "film"

pytestmark = pytest.mark.skipif(not FILM.is_dir(), reason="needs the film clips of the optional folder ../shared/data")


def test_press_photos_find_the_actor_in_film(dhh: Callable[..., Result]) -> None:
    """The clip cuts between two people; both of its actors' shots are known by eye."""
    encoded = dhh("encode", FILM / "clips" / "08.mp4")
    assert encoded.exit_code == 0, encoded.stderr
    assert "9 shots" in encoded.stderr
    for actor, shots in (("JohnTravolta", {"1", "4", "6", "8"}), ("GlynnisOConnor", {"3", "5", "7", "9"})):
        answer = dhh("query", *sorted((FILM / "photos" / actor).glob("*.jpg")), "--top", "4")
        assert answer.exit_code == 0, answer.stderr
        header, *lines = (line.split("\t") for line in answer.stdout.splitlines())
        found = {line[header.index("shot")] for line in lines}
        assert len(found & shots) >= 3, (actor, found)
