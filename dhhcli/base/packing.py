"""packing: plain values, arrays and some dataclasses among them -> bytes that say when they are damaged, and back.

Nothing is run when it is read: JSON, and blocks of numbers behind it. What is made are dataclasses that the reader
names. An object that stands in several places is kept once.
"""

import dataclasses
import hashlib
import json
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

import numpy as np

DIGEST: Final = 32
LENGTH: Final = 8


def pack(value: Any, kinds: Sequence[type] = ()) -> bytes:
    """None, numbers, words, bytes, fractions, arrays of numbers, tuples, lists and dicts of these, dataclasses of
    ``kinds`` -> SHA-256, length of the JSON, JSON, blocks. Raises TypeError for anything else.
    """
    blocks: list[bytes] = []
    made: dict[int, int] = {}
    alive: list[Any] = []  # what has a number may not go, or another object gets its identity

    def block(data: bytes) -> int:
        blocks.append(data)
        return len(blocks) - 1

    def tree(one: Any) -> Any:
        if one is None or type(one) in (bool, int, float, str):
            return one
        if isinstance(one, Fraction):
            return {"ratio": [one.numerator, one.denominator]}
        if isinstance(one, bytes):
            return {"bytes": block(one)}
        if isinstance(one, np.ndarray) and one.dtype.kind in "biuf":
            return {"array": [block(np.ascontiguousarray(one).tobytes()), one.dtype.str, list(one.shape)]}
        if isinstance(one, np.generic) and one.dtype.kind in "biuf":
            return {"number": [one.dtype.str, one.item()]}
        if isinstance(one, tuple):
            return {"tuple": [tree(part) for part in one]}
        if isinstance(one, (list, deque)):
            return [tree(part) for part in one]
        if type(one) is dict:
            return {"dict": [[tree(key), tree(part)] for key, part in one.items()]}
        if type(one) in kinds:
            if id(one) in made:
                return {"same": made[id(one)]}
            fields = {field.name: tree(getattr(one, field.name)) for field in dataclasses.fields(one)}
            made[id(one)] = len(made)
            alive.append(one)
            return {"made": [type(one).__name__, fields]}
        raise TypeError(f"{type(one).__name__} cannot be packed")

    root = tree(value)
    head = json.dumps({"value": root, "lengths": [len(data) for data in blocks]}).encode("ascii")
    body = b"".join([len(head).to_bytes(LENGTH, "little"), head, *blocks])
    return hashlib.sha256(body).digest() + body


def unpack(data: bytes, kinds: Sequence[type] = ()) -> Any:
    """The inverse of ``pack``. Raises ValueError for bytes that are damaged, or not of this form."""
    body = memoryview(data)[DIGEST:]
    if len(body) < LENGTH or hashlib.sha256(body).digest() != data[:DIGEST]:
        raise ValueError("damaged, or not whole")
    try:
        first = LENGTH + int.from_bytes(body[:LENGTH], "little")
        head = json.loads(bytes(body[LENGTH:first]))
        ends = np.cumsum([first, *head["lengths"]], dtype=np.int64).tolist()
        blocks = [bytes(body[start:end]) for start, end in pairwise(ends)]
        return _Reader(blocks, {kind.__name__: kind for kind in kinds}).value(head["value"])
    except (ValueError, TypeError, KeyError, IndexError, ZeroDivisionError, OverflowError, RecursionError) as error:
        raise ValueError(f"not what was expected ({error})") from error


@dataclasses.dataclass
class _Reader:
    blocks: list[bytes]
    kinds: dict[str, type]
    made: list[Any] = dataclasses.field(default_factory=list)

    def value(self, one: Any) -> Any:
        if isinstance(one, list):
            return [self.value(part) for part in one]
        if not isinstance(one, dict):
            return one
        ((what, of),) = one.items()
        match what:
            case "ratio":
                return Fraction(*of)
            case "bytes":
                return self.blocks[of]
            case "array":
                return np.frombuffer(self.blocks[of[0]], _numbers(of[1])).reshape(of[2]).copy()
            case "number":
                return _numbers(of[0]).type(of[1])
            case "tuple":
                return tuple(self.value(part) for part in of)
            case "dict":
                return {self.value(key): self.value(part) for key, part in of}
            case "made":
                new = self.kinds[of[0]](**{name: self.value(part) for name, part in of[1].items()})
                self.made.append(new)
                return new
            case "same":
                return self.made[of]
        raise ValueError(what)


def _numbers(name: str) -> np.dtype[Any]:
    found = np.dtype(name)
    if found.kind not in "biuf":
        raise ValueError(name)
    return found
