"""What an endpoint answers, in each of its protocols, and what it refuses."""

from contextlib import suppress
from typing import Any

import httpx
import polars as pl
import pytest

from conformance_journey.world import NAME, ROW, World
from slipway.errors import NotFound

PLAIN = {"order_id": "a", "region": "east", "size": 1.0}


def _score(answer: httpx.Response) -> float:
    assert answer.status_code == 200, answer.text
    return float(answer.json()["predictions"][0]["score"])


def _refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return dict(answer.json()["error"])


def answer(world: World) -> None:
    """An answer has an id, a score, a decision, the version and the revision."""
    told = world.ask(PLAIN).json()
    (one,) = told["predictions"]
    assert set(one) == {"id", "score", "decision", "version"}
    assert one["decision"] == (one["score"] >= 0.5)
    assert told["model"]["name"] == NAME


def as_before(world: World) -> None:
    """The same row is answered alike, alone and among others."""
    other = {**PLAIN, "order_id": "b", "size": -1.0}
    alone, among = world.ask(PLAIN).json(), world.ask(other, PLAIN, other).json()
    assert among["predictions"][1]["score"] == alone["predictions"][0]["score"]


def ids_differ(world: World) -> None:
    """Every prediction has an id of its own."""
    told = world.ask(PLAIN, PLAIN, PLAIN).json()["predictions"]
    assert len({one["id"] for one in told}) == 3


def by_client(world: World) -> None:
    """The server passes a question to the endpoint, and gives its answer."""
    told = world.call("endpoints.ask", name=NAME, row=PLAIN)
    assert told.body["predictions"][0]["score"] == _score(world.ask(PLAIN))


def by_command(world: World) -> None:
    """`slipway predict` gives the endpoint's answer."""
    done = world.slipway("predict", NAME, '{"order_id": "a", "region": "east", "size": 1.0}', "--json")
    assert done.exit_code == 0, done.output
    assert str(_score(world.ask(PLAIN))) in done.output


def v2(world: World) -> None:
    """The Open Inference Protocol V2 is answered with the same score."""
    tensors = [
        {"name": "region", "datatype": "BYTES", "shape": [1], "data": ["east"]},
        {"name": "size", "datatype": "FP64", "shape": [1], "data": [1.0]},
        {"name": "order_id", "datatype": "BYTES", "shape": [1], "data": ["a"]},
    ]
    told = world.endpoint.post(f"/v2/models/{NAME}/infer", json={"inputs": tensors}).json()
    outputs = {one["name"]: one["data"] for one in told["outputs"]}
    assert outputs["score"] == [_score(world.ask(PLAIN))]


def v2_metadata(world: World) -> None:
    """V2's metadata names the inputs with their types."""
    told = world.endpoint.get(f"/v2/models/{NAME}").json()
    assert {one["name"]: one["datatype"] for one in told["inputs"]} == {
        "region": "BYTES",
        "size": "FP64",
        "order_id": "BYTES",
    }


def v2_refused(world: World) -> None:
    """A V2 tensor whose shape is not its values' is refused in V2's form."""
    tensor = {"name": "size", "datatype": "FP64", "shape": [2], "data": [1.0]}
    told = world.endpoint.post(f"/v2/models/{NAME}/infer", json={"inputs": [tensor]})
    assert (told.status_code, told.json()) == (
        422,
        {"error": "The tensor inputs.size has 1 values, and its shape is [2]. One value a row."},
    )


def invocations(world: World) -> None:
    """MLflow's invocations are answered by records and by columns with the same score."""
    records = {"dataframe_records": [PLAIN]}
    split = {"dataframe_split": {"columns": list(PLAIN), "data": [list(PLAIN.values())]}}
    for body in (records, split):
        told = world.endpoint.post("/invocations", json=body).json()
        assert told["predictions"] == [_score(world.ask(PLAIN))]


def arrow(world: World) -> None:
    """An Arrow stream is answered with an Arrow stream, row by row."""
    stream = pl.DataFrame([PLAIN, {**PLAIN, "order_id": "b", "size": 2.0}]).write_ipc_stream(None).getvalue()
    kind = {"content-type": "application/vnd.apache.arrow.stream"}
    told = world.endpoint.post(f"/endpoints/{NAME}/predict", content=stream, headers=kind)
    scores = pl.read_ipc_stream(told.content)["score"].to_list()
    assert (len(scores), scores[0]) == (2, _score(world.ask(PLAIN)))


def explained(world: World) -> None:
    """An explanation's contributions add up to the score, the greatest first."""
    told = world.ask(PLAIN, query="?explain=6").json()["predictions"][0]["explanation"]
    sizes = [abs(one["contribution"]) for one in told["contributions"]]
    assert sizes == sorted(sizes, reverse=True)
    assert told["base"] + sum(one["contribution"] for one in told["contributions"]) + told["rest"] == pytest.approx(
        told["score"]
    )


def wrong_type(world: World) -> None:
    """A value of another type is refused by its place, what it is and what was expected."""
    error = _refused(world.ask({**PLAIN, "size": "big"}), 422)
    assert (error["what"], error["why"], error["field"]) == (
        'rows[0].size is the string "big".',
        "Expected a number.",
        "rows[0].size",
    )


def missing(world: World) -> None:
    """A row that lacks a field is refused with the field's name."""
    error = _refused(world.ask({"region": "east", "size": 1.0}), 422)
    assert error["field"] == "rows[0].order_id"


def null(world: World) -> None:
    """A null where none may be is refused."""
    assert _refused(world.ask({**PLAIN, "region": None}), 422)["what"] == "rows[0].region is null."


def second_row(world: World) -> None:
    """Of many rows the one that does not fit is named."""
    assert _refused(world.ask(PLAIN, {**PLAIN, "size": None}), 422)["field"] == "rows[1].size"


def whole_number(world: World) -> None:
    """A whole number is a number, and answered as one."""
    assert _score(world.ask({**PLAIN, "size": 1})) == _score(world.ask(PLAIN))


def unseen(world: World) -> None:
    """A category that training never saw is answered."""
    assert 0 < _score(world.ask({**PLAIN, "region": "moon"})) < 1


def more_fields(world: World) -> None:
    """A field that the contract does not know is passed over and counted."""
    assert _score(world.ask({**PLAIN, "colour": "red"})) == _score(world.ask(PLAIN))
    assert world.endpoint.get(f"/endpoints/{NAME}").json()["unknown_fields"]["colour"] >= 1


def not_json(world: World) -> None:
    """A body that is not JSON is refused with what each row carries."""
    sent = world.endpoint.post(f"/endpoints/{NAME}/predict", content=b"{")
    assert "region, size, order_id" in _refused(sent, 422)["fix"]


def not_finite(world: World) -> None:
    """NaN is not JSON, and is not taken for a number."""
    body = b'{"rows":[{"order_id":"a","region":"east","size":NaN}]}'
    assert "malformed" in _refused(world.endpoint.post(f"/endpoints/{NAME}/predict", content=body), 422)["what"]


def no_rows(world: World) -> None:
    """A request without rows is refused."""
    sent = world.endpoint.post(f"/endpoints/{NAME}/predict", json={"rows": []})
    assert _refused(sent, 422)["what"] == "The request has no rows."


def too_many(world: World) -> None:
    """A request of more rows than the endpoint takes is too large, with the limit."""
    error = _refused(world.ask(*[PLAIN] * 1001), 413)
    assert error["why"] == "This endpoint takes at most 1,000 a request."


def own_time(world: World) -> None:
    """A caller does not choose the time at which the endpoint decides."""
    assert _refused(world.ask(PLAIN, at="2013-03-12T00:00:00Z"), 422)["field"] == "at"


def wrong_method(world: World) -> None:
    """A method that a route does not take is told with the one that it does."""
    assert _refused(world.endpoint.get(f"/endpoints/{NAME}/predict"), 405)["fix"] == "Use POST."


def nowhere(world: World) -> None:
    """A path that leads nowhere is told with the routes there are."""
    assert f"POST /endpoints/{NAME}/predict" in _refused(world.endpoint.get("/nowhere"), 404)["fix"]


def healthy(world: World) -> None:
    """Health, readiness and liveness are told without a question."""
    assert world.endpoint.get("/health").json()["status"] == "ready"
    assert world.endpoint.get("/v2/health/ready").json()["status"] == "ready"
    assert world.endpoint.get("/v2/health/live").json() == {"live": True}


def contract(world: World) -> None:
    """An endpoint tells its contract: fields, types and limits."""
    told = world.endpoint.get(f"/endpoints/{NAME}").json()["contract"]
    fields = {one["name"]: one["type"] for one in told["fields"]}
    assert fields == {"region": "string", "size": "float", "order_id": "string"}
    assert (told["key"], told["max_rows"]) == (["order_id"], 1000)


def counted(world: World) -> None:
    """Answered rows and refused requests are counted in the metrics."""

    def rows() -> int:
        lines = world.endpoint.get("/metrics").text.splitlines()
        return sum(int(line.split()[-1]) for line in lines if line.startswith("slipway_rows_total{"))

    before = rows()
    world.ask(PLAIN, PLAIN)
    assert rows() == before + 2
    assert (
        f'slipway_requests_total{{endpoint="{NAME}",route="predict",status="422"}}'
        in world.endpoint.get("/metrics").text
    )


def request_id(world: World) -> None:
    """A caller's request id comes back, and each request without one gets one."""
    given = world.endpoint.get("/health", headers={"x-request-id": "mine-1"}).headers["x-request-id"]
    made = {world.endpoint.get("/health").headers["x-request-id"] for _ in range(3)}
    assert (given, len(made)) == ("mine-1", 3)


def label_by_id(world: World) -> None:
    """A label is taken by the id of its prediction."""
    one = world.ask({**ROW, "order_id": "L1"}).json()["predictions"][0]["id"]
    sent = world.endpoint.post(f"/endpoints/{NAME}/labels", json={"labels": [{"prediction": one, "value": 1}]})
    assert sent.json() == {"accepted": 1}


def label_by_key(world: World) -> None:
    """A label is taken by the key of its row."""
    world.ask({**ROW, "order_id": "L2"})
    label = {"key": {"order_id": "L2"}, "value": False}
    assert world.endpoint.post(f"/endpoints/{NAME}/labels", json={"labels": [label]}).json() == {"accepted": 1}


def label_of_nothing(world: World) -> None:
    """A label that names no prediction is refused with what names one."""
    sent = world.endpoint.post(f"/endpoints/{NAME}/labels", json={"labels": [{"value": 1}]})
    assert "'key' with order_id" in _refused(sent, 422)["fix"]


def label_of_text(world: World) -> None:
    """A label that is no number and no truth value is refused by its place."""
    label = {"key": {"order_id": "L2"}, "value": "late"}
    sent = world.endpoint.post(f"/endpoints/{NAME}/labels", json={"labels": [label]})
    assert _refused(sent, 422)["field"] == "labels[0].value"


def traced(world: World) -> None:
    """A prediction is traced by its id to the features that it was made of."""
    one = world.ask({**PLAIN, "order_id": "T1"}).json()["predictions"][0]

    def told() -> Any:
        with suppress(NotFound):  # the log is written after the answer
            return world.call("catalog.lineage", what=one["id"]).prediction
        return None

    found = world.until(told)
    assert (found.endpoint, found.score) == (NAME, one["score"])
    assert found.features["size"] == 1.0


BEHAVIOURS = (
    answer,
    as_before,
    ids_differ,
    by_client,
    by_command,
    v2,
    v2_metadata,
    v2_refused,
    invocations,
    arrow,
    explained,
    wrong_type,
    missing,
    null,
    second_row,
    whole_number,
    unseen,
    more_fields,
    not_json,
    not_finite,
    no_rows,
    too_many,
    own_time,
    wrong_method,
    nowhere,
    healthy,
    contract,
    counted,
    request_id,
    label_by_id,
    label_by_key,
    label_of_nothing,
    label_of_text,
    traced,
)
