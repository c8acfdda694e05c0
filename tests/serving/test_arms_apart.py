"""An arm that fails never fails the other arm's rows of the same request: every way of failing, with and without fallback."""

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from serving_desk import Desk
from test_fallback import VALUE, fallback
from two_models import flights, in_rollout, is_theirs, twice

from slipway.serving.http import TooSlow

ROWS = flights(5)
THEIRS = [i for i, row in enumerate(ROWS) if is_theirs(row, 0.5)]
OURS = [i for i in range(5) if i not in THEIRS]
BACK = threading.Event()


@pytest.fixture(autouse=True)
def _nobody_hangs_on() -> Iterator[None]:
    BACK.clear()
    yield
    BACK.set()


def broken(rows: Any) -> Any:
    raise RuntimeError("secret inside")


def no_number(rows: Any) -> Any:
    return [math.nan] * len(rows)


def too_few(rows: Any) -> Any:
    return [0.5] * (len(rows) - 1)


def interrupted(rows: Any) -> Any:
    raise TooSlow("The model had not answered after 30 seconds.")


def hangs(rows: Any) -> Any:
    BACK.wait(20)
    return [0.9] * len(rows)


WAYS: list[tuple[Callable[[Any], Any], str]] = [
    (broken, "error"), (no_number, "invalid"), (too_few, "invalid"), (interrupted, "timeout"),
]  # fmt: skip


@pytest.mark.parametrize(("fails", "kind"), WAYS)
@pytest.mark.parametrize("is_behind", [False, True])
def test_a_challenger_that_fails_is_covered_by_the_champion(
    desk: Desk, fails: Callable[[Any], Any], kind: str, is_behind: bool
) -> None:
    desk.serve(**({"fallback": fallback(VALUE), "width": 2} if is_behind else {}))
    in_rollout(desk, 0.5, predict=fails)
    answer = desk.predict(*ROWS)
    assert [p["version"] for p in answer.json()["predictions"]] == [1] * 5
    assert [p["score"] for p in answer.json()["predictions"]] == [0.5] * 5
    desk.close()
    assert [(one.arm, one.rows, one.kind, one.was_covered) for one in desk.failed] == [
        ("challenger", len(THEIRS), kind, True)
    ]
    assert {desk.logged[i].propensity for i in THEIRS} == {1.0}
    assert {desk.logged[i].propensity for i in OURS} == {0.5}


@pytest.mark.parametrize(("fails", "kind"), WAYS)
@pytest.mark.parametrize("is_behind", [False, True])
def test_a_champion_that_fails_leaves_the_challenger_s_rows_alone(
    desk: Desk, fails: Callable[[Any], Any], kind: str, is_behind: bool
) -> None:
    desk.serve(predict=fails, **({"fallback": fallback(VALUE), "width": 2} if is_behind else {}))
    in_rollout(desk, 0.5, predict=lambda rows: [one / 2 for one in twice(rows)])
    found = desk.predict(*ROWS).json()["predictions"]
    assert [found[i]["version"] for i in THEIRS] == [2] * len(THEIRS)
    assert [("fallback" in found[i], found[i]["version"]) for i in OURS] == [(is_behind, 1 if is_behind else 2)] * len(
        OURS
    )
    desk.close()
    assert {(one.arm, one.kind, one.was_covered) for one in desk.failed} == {("champion", kind, not is_behind)}
    assert sum(one.rows for one in desk.failed) == len(OURS)


@pytest.mark.full
def test_a_challenger_that_hangs_has_half_of_the_time_and_the_champion_answers(desk: Desk) -> None:
    desk.serve(fallback=fallback(VALUE, within_ms=4000), width=2)
    in_rollout(desk, 0.5, predict=hangs)
    assert [p["version"] for p in desk.predict(*ROWS).json()["predictions"]] == [1] * 5
    desk.close()
    (failed,) = desk.failed
    assert (failed.arm, failed.rows, failed.kind, failed.was_covered) == ("challenger", len(THEIRS), "timeout", True)


@pytest.mark.full
def test_a_champion_that_hangs_holds_up_no_row_of_the_challenger(desk: Desk) -> None:
    desk.serve(fallback=fallback(VALUE, within_ms=500), width=2, predict=hangs)
    in_rollout(desk, 0.5, predict=lambda rows: [one / 2 for one in twice(rows)])
    found = desk.predict(*ROWS).json()["predictions"]
    assert [found[i]["version"] for i in THEIRS if "fallback" not in found[i]] == [2] * len(THEIRS)
    assert {found[i]["fallback"]["reason"] for i in OURS} == {"timeout"}


@pytest.mark.parametrize("is_behind", [False, True])
def test_how_long_an_arm_took_is_logged_during_a_roll_out_alone(desk: Desk, is_behind: bool) -> None:
    desk.serve(**({"fallback": fallback(VALUE), "width": 2} if is_behind else {}))
    desk.predict(*ROWS)
    in_rollout(desk, 0.5, predict=lambda rows: [BACK.wait(0.05) or one / 2 for one in twice(rows)])
    desk.predict(*ROWS)
    desk.close()
    assert {row.took_us for row in desk.logged[:5]} == {0}
    assert {desk.logged[5 + i].took_us >= 50_000 * len(THEIRS) for i in THEIRS} == {True}
    assert len({desk.logged[5 + i].took_us for i in OURS}) == 1
