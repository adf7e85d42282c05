"""reference: the command line and the modules -> the generated parts of README (written by cog, checked by a test)."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from dhhcli.cli import app
from dhhcli.codes import code_bytes

PACKAGE = Path(__file__).parent.parent / "dhhcli"

# the way of the data, stage by stage
FILM = (
    "sources",
    "video",
    "container",
    "frame",
    "recorded",
    "prefetch",
    "shots",
    "providers",
    "faces",
    "crops",
    "looks",
    "tracks",
    "scan",
    "features",
    "covariance",
    "expansion",
    "hashing",
    "codes",
    "weights",
    "network",
    "trackcodes",
    "stills",
    "photos",
)
FILES = (
    "records",
    "tables",
    "pieces",
    "skeleton",
    "shardfile",
    "shards",
    "choices",
    "encode",
    "crew",
    "watch",
    "inventory",
    "merge",
    "tombstones",
    "forget",
    "upkeep",
)
SEARCH = (
    "flat",
    "faissbinary",
    "lists",
    "ivf",
    "gpu",
    "index",
    "indexing",
    "measures",
    "framesearch",
    "search",
    "distinct",
)
QUESTIONS = (
    "words",
    "question",
    "places",
    "limits",
    "timecode",
    "calibration",
    "explain",
    "query",
)
PEOPLE = (
    "grouping",
    "names",
    "people",
    "naming",
)
DATA = (
    "layouts",
    "folders",
    "packfile",
    "packs",
    "closed",
    "imitation",
)
FIGURES = (
    "packfigures",
    "sessions",
    "gallery",
    "labels",
    "baselines",
    "itq",
    "directions",
    "metrics",
    "verification",
    "figures",
    "evaluate",
    "evaluation",
    "pairs",
    "curvefit",
    "heldout",
    "calibrate",
)
GROUND = (
    "sample",
    "files",
    "errors",
    "completion",
    "cli",
)
EDIT = (
    "formats",
    "media",
    "cuts",
    "names",
    "edl",
    "otio",
    "fcpxml",
    "fcp7",
    "markers",
    "captions",
    "ffconcat",
    "export",
)
REPORT = (
    "rows",
    "joined",
    "columns",
    "table",
    "text",
    "reading",
    "delivery",
    "sheet",
    "page",
    "stills",
    "why",
    "cast",
    "curves",
    "comparison",
    "reliability",
    "progress",
    "packing",
    "inventory",
    "output",
)
LEARNING = (
    "backbone",
    "logcov",
    "model",
    "losses",
    "batches",
    "devices",
    "checkpoint",
    "earlystop",
    "loop",
    "pretrain",
    "condition",
    "bank",
    "hashtrain",
    "joint",
    "paper",
    "ddah",
    "dcbh",
    "dmh",
    "stillhash",
    "dnnh",
    "dsh",
    "hashnet",
    "featurehash",
    "deephash",
    "fitted",
    "codefigures",
    "methods",
    "extracted",
    "ablate",
    "validation",
    "log",
    "train",
    "finish",
    "recipes",
    "export",
    "plot",
    "quantise",
)
COMMANDS = ("options", "footage", "asking", "research")
RIVALS = (
    "protocol",
    "store",
    "split",
    "measure",
    "pickles",
    "data",
    "compare",
    "own",
    "summary",
    "samples",
    "layer",
    "machines",
    "lsh",
    "sh",
    "itq",
    "ssh",
    "dbc",
    "ksh",
    "spaces",
    "views",
    "cvh",
    "cmssh",
    "pdh",
    "mlbe",
    "mm_nn",
    "plmh",
    "her",
    "trained",
)
STAGES = (
    ("Film and photos to codes", "", FILM),
    ("Codes files", "", FILES),
    ("Search", "", SEARCH),
    ("Questions", "", QUESTIONS),
    ("Who is who", "", PEOPLE),
    ("Answers to look at", "report/", REPORT),
    ("Answers in the edit", "edit/", EDIT),
    ("People to learn from", "", DATA),
    ("Training", "learning/", LEARNING),
    ("Figures", "", FIGURES),
    ("Rivals", "rivals/", RIVALS),
    ("Under all of it", "", GROUND),
    ("The command line", "commands/", COMMANDS),
)


def commands() -> Iterator[str]:
    """Every command with its options, as a Markdown list."""
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and not p.hidden and p.name != "help"]
        usage = " ".join(
            f"{(p.metavar or p.name).upper()}{'...' if p.nargs == -1 or p.multiple else ''}" for p in arguments
        )
        yield f"- `dhh {name}{' ' + usage if usage else ''}`: {(command.help or '').strip()}"
        for argument in arguments:
            yield f"  - `{(argument.metavar or argument.name).upper()}`: {argument.help}"
        for option in options:
            names = ", ".join((*option.opts, *option.secondary_opts))
            default = _default(option.default)
            environment = f" (or `${option.envvar}`)" if option.envvar else ""
            yield f"  - `{names}`: {option.help}{default}{environment}"


def _default(value: object) -> str:
    return "" if value is None or isinstance(value, bool) or callable(value) else f" [{value}]"


def figures() -> Iterator[str]:
    """What the shipped weights reach, as a Markdown table; the figures are those of their records."""
    directions = [("still", "set"), ("set", "still"), ("still", "shot"), ("shot", "still"), ("still", "still")]
    yield "| | " + " | ".join(f"{query} → {database}" for query, database in directions) + " | bytes a track |"
    yield "|---" * (len(directions) + 2) + "|"
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (PACKAGE.parent / "weights").glob("*.json")]
    records.sort(key=lambda record: record["bits"])

    def row(name: str, record: dict[str, Any], representation: str, size: int) -> str:
        scores = {
            (figure["query"], figure["database"]): figure["mean_ap"]
            for figure in record["metrics"]["figures"]
            if figure["representation"] == representation
        }
        return f"| {name} | " + " | ".join(f"{scores[direction]:.3f}" for direction in directions) + f" | {size} |"

    for record in records:
        yield row(f"`{record['name']}`", record, "codes", code_bytes(record["bits"]))
    d = records[-1]["model"]["features"] - bool(records[-1]["model"]["homogeneous"])
    yield row(f"the features behind them ({d} floats, cosine)", records[-1], "features", 4 * d)
    yield row("random codes", records[-1], "random", code_bytes(records[-1]["bits"]))


def file_map() -> Iterator[str]:
    """Every module with the first line of its docstring, in the order of the data."""
    for title, folder, names in STAGES:
        yield f"**{title}**"
        yield ""
        for name in names:
            path = PACKAGE / folder / f"{name}.py"
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            paragraph = " ".join(docstring.split("\n\n")[0].split())
            yield f"- `{folder}{name}.py` {paragraph.partition(': ')[2]}"
        yield ""


def unlisted() -> set[str]:
    """Modules that the map leaves out; there must be none."""
    listed = {f"{folder}{name}" for _, folder, names in STAGES for name in names}
    there = {str(path.relative_to(PACKAGE).with_suffix("")) for path in PACKAGE.rglob("*.py")}
    return {name for name in there - listed if not name.endswith("__init__")}


def formats() -> Iterator[str]:
    """The table of what tests/test_formats.py makes and reads back."""
    from test_formats import FORMATS

    yield "| codec | containers |"
    yield "|---|---|"
    for name, (*_, containers) in FORMATS.items():
        yield f"| {name} | {', '.join(containers)} |"
