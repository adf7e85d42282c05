"""extras: names of libraries that only some commands use -> they are there, or a line that says what to install.

``dhhcli[research]`` brings what trains and compares, ``dhhcli[otio]`` what writes OpenTimelineIO,
``dhhcli[review]`` what serves a page, ``dhhcli[heif]`` what reads HEIC photos, ``dhhcli[pictures]`` what draws sixels,
``dhhcli[cluster]`` what works on more than one machine. Nothing is imported.
"""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

from dhhcli.errors import MissingExtraError

MODULES: Final = {
    "research": ("torch", "onnx", "sklearn", "scipy", "matplotlib"),
    "otio": ("opentimelineio",),
    "review": ("starlette", "uvicorn"),
    "heif": ("pi_heif",),
    "cluster": ("distributed",),
    "pictures": ("timg",),
}


def require(extra: str, what: str, modules: Sequence[str] | None = None) -> None:
    """See that the libraries of an extra are installed, before anything is computed.

    what: who asks, as the user knows it ("dhh train"). modules: those of them that it uses; None: all.

    Raises:
        MissingExtraError: one of them is not there.
    """
    missing = [name for name in modules or MODULES[extra] if not _is_there(name)]
    if missing:
        raise MissingExtraError(
            f"{what} needs {', '.join(missing)}, which this installation does without; "
            f'run: pip install "dhhcli[{extra}]"'
        )


def _is_there(name: str) -> bool:
    if name in sys.modules:
        return sys.modules[name] is not None
    return find_spec(name) is not None
