"""An image's app: the endpoint's protocols and request ids, and nothing that it could not keep."""

import asyncio
import io
from typing import Any

import httpx
import polars as pl
import pytest
from serving_desk import CONTRACT, a_revision, an_active

from slipway.records.endpoints import StandAlone
from slipway.serving.alone import build_alone
from slipway.serving.counters import Counters

ROW = {"flight_id": "UA1", "distance": 700.0, "departure": None}
HOME = "/endpoints/delays/predict"
V2 = "/v2/models/delays/infer"


def ask(method: str, path: str, **more: Any) -> httpx.Response:
    revision = a_revision(0)
    about = StandAlone(project="flights", name="delays", served=revision.served, contract=CONTRACT)
    app = build_alone(about, an_active(revision), Counters())

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **more)

    return asyncio.run(once())


def v2_of(**values: Any) -> dict[str, Any]:
    kinds = {"flight_id": "BYTES", "distance": "FP64", "departure": "BYTES"}
    inputs = [{"name": n, "shape": [1], "datatype": kinds[n], "data": [value]} for n, value in values.items()]
    return {"inputs": inputs}


def test_the_same_row_has_the_same_answer_in_every_protocol() -> None:
    (told,) = ask("POST", HOME, json={"rows": [ROW]}).json()["predictions"]
    tensors = {one["name"]: one["data"] for one in ask("POST", V2, json=v2_of(**ROW)).json()["outputs"]}
    records = ask("POST", "/invocations", json={"dataframe_records": [ROW]}).json()
    assert told["score"] == 0.7
    assert tensors["score"] == records["predictions"] == [0.7]
    assert ask("GET", "/v2/models/delays").json()["inputs"][1]["name"] == "distance"
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/delays/ready"):
        assert ask("GET", path).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (HOME, {"rows": [{**ROW, "distance": "far"}]}, lambda told: told["error"]["field"]),
        (V2, v2_of(**{**ROW, "distance": "far"}), lambda told: told["error"]),
        ("/invocations", {"instances": [{**ROW, "distance": "far"}]}, lambda told: told["message"]),
    ],
)
def test_an_error_has_the_protocol_s_form_and_names_the_field(path: str, body: Any, said: Any) -> None:
    answer = ask("POST", path, json=body, headers={"x-request-id": "mine"})
    assert answer.status_code == 422
    assert answer.headers["x-request-id"] == "mine"
    assert "distance" in said(answer.json())


def test_the_declared_limit_of_each_caller_holds_for_all_of_them_together() -> None:
    revision = a_revision(0)
    about = StandAlone(
        project="flights", name="delays", served=revision.served, contract=CONTRACT, caller_rate=2 / 3600
    )
    app = build_alone(about, an_active(revision), Counters())

    async def twice(path: str, body: Any) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [await client.post(path, json=body), await client.post(path, json=body), await client.get("/health")]

    first, second, health = asyncio.run(twice(HOME, {"rows": [ROW]}))
    assert (first.status_code, second.status_code, health.status_code) == (200, 429, 200)
    assert 0 < int(second.headers["retry-after"]) <= 1800
    assert "2 requests an hour" in second.json()["error"]["why"]
    assert asyncio.run(twice("/invocations", {"instances": [ROW]}))[0].status_code == 429


def test_what_it_could_not_keep_has_no_route() -> None:
    assert "takes no labels" in ask("POST", "/endpoints/delays/labels", json={"labels": []}).json()["error"]["why"]
    assert ask("GET", "/health").headers["x-request-id"]


def test_many_rows_come_as_arrow_too() -> None:
    target = io.BytesIO()
    rows = pl.DataFrame({"flight_id": ["a", "b"], "distance": [700, None], "departure": ["2013-04-01T12:00:00Z"] * 2})
    rows.write_ipc_stream(target, compression="uncompressed")
    kind = {"content-type": "application/vnd.apache.arrow.stream"}
    answer = ask("POST", HOME, content=target.getvalue(), headers=kind)
    assert pl.read_ipc_stream(answer.content)["score"].to_list() == [0.7, 0.5]
    assert ask("POST", HOME, content=target.getvalue()[:-8], headers=kind).status_code == 422
