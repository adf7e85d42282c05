"""dhh: find a person in your footage by a photo (deep heterogeneous hashing of face tracks)."""

from dhhcli.base.version import __version__

__all__ = ["__version__"]
