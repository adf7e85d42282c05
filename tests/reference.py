"""reference: the command line and the modules -> the generated parts of README (written by cog, checked by a test)."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from dhhcli.cli.app import app
from dhhcli.models.binary_codes import code_bytes

PACKAGE = Path(__file__).parent.parent / "dhhcli"

# the way of the data, a package a stage, then what stands beside it and what carries it
STAGES = (
    ("Film", ("media",)),
    ("Faces", ("faces",)),
    ("Networks and codes", ("models",)),
    ("Files of codes", ("storage",)),
    ("Film and photos to codes", ("encoding",)),
    ("Index", ("index",)),
    ("Search", ("search",)),
    ("Who is who", ("people",)),
    ("Answers to look at", ("output", "output/sheets")),
    ("Answers in the edit", ("output/timelines",)),
    ("The command line, and the same for Python", ("cli", "library.py")),
    ("Under all of it", ("base", "")),
    ("People to learn from", ("research/datasets",)),
    ("Figures", ("research/evaluation", "research/calibration")),
    ("Training", ("research", "research/training", "research/training/engine", "research/training/networks")),
    (
        "Rivals",
        (
            "research/baselines",
            "research/baselines/image",
            "research/baselines/cross_modal",
            "research/baselines/deep",
            "research/baselines/comparison",
        ),
    ),
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
    """Every module with the first line of its docstring, package by package in the order of the data."""
    alone = {folder for _, folders in STAGES for folder in folders if folder.endswith(".py")}
    for title, folders in STAGES:
        yield f"## {title}"
        yield ""
        for folder in folders:
            for path in [PACKAGE / folder] if folder.endswith(".py") else sorted((PACKAGE / folder).glob("*.py")):
                if path.stem == "__init__" or (not folder and path.name in alone):
                    continue
                docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
                paragraph = " ".join(docstring.split("\n\n")[0].split())
                yield f"- `{path.relative_to(PACKAGE)}` {paragraph.partition(': ')[2]}"
        yield ""


def unlisted() -> set[str]:
    """Packages that the map leaves out; there must be none."""
    listed = {folder for _, folders in STAGES for folder in folders}
    there = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.stem != "__init__"}
    return {str(path.parent).removeprefix(".") for path in there} - listed


def formats() -> Iterator[str]:
    """The table of what tests/test_formats.py makes and reads back."""
    from test_formats import FORMATS

    yield "| codec | containers |"
    yield "|---|---|"
    for name, (*_, containers) in FORMATS.items():
        yield f"| {name} | {', '.join(containers)} |"
