"""Logical fingerprints of values: equal when type, shape, names, order and values are equal, however they are stored.

Frames are hashed in `frame_digests`; this file walks through values that may hold frames, arrays and objects.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import blake3
import msgspec
import numpy as np
import polars as pl

from slipway.errors import InvalidInput
from slipway.hashing import fingerprint
from slipway.schema.estimator_state import is_estimator_part, name_of, state_of
from slipway.schema.frame_digests import add_numbers, of_frame

__all__ = ["of_argument", "of_frame", "of_value"]

_ATOMS = (bool, int, float, str, bytes)
_CONTAINERS = (list, tuple, set, frozenset, Mapping, msgspec.Struct)
_FRAMES = (pl.DataFrame, pl.LazyFrame, pl.Series)
_ARRAYS = (np.ndarray, np.matrix, np.memmap, np.recarray)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A part of a value that has its own fingerprint, in the place of that part."""

    kind: str
    content: Any


def of_value(value: object) -> str:
    """The logical fingerprint of a value: 64 hex digits.

    Args:
        value: A Polars or pandas frame or series, a numpy array or scalar, an estimator of
            scikit-learn or LightGBM, an object with a method `slipway_fingerprint() -> str`, whatever `hashing.canonical` takes, or lists, tuples, mappings, sets,
            dataclasses and msgspec structs of these. The order of a mapping counts, and its class.

    Raises:
        InvalidInput: Something in it has no fingerprint.
    """
    return fingerprint(_Reader(codes=False).plain(value))


def of_argument(value: object) -> tuple[str, tuple[type, ...]]:
    """The fingerprint of what a step is given, and the classes of the objects in it.

    It is `of_value` and counts the codes of Polars categories too. Classes matter because their methods are code that
    the step may call.

    Args:
        value: What `of_value` takes.

    Raises:
        InvalidInput: Something in it has no fingerprint.
    """
    reader = _Reader(codes=True)
    return fingerprint(reader.plain(value)), tuple(reader.classes)


class _Reader:
    """Replaces what `canonical` does not know by leaves, and gathers the classes met on the way.

    Args:
        codes: Whether the codes of Polars categories count, which code can read and which differ between processes.
    """

    def __init__(self, codes: bool) -> None:
        self.classes: dict[type, None] = {}
        self._codes = codes
        self._inside: set[int] = set()
        self._estimators = 0  # inside how many estimators we are: there names of classes stand for them

    def plain(self, value: Any) -> Any:
        """The value with frames, arrays, mappings and objects replaced by leaves."""
        kind = type(value)
        if value is None or kind in _ATOMS:
            return value
        if isinstance(value, Enum):
            self.classes[kind] = None
            return value
        leaf = self._leaf(value)
        if leaf is not None:
            return leaf
        if not isinstance(value, _CONTAINERS) and not is_dataclass(value):
            return value
        if isinstance(value, type) or id(value) in self._inside:
            return value  # `canonical` has the sentence for both
        self._inside.add(id(value))
        try:
            return self._container(value)
        finally:
            self._inside.discard(id(value))

    def _container(self, value: Any) -> Any:
        kind = type(value)
        if kind is list:
            return [self.plain(item) for item in value]
        if kind is tuple:
            return tuple(self.plain(item) for item in value)
        if kind not in (dict, set, frozenset):
            self.classes[kind] = None
        own = self._own(value)
        if isinstance(value, list | tuple):
            return _Leaf(_called(kind), ([self.plain(item) for item in value], own))
        if isinstance(value, set | frozenset):
            return _Leaf(_called(kind), (sorted(fingerprint(self.plain(item)) for item in value), own))
        if isinstance(value, Mapping):
            # Order counts: a mapping of columns gives a frame with its columns in that order.
            pairs = [(self.plain(key), self.plain(item)) for key, item in value.items()]
            return _Leaf(_called(kind), (pairs, self.plain(_default(value)), own))
        names = value.__struct_fields__ if isinstance(value, msgspec.Struct) else [f.name for f in fields(value)]
        return _Leaf(_called(kind), ([(name, self.plain(getattr(value, name))) for name in names], own))

    def _own(self, value: Any) -> list[Any]:
        """Attributes beside the content: what an instance was given by hand. Remembered properties are no content."""
        known = {field.name for field in fields(value)} if is_dataclass(value) else set()
        held = getattr(value, "__dict__", {})
        return [
            (name, self.plain(item))
            for name, item in sorted(held.items())
            if name not in known and not isinstance(getattr(type(value), name, None), cached_property)
        ]

    def _leaf(self, value: Any) -> _Leaf | None:
        kind = type(value)
        own = getattr(value, "slipway_fingerprint", None)
        if callable(own) and not isinstance(value, type):
            self.classes[kind] = None
            return _Leaf(_called(kind), own())
        if isinstance(value, pl.DataFrame | pl.LazyFrame | pl.Series) and kind not in _FRAMES:
            raise _unknown(value, "Pass it as a plain Polars frame or series.")
        if isinstance(value, pl.DataFrame | pl.LazyFrame):
            frame = value.collect() if isinstance(value, pl.LazyFrame) else value
            return _Leaf(kind.__name__, self._frame(frame))
        if isinstance(value, pl.Series):
            return _Leaf("Series", self._frame(value.to_frame()))
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, np.generic):
            return self._items(np.asarray(value), kind.__name__)
        if kind.__module__.partition(".")[0] == "pandas":
            return self._pandas(value)
        if is_estimator_part(value):
            return self._estimator(value)
        if self._estimators and (named := name_of(value)) is not None:
            return _Leaf("name", named)
        return None

    def _estimator(self, value: Any) -> _Leaf:
        if id(value) in self._inside:
            raise _unknown(value, "It holds itself; pass a part of it.")
        self._inside.add(id(value))
        self._estimators += 1
        self.classes[type(value)] = None
        try:
            return _Leaf(_called(type(value)), self.plain(state_of(value)))
        finally:
            self._estimators -= 1
            self._inside.discard(id(value))

    def _frame(self, frame: pl.DataFrame) -> Any:
        for column in frame.iter_columns():
            if column.dtype == pl.Object:
                for item in column:
                    self.plain(item)  # for the classes in it
        found = of_frame(frame)
        coded = [name for name, dtype in frame.schema.items() if "Categorical" in str(dtype)]
        if not self._codes or not coded:
            return found
        return found, of_frame(frame.select(pl.col(coded).to_physical()))

    def _array(self, array: np.ndarray[Any, Any]) -> _Leaf:
        kind = type(array)
        if kind in _ARRAYS:
            return self._items(np.asarray(array), kind.__name__)
        if kind is not np.ma.MaskedArray:
            raise _unknown(array, "Pass `numpy.asarray(...)` of it.")
        masked: Any = array
        parts = (np.ma.getdata(masked), np.ma.getmaskarray(masked), np.asarray(masked.fill_value))
        told = tuple(self._items(np.asarray(part), "ndarray") for part in parts)
        return _Leaf("MaskedArray", (*told, masked.mask is np.ma.nomask, bool(masked.hardmask)))

    def _items(self, array: np.ndarray[Any, Any], kind: str) -> _Leaf:
        if array.dtype.hasobject or array.dtype.names:
            items = [self.plain(item) for item in array.ravel().tolist()]
            return _Leaf(kind, (str(array.dtype), array.shape, items))
        hasher = blake3.blake3()
        add_numbers(hasher, array.ravel())
        return _Leaf(kind, (array.dtype.newbyteorder("<").str, array.shape, hasher.hexdigest()))

    # pandas, recognised without importing it

    def _pandas(self, value: Any) -> _Leaf:
        pandas: Any = sys.modules["pandas"]
        kind = f"pandas.{type(value).__name__}"
        if isinstance(value, pandas.DataFrame):
            columns = [self._column(value.iloc[:, position]) for position in range(value.shape[1])]
            return _Leaf(kind, (self._index(value.columns), columns, self._index(value.index), self._about(value)))
        if isinstance(value, pandas.Series):
            named = self.plain(value.name)
            return _Leaf(kind, (named, self._column(value), self._index(value.index), self._about(value)))
        if isinstance(value, pandas.Index):
            return _Leaf(kind, self._index(value))
        if isinstance(value, pandas.api.extensions.ExtensionArray):
            return _Leaf(kind, self._column(pandas.Series(value)))
        if value is pandas.NA or value is pandas.NaT:
            return _Leaf(kind, None)
        if isinstance(value, pandas.Timestamp):
            return _Leaf(kind, (str(value), repr(value.tzinfo), value.fold, value.unit))
        if isinstance(value, pandas.Timedelta):
            return _Leaf(kind, (str(value), value.unit))
        if isinstance(value, pandas.Period):
            return _Leaf(kind, (value.ordinal, value.freqstr))
        if isinstance(value, pandas.Interval):
            return _Leaf(kind, (self.plain(value.left), self.plain(value.right), value.closed))
        raise _unknown(value, "Pass a frame, a series or plain values.")

    def _about(self, value: Any) -> Any:
        return self.plain(dict(value.attrs)), value.flags.allows_duplicate_labels

    def _column(self, series: Any) -> Any:
        pandas: Any = sys.modules["pandas"]
        dtype = series.dtype
        if isinstance(dtype, pandas.CategoricalDtype):
            codes = self._items(series.cat.codes.to_numpy(), "ndarray")
            return "category", bool(dtype.ordered), self._index(dtype.categories), codes
        if isinstance(dtype, np.dtype):
            return self._items(series.to_numpy(), "ndarray")
        if isinstance(dtype, pandas.DatetimeTZDtype):
            return str(dtype), repr(dtype.tz), self._items(series.to_numpy(dtype=f"M8[{dtype.unit}]"), "ndarray")
        if isinstance(dtype, pandas.StringDtype):
            texts = pl.Series(series.to_numpy(dtype=object, na_value=None).tolist(), dtype=pl.String)
            return repr(dtype), of_frame(texts.to_frame())
        return repr(dtype), [self.plain(item) for item in series.array]

    def _index(self, index: Any) -> Any:
        pandas: Any = sys.modules["pandas"]
        about = type(index).__name__, [self.plain(name) for name in index.names]
        if isinstance(index, pandas.RangeIndex):
            return about, (index.start, index.stop, index.step)
        if isinstance(index, pandas.MultiIndex):
            codes = [self._items(np.asarray(codes), "ndarray") for codes in index.codes]
            return about, [self._index(level) for level in index.levels], codes, index.sortorder
        return about, getattr(index, "freqstr", None), self._column(index.to_series())


def _called(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _default(mapping: Any) -> Any:
    """What a mapping answers for a missing key, as a name where that is a type of Python's own."""
    factory = getattr(mapping, "default_factory", None)
    return f"type {factory.__name__}" if isinstance(factory, type) and factory.__module__ == "builtins" else factory


def _unknown(value: Any, fix: str) -> InvalidInput:
    return InvalidInput(
        f"A value of type {_called(type(value))} has no fingerprint.",
        why="Its content is not all that code can read from it.",
        fix=fix,
    )
