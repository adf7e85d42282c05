"""fcp7: Timelines -> Final Cut Pro 7 XML (xmeml 5), which Premiere Pro and Resolve read; a sequence a timeline.

Apple, "Final Cut Pro XML Interchange Format" (2010). In and out points count frames of the source's rate from its first
frame, start and end frames of the sequence's; `ntsc` TRUE makes a timebase of 30 mean 30000/1001.
"""

from collections.abc import Sequence
from fractions import Fraction
from xml.etree import ElementTree

from dhhcli.media.timecode import nominal_rate
from dhhcli.output.timelines.cuts import Timeline
from dhhcli.output.timelines.names import file_url, xml_text
from dhhcli.output.timelines.source_media import Media


def fcp7(timelines: Sequence[Timeline]) -> bytes:
    """One document with all of them, each with a marker at every face."""
    root = ElementTree.Element("xmeml", version="5")
    files: dict[Media, str] = {}
    for number, timeline in enumerate(timelines, start=1):
        sequence = ElementTree.SubElement(root, "sequence", id=f"sequence-{number}")
        _text(sequence, "name", timeline.name)
        _text(sequence, "duration", timeline.length)
        _rate(sequence, timeline.rate)
        _timecode(sequence, timeline.rate, timeline.first, timeline.drop, timeline.label(0))
        media = ElementTree.SubElement(sequence, "media")
        video = ElementTree.SubElement(media, "video")
        main = next(media for media in timeline.media() if media.rate == timeline.rate)
        _characteristics(ElementTree.SubElement(video, "format"), main)
        track = ElementTree.SubElement(video, "track")
        for place, event in enumerate(timeline.events, start=1):
            _clip(track, timeline, event_number=place, sequence_number=number, files=files)
            marker = ElementTree.SubElement(sequence, "marker")
            _text(marker, "name", event.cut.title)
            _text(marker, "comment", f"{event.cut.media.path.name}: {event.cut.comment}")
            _text(marker, "in", event.face)
            _text(marker, "out", -1)
    ElementTree.indent(root)
    head = b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE xmeml>\n'
    body: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=False)
    return head + body + b"\n"


def _clip(
    track: ElementTree.Element,
    timeline: Timeline,
    *,
    event_number: int,
    sequence_number: int,
    files: dict[Media, str],
) -> None:
    event = timeline.events[event_number - 1]
    cut, media = event.cut, event.cut.media
    clip = ElementTree.SubElement(track, "clipitem", id=f"clipitem-{sequence_number}-{event_number}")
    _text(clip, "name", media.path.name)
    _text(clip, "duration", media.length)
    _rate(clip, media.rate)
    _text(clip, "start", event.at)
    _text(clip, "end", event.at + event.length)
    _text(clip, "in", cut.start)
    _text(clip, "out", cut.end)
    if media in files:  # told once, then by its id alone
        ElementTree.SubElement(clip, "file", id=files[media])
        return
    files[media] = f"file-{len(files) + 1}"
    file = ElementTree.SubElement(clip, "file", id=files[media])
    _text(file, "name", media.path.name)
    _text(file, "pathurl", file_url(media.path, "localhost"))
    _rate(file, media.rate)
    _text(file, "duration", media.length)
    _timecode(file, media.rate, media.first, media.drop, media.label(0))
    inner = ElementTree.SubElement(file, "media")
    _characteristics(ElementTree.SubElement(inner, "video"), media)


def _characteristics(parent: ElementTree.Element, media: Media) -> None:
    inner = ElementTree.SubElement(parent, "samplecharacteristics")
    _rate(inner, media.rate)
    _text(inner, "width", media.width)
    _text(inner, "height", media.height)


def _rate(parent: ElementTree.Element, rate: Fraction) -> None:
    inner = ElementTree.SubElement(parent, "rate")
    _text(inner, "timebase", nominal_rate(rate))
    _text(inner, "ntsc", "FALSE" if rate.denominator == 1 else "TRUE")


def _timecode(parent: ElementTree.Element, rate: Fraction, frame: int, drop: bool, label: str) -> None:
    inner = ElementTree.SubElement(parent, "timecode")
    _rate(inner, rate)
    _text(inner, "string", label)
    _text(inner, "frame", frame)
    _text(inner, "displayformat", "DF" if drop else "NDF")


def _text(parent: ElementTree.Element, name: str, value: str | int) -> None:
    ElementTree.SubElement(parent, name).text = xml_text(str(value))
