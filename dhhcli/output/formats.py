"""formats: words on a command line -> Format, Order, SequenceLayout; imports nothing, so that help is quick."""

from enum import StrEnum


class Format(StrEnum):
    """How the answer of a query is written."""

    table = "table"
    tsv = "tsv"
    json = "json"
    csv = "csv"
    edl = "edl"
    otio = "otio"
    otioz = "otioz"
    fcpxml = "fcpxml"
    fcp7 = "fcp7"
    resolve = "resolve"
    avid = "avid"
    webvtt = "webvtt"
    ffconcat = "ffconcat"
    chapters = "chapters"


class LogFormat(StrEnum):
    """How a log of the footage is written."""

    csv = "csv"
    ale = "ale"
    xmp = "xmp"
    json = "json"


class Order(StrEnum):
    """Of the shots in a sequence."""

    rank = "rank"
    time = "time"


class SequenceLayout(StrEnum):
    """What a timeline holds: all shots in a row, or those of one video."""

    stringout = "stringout"
    video = "video"


ROWS = (Format.table, Format.tsv, Format.json, Format.csv)  # one row a shot; the others are timelines
MARKERS = (Format.resolve, Format.avid, Format.webvtt, Format.chapters)  # along a timeline that is there already
BINARY = (Format.otioz,)
OTIO = (Format.otio, Format.otioz)  # need OpenTimelineIO, an extra
# what a file's suffix says where no format is named; resolve writes .edl too, avid .txt
SUFFIXES = {
    ".tsv": Format.tsv,
    ".csv": Format.csv,
    ".json": Format.json,
    ".jsonl": Format.json,
    ".edl": Format.edl,
    ".otio": Format.otio,
    ".otioz": Format.otioz,
    ".fcpxml": Format.fcpxml,
    ".xml": Format.fcp7,
    ".vtt": Format.webvtt,
    ".ffconcat": Format.ffconcat,
    ".ffmetadata": Format.chapters,
}
