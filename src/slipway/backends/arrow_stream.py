"""Arrow's IPC streaming format, by pyarrow: of the readers tried the only one that no damaged stream brings down.

What a small body may grow into is bounded here: compressed bodies are refused (a few kilobytes may hold gigabytes), and
texts are counted before they are made, for thousands of rows may point at one long text.
Source: https://arrow.apache.org/docs/format/Columnar.html, and its Message.fbs for where a batch names its compression.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import ipc, types

from slipway.backends.arrow_columns import Take as _Take
from slipway.backends.arrow_columns import bytes_of_text as _bytes_of_text
from slipway.backends.arrow_columns import fitting
from slipway.errors import InvalidInput, near
from slipway.ports.bulk_format import BulkRows, BulkWriter
from slipway.records.schema import Field, FieldType

__all__ = ["ArrowStream"]

_HEADER = 2
_DATA_OF_DICTIONARY = 1
_COMPRESSION = 3
_PLAIN = (
    types.is_null,
    types.is_boolean,
    types.is_integer,
    types.is_floating,
    types.is_string,
    types.is_large_string,
    types.is_string_view,
    types.is_timestamp,
    types.is_date32,
    types.is_duration,
)
_WRITTEN = {"string": pa.string(), "float": pa.float64(), "bool": pa.bool_(), "int": pa.int64()}
_FAILURES = (
    pa.ArrowException,
    OSError,
    ValueError,
    OverflowError,
    KeyError,
    IndexError,
    MemoryError,
    struct.error,
)


class ArrowStream:
    """`application/vnd.apache.arrow.stream`."""

    def open(
        self,
        body: bytes,
        fields: Sequence[Field],
        check_rows: Callable[[int], None],
        check_text: Callable[[int], None],
    ) -> BulkRows:
        """See `BulkFormat`."""
        try:
            _look_through(body)
            with ipc.open_stream(body) as stream:
                schema, batches, count = stream.schema, [], 0
                _check_schema(schema, fields)
                for batch in stream:
                    count += batch.num_rows
                    check_rows(count)
                    batch.validate(full=True)
                    batches.append(batch)
            # One chunk a column: who sends a batch a row shall not have each part looked for among a million chunks.
            columns = [
                pa.chunked_array([batch.column(place) for batch in batches], field.type).combine_chunks()
                for place, field in enumerate(schema)
            ]
            check_text(sum(_bytes_of_text(column) for column in columns))
        except InvalidInput:
            raise
        except _FAILURES as problem:
            raise InvalidInput(
                "The body is no Arrow stream, or is damaged.",
                why=str(problem).partition("\n")[0][:200],
                fix="Send the IPC streaming format (not the file format), uncompressed.",
            ) from problem
        return _Rows(count, dict(zip(schema.names, columns, strict=True)), fields)

    def writer(self, kinds: Mapping[str, FieldType], said: Mapping[str, str]) -> BulkWriter:
        """See `BulkFormat`."""
        return _Writer(pa.schema([(name, _WRITTEN[kind]) for name, kind in kinds.items()], metadata=dict(said)))


class _Writer:
    tail = b"\xff\xff\xff\xff\0\0\0\0"

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self.head: bytes = schema.serialize().to_pybytes()

    def rows(self, columns: Sequence[Sequence[Any]]) -> bytes:
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
        written: bytes = pa.record_batch(arrays, schema=self._schema).serialize().to_pybytes()
        return written


class _Rows:
    """See `BulkRows`."""

    def __init__(self, count: int, columns: Mapping[str, Any], fields: Sequence[Field]) -> None:
        self.count = count
        known = {field.name for field in fields}
        self.unknown = [name for name in columns if name not in known]
        self._columns: list[tuple[str, Any, _Take]] = []
        unchecked = []
        for field in fields:
            fitted = fitting(columns[field.name], field)
            if fitted is None:
                unchecked.append(field.name)
                fitted = _to_microseconds(columns[field.name], field), _one_by_one
            self._columns.append((field.name, *fitted))
        self.unchecked = frozenset(unchecked)

    def part(self, first: int, count: int) -> list[list[Any]]:
        return [take(column.slice(first, count), name, first) for name, column, take in self._columns]


def _one_by_one(column: Any, name: str, first: int) -> list[Any]:
    return [_value(scalar, name, row) for row, scalar in enumerate(column, first)]


def _look_through(body: bytes) -> None:
    """Refuse compressed batches (how large they become is only known when they are), and a stream that has no end."""
    source = pa.BufferReader(body)
    reader, read = ipc.MessageReader.open_stream(source), 0
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            if source.tell() > read:
                return
            raise InvalidInput(
                "The body is no Arrow stream, or was cut off: its end is not marked.",
                why="What is missing would go unnoticed.",
                fix="Close the writer before the stream is sent.",
            ) from None
        read = source.tell()
        _refuse_compressed(message)


def _check_schema(schema: Any, fields: Sequence[Field]) -> None:
    names: set[str] = set()
    for field in schema:
        if field.name in names:
            raise InvalidInput(f"The stream has two columns {field.name!r}.", fix="Send each once.", field=field.name)
        names.add(field.name)
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        if not any(is_one(kind) for is_one in _PLAIN):
            raise InvalidInput(
                f"The column {field.name!r} is of {str(field.type)[:80]}, which no field of a request can be.",
                fix="Send booleans, whole and floating numbers, texts (dictionaries of them too), timestamps, dates or "
                "durations.",
                field=field.name,
            )
    for wanted in fields:
        if wanted.name not in names:
            raise InvalidInput(
                f"The stream has no column {wanted.name!r}.",
                why="The contract requires a column for every field; where a value is unknown, it is null.",
                fix=near(wanted.name, schema.names, what="columns"),
                field=wanted.name,
            )


def _to_microseconds(column: Any, field: Field) -> Any:
    """Instants and durations of nanoseconds in microseconds: Python's own values hold no more, and pandas stays away."""
    kind = column.type
    if not (types.is_timestamp(kind) or types.is_duration(kind)) or kind.unit != "ns":
        return column
    try:
        return column.cast(pa.duration("us") if types.is_duration(kind) else pa.timestamp("us", kind.tz))
    except _FAILURES as problem:
        raise InvalidInput(
            f"The column {field.name!r} has values between two microseconds.",
            why="A request's instants and durations are counted in microseconds.",
            fix="Round them before they are sent.",
            field=field.name,
        ) from problem


def _value(scalar: Any, name: str, row: int) -> Any:
    try:
        return scalar.as_py()
    except _FAILURES as problem:
        raise InvalidInput(
            f"rows[{row}].{name} cannot be read: {str(problem)[:120]}",
            why="Instants and durations are counted in microseconds, in the years 1 to 9999; texts are UTF-8.",
            field=f"rows[{row}].{name}",
        ) from problem


def _refuse_compressed(message: Any) -> None:
    metadata = message.metadata.to_pybytes()
    table = _child(metadata, struct.unpack_from("<I", metadata, 0)[0], _HEADER)
    if message.type == "dictionary":
        table = _child(metadata, table, _DATA_OF_DICTIONARY)
    if message.type in ("record batch", "dictionary") and _child(metadata, table, _COMPRESSION):
        raise InvalidInput(
            "The stream is compressed.",
            why="How large it becomes would only be known when it is.",
            fix="Send it uncompressed; HTTP's own limit of bytes counts for what is sent.",
        )


def _child(metadata: bytes, table: int, field: int) -> int:
    """Where a table's field that is a table begins, 0 where it has none. pyarrow verified the metadata before."""
    if table == 0:
        return 0
    layout = table - struct.unpack_from("<i", metadata, table)[0]
    place = 4 + 2 * field
    if place >= struct.unpack_from("<H", metadata, layout)[0]:
        return 0
    offset = struct.unpack_from("<H", metadata, layout + place)[0]
    return table + offset + struct.unpack_from("<I", metadata, table + offset)[0] if offset else 0
