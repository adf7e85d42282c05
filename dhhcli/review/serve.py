"""serve: codes file -> a page on 127.0.0.1 until Ctrl-C; its address is a secret of this run."""

import secrets
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from dhhcli.base.extras import require
from dhhcli.errors import DhhError

HOME = "127.0.0.1"
LAST = 1.0  # seconds that what is being sent has when the program is told to end


def serve(codes: Path, *, port: int = 0, weights: str | None = None, tell: Callable[[str], None]) -> None:
    """Serve the page of a codes file until the process is interrupted.

    Args:
        codes: the codes file.
        port: 0: any that is free.
        weights: name or record of the weights that made it; None: found by their fingerprint.
        tell: called with the address as soon as it answers.

    Raises:
        MissingExtraError: Starlette or uvicorn is not installed.
        DhhError: the port is taken.
        KeyboardInterrupt: the usual end.
        MissingPathError, ShardError, NamesError, WeightsError: as ``people.identities.find_people``.
    """
    require("review", "dhh review")
    import uvicorn

    from dhhcli.review.application import application
    from dhhcli.review.guard import Guard
    from dhhcli.review.state import Review

    with tempfile.TemporaryDirectory(prefix="dhh-review-") as folder, bound(port) as listening:
        review = Review(codes, Path(folder), weights)
        review.table()  # what is wrong is said here, not on the page
        port, token = listening.getsockname()[1], secrets.token_urlsafe(24)
        guarded = Guard(application(review), token, [f"{HOME}:{port}", f"localhost:{port}"])
        server = uvicorn.Server(
            uvicorn.Config(
                guarded,
                http="h11",
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=int(LAST),
            )
        )
        tell(f"http://{HOME}:{port}/{token}/")
        before = signal.getsignal(signal.SIGINT)
        try:
            server.run([listening])  # raises what ended it once more, when everything is closed
        finally:
            signal.signal(signal.SIGINT, before)


def bound(port: int) -> socket.socket:
    """A socket of this machine alone that listens. Raises DhhError where the port is taken."""
    listening = socket.socket()
    try:
        listening.bind((HOME, port))
        listening.listen()  # whoever comes before the server runs waits
    except OSError as error:
        listening.close()
        raise DhhError(f"{HOME}:{port}: cannot be listened on ({error.strerror}); name another --port") from None
    return listening
