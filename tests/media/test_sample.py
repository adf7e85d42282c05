"""sample: its portraits lie in the package, say where they are from, and are those of always."""

import hashlib
from importlib import resources
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from dhhcli.media.sample import HEIGHT, RATE, SCRIPT, WIDTH, portraits, write_film

# of the pixels as scikit-image and matplotlib have them, BGR
PIXELS = {
    "collins": ((512, 512, 3), "f22309ff463ef566bffd5a41b9d9867c5fd9490e9ced354b29d4194820da2033"),
    "hopper": ((600, 512, 3), "68064866c3304520edaae44e2609502a792e397a51c0a391e6f95a7aae64016c"),
}


def test_portraits_are_stored_without_loss() -> None:
    found = {name: (p.shape, hashlib.sha256(p.tobytes()).hexdigest()) for name, p in portraits().items()}
    assert found == PIXELS
    assert {person.who for scene in SCRIPT for person in scene.people} == set(PIXELS)


def test_every_portrait_says_where_it_is_from() -> None:
    folder = resources.files("dhhcli.media").joinpath("portraits")
    sources = folder.joinpath("SOURCES.txt").read_text(encoding="utf-8")
    pictures = [path.name for path in folder.iterdir() if path.name.endswith(".png")]
    assert sorted(pictures) == ["collins.png", "hopper.png"]
    for name in pictures:
        assert f"\n{name} " in sources


def test_a_full_disk_is_said_by_python() -> None:
    class Full(BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_film(Full(), iter([np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 2), RATE)
