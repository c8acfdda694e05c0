import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from serving_desk import CONTRACT, NOW, Desk, error_of

from slipway.errors import BackendError, Unavailable
from slipway.records.features import Aggregate, FeatureSetSpec, View, Windows
from slipway.records.schema import Field
from slipway.serving import counters as count
from slipway.serving.pushed_rows import checks_of

LABELS = "/endpoints/delays/labels"
EVENTS = "/endpoints/delays/events"
NOW_US = int(NOW.timestamp()) * 1_000_000


def test_labels_are_accepted_by_id_and_by_key(desk: Desk) -> None:
    labels = [
        {"prediction": "abc", "value": 1, "observed_at": "2013-04-01T14:00:30+02:00"},
        {"key": {"flight_id": "a|b"}, "value": False},
    ]
    assert desk.ask("POST", LABELS, json={"labels": labels}).json() == {"accepted": 2}
    first, second = desk.labels
    assert (first.prediction, first.key, first.value) == ("abc", "", 1.0)
    assert first.observed_us == NOW_US + 30_000_000  # clocks may differ a little
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
        ({"prediction": "a", "value": 1, "observed_at": "2013-04-01T12:01:01Z"}, "labels[0].observed_at"),
    ],
)
def test_labels_that_do_not_fit_are_422_and_none_is_kept(desk: Desk, label: dict[str, Any], field: str) -> None:
    good = {"prediction": "good", "value": 1}
    answer = desk.ask("POST", LABELS, json={"labels": [label, good]})
    assert error_of(answer, 422)["field"] == field
    assert desk.labels == []


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "-1e999", "9" * 400])
def test_a_label_that_is_not_finite_is_422(desk: Desk, value: str) -> None:
    content = json.dumps({"labels": [{"prediction": "a", "value": "?"}]}).replace('"?"', value)
    error_of(desk.ask("POST", LABELS, content=content), 422)
    assert desk.labels == []


def test_nesting_is_kept_or_refused_and_never_a_failure(desk: Desk, stored: list[Any]) -> None:
    desk.serve(contract=msgspec.structs.replace(CONTRACT, max_bytes=1 << 20))
    encode = msgspec.msgpack.Encoder().encode
    desk.keep = lambda rows: desk.events.extend(rows) if encode(rows) else None
    statuses = set()
    for depth in [1, *range(700, 1001, 4), 100_000]:
        text = "[" * depth + "]" * depth
        label = desk.ask("POST", LABELS, content=f'{{"labels": [{{"value": 1, "key": {{"flight_id": {text}}}}}]}}')
        error_of(label, 422)
        before = len(stored)
        row = json.dumps(EVENT).replace('"x": []', f'"x": {text}')
        push = desk.ask("POST", EVENTS, content=f'{{"source": "flights", "rows": [{row}]}}')
        assert push.status_code in (200, 422), (depth, push.text)
        assert len(stored) - before == (push.status_code == 200)
        assert len(stored) == len(desk.events)
        statuses.add(push.status_code)
    assert statuses == {200, 422}


def test_a_key_without_one_in_the_contract_is_422(desk: Desk) -> None:
    desk.serve(contract=msgspec.structs.replace(CONTRACT, key=()))
    answer = desk.ask("POST", LABELS, json={"labels": [{"key": {"flight_id": "x"}, "value": 1}]})
    assert "contract has none" in error_of(answer, 422)["what"]


SPEC = FeatureSetSpec(
    name="features",
    parts=(
        Windows(
            name="recent",
            source="flights",
            time="known_at",
            by=("origin",),
            key_types=("string",),
            aggregates=(
                Aggregate(name="delay", kind="mean", column="dep_delay", width_us=1),
                Aggregate(name="seats", kind="sum", column="seats", width_us=1, integer=True),
                Aggregate(name="night", kind="mean", column="at_night", width_us=1, integer=True, type="bool"),
                Aggregate(name="seen", kind="count", column="", width_us=1),
                Aggregate(name="several", kind="approx_distinct", column="carrier", width_us=1, type="string"),
            ),
            event_id=("flight_id",),
            event_id_types=("int",),
        ),
        View(
            name="weather",
            entity=("origin",),
            entity_types=("string",),
            time="observed_at",
            ttl_us=None,
            fields=(Field("wind", "float"),),
        ),
    ),
)
EVENT = {"flight_id": 1, "origin": "JFK", "known_at": "2013-04-01T00:00:00Z", "dep_delay": 2.5, "seats": 100, "x": []}
EVENT |= {"carrier": "UA", "at_night": True}
WEATHER = {"origin": "JFK", "observed_at": "2013-04-01T00:00:00Z", "wind": None}


@dataclass
class Received:
    changed: int
    passed_over: int


@pytest.fixture
def stored(desk: Desk) -> list[Any]:
    """What the online store was given; it knows one of the rows already."""
    stored: list[Any] = []

    def receive(name: str, rows: Any) -> Received:
        stored.extend((name, row) for row in rows)
        return Received(len(rows) - 1, 0)

    sources, views = checks_of(SPEC)
    desk.serve(sources=sources, views=views, receive=receive)
    return stored


def test_pushed_rows_go_to_the_online_store_and_to_the_log(desk: Desk, stored: list[Any]) -> None:
    rows = [EVENT, {**EVENT, "flight_id": 2, "dep_delay": None}]
    answer = desk.ask("POST", EVENTS, json={"source": "flights", "rows": rows})
    assert answer.json() == {"accepted": 2, "new": 1, "passed_over": 0}
    assert desk.ask("POST", EVENTS, json={"view": "weather", "rows": [WEATHER]}).json()["accepted"] == 1
    assert stored == [("flights", rows[0]), ("flights", rows[1]), ("weather", WEATHER)]
    assert [(row.kind, row.name, row.row) for row in desk.events] == [
        ("source", "flights", rows[0]),
        ("source", "flights", rows[1]),
        ("view", "weather", WEATHER),
    ]
    assert desk.counters.total(count.EVENTS) == 3
    assert desk.counters.total(count.EVENTS_NEW) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dep_delay": "late"}, "rows[1].dep_delay"),
        ({"known_at": "2013-04-01T00:00:00"}, "rows[1].known_at"),
        ({"flight_id": "1"}, "rows[1].flight_id"),
        ({"origin": 3}, "rows[1].origin"),
        ({"seats": 2**63}, "rows[1].seats"),
        ({"seats": 1.5}, "rows[1].seats"),
        ({"carrier": 5}, "rows[1].carrier"),
        ({"carrier": ["UA"]}, "rows[1].carrier"),
        ({"seats": 2**64}, "rows[1].seats"),
        ({"seats": -(10**30)}, "rows[1].seats"),
        ({"seats": "100"}, "rows[1].seats"),
        ({"seats": [100]}, "rows[1].seats"),
        ({"at_night": 2}, "rows[1].at_night"),  # it would count as two
        ({"at_night": 0.5}, "rows[1].at_night"),
        ({"at_night": "true"}, "rows[1].at_night"),
        ({"flight_id": 2**63}, "rows[1].flight_id"),
        ({"x": [2**64]}, "rows[1]"),  # no feature reads it, but the log keeps it
    ],
)
def test_a_push_of_wrong_types_is_422_and_nothing_is_stored(
    desk: Desk, stored: list[Any], change: dict[str, Any], field: str
) -> None:
    answer = desk.ask("POST", EVENTS, json={"source": "flights", "rows": [EVENT, {**EVENT, **change}]})
    assert error_of(answer, 422)["field"] == field
    assert (stored, desk.events) == ([], [])


@pytest.mark.parametrize(
    "change",
    [{"at_night": False}, {"at_night": 1}, {"at_night": 0.0}, {"at_night": None}, {"seats": 3.0}, {"seats": None}],
)
def test_a_push_may_write_numbers_and_truth_values_as_others_do(
    desk: Desk, stored: list[Any], change: dict[str, Any]
) -> None:
    answer = desk.ask("POST", EVENTS, json={"source": "flights", "rows": [{**EVENT, **change}]})
    assert answer.json()["accepted"] == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (LABELS, b'{"labels": [{"value": 1, "prediction": "\xff"}]}'),
        (EVENTS, b'{"source": "flights", "rows": [{"origin": "\xff"}]}'),
    ],
)
def test_a_text_that_is_not_utf_8_is_422(desk: Desk, stored: list[Any], path: str, body: bytes) -> None:
    assert "not UTF-8" in error_of(desk.ask("POST", path, content=body), 422)["what"]
    assert (stored, desk.events, desk.labels) == ([], [], [])


def test_a_push_without_a_column_that_a_feature_reads_is_422(desk: Desk, stored: list[Any]) -> None:
    row = {name: value for name, value in EVENT.items() if name != "dep_delay"}
    found = error_of(desk.ask("POST", EVENTS, json={"source": "flights", "rows": [row]}), 422)
    assert found["field"] == "rows[0].dep_delay"
    assert stored == []


def test_a_push_that_the_store_refuses_is_not_logged(desk: Desk, stored: list[Any]) -> None:
    def receive(name: str, rows: Any) -> Received:
        raise Unavailable("The online store is busy.")

    desk.serve(receive=receive)
    error_of(desk.ask("POST", EVENTS, json={"source": "flights", "rows": [EVENT]}), 503)
    assert desk.events == []


def test_a_full_disk_is_503_without_the_stores_path(
    desk: Desk, stored: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    def full(rows: Any) -> None:
        raise BackendError("1 row could not be appended to the labels log in /a/store/log: no space left.")

    desk.keep = full
    for path, body in [
        (LABELS, {"labels": [{"prediction": "a", "value": 1}]}),
        (EVENTS, {"source": "flights", "rows": [EVENT]}),
    ]:
        answer = desk.ask("POST", path, json=body)
        assert "could not be read or written" in error_of(answer, 503)["what"]
        assert "/a/store" not in answer.text
    assert caplog.text.count("/a/store/log") == 2


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
    desk.serve(sources=checks_of(SPEC)[0])
    found = error_of(desk.ask("POST", EVENTS, json=body), 422)
    assert found["field"] == field
    assert said in found["fix"]


@pytest.mark.parametrize("named", [{"source": "weather"}, {"view": "flights"}])
def test_a_view_that_is_pushed_as_a_table_is_told_apart(desk: Desk, stored: list[Any], named: dict[str, str]) -> None:
    found = error_of(desk.ask("POST", EVENTS, json={**named, "rows": []}), 422)
    (name,) = named.values()
    assert found["fix"] == f'Send {{"{"view" if name == "weather" else "source"}": "{name}", "rows": [...]}}.'
