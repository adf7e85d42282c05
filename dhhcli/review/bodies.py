"""bodies: what a page sends, JSON -> values that are what they are called, or a UsageError that says which is not."""

import json
from typing import Any

from dhhcli.errors import UsageError

MOST = 100_000  # values of a list


def read_object(data: bytes) -> dict[str, Any]:
    """The object of a body. Raises UsageError."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UsageError("what the page sent is no JSON object; reload it")
    return value


def text_in(value: dict[str, Any], key: str) -> str:
    """A text, "" where there is none."""
    found = value.get(key, "")
    if not isinstance(found, str):
        raise UsageError(f"{key} is {str(found)[:40]!r}; expected a text")
    return found


def number_in(value: dict[str, Any], key: str, default: int = 0) -> int:
    """A number from 0 up."""
    found = value.get(key, default)
    if type(found) is not int or not 0 <= found < 1 << 31:
        raise UsageError(f"{key} is {str(found)[:40]!r}; expected a number")
    return found


def texts_in(value: dict[str, Any], key: str) -> tuple[str, ...]:
    """A list of texts."""
    found = value.get(key, [])
    if not isinstance(found, list) or len(found) > MOST or not all(isinstance(one, str) for one in found):
        raise UsageError(f"{key} is {str(found)[:40]!r}; expected a list of texts")
    return tuple(found)


def numbers_in(value: dict[str, Any], key: str) -> tuple[int, ...]:
    """A list of numbers from 0 up."""
    found = value.get(key, [])
    whole = isinstance(found, list) and len(found) <= MOST and all(type(one) is int and one >= 0 for one in found)
    if not whole:
        raise UsageError(f"{key} is {str(found)[:40]!r}; expected a list of numbers")
    return tuple(found)
