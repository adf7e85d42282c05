"""clock: time stamps of pictures as they are shown (ticks, or None) -> pts that increase, and what was wrong with them.

What steps back by more than a second is another recording in the same file; in transport and program streams, which
count on a clock of the sender, so is what steps on by more than ten seconds (FFmpeg's own limit for these). There the
time goes on from the last picture. 33 bits of 90 kHz are counted on by FFmpeg past their end, so that a step back by
more than a minute comes as a step on by a day: it is told apart by its size.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

BACK = 1  # seconds
ON = 10
STILL = 4  # steps on by this many usual steps are a slow film's own
WRAP = Fraction(2**33, 90_000)  # seconds after which the clock of a transport stream begins again
COUNTED_ON = "counted on from there"


@dataclass(slots=True)
class Clock:
    """The clock of one file. step: ticks from a picture to the next, where no picture says it. jumps: whether the
    file may step on (a stream of a sender).
    """

    time_base: Fraction
    step: int
    jumps: bool = False
    last: int | None = None  # pts of the last picture
    jumped: str = ""  # "back" or "forwards", where the last picture was counted on instead of believed
    _shift: int = 0
    _gap: int = 0  # the last step between two pictures, ticks

    def take(self, stamp: int | None, duration: int, start: int = 0) -> int:
        """The pts of the next picture; start: of the first one, where it has no stamp."""
        self.jumped = ""
        if self.last is None:
            pts = stamp if stamp is not None else start
        else:
            following = self.last + self.step
            pts = following if stamp is None else stamp + self._shift
            self.jumped = self._jump(pts - self.last)
            if self.jumped:
                self._shift += following - pts
                pts = following
            pts = max(pts, self.last + 1)
            self._gap = pts - self.last
        self.step = duration or self.step
        self.last = pts
        return pts

    def _jump(self, ticks: int) -> str:
        seconds = ticks * self.time_base
        if seconds < -BACK:
            return "back"
        if self.jumps and seconds > ON and ticks > STILL * max(self.step, self._gap):
            return "back" if WRAP / 2 < seconds < WRAP else "forwards"
        return ""


def counted_on(warnings: Iterable[str]) -> bool:
    """Whether times of a film with these warnings are not the stamps of its file: only counting finds its frames."""
    return any(line.endswith(COUNTED_ON) for line in warnings)
