"""Tensors by name in one file, in the form of safetensors: a header in JSON, then their bytes; reading it runs no code."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import torch

from slipway.errors import Corrupt, InvalidInput

__all__ = ["packed", "unpacked"]

_KINDS = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_NAMES = {kind: name for name, kind in _KINDS.items()}
_LENGTH_BYTES = 8


class _Place(msgspec.Struct, frozen=True):
    """Where a tensor lies: its type, its shape, and from which byte to which after the header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def packed(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The bytes of a file that holds tensors; equal for equal tensors.

    Raises:
        InvalidInput: One is of a type that the form does not know.
    """
    places, parts, start = {}, [], 0
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        if tensor.dtype not in _NAMES:
            raise InvalidInput(
                f"The network's {name!r} is of type {tensor.dtype}.",
                why=f"What is kept: {', '.join(str(kind) for kind in _NAMES)}.",
            )
        parts.append(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        stop = start + len(parts[-1])
        places[name] = _Place(_NAMES[tensor.dtype], tuple(tensor.shape), (start, stop))
        start = stop
    header = msgspec.json.encode(places)
    header += b" " * (-len(header) % _LENGTH_BYTES)  # so that what follows is aligned
    return b"".join([len(header).to_bytes(_LENGTH_BYTES, "little"), header, *parts])


def unpacked(data: bytes, name: str) -> dict[str, torch.Tensor]:
    """The tensors of a file.

    Args:
        data: Its bytes.
        name: What the file is called in an error.

    Raises:
        Corrupt: It is not what `packed` writes.
    """
    begin = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    try:
        places = msgspec.json.decode(data[_LENGTH_BYTES:begin], type=dict[str, _Place])
    except msgspec.MsgspecError as problem:
        raise Corrupt(f"{name} does not begin with a header of safetensors: {problem}.") from problem
    return {called: _tensor(data[begin:], place, f"{called!r} in {name}") for called, place in places.items()}


def _tensor(data: bytes, place: _Place, what: str) -> torch.Tensor:
    start, stop = place.data_offsets
    kind = _KINDS.get(place.dtype)
    if kind is None or min(place.shape, default=0) < 0:
        raise Corrupt(f"The tensor {what} is of type {place.dtype!r} and shape {place.shape}.")
    if not 0 <= start <= stop <= len(data) or stop - start != math.prod(place.shape) * kind.itemsize:
        raise Corrupt(f"The tensor {what} lies from byte {start} to {stop}, which does not fit its shape or the file.")
    if start == stop:
        return torch.empty(place.shape, dtype=kind)
    return torch.frombuffer(bytearray(data[start:stop]), dtype=kind).reshape(place.shape)
