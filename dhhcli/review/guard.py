"""guard: an ASGI application -> the same behind a token: no other page, host or origin gets anything from it.

The page is on 127.0.0.1, where every program and every web page that a browser of this machine shows may knock. So the
first part of every path is a secret; the Host header has to be ours (a name that somebody points at 127.0.0.1 is not);
and what a browser says of who asks (Origin, Sec-Fetch-Site) has to be our own page. Whoever lacks one of these is told
nothing, not even what was wrong.
"""

import secrets
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",  # what is forgotten must not lie on in a browser's cache
}


class Guard:
    """The application that is asked first. ``hosts``: what the Host header may be, "127.0.0.1:8000"."""

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str]) -> None:
        self.app, self.token, self.hosts = app, token, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on without its token, or refuse it."""
        if scope["type"] == "lifespan":  # of the server itself
            await self.app(scope, receive, send)
        if scope["type"] != "http":  # there are no web sockets
            return
        token, _, rest = str(scope["path"]).removeprefix("/").partition("/")
        if not (self._is_ours(scope) and secrets.compare_digest(token.encode(), self.token.encode())):
            refused = PlainTextResponse("there is nothing here\n", 404, HEADERS)
            await refused(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        path = f"/{rest}"
        await self.app({**scope, "path": path, "raw_path": path.encode()}, receive, sent)

    def _is_ours(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return False
        if origins and origins != [f"http://{hosts[0]}"]:
            return False
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        return bool(origins) or scope["method"] in ("GET", "HEAD")  # browsers say who posts
