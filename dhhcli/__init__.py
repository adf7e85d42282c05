"""dhh: find a person in your footage by a photo (deep heterogeneous hashing of face tracks).

Read along the way of the data: media -> faces -> models -> storage -> encoding, then index -> search and people ->
output. The command line (cli) is on top, and beside output the same for Python programs (library); base is below;
research (training, evaluation, rivals) is apart.

What `__all__` names is for other programs and keeps its meaning; it is imported when it is first asked for. Everything
else may change from one minor version to the next.
"""

from typing import TYPE_CHECKING

from dhhcli.base.version import __version__ as __version__

__all__ = ["Library", "Hit", "Person", "load_network", "open_video", "log_covariance", "hamming", "DhhError"]  # noqa: RUF022  (most used first)

if TYPE_CHECKING:
    from dhhcli.errors import DhhError
    from dhhcli.library import Library
    from dhhcli.media.video import open_video
    from dhhcli.models.binary_codes import hamming
    from dhhcli.models.log_covariance import log_covariance
    from dhhcli.models.network import load_network
    from dhhcli.people.identities import Person
    from dhhcli.search.exact import Hit
else:  # a type checker would take every name for one that is there
    _HOMES = {
        "Library": "dhhcli.library",
        "Hit": "dhhcli.search.exact",
        "Person": "dhhcli.people.identities",
        "load_network": "dhhcli.models.network",
        "open_video": "dhhcli.media.video",
        "log_covariance": "dhhcli.models.log_covariance",
        "hamming": "dhhcli.models.binary_codes",
        "DhhError": "dhhcli.errors",
    }

    def __getattr__(name: str) -> object:
        """What `__all__` names, imported now (PEP 562). Raises AttributeError for anything else."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        globals()[name] = found = getattr(import_module(_HOMES[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
