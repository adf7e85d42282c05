"""edl: Timeline -> CMX 3600 edit decision list, an event a cut.

Every editing system reads it, and every one a little differently; what is relied on:

- The FCM line gives the counting of the record side; where a source counts otherwise at the same rate, an FCM line of
  its own stands before its event. Drop-frame labels have ";" before the frames besides.
- Reels have eight letters; the full name stands in ``* FROM CLIP NAME``, the exact path in ``* SOURCE FILE`` (a URL).
- ``* LOC`` is a marker at record time.
- The channels of an event: V the picture, A, A2 and AA the first two of the sound, B and AA/V both; an AUD line for 3
  and 4. There are no more.
"""

from collections.abc import Iterator

from dhhcli.base.text import one_line
from dhhcli.errors import EditError
from dhhcli.output.timelines.cuts import Event, Timeline
from dhhcli.output.timelines.names import file_url, reels

TITLE_LETTERS = 70
CHANNELS = 4  # of sound


def edl(timeline: Timeline) -> bytes:
    """UTF-8 with CRLF lines. Raises EditError where the sources are of several frame rates: an EDL counts in one."""
    sources = timeline.media()
    others = [media for media in sources if media.rate != timeline.rate]
    if others:
        raise EditError(
            f"{others[0].path}: has {float(others[0].rate):.3f} frames a second, the list {float(timeline.rate):.3f}; "
            "an EDL holds one rate: take otio, fcpxml or fcp7"
        )
    names = reels(media.path for media in sources)
    lines = [f"TITLE: {one_line(timeline.name)[:TITLE_LETTERS]}", _fcm(timeline.drop), ""]
    counting = timeline.drop
    number = 0
    for event in timeline.events:
        cut, media = event.cut, event.cut.media
        if media.drop != counting:
            counting = media.drop
            lines.append(_fcm(counting))
        about = [
            f"* FROM CLIP NAME: {one_line(media.path.name)}",
            f"* SOURCE FILE: {file_url(media.path)}",
            f"* LOC: {timeline.label(event.face)} {cut.colour:<7} {one_line(cut.title)} {one_line(cut.comment)}",
        ]
        for channels, start, end, at in _events(timeline, event):
            number += 1
            source = f"{media.label(start)} {media.label(end)}"
            record = f"{timeline.label(at)} {timeline.label(at + end - start)}"
            lines.append(f"{number:03}  {names[media.path]:<8} {_code(channels):<5} C        {source} {record}")
            more = [channel for channel in channels if 2 < channel <= CHANNELS]
            if more:
                lines.append(f"AUD  {'  '.join(map(str, more))}")
            lines += [*about, ""]
            about = about[:2]
    return "\r\n".join(lines).encode()


def _events(timeline: Timeline, event: Event) -> Iterator[tuple[tuple[int, ...], int, int, int]]:
    """Channels (0: the picture), frames [start, end) of the source, and where they lie: of the picture with the sound
    that is there as long, then of sound that begins later or ends before.
    """
    spans: dict[tuple[int, int, int], list[int]] = {(event.cut.start, event.cut.end, event.at): [0]}
    first = {}  # channel of each sound, counted through the file
    channel = 1
    for sound in event.cut.media.sounds:
        first[sound] = channel
        channel += sound.channels
    for piece in timeline.pieces(event):
        channels = range(first[piece.sound], first[piece.sound] + piece.sound.channels)
        held = [one for one in channels if one <= CHANNELS]
        if held:
            spans.setdefault((piece.start, piece.end, piece.at), []).extend(held)
    for (start, end, at), found in spans.items():
        yield tuple(found), start, end, at


def _code(channels: tuple[int, ...]) -> str:
    """V, A, A2 or AA, and both with a stroke; channels 3 and 4 stand in a line of their own, for which NONE is said."""
    sound = {(): "", (1,): "A", (2,): "A2", (1, 2): "AA"}[tuple(one for one in channels if one in (1, 2))]
    if 0 not in channels:
        return sound or "NONE"
    return {"": "V", "A": "B"}.get(sound, f"{sound}/V")


def _fcm(drop: bool) -> str:
    return f"FCM: {'' if drop else 'NON-'}DROP FRAME"
