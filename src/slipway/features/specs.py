"""From declarations to data: a feature set's spec, typed by the tables that it reads."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from slipway.errors import InvalidDeclaration, SlipwayError, StepFailed, near
from slipway.features.calls import scalar_order
from slipway.features.defaults import checked_default
from slipway.features.sets import FeatureSet
from slipway.features.shared import SharedReference
from slipway.features.states import FLOAT_SCALE, KEY_TYPES
from slipway.features.views import FeatureView
from slipway.features.windows import DeclaredAggregate, DeclaredWindows
from slipway.hashing import fingerprint
from slipway.records.features import Aggregate, FeatureSetSpec, Part, RequestField, Scalar, View, Windows
from slipway.records.schema import Field, FieldType
from slipway.schema.types import field_type

__all__ = ["FrameTables", "Tables", "build_spec", "features_of", "query", "view_part", "window_parts"]


class Tables(Protocol):
    """The tables that windows and views read: one version of each, the same at every call."""

    def read(self, table: str) -> pl.LazyFrame:
        """The table's rows."""
        ...

    def key(self, table: str) -> tuple[str, ...]:
        """The columns that identify a row, () where none was declared."""
        ...


@dataclass(frozen=True)
class FrameTables:
    """Tables that are frames in memory.

    Args:
        frames: By table name.
        keys: The key columns by table name.
    """

    frames: Mapping[str, pl.DataFrame | pl.LazyFrame]
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def read(self, table: str) -> pl.LazyFrame:
        """See `Tables`."""
        return self.frames[table].lazy()

    def key(self, table: str) -> tuple[str, ...]:
        """See `Tables`."""
        return self.keys.get(table, ())


def query(view: FeatureView, tables: Tables) -> pl.LazyFrame:
    """Run a view's function on its tables.

    Raises:
        InvalidDeclaration: It returned no frame, or its entity or time column is missing, or one that it names.
        StepFailed: It raised.
    """
    given = [tables.read(source) for source in view.sources]
    try:
        result = view.function(*given)
    except SlipwayError:
        raise
    except Exception as error:
        own = error.__traceback__.tb_next if error.__traceback__ else None
        raise StepFailed(
            f"The feature view {view.name!r} raised {type(error).__name__}: {error}.",
            step=view.name,
            trace="".join(traceback.format_exception(type(error), error, own)),
            fix="Correct its function; it takes the LazyFrames of its tables and returns one.",
        ) from error
    if not isinstance(result, pl.DataFrame | pl.LazyFrame):
        raise InvalidDeclaration(
            f"The feature view {view.name!r} returned a {type(result).__name__}.",
            why="It is a query: LazyFrames of its tables in, one LazyFrame out.",
            fix="Return the LazyFrame itself, without collecting it.",
        )
    frame = result.lazy()
    try:
        columns = frame.collect_schema().names()
    except pl.exceptions.PolarsError as error:
        raise InvalidDeclaration(
            f"The query of the feature view {view.name!r} does not fit its tables: {str(error).splitlines()[0]}.",
            why=f"It reads {', '.join(view.sources)} as they are now.",
            fix="Correct the query, or the name of a column in it.",
        ) from error
    for name in (*view.entity, *([view.time] if view.time else [])):
        if name not in columns:
            raise InvalidDeclaration(
                f"The result of the feature view {view.name!r} has no column {name!r}.",
                why=near(name, columns, what="columns"),
                fix="Select it in the query, or correct `entity` or `time`.",
            )
    return frame


def build_spec(
    features: FeatureSet,
    request: Mapping[str, FieldType | Field],
    tables: Tables,
    definition_of: Callable[[Callable[..., Any]], str],
) -> FeatureSetSpec:
    """A feature set's spec.

    Args:
        features: The declarations.
        request: The types of the request's fields, by name; a `Field` also says whether null may come.
        tables: The tables of windows and views.
        definition_of: The fingerprint of a function's code closure.

    Raises:
        InvalidDeclaration: A part does not fit the tables or the request's fields.
    """
    parts: list[Part] = []
    for part in features.parts:
        if isinstance(part, str):
            parts.append(
                RequestField(name=part, type=_string(_request_field(part, request, f"the feature {part!r}").type))
            )
        elif isinstance(part, DeclaredWindows):
            parts += window_parts(part, tables)
        elif isinstance(part, FeatureView):
            parts.append(view_part(part, tables, definition_of))
        elif isinstance(part, SharedReference):
            parts += part.shared_parts().parts
        else:
            parts.append(part.scalar(definition_of(part.function)))
    _check_apart(parts)
    fields = _features(parts)
    spec = FeatureSetSpec(
        name=features.name,
        parts=tuple(parts),
        request=_request(parts, fields, request),
        features=tuple(fields.values()),
    )
    scalar_order(spec)
    meaning = fingerprint((spec.parts, spec.request, spec.features))
    return FeatureSetSpec(
        name=spec.name, parts=spec.parts, request=spec.request, features=spec.features, definition=meaning
    )


def window_parts(part: DeclaredWindows, tables: Tables) -> Iterable[Windows]:
    """The definitions of windows, one a key set, typed by their table.

    Raises:
        InvalidDeclaration: They do not fit the table.
    """
    types = _types(tables.read(part.source))
    where = f"the windows over {part.source!r}"
    key = tables.key(part.source)
    if not key:
        raise InvalidDeclaration(
            f"The table {part.source!r} declares no key, and {where} count its rows as events.",
            why="An event that comes twice is recognised by its table's key.",
            fix=f"Declare it: @sw.table(key=...) on {part.source!r}.",
        )
    if _typed(part.time, types, where) != "datetime":
        raise InvalidDeclaration(
            f"The time column {part.time!r} of {where} is of type {types[part.time]}.",
            why="It says when a row became known: an aware UTC instant.",
            fix="Where it holds UTC without saying so: `pl.col(...).dt.replace_time_zone('UTC')` in the table.",
        )
    aggregates = tuple(_aggregate(name, a, types, where) for name, a in part.aggregates.items())
    for name, by in part.keys.items():
        yield Windows(
            name=name,
            source=part.source,
            time=part.time,
            by=by,
            key_types=_key_types(by, types, where),
            aggregates=aggregates,
            event_id=key,
            event_id_types=_key_types(key, types, f"the table {part.source!r}"),
        )


def _aggregate(name: str, declared: DeclaredAggregate, types: Mapping[str, FieldType], where: str) -> Aggregate:
    if declared.kind == "count":
        return Aggregate(
            name=name, kind="count", column="", width_us=declared.width_us, integer=True, returns="int", type="int"
        )
    kind = _typed(declared.column, types, where)
    wanted = KEY_TYPES if declared.kind == "approx_distinct" else {"int", "float", "bool"}
    if kind not in wanted:
        counted = declared.kind == "approx_distinct"
        raise InvalidDeclaration(
            f"{name} of {where} aggregates {declared.column!r}, which is of type {kind}.",
            why="Values are told apart by their text, and floats that look alike differ."
            if counted
            else "Aggregates work on numbers and truth values.",
            fix="Count a text, whole number, truth value, date or instant."
            if counted
            else "Count rows with sw.count(width), or use a feature view.",
        )
    integer = kind != "float"
    whole = declared.kind == "approx_distinct" or (integer and declared.kind in ("min", "max", "last"))
    returns: FieldType = "int" if whole else "float"
    on_grid = declared.kind not in ("approx_distinct", "quantile")
    return Aggregate(
        name=name,
        kind=declared.kind,
        column=declared.column,
        width_us=declared.width_us,
        scale=1 if integer or not on_grid else declared.scale or FLOAT_SCALE,
        integer=integer,
        returns=returns,
        default=checked_default(declared.default, returns, f"{name} of {where}"),
        quantile=declared.quantile,
        half_life_us=declared.half_life_us,
        tolerance=declared.tolerance,
        type=kind,
    )


def view_part(part: FeatureView, tables: Tables, definition_of: Callable[[Callable[..., Any]], str]) -> View:
    """The definition of a feature view, typed by what its query gives.

    Raises:
        InvalidDeclaration: Its result does not fit.
    """
    types = _types(query(part, tables))
    where = f"the feature view {part.name!r}"
    values = [name for name in types if name not in part.entity and name != part.time]
    for name in values:
        if types[name] == "object":
            raise InvalidDeclaration(
                f"The column {name!r} of {where} has no plain type.",
                why="A feature is a truth value, number, text, instant, date or duration.",
                fix="Drop it in the query, or break it into plain columns; give a naive datetime its time zone.",
            )
    if part.time and types[part.time] != "datetime":
        raise InvalidDeclaration(
            f"The time column {part.time!r} of {where} is of type {types[part.time]}.",
            why="It says when a row became known: an aware UTC instant.",
            fix="Add `.dt.replace_time_zone('UTC')` in the query where it holds UTC.",
        )
    return View(
        name=part.name,
        entity=part.entity,
        entity_types=_key_types(part.entity, types, where),
        time=part.time,
        ttl_us=part.ttl_us,
        fields=tuple(Field(name, types[name]) for name in values),
        sources=part.sources,
        definition=definition_of(part.function),
        defaults=_defaults(part, {name: types[name] for name in values}),
    )


def _defaults(part: FeatureView, types: Mapping[str, FieldType]) -> tuple[tuple[str, Any], ...]:
    for name in part.defaults:
        if name not in types:
            raise InvalidDeclaration(
                f"The feature view {part.name!r} declares a default for {name!r}, which is no feature of it.",
                why=near(name, types, what="columns"),
                fix="Name a column of its result other than entity and time.",
            )
    made = {name: checked_default(v, types[name], f"{part.name}_{name}") for name, v in part.defaults.items()}
    return tuple((name, made[name]) for name in types if made.get(name) is not None)


def _check_apart(parts: Iterable[Part]) -> None:
    """Refuse a view that is called as a table whose rows windows count: rows are pushed under that name."""
    sources = {part.source for part in parts if isinstance(part, Windows)}
    for part in parts:
        if isinstance(part, View) and part.name in sources:
            raise InvalidDeclaration(
                f"The feature view {part.name!r} is called as the table {part.name!r}, whose rows windows of the set count.",
                why="Rows of tables and of views are pushed by name, and these would be taken for each other.",
                fix=f"Call the view otherwise: `def {part.name}_view(...)`.",
            )


def _features(parts: Iterable[Part]) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for part in parts:
        for made in features_of(part):
            if made.name in fields:
                raise InvalidDeclaration(
                    f"Two features are called {made.name!r}.",
                    why="A feature's name is a column of the training set.",
                    fix="Rename one of the parts that make it.",
                )
            fields[made.name] = made
    return fields


def features_of(part: Part) -> Iterable[Field]:
    """The features that a part makes, in order."""
    if isinstance(part, Windows):
        for a in part.aggregates:
            never_null = a.kind in ("count", "sum", "approx_distinct") or a.default is not None
            yield Field(f"{part.name}_{a.name}", a.returns, nullable=not never_null)
    elif isinstance(part, View):
        for value in part.fields:
            yield Field(f"{part.name}_{value.name}", value.type)
    elif isinstance(part, Scalar):
        yield Field(part.name, _string(part.returns))
    else:
        yield Field(part.name, part.type)


def _request(
    parts: Iterable[Part], features: Mapping[str, Field], given: Mapping[str, FieldType | Field]
) -> tuple[Field, ...]:
    """What a request must carry, in the order of first use; and whether null may come."""
    found: dict[str, Field] = {}
    accepts_null: set[str] = set()
    requested = {part.name for part in parts if isinstance(part, RequestField)}
    for part in parts:
        for name, needed, optional, where in _needs(part):
            if name in features and name not in requested:
                if not isinstance(part, Scalar):
                    raise InvalidDeclaration(
                        f"{where[0].upper()}{where[1:]} look up by {name!r}, which is also the name of a feature.",
                        why="Keys are fields of the request; a feature is computed from them later.",
                        fix="Rename the feature, or the key column.",
                    )
                _check(features[name].type, needed, name, where)
                continue
            field_ = _request_field(name, given, where)
            _check(_string(field_.type), needed, name, where)
            found.setdefault(name, Field(name, _string(field_.type), nullable=field_.nullable))
            if optional:
                accepts_null.add(name)
    return tuple(Field(f.name, f.type, nullable=f.nullable or f.name in accepts_null) for f in found.values())


def _needs(part: Part) -> Iterable[tuple[str, FieldType, bool, str]]:
    """Name, type, whether null is expected, and for whom, of each value that a part needs."""
    if isinstance(part, Scalar):
        for a in part.arguments:
            yield a.name, a.type, a.nullable, f"the feature {part.name!r}"
    elif isinstance(part, RequestField):
        yield part.name, part.type, False, f"the feature {part.name!r}"
    else:
        by, types = (part.by, part.key_types) if isinstance(part, Windows) else (part.entity, part.entity_types)
        where = f"the windows over {part.source!r}" if isinstance(part, Windows) else f"the feature view {part.name!r}"
        for name, kind in zip(by, types, strict=True):
            yield name, kind, False, where


def _check(given: FieldType, needed: FieldType, name: str, where: str) -> None:
    if _string(given) == _string(needed) or (given == "int" and needed == "float" and where.startswith("the feature ")):
        return
    raise InvalidDeclaration(
        f"{where[0].upper()}{where[1:]} takes {name!r} as {needed}, and it comes as {given}.",
        why="Offline and online must see the same type.",
        fix=f"Annotate the argument as {given}, or convert the column in the table."
        if where.startswith("the feature ") and not where.startswith("the feature view ")
        else "Convert the column in one of the two tables.",
    )


def _request_field(name: str, request: Mapping[str, FieldType | Field], where: str) -> Field:
    if name not in request:
        raise InvalidDeclaration(
            f"{where[0].upper()}{where[1:]} needs {name!r}, which is neither a feature nor a field of the request.",
            why=near(name, request, what="fields"),
            fix="Correct the name, or add the column to the table.",
        )
    given = request[name]
    found = given if isinstance(given, Field) else Field(name, given, nullable=False)
    if found.type == "object":
        raise InvalidDeclaration(
            f"{where[0].upper()}{where[1:]} needs {name!r}, whose column has no plain type.",
            why="A request carries truth values, numbers, texts, instants, dates and durations.",
            fix="Convert the column in the table; give a naive datetime its time zone.",
        )
    return found


def _types(frame: pl.LazyFrame) -> dict[str, FieldType]:
    return {name: _string(field_type(dtype)) for name, dtype in frame.collect_schema().items()}


def _typed(column: str, types: Mapping[str, FieldType], where: str) -> FieldType:
    if column not in types:
        raise InvalidDeclaration(
            f"{where[0].upper()}{where[1:]} name the column {column!r}, which their table does not have.",
            why=near(column, types, what="columns"),
            fix="Correct the name.",
        )
    return types[column]


def _key_types(names: tuple[str, ...], types: Mapping[str, FieldType], where: str) -> tuple[FieldType, ...]:
    found = tuple(_typed(name, types, where) for name in names)
    for name, kind in zip(names, found, strict=True):
        if kind not in KEY_TYPES:
            raise InvalidDeclaration(
                f"The key column {name!r} of {where} is of type {kind}.",
                why="Keys are compared for equality.",
                fix="Use a text, whole number, truth value, date or instant.",
            )
    return found


def _string(kind: FieldType) -> FieldType:
    """Texts keep type "string" in a spec: their categories belong to the model's signature."""
    return "string" if kind == "category" else kind
