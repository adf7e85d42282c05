"""dhh: find a person in your footage by a photo (deep heterogeneous hashing of face tracks).

Read along the way of the data: media -> faces -> models -> storage -> encoding, then index -> search and people ->
output. The command line (cli) is on top, base is below; research (training, evaluation, rivals) is apart.
"""

from dhhcli.base.version import __version__

__all__ = ["__version__"]
