"""rivals: name of a method -> the Method that the paper's tables, and later work, compare DHH with.

A module a method, imported when it is asked for: some need torch, others scikit-learn.
"""

from importlib import import_module

from ..errors import UsageError
from .protocol import Method

FRAMEWISE = ("lsh", "itq")  # a code a frame, on the backbone's features
VIDEOWISE: tuple[str, ...] = ()  # a code a video, between features and log-covariances
FITTED = (*FRAMEWISE, *VIDEOWISE)
TRAINED = ("dnnh", "dsh", "hashnet", "ddah", "dcbh", "dmh")  # by gradients: a code a frame (trained.py)
METHODS = (*FITTED, *TRAINED)


def method(name: str) -> Method:
    """The method of a name; '-' and '_' are one.

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
