"""skipped: codes file -> the list beside it of files that could not be read, and why."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from dhhcli.base.atomic_write import write_atomically


def is_gone(path: Path) -> bool:
    """Nothing there; a folder that cannot be read is no proof of that."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def skipped_path(codes_path: Path) -> Path:
    """Where the list of skipped files lies, beside the codes."""
    home = codes_path.resolve()
    return home.with_name(f"{home.name}.skipped")


def read_skipped(codes_path: Path) -> dict[Path, str]:
    """Files that the last attempts to encode them skipped, with the reasons; empty where there is no list."""
    try:
        lines = skipped_path(codes_path).read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        return {Path(entry["path"]): str(entry["reason"]) for entry in entries}
    except (OSError, ValueError, TypeError, KeyError):  # a note for people; whoever damages it loses the note
        return {}


def note_skipped(codes_path: Path, tried: Mapping[Path, str | None]) -> None:
    """Remember the reason why a file was skipped, or that it was not (None); the list goes when it is empty."""
    home = codes_path.resolve()
    if not (home.exists() or home.with_name(f"{home.name}.parts").exists()):
        return
    before = read_skipped(codes_path)
    now = {path: reason for path, reason in before.items() if path not in tried and not is_gone(path)}
    now |= {path: reason for path, reason in tried.items() if reason is not None}
    if now == before:
        return
    if now:
        lines = [json.dumps({"path": os.fspath(path), "reason": now[path]}) for path in sorted(now)]
        write_atomically(skipped_path(codes_path), ("\n".join(lines) + "\n").encode())
    else:
        skipped_path(codes_path).unlink(missing_ok=True)
