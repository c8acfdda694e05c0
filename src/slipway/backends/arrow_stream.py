"""Arrow's IPC streaming format, by pyarrow: of the readers tried the only one that no damaged stream brings down.

What a small body may grow into is bounded here: compressed bodies are refused (a few kilobytes may hold gigabytes), and
texts are counted as they are made, for thousands of rows may point at one long text.
Source: https://arrow.apache.org/docs/format/Columnar.html, and its Message.fbs for where a batch names its compression.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import ipc, types

from slipway.errors import InvalidInput

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

    def read(
        self, body: bytes, check_rows: Callable[[int], None], check_text: Callable[[int], None]
    ) -> tuple[dict[str, list[Any]], int]:
        """See `BulkFormat`."""
        try:
            _refuse_compressed(body)
            with ipc.open_stream(body) as stream:
                schema, batches, count = stream.schema, [], 0
                _check_schema(schema)
                for batch in stream:
                    count += batch.num_rows
                    check_rows(count)
                    batch.validate(full=True)
                    batches.append(batch)
        except InvalidInput:
            raise
        except _FAILURES as problem:
            raise InvalidInput(
                "The body is no Arrow stream, or is damaged.",
                why=str(problem).partition("\n")[0][:200],
                fix="Send the IPC streaming format (not the file format), uncompressed.",
            ) from problem
        size = 0
        columns: dict[str, list[Any]] = {}
        for place, field in enumerate(schema):
            values: list[Any] = []
            for batch in batches:
                for scalar in _to_microseconds(batch.column(place), field):
                    value = _value(scalar, field.name, len(values))
                    if type(value) is str:
                        size += len(value)
                        check_text(size)
                    values.append(value)
            columns[field.name] = values
        return columns, count

    def write(self, columns: Mapping[str, Sequence[Any]], said: Mapping[str, str]) -> bytes:
        """See `BulkFormat`."""
        table = pa.table({name: pa.array(values, type=_type_of(values)) for name, values in columns.items()})
        sink = pa.BufferOutputStream()
        with ipc.new_stream(sink, table.schema.with_metadata(dict(said))) as stream:
            stream.write_table(table)
        written: bytes = sink.getvalue().to_pybytes()
        return written


def _type_of(values: Sequence[Any]) -> Any:
    return pa.bool_() if all(value is None or type(value) is bool for value in values) else None


def _check_schema(schema: Any) -> None:
    names = set()
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


def _to_microseconds(column: Any, field: Any) -> Any:
    """Instants and durations of nanoseconds in microseconds: Python's own values hold no more, and pandas stays away."""
    kind = field.type
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


def _refuse_compressed(body: bytes) -> None:
    """Refuse batches whose buffers are compressed: how large they become is only known when they are."""
    reader = ipc.MessageReader.open_stream(pa.py_buffer(body))
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
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
