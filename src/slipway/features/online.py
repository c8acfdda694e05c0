"""The online path: a feature set compiled once into a plan over requests and an online store.

The resolver looks each key up once a request, loads no Polars and reads no registry. The receiver turns pushed rows of
tables and views into what the store keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any

import msgspec

from slipway.errors import InvalidInput, near
from slipway.features.calls import MISFIT, coercer, row_caller, scalar_order
from slipway.features.look_ups import Cells, Fill, filled_by, look_ups_of
from slipway.features.states import (
    coder,
    finite,
    from_us,
    key_encoder,
    plain,
    stored_view_of,
    stream_of,
    to_us,
)
from slipway.ports.online_store import OnlineStore
from slipway.records.features import (
    EventRow,
    FeatureSetSpec,
    StoredView,
    Stream,
    StreamColumn,
    View,
    ViewRow,
    Windows,
)
from slipway.records.schema import FieldType

__all__ = [
    "Received",
    "Receiver",
    "Resolver",
    "build_receiver",
    "build_resolver",
    "stored_definitions",
]

Resolver = Callable[[Sequence[Sequence[Any] | Mapping[str, Any]], datetime], list[list[Any]]]
"""Takes rows (values in the order of `spec.request`, or by name) and the decision time; gives each row's features."""

_LONGEST = timedelta(microseconds=2**63 - 1)
_Row = list[Any]


def stored_definitions(spec: FeatureSetSpec) -> tuple[list[Stream], list[StoredView]]:
    """What an online store must define for a feature set; windows that share a stream name it once."""
    streams = {stream.name: stream for part in spec.parts if isinstance(part, Windows) for stream in [stream_of(part)]}
    views = [stored_view_of(part) for part in spec.parts if isinstance(part, View)]
    return list(streams.values()), views


def build_resolver(
    spec: FeatureSetSpec,
    functions: Mapping[str, Callable[..., Any]],
    store: OnlineStore | None = None,
    *,
    cells: Mapping[str, Cells] | None = None,
) -> Resolver:
    """Compile a feature set for requests.

    Args:
        spec: The set.
        functions: The functions of the scalar features, by name.
        store: Where windows and views are looked up; None for a set without them. Its streams and views are defined
            where they do not exist.
        cells: Where freshness and nulls of what is found are counted, by the name of view or windows, laid out as
            `records.feeds` says; None for nowhere.

    Returns:
        The resolver. It raises InvalidInput for a row that does not fit, StepFailed where a scalar feature raises.

    Raises:
        InvalidInput: A function or the store is missing.
    """
    streams, views = stored_definitions(spec)
    places = {given.name: place for place, given in enumerate(spec.request)}
    width = len(places)  # a row begins as the request's fields; each look-up and call adds its values at the end
    fill: Fill | None = None
    if streams or views:
        if store is None:
            raise InvalidInput(
                f"The feature set {spec.name!r} has windows or views, and no online store was given.",
                why="Their values are looked up while a request waits.",
                fix="Open one and materialise into it.",
            )
        store.define(streams, views)
        look_ups = look_ups_of(spec, places.copy(), cells)
        for look_up in look_ups:
            places.update((name, width + index) for index, name in enumerate(look_up.names))
            width += len(look_up.names)
        fill = filled_by(look_ups, store)
    calls = []
    for scalar in scalar_order(spec):
        calls.append((row_caller(scalar, functions), _picker([places[argument.name] for argument in scalar.arguments])))
        places[scalar.name] = width
        width += 1
    read = _reader(spec)
    pick = _picker([places[feature.name] for feature in spec.features])

    def resolve(rows: Sequence[Sequence[Any] | Mapping[str, Any]], at: datetime) -> list[list[Any]]:
        at_us = to_us(at)
        known = read(rows)
        if fill is not None:
            fill(known, at_us)
        for call, arguments in calls:
            for number, row in enumerate(known):
                row.append(call(arguments(row), number))
        return [list(pick(row)) for row in known]

    return resolve


def _picker(places: Sequence[int]) -> Callable[[_Row], tuple[Any, ...]]:
    if len(places) == 1:
        (only,) = places
        return lambda row: (row[only],)
    return itemgetter(*places)


def _reader(spec: FeatureSetSpec) -> Callable[[Sequence[Sequence[Any] | Mapping[str, Any]]], list[_Row]]:
    names = [given.name for given in spec.request]
    coercers = [
        (place, change) for place, given in enumerate(spec.request) if (change := coercer(given.type)) is not None
    ]

    def read(rows: Sequence[Sequence[Any] | Mapping[str, Any]]) -> list[_Row]:
        found = [[row.get(name) for name in names] if isinstance(row, Mapping) else list(row) for row in rows]
        for index, row in enumerate(found):
            if len(row) != len(names):
                raise InvalidInput(
                    f"Row {index} has {len(row)} values.",
                    why=f"The request has {len(names)} fields: {', '.join(names)}.",
                    fix="Give one value for each, in this order.",
                    field=f"rows[{index}]",
                )
        for place, change in coercers:
            for row in found:
                if row[place] is not None:
                    row[place] = _changed(change, row[place], names[place])
        return found

    return read


def _changed(change: Callable[[Any], Any], value: Any, name: str) -> Any:
    try:
        changed = change(value)
    except (TypeError, ValueError, OverflowError):
        changed = MISFIT
    if changed is MISFIT:
        raise InvalidInput(
            f"The field {name!r} is {value!r}.",
            why="Its type is another: numbers for a float, an instant with its time zone for a datetime.",
            fix="Send a value of the declared type.",
            field=name,
        )
    return changed


@dataclass(frozen=True, slots=True)
class Received:
    """What became of pushed rows.

    Args:
        rows: How many rows came.
        changed: How many were new, or changed what was known, counted once for each stream or view.
        passed_over: How many had no key, time or id, counted likewise; they never count.
    """

    rows: int
    changed: int
    passed_over: int


Receiver = Callable[[str, Sequence[Mapping[str, Any]]], Received]
"""Takes a table's or view's name and its rows by column; writes them into the store."""


def build_receiver(spec: FeatureSetSpec, store: OnlineStore) -> Receiver:
    """Compile a feature set for pushed rows: events of its windows' tables, rows of its views.

    Instants may be aware datetimes or ISO 8601 text, dates likewise. Rows may come late, twice and in any order.

    Args:
        spec: The set.
        store: Where the rows go; its streams and views are defined where they do not exist.
    """
    store.define(*stored_definitions(spec))
    events: dict[str, list[_Source]] = {}
    views: dict[str, tuple[str, Callable[[Mapping[str, Any]], ViewRow | None]]] = {}
    for part in spec.parts:
        if isinstance(part, Windows):
            _add(events.setdefault(part.source, []), part)
        elif isinstance(part, View):
            views[part.name] = (stored_view_of(part).name, _view_row(part))

    def receive(name: str, rows: Sequence[Mapping[str, Any]]) -> Received:
        if name not in events and name not in views:
            raise InvalidInput(
                f"Rows of {name!r} were pushed, which no feature of {spec.name!r} reads.",
                why=near(name, [*events, *views], what="tables and views"),
                fix="Push rows of one of these.",
                field="source",
            )
        changed = passed_over = 0
        with store.writing():  # one transaction for all streams: a request sees a push in every window or in none
            for source in events.get(name, ()):
                for stream, made in source.events(rows).items():
                    passed_over += len(rows) - len(made)
                    changed += store.push_events(stream, made)
            if name in views:
                stored, make_row = views[name]
                kept = [view for given in rows if (view := make_row(given)) is not None]
                passed_over += len(rows) - len(kept)
                changed += store.put_rows(stored, kept)
        return Received(len(rows), changed, passed_over)

    return receive


class _Source:
    """Streams that read the same columns of one table's rows under different keys; each row is read once for all."""

    def __init__(self, windows: Windows, stream: Stream) -> None:
        self.shape = (windows.time, windows.event_id, stream.columns)
        self._source = windows.source
        self._time = windows.time
        self._id = _fields(windows.event_id, windows.event_id_types, windows.source)
        self._encode_id = key_encoder(windows.event_id_types)
        self._columns = [(_value_of(c.name, windows.source), self._checked(c), coder(c)) for c in stream.columns]
        self._keys: dict[str, Callable[[Mapping[str, Any]], str | None]] = {}

    def add(self, windows: Windows, stream: Stream) -> None:
        """Add a stream."""
        by, encode = _fields(windows.by, windows.key_types, windows.source), key_encoder(windows.key_types)
        self._keys[stream.name] = lambda row: encode(by(row))

    def events(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[EventRow]]:
        """The rows as events of each stream; rows without key, time or id are left out."""
        made: dict[str, list[EventRow]] = {name: [] for name in self._keys}
        for row in rows:
            known = row.get(self._time)
            event_id = None if known is None else self._encode_id(self._id(row))
            if event_id is None:
                continue
            time_us = _us(known)
            values = tuple([code(check(read(row))) for read, check, code in self._columns])
            for name, key_of in self._keys.items():
                key = key_of(row)
                if key is not None:
                    made[name].append(EventRow(key, time_us, event_id, values))
        return made

    def _checked(self, column: StreamColumn) -> Callable[[Any], Any]:
        """How a pushed value is brought into its column's type."""
        if column.coding == "register" and column.type != "int":
            return lambda value: _typed(value, column.type)
        integer = column.integer or column.coding == "register"

        def number(value: Any) -> Any:
            value = float(value) if isinstance(value, Decimal) else value
            if value is not None and (not isinstance(value, int | float) or (integer and value != value // 1)):
                raise InvalidInput(
                    f"A pushed row of {self._source!r} has the value {value!r}.",
                    why=f"A {'whole ' if integer else ''}number is expected.",
                    fix="Send numbers as numbers, null where there is none.",
                )
            return value

        return number


def _add(sources: list[_Source], windows: Windows) -> None:
    stream = stream_of(windows)
    fitting = [source for source in sources if source.shape == (windows.time, windows.event_id, stream.columns)]
    if not fitting:
        fitting = [_Source(windows, stream)]
        sources += fitting
    fitting[0].add(windows, stream)


def _view_row(view: View) -> Callable[[Mapping[str, Any]], ViewRow | None]:
    """How a view's row becomes what a store keeps; None for a row without entity or time."""
    entity = _fields(view.entity, view.entity_types, view.name)
    encode = key_encoder(view.entity_types)
    time = _fields((view.time,), ("datetime",), view.name) if view.time else None
    values = _fields(tuple(f.name for f in view.fields), tuple(f.type for f in view.fields), view.name)

    def make(row: Mapping[str, Any]) -> ViewRow | None:
        key = encode(entity(row))
        at = None if time is None else time(row)[0]
        if key is None or (time is not None and at is None):
            return None
        return ViewRow(key, 0 if at is None else to_us(at), tuple(plain(value) for value in values(row)))

    return make


def _value_of(name: str, source: str) -> Callable[[Mapping[str, Any]], Any]:
    read = itemgetter(name)

    def value(row: Mapping[str, Any]) -> Any:
        try:
            return read(row)
        except KeyError as error:
            raise InvalidInput(
                f"A pushed row of {source!r} has no {name!r}.",
                why=near(name, row, what="columns"),
                fix="Send null where it is not known.",
                field=name,
            ) from error

    return value


def _fields(names: Sequence[str], types: Sequence[FieldType], source: str) -> Callable[[Mapping[str, Any]], list[Any]]:
    """Reads columns of a pushed row in the types of their fields; JSON carries instants and dates as text."""
    readers = [(_value_of(name, source), kind) for name, kind in zip(names, types, strict=True)]

    def read(row: Mapping[str, Any]) -> list[Any]:
        return [_typed(value(row), kind) for value, kind in readers]

    return read


def _us(value: Any) -> int:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(instant, datetime) and instant.tzinfo is not None:
            return to_us(instant)
    except ValueError:
        pass  # text that is no instant: said below
    raise InvalidInput(
        f"A pushed row has {value!r} where an instant with its time zone is expected.",
        why="Instants are ISO 8601.",
        fix="For example 2013-04-01T12:00:00Z.",
    )


def _as_text_says(value: Any, kind: type[date] | type[timedelta]) -> Any:
    """A date or duration, out of its text where it comes as such: 2013-04-01, PT90M."""
    found = msgspec.convert(value, kind) if isinstance(value, str) else value
    if not isinstance(found, kind) or isinstance(found, datetime):
        return MISFIT
    if isinstance(found, timedelta) and abs(found) > _LONGEST:
        return MISFIT
    return found


def _typed(value: Any, kind: FieldType) -> Any:
    if value is None:
        return None
    problem: Exception | None = None
    typed = MISFIT
    try:
        if kind == "datetime":
            typed = from_us(_us(value))
        elif kind == "date" or kind == "duration":
            typed = _as_text_says(value, date if kind == "date" else timedelta)
        else:
            typed = finite(value) if kind == "float" else value
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        problem = error
    if typed is not MISFIT:
        return typed
    raise InvalidInput(
        f"A pushed row has {value!r} where {'an' if kind == 'int' else 'a'} {kind} is expected.",
        why="Instants are ISO 8601 with their time zone, dates and durations ISO 8601, numbers numbers.",
        fix="Correct the value.",
    ) from problem
