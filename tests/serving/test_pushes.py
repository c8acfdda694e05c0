from typing import Any

import msgspec
import pytest
from serving_desk import CONTRACT, NOW, Desk, error_of

from slipway.errors import InvalidInput
from slipway.serving import counters as count

LABELS = "/endpoints/delays/labels"
EVENTS = "/endpoints/delays/events"
NOW_US = int(NOW.timestamp()) * 1_000_000


def test_labels_are_accepted_by_id_and_by_key(desk: Desk) -> None:
    labels = [
        {"prediction": "abc", "value": 1, "observed_at": "2013-04-02T00:00:00Z"},
        {"key": {"flight_id": "a|b"}, "value": False},
    ]
    assert desk.ask("POST", LABELS, json={"labels": labels}).json() == {"accepted": 2}
    first, second = desk.labels
    assert (first.prediction, first.key, first.value) == ("abc", "", 1.0)
    assert first.observed_us == NOW_US + 12 * 3_600_000_000
    assert (second.prediction, second.key, second.value, second.observed_us) == ("", "a\\|b", 0.0, NOW_US)
    assert desk.counters.total(count.LABELS) == 2


@pytest.mark.parametrize(
    ("label", "field"),
    [
        ({"prediction": "a", "value": "late"}, "labels[0].value"),
        ({"prediction": "a"}, "labels[0]"),
        ({"value": 1}, "labels[0]"),
        ({"prediction": "a", "key": {"flight_id": "x"}, "value": 1}, "labels[0]"),
        ({"key": {"flight_id": 3}, "value": 1}, "labels[0].key.flight_id"),
        ({"key": {}, "value": 1}, "labels[0].key.flight_id"),
        ({"key": {"flight_id": "x", "carrier": "UA"}, "value": 1}, "labels[0].key.carrier"),
        ({"prediction": "a", "value": 1, "observed_at": "2013-04-02T00:00:00"}, "labels[0].observed_at"),
    ],
)
def test_labels_that_do_not_fit_are_422_and_none_is_kept(desk: Desk, label: dict[str, Any], field: str) -> None:
    good = {"prediction": "good", "value": 1}
    answer = desk.ask("POST", LABELS, json={"labels": [label, good]})
    assert error_of(answer, 422)["field"] == field
    assert desk.labels == []


def test_a_key_without_one_in_the_contract_is_422(desk: Desk) -> None:
    desk.serve(contract=msgspec.structs.replace(CONTRACT, key=()))
    answer = desk.ask("POST", LABELS, json={"labels": [{"key": {"flight_id": "x"}, "value": 1}]})
    assert "contract has none" in error_of(answer, 422)["what"]


def test_pushed_rows_go_to_the_online_store_and_to_the_log(desk: Desk) -> None:
    stored: list[Any] = []

    def push(name: str, rows: Any) -> int:
        stored.extend(rows)
        return len(rows) - 1

    desk.serve(sources=("flights",), views=("weather",), push_events=push, push_rows=push)
    rows = [{"flight_id": "a"}, {"flight_id": "b"}]
    assert desk.ask("POST", EVENTS, json={"source": "flights", "rows": rows}).json() == {"accepted": 2, "new": 1}
    assert desk.ask("POST", EVENTS, json={"view": "weather", "rows": rows}).json() == {"accepted": 2, "new": 1}
    assert stored == rows + rows
    assert desk.events == [("source", "flights", rows), ("view", "weather", rows)]
    assert desk.counters.total(count.EVENTS) == 4
    assert desk.counters.total(count.EVENTS_NEW) == 2


def test_a_push_that_does_not_fit_is_422_and_not_logged(desk: Desk) -> None:
    def push(name: str, rows: Any) -> int:
        raise InvalidInput("rows[0].dep_delay is no number.", field="rows[0].dep_delay")

    desk.serve(sources=("flights",), push_events=push)
    answer = desk.ask("POST", EVENTS, json={"source": "flights", "rows": [{"dep_delay": "x"}]})
    assert error_of(answer, 422)["field"] == "rows[0].dep_delay"
    assert desk.events == []


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"source": "flihgts", "rows": []}, "source", "Did you mean 'flights'?"),
        ({"view": "x", "rows": []}, "view", "There are no views"),
        ({"rows": []}, "source", '"source": TABLE'),
        ({"source": "flights", "view": "x", "rows": []}, "source", '"source": TABLE'),
        ({"source": "flights"}, "", '"rows"'),
    ],
)
def test_a_push_must_name_what_it_is_for(desk: Desk, body: dict[str, Any], field: str, said: str) -> None:
    desk.serve(sources=("flights",))
    found = error_of(desk.ask("POST", EVENTS, json=body), 422)
    assert found["field"] == field
    assert said in found["fix"]
