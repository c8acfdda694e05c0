"""Arrow on the predict route: what comes in and goes out, what is refused, and that nobody pays for it who sends none."""

import contextlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc
from serving_desk import CONTRACT, Desk, error_of

from slipway import plugins
from slipway.errors import InvalidInput, MissingExtra
from slipway.records.endpoints import Contract
from slipway.serving import arrow
from slipway.serving import counters as count

HOME = "/endpoints/delays/predict"
TYPE = {"content-type": "application/vnd.apache.arrow.stream"}
AT = datetime(2013, 4, 1, 13, tzinfo=UTC)


def flights(rows: int = 2, **columns: Any) -> Any:
    plain = {
        "flight_id": pa.array([f"UA{row}" for row in range(rows)]),
        "distance": pa.array([700.0, None][:rows] + [1.0] * (rows - 2)),
        "departure": pa.array([AT] * rows, pa.timestamp("us", "UTC")),
    }
    return pa.table({**plain, **columns})


def stream_of(table: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema, **options) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def test_a_stream_is_answered_with_a_stream(desk: Desk) -> None:
    answer = desk.ask("POST", HOME, content=stream_of(flights()), headers=TYPE)
    assert (answer.status_code, answer.headers["content-type"]) == (200, TYPE["content-type"])
    found = ipc.open_stream(answer.content).read_all()
    assert found.column("score").to_pylist() == [0.7, 0.5]
    assert found.column("decision").to_pylist() == [True, False]
    assert json.loads(found.schema.metadata[b"model"])["name"] == "delays"
    desk.close()
    assert found.column("id").to_pylist() == [row.id for row in desk.logged]
    assert [row.request[1:] for row in desk.logged] == [[700.0, AT], [None, AT]]
    assert desk.counters.total(count.LOG_WRITTEN) == 2


def test_without_a_threshold_decisions_are_null(desk: Desk) -> None:
    desk.serve(threshold=None)
    answer = desk.ask("POST", HOME, content=stream_of(flights()), headers=TYPE)
    decisions = ipc.open_stream(answer.content).read_all().column("decision")
    assert (decisions.to_pylist(), decisions.type) == ([None, None], pa.bool_())


LONG = "x" * 900
SHARED = pa.DictionaryArray.from_arrays(pa.array([0] * 5, pa.int8()), pa.array([LONG]))


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"", 422, "no Arrow stream"),
        (b"ARROW1\0\0", 422, "no Arrow stream"),
        (b'{"rows": []}', 422, "no Arrow stream"),
        (stream_of(flights())[:-400], 422, "no Arrow stream"),
        (stream_of(flights(0)), 422, "no rows"),
        (stream_of(flights())[:-8], 422, "its end is not marked"),
        (stream_of(flights(6)), 413, "6 rows"),
        (stream_of(flights(5, flight_id=SHARED)), 413, "more than 2,000 bytes"),
        (stream_of(flights(5, gate=pa.array([None] * 5))), 200, ""),
        (stream_of(flights(), options=ipc.IpcWriteOptions(compression="zstd")), 422, "compressed"),
        (stream_of(flights(), options=ipc.IpcWriteOptions(compression="lz4")), 422, "compressed"),
        (stream_of(flights(distance=pa.array([[1.0], [2.0]]))), 422, "'distance' is of list"),
        (stream_of(flights(distance=pa.array(["far", "near"]))), 422, "rows[0].distance"),
        (stream_of(flights(distance=pa.array([1.0, float("inf")]))), 422, "rows[1].distance"),
        (stream_of(flights(flight_id=pa.array(["UA1", None]))), 422, "rows[1].flight_id"),
        (stream_of(flights(departure=pa.array([AT.replace(tzinfo=None)] * 2, pa.timestamp("us")))), 422, "time zone"),
        (stream_of(flights(departure=pa.array([2**62] * 2, pa.timestamp("us", "UTC")))), 422, "rows[0].departure"),
        (stream_of(flights(departure=pa.array([1] * 2, pa.timestamp("ns", "UTC")))), 422, "'departure'"),
        (stream_of(flights(departure=pa.array([10**18] * 2, pa.timestamp("ns", "UTC")))), 200, ""),
        (stream_of(flights(departure=pa.array([1] * 2, pa.timestamp("us", "No/Where")))), 422, "rows[0].departure"),
        (stream_of(flights().select(["flight_id", "distance"])), 422, "'departure'"),
        (stream_of(pa.table([pa.array([1.0]), pa.array([1.0])], names=["distance", "distance"])), 422, "two columns"),
        (b"\0" * 3000, 413, "at most 2,000"),
    ],
)
def test_a_stream_that_does_not_fit_is_refused_in_a_sentence(desk: Desk, body: bytes, status: int, named: str) -> None:
    limit = 2000 if "2,000" in named else 9000
    desk.serve(contract=msgspec.structs.replace(CONTRACT, bulk_rows=5, bulk_bytes=limit))
    answer = desk.ask("POST", HOME, content=body, headers=TYPE)
    assert answer.status_code == status, answer.text
    assert named in (error_of(answer, status)["what"] + error_of(answer, status)["why"] if named else "")
    assert desk.predict({"flight_id": "UA1", "distance": 1.0, "departure": None}).status_code == 200


def test_a_row_without_columns_costs_nothing_however_many_there_are() -> None:
    schema = pa.schema([])
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, schema) as stream:
        stream.write_batch(pa.RecordBatch.from_struct_array(pa.array([{}] * 10**5, pa.struct([]))))
    with pytest.raises(InvalidInput, match="100,000 rows"):
        arrow.opened(sink.getvalue().to_pybytes(), Contract(fields=(), bulk_rows=50_000))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_stream_is_refused_or_read_and_never_fails_otherwise(data: st.DataObject) -> None:
    body = bytearray(stream_of(flights(3, carrier=pa.array(["A", "B", None]).dictionary_encode())))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        what = data.draw(
            st.sampled_from([b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0" * 8, b"", b"\xff" * 8])
        )
        body[at : at + max(len(what), 1)] = what
    with contextlib.suppress(InvalidInput):
        arrow.opened(bytes(body), CONTRACT).part(0, 3)


def test_where_pyarrow_is_not_installed_the_answer_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(port: str, name: str) -> Any:
        raise MissingExtra("no pyarrow")

    monkeypatch.setattr(plugins, "load", missing)
    said = error_of(desk.ask("POST", HOME, content=stream_of(flights()), headers=TYPE), 415)
    assert "slipway[arrow]" in said["fix"]
    assert desk.counters.total(count.request_counter("predict", 415)) == 1
    assert desk.predict({"flight_id": "UA1", "distance": 1.0, "departure": None}).status_code == 200


def test_the_app_alone_loads_no_reader_of_arrow() -> None:
    code = "import sys, slipway.hosts.endpoint_worker; print([m for m in ('pyarrow', 'polars', 'pandas') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
