"""errors: what can go wrong, one small class each -> one line on stderr and an exit code.

Exit codes of every command (docs/reference/exit-codes.md is written from this):

====  =====================================================================================
0     done; for ``query``: somebody was found
1     an error: nothing was written, the one line on stderr says what and what to do
2     wrong usage (unknown option, missing argument)
3     ``query``: nobody was found, or nobody with a confidence of 0.1, or asked for; ``forget``: nothing to remove
4     ``encode``, ``pack``, ``query --each``: finished, but skipped some inputs or found them incomplete (listed)
130   interrupted (Ctrl-C)
====  =====================================================================================

A message is one line: which file, what was found, what was expected, what to do.
"""

from typing import ClassVar


class DhhError(Exception):
    """Root of every error that dhh raises on purpose; ``str(error)`` is one line for the user."""

    exit_code: ClassVar[int] = 1


class UsageError(DhhError):
    """The options contradict each other or name something impossible."""

    exit_code: ClassVar[int] = 2


class NobodyError(DhhError):
    """There is nobody to look for: what was to name people is empty."""

    exit_code: ClassVar[int] = 3


class MissingExtraError(DhhError):
    """A library that only some commands need is not installed; the message says which extra brings it."""


class MissingPathError(DhhError):
    """A path that was named does not exist, or cannot be read."""


class VideoError(DhhError):
    """A file cannot be decoded as video at all (a video that stops early is a warning instead)."""


class NoVideoError(DhhError):
    """No video was found where videos were named, or a file holds no picture stream."""


class PhotoError(DhhError):
    """A photo cannot be read as an image."""


class NoFaceError(DhhError):
    """No face was found in a photo, or fewer faces than ``--face`` asks for."""


class ShardError(DhhError):
    """A codes file is damaged, foreign, of an unknown version, or refuses what is asked of it."""


class PassingError(ShardError):
    """The codes file cannot be written now, through no fault of its own: somebody else writes it, or the disk is full.

    Whoever can wait tries again.
    """


class IndexFileError(DhhError):
    """An index file is damaged, foreign, or does not belong to its codes file."""


class DeviceError(DhhError):
    """A search was asked to run on a device that is not there."""


class WeightsError(DhhError):
    """Weights are missing, damaged, or not the ones that a codes file was made with."""


class PackError(DhhError):
    """A training pack (HDF5 of face crops) or a protocol file is missing or not what it should be."""


class TrainingError(DhhError):
    """Training cannot start, go on or be resumed as asked."""


class EditError(DhhError):
    """Shots cannot be written in the wanted format: it cannot hold them, or the file or its place is not there."""


class NamesError(DhhError):
    """A name is not known, cannot be given, or the file that holds the names is damaged."""


class ClusterError(DhhError):
    """The machines of ``--cluster`` do not answer, are not alike, or went away."""
