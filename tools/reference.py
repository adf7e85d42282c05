"""reference: the program as it is -> the generated parts of README and docs (written by cog, checked by a test).

``make docs`` runs it; the tests are on the path, because the table of formats is of what they read back.
"""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any

import typer.main

from dhhcli.cli.app import app
from dhhcli.models.binary_codes import code_bytes

PACKAGE = Path(__file__).parent.parent / "dhhcli"

# the way of the data, a package a stage, then what stands beside it and what carries it
STAGES = (
    ("Film", ("media", "media/files", "media/timing")),
    ("Faces", ("faces",)),
    ("Networks and codes", ("models",)),
    ("Files of codes", ("storage", "storage/who")),
    ("Film and photos to codes", ("encoding",)),
    ("Index", ("index",)),
    ("Search", ("search", "search/question")),
    ("Who is who", ("people",)),
    ("Answers to look at", ("output", "output/terminal", "output/sheets")),
    ("A page to look through it all", ("review",)),
    ("Answers in the edit", ("output/timelines",)),
    ("A page to look through it", ("review",)),
    ("The command line, and the same for Python", ("cli", "library.py")),
    ("Under all of it", ("base", "")),
    ("People to learn from", ("research/datasets",)),
    ("Figures", ("research/evaluation", "research/calibration")),
    (
        "Training",
        (
            "research",
            "research/training",
            "research/training/engine",
            "research/training/networks",
            "research/training/publishing",
            "research/training/from_sface",
        ),
    ),
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
    """Every command with its options, as a Markdown section each."""
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and not p.hidden and p.name != "help"]
        usage = " ".join(
            f"{(p.metavar or p.name).upper()}{'...' if p.nargs == -1 or p.multiple else ''}" for p in arguments
        )
        yield f"## dhh {name}"
        yield ""
        yield f"`dhh {name}{' ' + usage if usage else ''}`: {(command.help or '').strip()}"
        yield ""
        for argument in arguments:
            yield f"- `{(argument.metavar or argument.name).upper()}`: {argument.help}"
        panel = None
        for option in options:
            if option.rich_help_panel != panel:
                panel = option.rich_help_panel
                yield from ("", f"{panel}:", "")
            names = ", ".join((*option.opts, *option.secondary_opts))
            default = _default(option.default)
            environment = f" (or `${option.envvar}`)" if option.envvar else ""
            yield f"- `{names}`: {option.help}{default}{environment}"
        yield ""


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


def in_a_paragraph() -> Iterator[str]:
    """What one photo finds with the usual weights, in a sentence for README."""
    from dhhcli.models.weights import load_weights, resolve_weights

    record = load_weights(resolve_weights()).record
    found = {
        (figure["representation"], figure["query"], figure["database"]): figure["mean_ap"]
        for figure in record["metrics"]["figures"]
    }
    there, shots = found["codes", "still", "set"], found["codes", "still", "shot"]
    features, chance = found["features", "still", "set"], found["random", "still", "set"]
    yield from wrap(
        "On people the network never saw, one photo ranks sets of six other photos with a mean average precision of "
        f"{there:.2f} (the features behind the codes {features:.2f}, chance {chance:.2f}), and shots imitated from one "
        f"photo with {shots:.2f}.",
        width=120,
    )


def dtypes() -> Iterator[str]:
    """The fields of a codes file's tables, a Markdown table each."""
    from dhhcli.storage import schema

    for name in ("tracks", "shots", "videos", "tombstones"):
        dtype = getattr(schema, f"{name[:-1].upper()}_DTYPE")
        yield ""
        yield f"| `{name}` | {' | '.join(f'`{field}`' for field in dtype.names)} |"
        yield "|---" * (len(dtype.names) + 1) + "|"
        kinds = [dtype[field].base.name + "".join(f" x {n}" for n in dtype[field].shape) for field in dtype.names]
        yield f"| | {' | '.join(kinds)} |"
    yield ""


def exit_codes() -> Iterator[str]:
    """The table in the docstring of errors.py."""
    text = ast.get_docstring(ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8"))) or ""
    _, table, _ = (part.partition("\n")[2] for part in text.split("\n====  "))
    yield "| code | meaning |"
    yield "|---|---|"
    for line in table.splitlines():
        code, _, meaning = line.partition(" ")
        yield f"| {code} | {meaning.strip().replace('``', '`')} |"


def suffixes() -> Iterator[str]:
    """By which suffixes files are known, as a Markdown list."""
    from dhhcli.media.files.discover import PHOTO_SUFFIXES, VIDEO_SUFFIXES

    for kind, known in (("videos", VIDEO_SUFFIXES), ("photos", PHOTO_SUFFIXES)):
        yield f"- {kind}: {', '.join(f'`{suffix}`' for suffix in sorted(known))}"


def extras() -> Iterator[str]:
    """What an extra of the package brings, as a Markdown table."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    yield "| extra | brings |"
    yield "|---|---|"
    for extra, needs in sorted(project["optional-dependencies"].items()):
        yield f"| `{extra}` | {', '.join(map(_package, needs))} |"


def _package(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


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
    """The table of what tests/media/test_formats.py makes and reads back."""
    from containers import FORMATS

    yield "| codec | containers |"
    yield "|---|---|"
    for name, (*_, containers) in FORMATS.items():
        yield f"| {name} | {', '.join(containers)} |"
