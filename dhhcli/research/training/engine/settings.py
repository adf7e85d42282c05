"""settings: settings + words like ``joint.steps=300`` -> changed settings."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from dhhcli.errors import UsageError

Settings = TypeVar("Settings")


def change(settings: Settings, changes: Sequence[str]) -> Settings:
    """Settings (frozen dataclasses, perhaps inside one another) with some "name=value" or "part.name=value" replaced.

    Raises:
        UsageError: no such setting, or a value that is not of its kind.
    """
    for words in changes:
        name, equals, text = words.partition("=")
        if not equals:
            raise UsageError(f"--set {words}: expected NAME=VALUE")
        settings = _replace(settings, name.split("."), text, words)
    return settings


def _replace(settings: Any, path: list[str], text: str, words: str) -> Any:
    there = {field.name: getattr(settings, field.name) for field in fields(settings)}
    name, *deeper = path
    if name not in there or is_dataclass(there[name]) != bool(deeper):
        names = [f"{key}.*" if is_dataclass(value) else key for key, value in there.items()]
        raise UsageError(f"--set {words}: no such setting; there are {', '.join(names)}")
    value = there[name]
    if deeper:
        return replace(settings, **{name: _replace(value, deeper, text, words)})
    try:
        return replace(settings, **{name: _parse(text, value)})
    except TypeError:
        raise UsageError(f"--set {words}: {name} is {value!r}, not one number or word; it cannot be set here") from None
    except ValueError:
        kind = type(value).__name__
        raise UsageError(f"--set {words}: {name} is {value!r} by default, expected another {kind}") from None


def _parse(text: str, like: Any) -> bool | int | float | str:
    """Text as a value of the same kind; ValueError where it is none, TypeError for kinds that are not one word."""
    if isinstance(like, bool):
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    if isinstance(like, int | float | str):
        return type(like)(text)
    raise TypeError(type(like))
