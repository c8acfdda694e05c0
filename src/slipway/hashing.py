"""Digests of bytes, and the canonical encoding that gives plain values a fingerprint.

Two hashes are kept apart everywhere. A *digest* is blake3 over stored bytes: it de-duplicates and detects damage.
A *fingerprint* is blake3 over what a value means (type, shape, content), independent of how it is stored: it decides
equality in the cache and in a reproduction. Fingerprints of frames are in `schema/fingerprints.py`.
"""

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import blake3
import msgspec

from slipway.errors import InvalidInput

__all__ = ["canonical", "combine", "digest", "digest_file", "fingerprint"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FILE_CHUNK_BYTES = 1 << 20


def digest(data: bytes | bytearray | memoryview) -> str:
    """The storage digest of bytes: 64 hex digits of blake3."""
    return blake3.blake3(data).hexdigest()


def digest_file(path: Path | str) -> str:
    """The storage digest of a file's content, read in chunks of 1 MiB."""
    hasher = blake3.blake3()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(_FILE_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def fingerprint(value: object) -> str:
    """The logical fingerprint of a plain value: 64 hex digits.

    Raises:
        InvalidInput: The value holds something that has no canonical encoding.
    """
    return digest(canonical(value))


def combine(*parts: str) -> str:
    """One fingerprint of several strings, each delimited, so that ("ab", "c") and ("a", "bc") differ."""
    return digest(canonical(parts))


def canonical(value: object) -> bytes:
    """Encode a plain value so that equal bytes mean the same type and the same content.

    1, "1", True and 1.0 differ; 0.0 and -0.0 differ; all NaN are one; mappings and sets are ordered by their encoded
    keys; everything is length-prefixed. Dataclasses, msgspec structs, members of enums and subclasses of tuple carry
    their class's name. An aware time counts with its zone, for its hour depends on it.

    Args:
        value: None, bool, int, float, complex, str, bytes, Decimal, date, time, datetime, timedelta, Path, Enum, list,
            tuple, set, frozenset, mapping, dataclass, msgspec struct, class or function-free combination of these.

    Raises:
        InvalidInput: Something in it has no canonical encoding.
    """
    out: list[bytes] = []
    _encode(value, out, set())
    return b"".join(out)


def _emit(out: list[bytes], tag: bytes, payload: bytes) -> None:
    out.append(tag + struct.pack(">Q", len(payload)) + payload)


def _encode(value: Any, out: list[bytes], inside: set[int]) -> None:
    scalar = _scalar(value)
    if scalar is not None:
        _emit(out, *scalar)
        return
    if id(value) in inside:
        raise InvalidInput(
            f"A {type(value).__name__} that contains itself has no fingerprint.",
            fix="Pass a value without cycles.",
        )
    inside.add(id(value))
    try:
        tag, payload = _container(value, inside)
    finally:
        inside.discard(id(value))
    _emit(out, tag, payload)


def _scalar(value: Any) -> tuple[bytes, bytes] | None:
    kind = type(value)
    if value is None:
        return b"N", b""
    if kind is bool:
        return b"B", b"\x01" if value else b"\x00"
    if kind is int:
        return b"I", str(value).encode()
    if kind is float:
        return b"F", b"nan" if math.isnan(value) else struct.pack(">d", value)
    if kind is str:
        return b"S", value.encode("utf-8", "surrogatepass")
    if kind in (bytes, bytearray):
        return b"Y", bytes(value)
    return _rarer_scalar(value)


def _rarer_scalar(value: Any) -> tuple[bytes, bytes] | None:
    if isinstance(value, Enum):
        return b"E", _member(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return b"n", (value.isoformat(timespec="microseconds") + _fold(value)).encode()
        return b"t", (str((value - _EPOCH) // timedelta(microseconds=1)) + _zone(value) + _fold(value)).encode()
    if isinstance(value, date):
        return b"d", value.isoformat().encode()
    if isinstance(value, time):
        return b"h", (value.isoformat(timespec="microseconds") + _zone(value) + _fold(value)).encode()
    if isinstance(value, timedelta):
        return b"u", str(value // timedelta(microseconds=1)).encode()
    if isinstance(value, Decimal):
        return b"D", str(value).encode()
    if isinstance(value, complex):
        return b"C", struct.pack(">dd", value.real, value.imag)
    if isinstance(value, PurePath):
        return b"P", value.as_posix().encode()
    return None


def _member(value: Enum) -> bytes:
    kind = type(value)
    name = f"{kind.__module__}:{kind.__qualname__}.{value.name}".encode()
    try:
        content = canonical(value.value)
    except InvalidInput:  # its name is then all that can be compared
        content = b""
    return struct.pack(">Q", len(name)) + name + content


def _zone(value: datetime | time) -> str:
    """What a zone adds to the instant: another hour, and another sum of days across a change of the clocks.

    UTC adds nothing, whatever class stands for it: that is how instants are stored.
    """
    if value.tzinfo is None or (not value.utcoffset() and str(value.tzinfo) == "UTC"):
        return ""
    return f" {value.utcoffset()} {value.tzinfo!r}"


def _fold(value: datetime | time) -> str:
    return " fold" if value.fold else ""


def _container(value: Any, inside: set[int]) -> tuple[bytes, bytes]:
    if isinstance(value, list):
        return b"L", _sequence(value, inside)
    if isinstance(value, tuple):
        if type(value) is not tuple:
            kind = f"{type(value).__module__}:{type(value).__qualname__}"
            return b"G", _sequence((kind, *map(str, getattr(value, "_fields", ()))), inside) + _sequence(value, inside)
        return b"T", _sequence(value, inside)
    if isinstance(value, set | frozenset):
        return b"X", b"".join(sorted(_one(item, inside) for item in value))
    if isinstance(value, Mapping):
        return b"M", _mapping(value, inside)
    name = type(value).__qualname__.encode()
    if is_dataclass(value) and not isinstance(value, type):
        content = {f.name: getattr(value, f.name) for f in dataclass_fields(value)}
    elif isinstance(value, msgspec.Struct):
        content = {f: getattr(value, f) for f in value.__struct_fields__}
    else:
        raise InvalidInput(
            f"A value of type {type(value).__module__}.{type(value).__qualname__} has no fingerprint.",
            why="Only plain values, dataclasses, structs and frames can be compared by content.",
            fix="Pass plain values, or let the step build the object itself.",
        )
    return b"R", struct.pack(">Q", len(name)) + name + _mapping(content, inside)


def _one(item: Any, inside: set[int]) -> bytes:
    out: list[bytes] = []
    _encode(item, out, inside)
    return b"".join(out)


def _sequence(items: Iterable[Any], inside: set[int]) -> bytes:
    out: list[bytes] = []
    for item in items:
        _encode(item, out, inside)
    return b"".join(out)


def _mapping(items: Mapping[Any, Any], inside: set[int]) -> bytes:
    return b"".join(sorted(_one(key, inside) + _one(item, inside) for key, item in items.items()))
