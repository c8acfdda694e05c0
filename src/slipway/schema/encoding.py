"""How a model's inputs become numbers: one encoding, shared by training and serving.

A signature's inputs become a float64 matrix of shape `(n_rows, n_inputs)`: bool is 0 or 1, int and float stand as they
are, null is NaN, a category is its index in `Field.categories`, an unknown or null category is NaN.

`encode_rows` reads plain Python values (a request), `encode_frame` a Polars or pandas frame (training rows). Both give
the same bits for the same content; neither framework is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.errors import InvalidInput, near
from slipway.records.schema import Field, Signature

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Encoder", "encode_frame", "encode_rows", "is_null"]

_NUMBERS = ("bool", "int", "float")
_CATEGORIES = ("category", "string")
_NAN = float("nan")
_PLAIN_NUMBERS = {float, int, bool, type(None)}
_PLAIN_TEXTS = {str, type(None)}
_MISFITS = (InvalidInput, OverflowError)
_COLUMNS_FROM = 8  # rows, from which a column at a time is quicker


class Encoder:
    """Encodes rows and frames for one signature; make it once and call it often. Safe for threads.

    Args:
        signature: Whose inputs are encoded.

    Raises:
        InvalidInput: An input's type has no number: datetime, date, duration, object, or a string without categories.
    """

    def __init__(self, signature: Signature) -> None:
        self.fields = signature.inputs
        self._encode_one = [_encoder_of(field) for field in self.fields]
        self._codes = [None if field.type in _NUMBERS else _codes_of(field) for field in self.fields]

    def rows(self, rows: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
        """Encode rows of plain Python values, in the signature's order.

        Args:
            rows: Each with one value an input: None, bool, int, float or str.

        Returns:
            float64 of shape `(len(rows), n_inputs)`.

        Raises:
            InvalidInput: A row has another length, or a value another type; the input is named.
        """
        width = len(self.fields)
        for index, row in enumerate(rows):
            if len(row) != width:
                raise InvalidInput(
                    f"Row {index} has {len(row)} values.",
                    why=f"The model takes {width}: {', '.join(field.name for field in self.fields)}.",
                    fix="Give one value an input, in this order.",
                )
        out = np.empty((len(rows), width), dtype=np.float64)
        if len(rows) >= _COLUMNS_FROM and self._by_column(rows, out):
            return out
        for index, row in enumerate(rows):
            try:
                out[index] = [encode(value) for encode, value in zip(self._encode_one, row, strict=True)]
            except _MISFITS as problem:
                raise self._misfit(index, row) from problem
        return out

    def _by_column(self, rows: Sequence[Sequence[Any]], out: NDArray[np.float64]) -> bool:
        """Encode many rows column by column; False when a value's type is not a plain one, and rows must tell."""
        for position, (codes, column) in enumerate(zip(self._codes, zip(*rows, strict=True), strict=True)):
            kinds = set(map(type, column))
            if codes is None:
                if not kinds <= _PLAIN_NUMBERS:
                    return False
                try:
                    out[:, position] = column
                except OverflowError:
                    return False
            else:
                if not kinds <= _PLAIN_TEXTS:
                    return False
                out[:, position] = [codes.get(value, _NAN) for value in column]
        return True

    def frame(self, frame: Any) -> NDArray[np.float64]:
        """Encode a Polars or pandas frame; its columns are found by name, in any order, and others are ignored.

        Returns:
            float64 of shape `(n_rows, n_inputs)`.

        Raises:
            InvalidInput: A column is missing or of another type; it is named.
        """
        known = [str(name) for name in frame.columns]
        out = np.empty((len(frame), len(self.fields)), dtype=np.float64)
        for position, field in enumerate(self.fields):
            if field.name not in known:
                raise InvalidInput(
                    f"The frame has no column {field.name!r}.",
                    why="The model takes it as an input.",
                    fix=near(field.name, known, what="columns"),
                    field=field.name,
                )
            out[:, position] = self._column(field, self._encode_one[position], frame[field.name])
        return out

    def _column(self, field: Field, encode: Callable[[Any], float], series: Any) -> NDArray[np.float64]:
        values = series.to_numpy()
        if values.dtype.kind in "biuf" and field.type in _NUMBERS:
            return np.asarray(values, dtype=np.float64)
        try:
            return np.fromiter(
                (encode(None if is_null(value) else value) for value in series.to_list()), np.float64, len(values)
            )
        except _MISFITS as problem:
            raise InvalidInput(
                f"The column {field.name!r} is of type {series.dtype}.",
                why=f"The model takes it as {field.type}.",
                fix="Cast the column, or train a model on columns of this type.",
                field=field.name,
            ) from problem

    def _misfit(self, index: int, row: Sequence[Any]) -> InvalidInput:
        for field, encode, value in zip(self.fields, self._encode_one, row, strict=True):
            try:
                encode(value)
            except _MISFITS:
                return InvalidInput(
                    f"Row {index} gives {value!r} for {field.name!r}.",
                    why=f"The model takes it as {field.type}.",
                    fix=f"Give {_article(field)} or null.",
                    field=field.name,
                )
        return InvalidInput(f"Row {index} cannot be encoded.", fix="Compare it with the model's signature.")


def encode_rows(signature: Signature, rows: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
    """Encode rows of plain Python values; see `Encoder.rows`."""
    return Encoder(signature).rows(rows)


def encode_frame(signature: Signature, frame: Any) -> NDArray[np.float64]:
    """Encode a Polars or pandas frame; see `Encoder.frame`. Bit-equal to `encode_rows` on the frame's rows."""
    return Encoder(signature).frame(frame)


def is_null(value: Any) -> bool:
    """Whether a value out of a frame stands for "missing": None, NaN, or pandas' NA and NaT."""
    if value is None or type(value) in (str, int, bool):
        return value is None
    if isinstance(value, float):
        return math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")


def _encoder_of(field: Field) -> Callable[[Any], float]:
    if field.type in _NUMBERS:
        return _number
    if field.type in _CATEGORIES and (field.type == "category" or field.categories):
        codes = _codes_of(field)

        def category(value: Any) -> float:
            if value is None:
                return _NAN
            if type(value) is str:
                return codes.get(value, _NAN)
            raise InvalidInput(f"{value!r} is not a text.", fix="Give a text, or null.")

        return category
    raise InvalidInput(
        f"The input {field.name!r} is of type {field.type}.",
        why="A model's inputs are numbers, booleans and categories.",
        fix="Derive a feature from it: the hour of an instant, the days since a date, a category for a text.",
        field=field.name,
    )


def _codes_of(field: Field) -> dict[str, float]:
    return {name: float(code) for code, name in enumerate(field.categories)}


def _number(value: Any) -> float:
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]  # the check above is the proof
    if kind is int or kind is bool:
        return float(value)
    if value is None:
        return _NAN
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return float(value)
    raise InvalidInput(f"{value!r} is not a number.", fix="Give a number, or null.")


def _article(field: Field) -> str:
    names = {"bool": "true or false", "int": "a whole number", "float": "a number"}
    return names.get(field.type, "a text")
