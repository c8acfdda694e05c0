"""Constants as bytes: equal bytes mean the same type and the same content, wherever the project lies.

Plain values go through `hashing.canonical`. Functions, classes and modules found inside them are handed to the walk,
which answers with what they are called or what they consist of. What has no content that can be read is refused with
`Opaque`; the walk then looks at the statement that defines it.
"""

import os
import random
import re
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property, partial, partialmethod
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    FunctionType,
    GenericAlias,
    MappingProxyType,
    MethodType,
    ModuleType,
    SimpleNamespace,
    UnionType,
)
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from slipway.code.libraries import is_standard
from slipway.code.project import is_slipway, unwrap
from slipway.hashing import canonical

__all__ = ["Encoder", "Opaque"]

_ATOMS = (type(None), bool, int, float, complex, bytes, bytearray, Decimal, date, timedelta)
_BY_REPR = (range, slice, Fraction, UUID, timezone, type(Ellipsis), type(NotImplemented))
_PLAIN: tuple[type[Any], ...] = (dict, list, set, frozenset, tuple, str, int, float, bytes)
_EMPTY = frozenset({"logging.Logger", "_thread.lock", "_thread.RLock", "threading.Condition", "threading.Event"})
_SOURCES = frozenset(
    {"_ssl", "_sqlite3", "dbm", "mmap", "shelve", "socket", "_socket", "sqlite3", "tarfile", "zipfile"}
)
_TYPING = frozenset({"typing", "_typing"})


class Opaque(Exception):
    """A value whose content cannot be read. Caught within this package, never shown.

    Attributes:
        kind: Its class.
        is_source: Whether it gives something else each time: an open file or database, an iterator, a generator of
            random numbers.
        is_plain: Whether the statement that makes it says all of it.
    """

    def __init__(self, value: object) -> None:
        kind = type(value)
        super().__init__(f"{kind.__module__}.{kind.__qualname__}")
        self.kind = str(self)
        self.is_source = _is_source(value)
        # Python's own classes are as their statement says, but for what reads further each time that it is asked.
        self.is_plain = (is_standard(kind.__module__) or is_slipway(kind.__module__)) and not self.is_source


class Encoder:
    """Turns values into bytes.

    Args:
        refer: Says what a function, class or module is, following it.
        place: The project's folder; paths near it are written relative to it. "" writes all paths as they are.

    Attributes:
        is_fixed: Whether all values seen so far are immutable, so that identity is enough to know them again.
    """

    def __init__(self, refer: Callable[[Any], str], place: str) -> None:
        self.refer = refer
        self.place = place
        self.is_fixed = True
        self._inside: list[int] = []

    def encode(self, value: Any) -> bytes:
        """The bytes of a value.

        Raises:
            Opaque: Something in it has no content that can be read.
        """
        kind = type(value)
        if kind is str:
            return canonical(self._text(value))
        if kind in _ATOMS:
            return canonical(value)
        if kind is tuple:
            return _emit("tuple", *map(self.encode, value))
        if isinstance(value, FunctionType | BuiltinFunctionType | type | ModuleType) or _is_wrapper(value):
            return _emit("ref", self.refer(value).encode())
        scalar = self._scalar(value)
        if scalar is not None:
            return scalar
        if id(value) in self._inside:
            return _emit("again", str(len(self._inside) - self._inside.index(id(value))).encode())
        self.is_fixed = False
        self._inside.append(id(value))
        try:
            return self._container(value) or self._foreign(value) or self._instance(value)
        finally:
            self._inside.pop()

    def _scalar(self, value: Any) -> bytes | None:
        kind = type(value)
        if isinstance(value, Enum):
            return _emit("enum", self.refer(kind).encode(), value.name.encode())
        if isinstance(value, datetime | time):
            # Two zones may tell the same instant and still give another hour.
            # A class below may tell more than it shows as one of these: pandas' have nanoseconds and a unit.
            told = () if kind in (datetime, time) else (self.refer(kind), repr(value), str(getattr(value, "unit", "")))
            return _emit("time", canonical(value), repr(value.tzinfo).encode(), *(part.encode() for part in told))
        if isinstance(value, PurePath):
            return _emit("path", kind.__name__.encode(), canonical(self._text(value.as_posix())))
        if kind in _BY_REPR:
            return _emit(kind.__name__, repr(value).encode())
        if (called := f"{kind.__module__}.{kind.__qualname__}") in _EMPTY:
            return _emit(called)  # loggers and locks hold nothing that an answer could depend on
        if isinstance(value, re.Pattern):
            return _emit("pattern", self.encode(value.pattern), str(value.flags).encode())
        if isinstance(value, ZoneInfo) and value.key is not None:
            return _emit("zone", value.key.encode())
        if isinstance(value, str | int | float | bytes) and not getattr(value, "__dict__", None):
            plain: type = next(base for base in kind.__mro__ if base in (str, int, float, bytes))
            return _emit("sub", self.refer(kind).encode(), canonical(plain(value)))
        return None

    def _container(self, value: Any) -> bytes | None:
        kind = type(value)
        if kind is list:
            return _emit("list", *map(self.encode, value))
        if kind is deque:
            return _emit("deque", repr(value.maxlen).encode(), *map(self.encode, value))
        if kind in (set, frozenset):
            return _emit(kind.__name__, *sorted(map(self.encode, value)))
        if kind in (dict, MappingProxyType):
            # Order counts: a dictionary of columns gives a frame with its columns in that order.
            return _emit(kind.__name__, *(self.encode(part) for item in value.items() for part in item))
        if isinstance(value, _PLAIN):
            plain = next(base for base in kind.__mro__ if base in _PLAIN)
            more = {**vars(value)} if hasattr(value, "__dict__") else {}
            if (factory := getattr(value, "default_factory", None)) is not None:
                more["default_factory"] = factory
            return _emit("sub", self.refer(kind).encode(), self.encode(plain(value)), self.encode(more))
        if isinstance(value, partial | partialmethod):
            return _emit("partial", self.encode(value.func), self.encode(value.args), self.encode(value.keywords))
        if isinstance(value, MethodType):
            return _emit("method", self.encode(value.__func__), self.encode(value.__self__))
        if isinstance(value, property):
            return _emit("property", *map(self.encode, (value.fget, value.fset, value.fdel)))
        if isinstance(value, staticmethod | classmethod):
            return _emit(kind.__name__, self.encode(value.__func__))
        if isinstance(value, cached_property):
            return _emit("cached_property", self.encode(value.func))
        if isinstance(value, SimpleNamespace):
            return _emit("namespace", self.encode(vars(value)))
        if isinstance(value, GenericAlias | UnionType) or kind.__module__ in _TYPING:
            origin, arguments = getattr(value, "__origin__", None), getattr(value, "__args__", None)
            if arguments is None:
                raise Opaque(value)
            return _emit("alias", repr(kind).encode(), self.encode(origin), self.encode(arguments))
        return None

    def _foreign(self, value: Any) -> bytes | None:
        """Arrays and frames, recognised without importing their libraries."""
        kind = type(value)
        library = kind.__module__.partition(".")[0]
        if library not in ("numpy", "polars"):
            return None
        self.refer(kind)
        if library == "numpy":
            return self._numpy(value)
        if kind.__name__ in ("DataFrame", "Series"):
            frame = value if kind.__name__ == "DataFrame" else value.to_frame()
            if "Object" in map(str, frame.dtypes):
                raise Opaque(value)
            return _emit(kind.__name__, repr(frame.schema).encode(), frame.rechunk().write_ipc(None).getvalue())
        if kind.__module__.startswith("polars.datatypes"):
            return _emit("polars", repr(value).encode())
        if kind.__name__ == "Expr" and not re.search("python|map_|lambda", text := str(value)):
            return _emit("expression", text.encode(), value.meta.serialize())
        raise Opaque(value)

    def _numpy(self, value: Any) -> bytes:
        kind = type(value)
        if kind.__name__ == "ndarray" or (hasattr(value, "tobytes") and hasattr(value, "dtype")):
            if value.dtype.hasobject:
                return _emit("array", str(value.shape).encode(), self.encode(value.tolist()))
            return _emit(kind.__name__, repr(value.dtype).encode(), str(value.shape).encode(), value.tobytes())
        if kind.__name__ == "dtype" or kind.__name__.endswith("DType"):
            return _emit("dtype", repr(value).encode())
        if kind.__name__ == "ufunc" and value is vars(sys.modules["numpy"]).get(getattr(value, "__name__", "")):
            return _emit("ufunc", repr(value).encode())
        raise Opaque(value)

    def _instance(self, value: Any) -> bytes:
        kind = type(value)
        if is_dataclass(value):
            held = {field.name: getattr(value, field.name) for field in fields(value)}
            held.update(getattr(value, "__dict__", {}))
        elif isinstance(value, msgspec.Struct):
            held = {name: getattr(value, name) for name in value.__struct_fields__}
        elif kind is object:
            held = {}  # a sentinel: nothing but its identity
        elif (label := self.refer(kind)).startswith("external ") and not _is_parser(kind):
            return self._reduced(value)
        elif label.startswith("external ") or _is_native(kind):
            raise Opaque(value)
        else:
            slots = [name for base in kind.__mro__ for name in _slots(base)]
            held = {name: getattr(value, name) for name in slots if hasattr(value, name)}
            held.update(getattr(value, "__dict__", {}))
            return _emit("instance", label.encode(), self.encode(held))
        return _emit("record", self.refer(kind).encode(), self.encode(held))

    def _reduced(self, value: Any) -> bytes:
        """A library's object by what it would be copied from: its class, arguments and state."""
        if _is_source(value):
            raise Opaque(value)
        try:
            made = value.__reduce_ex__(4)
        except Exception:  # whatever its class raises to say that it cannot be copied
            raise Opaque(value) from None
        if isinstance(made, str):
            raise Opaque(value)
        call, arguments, state, items, pairs = (*made, None, None, None)[:5]
        parts = (call, arguments, state, None if items is None else list(items), None if pairs is None else list(pairs))
        return _emit("made", self.refer(type(value)).encode(), *map(self.encode, parts))

    def _text(self, text: str) -> str:
        place = self.place
        if len(place) > 1:
            if text[:1] == os.sep and "\n" not in text and text.split(os.sep)[1] == place.split(os.sep)[1]:
                return f"{os.sep}project{os.sep}{os.path.relpath(text, place)}"
            return text.replace(place, f"{os.sep}project")
        return text


def _emit(tag: str, *parts: bytes) -> bytes:
    name = tag.encode()
    return b"".join((b"V", struct.pack(">Q", len(name)), name, *(struct.pack(">Q", len(p)) + p for p in parts), b"."))


def _is_wrapper(value: Any) -> bool:
    return not isinstance(value, staticmethod | classmethod) and unwrap(value) is not value


def _is_native(kind: type) -> bool:
    """Whether part of an instance's state may lie outside Python: a base that is neither `object` nor a Python class."""
    return any(base.__flags__ & (1 << 9) == 0 and base is not object for base in kind.__mro__)


def _is_source(value: Any) -> bool:
    """Whether a value gives something else each time that it is asked."""
    top = type(value).__module__.partition(".")[0]
    if top in ("_io", "io") and callable(readable := getattr(value, "readable", None)):
        in_memory = hasattr(value, "getvalue")
        return not in_memory and not value.closed and bool(readable())
    return top in _SOURCES or isinstance(value, Iterator | random.Random)


def _is_parser(kind: type) -> bool:
    """Parsers of arguments hold the program's name; what they are is what their statements say."""
    return any(base.__name__ == "_ActionsContainer" for base in kind.__mro__)


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    private = [f"_{kind.__name__.lstrip('_')}{n}" if n[:2] == "__" and n[-2:] != "__" else n for n in names]
    return tuple(name for name in private if name not in ("__dict__", "__weakref__"))
