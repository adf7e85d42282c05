"""markers: Timeline -> marker lists as DaVinci Resolve (an EDL) and Avid Media Composer (tab-separated text) read them.

Neither has a published specification; both follow what the applications export themselves. Markers of a source
timeline carry its own timecode, so the timeline they are read into has to start at the source's start timecode.
"""

from dhhcli.base.text import one_line
from dhhcli.output.timelines.cuts import Timeline

AVID_USER = "dhh"


def resolve_markers(timeline: Timeline) -> bytes:
    """Marker EDL (Timelines > Import > Timeline Markers from EDL): a marker over every shot, UTF-8, CRLF lines.

    Its comment line is ``comment |C:colour |M:name |D:frames``; "|" inside a name becomes "¦".
    """
    lines = [f"TITLE: {one_line(timeline.name)}", f"FCM: {'' if timeline.drop else 'NON-'}DROP FRAME", ""]
    for number, event in enumerate(timeline.events, start=1):
        first, after = timeline.label(event.at), timeline.label(event.at + 1)
        name = f"{event.cut.title} {event.cut.media.path.name}"
        lines += [
            f"{number:03}  001      V     C        {first} {after} {first} {after}",
            f"{_bare(event.cut.comment)} |C:ResolveColor{event.cut.colour.title()} |M:{_bare(name)} |D:{event.length}",
            "",
        ]
    return "\r\n".join(lines).encode()


def avid_markers(timeline: Timeline) -> bytes:
    """A line a face: user, timecode, track, colour, comment, length 1; tab-separated UTF-8 (Markers > Import)."""
    lines = []
    for event in timeline.events:
        comment = one_line(f"{event.cut.title} {event.cut.media.path.name}: {event.cut.comment}")
        lines.append("\t".join((AVID_USER, timeline.label(event.face), "V1", event.cut.colour.lower(), comment, "1")))
    return "".join(f"{line}\n" for line in lines).encode()


def _bare(text: str) -> str:
    return one_line(text).replace("|", "¦")
