"""commands: name of a command -> the command, imported and read when somebody asks for it.

Typer reads what all options of a command are from its annotations. A query has no use for those of training.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final

import typer

from dhhcli.cli.help_printer import Command

# panel of the help -> name -> module of this package, and the function's name where it is another
PANELS: Final[dict[str, dict[str, str]]] = {
    "Find": {"encode": "codes_commands", "query": "search_commands", "sample": "codes_commands"},
    "Edit": {"export": "search_commands", "log": "people_commands"},
    "People": {
        "people": "people_commands",
        "name": "people_commands",
        "review": "people_commands",
        "people merge": "people_commands:merge_people",
        "people split": "people_commands:split_person",
        "people not": "people_commands:reject_tracks",
        "people undo": "people_commands:undo_people",
    },
    "Keep": dict.fromkeys(("info", "index", "merge", "migrate", "forget", "doctor"), "codes_commands"),
    "Research": dict.fromkeys(("pack", "train", "evaluate", "ablate", "calibrate"), "research_commands"),
}
PLACES: Final = {name: (panel, place) for panel, there in PANELS.items() for name, place in there.items()}


class CommandsByName(Mapping[str, Any]):
    """Name -> click's command; each is made once."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _command(name, *PLACES[name])
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in PLACES

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)


def _command(name: str, panel: str, place: str) -> Any:
    module, _, function = place.partition(":")
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    said = getattr(import_module(f"dhhcli.cli.{module}"), function or name)
    alone.command(name, cls=Command, rich_help_panel=panel)(said)
    return typer.main.get_command(alone)
