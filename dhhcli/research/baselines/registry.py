"""registry: name of a method -> the Method, one of those that the paper's tables compare DHH with.

A module a method, imported when it is asked for: one needs torch, others scikit-learn. Methods that are trained by
gradients are in deep/.
"""

from hashlib import sha256
from importlib import import_module
from pathlib import Path

from dhhcli.errors import UsageError
from dhhcli.research.baselines.base import Method
from dhhcli.research.baselines.names import FRAMEWISE, METHODS, TRAINED, VIDEOWISE


def method(name: str) -> Method:
    """The method of a name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in METHODS:
        raise UsageError(f"no method called {name!r}; there are {', '.join(METHODS)}")
    if name in TRAINED:
        from dhhcli.research.baselines.comparison.trained import trained_method

        return trained_method(name)
    found: Method = import_module(_module(name)).METHOD
    return found


def _module(name: str) -> str:
    """Where a method that is fitted, or the loss of one that is trained, is written down."""
    folder = "image" if name in FRAMEWISE else "cross_modal" if name in VIDEOWISE else "deep"
    return f"dhhcli.research.baselines.{folder}.{name.replace('-', '_')}"


def source_of(name: str) -> str:
    """SHA-256 of the modules that only this method is made of: what an earlier form of it gave is not its figure."""
    here = Path(__file__).parent
    own = here / _module(name).removeprefix("dhhcli.research.baselines.").replace(".", "/")
    files = [here / "deep" / "feature_layers.py"] if name in TRAINED else []
    files += [own.with_suffix(".py")] if name in METHODS else []
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
