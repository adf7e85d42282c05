"""help_printer: what typer imports to print help -> the same in half the time, without what dhh's help never uses.

``typer.rich_utils`` imports rich's Markdown (and with it a parser of Markdown) and rich's tracebacks (and with them
pygments), for settings that ``cli.app`` has switched off. Empty classes stand there for them while it is imported.
"""

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from typer.core import TyperCommand

UNUSED: Final = {"rich.markdown": "Markdown", "rich.traceback": "Traceback"}


class Command(TyperCommand):
    """A command whose help is printed in half the time."""

    def format_help(self, *args: Any, **kwargs: Any) -> None:
        """Print the help."""
        import_printer()
        super().format_help(*args, **kwargs)


def import_printer() -> None:
    """Import ``typer.rich_utils``, lean where that works; the modules left out can be imported afterwards as ever."""
    if "typer.rich_utils" in sys.modules:
        return
    left_out = [name for name in UNUSED if name not in sys.modules]
    for name in left_out:
        sys.modules[name] = _stand_in(name, UNUSED[name])
    try:
        import_module("typer.rich_utils")
    except (
        ImportError,
        AttributeError,
        TypeError,
    ):
        return  # another release of typer, which wants more of them: it imports the real ones when it prints
    finally:
        for name in left_out:
            del sys.modules[name]
    if os.environ.get("NO_COLOR"):  # rich leaves out colours then, and still makes letters bold
        setattr(sys.modules["typer.rich_utils"], "COLOR_SYSTEM", None)  # noqa: B010  (no name of its for mypy to see)


def _stand_in(name: str, content: str) -> ModuleType:
    module = ModuleType(name)
    setattr(module, content, type(content, (), {}))
    return module
