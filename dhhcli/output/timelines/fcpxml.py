"""fcpxml: Timelines -> FCPXML 1.14 of Apple's Final Cut Pro, a project a timeline.

Apple, "FCPXML Reference" and its DTD: times are rational seconds, here whole multiples of a frame's duration; a clip's
`start` and its markers are in the time of its source, which begins at the asset's `start`, its start timecode.
"""

from collections.abc import Sequence
from fractions import Fraction
from xml.etree import ElementTree

from dhhcli.output.timelines.cuts import Event, Timeline
from dhhcli.output.timelines.names import file_url, xml_text
from dhhcli.output.timelines.source_media import Media

VERSION = "1.14"
# what `conform-rate` may name; others conform by Final Cut's own judgement
SOURCE_RATES = ("23.98", "24", "25", "29.97", "30", "47.95", "48", "50", "59.94", "60")
# what a sequence may say of its samples a second
MIX_RATES = {
    32_000: "32k",
    44_100: "44.1k",
    48_000: "48k",
    88_200: "88.2k",
    96_000: "96k",
    176_400: "176.4k",
    192_000: "192k",
}


def fcpxml(timelines: Sequence[Timeline]) -> bytes:
    """One event with all of them."""
    root = ElementTree.Element("fcpxml", version=VERSION)
    resources = ElementTree.SubElement(root, "resources")
    event = ElementTree.SubElement(root, "event", name="dhh")
    formats: dict[tuple[Fraction, int, int], str] = {}
    assets: dict[Media, str] = {}

    def format_id(media: Media, rate: Fraction) -> str:
        key = (rate, media.width, media.height)
        if key not in formats:
            formats[key] = f"r{len(formats) + len(assets) + 1}"
            ElementTree.SubElement(
                resources,
                "format",
                id=formats[key],
                frameDuration=_seconds(1, rate),
                width=str(media.width),
                height=str(media.height),
            )
        return formats[key]

    def asset_id(media: Media) -> str:
        if media not in assets:
            of = format_id(media, media.rate)
            assets[media] = f"r{len(formats) + len(assets) + 1}"
            asset = ElementTree.SubElement(
                resources,
                "asset",
                id=assets[media],
                name=xml_text(media.path.name),
                start=_seconds(media.first, media.rate),
                duration=_seconds(media.length, media.rate),
                hasVideo="1",
                format=of,
            )
            asset.attrib.update(_sounds(media))
            ElementTree.SubElement(asset, "media-rep", kind="original-media", src=file_url(media.path))
        return assets[media]

    for timeline in timelines:
        project = ElementTree.SubElement(event, "project", name=xml_text(timeline.name))
        sequence = ElementTree.SubElement(
            project,
            "sequence",
            format=format_id(timeline.main, timeline.rate),
            duration=_seconds(timeline.length, timeline.rate),
            tcStart=_seconds(timeline.first, timeline.rate),
            tcFormat=_counting(timeline.drop),
        )
        sequence.attrib.update(_mix(timeline))
        spine = ElementTree.SubElement(sequence, "spine")
        for placed in timeline.events:
            cut, media = placed.cut, placed.cut.media
            clip = ElementTree.SubElement(
                spine,
                "asset-clip",
                ref=asset_id(media),
                name=xml_text(cut.clip),
                offset=_seconds(timeline.first + placed.at, timeline.rate),
                start=_seconds(media.first + cut.start, media.rate),
                duration=_seconds(placed.length, timeline.rate),
                format=format_id(media, media.rate),
                tcFormat=_counting(media.drop),
            )
            clip.attrib.update(_heard(timeline, placed))
            if media.rate != timeline.rate and (named := _named(media.rate)) in SOURCE_RATES:
                ElementTree.SubElement(clip, "conform-rate", scaleEnabled="0", srcFrameRate=named)
            ElementTree.SubElement(
                clip,
                "marker",
                start=_seconds(media.first + cut.face, media.rate),
                duration=_seconds(1, media.rate),
                value=xml_text(cut.title),
                note=xml_text(cut.comment),
            )
    ElementTree.indent(root)
    head = b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n'
    body: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=False)
    return head + body + b"\n"


def _sounds(media: Media) -> dict[str, str]:
    """What an asset says of its sound: how many sources, and the most channels that one of them has."""
    if not media.sounds:
        return {}
    return {
        "hasAudio": "1",
        "audioSources": str(len(media.sounds)),
        "audioChannels": str(max(sound.channels for sound in media.sounds)),
        "audioRate": str(media.sounds[0].rate),
    }


def _mix(timeline: Timeline) -> dict[str, str]:
    """What a sequence says of its sound; of a rate that it may not name, nothing."""
    sounds = [sound for media in timeline.media() for sound in media.sounds]
    if not sounds:
        return {}
    named = MIX_RATES.get(timeline.sample_rate)
    layout = {1: "mono", 2: "stereo"}.get(max(sound.channels for sound in sounds), "surround")
    return {"audioLayout": layout} | ({"audioRate": named} if named else {})


def _heard(timeline: Timeline, event: Event) -> dict[str, str]:
    """Of a clip: nothing where its sound is as long as its picture, which is what a clip is; else when it is heard."""
    media = event.cut.media
    pieces = timeline.pieces(event)
    if not pieces:
        return {"srcEnable": "video"}
    start, end = min(piece.start for piece in pieces), max(piece.end for piece in pieces)
    if (start, end) == (event.cut.start, event.cut.end):
        return {}
    return {
        "audioStart": _seconds(media.first + start, media.rate),
        "audioDuration": _seconds(end - start, media.rate),
    }


def _seconds(frames: int, rate: Fraction) -> str:
    """Frames of a rate -> "1001/30000s"; the denominator is the rate's own, so that frames are seen in it."""
    if rate.denominator == 1 and frames % rate.numerator == 0:
        return f"{frames // rate.numerator}s"
    return f"{frames * rate.denominator}/{rate.numerator}s"


def _counting(drop: bool) -> str:
    return "DF" if drop else "NDF"


def _named(rate: Fraction) -> str:
    return str(rate.numerator) if rate.denominator == 1 else f"{float(rate):.2f}"
