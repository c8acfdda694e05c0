"""Both arms of a roll-out, through the app."""

import math
from typing import Any

import pytest
from serving_desk import NOW, Desk, error_of
from two_models import CHALLENGER, flights, in_rollout, is_theirs

from slipway.errors import InvalidInput, Unavailable
from slipway.serving import counters as count

ROWS = flights()
THEIRS = [i for i, row in enumerate(ROWS) if is_theirs(row, 0.5)]
OURS = [i for i in range(5) if i not in THEIRS]


def broken(*arguments: Any) -> Any:
    raise RuntimeError("secret inside")


def refusing(*arguments: Any) -> Any:
    raise InvalidInput("The model takes no null in 'distance'.", field="distance")


def noted(desk: Desk) -> list[tuple[str, str, int, str, bool]]:
    desk.close()
    return [(row.arm, row.bundle, row.rows, row.step, row.was_covered) for row in desk.failed]


def test_both_arms_have_rows_in_these_tests() -> None:
    assert THEIRS
    assert OURS


def test_each_row_is_answered_by_its_own_arm_with_its_own_threshold(desk: Desk) -> None:
    in_rollout(desk, 0.5)
    said = desk.predict(*ROWS).json()
    desk.close()
    for i, (prediction, row) in enumerate(zip(said["predictions"], desk.logged, strict=True)):
        theirs = i in THEIRS
        assert prediction["id"] == row.id
        assert prediction["score"] == row.score == (1.0 if theirs else 0.5)
        assert prediction["decision"] is row.decision is theirs  # 1.0 >= 0.9, and 0.5 < 0.6
        assert prediction["version"] == row.version == (2 if theirs else 1)
        assert row.arm == ("challenger" if theirs else "champion")
        assert (row.bundle, row.propensity, row.revision) == (("2" if theirs else "1") * 16, 0.5, 1)
    assert said["model"]["version"] == 1
    assert desk.counters.total(count.CHALLENGER_ROWS) == len(THEIRS)
    assert desk.failed == []


def test_the_same_rows_are_resolved_once_where_both_take_the_same(desk: Desk) -> None:
    asked = []

    def resolve(rows: Any, at: Any) -> Any:
        asked.append(len(rows))
        return [[row[1], at.hour] for row in rows]

    desk.serve(resolve=resolve)
    in_rollout(desk, 0.5)
    assert desk.predict(*ROWS).status_code == 200
    desk.close()
    assert asked == [5]


def test_a_challenger_with_its_own_features_is_given_its_own_rows(desk: Desk) -> None:
    in_rollout(desk, 0.5, resolve=lambda rows, at: [[1000.0] for _ in rows])
    assert {p["score"] for p in desk.predict(*ROWS).json()["predictions"]} == {2.0, 0.5}
    desk.close()
    assert [row.features for row in desk.logged] == [[1000.0] if i in THEIRS else [500.0, 12] for i in range(5)]


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"predict": broken}, "predict"),
        ({"predict": refusing}, "predict"),
        ({"predict": lambda rows: [math.nan] * len(rows)}, "predict"),
        ({"predict": lambda rows: [0.5]}, "predict"),
        ({"resolve": broken}, "features"),
    ],
)
def test_the_champion_answers_the_rows_of_a_failing_challenger(
    desk: Desk, changes: dict[str, Any], step: str, caplog: pytest.LogCaptureFixture
) -> None:
    in_rollout(desk, 0.5, **changes)
    said = desk.predict(*ROWS).json()
    assert [(p["score"], p["version"]) for p in said["predictions"]] == [(0.5, 1)] * 5
    assert noted(desk) == [("challenger", "2" * 16, len(THEIRS), step, True)]
    (failure,) = desk.failed
    assert (failure.at_us, failure.revision) == (int(NOW.timestamp()) * 1_000_000, 1)
    assert [(row.arm, row.propensity) for row in desk.logged] == [
        ("champion", 1.0 if i in THEIRS else 0.5) for i in range(5)
    ]
    assert desk.counters.total(count.COVERED_ROWS) == len(THEIRS)
    assert desk.counters.total(count.MODEL_FAILURES) == 0
    assert "for the challenger" in caplog.text


def test_rows_that_no_model_takes_are_422_and_nobodys_failure(desk: Desk) -> None:
    desk.serve(predict=refusing)
    in_rollout(desk, 1.0, predict=broken)
    assert error_of(desk.predict(*ROWS), 422)["field"] == "distance"
    assert noted(desk) == []


def test_where_both_fail_the_request_fails_and_is_the_failure_of_the_arm_that_was_drawn(desk: Desk) -> None:
    desk.serve(predict=broken)
    in_rollout(desk, 1.0, predict=broken)
    error_of(desk.predict(*ROWS), 500)
    assert noted(desk) == [("challenger", "2" * 16, 5, "predict", False)]
    assert desk.logged == []


def test_a_champion_that_fails_takes_no_row_of_the_challenger_with_it(desk: Desk) -> None:
    desk.serve(predict=broken)
    in_rollout(desk, 0.5)
    assert [p["version"] for p in desk.predict(*ROWS).json()["predictions"]] == [2] * 5
    error_of(desk.predict(*[ROWS[i] for i in OURS]), 500)
    assert desk.predict(*[ROWS[i] for i in THEIRS]).status_code == 200
    assert noted(desk) == [
        ("champion", "1" * 16, len(OURS), "predict", True),
        ("champion", "1" * 16, len(OURS), "predict", False),
    ]


def test_at_all_rows_the_champion_is_not_asked(desk: Desk) -> None:
    desk.serve(predict=broken)
    in_rollout(desk, 1.0)
    assert [p["version"] for p in desk.predict(*ROWS).json()["predictions"]] == [2] * 5


def test_shared_features_that_fail_are_noted_for_each_arm_by_its_rows(desk: Desk) -> None:
    desk.serve(resolve=broken)
    in_rollout(desk, 0.5)
    error_of(desk.predict(*ROWS), 500)
    assert noted(desk) == [
        ("challenger", "2" * 16, len(THEIRS), "features", False),
        ("champion", "1" * 16, len(OURS), "features", False),
    ]
    assert desk.counters.total(count.MODEL_FAILURES) == 1


@pytest.mark.parametrize(("part", "step"), [("resolve", "features"), ("predict", "predict")])
def test_a_failure_outside_of_a_rollout_is_noted_too(desk: Desk, part: str, step: str) -> None:
    desk.serve(**{part: broken})
    error_of(desk.predict(*ROWS[:2]), 500)
    assert noted(desk) == [("champion", "1" * 16, 2, step, False)]
    assert desk.counters.total(count.FAILURES) == desk.counters.total(count.FAILURES_WRITTEN) == 1


def test_a_busy_store_is_503_and_noted(desk: Desk) -> None:
    def busy(rows: Any, at: Any) -> Any:
        raise Unavailable("The online store is busy.")

    desk.serve(resolve=busy)
    error_of(desk.predict(*ROWS), 503)
    assert noted(desk) == [("champion", "1" * 16, 5, "features", False)]


def test_the_endpoint_tells_its_challenger(desk: Desk) -> None:
    assert desk.ask("GET", "/endpoints/delays").json()["challenger"] is None
    in_rollout(desk, 0.25)
    assert desk.ask("GET", "/endpoints/delays").json()["challenger"] == {
        "name": "delays",
        "version": 2,
        "bundle": CHALLENGER.bundle,
        "fraction": 0.25,
        "rollout": "r1",
    }
