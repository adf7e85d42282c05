"""application: Review -> the ASGI application of the page: its files, and what its script asks for, as JSON."""

import base64
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import files
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from dhhcli.base.text import one_line
from dhhcli.errors import DhhError, MissingPathError, PassingError, UsageError
from dhhcli.review.actions import act, forget_agreed, what_goes
from dhhcli.review.asking import ask, question_in
from dhhcli.review.bodies import read_object
from dhhcli.review.describing import KEY, about_person, about_tracks
from dhhcli.review.exporting import export_picks
from dhhcli.review.pictures import face, media_file, still
from dhhcli.review.state import LARGEST_PHOTO, Review
from dhhcli.review.table import found_people

FILES: Final = {
    "": ("page.html", "text/html"),
    "review.css": ("review.css", "text/css"),
    "review.js": ("review.js", "text/javascript"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
LARGEST_BODY: Final = 8 << 20  # bytes
MOST: Final = 500  # people or tracks at once
Handler = Callable[[Request], Awaitable[Response]]
Answer = Callable[[Review, Request], Any]


def application(review: Review) -> Starlette:
    """Everything behind the guard."""
    asset = [Route(f"/{name}", _said(partial(_asset, what))) for name, what in FILES.items()]
    looks: dict[str, Answer] = {
        "/people": _people,
        "/person/{person:int}": _person,
        "/face/{content:str}/{row:int}": _face,
        "/asked/{photo:int}": _asked_with,
        "/still/{track:str}/{which:str}": _still,
        "/media/{key:str}": _media,
    }
    steps: dict[str, Callable[[Review, dict[str, Any]], Any]] = {
        "/do": act,
        "/ask": lambda review, body: ask(review, question_in(body)),
        "/goes": what_goes,
        "/forget": forget_agreed,
        "/export": _export,
    }
    return Starlette(
        routes=[
            *asset,
            *(Route(path, _said(partial(answer, review))) for path, answer in looks.items()),
            *(Route(path, _step(review, step), methods=["POST"]) for path, step in steps.items()),
            Route("/photo", _photo(review), methods=["POST"]),
        ]
    )


def _said(answer: Callable[[Request], Any]) -> Handler:
    """What is looked at, computed in a thread; an error is one line for the page."""

    async def handler(request: Request) -> Response:
        return await _answered(partial(answer, request))

    return handler


def _step(review: Review, step: Callable[[Review, dict[str, Any]], Any]) -> Handler:
    """What is done by a body of JSON."""

    async def handler(request: Request) -> Response:
        if request.headers.get("content-type") != "application/json":
            return _refused(415, "the page sends JSON")
        data = await _body(request, LARGEST_BODY)
        if data is None:
            return _refused(413, f"more than {LARGEST_BODY:,} bytes")
        return await _answered(lambda: step(review, read_object(data)))

    return handler


def _photo(review: Review) -> Handler:
    async def handler(request: Request) -> Response:
        data = await _body(request, LARGEST_PHOTO)
        if data is None:
            return _refused(413, f"a photo of more than {LARGEST_PHOTO >> 20} MB; make it smaller")

        def kept() -> dict[str, Any]:
            number = review.add_photo(request.query_params.get("name", ""), data)
            photo = review.photo(number)
            return {"photo": number, "name": photo.name, "faces": photo.faces}

        return await _answered(kept)

    return handler


async def _answered(answer: Callable[[], Any]) -> Response:
    try:
        found = await run_in_threadpool(answer)
    except DhhError as error:
        code = 400 if isinstance(error, UsageError) else 404 if isinstance(error, MissingPathError) else 409
        return _refused(503 if isinstance(error, PassingError) else code, str(error))
    except OSError as error:  # a full disk, a file taken away
        return _refused(500, f"{error.filename or ''}: {error.strerror or error}")
    return found if isinstance(found, Response) else JSONResponse(found)


def _refused(code: int, words: str) -> Response:
    return JSONResponse({"error": one_line(words)}, code)


async def _body(request: Request, most: int) -> bytes | None:
    """Everything that was sent; None where it is more than allowed."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > most:
            return None
    return bytes(data)


def _asset(what: tuple[str, str], _request: Request) -> Response:
    return Response(files(__package__).joinpath(what[0]).read_bytes(), media_type=what[1])


def _people(review: Review, request: Request) -> dict[str, Any]:
    table = review.table()
    found = found_people(table, request.query_params.get("find", ""))
    first, count = _slice(request)
    return {
        "content": table.shard.content[:KEY],
        "all": len(table.people),
        "tracks": len(table.number),
        "found": len(found),
        "people": [about_person(table, person) for person in found[first : first + count]],
        "names": sorted(table.names.values()),
        "notes": [*table.notes],
    }


def _person(review: Review, request: Request) -> dict[str, Any]:
    table, person = review.table(), int(request.path_params["person"])
    rows = table.rows(person)
    if not len(rows):
        raise MissingPathError(f"person {person} is no more; go back to the list")
    first, count = _slice(request)
    return {
        "content": table.shard.content[:KEY],
        **about_person(table, person),
        "list": about_tracks(table, rows[first : first + count]),
    }


def _slice(request: Request) -> tuple[int, int]:
    words = [request.query_params.get(key, default) for key, default in (("from", "0"), ("count", "60"))]
    if not all(word.isdecimal() and len(word) < 10 for word in words):
        raise UsageError("from and count are numbers")
    first, count = map(int, words)
    return first, min(count, MOST)


def _face(review: Review, request: Request) -> Response:
    return _jpeg(face(review.table(), request.path_params["content"], int(request.path_params["row"])))


def _asked_with(review: Review, request: Request) -> Response:
    face = request.query_params.get("face", "1")
    if not face.isdecimal() or not 0 < len(face) < 6:
        raise UsageError("face is a number from 1 up")
    return _jpeg(review.look(int(request.path_params["photo"]), int(face)).picture)


def _still(review: Review, request: Request) -> Response:
    return _jpeg(still(review, request.path_params["track"], request.path_params["which"]))


def _jpeg(data: bytes) -> Response:
    if not data:
        return Response(status_code=404)
    return Response(data, media_type="image/jpeg")


def _media(review: Review, request: Request) -> Response:
    """The file, or the range of it that the browser asks for."""
    path, kind = media_file(review.table(), request.path_params["key"])
    return FileResponse(path, media_type=kind)


def _export(review: Review, body: dict[str, Any]) -> dict[str, Any]:
    made = export_picks(review, body)
    return {"name": made.name, "data": base64.b64encode(made.data).decode(), "said": list(made.notes)}
