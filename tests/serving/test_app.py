import asyncio
import math
from typing import Any

import msgspec
import pytest
from serving_desk import CONTRACT, NOW, Desk, an_active, error_of

from slipway.errors import InvalidInput, Unavailable
from slipway.records.endpoints import LogSpec
from slipway.serving import counters as count

FLIGHT = {"flight_id": "UA1", "distance": 700, "departure": "2013-04-01T15:00:00+02:00"}


def test_a_prediction_carries_id_score_decision_model_and_revision(desk: Desk) -> None:
    answer = desk.predict(FLIGHT, {"flight_id": "B6", "distance": None, "departure": None})
    assert answer.status_code == 200
    said = answer.json()
    assert [(p["score"], p["decision"]) for p in said["predictions"]] == [(0.7, True), (0.5, False)]
    assert len({p["id"] for p in said["predictions"]}) == 2
    assert said["model"] == {"name": "delays", "version": 1, "bundle": "1" * 64}
    assert said["revision"] == 1


def test_without_a_threshold_nothing_is_decided(desk: Desk) -> None:
    desk.serve(threshold=None)
    assert desk.predict(FLIGHT).json()["predictions"][0]["decision"] is None


def test_every_answered_row_is_logged_with_what_the_model_saw(desk: Desk) -> None:
    said = desk.predict(FLIGHT, {"flight_id": "a|b", "distance": None, "departure": None}).json()
    desk.close()
    first, second = desk.logged
    assert first.id == said["predictions"][0]["id"]
    assert (first.key, second.key) == ("UA1", "a\\|b")
    assert first.features == [700.0, 12]
    assert first.request[2].isoformat() == "2013-04-01T13:00:00+00:00"
    assert (first.score, first.decision, first.version, first.bundle) == (0.7, True, 1, "1" * 16)
    assert first.at_us == int(NOW.timestamp()) * 1_000_000
    assert desk.counters.total(count.LOG_WRITTEN) == 2


@pytest.mark.parametrize(
    ("rows", "field"),
    [
        ([FLIGHT, {"flight_id": "x", "distance": "far"}], "rows[1].distance"),
        ([{"distance": 3}], "rows[0].flight_id"),
        ([{"flight_id": "x", "distance": 1, "departure": "2013-04-01T15:00:00"}], "rows[0].departure"),
        ([], "rows"),
    ],
)
def test_what_does_not_fit_the_contract_is_422_and_names_the_field(desk: Desk, rows: list[Any], field: str) -> None:
    assert error_of(desk.predict(*rows), 422)["field"] == field
    desk.close()
    assert desk.logged == []


def test_a_body_that_is_no_json_is_422(desk: Desk) -> None:
    error_of(desk.ask("POST", "/endpoints/delays/predict", content=b'{"rows": ['), 422)


def test_too_many_rows_and_too_many_bytes_are_413(desk: Desk) -> None:
    assert error_of(desk.predict(*[FLIGHT] * 6), 413)["field"] == "rows"
    answer = desk.predict({"flight_id": "x" * 3000})
    assert "3,0" in error_of(answer, 413)["what"]
    assert answer.headers["connection"] == "close"


def test_a_streamed_body_is_cut_off_at_the_limit(desk: Desk) -> None:
    sent: list[Any] = []
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b" " * 900, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/endpoints/delays/predict", "method": "POST", "headers": []}
    asyncio.run(desk.app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 413
    assert taken == 3


def test_a_client_that_leaves_gets_no_answer_and_is_counted(desk: Desk) -> None:
    sent: list[Any] = []
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/endpoints/delays/predict", "method": "POST", "headers": []}
    asyncio.run(desk.app(scope, receive, send))
    assert sent == []
    assert desk.counters.total(count.request_counter("predict", 499)) == 1


def test_unknown_fields_are_answered_counted_and_shown(desk: Desk) -> None:
    assert desk.predict({**FLIGHT, "gate": "B3"}, {**FLIGHT, "gate": "B4", "mood": 1}).status_code == 200
    assert desk.counters.total(count.UNKNOWN_FIELDS) == 3
    assert desk.ask("GET", "/endpoints/delays").json()["unknown_fields"] == {"gate": 2, "mood": 1}


def test_a_strict_contract_refuses_unknown_fields(desk: Desk) -> None:
    desk.serve(contract=msgspec.structs.replace(CONTRACT, strict=True))
    assert error_of(desk.predict({**FLIGHT, "gate": "B3"}), 422)["field"] == "rows[0].gate"


def test_a_decision_time_is_taken_in_simulation_only(desk: Desk) -> None:
    assert error_of(desk.predict(FLIGHT, at="2013-05-01T06:00:00Z"), 422)["field"] == "at"
    desk.serve(simulation=True)
    assert desk.predict(FLIGHT, at="2013-05-01T06:00:00Z").status_code == 200
    desk.close()
    assert desk.logged[0].features == [700.0, 6]


def raising(*arguments: Any) -> Any:
    raise RuntimeError("secret inside")


@pytest.mark.parametrize("part", ["resolve", "predict"])
def test_a_model_or_feature_that_raises_is_500_without_its_traceback(
    desk: Desk, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = desk.active
    desk.serve(**{part: raising})
    answer = desk.predict(FLIGHT)
    said = error_of(answer, 500)
    assert "secret" not in answer.text
    mark = said["fix"].split()[-1].rstrip(".")
    assert mark in caplog.text
    assert "secret inside" in caplog.text
    assert desk.counters.total(count.MODEL_FAILURES) == 1
    desk.active = good
    assert desk.predict(FLIGHT).status_code == 200


@pytest.mark.parametrize("scores", [[math.nan], [float("inf")], [], [0.1, 0.2]])
def test_scores_that_are_no_answer_are_500(desk: Desk, scores: list[float]) -> None:
    desk.serve(predict=lambda rows: scores)
    error_of(desk.predict(FLIGHT), 500)
    desk.close()
    assert desk.logged == []


def test_a_row_that_the_model_refuses_is_422_and_says_which_input(desk: Desk) -> None:
    def predict(rows: Any) -> list[float]:
        raise InvalidInput("The model takes no null in 'distance'.", field="distance")

    desk.serve(predict=predict)
    assert error_of(desk.predict(FLIGHT), 422)["field"] == "distance"


def test_a_busy_online_store_is_503(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    def resolve(rows: Any, at: Any) -> Any:
        raise Unavailable("The online store in /a/store/online.db is busy.")

    desk.serve(resolve=resolve)
    answer = desk.predict(FLIGHT)
    error_of(answer, 503)
    assert "/a/store" not in answer.text
    assert "/a/store/online.db is busy" in caplog.text
    assert answer.headers["retry-after"] == "1"


def test_before_the_first_model_is_warm_everything_is_503(desk: Desk) -> None:
    desk.active, desk.note = None, "It loads."
    for method, path in [("GET", "/health"), ("POST", "/endpoints/delays/predict"), ("GET", "/endpoints/delays")]:
        assert "loading" in error_of(desk.ask(method, path), 503)["what"]
    assert desk.ask("GET", "/metrics").status_code == 200
    desk.active = an_active()
    assert desk.ask("GET", "/health").json() == {"status": "ready", "revision": 1}


LOOPBACK = ["http://127.0.0.1:8420", "http://localhost:8420", "http://[::1]:8420", "http://LOCALHOST"]
ELSEWHERE = ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://localhost@evil.example", ""]


@pytest.mark.parametrize("origin", [*LOOPBACK, *ELSEWHERE])
def test_web_pages_of_elsewhere_are_refused(desk: Desk, origin: str) -> None:
    label = {"labels": [{"prediction": "a", "value": 1}]}
    answer = desk.ask("POST", "/endpoints/delays/labels", json=label, headers={"origin": origin})
    if origin in LOOPBACK:
        assert answer.status_code == 200
        return
    assert "no web page" in error_of(answer, 403)["what"]
    assert desk.labels == []
    assert desk.counters.total(count.request_counter("other", 403)) == 1


@pytest.mark.parametrize("server", ["127.0.0.1", "::1", "10.0.0.7"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", *(o[7:] for o in LOOPBACK)])
def test_on_the_loopback_address_only_its_own_names_are_answered(desk: Desk, server: str, host: str) -> None:
    home = f"http://{f'[{server}]' if ':' in server else server}:8420"
    answer = desk.ask("POST", f"{home}/endpoints/delays/predict", json={"rows": [FLIGHT]}, headers={"host": host})
    if "evil" in host and server != "10.0.0.7":
        assert f"does not answer for the host '{host}'" in error_of(answer, 403)["what"]
    else:
        assert answer.status_code == 200


def test_other_paths_and_methods(desk: Desk) -> None:
    assert "/endpoints/delays/predict" in error_of(desk.ask("POST", "/endpoints/other/predict"), 404)["fix"]
    answer = desk.ask("GET", "/endpoints/delays/predict")
    error_of(answer, 405)
    assert answer.headers["allow"] == "POST"
    assert desk.counters.total(count.request_counter("other", 404)) == 1


def test_while_stopping_answers_end_their_connection_and_health_says_so(desk: Desk) -> None:
    assert "connection" not in desk.predict(FLIGHT).headers
    desk.closing = True
    answer = desk.predict(FLIGHT)
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    error_of(desk.ask("GET", "/health"), 503)


def test_with_sync_an_answer_waits_for_the_log(desk: Desk) -> None:
    desk.serve(log=LogSpec(sync=True))
    assert desk.predict(FLIGHT).status_code == 200
    assert len(desk.logged) == 1


def test_with_sync_an_answer_that_cannot_be_logged_is_503(desk: Desk) -> None:
    def full(rows: Any) -> None:
        raise OSError("no space left in /a/store")

    desk.append = full
    desk.serve(log=LogSpec(sync=True))
    assert "could not be written to the prediction log" in error_of(desk.predict(FLIGHT), 503)["what"]
    assert desk.counters.total(count.LOG_FAILED) == 1


def test_what_the_endpoint_says_of_itself(desk: Desk) -> None:
    said = desk.ask("GET", "/endpoints/delays").json()
    assert said["contract"]["key"] == ["flight_id"]
    assert said["contract"]["fields"][0] == {
        "name": "flight_id",
        "type": "string",
        "nullable": False,
        "categories": [],
    }
    assert (said["revision"], said["model"]["version"], said["simulation"]) == (1, 1, False)


def test_metrics_add_up(desk: Desk) -> None:
    desk.predict(FLIGHT, FLIGHT)
    desk.predict({"distance": 1})
    text = desk.ask("GET", "/metrics").text
    assert 'slipway_requests_total{endpoint="delays",route="predict",status="200"} 1' in text
    assert 'slipway_requests_total{endpoint="delays",route="predict",status="422"} 1' in text
    assert 'slipway_rows_total{endpoint="delays"} 2' in text
    assert 'slipway_predict_seconds_bucket{endpoint="delays",le="+Inf"} 1' in text
    assert 'slipway_revision{endpoint="delays"} 1' in text
    assert 'slipway_workers{endpoint="delays"} 1' in text


def test_a_request_finishes_on_the_revision_it_began_with(desk: Desk) -> None:
    newer = an_active()

    def resolve(rows: Any, at: Any) -> Any:
        desk.active = newer  # swapped in the middle of this request
        return [[700.0, 1]]

    desk.serve(resolve=resolve, number=7)
    assert desk.predict(FLIGHT).json()["revision"] == 7
    assert desk.predict(FLIGHT).json()["revision"] == 1
