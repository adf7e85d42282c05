"""edl: Timeline -> CMX 3600 edit decision list, one video event a cut.

Every editing system reads it, and every one a little differently; what is relied on:

- The FCM line gives the counting of the record side; where a source counts otherwise at the same rate, an FCM line of
  its own stands before its event. Drop-frame labels have ";" before the frames besides.
- Reels have eight letters; the full name stands in ``* FROM CLIP NAME``, the exact path in ``* SOURCE FILE`` (a URL).
- ``* LOC`` is a marker at record time.
"""

from dhhcli.base.text import one_line
from dhhcli.errors import EditError
from dhhcli.output.timelines.cuts import Timeline
from dhhcli.output.timelines.names import file_url, reels

TITLE_LETTERS = 70


def edl(timeline: Timeline) -> bytes:
    """UTF-8 with CRLF lines. Raises EditError where the sources are of several frame rates: an EDL counts in one."""
    sources = timeline.media()
    others = [media for media in sources if media.rate != timeline.rate]
    if others:
        raise EditError(
            f"{others[0].path}: has {float(others[0].rate):.3f} frames a second, the list {float(timeline.rate):.3f}; "
            "an EDL holds one rate: take --sequence video, or otio, fcpxml or fcp7"
        )
    names = reels(media.path for media in sources)
    lines = [f"TITLE: {one_line(timeline.name)[:TITLE_LETTERS]}", _fcm(timeline.drop), ""]
    counting = timeline.drop
    for number, event in enumerate(timeline.events, start=1):
        cut, media = event.cut, event.cut.media
        if media.drop != counting:
            counting = media.drop
            lines.append(_fcm(counting))
        source = f"{media.label(cut.start)} {media.label(cut.end)}"
        record = f"{timeline.label(event.at)} {timeline.label(event.at + event.length)}"
        lines += [
            f"{number:03}  {names[media.path]:<8} V     C        {source} {record}",
            f"* FROM CLIP NAME: {one_line(media.path.name)}",
            f"* SOURCE FILE: {file_url(media.path)}",
            f"* LOC: {timeline.label(event.face)} GREEN   {cut.title} {cut.comment}",
            "",
        ]
    return "\r\n".join(lines).encode()


def _fcm(drop: bool) -> str:
    return f"FCM: {'' if drop else 'NON-'}DROP FRAME"
