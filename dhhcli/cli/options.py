"""options: words on a command line -> values: what several commands take the same way, and what can be chosen from."""

from collections.abc import Callable
from copy import copy
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.models import OptionInfo

from dhhcli.cli.completion import column_lists, weights_names
from dhhcli.errors import UsageError
from dhhcli.output.formats import Order, SequenceLayout
from dhhcli.research.baselines.names import METHODS

if TYPE_CHECKING:
    from dhhcli.media.files.mapping import Cluster

Command = TypeVar("Command", bound=Callable[..., Any])


def finite(value: float | None) -> float | None:
    """A number; typer's ranges let "nan" through, which no comparison finds too large or too small."""
    if value is not None and not abs(value) < float("inf"):
        raise typer.BadParameter(f"{value} is not a number that can be used.")
    return value


Codes = Annotated[Path, typer.Option("--codes", "-c", envvar="DHH_CODES", help="Codes file made by encode.")]
SeveralCodes = Annotated[
    list[Path] | None,
    typer.Option(
        "--codes",
        "-c",
        envvar="DHH_CODES",
        help="Codes file made by encode; several, or 'shards/*.h5', are asked as one. [codes.h5]",
        show_default=False,
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="WHERE",
        help="Work on a Dask cluster: tcp://HOST:PORT of its scheduler, or local:N for N processes here.",
    ),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="HERE=THERE", help="Where workers of --cluster find a folder; repeatable."),
]
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
    SequenceLayout | None,
    typer.Option(
        "--sequence",
        help="stringout: all shots on one timeline; video: a timeline each, on which markers lie where the shot is. "
        "Default: video for resolve, avid, webvtt and chapters, stringout for the others.",
    ),
]
RateOption = Annotated[
    str | None,
    typer.Option(
        "--rate",
        metavar="RATE",
        help="Frames a second of a timeline: 25, 23.976, 29.97df. Default: as most of its shots have.",
    ),
]
AudioOption = Annotated[
    bool, typer.Option("--audio/--no-audio", help="The sound of the videos, in timelines that can hold it.")
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
Wide = Annotated[bool, typer.Option("--wide", help="On a terminal too, show every column, as a pipe has them.")]
FacesOption = Annotated[
    bool | None,
    typer.Option(
        "--faces/--no-faces",
        help="Small faces below the table, on a terminal that shows pictures (kitty, iTerm2, sixel). Default: where it "
        "says that it can; never in a pipe.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON lines instead of a table or TSV.")]


class Recipe(StrEnum):
    """How to train: ours, or as the paper does (research/training/paper.py)."""

    dhh = "dhh"
    sface = "sface"
    paper = "paper"


class Search(StrEnum):
    """How frame-wise methods are searched (baselines/comparison/measure.py)."""

    average = "average"
    minimum = "minimum"
    majority = "majority"
    mean = "mean"


# What to train: ours, or a rival (research/baselines/deep/train.py).
Method = StrEnum("Method", {name.replace("-", "_"): name for name in ("dhh", *METHODS)})  # type: ignore[misc]
OURS = Method("dhh")


def in_panels(**panels: tuple[str, ...]) -> Callable[[Command], Command]:
    """A command whose help shows its options in panels: title=(names of parameters, ...); each option in one of them.

    Options that several commands share keep their words, and are in a panel here only.
    """
    home = {name: panel for panel, names in panels.items() for name in names}

    def shown(command: Command) -> Command:
        options = {
            name: hint
            for name, hint in command.__annotations__.items()
            if any(isinstance(one, OptionInfo) for one in getattr(hint, "__metadata__", ()))
        }
        assert home.keys() == options.keys(), home.keys() ^ options.keys()
        for name, hint in options.items():
            option = copy(hint.__metadata__[0])
            option.rich_help_panel = home[name]
            command.__annotations__[name] = Annotated[hint.__origin__, option]
        return command

    return shown


def cluster_of(where: str | None, mappings: list[str] | None) -> "Cluster | None":
    """What --cluster and --map say. Raises UsageError."""
    if where is None:
        if mappings:
            raise UsageError("--map says where workers of --cluster find a folder; add --cluster")
        return None
    from dhhcli.base.cluster import check_place
    from dhhcli.media.files.mapping import Cluster, parse_mapping

    check_place(where)
    return Cluster(where, tuple(map(parse_mapping, mappings or ())))
