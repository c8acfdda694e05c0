"""Plain values as JSON that keeps their types: a tuple comes back as a tuple, 1 and 1.0 stay apart.

JSON's own types are written as they are; everything else is `{"$": tag, "v": content}`. Parts that have a format of
their own (frames, arrays) are left to the caller as numbered leaves.
"""

import base64
import importlib
import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec

from slipway.errors import Corrupt, InvalidInput

__all__ = ["class_named", "class_path", "dump", "restore"]

_INT64 = 1 << 63
_TIMES = (datetime, date, time, timedelta)


def dump(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """The value as JSON's own types.

    Args:
        value: Any value.
        leaf: Takes a part that has no plain form; returns plain JSON that stands in its place.
    """
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if -_INT64 <= value < _INT64 else {"$": "int", "v": str(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$": "float", "v": str(value)}
    if kind is list:
        return [dump(item, leaf) for item in value]
    if kind is tuple:
        return {"$": "tuple", "v": [dump(item, leaf) for item in value]}
    if kind is dict:
        if "$" not in value and all(type(key) is str for key in value):
            return {key: dump(item, leaf) for key, item in value.items()}
        return {"$": "dict", "v": [[dump(key, leaf), dump(item, leaf)] for key, item in value.items()]}
    if kind in (set, frozenset):
        items = [dump(item, leaf) for item in value]
        return {"$": kind.__name__, "v": sorted(items, key=msgspec.json.encode)}
    return _rarer(value, kind, leaf)


def _rarer(value: Any, kind: type, leaf: Callable[[Any], Any]) -> Any:
    if kind in (bytes, bytearray):
        return {"$": kind.__name__, "v": base64.b64encode(value).decode()}
    if kind in _TIMES:
        written = _dump_time(value)
        return {"$": "leaf", "v": leaf(value)} if written is None else written
    if kind is Decimal or kind is complex:
        return {"$": kind.__name__, "v": str(value)}
    if kind is type(Path()):
        return {"$": "Path", "v": str(value)}
    if "<locals>" not in kind.__qualname__:
        if isinstance(value, Enum):
            return {"$": "enum", "class": class_path(kind), "v": value.name}
        names = _field_names(value)
        if names is not None:
            content = {name: dump(getattr(value, name), leaf) for name in names}
            return {"$": "object", "class": class_path(kind), "v": content}
    return {"$": "leaf", "v": leaf(value)}


def _dump_time(value: Any) -> dict[str, Any] | None:
    kind = type(value).__name__
    if isinstance(value, timedelta):
        return {"$": kind, "v": value // timedelta(microseconds=1)}
    zone = getattr(value, "tzinfo", None)
    written = {"$": kind, "v": value.isoformat()}
    if zone is None or zone is UTC:
        return written | ({"fold": 1} if getattr(value, "fold", 0) else {})
    if type(zone) is ZoneInfo and zone.key and isinstance(value, datetime):
        return {"$": kind, "v": value.replace(tzinfo=None).isoformat(), "zone": zone.key, "fold": value.fold}
    return written if type(zone) is timezone and not value.fold else None


def _field_names(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return tuple(value._fields)
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if is_dataclass(value) and not hasattr(value, "__dict__"):
        return tuple(f.name for f in fields(value))
    if is_dataclass(value) and set(vars(value)) == {f.name for f in fields(value)}:
        return tuple(f.name for f in fields(value))
    return None


def restore(written: Any, leaf: Callable[[Any], Any]) -> Any:
    """The value that `dump` wrote.

    Args:
        written: JSON's own types.
        leaf: The part that is kept under what stands in its place.

    Raises:
        Corrupt: It was not written by `dump`, or a class in it is gone or has changed.
    """
    if isinstance(written, list):
        return [restore(item, leaf) for item in written]
    if not isinstance(written, dict):
        return written
    if "$" not in written:
        return {key: restore(item, leaf) for key, item in written.items()}
    try:
        return _restore_tagged(written, leaf)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise Corrupt(f"A stored {written.get('$')} cannot be read: {problem}.") from problem


def _restore_tagged(written: dict[str, Any], leaf: Callable[[Any], Any]) -> Any:
    tag, content = written["$"], written["v"]
    if tag == "leaf":
        return leaf(content)
    if tag == "dict":
        return {restore(key, leaf): restore(item, leaf) for key, item in content}
    if tag in ("tuple", "set", "frozenset"):
        items = [restore(item, leaf) for item in content]
        return tuple(items) if tag == "tuple" else set(items) if tag == "set" else frozenset(items)
    if tag == "enum":
        return class_named(written["class"])[content]
    if tag == "object":
        return _restore_object(class_named(written["class"]), {k: restore(v, leaf) for k, v in content.items()})
    return _restore_scalar(tag, written)


def _restore_scalar(tag: str, written: dict[str, Any]) -> Any:
    content = written["v"]
    if tag in ("bytes", "bytearray"):
        data = base64.b64decode(content)
        return data if tag == "bytes" else bytearray(data)
    if tag == "timedelta":
        return timedelta(microseconds=content)
    if tag in ("datetime", "date", "time"):
        kinds: dict[str, Any] = {"datetime": datetime, "date": date, "time": time}
        moment = kinds[tag].fromisoformat(content)
        if "zone" in written:
            moment = moment.replace(tzinfo=ZoneInfo(written["zone"]))
        return moment.replace(fold=written["fold"]) if "fold" in written else moment
    plain: dict[str, Callable[[str], Any]] = {
        "int": int,
        "float": float,
        "Decimal": Decimal,
        "complex": complex,
        "Path": Path,
    }
    return plain[tag](content)


def _restore_object(cls: Any, content: dict[str, Any]) -> Any:
    if not is_dataclass(cls):
        return cls(**content)
    if {f.name for f in fields(cls)} != set(content):
        raise Corrupt(f"The fields of {cls} have changed since a value of it was stored.")
    made: Any = object.__new__(cast("type", cls))
    for name, item in content.items():
        object.__setattr__(made, name, item)
    return made


def class_path(cls: type) -> str:
    """A class as `module:qualname`."""
    return f"{cls.__module__}:{cls.__qualname__}"


def class_named(path: str) -> Any:
    """The class that `class_path` wrote.

    Raises:
        Corrupt: It is not there any more.
        InvalidInput: It is no such path.
    """
    module, colon, qualname = path.partition(":")
    if not colon:
        raise InvalidInput(f"{path!r} does not name a class.", why="Expected is `module:qualname`.")
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as problem:
        raise Corrupt(f"A stored value needs {path}, which is not there any more: {problem}.") from problem
    return found
