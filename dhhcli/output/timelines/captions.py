"""captions: Timeline -> what players show along the film: WebVTT cues, and chapters in FFmpeg's metadata format."""

import re
from fractions import Fraction
from itertools import pairwise

from dhhcli.base.text import one_line
from dhhcli.output.timelines.cuts import Event, Timeline


def webvtt(timeline: Timeline) -> bytes:
    """A cue a shot (W3C, WebVTT: The Web Video Text Tracks Format); times since its beginning, in milliseconds."""
    blocks = ["WEBVTT"]
    for event in sorted(timeline.events, key=lambda event: event.at):
        start, end = _span(timeline, event)
        text = f"{event.cut.title} {event.cut.media.path.name}: {event.cut.comment}"
        escaped = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_clock(start)} --> {_clock(end)}\n{escaped}")
    return ("\n\n".join(blocks) + "\n").encode()


def chapters(timeline: Timeline) -> bytes:
    """``;FFMETADATA1`` with a chapter a shot, counted in frames; one ends where the next begins at the latest."""
    rate = timeline.rate
    events = sorted(timeline.events, key=lambda event: event.at)
    late = round(events[0].cut.media.delay * rate) if events and timeline.of_source else 0
    ends = [min(a.at + a.length, b.at) if b.at > a.at else a.at + a.length for a, b in pairwise(events)]
    lines = [";FFMETADATA1"]
    for event, end in zip(events, [*ends, *(event.at + event.length for event in events[-1:])], strict=True):
        title = one_line(f"{event.cut.title} {event.cut.media.path.name}")
        lines += [
            "[CHAPTER]",
            f"TIMEBASE={rate.denominator}/{rate.numerator}",
            f"START={late + event.at}",
            f"END={late + end}",
            "title=" + re.sub(r"([=;#\\])", r"\\\1", title),
        ]
    return "".join(f"{line}\n" for line in lines).encode()


def _span(timeline: Timeline, event: Event) -> tuple[Fraction, Fraction]:
    """Seconds since the start; those of the pictures themselves on the source's own timeline."""
    if timeline.of_source:
        delay = event.cut.media.delay
        return delay + event.cut.start_time, delay + event.cut.end_time
    return event.at / timeline.rate, (event.at + event.length) / timeline.rate


def _clock(time: Fraction) -> str:
    seconds, thousandths = divmod(round(time * 1000), 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{thousandths:03}"
