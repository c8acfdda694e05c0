"""One tensor of the Open Inference Protocol: its values out of JSON, or out of the bytes behind it."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from slipway.errors import InvalidInput

__all__ = ["DATATYPES", "Tensor", "binary_values", "json_values"]

_BYTES = "BYTES"
DATATYPES: Mapping[str, tuple[str, type]] = {
    "BOOL": ("?", bool),
    "INT8": ("b", int),
    "INT16": ("h", int),
    "INT32": ("i", int),
    "INT64": ("q", int),
    "UINT8": ("B", int),
    "UINT16": ("H", int),
    "UINT32": ("I", int),
    "UINT64": ("Q", int),
    "FP16": ("e", float),
    "FP32": ("f", float),
    "FP64": ("d", float),
    _BYTES: ("", str),
}
"""Their letters for `struct`, and what their values are in Python."""


class Tensor(msgspec.Struct, frozen=True):
    """An input: `{"name", "shape", "datatype", "data"}`."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = msgspec.UNSET
    parameters: dict[str, Any] = {}


def json_values(tensor: Tensor, count: int) -> list[Any]:
    """The values of `data`, flat or one list a row; null is None.

    Raises:
        InvalidInput: They are not as many as the shape says, or one is of another type than the tensor.
    """
    data = tensor.data
    if not isinstance(data, list):
        raise _refused(tensor, "has no list 'data'", "Send its values, or 'binary_data_size' and its bytes.")
    if len(tensor.shape) == 2 and data and isinstance(data[0], list):
        for row, one in enumerate(data):
            if not isinstance(one, list) or len(one) != 1:
                raise _refused(tensor, f"has no list of one value at data[{row}]", "Its shape says one value a row.")
        data = [one[0] for one in data]
    if len(data) != count:
        raise _refused(tensor, f"has {len(data)} values, and its shape is {tensor.shape}", "One value a row.")
    kind = DATATYPES[tensor.datatype][1]
    taken = (float, int) if kind is float else (kind,)
    for row, value in enumerate(data):
        if value is not None and type(value) not in taken:
            raise _refused(
                tensor, f"is {tensor.datatype}, and data[{row}] is not", "Null is the one other value there."
            )
    return data


def binary_values(tensor: Tensor, count: int, given: bytes) -> Sequence[Any]:
    """The values of a tensor's bytes, little-endian and row after row; texts each behind their length.

    Raises:
        InvalidInput: They are not as many as the shape says, or a text is not UTF-8.
    """
    if tensor.datatype == _BYTES:
        return _texts(tensor, count, given)
    layout = struct.Struct(f"<{count}{DATATYPES[tensor.datatype][0]}")
    if layout.size != len(given):
        raise _refused(tensor, f"has {len(given)} bytes for {count} values of {tensor.datatype}", "One value a row.")
    return layout.unpack(given)


def _texts(tensor: Tensor, count: int, given: bytes) -> list[str]:
    texts: list[str] = []
    at = 0
    while at < len(given):
        end = at + 4 + int.from_bytes(given[at : at + 4], "little")
        if at + 4 > len(given) or end > len(given) or len(texts) == count:
            break
        try:
            texts.append(given[at + 4 : end].decode())
        except UnicodeDecodeError as problem:
            raise _refused(
                tensor, f"has a text at {len(texts)} that is not UTF-8", "Encode texts in UTF-8."
            ) from problem
        at = end
    if at != len(given) or len(texts) != count:
        raise _refused(
            tensor, f"does not hold {count} texts in its {len(given)} bytes", "Each text follows its length in 4 bytes."
        )
    return texts


def _refused(tensor: Tensor, said: str, fix: str) -> InvalidInput:
    name = tensor.name[:80]
    return InvalidInput(f"The tensor inputs.{name} {said}.", fix=fix, field=f"inputs.{name}")
