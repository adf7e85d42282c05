"""runtime: nothing -> versions of everything that may change a code, so that machines and runs can be told apart."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from dhhcli.base.version import __version__

LIBRARIES: Final = ("av", "numpy", "onnxruntime", "opencv-python-headless")


def runtime() -> dict[str, str]:
    """What has to be the same for the same codes: name -> version of dhh and of libraries, and the processor's kind."""
    return {"dhh": __version__, "machine": platform.machine(), **{name: _installed(name) for name in LIBRARIES}}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
