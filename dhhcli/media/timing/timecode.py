"""timecode: seconds since the first frame + start timecode + frame rate -> "HH:MM:SS:FF" of the source.

SMPTE ST 12-1: frames are counted at the nominal rate (30 for 29.97); drop-frame counting leaves out labels 00
and 01 (00 to 03 at 59.94) at the start of every minute that is not a multiple of ten, so that labels keep up
with the clock.
"""

import re
from fractions import Fraction

USUAL = (24, 25, 30, 48, 50, 60, 100, 120, 240)  # frames a second
_PATTERN = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.,])(\d\d\d?)")


def nominal_rate(rate: Fraction) -> int:
    """Labels a second: 24 for 23.976, 30 for 29.97, 60 for 59.94."""
    return max(1, round(rate))


def counting_rate(rate: Fraction) -> Fraction:
    """Labels a second of the clock: the rate itself where it is an integer or an integer x 1000/1001, to 1 in 5,000.

    Anything else is the average of a variable rate (29.83 of a telephone), which the labels of no timecode run at: they
    are counted at the usual rate next to it, so that they follow the clock however long the file.
    """
    base = nominal_rate(rate)
    exact = min((Fraction(base), Fraction(base * 1000, 1001)), key=lambda candidate: abs(candidate - rate))
    if abs(exact - rate) * 5000 <= rate:
        return exact
    usual = min(USUAL, key=lambda candidate: abs(candidate - rate))
    return Fraction(usual if abs(usual - rate) * 20 <= rate else base)


def _dropped(base: int) -> int:
    """Labels left out at the start of a minute: 2 at 30 a second, 4 at 60; other rates drop none."""
    return base // 15 if base % 30 == 0 else 0


def parse_timecode(text: str, rate: Fraction) -> int:
    """Number of the frame that carries this label, counted from 00:00:00:00. A ';' (or '.') marks drop-frame.

    Raises:
        ValueError: not a timecode, or a label that does not exist at this rate.
    """
    match = _PATTERN.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a timecode HH:MM:SS:FF")
    hours, minutes, seconds, frames = (int(match[i]) for i in (1, 2, 3, 5))
    base = nominal_rate(rate)
    if hours > 23 or minutes > 59 or seconds > 59 or frames >= base:
        raise ValueError(f"{text!r} does not exist at {base} frames a second")
    number = ((hours * 60 + minutes) * 60 + seconds) * base + frames
    if match[4] in ";.":
        dropped = _dropped(base)
        if frames < dropped and seconds == 0 and minutes % 10:
            raise ValueError(f"{text!r} is a dropped label")
        number -= dropped * (hours * 54 + minutes - minutes // 10)
    return number


def format_timecode(number: int, rate: Fraction, *, drop: bool = False) -> str:
    """Label of a frame number; wraps at 24 hours as tape does. ``drop`` matters at 29.97 and 59.94 only."""
    base = nominal_rate(rate)
    if drop:
        dropped = _dropped(base)
        per_ten = base * 600 - 9 * dropped
        number %= 144 * per_ten
        tens, rest = divmod(number, per_ten)
        if rest >= base * 60:
            number += dropped * (1 + (rest - base * 60) // (base * 60 - dropped))
        number += 9 * dropped * tens
    number %= 24 * 3600 * base
    seconds, frames = divmod(number, base)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{';' if drop else ':'}{frames:02}"


def recounted(label: str, counted: Fraction, rate: Fraction) -> str:
    """The label, at ``rate`` frames a second, of the frame that carries ``label`` where it counts ``counted`` a second.

    01:00:00:20 of a track that counts 30 a second is frame 40 of the second at 60. Both are rates of one clock, one a
    multiple of the other; else, or where it is no label at ``counted``, it is left as it is.
    """
    ours, theirs = nominal_rate(counting_rate(rate)), nominal_rate(counted)
    if ours == theirs or max(ours, theirs) % min(ours, theirs):
        return label
    try:
        number = parse_timecode(label, counted)
    except ValueError:
        return label
    return format_timecode(number * ours // theirs, Fraction(ours), drop=label[8] in ";.")


def first_number(start: str | None, rate: Fraction) -> int:
    """Number of a file's first frame: what its start timecode says, 0 where it says nothing that is a timecode."""
    try:
        return parse_timecode(start, rate) if start else 0
    except ValueError:  # a file may carry any text there
        return 0


def frames_a_day(rate: Fraction, *, drop: bool = False) -> int:
    """After how many frames the labels begin again at 00:00:00:00."""
    base = nominal_rate(rate)
    return 24 * 3600 * base - (144 * 9 * _dropped(base) if drop else 0)


def source_timecode(time: Fraction, rate: Fraction | None, start: str | None = None, *, drop: bool = False) -> str:
    """Source timecode of a moment.

    Args:
        time: seconds since the first frame (pts differences times time base, so exact).
        rate: frames a second, average (see ``counting_rate``); None (unknown): milliseconds,
            ``HH:MM:SS.mmm``, because frames would be invented.
        start: timecode of the first frame, None for 00:00:00:00.
        drop: drop-frame counting.
    """
    if rate is None or rate <= 0:
        thousandths = round(time * 1000)
        seconds, ms = divmod(thousandths, 1000)
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"
    rate = counting_rate(rate)
    first = first_number(start, rate)
    return format_timecode(first + round(time * rate), rate, drop=drop)
