"""fcp7: Timelines -> Final Cut Pro 7 XML (xmeml 5), which Premiere Pro and Resolve read; a sequence a timeline.

Apple, "Final Cut Pro XML Interchange Format" (2010). In and out points count frames of the source's rate from its first
frame, start and end frames of the sequence's; `ntsc` TRUE makes a timebase of 30 mean 30000/1001.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from xml.etree import ElementTree

from dhhcli.media.timing.timecode import nominal_rate
from dhhcli.output.timelines.cuts import Event, Timeline
from dhhcli.output.timelines.names import file_url, xml_text
from dhhcli.output.timelines.source_media import Media

DEPTH = 16  # bits a sample of a sequence; the files' own are left to their codecs


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
        _characteristics(ElementTree.SubElement(video, "format"), timeline.main, timeline.rate)
        tracks = _tracks(timeline, number)
        _track(video, tracks[0], tracks, files)
        if len(tracks) > 1:
            audio = ElementTree.SubElement(media, "audio")
            _text(audio, "numOutputChannels", 2)
            _samples(ElementTree.SubElement(audio, "format"), timeline.sample_rate)
            for track in tracks[1:]:
                _track(audio, track, tracks, files)
        for event in timeline.events:
            marker = ElementTree.SubElement(sequence, "marker")
            _text(marker, "name", event.cut.title)
            _text(marker, "comment", f"{event.cut.media.path.name}: {event.cut.comment}")
            _text(marker, "in", event.face)
            _text(marker, "out", -1)
    ElementTree.indent(root)
    head = b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE xmeml>\n'
    body: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=False)
    return head + body + b"\n"


@dataclass(frozen=True)
class _Item:
    """A clip on a track: of the picture, or of one channel of the sound."""

    id: str
    event: Event
    start: int  # frames of the source
    end: int
    at: int  # frames of the sequence
    length: int
    channel: int  # of the file, counted through its streams from 1; 0: the picture
    track: int  # of its kind, from 1
    place: int  # on its track, from 1


def _tracks(timeline: Timeline, number: int) -> list[list[_Item]]:
    """The track of the picture, then one for every channel of sound, as far as there are any."""
    tracks: list[list[_Item]] = [[]]
    for place, event in enumerate(timeline.events, start=1):
        cut = event.cut
        name = f"clipitem-{number}-{place}"
        tracks[0].append(_Item(name, event, cut.start, cut.end, event.at, event.length, 0, 1, place))
        before = [0, *accumulate(sound.channels for sound in cut.media.sounds)]
        for piece in timeline.pieces(event):
            for channel in range(before[piece.sound.stream] + 1, before[piece.sound.stream + 1] + 1):
                tracks += [[] for _ in range(channel + 1 - len(tracks))]
                own = tracks[channel]
                own.append(
                    _Item(
                        f"{name}-a{channel}",
                        event,
                        piece.start,
                        piece.end,
                        piece.at,
                        piece.length,
                        channel,
                        channel,
                        len(own) + 1,
                    )
                )
    return tracks


def _track(
    parent: ElementTree.Element, items: Sequence[_Item], tracks: Sequence[Sequence[_Item]], files: dict[Media, str]
) -> None:
    track = ElementTree.SubElement(parent, "track")
    for item in items:
        linked = [other for one in tracks for other in one if other.event is item.event]
        _clip(track, item, linked if len(linked) > 1 else (), files)


def _clip(track: ElementTree.Element, item: _Item, linked: Sequence[_Item], files: dict[Media, str]) -> None:
    media = item.event.cut.media
    clip = ElementTree.SubElement(track, "clipitem", id=item.id)
    _text(clip, "name", item.event.cut.clip)
    _text(clip, "duration", media.length)
    _rate(clip, media.rate)
    _text(clip, "start", item.at)
    _text(clip, "end", item.at + item.length)
    _text(clip, "in", item.start)
    _text(clip, "out", item.end)
    _file(clip, media, files)
    if item.channel:
        source = ElementTree.SubElement(clip, "sourcetrack")
        _text(source, "mediatype", "audio")
        _text(source, "trackindex", item.channel)
    for other in linked:
        link = ElementTree.SubElement(clip, "link")
        _text(link, "linkclipref", other.id)
        _text(link, "mediatype", "audio" if other.channel else "video")
        _text(link, "trackindex", other.track)
        _text(link, "clipindex", other.place)
        if other.channel:
            _text(link, "groupindex", 1)


def _file(clip: ElementTree.Element, media: Media, files: dict[Media, str]) -> None:
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
    _characteristics(ElementTree.SubElement(inner, "video"), media, media.rate)
    for sound in media.sounds:
        audio = ElementTree.SubElement(inner, "audio")
        _samples(audio, sound.rate)
        _text(audio, "channelcount", sound.channels)


def _samples(parent: ElementTree.Element, rate: int) -> None:
    inner = ElementTree.SubElement(parent, "samplecharacteristics")
    _text(inner, "depth", DEPTH)
    _text(inner, "samplerate", rate)


def _characteristics(parent: ElementTree.Element, media: Media, rate: Fraction) -> None:
    inner = ElementTree.SubElement(parent, "samplecharacteristics")
    _rate(inner, rate)
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
