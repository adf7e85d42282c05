"""footage_log: LoggedVideos -> CSV, JSON lines, Avid log exchange (ALE) and XMP sidecars: who is in every shot.

ALE: Avid, "Avid Log Exchange": a heading, names of columns, data, tab-separated; one frame rate a file. XMP: Adobe,
"XMP Specification Part 2" (dc, xmpDM: markers of a track count in frames of ``frameRate``) and IPTC's PersonInImage.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from dhhcli.base.text import counted, one_line
from dhhcli.errors import DhhError, UsageError
from dhhcli.media.timing.timecode import nominal_rate
from dhhcli.output.delimited import quoted
from dhhcli.output.formats import LogFormat
from dhhcli.output.timelines.export import TimelineFile, write_files
from dhhcli.output.timelines.names import xml_text
from dhhcli.people.footage_log import LoggedShot, LoggedVideo

COLUMNS: Final = (
    "video",
    "reel",
    "shot",
    "start",
    "end",
    "start_frame",
    "end_frame",
    "person",
    "name",
    "seconds",
    "first",
    "last",
    "first_frame",
    "last_frame",
    "track_ids",
)
ALE_COLUMNS: Final = (
    "Name",
    "Tape",
    "Start",
    "End",
    "Tracks",
    "Persons",
    "Comments",
    "Source TimelineFile",
    "Source Path",
)
ALE_FORMATS: Final = {1080: "1080", 720: "720", 576: "PAL", 486: "NTSC", 480: "NTSC"}  # by height
OURS: Final = "dhh"  # who wrote a sidecar: those of others are not replaced
SPACES: Final = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmpDM": "http://ns.adobe.com/xmp/1.0/DynamicMedia/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}


def log_files(videos: Sequence[LoggedVideo], wanted: LogFormat) -> list[TimelineFile]:
    """The files of a format: one, but an ALE a frame rate, and a sidecar a video. Photos have no place in an ALE."""
    if wanted is LogFormat.xmp:
        return [TimelineFile(video.path, _writer(xmp(video))) for video in videos]
    if wanted is LogFormat.ale:
        films = [video for video in videos if video.rate and not video.record.still]
        rates = list(dict.fromkeys(video.rate for video in films if video.rate))
        return [
            TimelineFile(None, _writer(ale([video for video in films if video.rate == rate], rate)), _shown(rate))
            for rate in rates
        ]
    lines = csv_log(videos) if wanted is LogFormat.csv else json_log(videos)
    end = "\r\n" if wanted is LogFormat.csv else "\n"
    return [TimelineFile(None, _writer("".join(f"{line}{end}" for line in lines).encode("utf-8", "surrogateescape")))]


def _writer(data: bytes) -> Callable[..., object]:
    return lambda stream: stream.write(data)


def csv_log(videos: Sequence[LoggedVideo]) -> Iterator[str]:
    """A row a person in a shot, and one for a shot without anybody; lines without their CRLF."""
    yield ",".join(COLUMNS)
    for video in videos:
        for shot in video.shots:
            head = [str(video.path), video.reel, shot.shot, shot.start, shot.end, shot.start_frame, shot.end_frame]
            for seen in shot.people:
                own = [seen.person, seen.name, f"{seen.seconds:.3f}", seen.first, seen.last]
                own += [seen.first_frame, seen.last_frame, " ".join(seen.track_ids)]
                yield ",".join(quoted(str(cell)) for cell in [*head, *own])
            if not shot.people:
                yield ",".join(quoted(str(cell)) for cell in [*head, *[""] * (len(COLUMNS) - len(head))])


def json_log(videos: Sequence[LoggedVideo]) -> Iterator[str]:
    """An object a shot, with a list of everybody in it."""
    for video in videos:
        for shot in video.shots:
            yield json.dumps(
                {
                    "video": str(video.path),
                    "reel": video.reel,
                    "shot": shot.shot,
                    "start": shot.start,
                    "end": shot.end,
                    "start_frame": shot.start_frame,
                    "end_frame": shot.end_frame,
                    "people": [
                        {
                            "person": seen.person,
                            "name": seen.name or None,
                            "seconds": seen.seconds,
                            "first": seen.first,
                            "last": seen.last,
                            "first_frame": seen.first_frame,
                            "last_frame": seen.last_frame,
                            "track_ids": list(seen.track_ids),
                        }
                        for seen in shot.people
                    ],
                }
            )


def ale(videos: Sequence[LoggedVideo], rate: Fraction) -> bytes:
    """A line a shot of videos of one frame rate; CRLF, as Avid writes it."""
    heights = [video.record.height for video in videos]
    lines = [
        "Heading",
        "FIELD_DELIM\tTABS",
        f"VIDEO_FORMAT\t{ALE_FORMATS.get(max(heights, key=heights.count), 'CUSTOM')}",
        "AUDIO_FORMAT\t48khz",
        f"FPS\t{_shown(rate)}",
        "",
        "Column",
        "\t".join(ALE_COLUMNS),
        "",
        "Data",
    ]
    for video in videos:
        for shot in video.shots:
            cells = (
                f"{video.path.stem} {shot.shot:03}",
                video.reel,
                shot.start,
                shot.end,
                "V",
                ", ".join(seen.called for seen in shot.people),
                _comment(shot),
                video.path.name,
                str(video.path),
            )
            lines.append("\t".join(one_line(cell) for cell in cells))
    return "".join(f"{line}\r\n" for line in lines).encode()


def _comment(shot: LoggedShot) -> str:
    return "; ".join(f"{seen.called} {seen.seconds:.1f} s, {seen.first}-{seen.last}" for seen in shot.people)


def xmp(video: LoggedVideo) -> bytes:
    """A sidecar: who is in the file, its reel and start timecode, and a marker for everybody in every shot."""
    for prefix, space in SPACES.items():
        ElementTree.register_namespace(prefix, space)
    root = ElementTree.Element(_name("x", "xmpmeta"), {_name("x", "xmptk"): OURS})
    rdf = ElementTree.SubElement(root, _name("rdf", "RDF"))
    about = ElementTree.SubElement(rdf, _name("rdf", "Description"), {_name("rdf", "about"): ""})
    names = sorted({seen.name for shot in video.shots for seen in shot.people if seen.name})
    if names:
        _bag(about, _name("dc", "subject"), names)
        _bag(about, _name("Iptc4xmpExt", "PersonInImage"), names)
    if not video.record.still:
        ElementTree.SubElement(about, _name("xmpDM", "tapeName")).text = xml_text(video.reel)
        if video.rate and video.shots:
            start = ElementTree.SubElement(about, _name("xmpDM", "startTimecode"), _resource())
            kind = _time_format(video.rate, video.record.drop_frame)
            if kind:
                ElementTree.SubElement(start, _name("xmpDM", "timeFormat")).text = kind
            ElementTree.SubElement(start, _name("xmpDM", "timeValue")).text = video.shots[0].start
            _track(about, video, video.rate)
    ElementTree.indent(root)
    body: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=False)
    return b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n' + body + b'\n<?xpacket end="w"?>\n'


def _track(about: ElementTree.Element, video: LoggedVideo, rate: Fraction) -> None:
    tracks = ElementTree.SubElement(about, _name("xmpDM", "Tracks"))
    bag = ElementTree.SubElement(tracks, _name("rdf", "Bag"))
    track = ElementTree.SubElement(bag, _name("rdf", "li"), _resource())
    ElementTree.SubElement(track, _name("xmpDM", "trackName")).text = "People"
    ElementTree.SubElement(track, _name("xmpDM", "trackType")).text = "Comment"
    ElementTree.SubElement(track, _name("xmpDM", "frameRate")).text = f"f{rate.numerator}" + (
        f"s{rate.denominator}" if rate.denominator > 1 else ""
    )
    markers = ElementTree.SubElement(track, _name("xmpDM", "markers"))
    ordered = ElementTree.SubElement(markers, _name("rdf", "Seq"))
    for shot in video.shots:
        for seen in shot.people:
            marker = ElementTree.SubElement(ordered, _name("rdf", "li"), _resource())
            for name, value in (
                ("startTime", str(seen.first_frame)),
                ("duration", str(seen.last_frame - seen.first_frame + 1)),
                ("name", seen.called),
                ("comment", f"shot {shot.shot}, {seen.seconds:.1f} s"),
                ("type", "Comment"),
            ):
                ElementTree.SubElement(marker, _name("xmpDM", name)).text = xml_text(value)


def _bag(parent: ElementTree.Element, name: str, words: Sequence[str]) -> None:
    bag = ElementTree.SubElement(ElementTree.SubElement(parent, name), _name("rdf", "Bag"))
    for word in words:
        ElementTree.SubElement(bag, _name("rdf", "li")).text = xml_text(word)


def _name(prefix: str, name: str) -> str:
    return f"{{{SPACES[prefix]}}}{name}"


def _resource() -> dict[str, str]:
    return {_name("rdf", "parseType"): "Resource"}


def _time_format(rate: Fraction, drop: bool) -> str | None:
    """As xmpDM calls it; None for a rate that it has no word for."""
    whole = nominal_rate(rate)
    if rate.denominator == 1:
        return f"{whole}Timecode" if whole in (24, 25, 30, 50, 60) else None
    kind = {24: "23976", 30: "2997", 60: "5994"}.get(whole)
    return kind and (f"{kind}Timecode" if whole == 24 else f"{kind}{'Drop' if drop else 'NonDrop'}Timecode")


def _shown(rate: Fraction) -> str:
    return f"{float(rate):.3f}".rstrip("0").rstrip(".") if rate.denominator == 1 else f"{float(rate):.2f}"


def write_log(files: Sequence[TimelineFile], wanted: LogFormat, out: Path) -> list[str]:
    """Write them and say what was written; sidecars into the folder ``out``, each called after its video.

    Raises EditError, DhhError as ``write_files``, and DhhError for a sidecar of another program in the way.
    """
    if wanted is not LogFormat.xmp or out.suffix.lower() == ".xmp":
        return write_files(files, out)
    taken: set[str] = set()
    places = []
    for file in files:
        assert file.video is not None
        stem, number = one_line(file.video.stem), 1
        name = stem
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        place = out / f"{name}.xmp"
        if place.exists() and f'xmptk="{OURS}"'.encode() not in place.read_bytes()[:4096]:
            raise DhhError(f"{place}: was written by another program, and is not replaced; name another folder")
        places.append(place)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DhhError(f"{out}: cannot be made a folder ({error.strerror}); name another with --out") from None
    for file, place in zip(files, places, strict=True):
        write_files([file], place)
    return [f"{out}: {counted(len(files), 'sidecar')}"]


def wished_log(wanted: LogFormat | None, out: Path | None) -> LogFormat:
    """The format that is meant: as named, as the suffix says, else CSV. Raises UsageError."""
    if wanted is None and out is not None and str(out) != "-":
        try:
            wanted = LogFormat(out.suffix.lower().removeprefix(".").replace("jsonl", "json"))
        except ValueError:
            raise UsageError(
                f"--out {out.name}: ends like no log; name one: {', '.join(f'--format {one}' for one in LogFormat)}"
            ) from None
    return wanted or LogFormat.csv
