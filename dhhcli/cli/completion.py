"""completion: what was typed of a word -> the words it may become; asked by the shell at a press of the tab key."""

import os
from pathlib import Path

from typer import Context

from dhhcli.output.columns import KNOWN


def weights_names(incomplete: str) -> list[str]:
    """Names of the shipped weights. Where none fits, the shell offers files."""
    from dhhcli.models.weights import shipped_folder

    return sorted(path.stem for path in shipped_folder().glob("*.json") if path.stem.startswith(incomplete))


def names_beside(ctx: Context, incomplete: str) -> list[str]:
    """Names that people were given in the codes file of this command line; none where it has none."""
    return [name for name in _names(ctx) if name.startswith(incomplete)]


def who(ctx: Context, incomplete: str) -> list[str]:
    """``name:`` with the names behind it. Where something else is typed, the shell offers files."""
    words = [f"name:{name}" for name in _names(ctx)]
    return [word for word in words if word.startswith(incomplete)] if incomplete.startswith("n") else []


def _names(ctx: Context) -> list[str]:
    from dhhcli.errors import DhhError
    from dhhcli.search.collection import codes_files
    from dhhcli.storage.who.book import names_beside as names_of

    said = ctx.params.get("codes")
    left = ctx.args  # where the last option still lacks its value, click leaves all arguments there
    if left and any(one.name == "codes" and one.param_type_name == "argument" for one in ctx.command.params):
        said = left[0]
    said = said or os.environ.get("DHH_CODES") or "codes.h5"
    try:
        files = codes_files([Path(one) for one in (said if isinstance(said, list | tuple) else [said])])
        return sorted({name for file in files for name in names_of(file)})
    except (DhhError, OSError):  # there is nobody to tell
        return []


def column_lists(incomplete: str) -> list[str]:
    """The list so far with every column that may come next and is not in it yet."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in KNOWN if name.startswith(last) and name not in before.split(",")]
