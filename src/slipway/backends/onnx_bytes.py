"""Reading an ONNX file's structure without the `onnx` package: which operators it names, and which files beside it.

ONNX files are protocol buffers: fields with a number and one of four wire types, nested by length. Only the few fields that
are asked for are looked at; tensors are skipped by their length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Facts", "Malformed", "facts_of"]


class Malformed(Exception):
    """The bytes are no ONNX model."""


class Facts(NamedTuple):
    """What is read of a model.

    Args:
        producer: The library that wrote it, "" where it does not say.
        opsets: The version of each set of operators; "" is ONNX's own.
        makers: Which operator makes an output of the graph, by the output's name.
        external: Files beside the model that hold its weights.
    """

    producer: str
    opsets: dict[str, int]
    makers: dict[str, str]
    external: tuple[str, ...]


_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5
_Field = tuple[int, "int | memoryview"]
# Numbers of fields, from onnx.proto.
_MODEL = {"producer": 2, "graph": 7, "opset": 8, "function": 25}
_GRAPH = {"node": 1, "initializer": 5, "sparse": 15}
_NODE = {"output": 2, "operator": 4, "attribute": 5}
_FUNCTION_NODE = 7
_ATTRIBUTE = {"tensor": (5, 10), "graph": (6, 11), "sparse": (22, 23)}
_TENSOR = {"entry": 13, "location": 14}
_EXTERNAL = 1


def facts_of(data: bytes) -> Facts:
    """What a model says of itself.

    Raises:
        Malformed: The bytes are no ONNX model.
    """
    producer, has_graph = "", False
    opsets: dict[str, int] = {}
    makers: dict[str, str] = {}
    external: set[str] = set()
    for number, value in _fields(memoryview(data)):
        if number == _MODEL["producer"]:
            producer = _text(value)
        elif number == _MODEL["opset"]:
            domain, version = _opset(_inside(value))
            opsets[domain] = version
        elif number == _MODEL["graph"]:
            has_graph = True
            _graph(_inside(value), makers, external)
        elif number == _MODEL["function"]:
            for inner, node in _fields(_inside(value)):
                if inner == _FUNCTION_NODE:
                    _node(_inside(node), {}, external)
    if not has_graph or not opsets:
        raise Malformed("it has no graph of operators")
    return Facts(producer, opsets, makers, tuple(sorted(external)))


def _opset(data: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for number, value in _fields(data):
        if number == 1:
            domain = _text(value)
        elif number == 2 and isinstance(value, int):
            version = value
    return domain, version


def _graph(data: memoryview, makers: dict[str, str], external: set[str]) -> None:
    for number, value in _fields(data):
        if number == _GRAPH["node"]:
            _node(_inside(value), makers, external)
        elif number == _GRAPH["initializer"]:
            _tensor(_inside(value), external)
        elif number == _GRAPH["sparse"]:
            _sparse(_inside(value), external)


def _node(data: memoryview, makers: dict[str, str], external: set[str]) -> None:
    outputs, operator = [], ""
    for number, value in _fields(data):
        if number == _NODE["output"]:
            outputs.append(_text(value))
        elif number == _NODE["operator"]:
            operator = _text(value)
        elif number == _NODE["attribute"]:
            _attribute(_inside(value), external)
    makers.update(dict.fromkeys(outputs, operator))


def _attribute(data: memoryview, external: set[str]) -> None:
    for number, value in _fields(data):
        if isinstance(value, int):
            continue
        if number in _ATTRIBUTE["tensor"]:
            _tensor(value, external)
        elif number in _ATTRIBUTE["graph"]:
            _graph(value, {}, external)
        elif number in _ATTRIBUTE["sparse"]:
            _sparse(value, external)


def _sparse(data: memoryview, external: set[str]) -> None:
    for _, value in _fields(data):
        if isinstance(value, memoryview):
            _tensor(value, external)


def _tensor(data: memoryview, external: set[str]) -> None:
    is_external, names = False, []
    for number, value in _fields(data):
        if number == _TENSOR["location"]:
            is_external = value == _EXTERNAL
        elif number == _TENSOR["entry"]:
            pair = {inner: _text(part) for inner, part in _fields(_inside(value))}
            if pair.get(1) == "location":
                names.append(pair.get(2, ""))
    if is_external:
        external.update(names or [""])


def _fields(data: memoryview) -> Iterator[_Field]:
    place, end = 0, len(data)
    while place < end:
        key, place = _varint(data, place)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if wire == _LENGTH:
            size, place = _varint(data, place)
        elif wire in (_EIGHT, _FOUR):
            size = 8 if wire == _EIGHT else 4
        else:
            raise Malformed(f"it has a field of the unknown kind {wire}")
        if place + size > end:
            raise Malformed("it is cut short")
        yield number, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    found = shift = 0
    while place < len(data) and shift < 70:
        byte = data[place]
        place += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, place
        shift += 7
    raise Malformed("it is cut short")


def _inside(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise Malformed("a number stands where a part is due")
    return value


def _text(value: int | memoryview) -> str:
    return str(_inside(value), "utf-8", "replace")
