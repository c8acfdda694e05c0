"""Explanations at an endpoint: asked for, limited, beside the path of others, and of the model that answered."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
import pytest
from serving_desk import CONTRACT, Desk, an_active, error_of
from test_app import FLIGHT
from two_models import in_rollout

from slipway.errors import InvalidInput
from slipway.records.explanations import Contribution, Explanation
from slipway.serving import counters as count
from slipway.serving.explaining import MOST_ROWS

PATH = "/endpoints/delays/predict"


def explain(row: Sequence[Any], score: float, top: int) -> Explanation:
    parts = [
        Contribution(input="distance", value=row[0], contribution=score - 0.25),
        Contribution(input="hour", value=row[1], contribution=0.25),
    ]
    rest = sum(one.contribution for one in parts[top:])
    return Explanation(
        scale="value", how="exact", score=score, base=0.0, contributions=tuple(parts[:top]), rest=rest, residual=0.0
    )


@pytest.fixture
def told(desk: Desk) -> Desk:
    desk.active = an_active(explain=explain)
    return desk


def ask(desk: Desk, query: str, *rows: Any) -> httpx.Response:
    return desk.ask("POST", f"{PATH}{query}", json={"rows": list(rows) or [FLIGHT]})


def test_each_prediction_carries_its_explanation_and_is_logged_as_ever(told: Desk) -> None:
    said = ask(told, "?explain=1", FLIGHT, {**FLIGHT, "distance": 900}).json()
    first, second = (one["explanation"] for one in said["predictions"])
    assert first["contributions"] == [{"input": "distance", "value": 700.0, "contribution": pytest.approx(0.45)}]
    assert (first["rest"], second["score"], said["predictions"][1]["score"]) == (0.25, 0.9, 0.9)
    told.close()
    assert [row.score for row in told.logged] == [0.7, 0.9]
    assert told.counters.total(count.EXPLAINED_ROWS) == 2


def test_who_does_not_ask_gets_none_and_nothing_is_explained(told: Desk) -> None:
    told.serve(explain=None)
    for query in ("", "?other=1"):
        assert "explanation" not in ask(told, query).json()["predictions"][0]
    assert told.counters.total(count.EXPLAINED_ROWS) == 0


@pytest.mark.parametrize("given", ["0", "101", "all", "-3", "5.0", "", "٣", "5&explain=5", "9" * 5000])
def test_what_says_no_number_of_contributions_is_refused_before_anything_is_scored(told: Desk, given: str) -> None:
    said = error_of(ask(told, f"?explain={given}"), 422)
    assert (said["field"], "1 to 100" in said["why"]) == ("explain", True)
    assert told.counters.total(count.ROWS) == 0


def test_another_protocol_has_no_place_for_it(told: Desk) -> None:
    answer = told.ask("POST", "/invocations?explain=5", json={"dataframe_records": [FLIGHT]})
    assert answer.status_code >= 400
    assert "no place for explanations" in answer.text
    assert told.counters.total(count.ROWS) == 0


def test_more_rows_than_are_explained_at_once_are_refused(told: Desk) -> None:
    told.serve(contract=msgspec.structs.replace(CONTRACT, max_rows=1000, max_bytes=1 << 20))
    rows = [FLIGHT] * (MOST_ROWS + 1)
    assert f"At most {MOST_ROWS}" in error_of(ask(told, "?explain=5", *rows), 413)["why"]
    assert ask(told, "?explain=5", *rows[1:]).status_code == 200
    assert ask(told, "", *rows).status_code == 200


def test_the_line_is_bounded_and_holds_up_no_prediction(told: Desk) -> None:
    may_go, began = threading.Event(), threading.Event()

    def slow(row: Sequence[Any], score: float, top: int) -> Explanation:
        began.set()
        may_go.wait(20)
        return explain(row, score, top)

    told.serve(explain=slow)

    async def go() -> tuple[list[int], httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(app=told.app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
            body = {"rows": [FLIGHT]}
            waiting = [asyncio.ensure_future(client.post(f"{PATH}?explain=2", json=body)) for _ in range(4)]
            await asyncio.to_thread(began.wait, 20)
            refused = await client.post(f"{PATH}?explain=2", json=body)
            plain = await client.post(PATH, json=body)  # answered while the others wait
            may_go.set()
            return [one.status_code for one in await asyncio.gather(*waiting)], refused, plain

    done, refused, plain = asyncio.run(go())
    assert done == [200] * 4
    assert plain.json()["predictions"][0]["score"] == 0.7
    assert (refused.headers["retry-after"], "nothing was scored" in error_of(refused, 503)["what"]) == ("1", True)
    assert told.counters.total(count.ROWS) == 5
    assert ask(told, "?explain=2").status_code == 200


@pytest.mark.parametrize(
    ("raised", "told_why"),
    [
        (InvalidInput("There are no reference rows."), "no reference rows"),
        (ZeroDivisionError("salary 4711"), "front.log"),
    ],
)
def test_what_cannot_be_explained_is_answered_and_says_so(told: Desk, raised: Exception, told_why: str) -> None:
    def refuses(row: Sequence[Any], score: float, top: int) -> Explanation:
        raise raised

    told.serve(explain=refuses)
    answer = ask(told, "?explain=3")
    (said,) = answer.json()["predictions"]
    assert (said["score"], said["explanation"]) == (0.7, None)
    assert told_why in said["unexplained"]
    assert "4711" not in answer.text


def test_the_model_that_answered_explains(told: Desk) -> None:
    def other(row: Sequence[Any], score: float, top: int) -> Explanation:
        return Explanation(scale="its own", how="", score=score, base=0, contributions=(), rest=0, residual=0)

    for fraction, scale in ((1.0, "its own"), (0.0, "value")):
        in_rollout(told, fraction, explain=other)
        assert ask(told, "?explain=3").json()["predictions"][0]["explanation"]["scale"] == scale


def test_a_personal_value_that_the_caller_did_not_send_is_hidden_where_callers_are_known(told: Desk) -> None:
    for personal, by_token, shown in (
        (("hour", "distance"), True, [700.0, "(personal)"]),
        (("hour",), False, [700.0, 12]),
        ((), True, [700.0, 12]),
    ):
        told.serve(personal=personal, by_token=by_token)
        found = ask(told, "?explain=2").json()["predictions"][0]["explanation"]["contributions"]
        assert [one["value"] for one in found] == shown
