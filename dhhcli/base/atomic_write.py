"""atomic_write: bytes -> a file that is either the old one or the new one, whole, whatever happens in between."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to a temporary file beside ``path``, fsync, rename over it, fsync the folder."""
    write_stream_atomically(path, lambda file: file.write(data))


def write_stream_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """The same for what is too large to be held: ``write`` is called with the open file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` survive a power cut (it changes the folder, not the file).

    Windows opens no folders, and its file systems journal a rename by themselves.
    """
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
