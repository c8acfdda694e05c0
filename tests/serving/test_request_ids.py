"""What names a request in its answer and in the log; and that the path of every request got no longer for it."""

import asyncio
import sys
from typing import Any

import pytest
from serving_desk import Desk

ROW = {"flight_id": "UA1", "distance": 700.0, "departure": None}
CALLS = 81
"""What one request with one row calls, the stand-ins included."""


def test_a_request_is_named_by_its_caller_or_here(desk: Desk) -> None:
    answer = desk.ask("POST", "/endpoints/delays/predict", json={"rows": [ROW]}, headers={"x-request-id": "order-7"})
    assert answer.headers["x-request-id"] == "order-7"
    made = [desk.predict(ROW).headers["x-request-id"], desk.ask("GET", "/nothing").headers["x-request-id"]]
    assert len({*made, ""}) == 3


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a\tb", "caf\u00e9"])
def test_a_name_that_is_too_long_or_cannot_be_printed_is_replaced(desk: Desk, given: str) -> None:
    answer = desk.ask("GET", "/health", headers={"x-request-id": given.encode("latin-1")})  # type: ignore[dict-item]
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] not in ("", given)


def raising(*arguments: Any) -> Any:
    raise RuntimeError("secret inside")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/endpoints/delays/predict", {"rows": [ROW]}),
        ("/invocations", {"instances": [ROW]}),
    ],
)
def test_a_failure_stands_in_the_log_under_the_requests_name(
    desk: Desk, path: str, body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    desk.serve(predict=raising)
    answer = desk.ask("POST", path, json=body, headers={"x-request-id": "order-7"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "order-7")
    assert "under order-7" in answer.text
    assert "[order-7]" in caplog.text


def test_what_nobody_foresaw_stands_in_the_log_under_it_too(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.serve(threshold="high")
    assert desk.ask("POST", "/invocations", json={"instances": [ROW]}, headers={"x-request-id": "a"}).status_code == 500
    assert "A request to /invocations failed. [a]" in caplog.text


def test_a_request_in_the_endpoints_own_json_calls_no_more_than_before(desk: Desk) -> None:
    body = b'{"rows":[{"flight_id":"UA1","distance":700,"departure":"2013-04-01T15:00:00+02:00"}]}'
    named = {
        "host": "127.0.0.1:8000", "user-agent": "x", "accept": "*/*", "accept-encoding": "gzip", "connection": "keep-alive",
        "content-type": "application/json", "content-length": str(len(body)), "authorization": "Bearer x",
    }  # fmt: skip
    headers = [(name.encode(), value.encode()) for name, value in named.items()]
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask() -> int:
        path, calls = "/endpoints/delays/predict", 0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        for profile in (None, None, count):
            scope = {"type": "http", "path": path, "method": "POST", "headers": headers, "server": ("127.0.0.1", 80)}
            before = sys.getprofile()
            sys.setprofile(profile)
            try:
                await desk.app(scope, receive, send)
            finally:
                sys.setprofile(before)
        return calls

    assert asyncio.run(ask()) <= CALLS
    assert sent[-2]["status"] == 200
