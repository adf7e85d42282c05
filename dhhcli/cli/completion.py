"""completion: what was typed of a word -> the words it may become; asked by the shell at a press of the tab key."""

from dhhcli.output.columns import KNOWN


def weights_names(incomplete: str) -> list[str]:
    """Names of the shipped weights. Where none fits, the shell offers files."""
    from dhhcli.models.weights import shipped_folder

    return sorted(path.stem for path in shipped_folder().glob("*.json") if path.stem.startswith(incomplete))


def column_lists(incomplete: str) -> list[str]:
    """The list so far with every column that may come next and is not in it yet."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in KNOWN if name.startswith(last) and name not in before.split(",")]
