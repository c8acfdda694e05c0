"""Definitions of features as data: what offline, online and a bundle share."""

from datetime import datetime
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from slipway.records.record import Record
from slipway.records.schema import Field, FieldType

__all__ = [
    "AboutFeature",
    "Aggregate",
    "AggregateKind",
    "Coding",
    "ColumnState",
    "EventRow",
    "FeatureDefinition",
    "FeatureSetSpec",
    "FeatureSkew",
    "Part",
    "PathCheck",
    "PathName",
    "RequestField",
    "Scalar",
    "SkewCertificate",
    "StoredView",
    "Stream",
    "StreamColumn",
    "TrainingSet",
    "View",
    "ViewRow",
    "WindowState",
    "Windows",
]

AggregateKind = Literal[
    "count", "sum", "mean", "min", "max", "last", "std", "approx_distinct", "quantile", "decayed_mean"
]

Coding = Literal["grid", "register", "bucket"]
"""How a value becomes the integer that a stream keeps: by the grid, as a register of a distinct count, or as the number
of its bucket in a histogram."""

ColumnState = tuple[int, int, int, int | None, int | None, int | None, tuple[tuple[int, int, int], ...]]
"""One column in a window: count, sum, sum of squares, least, greatest, last, groups; see `WindowState`."""


class Aggregate(Struct, frozen=True, kw_only=True):
    """One aggregate over a window that ends at the decision, both included at the end: (at - width, at].

    Args:
        name: The feature's name within its windows.
        kind: What is computed; nulls, NaN, infinities and what does not fit the grid do not count.
        column: The source's column, "" for a count of rows.
        width_us: The window's width in microseconds.
        scale: Values are read on the grid 1/scale, so that sums are exact; 1 for integer columns.
        integer: Whether the column holds integers or booleans.
        returns: The feature's type.
        default: What stands where the value would be null, as `states.plain` writes it; None for null.
        quantile: Of "quantile": which one, from 0 to 1.
        half_life_us: Of "decayed_mean": after how long an event counts half.
        tolerance: Of a sketch: how far its value may lie from the exact one, as its kind states it; 0 for exact ones.
        type: The type of the column.
    """

    name: str
    kind: AggregateKind
    column: str
    width_us: int
    scale: int = 1
    integer: bool = False
    returns: FieldType = "float"
    default: Any = None
    quantile: float = 0.0
    half_life_us: int = 0
    tolerance: float = 0.0
    type: FieldType = "float"


class Windows(Struct, frozen=True, kw_only=True, tag_field="kind", tag="windows"):
    """Aggregates of past rows of a table, by key, each counted once it was known.

    Args:
        name: The key set's; prefix of the features' names.
        source: The table.
        time: The column that says when a row became known.
        by: The key columns.
        key_types: The types of the key columns.
        aggregates: What is computed.
        event_id: The source's key columns, by which a pushed event is recognised when it comes twice.
        event_id_types: The types of these columns.
    """

    name: str
    source: str
    time: str
    by: tuple[str, ...]
    key_types: tuple[FieldType, ...] = ()
    aggregates: tuple[Aggregate, ...]
    event_id: tuple[str, ...] = ()
    event_id_types: tuple[FieldType, ...] = ()


class View(Struct, frozen=True, kw_only=True, tag_field="kind", tag="view"):
    """The latest known row of a query's result, by entity.

    Args:
        name: The view's; prefix of the features' names.
        entity: The key columns.
        entity_types: The types of the key columns.
        time: The column that says when a row became known, "" for facts without time.
        ttl_us: How old a row may be and still count, None for ever.
        fields: The result's value columns.
        sources: The tables that the query reads.
        definition: The fingerprint of the query's code closure.
        defaults: What stands in a column where no row counts, as (column, value as `states.plain` writes it).
    """

    name: str
    entity: tuple[str, ...]
    entity_types: tuple[FieldType, ...] = ()
    time: str
    ttl_us: int | None
    fields: tuple[Field, ...] = ()
    sources: tuple[str, ...] = ()
    definition: str = ""
    defaults: tuple[tuple[str, Any], ...] = ()


class Scalar(Struct, frozen=True, kw_only=True, tag_field="kind", tag="scalar"):
    """A plain function of request fields or other features: one row in, one value out.

    Args:
        name: The function's, and the feature's.
        arguments: Names and types, in order. Where one that is not nullable is null, the feature is null and the
            function is not called.
        returns: The type of the result.
        module: Where bundle and training find the function.
        definition: The fingerprint of its code closure.
        default: What the feature is where the function is not called, as `states.plain` writes it; None for null.
    """

    name: str
    arguments: tuple[Field, ...]
    returns: FieldType
    module: str
    definition: str = ""
    default: Any = None


class RequestField(Struct, frozen=True, kw_only=True, tag_field="kind", tag="request"):
    """A field of the request that is a feature as it stands."""

    name: str
    type: FieldType


Part = Windows | View | Scalar | RequestField


class AboutFeature(Struct, frozen=True, kw_only=True):
    """What a declaration says about a feature besides how it is computed: none of it is part of the definition.

    Args:
        owner: Who answers for it: a person or a team.
        description: What it means, in a sentence.
        tags: Words to find it by.
    """

    owner: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()


class FeatureDefinition(Record, frozen=True, kw_only=True, tag="feature"):
    """One definition of a feature or feature view, kept when a training set first uses it.

    Id: `<project>/<name>@<number>`; name: a scalar's or view's, or `<key set>_<aggregate>` of windows.

    Args:
        number: Counts the distinct definitions of the name in the project from 1.
        definition: The fingerprint of `part`.
        part: How it is computed: windows with this one aggregate, a scalar without its module.
        about: Owner, description and tags, as its declaration said last.
        columns: The features that it makes, one but for a view.
        sources: The tables that it reads.
        likeness: A fingerprint of what it computes, whatever it is called; "" where nobody can tell.
    """

    number: int
    definition: str
    part: Part
    about: AboutFeature = AboutFeature()
    columns: tuple[Field, ...] = ()
    sources: tuple[str, ...] = ()
    likeness: str = ""


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
    parts: tuple[Part, ...]
    request: tuple[Field, ...] = ()
    features: tuple[Field, ...] = ()
    definition: str = ""


class StreamColumn(Struct, frozen=True, kw_only=True):
    """One value column of a stream of events: integers that are made of a source's column by its coding.

    Args:
        name: The source's column.
        scale: The grid: values are kept in steps of 1/scale.
        integer: Whether the source's column holds integers or booleans.
        squares: Whether running sums of squares are kept.
        extremes: Whether windows are asked for the smallest and greatest value.
        last: Whether windows are asked for the last value.
        groups: Whether windows are asked for their values in groups: "value" groups equal values, "time" those whose
            times lie in the same step, floor(time / step); "" for neither.
        step_us: The step of groups by time, in microseconds.
        coding: How a value becomes an integer.
        bits: Of "register": 2**bits registers; of "bucket": 2**bits buckets between a number and its double.
        type: Of "register": the type of the source's column, whose text is hashed.
    """

    name: str
    scale: int = 1
    integer: bool = False
    squares: bool = False
    extremes: bool = False
    last: bool = False
    groups: Literal["", "value", "time"] = ""
    step_us: int = 0
    coding: Coding = "grid"
    bits: int = 0
    type: FieldType = "float"


class Stream(Struct, frozen=True, kw_only=True):
    """Events of one source under one key, as an online store keeps them.

    Args:
        name: Letters, digits and "_"; it ends in a fingerprint of the definition, so that two definitions never share.
        columns: The value columns, in the order of `EventRow.values`.
    """

    name: str
    columns: tuple[StreamColumn, ...]


class StoredView(Struct, frozen=True, kw_only=True):
    """Rows of one feature view, as an online store keeps them.

    Args:
        name: As a stream's.
        timed: Whether rows have a time; without it an entity has one row, and a later one replaces it.
    """

    name: str
    timed: bool


class EventRow(NamedTuple):
    """One event under one key: the key as text, when it was known, its id as text, its values on their grids."""

    key: str
    time_us: int
    event_id: str
    values: tuple[int | None, ...]


class ViewRow(NamedTuple):
    """One row of a view: the entity as text, when it was known (0 without time), its values as plain scalars."""

    key: str
    time_us: int
    values: tuple[Any, ...]


class WindowState(NamedTuple):
    """What a window holds: its rows, and for each column (count, sum, sum of squares, least, greatest, last, groups).

    Groups are (group, count, sum) in the order of the group, a value or a step of time, of the groups that hold a value.
    The last five are 0, None, None, None and () where the stream's column does not ask for them.
    """

    rows: int
    columns: tuple[ColumnState, ...]


PathName = Literal["online", "stream", "back-fill"]
"""How values get to a request: all pushed before it, pushed as time goes on, or loaded from tables."""


_HOW: dict[PathName, str] = {
    "online": "all pushed in any order, some twice; requests alone, in pairs and with many",
    "stream": "pushes and requests in turn; rows on time, late, early and again",
    "back-fill": "loaded from tables in two steps; then pushed again on top",
}


class FeatureSkew(Struct, frozen=True, kw_only=True):
    """A feature whose values differed: how often, and the first time in words."""

    feature: str
    mismatches: int
    first: str


class PathCheck(Struct, frozen=True, kw_only=True):
    """What came out of comparing one path with the offline one.

    Args:
        path: Which.
        compared: How many values were compared, over all batch sizes and orders.
        mismatches: How many were not equal.
        first: The first of them, in words.
        features: Those that differed, in the order in which they did.
        restarts: How often the store was closed and opened on the way.
    """

    path: PathName
    compared: int
    mismatches: int
    first: tuple[str, ...] = ()
    features: tuple[FeatureSkew, ...] = ()
    restarts: int = 0

    @property
    def how(self) -> str:
        """How the history came to the requests, in words."""
        restarts = f"; the store closed and opened {self.restarts} times" if self.restarts else ""
        return _HOW[self.path] + restarts


class SkewCertificate(Struct, frozen=True, kw_only=True):
    """What came out of running one feature set's paths over generated edge cases.

    Args:
        definition: The feature set's definition.
        rows: How many request rows were compared.
        features: How many features each has.
        compared: How many values were compared, over all paths, batch sizes and orders.
        mismatches: How many were not equal bit for bit.
        first: The first of them, in words.
        raised: How many calls of scalar functions raised, the same on every path.
        raised_first: The first of these, in words.
        seed: Of the generator.
        paths: What was compared with offline, path by path.
        engine: The fingerprint of the code that computed and compared; "" where nobody kept it.
    """

    definition: str
    rows: int
    features: int
    compared: int
    mismatches: int
    first: tuple[str, ...] = ()
    raised: int = 0
    raised_first: tuple[str, ...] = ()
    seed: int = 0
    paths: tuple[PathCheck, ...] = ()
    engine: str = ""

    @property
    def equal(self) -> bool:
        """Whether all paths agreed everywhere."""
        return self.mismatches == 0

    @property
    def sentence(self) -> str:
        """The certificate in words; what refutes it begins with "refuted"."""
        told = f"{self.compared:,} values of {self.rows:,} generated edge-case rows"
        if self.mismatches:
            return f"refuted: {self.mismatches:,} of {told} differ; first {self.first[0]}"
        *others, last = ["offline", *(check.path for check in self.paths)]
        return f"{told} are equal {', '.join(others)} and {last}, bit for bit"


class TrainingSet(Struct, frozen=True, kw_only=True):
    """What a model was trained on: kept with the run as `training_set.json`.

    Args:
        spec: The feature set.
        table: The label table's version, as a lineage node.
        columns: The label table's columns.
        key: The columns that identify a row.
        label: The label's column.
        at: The column of the decision times.
        known: The column that says when a row's label became known, "" where nobody said.
        rows: How many rows.
        fingerprint: Of the rows with their features.
        first_at: The first decision.
        last_at: The last decision.
        certificate: What came out of comparing its features' paths, None where nobody could.
        reads: For each feature the columns that its value depends on: `table.column`, `request.field`.
        stored: The version of the table that holds the rows, as a lineage node; "" where they were one frame.
    """

    spec: FeatureSetSpec
    table: str
    columns: tuple[Field, ...]
    key: tuple[str, ...]
    label: str
    at: str
    known: str = ""
    rows: int
    fingerprint: str
    first_at: datetime | None = None
    last_at: datetime | None = None
    certificate: SkewCertificate | None = None
    reads: dict[str, tuple[str, ...]] = {}
    stored: str = ""
