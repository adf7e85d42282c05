"""atomic_write: bytes -> a file that is either the old one or the new one, whole, whatever happens in between."""

import os
import time
from collections.abc import Callable
from glob import escape
from pathlib import Path
from typing import IO, Final

LEFT_FOR: Final = 60.0  # seconds after which a temporary file of a process that is gone is left over


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to a temporary file beside ``path``, fsync, rename over it, fsync the folder."""
    write_stream_atomically(path, lambda file: file.write(data))


def write_stream_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """The same for what is too large to be held: ``write`` is called with the open file."""
    if path.exists() and not path.is_file():  # /dev/null, a pipe: nothing to rename over
        with path.open("wb") as file:
            write(file)
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # not hidden: it may hold what somebody wants erased
    remove_left_over(path)
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


def remove_left_over(path: Path) -> None:
    """Remove what writers of ``path`` left that were killed: temporary files of processes that are gone."""
    for hidden in ("", "."):  # earlier versions hid them
        for left in path.parent.glob(f"{hidden}{escape(path.name)}.*.tmp"):
            number = left.name.removesuffix(".tmp").rpartition(".")[2]
            try:
                if number.isdecimal() and time.time() - left.stat().st_mtime > LEFT_FOR and not _runs(int(number)):
                    left.unlink()
            except OSError:  # another does the same
                continue


def _runs(process: int) -> bool:
    """Whether there is a process of this number; where that cannot be asked, there is."""
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


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
