"""onnx_file: bytes of an ONNX file -> nothing, or why such a graph is not run: it reads other files, or need not end.

Networks come from other people too, and onnxruntime does what a graph says: a tensor may lie in any file of this
machine (external data), a loop may take years, a function may call another twice at each of forty levels. No network of
ours has any of that. How much memory a graph takes is seen when it is tried (extractor.py).

The format is protobuf: fields of a number and a kind each. Only what has to be looked into is read, by the numbers that
onnx.proto gives it.
"""

from collections.abc import Iterator
from typing import Final

LARGEST: Final = 1 << 29  # bytes of a file
DEEPEST: Final = 8  # messages in messages
MOST_NODES: Final = 20_000
DOMAINS: Final = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # of operators
NEVER: Final = ("If", "Loop", "Scan", "SequenceMap", "Optional", "SequenceConstruct", "StringConcat", "RegexFullMatch")
# kind of message -> number of a field -> kind of the message in it
_INSIDE: Final = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
# what must not be there: kind of message, number of the field -> words
_REFUSED: Final = {
    ("model", 20): "is to be trained on",
    ("model", 25): "has functions of its own",
    ("attribute", 6): "has graphs inside of operators",
    ("attribute", 11): "has graphs inside of operators",
    ("tensor", 13): "has tensors in other files (external data)",
}


def check_graph(data: bytes) -> None:
    """Raises ValueError, in words about the graph, for one that is not to be run, or no ONNX at all."""
    if len(data) > LARGEST:
        raise ValueError(f"has {len(data):,} bytes, at most {LARGEST:,} are read")
    if not _check(memoryview(data), "model", 0):
        raise ValueError("is no network in ONNX")


def _check(message: memoryview, kind: str, depth: int) -> int:
    """Look through a message; how many nodes there are in it."""
    if depth > DEEPEST:
        raise ValueError("is nested too deeply")
    inside = _INSIDE.get(kind, {})
    nodes = int(kind == "node")
    for number, value in _fields(message):
        if (kind, number) in _REFUSED or (kind == "tensor" and number == 14 and value not in (0, b"")):
            raise ValueError(_REFUSED.get((kind, number), "has tensors in other files (external data)"))
        if kind == "node" and not isinstance(value, int):
            if number == 4 and (operator := bytes(value).decode("utf-8", "replace")) in NEVER:
                raise ValueError(f"has the operator {operator!r}, which may go on without end")
            if number == 7 and (domain := bytes(value).decode("utf-8", "replace")) not in DOMAINS:
                raise ValueError(f"has operators of {domain[:40]!r}, which are not known")
        if number in inside:
            if isinstance(value, int):
                raise ValueError("is no network in ONNX")
            nodes += _check(value, inside[number], depth + 1)
        if nodes > MOST_NODES:
            raise ValueError(f"has more than {MOST_NODES:,} operators")
    return nodes


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of every field: a number, or bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if not 8 <= key < 1 << 32:  # onnxruntime would drop the bits above, and see another field than is seen here
            raise ValueError("is no network in ONNX")
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError("is no network in ONNX")
        if at + length > len(message):
            raise ValueError("is cut short")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("is cut short")
