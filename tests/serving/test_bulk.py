"""Many rows in one Arrow stream: answered whole or not at all, in parts between which others are answered."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
import pyarrow as pa
import pytest
from pyarrow import ipc
from serving_desk import CONTRACT, LOG, Desk, error_of
from test_fallback import VALUE, fallback
from two_models import in_rollout, is_theirs

from slipway.serving import bulk
from slipway.serving import counters as count
from slipway.serving.counters import Counters
from slipway.serving.row_queue import RowQueue

HOME = "/endpoints/delays/predict"
TYPE = {"content-type": "application/vnd.apache.arrow.stream"}
MANY = 5_000
BIG = msgspec.structs.replace(CONTRACT, max_rows=1000, bulk_rows=2 * MANY, bulk_bytes=1 << 20)
ROW = {"flight_id": "UA1", "distance": 700.0, "departure": None}


def flights(rows: int = MANY, **columns: Any) -> bytes:
    plain = {
        "flight_id": pa.array([f"UA{row}" for row in range(rows)]),
        "distance": pa.array([float(row % 1000) for row in range(rows)]),
        "departure": pa.array([None] * rows, pa.timestamp("us", "UTC")),
    }
    table = pa.table({**plain, **columns})
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=777)
    return bytes(sink.getvalue().to_pybytes())


@pytest.fixture
def big(desk: Desk) -> Desk:
    desk.serve(contract=BIG)
    return desk


def asked(desk: Desk, body: bytes) -> Any:
    answer = desk.ask("POST", HOME, content=body, headers=TYPE)
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    return ipc.open_stream(answer.content).read_all()


def test_every_row_is_answered_in_order_and_logged_under_its_id(big: Desk) -> None:
    found = asked(big, flights())
    assert found.column("score").to_pylist() == [row % 1000 / 1000 for row in range(MANY)]
    big.close()
    assert [row.id for row in big.logged] == found.column("id").to_pylist()
    assert [row.key for row in big.logged] == [f"UA{row}" for row in range(MANY)]
    totals = [big.counters.total(one) for one in (count.ROWS, count.BULK_ROWS, count.LOG_WRITTEN, count.LOG_DROPPED)]
    assert totals == [MANY, MANY, MANY, 0]
    assert 'slipway_predict_seconds_count{endpoint="delays"} 0' in big.counters.text("delays")


@pytest.mark.parametrize(
    ("columns", "place"),
    [
        ({"distance": pa.array([*[1.0] * (MANY - 1), float("inf")])}, f"rows[{MANY - 1}].distance"),
        ({"flight_id": pa.array([*["UA"] * (MANY - 1), None])}, f"rows[{MANY - 1}].flight_id"),
        ({"departure": pa.array([*["2013-04-01T12:00:00Z"] * (MANY - 1), "noon"])}, f"rows[{MANY - 1}].departure"),
    ],
)
def test_a_row_that_does_not_fit_is_found_before_any_is_scored(big: Desk, columns: Any, place: str) -> None:
    error = error_of(big.ask("POST", HOME, content=flights(**columns), headers=TYPE), 422)
    assert error["field"] == place
    big.close()
    assert big.logged == []
    assert big.counters.total(count.ROWS) == 0


def test_texts_for_instants_mean_what_they_mean_in_json(big: Desk) -> None:
    asked(big, flights(departure=pa.array(["2013-04-01T15:00:00+02:00"] * MANY)))
    big.close()
    assert {row.request[2].isoformat() for row in big.logged} == {"2013-04-01T13:00:00+00:00"}


def test_too_many_rows_and_too_many_bytes_are_413_and_name_the_limit(big: Desk) -> None:
    error = error_of(big.ask("POST", HOME, content=flights(2 * MANY + 1), headers=TYPE), 413)
    assert "at most 10,000 in an Arrow stream" in error["why"]
    big.serve(contract=msgspec.structs.replace(BIG, bulk_bytes=5000))
    assert "at most 5,000" in error_of(big.ask("POST", HOME, content=flights(), headers=TYPE), 413)["why"]
    json_limit = error_of(big.ask("POST", HOME, json={"rows": [ROW] * 1001}), 413)
    assert "1,001 rows" in json_limit["what"] or "bytes" in json_limit["what"]


def test_columns_that_the_contract_does_not_know_are_counted_or_refused(big: Desk) -> None:
    asked(big, flights(gate=pa.array([1] * MANY)))
    assert big.ask("GET", "/endpoints/delays").json()["unknown_fields"] == {"gate": MANY}
    big.serve(contract=msgspec.structs.replace(BIG, strict=True))
    error = error_of(big.ask("POST", HOME, content=flights(distanse=pa.array([1] * MANY)), headers=TYPE), 422)
    assert (error["field"], "distance" in error["fix"]) == ("distanse", True)


def test_explanations_are_refused_by_name(big: Desk) -> None:
    error = error_of(big.ask("POST", f"{HOME}?explain=5", content=flights(), headers=TYPE), 422)
    assert "explain" in error["what"] + error["why"] + error["field"]


def test_others_are_answered_in_between(big: Desk) -> None:
    begun, done = asyncio.Event(), []

    def predict(rows: Sequence[Sequence[Any]]) -> list[float]:
        begun.set()
        return [0.5] * len(rows)

    big.serve(predict=predict)

    async def go() -> None:
        transport = httpx.ASGITransport(app=big.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:

            async def many() -> None:
                assert (await client.post(HOME, content=flights(), headers=TYPE)).status_code == 200
                done.append("many")

            async def one() -> None:
                await begun.wait()
                assert (await client.post(HOME, json={"rows": [ROW]})).status_code == 200
                done.append("one")

            await asyncio.gather(many(), one())

    asyncio.run(go())
    assert done == ["one", "many"]


def raw(desk: Desk, messages: list[dict[str, Any]]) -> tuple[Any, list[dict[str, Any]]]:
    """A request by hand: what the app is told in turn, then nothing ever again; and what it says."""
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def sender(message: Any) -> None:
        said.append(message)

    headers = [(name.encode(), value.encode()) for name, value in TYPE.items()]
    scope = {"type": "http", "method": "POST", "path": HOME, "headers": headers, "query_string": b""}
    return desk.app(scope, receive, sender), said


def test_a_client_that_goes_away_ends_the_work(big: Desk) -> None:
    body = {"type": "http.request", "body": flights(), "more_body": False}
    request, said = raw(big, [body, {"type": "http.disconnect"}])
    asyncio.run(request)
    big.close()
    assert said == []
    assert big.counters.total(count.request_counter("predict", 499)) == 1
    assert len(big.logged) < MANY
    assert big.counters.total(count.LOG_WRITTEN) == big.counters.total(count.ROWS) == len(big.logged)


def test_a_worker_holds_a_few_of_them_and_says_so(big: Desk) -> None:
    async def go() -> httpx.Response:
        waiting = [asyncio.ensure_future(raw(big, [])[0]) for _ in range(bulk.MOST_AT_ONCE)]
        await asyncio.sleep(0)
        transport = httpx.ASGITransport(app=big.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
            refused = await client.post(HOME, content=flights(), headers=TYPE)
            assert (await client.post(HOME, json={"rows": [ROW]})).status_code == 200
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return refused

    refused = asyncio.run(go())
    assert "as many Arrow requests" in error_of(refused, 503)["what"]
    assert refused.headers["retry-after"] == "1"
    assert len(asked(big, flights())) == MANY


def test_what_takes_too_long_as_a_whole_is_504_and_a_stopping_worker_says_503(
    big: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(rows: Sequence[Sequence[Any]]) -> list[float]:
        time.sleep(0.002)
        return [0.5] * len(rows)

    big.serve(predict=slow)
    monkeypatch.setattr(bulk, "_LAST_S", 0.0)
    big.closing = True
    assert "stopping" in error_of(big.ask("POST", HOME, content=flights(), headers=TYPE), 503)["what"]
    monkeypatch.setattr(bulk, "LIMIT_S", 0.001)
    big.closing = False
    late = big.ask("POST", HOME, content=flights(), headers=TYPE)
    assert "rows were done after 0.001 seconds" in error_of(late, 504)["what"]
    assert late.headers["retry-after"] == "1"


def test_a_model_that_fails_in_a_later_part_fails_the_request(big: Desk) -> None:
    calls: list[int] = []

    def fails(rows: Sequence[Sequence[Any]]) -> list[float]:
        calls.append(len(rows))
        if len(calls) > 2:
            raise RuntimeError("secret inside")
        return [0.5] * len(rows)

    big.serve(predict=fails)
    answer = big.ask("POST", HOME, content=flights(), headers=TYPE)
    assert "secret" not in answer.text
    error_of(answer, 500)
    big.close()
    assert len(big.logged) == sum(calls[:2])
    assert [row.rows for row in big.failed] == calls[2:]


def test_the_fallback_answers_what_the_model_cannot_and_every_row_says_so(big: Desk) -> None:
    def picky(rows: Sequence[Sequence[Any]]) -> list[float]:
        return [float("nan") if row[0] == 7 else 0.5 for row in rows]

    big.serve(predict=picky, fallback=fallback(VALUE))
    answer = big.ask("POST", HOME, content=flights(2000), headers=TYPE)
    found = ipc.open_stream(answer.content).read_all()
    fell = [place for place, why in enumerate(found.column("fallback").to_pylist()) if why]
    assert fell == [7, 1007]
    assert found.column("score").to_pylist()[7] == 0.25
    assert answer.headers["x-slipway-fallback"] == "2"


def test_rows_of_a_roll_out_meet_the_arm_that_they_meet_in_json(big: Desk) -> None:
    in_rollout(big, 0.4)
    found = asked(big, flights(500))
    theirs = [is_theirs({"flight_id": f"UA{row}"}, 0.4) for row in range(500)]
    versions = found.column("version").to_pylist()
    assert [version != versions[theirs.index(False)] for version in versions] == theirs
    rows = [{**ROW, "flight_id": f"UA{row}"} for row in range(9)]
    assert [one["version"] for one in big.predict(*rows).json()["predictions"]] == versions[:9]


def test_many_rows_wait_for_the_log_and_displace_nobody_s() -> None:
    counters = Counters()
    written: list[int] = []
    queue: RowQueue[Any] = RowQueue(written.extend, counters, LOG, what="rows", capacity_rows=100, batch_rows=10)

    async def put() -> None:
        for _ in range(40):
            await bulk.room_in(queue)
            queue.put([1] * 50)

    asyncio.run(put())
    queue.close()
    assert (len(written), counters.total(count.LOG_DROPPED)) == (2000, 0)


def test_where_nothing_is_written_nobody_waits_and_what_is_lost_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_STUCK_S", 0.01)
    counters = Counters()
    free = threading.Event()
    queue: RowQueue[Any] = RowQueue(
        lambda rows: None if free.wait(20) else 0, counters, LOG, what="rows", capacity_rows=100, batch_rows=10
    )

    async def put() -> None:
        for _ in range(4):
            await bulk.room_in(queue)
            queue.put([1] * 60)

    asyncio.run(put())
    free.set()
    queue.close()
    assert counters.total(count.LOG_DROPPED) == 180
