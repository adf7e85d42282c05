"""docs/reference/python.md: its code runs and prints what the page says; it leaves no argument, field or error out."""

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from footage import copy_of

import dhhcli
from dhhcli.encoding import events
from dhhcli.media.sample import Sample

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def test_the_code_of_the_page_prints_what_the_page_says(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DHH_WEIGHTS", raising=False)
    copy_of(sample, Path("demo"))
    assert [kind for kind, _ in BLOCKS] == ["python", "text"] * 6
    names: dict[str, Any] = {}
    for (_, code), (_, said) in zip(BLOCKS[::2], BLOCKS[1::2], strict=True):
        exec(code, names)
        assert capsys.readouterr() == (said, ""), code


def spans() -> list[str]:
    """Everything between single backticks, outside of blocks."""
    return [
        " ".join(span.split()) for span in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))
    ]


def test_the_page_leaves_nothing_out() -> None:
    words = {word for span in spans() for word in re.findall(r"\w+", span)}
    assert set(dhhcli.__all__) <= words
    told = (dhhcli.Hit, dhhcli.Person, events.Encoded, events.Unchanged, events.Relinked, events.Forgotten)
    for kind in (*told, events.Skipped, events.Gone, events.Step):
        assert {kind.__name__, *(field.name for field in dataclasses.fields(kind))} <= words, kind


@pytest.mark.parametrize(
    ("call", "real"),
    [
        ("Library", dhhcli.Library),
        *(
            (f"library.{name}", getattr(dhhcli.Library, name))
            for name in ("encode", "search", "people", "name", "forget")
        ),
        *((name, getattr(dhhcli, name)) for name in ("load_network", "open_video", "log_covariance", "hamming")),
    ],
)
def test_signatures_are_those_of_the_code(call: str, real: Any) -> None:
    (written,) = [span for span in spans() if span.startswith(f"{call}(")]
    names: dict[str, Any] = {}
    exec(f"def f{written.removeprefix(call)}: pass", names)
    told = inspect.signature(names["f"]).parameters
    there = {name: one for name, one in inspect.signature(real).parameters.items() if name != "self"}
    assert list(told) == list(there)
    for name, parameter in told.items():
        assert parameter.kind == there[name].kind, name
        assert parameter.default in (..., there[name].default), name
