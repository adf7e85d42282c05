"""rivals: name of a method -> the Method, one of those that the paper's tables compare DHH with, fitted on features.

A module a method, imported when it is asked for: one needs torch, others scikit-learn. Methods that are trained as
networks are in learning/ and come as weights.
"""

from importlib import import_module

from ..errors import UsageError
from .protocol import Method

FRAMEWISE = ("lsh", "sh", "itq", "ssh", "dbc", "ksh")  # a code a frame, on the backbone's features
VIDEOWISE = ("cvh", "cmssh", "pdh", "mlbe", "mm-nn", "plmh", "her")  # a code a video
METHODS = (*FRAMEWISE, *VIDEOWISE)


def method(name: str) -> Method:
    """The method of a name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in METHODS:
        raise UsageError(f"no method called {name!r}; there are {', '.join(METHODS)}")
    found: Method = import_module(f".{name.replace('-', '_')}", __name__).METHOD
    return found
