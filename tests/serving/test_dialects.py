"""V2, MLflow's shapes and Arrow mean the very same rows as the endpoint's own JSON."""

import contextlib
import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc
from serving_desk import CONTRACT, Desk, a_revision

from slipway.errors import InvalidInput, Unauthenticated
from slipway.records.endpoints import Contract, Revision
from slipway.records.schema import Field, FieldType
from slipway.schema.validation import Request
from slipway.serving import arrow, invocations, v2
from slipway.serving import counters as count
from slipway.serving.contracts import ContractReader
from slipway.serving.dialects import Dialect

FLIGHT = {"flight_id": "UA1", "distance": 700.0, "departure": "2013-04-01T13:00:00Z"}
HOME = "/endpoints/delays/predict"
INFER = "/v2/models/delays/infer"
ARROW = {"content-type": "application/vnd.apache.arrow.stream"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES: dict[FieldType, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "string": TEXT,
    "category": TEXT,
    "datetime": st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),
    "date": st.dates(),
    "duration": st.timedeltas(timedelta(days=-900), timedelta(days=900)),
}
DATATYPES = {"bool": "BOOL", "int": "INT64", "float": "FP64"}
LETTERS = {"BOOL": "?", "INT64": "q", "FP64": "d"}
TYPES: dict[str, Any] = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "category": pa.dictionary(pa.int8(), pa.string()),
    "datetime": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
    "duration": pa.duration("us"),
}


def tensor(name: str, values: list[Any], datatype: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(values)], "datatype": datatype, "data": values, **more}


@st.composite
def requests(draw: st.DrawFn) -> tuple[Contract, list[dict[str, Any]]]:
    kinds = draw(st.lists(st.tuples(st.sampled_from(sorted(VALUES)), st.booleans()), min_size=1, max_size=6))
    fields = tuple(Field(f"a field {place}", kind, nullable) for place, (kind, nullable) in enumerate(kinds))

    def value(field: Field) -> st.SearchStrategy[Any]:
        return st.none() | VALUES[field.type] if field.nullable else VALUES[field.type]

    row = st.fixed_dictionaries({field.name: value(field) for field in fields})
    return Contract(fields=fields), draw(st.lists(row, min_size=1, max_size=4))


def plain(value: Any) -> Any:
    """A value as JSON writes it."""
    return msgspec.to_builtins(value)


def as_v2(contract: Contract, rows: list[dict[str, Any]], *, masked: bool) -> dict[str, Any]:
    inputs = []
    for field in contract.fields:
        values = [plain(row[field.name]) for row in rows]
        nulls = [value is None for value in values]
        if masked and any(nulls):
            filler = {"bool": False, "int": 0, "float": 0.5}.get(field.type, "not a value")
            values = [filler if value is None else value for value in values]
            inputs.append({**tensor(field.name + ":null", nulls, "BOOL"), "shape": [len(rows), 1]})
        inputs.append(tensor(field.name, values, DATATYPES.get(field.type, "BYTES")))
    return {"inputs": inputs}


def as_binary(asked: dict[str, Any]) -> tuple[bytes, int]:
    """The same with all tensors behind the JSON; nulls must be masked."""
    inputs, behind = [], b""
    for one in asked["inputs"]:
        letter = LETTERS.get(one["datatype"])
        if letter is None:
            data = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in one["data"])
        else:
            data = struct.pack(f"<{len(one['data'])}{letter}", *one["data"])
        head = {key: value for key, value in one.items() if key != "data"}
        inputs.append({**head, "parameters": {"binary_data_size": len(data)}})
        behind += data
    head_bytes = json.dumps({"inputs": inputs}).encode()
    return head_bytes + behind, len(head_bytes)


def as_arrow(contract: Contract, rows: list[dict[str, Any]], **options: Any) -> bytes:
    names = [field.name for field in contract.fields]
    arrays = [pa.array([row[field.name] for row in rows], type=TYPES[field.type]) for field in contract.fields]
    return stream_of(pa.table(arrays, names=names), **options)


def stream_of(table: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema, **options) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def understood(dialect: Dialect | None, body: bytes | dict[str, Any], revision: Revision, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    if dialect is None:
        stream = arrow.opened(raw, revision.contract)
        halves = [stream.part(0, 1), stream.part(1, stream.count)] if stream.count > 1 else [stream.part(0, 1)]
        return Request([row for half in halves for row in half], None)
    return ContractReader(revision.contract).decode(dialect.read(raw, named, revision).body)


@settings(deadline=None, max_examples=60)
@given(requests())
def test_every_protocol_means_the_same_rows(asked: tuple[Contract, list[dict[str, Any]]]) -> None:
    contract, rows = asked
    revision = a_revision(contract=contract)
    expected = ContractReader(contract).decode(msgspec.json.encode({"rows": rows}))
    names = [field.name for field in contract.fields]
    told = [plain(row) for row in rows]
    masked = as_v2(contract, rows, masked=True)
    binary, length = as_binary(masked)
    split = {"columns": names, "data": [[row[name] for name in names] for row in told]}
    columns = {name: [row[name] for row in told] for name in names}
    for said, found in {
        "v2": understood(v2.DIALECT, as_v2(contract, rows, masked=False), revision),
        "v2, masked": understood(v2.DIALECT, masked, revision),
        "v2, binary": understood(v2.DIALECT, binary, revision, inference_header_content_length=str(length)),
        "split": understood(invocations.DIALECT, {"dataframe_split": split}, revision),
        "records": understood(invocations.DIALECT, {"dataframe_records": told}, revision),
        "instances": understood(invocations.DIALECT, {"instances": told}, revision),
        "inputs": understood(invocations.DIALECT, {"inputs": columns}, revision),
        "arrow": understood(None, as_arrow(contract, rows), revision),
    }.items():
        assert found == expected, said


def test_whole_numbers_of_more_than_64_bits_are_refused_by_their_place() -> None:
    revision = a_revision(contract=Contract(fields=(Field("x", "int"),)))
    for dialect, asked in (
        (v2.DIALECT, {"inputs": [tensor("x", [1, 2**64], "INT64")]}),
        (v2.DIALECT, {"inputs": [tensor("x", [1, 2**63], "UINT64")]}),
        (invocations.DIALECT, {"instances": [{"x": 1}, {"x": 2**70}]}),
        (None, stream_of(pa.table({"x": pa.array([1, 2**63], pa.uint64())}))),
    ):
        with pytest.raises(InvalidInput, match="at most 64 bits") as refused:
            understood(dialect, asked, revision)
        assert refused.value.field == "rows[1].x"


def test_nan_is_null_where_the_field_may_be_null_and_refused_elsewhere() -> None:
    nan = struct.pack("<dd", 1.5, float("nan"))
    for nullable in (True, False):
        revision = a_revision(contract=Contract(fields=(Field("x", "float", nullable),)))
        head = {"name": "x", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}
        raw = json.dumps({"inputs": [head]}).encode()
        for dialect, body, more in (
            (v2.DIALECT, raw + nan, {"inference_header_content_length": str(len(raw))}),
            (None, stream_of(pa.table({"x": pa.array([1.5, float("nan")])})), {}),
        ):
            if nullable:
                assert understood(dialect, body, revision, **more).rows == [[1.5], [None]]
            else:
                with pytest.raises(InvalidInput, match="is null") as refused:
                    understood(dialect, body, revision, **more)
                assert refused.value.field == "rows[1].x"


def v2_of(rows: list[dict[str, Any]], contract: Contract = CONTRACT) -> dict[str, Any]:
    return as_v2(contract, rows, masked=False)


def test_a_v2_answer_has_scores_ids_versions_and_decisions_as_tensors(desk: Desk) -> None:
    rows = [FLIGHT, {"flight_id": "B6", "distance": None, "departure": None}]
    said = desk.ask("POST", INFER, json={"id": "mine", **v2_of(rows)}).json()
    assert (said["model_name"], said["model_version"], said["id"]) == ("delays", "1", "mine")
    assert said["parameters"] == {"revision": 1}
    found = {one["name"]: one for one in said["outputs"]}
    assert found["score"] == {"name": "score", "shape": [2], "datatype": "FP64", "data": [0.7, 0.5]}
    assert found["decision"] == {"name": "decision", "shape": [2], "datatype": "BOOL", "data": [True, False]}
    assert found["version"]["data"] == [1, 1]
    desk.close()
    assert found["id"]["data"] == [row.id for row in desk.logged]
    assert [row.request[1] for row in desk.logged] == [700.0, None]
    assert desk.counters.total(count.request_counter("predict", 200)) == 1
    assert desk.counters.total(count.LOG_WRITTEN) == 2


def test_a_v2_caller_chooses_outputs_and_a_decision_that_is_none_is_left_out(desk: Desk) -> None:
    asked = {**v2_of([FLIGHT]), "outputs": [{"name": "score"}]}
    assert [one["name"] for one in desk.ask("POST", INFER, json=asked).json()["outputs"]] == ["score"]
    desk.serve(threshold=None)
    outputs = desk.ask("POST", INFER, json=v2_of([FLIGHT])).json()["outputs"]
    assert [one["name"] for one in outputs] == ["id", "score", "version"]


def test_what_v2_says_of_server_and_model(desk: Desk) -> None:
    assert desk.ask("GET", "/v2").json()["extensions"] == ["binary_tensor_data"]
    assert desk.ask("GET", "/v2/health/live").json() == {"live": True}
    said = desk.ask("GET", "/v2/models/delays").json()
    assert said["inputs"][0] == {
        "name": "flight_id",
        "datatype": "BYTES",
        "shape": [-1],
        "parameters": {"type": "string", "nullable": False},
    }
    assert said["inputs"][1]["parameters"]["null_mask"] == "distance:null"
    assert [one["name"] for one in said["outputs"]] == ["id", "score", "decision", "version"]
    for path in ("/v2/health/ready", "/v2/models/delays/ready"):
        assert desk.ask("GET", path).status_code == 200
    desk.active = None
    for path in ("/v2/health/ready", "/v2/models/delays/ready"):
        assert "loading" in v2_error(desk.ask("GET", path), 503)
    assert desk.ask("GET", "/v2/health/live").status_code == 200
    assert "/v2/models/other" in v2_error(desk.ask("GET", "/v2/models/other"), 404)


def v2_error(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    return str(answer.json()["error"])


def changed(which: str, **changes: Any) -> dict[str, Any]:
    inputs = v2_of([FLIGHT, {**FLIGHT, "distance": None}])["inputs"]
    return {"inputs": [{**one, **changes} if one["name"] == which else one for one in inputs]}


HOSTILE_V2: list[tuple[Any, int, str]] = [
    ({}, 422, "inputs"),
    ({"inputs": []}, 422, "no rows"),
    ({"inputs": {}}, 422, "inputs"),
    (changed("distance", shape=[3]), 422, "inputs.distance"),
    (changed("distance", shape=[-2]), 422, "inputs.distance"),
    (changed("distance", shape=[]), 422, "inputs.distance"),
    (changed("distance", shape=[1, 2]), 422, "inputs.distance"),
    (changed("distance", shape=[2, 1, 1]), 422, "inputs.distance"),
    (changed("flight_id", shape=[2**62]), 413, "4,611,686,018,427,387,904 rows"),
    (changed("flight_id", shape=[2**70]), 413, "rows"),
    (changed("distance", shape=["x"]), 422, "shape[0]"),
    (changed("distance", datatype="FP128"), 422, "FP128"),
    (changed("distance", datatype="BOOL", data=[True, False]), 422, "send FP* or INT* or UINT*"),
    (changed("distance", datatype="BYTES", data=["1", "2"]), 422, "inputs.distance"),
    (changed("distance", data=["x", "y"]), 422, "data[0]"),
    (changed("distance", data=[1.0]), 422, "inputs.distance"),
    (changed("distance", data=[[1.0], [2.0]]), 422, "inputs.distance"),
    (changed("distance", shape=[2, 1], data=[[1.0], 2.0]), 422, "data[1]"),
    (changed("distance", shape=[2, 1], data=[[1.0], [2.0, 3.0]]), 422, "data[1]"),
    (changed("distance", data="12"), 422, "inputs.distance"),
    (changed("distance", data={"a": 1}), 422, "inputs.distance"),
    (changed("distance", name="flight_id"), 422, "comes twice"),
    (changed("distance", name="distance:null"), 422, "send BOOL"),
    (changed("distance", name="distance:null", datatype="BOOL", data=[True, True]), 422, "no input 'distance' came"),
    (changed("distance", name="distanz"), 422, "did you mean 'distance'"),
    (changed("flight_id", data=["UA1", None]), 422, "rows[1].flight_id"),
    (changed("departure", data=["2013-04-01T13:00:00", None]), 422, "rows[0].departure"),
    (changed("distance", parameters={"binary_data_size": 8}), 422, "binary_data_size"),
    (changed("distance", parameters={"binary_data_size": -1}), 422, "binary_data_size"),
    (changed("distance", parameters={"binary_data_size": True}), 422, "binary_data_size"),
    (changed("distance", parameters={"binary_data_size": 0}), 422, "both"),
    ({**v2_of([FLIGHT]), "outputs": [{"name": "scores"}]}, 422, "score"),
    (v2_of([FLIGHT] * 6), 413, "6 rows"),
    (b'{"inputs": [{"name": "distance", "shape": [1], "datatype": "FP64", "data": [NaN]}]}', 422, "no JSON"),
    (b"[" * 1900, 422, ""),
    (b"\xff\xfe", 422, "no JSON"),
    (b"", 422, "no JSON"),
    (b" " * 3000, 413, "3,000"),
]


@pytest.mark.parametrize(("asked", "status", "named"), HOSTILE_V2)
def test_a_v2_request_that_does_not_fit_is_refused_by_its_place(
    desk: Desk, asked: Any, status: int, named: str
) -> None:
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    assert named in v2_error(desk.ask("POST", INFER, content=body), status)
    assert desk.ask("POST", INFER, json=v2_of([FLIGHT])).status_code == 200


def binary(names: dict[str, tuple[str, int, bytes]], length: str | None = None, tail: bytes = b"") -> dict[str, Any]:
    inputs = [
        {"name": name, "shape": [n], "datatype": kind, "parameters": {"binary_data_size": len(data)}}
        for name, (kind, n, data) in names.items()
    ]
    head = json.dumps({"inputs": inputs}).encode()
    content = head + b"".join(data for _, _, data in names.values()) + tail
    return {"content": content, "headers": {"inference-header-content-length": length or str(len(head))}}


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (binary({"distance": ("FP64", 2, b"\0" * 9)}), "9 bytes for 2 values"),
        (binary({"distance": ("FP64", 1, struct.pack("<d", float("inf")))}), "rows[0].distance is inf"),
        (binary({"flight_id": ("BYTES", 1, b"\xff\xff\xff\xffab")}), "does not hold 1 texts"),
        (binary({"flight_id": ("BYTES", 2, b"\1\0\0\0a")}), "does not hold 2 texts"),
        (binary({"flight_id": ("BYTES", 1, b"\1\0\0\0a\1\0\0\0b")}), "does not hold 1 texts"),
        (binary({"flight_id": ("BYTES", 1, b"\1\0")}), "does not hold 1 texts"),
        (binary({"flight_id": ("BYTES", 1, b"\1\0\0\0\xff")}), "not UTF-8"),
        (binary({"flight_id": ("BYTES", 1, b"\1\0\0\0a")}, tail=b"xyz"), "3 bytes are left"),
        (binary({}, length="99999"), "Inference-Header-Content-Length"),
        (binary({}, length="-1"), "Inference-Header-Content-Length"),
        (binary({}, length="9" * 5000), "Inference-Header-Content-Length"),
    ],
)
def test_bytes_behind_the_json_that_do_not_fit_are_refused(desk: Desk, request_: dict[str, Any], named: str) -> None:
    assert named in v2_error(desk.ask("POST", INFER, **request_), 422)


def test_an_unknown_input_is_counted_and_a_strict_contract_refuses_it(desk: Desk) -> None:
    asked = v2_of([FLIGHT])
    asked["inputs"].append(tensor("gate", ["B3"], "BYTES"))
    assert desk.ask("POST", INFER, json=asked).status_code == 200
    assert desk.counters.total(count.UNKNOWN_FIELDS) == 1
    desk.serve(contract=msgspec.structs.replace(CONTRACT, strict=True))
    assert "'gate'" in v2_error(desk.ask("POST", INFER, json=asked), 422)


def test_mlflow_is_answered_with_predictions(desk: Desk) -> None:
    rows = [FLIGHT, {"flight_id": "B6", "distance": None, "departure": None}]
    said = desk.ask("POST", "/invocations", json={"dataframe_records": rows, "params": {}}).json()
    assert said["predictions"] == [0.7, 0.5]
    desk.close()
    assert said["ids"] == [row.id for row in desk.logged]


SPLIT = {"columns": list(FLIGHT), "data": [list(FLIGHT.values())]}


@pytest.mark.parametrize(
    ("asked", "status", "named"),
    [
        ({}, 422, "none of"),
        ({"dataframe_records": [FLIGHT], "instances": [FLIGHT]}, 422, "both"),
        ({"dataframe_records": [FLIGHT], "rows": []}, 422, "rows"),
        ({"dataframe_records": [FLIGHT], "params": {"top": 1}}, 422, "params"),
        ({"dataframe_records": [{"distance": 1}]}, 422, "no field 'flight_id'"),
        ({"dataframe_records": []}, 422, "no rows"),
        ({"dataframe_records": [FLIGHT] * 6}, 413, "6 rows"),
        ({"instances": [["UA1", 700.0, None]]}, 422, "instances[0]"),
        ({"inputs": [[1.0]]}, 422, "inputs"),
        ({"inputs": {"flight_id": ["a", "b"], "distance": [1.0]}}, 422, "inputs.distance"),
        ({"inputs": {"flight_id": ["a"] * 6}}, 413, "6 rows"),
        ({"dataframe_split": {**SPLIT, "data": [["UA1", 1.0]]}}, 422, "dataframe_split.data[0]"),
        ({"dataframe_split": {**SPLIT, "columns": ["a", "a", "b"]}}, 422, "'a' twice"),
        ({"dataframe_split": {**SPLIT, "data": [["UA1", "far", None]]}}, 422, "rows[0].distance"),
        ({"dataframe_split": {**SPLIT, "data": SPLIT["data"] * 6}}, 413, "6 rows"),
        (b'{"dataframe_records": [{"distance": NaN}]}', 422, "no JSON"),
        (b'{"instances": ' + b"[" * 1800, 422, ""),
        (b" " * 3000, 413, "3,000"),
    ],
)
def test_an_invocation_that_does_not_fit_is_refused_by_its_place(
    desk: Desk, asked: Any, status: int, named: str
) -> None:
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    answer = desk.ask("POST", "/invocations", content=body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error_code", "message"}
    assert named in answer.json()["message"]
    assert desk.ask("POST", "/invocations", json={"dataframe_split": SPLIT}).status_code == 200


def test_the_challengers_share_counts_in_every_protocol_alike(desk: Desk) -> None:
    """A row goes by its key, whatever wrote it: its logged key is the same."""
    desk.predict(FLIGHT)
    desk.ask("POST", INFER, json=v2_of([FLIGHT]))
    desk.ask("POST", "/invocations", json={"dataframe_split": SPLIT})
    desk.close()
    assert len({(row.key, tuple(row.request), tuple(row.features)) for row in desk.logged}) == 1
    assert len(desk.logged) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_whatever_stands_in_a_request_it_is_read_or_refused(data: st.DataObject) -> None:
    """Anything may be replaced by anything: nothing but a refusal comes of it."""
    dialect, asked = data.draw(
        st.sampled_from(
            [
                (v2.DIALECT, v2_of([FLIGHT, {**FLIGHT, "distance": None}])),
                (invocations.DIALECT, {"dataframe_split": SPLIT}),
                (invocations.DIALECT, {"inputs": {name: [value] for name, value in FLIGHT.items()}}),
                (invocations.DIALECT, {"instances": [FLIGHT]}),
            ]
        )
    )
    asked = json.loads(json.dumps(asked))
    place: Any = asked
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.integers(0, 3)) == 0:
            place[key] = data.draw(JSON)
            break
        place = place[key]
    with contextlib.suppress(InvalidInput):
        understood(dialect, asked, a_revision())


@pytest.mark.parametrize("path", [INFER, "/invocations", "/v2", "/v2/models/delays"])
def test_who_is_not_known_is_refused_on_every_route(path: str) -> None:
    def nobody(*arguments: Any) -> str:
        raise Unauthenticated("This endpoint does not know who calls.")

    desk = Desk(admit=nobody)
    try:
        method = "GET" if path.startswith("/v2") and path != INFER else "POST"
        answer = desk.ask(method, path, content=b"{}")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "does not know who calls" in answer.json().get("error", answer.json().get("message"))
        for open_to_all in ("/v2/health/live", "/v2/health/ready", "/v2/models/delays/ready"):
            assert desk.ask("GET", open_to_all).status_code == 200
    finally:
        desk.close()
