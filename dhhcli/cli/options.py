"""options: words on a command line -> values: what several commands take the same way, and what can be chosen from."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dhhcli.cli.completion import column_lists, weights_names
from dhhcli.output.formats import Layout, Order


def finite(value: float | None) -> float | None:
    """A number; typer's ranges let "nan" through, which no comparison finds too large or too small."""
    if value is not None and not abs(value) < float("inf"):
        raise typer.BadParameter(f"{value} is not a number that can be used.")
    return value


Codes = Annotated[Path, typer.Option("--codes", "-c", envvar="DHH_CODES", help="Codes file made by encode.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="File to write; without --format in that of its suffix. - or none: standard output.",
    ),
]
HandlesOption = Annotated[
    str, typer.Option(help="What to add around every shot of a timeline: frames (12f) or seconds (0.5s).")
]
OrderOption = Annotated[Order, typer.Option("--order", help="Of shots on a timeline: by rank, or by file and time.")]
SequenceOption = Annotated[
    Layout | None,
    typer.Option(
        "--sequence",
        help="stringout: all shots on one timeline; video: a timeline each, on which markers lie where the shot is. "
        "Default: video for resolve, avid, webvtt and chapters, stringout for the others.",
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Which columns of a table, tsv, csv or json, and their order: rank,video,start.",
        autocompletion=column_lists,
    ),
]
WeightsName = Annotated[
    str | None,
    typer.Option(
        "--weights",
        envvar="DHH_WEIGHTS",
        help="Name of shipped weights, or path of a weights record.",
        autocompletion=weights_names,
    ),
]
WeightsNames = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        envvar="DHH_WEIGHTS",
        help="Name of shipped weights, or path of a weights record; repeatable.",
        autocompletion=weights_names,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON lines instead of a table or TSV.")]


class Recipe(StrEnum):
    """How to train: ours, or as the paper does (research/training/paper.py)."""

    dhh = "dhh"
    paper = "paper"


class Search(StrEnum):
    """How frame-wise methods are searched (baselines/comparison/measure.py)."""

    average = "average"
    minimum = "minimum"
    majority = "majority"
    mean = "mean"


class Method(StrEnum):
    """What to train: ours, or a rival (research/baselines/deep/train.py)."""

    dhh = "dhh"
    ddah = "ddah"
    dcbh = "dcbh"
    dmh = "dmh"
    dnnh = "dnnh"
    dsh = "dsh"
    hashnet = "hashnet"
    lsh = "lsh"
    sh = "sh"
    itq = "itq"
    ssh = "ssh"
    dbc = "dbc"
    ksh = "ksh"
    cvh = "cvh"
    cmssh = "cmssh"
    pdh = "pdh"
    mlbe = "mlbe"
    mm_nn = "mm-nn"
    plmh = "plmh"
    her = "her"
