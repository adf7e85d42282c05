"""request: what somebody asks of a codes file, word by word and option by option -> Query, checked."""

import math
from dataclasses import dataclass

from dhhcli.errors import UsageError
from dhhcli.search.confidence import NO_LIMITS, Limits
from dhhcli.search.options import FrameDistance, Fuse, Rank
from dhhcli.search.question.scope import EVERYWHERE, Where
from dhhcli.search.question.terms import EXPECTED, Word, asked_name


@dataclass(frozen=True)
class Query:
    """What is asked of a codes file."""

    words: tuple[Word, ...]  # of one person; with `each`, of a person each
    each: bool = False
    face: int = 1  # which face of a single photo, video or shot
    fuse: Fuse = Fuse.both
    also: tuple[Word, ...] = ()  # a person each, in the same shot
    without: tuple[Word, ...] = ()  # a person each, not in the same shot
    never: tuple[Word, ...] = ()  # whoever is nearer to one of these is not meant
    yes: tuple[Word, ...] = ()  # are the person who is asked for, too, and answers
    no: tuple[Word, ...] = ()  # are not, and no answers
    where: Where = EVERYWHERE
    limits: Limits = NO_LIMITS
    top: int | None = 20  # shots; None: all
    per_video: int | None = None  # shots
    merge: float | None = None  # seconds; hits of a video that are no farther apart become one row
    thumbnails: bool = False
    exact: bool = False  # also rows as Python programs take them
    why: int | None = None  # rank of a row to explain
    cuda: bool = False  # search on a GPU
    way: FrameDistance | None = None  # None: by average where the codes file keeps codes of frames
    rank: Rank = Rank.soft
    prior: float | None = None  # share of the tracks that are the asked person's; None: as their distances say

    @property
    def name(self) -> str:
        """What a timeline of the answer is called."""
        return asked_name(self.words)


def everybody(request: Query) -> tuple[Word, ...]:
    """All words that name people, of whatever option."""
    return (*request.words, *request.also, *request.without, *request.never, *request.yes, *request.no)


def check_query(request: Query) -> None:
    """Raises UsageError for options that contradict each other, and for a number out of its range."""
    if not request.words:
        raise UsageError(f"nobody is asked for: name {EXPECTED}")
    limits = request.limits
    for option, limit in (("--min-confidence", limits.min_confidence), ("--max-false-rate", limits.max_false_rate)):
        if limit is not None and not 0 <= limit <= 1:
            raise UsageError(f"{option} {limit} is not between 0 and 1")
    if request.prior is not None and not 0 < request.prior < 1:
        raise UsageError(f"--prior {request.prior} is not between 0 and 1: the share of the tracks, say 0.01")
    for option, number, least in (
        ("--top", request.top, 1),
        ("--per-video", request.per_video, 1),
        ("--face", request.face, 1),
        ("--max-distance", limits.max_distance, 0),
        ("--merge", request.merge, 0),
    ):
        if number is not None and not least <= number < math.inf:
            raise UsageError(f"{option} {number} is not a number from {least} up")
    if request.each and (request.yes or request.no):
        raise UsageError("--each asks for several people; --yes and --no say who one of them is and is not")
    if request.each and (request.why is not None or request.thumbnails):
        raise UsageError("--each asks several questions: ask them one by one for --explain or --sheet")
