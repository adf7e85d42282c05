"""mapping: path here -> path on another machine, as `--map HERE=THERE` says."""

from dataclasses import dataclass
from pathlib import Path

from dhhcli.errors import UsageError


@dataclass(frozen=True)
class Mapping:
    """Where workers find what lies below a folder here."""

    here: Path
    there: Path


@dataclass(frozen=True)
class Cluster:
    """Where the workers are, and where they find files."""

    where: str  # address, or local:N
    mappings: tuple[Mapping, ...] = ()


def parse_mapping(word: str) -> Mapping:
    """``/mnt/a=/data/a``. Raises UsageError for anything else."""
    here, equals, there = word.partition("=")
    if not equals or not Path(here).is_absolute() or not Path(there).is_absolute():
        raise UsageError(f"--map {word}: expected HERE=THERE, two absolute folders: /mnt/films=/data/films")
    return Mapping(Path(here), Path(there))


def path_there(path: Path, mappings: tuple[Mapping, ...]) -> Path:
    """Where a worker finds a file: by the mapping of the longest folder that holds it, else at the same path."""
    path = path if path.is_absolute() else Path.cwd() / path
    fitting = [mapping for mapping in mappings if path.is_relative_to(mapping.here)]
    if not fitting:
        return path
    best = max(fitting, key=lambda mapping: len(mapping.here.parts))
    return best.there / path.relative_to(best.here)
