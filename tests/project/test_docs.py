"""README and docs: README stays short, links lead somewhere, and every command and option that is named exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from dhhcli.cli.app import app
from dhhcli.output.columns import KNOWN
from dhhcli.output.formats import Format

ROOT = Path(__file__).parents[2]


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
ROOT_OPTIONS = {"--help", "-h", "--version", "--install-completion", "--show-completion"}


def without_blocks(text: str) -> str:
    """A page without what is in fences, and without comments, where cog's code is."""
    return re.sub(r"^```.*?^```$|<!--.*?-->", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What headings are called in links, as GitHub does it."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "") for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def options() -> dict[str, set[str]]:
    """Every command with its options."""
    group = typer.main.get_command(app)
    return {
        name: {opt for p in command.params for opt in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }


def spans(text: str) -> Iterator[str]:
    """What a page says in code: lines of blocks (fenced or indented, continued ones joined), and spans in a line."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).replace("\\\n", " ")
    for block in re.findall(r"^```(?:sh|console)?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"^    (\S.*)$", text, flags=re.MULTILINE)
    for span in re.findall(r"`([^`]+)`", re.sub(r"^    .*$", "", text, flags=re.MULTILINE)):
        yield " ".join(span.split()).replace("\\|", "|")


def unknown(span: str, known: dict[str, set[str]]) -> list[str]:
    """Commands and options in a span of code that dhh does not have; other programs are not looked at."""
    span = span.replace("$(which dhh)", "dhh")
    lexer = shlex.shlex(span.replace("'", "").replace('"', ""), punctuation_chars="|;&()", posix=False)
    lexer.whitespace_split = True
    words = list(lexer)
    everywhere = set().union(*known.values()) | ROOT_OPTIONS
    if words and words[0].startswith("--"):  # an option alone, maybe with its value or another one
        return [word for word in words if re.fullmatch(r"--[a-z][a-z-]+", word) and word not in everywhere]
    wrong: list[str] = []
    command: str | None = None
    for before, word in zip(["", *words], words, strict=False):
        if before == "dhh" or before.endswith("/dhh"):
            command = word
            if not (word in known or word in ROOT_OPTIONS or word.isupper()):
                wrong.append(f"dhh {word}")
        elif re.fullmatch(r"[|;&()]+|#", word):
            command = None
        elif command == before and f"{command} {word}" in known:  # dhh people merge
            command = f"{command} {word}"
        elif command in known and re.match(r"-[-a-zA-Z0-9]", word):
            option = word.partition("=")[0].rstrip(",.:")
            if option not in known[command]:
                wrong.append(f"dhh {command} {option}")
    return wrong


def test_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 10_000


def test_readme_says_on_its_first_screen_what_one_may_use_it_for() -> None:
    screen = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:20])
    assert "MIT" in screen
    assert "weights/LICENSE" in screen
    assert "make demo" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(without_blocks(page.read_text(encoding="utf-8"))):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link}: not there"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_every_page_is_linked_from_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in LINK.findall(text)}
    assert {page for page in PAGES if page.name != "README.md"} <= linked


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_named_commands_and_options_exist(page: Path) -> None:
    known = options()
    wrong = [word for span in spans(page.read_text(encoding="utf-8")) for word in unknown(span, known)]
    assert wrong == []


def test_a_made_up_command_or_option_would_be_found() -> None:
    text = "`dhh find x.jpg` `--beautify` and\n\n    dhh query a.jpg --top 3 | dhh export - \\\n        --sing\n"
    known = options()
    wrong = [word for span in spans(text) for word in unknown(span, known)]
    assert wrong == ["dhh export --sing", "dhh find", "--beautify"]


def test_links_in_code_lead_somewhere() -> None:
    """Docstrings that send the reader to a page of docs, with its heading."""
    found = 0
    for path in (ROOT / "dhhcli").rglob("*.py"):
        for name, anchor in re.findall(r"(docs/[\w/-]+\.md)(?:#([\w-]+))?", path.read_text(encoding="utf-8")):
            found += 1
            assert (ROOT / name).is_file(), f"{path}: {name} is not there"
            assert not anchor or anchor in anchors(ROOT / name), f"{path}: {name} has no heading {anchor}"
    assert found > 5


def test_all_columns_and_formats_are_described() -> None:
    columns = (ROOT / "docs/reference/columns.md").read_text(encoding="utf-8")
    assert [name for name in KNOWN if f"`{name}`" not in columns] == []
    formats = (ROOT / "docs/reference/formats.md").read_text(encoding="utf-8")
    assert [name for name in Format if f"`{name.value}`" not in formats] == []
