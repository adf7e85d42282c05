"""rivals: name of a method -> the Method, one of those that the paper's tables compare DHH with.

A module a method, imported when it is asked for: one needs torch, others scikit-learn. Methods that are trained by
gradients are in learning/.
"""

from hashlib import sha256
from importlib import import_module
from pathlib import Path

from ..errors import UsageError
from .protocol import Method

FRAMEWISE = ("lsh", "sh", "itq", "ssh", "dbc", "ksh")  # a code a frame, on the backbone's features
VIDEOWISE = ("cvh", "cmssh", "pdh", "mlbe", "mm-nn", "plmh", "her")  # a code a video
FITTED = (*FRAMEWISE, *VIDEOWISE)
TRAINED = ("dnnh", "dsh", "hashnet", "ddah", "dcbh", "dmh")  # by gradients: a code a frame (trained.py)
METHODS = (*FITTED, *TRAINED)


def method(name: str) -> Method:
    """The method of a name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in METHODS:
        raise UsageError(f"no method called {name!r}; there are {', '.join(METHODS)}")
    if name in TRAINED:
        one: Method = import_module(".trained", __name__).trained_method(name)
        return one
    found: Method = import_module(f".{name.replace('-', '_')}", __name__).METHOD
    return found


def source_of(name: str) -> str:
    """SHA-256 of the modules that only this method is made of: what an earlier form of it gave is not its figure."""
    here = Path(__file__).parent
    learning = here.parent / "learning"
    files = [here / f"{name.replace('-', '_')}.py"] if name in FITTED else []
    if name in TRAINED:
        files = [learning / "featurehash.py", learning / f"{name}.py"]
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
