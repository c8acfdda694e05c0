"""Requests that wait are scored together: with the answers that each would have had alone, and an error stays its own."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from serving_desk import Desk
from test_fallback import VALUE, fallback
from two_models import in_rollout

from slipway.errors import InvalidInput
from slipway.serving import counters as count
from slipway.serving.active import Joining
from slipway.serving.joining import MEASURED_ROWS, measured

PAYS = Joining(True, "")


class Model:
    """Answers distance / 1000; its first call waits for `first`."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.first = threading.Event()

    def __call__(self, rows: Sequence[Sequence[Any]]) -> list[float]:
        if not self.calls:
            self.first.wait(10)  # the others come meanwhile
        self.calls.append(len(rows))
        for row in rows:
            if row[0] == 13:
                raise InvalidInput("The model takes no 13.", field="distance")
            if row[0] == 14:
                raise RuntimeError("secret inside")
        return [float("nan") if row[0] == 15 else row[0] / 1000 for row in rows]


def together(desk: Desk, distances: Sequence[float], model: Model) -> list[httpx.Response]:
    """Ask all at once; the model's first call goes on when the rest is waiting for it."""

    assert desk.active is not None
    contract, decoded = desk.active.contract, 0
    decode = contract.decode

    def counting(body: bytes) -> Any:
        nonlocal decoded
        decoded += 1
        return decode(body)

    contract.decode = counting  # type: ignore[method-assign]

    async def one(client: httpx.AsyncClient, distance: float) -> httpx.Response:
        row = {"flight_id": f"UA{distance}", "distance": distance, "departure": None}
        return await client.post("/endpoints/delays/predict", json={"rows": [row]})

    async def go() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=desk.app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
            tasks = [asyncio.create_task(one(client, distance)) for distance in distances]
            while decoded < len(distances):
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.001)  # from its decoding to its waiting a request takes no other turn
            model.first.set()
            return list(await asyncio.gather(*tasks))

    return asyncio.run(go())


def test_what_waits_is_scored_by_one_call_and_each_gets_its_own(desk: Desk) -> None:
    model = Model()
    desk.serve(joining=PAYS, width=2, predict=model)
    found = together(desk, range(100, 1000, 100), model)
    assert [one.json()["predictions"][0]["score"] for one in found] == [i / 10 for i in range(1, 10)]
    assert len(model.calls) <= 2, "the first call, or what was there by then"
    assert sum(model.calls) == 9
    desk.close()
    assert sorted((row.key, row.score) for row in desk.logged) == [(f"UA{i}00", i / 10) for i in range(1, 10)]
    assert desk.counters.total(count.JOINED_REQUESTS) == sum(rows for rows in model.calls if rows > 1)


def test_one_that_comes_alone_is_scored_alone(desk: Desk) -> None:
    model = Model()
    model.first.set()
    desk.serve(joining=PAYS, width=2, predict=model)
    assert [one.status_code for one in together(desk, [500], model)] == [200]
    assert model.calls == [1]


@pytest.mark.parametrize(("distance", "status"), [(13, 422), (14, 500), (15, 500)])
def test_an_error_hits_its_own_request_only(desk: Desk, distance: float, status: int) -> None:
    model = Model()
    desk.serve(joining=PAYS, width=2, predict=model)
    found = together(desk, [100, 200, distance, 300], model)
    assert [one.status_code for one in found] == [200, 200, status, 200]
    assert [found[i].json()["predictions"][0]["score"] for i in (0, 1, 3)] == [0.1, 0.2, 0.3]
    assert "secret" not in found[2].text


def test_with_a_fallback_it_answers_only_for_who_failed(desk: Desk) -> None:
    model = Model()
    desk.serve(joining=PAYS, width=2, predict=model, fallback=fallback(VALUE))
    found = [one.json()["predictions"][0] for one in together(desk, [100, 200, 15, 300], model)]
    assert ["fallback" in one for one in found] == [False, False, True, False]
    assert [one["score"] for one in found] == [0.1, 0.2, 0.25, 0.3]


def test_in_a_rollout_each_is_scored_by_itself(desk: Desk) -> None:
    model = Model()
    desk.serve(joining=PAYS, width=2, predict=model)
    in_rollout(desk, 0.0)
    assert [one.status_code for one in together(desk, [100, 200, 300], model)] == [200] * 3
    assert model.calls[:3] == [1, 1, 1]


def slow(rows: Sequence[Sequence[Any]]) -> list[float]:
    time.sleep(0.002)
    return [row[0] for row in rows]


def test_it_pays_where_a_call_costs_much_and_answers_stay_the_same() -> None:
    rows = [[float(i)] for i in range(MEASURED_ROWS)]
    found = measured(slow, rows)
    assert found is not None
    assert found.pays, found.why
    assert "ms together" in found.why


def test_it_is_not_done_where_the_rows_beside_change_an_answer() -> None:
    def drifting(rows: Sequence[Sequence[Any]]) -> list[float]:
        return [score + (1e-17 + 1e-16 if len(rows) > 1 else 0.0) * (score + 1) for score in slow(rows)]

    found = measured(drifting, [[float(i) + 0.1] for i in range(MEASURED_ROWS)])
    assert found is not None
    assert not found.pays
    assert "last bits" in found.why


def test_it_is_not_done_where_calls_are_cheap_or_rows_dear() -> None:
    rows = [[float(i)] for i in range(MEASURED_ROWS)]
    cheap = measured(lambda rows: [row[0] for row in rows], rows)
    assert cheap is not None
    assert not cheap.pays

    def dear(rows: Sequence[Sequence[Any]]) -> list[float]:
        return [score for row in rows for score in slow([row])]

    found = measured(dear, rows)
    assert found is not None
    assert not found.pays
    assert measured(slow, rows[:2]) is None
