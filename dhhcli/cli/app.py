"""app: words on a command line -> a command of this package; errors -> one line and an exit code."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dhhcli.base.text import one_line, take_any_text
from dhhcli.cli.commands import PLACES, CommandsByName
from dhhcli.cli.config import Config, defaults_of, read_config, take_provider
from dhhcli.cli.help_printer import import_printer
from dhhcli.cli.interrupts import INTERRUPTED, end_by_interrupt, interrupted, take_interrupts
from dhhcli.errors import DhhError, UsageError


class Commands(TyperGroup):
    """The one place where errors become one line and an exit code (the codes are listed in errors.py)."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        made: Any = CommandsByName()
        self.commands = made

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the command line, which may print help."""
        args = (args[0], _spelt(args[1]), *args[2:])
        with _errors_as_words():
            try:
                config = read_config()
            except UsageError:
                if args[1][:1] != ["doctor"]:  # which says what is wrong with it, and goes on
                    raise
                config = Config()
            take_provider(config)
            if config.path:
                kwargs = {"default_map": defaults_of(self.commands, config), **kwargs}
            return super().make_context(*args, **kwargs)

    def format_help(self, *args: Any, **kwargs: Any) -> None:
        """Print the list of commands."""
        import_printer()
        super().format_help(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; DhhError -> its exit code, a closed pipe -> a quiet end."""
        _name_processor()
        with _errors_as_words():
            return super().invoke(ctx)


def _name_processor() -> None:
    """h5py asks Python about the machine while it is imported, and Python starts ``uname -p`` to know what the
    processor is called, which nobody reads here: it is told the architecture instead.
    """
    import platform

    vars(platform.uname()).setdefault("processor", platform.machine())


def _spelt(words: list[str]) -> list[str]:
    """Words as typer can read them: ``--prune=all``, as an option with and without a value would take the folder behind
    it; ``people merge`` and its like, which are commands beside ``people CODES``.
    """
    if words[:1] == ["people"] and " ".join(words[:2]) in PLACES:
        words = [" ".join(words[:2]), *words[2:]]
    end = words.index("--") if "--" in words else len(words)
    return [*("--prune-all" if word == "--prune=all" else word for word in words[:end]), *words[end:]]


@contextmanager
def _errors_as_words() -> Iterator[None]:
    try:
        yield
    except DhhError as error:
        _say(str(error))
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:  # `dhh query ... | head -1`: the reader has what it wanted
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  (open until the interpreter has flushed it)
        raise typer.Exit(0) from None
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich's way to say so, with an exit code of 1
            raise typer.Exit(0) from None
        raise
    except OSError as error:  # a full disk, a file taken away: the machine's fault, so words and no traceback
        where = f"{error.filename}: " if error.filename else ""
        _say(f"{where}{error.strerror or error}")
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  (what could not be written is not tried again)
        raise typer.Exit(1) from None


def _say(error: str) -> None:
    typer.echo(f"dhh: error: {one_line(error)}", err=True)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find a person in your footage by a photo. Everything stays on this machine.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from dhhcli.base.version import __version__

        typer.echo(f"dhh {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find a person in your footage by a photo."""


def _open_streams() -> None:
    """Open the standard streams that the process was started without (``>&-``), else a file of ours would be them.

    Input is empty then, words are lost, and data cannot be written, which is an error.
    """
    for name, mode, rights in (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, rights), mode))
    take_any_text(sys.stdout)


def main() -> None:
    """Entry point of the ``dhh`` command."""
    take_interrupts()
    try:
        _open_streams()
        app(prog_name="dhh")
    except KeyboardInterrupt:  # before or after a command, while typer reads what there is
        if interrupted():
            end_by_interrupt()
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        if interrupted():  # whatever became of it on its way
            end_by_interrupt()
        # A query has only read, and written what it had to say: taking everything apart would take 30 ms more.
        if "dhhcli.search.query" in sys.modules and isinstance(end.code, int):
            with suppress(OSError):  # then the interpreter says what is wrong
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(end.code)
        raise
    except Exception:
        if interrupted():  # a library that was stopped while it was imported says that it is broken
            end_by_interrupt()
        raise
