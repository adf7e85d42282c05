"""config: dhh.toml, here or where $DHH_CONFIG says -> defaults of options; the command line and the environment win.

    codes = "codes.h5"                # of query, export, people, log, info, and what encode adds to
    weights = "dhh-128"
    provider = "CPUExecutionProvider" # of onnxruntime
    folders = ["videos", "people"]    # what encode looks through where nothing is named
    faces = false                     # no small faces below tables, whatever the terminal can do

Paths are taken from the folder that the file lies in.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dhhcli.errors import UsageError

FILE: Final = "dhh.toml"
VARIABLE: Final = "DHH_CONFIG"
PROVIDER: Final = "DHH_PROVIDER"  # base/onnx_session.py reads it


@dataclass(frozen=True)
class Config:
    """What a file sets; None: nothing. path: None where there is no file."""

    path: Path | None = None
    codes: str | None = None
    weights: str | None = None
    provider: str | None = None
    folders: tuple[str, ...] | None = None
    faces: bool | None = None


def read_config() -> Config:
    """The file's values; without a file, none.

    Raises UsageError for a file that $DHH_CONFIG names and that is not there, for what is no TOML, and for a key or
    value that is not known: a default that is silently not taken is worse than none.
    """
    named = os.environ.get(VARIABLE)
    path = Path(named or FILE)
    if not named and not path.is_file():
        return Config()
    import tomllib  # here: most commands find no file

    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: cannot be read as settings ({words}); mend it, or unset {VARIABLE}") from None
    known = ("codes", "weights", "provider", "folders", "faces")
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"{path}: there is no setting {key!r}; known are {', '.join(known)}")
        if key == "folders":
            expected = "a list of paths"
            right = isinstance(value, list) and all(isinstance(one, str) for one in value)
        elif key == "faces":
            expected, right = "true or false", isinstance(value, bool)
        else:
            expected, right = "text", isinstance(value, str)
        if not right:
            raise UsageError(f"{path}: {key} is {value!r}; expected {expected}")
    home = path.absolute().parent
    codes, weights, folders = (values.get(key) for key in ("codes", "weights", "folders"))
    return Config(
        path,
        None if codes is None else str(home / codes),
        str(home / weights) if weights and (weights.endswith(".json") or os.sep in weights) else weights,
        values.get("provider"),
        None if folders is None else tuple(str(home / folder) for folder in folders),
        values.get("faces"),
    )


def defaults_of(commands: Mapping[str, Any], config: Config) -> dict[str, dict[str, Any]]:
    """Command -> option -> value, as click looks them up after the command line and the environment."""
    found: dict[str, dict[str, Any]] = {}
    for name, command in commands.items():
        own = found.setdefault(name, {})
        for option in command.params:
            if option.name == "codes" and not option.required and option.nargs == 1 and config.codes:
                own["codes"] = [config.codes] if option.multiple else config.codes
            if option.name == "weights" and config.weights:
                own["weights"] = [config.weights] if option.multiple else config.weights
            if option.name == "faces" and config.faces is False:  # true is what is done anyway, where it can be
                own["faces"] = False
    if config.codes:
        found["encode"]["out"] = config.codes
    if config.folders:
        found["encode"]["videos"] = list(config.folders)
    return found


def take_provider(config: Config) -> None:
    """Where networks run, for this process and those it starts; the environment wins."""
    if config.provider:
        os.environ.setdefault(PROVIDER, config.provider)
