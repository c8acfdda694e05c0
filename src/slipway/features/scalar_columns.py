"""Scalar features over columns: by their functions, row by row, or by twins that were proven equal; see `vectorised`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from slipway.errors import InvalidDeclaration, StepFailed
from slipway.features.calls import caller
from slipway.features.defaults import defaults_of
from slipway.features.edge_cases import Generator
from slipway.features.scalars import Feature
from slipway.features.states import bits
from slipway.records.features import FeatureSetSpec, Scalar
from slipway.records.schema import Field, FieldType
from slipway.schema.types import polars_schema

__all__ = ["Twin", "over_columns", "proven_twins", "refusal"]

_CASES = 1000
_SAMPLE = 1000
_SIZES = {1: 100, 2: 200, _CASES: _CASES}
"""In batches of which size how many of the cases are compared: nothing may depend on the others in a batch."""


def over_columns(
    scalar: Scalar,
    functions: Mapping[str, Callable[..., Any]],
    columns: Mapping[str, pl.Series],
    values: dict[str, list[Any]],
) -> pl.Series:
    """A scalar feature for many rows.

    Args:
        scalar: Its definition.
        functions: The functions by feature name; one with a proven twin is asked over columns.
        columns: Its arguments by name, of one height.
        values: Columns as Python values by name, kept for the next feature that takes them.

    Raises:
        StepFailed: The function raised.
        InvalidDeclaration: A twin is refused.
    """
    function = functions.get(scalar.name)
    if isinstance(function, Twin):
        return function.over(scalar, columns)
    for name, column in columns.items():
        if name not in values:
            values[name] = _python_values(column)
    arguments = [values[argument.name] for argument in scalar.arguments]
    return pl.Series(scalar.name, caller(scalar, functions)(arguments), dtype=_dtype(scalar))


def _dtype(scalar: Scalar) -> pl.DataType:
    """Texts are text: their categories belong to the model's signature."""
    kind = "string" if scalar.returns == "category" else scalar.returns
    return polars_schema((Field(scalar.name, kind),))[scalar.name]


def _python_values(series: pl.Series) -> list[Any]:
    """A column as the Python values that a request would carry."""
    if isinstance(series.dtype, pl.Datetime):
        naive = series.dt.replace_time_zone(None).to_list()
        return [None if value is None else value.replace(tzinfo=UTC) for value in naive]
    return series.to_list()


class Twin:
    """A scalar feature's function with its twin; calling it calls the function.

    Args:
        function: The definition.
        expression: Takes expressions of the arguments' columns, returns one.
    """

    def __init__(self, function: Callable[..., Any], expression: Callable[..., Any]) -> None:
        self.function = function
        self._expression = expression

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self.function(*arguments)

    def over(self, scalar: Scalar, columns: Mapping[str, pl.Series]) -> pl.Series:
        """The feature over columns, of which about a thousand rows are compared with the function.

        Args:
            scalar: Its definition.
            columns: The arguments by name, of one height.

        Raises:
            InvalidDeclaration: The twin is refused: it gives something else than the function, or no such column.
        """
        values = self._values(scalar, columns)
        rows = range(0, len(values), max(1, len(values) // _SAMPLE))
        index = pl.Series(list(rows), dtype=pl.UInt32)
        some = {name: column.gather(index) for name, column in columns.items()}
        self._compare(scalar, some, values.gather(index))
        return values

    def prove(self, scalar: Scalar) -> None:
        """Compare it with the function on generated edge cases, alone, in pairs and all at once.

        Raises:
            InvalidDeclaration: It is refused.
        """
        fields = scalar.arguments
        made = Generator(0)
        asked = made.requests(FeatureSetSpec(name=scalar.name, parts=(), request=fields), _CASES)
        types = polars_schema(tuple(Field(f.name, "string" if f.type == "category" else f.type) for f in fields))
        rows = [[_varied(made.random, f.type, value) for f, value in zip(fields, row, strict=False)] for row in asked]
        frame = pl.DataFrame(rows, schema=types, orient="row", infer_schema_length=None)
        for size, count in _SIZES.items():
            for part in frame.head(count).iter_slices(size):
                columns = {name: part[name] for name in part.columns}
                self._compare(scalar, columns, self._values(scalar, columns))

    def _values(self, scalar: Scalar, columns: Mapping[str, pl.Series]) -> pl.Series:
        frame = pl.DataFrame([columns[field.name].alias(field.name) for field in scalar.arguments])
        kind = _dtype(scalar)
        given = [
            pl.col(field.name).cast(pl.Float64) if field.type == "float" else pl.col(field.name)
            for field in scalar.arguments
        ]
        required = [pl.col(field.name).is_not_null() for field in scalar.arguments if not field.nullable]
        (default,) = defaults_of(scalar)
        try:
            made = self._expression(*given)
            value = (made if isinstance(made, pl.Expr) else pl.lit(made)).cast(kind)
            if required:
                value = pl.when(pl.all_horizontal(required)).then(value).otherwise(pl.lit(default, dtype=kind))
            values = frame.select(value.alias(scalar.name)).to_series()
        except Exception as error:
            raise InvalidDeclaration(
                f"The twin of the feature {scalar.name!r} failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
                why=f"It takes expressions of columns and returns one whose values are of type {scalar.returns}.",
                fix="Correct the twin, or remove it: the function alone is enough.",
            ) from error
        return values if len(values) == frame.height else values.new_from_index(0, frame.height)

    def _compare(self, scalar: Scalar, columns: Mapping[str, pl.Series], values: pl.Series) -> None:
        arguments = [_python_values(columns[field.name]) for field in scalar.arguments]
        call = caller(scalar, {scalar.name: self.function})
        for given, found in zip(zip(*arguments, strict=True), _python_values(values), strict=True):
            try:
                (expected,) = call([[value] for value in given])
            except StepFailed as error:
                raise _refused(scalar, given, found, f"fails: {error.what}") from error
            if bits(found) != bits(expected):
                raise _refused(scalar, given, found, f"gives {expected!r}")


_HALVES = (0.5, -0.5, 1.5, 2.5, -2.5, 99.5, 2.0**53)
_TEXTS = ("a", "B ", " b", "ß", "İ", "10", "9", "a b", "A\tB", "00")
_YEARS = (datetime(1901, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC))
"""From 2100 on Python and Polars do not agree on the hour in a time zone: Polars' own tables end there."""


def _varied(made: random.Random, kind: FieldType, value: Any) -> Any:
    """Now and then another value, on which functions of one row and of columns like to differ."""
    if value is None or made.random() < 0.6:
        return value
    if kind == "float":
        return made.choice(_HALVES)
    if kind in ("string", "category"):
        return made.choice(_TEXTS)
    if kind in ("datetime", "date"):
        instant = _YEARS[0] + made.random() * (_YEARS[1] - _YEARS[0])
        return instant if kind == "datetime" else instant.date()
    if kind == "duration":
        return timedelta(microseconds=made.randrange(-(10**13), 10**13))
    return value


def proven_twins(
    spec: FeatureSetSpec, functions: Mapping[str, Callable[..., Any]], declared: Iterable[Feature]
) -> dict[str, Callable[..., Any]]:
    """The functions of a set, those with a twin as one that may be asked over columns.

    Args:
        spec: The set.
        functions: Its functions by name.
        declared: Its scalar features.

    Raises:
        InvalidDeclaration: A twin is refused.
    """
    found = dict(functions)
    scalars = {part.name: part for part in spec.parts if isinstance(part, Scalar)}
    for feature in declared:
        if feature.twin is not None:
            twin = found[feature.name] = Twin(feature.function, feature.twin)
            twin.prove(scalars[feature.name])
    return found


def refusal(declared: Feature) -> str:
    """Why a feature's twin is refused on generated edge cases, as a sentence; "" where it is equal, or there is none."""
    if declared.twin is not None:
        try:
            Twin(declared.function, declared.twin).prove(declared.scalar())
        except InvalidDeclaration as error:
            return error.what
    return ""


def _refused(scalar: Scalar, given: tuple[Any, ...], found: Any, expected: str) -> InvalidDeclaration:
    named = ", ".join(f"{a.name}={value!r}" for a, value in zip(scalar.arguments, given, strict=True))
    return InvalidDeclaration(
        f"The twin of the feature {scalar.name!r} gives {found!r} for {named}, and the function {expected}",
        why="A twin is used only where it gives the function's values, bit for bit.",
        fix="Correct the twin, or remove it: the function alone is enough.",
    )
