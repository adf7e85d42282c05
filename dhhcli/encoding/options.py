"""options: what the user wants of new codes -> one frozen EncodeOptions, which goes all the way down to a file."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from dhhcli.errors import UsageError


@dataclass(frozen=True)
class EncodeOptions:
    """How files are encoded; the same for every file of a run.

    thumbnails: keep a small picture of every track's best face; also of known videos, which are encoded again for it,
        or stripped of them. None: pictures of new ones, known ones stay as they are.
    frame_codes: keep the codes of all sampled frames, which only layers that hash pictures have. None: as the codes
        file that is there, a new one without.
    threads: of the decoder of one file. 0: one for each core, shared by the files that are encoded at once.
    every: seconds of film from one place that a killed run goes on from to the next (encoding/begun.py).
    """

    thumbnails: bool | None = None
    frame_codes: bool | None = None
    threads: int = 0
    every: Fraction = Fraction(600)

    def __post_init__(self) -> None:
        """Raises UsageError for less than no threads."""
        if self.threads < 0:
            raise UsageError(f"threads {self.threads}: expected 0, one for each core, or more")

    @property
    def pictures(self) -> bool:
        """Whether a file that is encoded now leaves small pictures."""
        return self.thumbnails is not False


USUAL: Final = EncodeOptions()
