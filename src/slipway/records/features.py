"""Definitions of features as data: what offline, online and a bundle share."""

from typing import Literal

from msgspec import Struct

from slipway.records.schema import Field, FieldType

__all__ = ["Aggregate", "FeatureSetSpec", "RequestField", "Scalar", "View", "Windows"]

AggregateKind = Literal["count", "sum", "mean", "min", "max", "last", "std"]


class Aggregate(Struct, frozen=True, kw_only=True):
    """One aggregate over a window that ends at the decision, both included at the end: (at - width, at].

    Args:
        name: The feature's name within its windows.
        kind: What is computed; nulls, NaN and infinities of the column do not count.
        column: The source's column.
        width_us: The window's width in microseconds.
        scale: Values are read on the grid 1/scale, so that sums are exact; 1 for integer columns.
    """

    name: str
    kind: AggregateKind
    column: str
    width_us: int
    scale: int = 1


class Windows(Struct, frozen=True, kw_only=True, tag_field="kind", tag="windows"):
    """Aggregates of past rows of a table, by key, each counted once it was known.

    Args:
        name: Unique in the feature set; prefix of the features' names.
        source: The table.
        time: The column that says when a row became known.
        by: The key columns.
        aggregates: What is computed.
        event_id: The source's key columns, by which a pushed event is recognised when it comes twice.
    """

    name: str
    source: str
    time: str
    by: tuple[str, ...]
    aggregates: tuple[Aggregate, ...]
    event_id: tuple[str, ...] = ()


class View(Struct, frozen=True, kw_only=True, tag_field="kind", tag="view"):
    """The latest known row of a query's result, by entity.

    Args:
        name: The view's; prefix of the features' names.
        entity: The key columns.
        time: The column that says when a row became known, "" for facts without time.
        ttl_us: How old a row may be and still count, None for ever.
        fields: The result's value columns.
        sources: The tables that the query reads.
        definition: The fingerprint of the query's code closure.
    """

    name: str
    entity: tuple[str, ...]
    time: str
    ttl_us: int | None
    fields: tuple[Field, ...] = ()
    sources: tuple[str, ...] = ()
    definition: str = ""


class Scalar(Struct, frozen=True, kw_only=True, tag_field="kind", tag="scalar"):
    """A plain function of request fields or other features: one row in, one value out.

    Args:
        name: The function's, and the feature's.
        arguments: Names and types, in order.
        returns: The type of the result.
        module: Where bundle and training find the function.
        definition: The fingerprint of its code closure.
    """

    name: str
    arguments: tuple[Field, ...]
    returns: FieldType
    module: str
    definition: str = ""


class RequestField(Struct, frozen=True, kw_only=True, tag_field="kind", tag="request"):
    """A field of the request that is a feature as it stands."""

    name: str
    type: FieldType


class FeatureSetSpec(Struct, frozen=True, kw_only=True):
    """All features of a model, in order.

    Args:
        name: The set's.
        parts: Windows, views, scalars and request fields, in the order of declaration.
        request: Every field that a request must carry: request fields, keys of windows and views, scalars' arguments
            that are not features themselves.
        features: The resulting features, named and typed, in order.
        definition: The fingerprint of everything above.
    """

    name: str
    parts: tuple[Windows | View | Scalar | RequestField, ...]
    request: tuple[Field, ...] = ()
    features: tuple[Field, ...] = ()
    definition: str = ""
