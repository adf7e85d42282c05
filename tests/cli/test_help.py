"""Help is the same with the lean printer, which imports neither a parser of Markdown nor pygments."""

import gc
import json
import sys

import pytest
import typer.core
import typer.main
from commands import python

from dhhcli.cli import app as program
from dhhcli.cli.start import main

COMMANDS = sorted(typer.main.get_command(program.app).commands)  # type: ignore[attr-defined]
ASKED = [[], ["--help"], *([name, "--help"] for name in COMMANDS)]
SHOW = (
    "import json, os, sys\n"
    "os.environ |= {'COLUMNS': '100', 'FORCE_COLOR': '1'}\n"
    "how, asked = sys.argv[1:]\n"
    "if how == 'whole':\n"
    "    import typer.rich_utils\n"
    "from dhhcli.cli.start import main\n"
    "for words in json.loads(asked):\n"
    "    sys.argv[1:] = words\n"
    "    try:\n"
    "        main()\n"
    "    except SystemExit as end:\n"
    "        print(end.code)\n"
    "    print('\\f')\n"
    "print(sorted({'rich.markdown', 'rich.traceback', 'markdown_it', 'pygments'} & set(sys.modules)))\n"
)


@pytest.fixture(scope="module")
def printed() -> dict[str, list[str]]:
    """By either printer: what each of ASKED prints, in one process, and last what was imported for all of them."""
    return {how: python(SHOW, how, json.dumps(ASKED)).split("\f\n") for how in ("lean", "whole")}


@pytest.mark.parametrize("number", range(len(ASKED)), ids=[" ".join(words) for words in ASKED])
def test_the_lean_printer_prints_the_same(number: int, printed: dict[str, list[str]]) -> None:
    lean, whole = (printed[how][number].splitlines() for how in ("lean", "whole"))
    assert lean == whole
    assert len(lean) > 9
    assert lean[-1] == ("2" if ASKED[number] == [] else "0")


def test_the_lean_printer_imports_less(printed: dict[str, list[str]]) -> None:
    assert printed["lean"][-1].strip() == "[]"
    assert "'markdown_it', 'pygments'" in printed["whole"][-1]


def test_what_was_left_out_can_be_imported_afterwards() -> None:
    code = (
        "import sys\nfrom dhhcli.cli.help_printer import import_printer\n"
        "import_printer()\nassert 'typer.rich_utils' in sys.modules\n"
        "from rich.console import Console\nfrom rich.markdown import Markdown\nfrom rich.traceback import Traceback\n"
        "Console().print(Markdown('# Title'))\nprint(Traceback.__module__)\n"
    )
    *title, module = python(code).splitlines()
    assert "Title" in "".join(title)
    assert module == "rich.traceback"


def test_another_typer_gets_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that wants more of rich than the empty classes: the printer is left to typer."""
    from dhhcli.cli import help_printer

    def wants_more(_: str) -> None:
        from rich.markdown import CodeBlock  # noqa: F401

    for name in ("typer.rich_utils", *help_printer.UNUSED):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(help_printer, "import_module", wants_more)
    help_printer.import_printer()
    assert "rich.markdown" not in sys.modules
    assert "typer.rich_utils" not in sys.modules


def test_garbage_is_collected_while_a_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(program, "main", lambda: seen.append(gc.isenabled()))
    try:
        main()
    finally:
        gc.unfreeze()
    assert seen == [True]
