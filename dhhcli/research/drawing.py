"""drawing: nothing -> matplotlib's pyplot, which draws without a screen and leaves nothing in anybody's home; pictures.

matplotlib keeps a list of fonts and an empty folder for its settings below HOME. Whoever uses it has them, and they are
used; for everybody else they are made in a temporary folder that goes when dhh ends.
"""

import atexit
import os
import shutil
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

from dhhcli.base.atomic_write import write_atomically
from dhhcli.output.places import check_place


def pyplot() -> Any:
    """``matplotlib.pyplot``, without a screen."""
    if "matplotlib" not in sys.modules and "MPLCONFIGDIR" not in os.environ and not _has_fonts():
        folder = tempfile.mkdtemp(prefix="dhh-fonts-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["MPLCONFIGDIR"] = folder
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as drawing

    return drawing


def write_figure(path: Path, figure: Any) -> None:
    """Write a figure of pyplot as PNG, whole or not at all, and close it. Raises DhhError, OSError."""
    picture = BytesIO()
    figure.savefig(picture, dpi=110, format="png")
    pyplot().close(figure)
    check_place(path)
    write_atomically(path, picture.getvalue())


def _has_fonts() -> bool:
    """Whether there is a list of fonts that matplotlib made for somebody else than dhh."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  (Path.home() raises where there is none)
    caches = (Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "matplotlib", home / ".matplotlib")
    return any(found for cache in caches for found in cache.glob("fontlist-*.json"))
