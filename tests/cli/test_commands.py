"""The command line apart from what commands do: help in groups, a query's request built without a command line."""

import io
from pathlib import Path
from typing import Annotated

import pytest
import typer
import typer.main

from dhhcli.cli.app import app
from dhhcli.cli.options import Codes, Json, Method, in_panels
from dhhcli.cli.search_commands import request_of
from dhhcli.errors import NobodyError, UsageError
from dhhcli.research.baselines.names import METHODS
from dhhcli.search.confidence import NO_LIMITS, Limits
from dhhcli.search.options import Device, FrameDistance, Fuse
from dhhcli.search.question.request import Query
from dhhcli.search.question.scope import EVERYWHERE, Where, moment
from dhhcli.search.question.terms import FileTerm, TrackTerm

EMPTY = io.BytesIO()


def test_every_command_is_in_a_group() -> None:
    group = typer.main.get_command(app)
    panels = [command.rich_help_panel for command in group.commands.values()]  # type: ignore[attr-defined]
    assert list(dict.fromkeys(panels)) == ["Find", "Edit", "People", "Keep", "Research"]


def test_every_option_of_query_is_in_a_panel() -> None:
    query = typer.main.get_command(app).commands["query"]  # type: ignore[attr-defined]
    panels = [p.rich_help_panel for p in query.params if p.param_type_name == "option" and p.name != "help"]
    assert list(dict.fromkeys(panels)) == ["Ask", "Limit", "Export", "Expert"]


def test_panels_of_one_command_are_not_those_of_another() -> None:
    export = typer.main.get_command(app).commands["export"]  # type: ignore[attr-defined]
    assert {p.rich_help_panel for p in export.params} == {None}


def test_an_option_in_no_panel_is_refused() -> None:
    def command(word: Annotated[str, typer.Argument()], codes: Codes = Path("codes.h5"), json: Json = False) -> None:
        """Arguments have no panel."""

    with pytest.raises(AssertionError, match="json"):
        in_panels(Ask=("codes",))(command)
    with pytest.raises(AssertionError, match="color"):
        in_panels(Ask=("codes", "json", "color"))(command)
    assert in_panels(Ask=("codes", "json"))(command) is command


def test_methods_are_those_that_there_are() -> None:
    assert [method.value for method in Method] == ["dhh", *METHODS]


def test_a_request_of_a_photo_alone() -> None:
    assert request_of(["ada.jpg"], EMPTY) == Query((FileTerm(Path("ada.jpg")),))


def test_a_request_of_everything() -> None:
    request = request_of(
        ["-", "track:3"],
        io.BytesIO(b"a.jpg\0b.jpg\0"),
        nul=True,
        each=True,
        face=2,
        fuse=Fuse.set,
        also=["bob.jpg"],
        without=["track:4"],
        never=["sister.jpg"],
        globs=["day1/*"],
        after="2024-05-31",
        before="2024-06-01T18:00",
        limits=Limits(0.5, 0.001, 30),
        top=None,
        per_video=1,
        merge=2.0,
        thumbnails=True,
        why=1,
        device=Device.cuda,
        way=FrameDistance.minimum,
    )
    assert request == Query(
        words=(FileTerm(Path("a.jpg")), FileTerm(Path("b.jpg")), TrackTerm(3)),
        each=True,
        face=2,
        fuse=Fuse.set,
        also=(FileTerm(Path("bob.jpg")),),
        without=(TrackTerm(4),),
        never=(FileTerm(Path("sister.jpg")),),
        where=Where(("day1/*",), moment("2024-05-31", "--after"), moment("2024-06-01T18:00", "--before")),
        limits=Limits(0.5, 0.001, 30),
        top=None,
        per_video=1,
        merge=2.0,
        thumbnails=True,
        why=1,
        cuda=True,
        way=FrameDistance.minimum,
    )


def test_a_request_says_what_is_wrong() -> None:
    with pytest.raises(UsageError, match="--after"):
        request_of(["ada.jpg"], EMPTY, after="yesterday")
    with pytest.raises(UsageError, match="twice"):
        request_of(["-", "-"], EMPTY)
    with pytest.raises(NobodyError):
        request_of(["-"], io.BytesIO())


def test_what_is_not_said_is_as_a_request_has_it() -> None:
    request = request_of(["ada.jpg"], EMPTY)
    assert (request.limits, request.where, request.top, request.way) == (NO_LIMITS, EVERYWHERE, 20, None)
