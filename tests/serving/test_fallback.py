"""What answers where the model does not: through the app, with models that hang, raise and talk nonsense."""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from serving_desk import Desk, error_of
from two_models import flights, in_rollout, is_theirs

from slipway.errors import InvalidInput, Unavailable
from slipway.records.endpoints import FallbackSpec, Way
from slipway.records.predictions import PredictionRow
from slipway.serving import counters as count
from slipway.serving.fallback import LoadedFallback, LoadedWay, is_probability

ROWS = flights()
VALUE = LoadedWay(by="value", ask=lambda rows, at: [0.25] * len(rows), value=0.25)
RULE = LoadedWay(by="rule", ask=lambda rows, at: [None if row[1] is None else 0.75 for row in rows])
EARLIER = LoadedWay(by="version", ask=lambda rows, at: [0.1] * len(rows), version=7, threshold=0.05)
BACK = threading.Event()


def fallback(*ways: LoadedWay, within_ms: int = 20_000, **changes: Any) -> LoadedFallback:
    spec = FallbackSpec(ways=tuple(Way(by=way.by) for way in ways), within_us=within_ms * 1000)
    plain = {"spec": spec, "ways": ways, "is_valid": is_probability, "sent": frozenset({"flight_id", "distance"})}
    return LoadedFallback(**{**plain, **changes})


def hang(*arguments: Any) -> Any:
    BACK.wait(20)
    return [0.9] * len(arguments[0])


def broken(*arguments: Any) -> Any:
    raise RuntimeError("secret inside")


def away(*arguments: Any) -> Any:
    raise Unavailable("The online store in /a/store is busy.")


@pytest.fixture(autouse=True)
def _nobody_hangs_on() -> Iterator[None]:
    BACK.clear()
    yield
    BACK.set()


def logged(desk: Desk) -> list[PredictionRow]:
    desk.close()
    return desk.logged


def test_a_row_on_which_a_rule_raises_takes_no_other_row_s_answer_away() -> None:
    def by_half(rows: list[list[Any]], at: datetime) -> list[float | None]:
        return [None if row[0] is None else 0.5 / row[0] for row in rows]

    rule = LoadedWay(by="rule", ask=by_half)
    at = datetime(2026, 1, 5, tzinfo=UTC)
    found, problems = fallback(rule, VALUE).answer([[1], [0], [None], [2]], at)
    assert [one and (one.way.by, one.score) for one in found] == [
        ("rule", 0.5),
        ("value", 0.25),
        ("value", 0.25),
        ("rule", 0.25),
    ]
    assert [type(one) for one in problems] == [ZeroDivisionError]
    found, _ = fallback(rule).answer([[0], [1]], at)
    assert [one and one.score for one in found] == [None, 0.5]


@pytest.mark.parametrize(
    ("changes", "reason", "step"),
    [
        ({"predict": broken}, "error", "predict"),
        ({"predict": lambda rows: (_ for _ in ()).throw(SystemExit(3))}, "error", "predict"),
        ({"resolve": broken}, "features", "features"),
        ({"resolve": away}, "features", "features"),
        ({"predict": lambda rows: [math.nan] * len(rows)}, "invalid", "predict"),
        ({"predict": lambda rows: [1.5] * len(rows)}, "invalid", "predict"),
        ({"predict": lambda rows: [0.5]}, "invalid", "predict"),
        ({"predict": lambda rows: None}, "invalid", "predict"),
        ({"predict": lambda rows: [[0.5]] * len(rows)}, "invalid", "predict"),
    ],
)
def test_each_way_of_failing_is_answered_marked_logged_and_counted(
    desk: Desk, changes: dict[str, Any], reason: str, step: str
) -> None:
    desk.serve(fallback=fallback(VALUE), width=2, **changes)
    answer = desk.predict(*ROWS)
    assert answer.status_code == 200, answer.text
    for one in answer.json()["predictions"]:
        assert one["fallback"] == {"by": "value", "reason": reason}
        assert (one["score"], one["decision"], one["version"]) == (0.25, False, 1)
    assert [(row.fallback, row.score, row.features) for row in logged(desk)] == [(reason, 0.25, [None, None])] * 5
    assert [(row.arm, row.rows, row.step, row.was_covered) for row in desk.failed] == [("champion", 5, step, False)]
    text = desk.ask("GET", "/metrics").text
    assert f'slipway_fallback_rows_total{{endpoint="delays",by="value",reason="{reason}"}} 5' in text
    assert desk.counters.total(count.MODEL_FAILURES) == 0


def test_a_model_that_hangs_holds_nobody(desk: Desk) -> None:
    desk.serve(fallback=fallback(VALUE, within_ms=50), width=2, predict=hang)
    for _ in range(6):  # more than it has threads
        answer = desk.predict(ROWS[0])
        assert answer.json()["predictions"][0]["fallback"] == {"by": "value", "reason": "timeout"}
    desk.serve(predict=lambda rows: [0.5] * len(rows))
    BACK.set()
    for _ in range(200):
        answer = desk.predict(ROWS[0])
        if "fallback" not in answer.json()["predictions"][0]:
            return
        time.sleep(0.02)
    pytest.fail("the threads that came back are not used again")


def test_a_model_that_answers_is_not_marked(desk: Desk) -> None:
    desk.serve(fallback=fallback(VALUE), width=2)
    (one,) = desk.predict(ROWS[0]).json()["predictions"]
    assert one["score"] == 0.5
    assert "fallback" not in one
    (row,) = logged(desk)
    assert (row.fallback, row.features) == ("", [500.0, 12])
    assert desk.failed == []


def test_only_the_rows_without_an_answer_fall_back(desk: Desk) -> None:
    desk.serve(
        fallback=fallback(VALUE), width=2, predict=lambda rows: [math.nan if row[0] > 500 else 0.5 for row in rows]
    )
    rows = [*flights(2), *flights(1, distance=900), *flights(1)]
    found = desk.predict(*rows).json()["predictions"]
    assert [one["score"] for one in found] == [0.5, 0.5, 0.25, 0.5]
    assert ["fallback" in one for one in found] == [False, False, True, False]
    assert [row.fallback for row in logged(desk)] == ["", "", "invalid", ""]
    assert [(row.rows, row.step) for row in desk.failed] == [(1, "predict")]


def test_what_is_required_is_not_left_out(desk: Desk) -> None:
    asked: list[Any] = []

    def predict(rows: Sequence[Sequence[Any]]) -> list[float]:
        asked.extend(row[0] for row in rows)
        return [0.5] * len(rows)

    desk.serve(fallback=fallback(VALUE, required=(("delay_6h", 0),)), width=2, predict=predict)
    rows = [*flights(1), {"flight_id": "B6", "distance": None, "departure": None}]
    found = desk.predict(*rows).json()["predictions"]
    assert ["fallback" in one for one in found] == [False, True]
    assert found[1]["fallback"]["reason"] == "features"
    assert asked == [500.0]


@pytest.mark.parametrize(("field", "status"), [("rows[0].distance", 422), ("delay_6h", 200)])
def test_a_value_of_the_callers_is_refused_and_one_of_the_features_falls_back(
    desk: Desk, field: str, status: int
) -> None:
    def predict(rows: Any) -> Any:
        raise InvalidInput("The model takes no null there.", field=field)

    desk.serve(fallback=fallback(VALUE), width=2, predict=predict)
    assert desk.predict(*ROWS).status_code == status


def test_ways_are_asked_in_turn_row_by_row(desk: Desk) -> None:
    failing = LoadedWay(by="version", ask=broken, version=7)
    desk.serve(fallback=fallback(failing, RULE, VALUE), width=2, predict=broken)
    rows = [*flights(1), {"flight_id": "B6", "distance": None, "departure": None}]
    found = desk.predict(*rows).json()["predictions"]
    assert [(one["fallback"]["by"], one["score"]) for one in found] == [("rule", 0.75), ("value", 0.25)]


def test_an_earlier_version_answers_with_its_own_number_and_threshold(desk: Desk) -> None:
    desk.serve(fallback=fallback(EARLIER), width=2, predict=broken)
    (one,) = desk.predict(ROWS[0]).json()["predictions"]
    assert (one["version"], one["score"], one["decision"]) == (7, 0.1, True)
    (row,) = logged(desk)
    assert (row.version, row.bundle) == (7, "1" * 16)


@pytest.mark.parametrize(("ways", "status"), [([RULE], 504), ([EARLIER, VALUE], 200)])
def test_a_fallback_that_hangs_itself_is_left_too(desk: Desk, ways: list[LoadedWay], status: int) -> None:
    stuck = LoadedWay(by=ways[0].by, ask=hang, version=ways[0].version)
    desk.serve(fallback=fallback(stuck, *ways[1:], within_ms=60), width=2, predict=hang)
    answer = desk.predict(ROWS[0])
    assert answer.status_code == status
    if status == 504:
        assert "took too long" in error_of(answer, 504)["what"]
        assert answer.headers["retry-after"] == "1"
    else:
        assert answer.json()["predictions"][0]["fallback"] == {"by": "value", "reason": "timeout"}


@pytest.mark.parametrize("changes", [{"predict": broken}, {"resolve": away}])
def test_where_no_way_has_an_answer_the_models_own_failure_is_told(desk: Desk, changes: dict[str, Any]) -> None:
    desk.serve(fallback=fallback(RULE), width=2, **changes)
    row = {"flight_id": "B6", "distance": None, "departure": None}
    answer = desk.predict(row)
    assert answer.status_code == (500 if "predict" in changes else 503)
    assert "secret" not in answer.text
    assert "/a/store" not in answer.text


def test_in_a_rollout_the_champion_stands_in_for_the_challenger_and_the_fallback_for_the_champion(desk: Desk) -> None:
    desk.serve(fallback=fallback(VALUE), width=2)
    in_rollout(desk, 0.5, predict=broken)
    assert ["fallback" in one for one in desk.predict(*ROWS).json()["predictions"]] == [False] * 5
    desk.serve(predict=broken)
    assert ["fallback" in one for one in desk.predict(*ROWS).json()["predictions"]] == [True] * 5
    rows = logged(desk)[5:]
    assert {row.fallback for row in rows} == {"error"}
    assert desk.counters.total(count.SHADOW_SAMPLED) == 5  # a row that no model answered compares nothing
    theirs = sum(is_theirs(row, 0.5) for row in ROWS)
    noted = sorted((row.arm, row.rows, row.was_covered) for row in desk.failed)
    # the second time the champion fails on its own rows, and on those that it was asked for the challenger
    assert noted == sorted(
        [("challenger", theirs, True), ("challenger", theirs, False), ("champion", 5 - theirs, False)]
    )


def test_features_that_both_arms_share_fall_back_together(desk: Desk) -> None:
    desk.serve(fallback=fallback(VALUE), width=2, resolve=away)
    in_rollout(desk, 0.5)
    found = desk.predict(*ROWS).json()["predictions"]
    assert {one["fallback"]["reason"] for one in found} == {"features"}
    theirs = sum(is_theirs(row, 0.5) for row in ROWS)
    assert sorted((row.arm, row.rows) for row in logged(desk) and desk.failed) == [
        ("challenger", theirs),
        ("champion", 5 - theirs),
    ]


def test_more_than_may_wait_are_told_to_come_back(desk: Desk) -> None:
    desk.close()
    small = Desk(most_at_once=0)
    answer = small.predict(ROWS[0])
    small.close()
    assert "as many requests as it may hold" in error_of(answer, 503)["what"]
    assert answer.headers["retry-after"] == "1"


def test_an_explanation_says_that_the_fallback_answered(desk: Desk) -> None:
    desk.serve(fallback=fallback(VALUE), width=2, predict=broken)
    answer = desk.ask("POST", "/endpoints/delays/predict?explain=3", json={"rows": ROWS[:1]})
    assert "fallback gave" in answer.json()["predictions"][0]["unexplained"]
