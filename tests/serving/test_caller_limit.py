"""How many requests a caller may send: counted by all workers together, refused with 429."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving_desk import Desk, an_active, error_of

from slipway.serving import caller_limit
from slipway.serving.caller_limit import LIMITS_FILE, CallerLimit
from slipway.serving.counters import request_counter
from slipway.serving.http import TooMany

ROW = {"flight_id": "UA1", "distance": 700, "departure": "2013-04-01T15:00:00+02:00"}
S = 1_000_000_000


class Clock:
    """Nanoseconds that go on when they are told to."""

    def __init__(self) -> None:
        self.ns = 5 * S

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


def admitted(limit: CallerLimit, caller: str, tries: int) -> int:
    count = 0
    for _ in range(tries):
        try:
            limit.check(caller)
            count += 1
        except TooMany:
            pass
    return count


def test_a_second_s_worth_may_come_at_once_and_then_the_rate_holds(clock: Clock) -> None:
    limit = CallerLimit(10, now_ns=clock)
    assert admitted(limit, "shop", 50) == 10
    clock.ns += S // 10
    assert admitted(limit, "shop", 50) == 1
    clock.ns += 3600 * S
    assert admitted(limit, "shop", 50) == 10, "an hour of silence saves up no more than a second's worth"


def test_over_a_long_time_it_is_the_rate_to_the_request(clock: Clock) -> None:
    limit, count = CallerLimit(100, now_ns=clock), 0
    for _ in range(10_000):  # ten seconds, a thousand tries a second
        count += admitted(limit, "shop", 1)
        clock.ns += S // 1000
    assert count == 100 + 10 * 100 - 1


def test_a_rate_below_one_a_second_lets_one_through_at_a_time(clock: Clock) -> None:
    limit = CallerLimit(0.5, now_ns=clock)
    limit.check("shop")
    with pytest.raises(TooMany) as refused:
        limit.check("shop")
    assert refused.value.after_s == 2
    assert "30 requests a minute" in refused.value.why
    clock.ns += 2 * S
    limit.check("shop")


def test_retry_after_is_the_whole_second_in_which_one_more_is_taken(clock: Clock) -> None:
    limit = CallerLimit(1 / 60, now_ns=clock)
    limit.check("shop")
    clock.ns += 18 * S + 1
    with pytest.raises(TooMany) as refused:
        limit.check("shop")
    clock.ns += refused.value.after_s * S
    limit.check("shop")


def test_callers_have_nothing_of_each_other(clock: Clock) -> None:
    limit = CallerLimit(5, now_ns=clock)
    assert [admitted(limit, name, 9) for name in ("shop", "till", "", "shop")] == [5, 5, 5, 0]


def test_workers_count_together(tmp_path: Path, clock: Clock) -> None:
    first, second = (CallerLimit(10, tmp_path / LIMITS_FILE, clock) for _ in range(2))
    assert admitted(first, "shop", 4) == 4
    assert admitted(second, "shop", 20) == 6
    assert admitted(first, "shop", 20) == 0


def test_processes_count_together(tmp_path: Path) -> None:
    path = tmp_path / LIMITS_FILE
    limit = CallerLimit(10 / 3600 + 3, path)
    code = (
        "import sys; from pathlib import Path; from slipway.serving.caller_limit import CallerLimit\n"
        "limit = CallerLimit(1 / 3600, Path(sys.argv[1]))\nlimit.check('shop')"
    )
    found = [subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True) for _ in range(2)]
    assert [one.returncode for one in found] == [0, 1]
    assert "TooMany" in found[1].stderr
    limit.check("till")


def test_another_rate_or_a_clock_that_begins_anew_locks_nobody_out(tmp_path: Path, clock: Clock) -> None:
    slow = CallerLimit(1 / 3600, tmp_path / LIMITS_FILE, clock)
    slow.check("shop")
    quick = CallerLimit(10, tmp_path / LIMITS_FILE, clock)
    assert admitted(quick, "shop", 20) == 10
    clock.ns = 1  # the machine was started anew
    assert admitted(quick, "shop", 20) == 10


def test_callers_that_are_gone_leave_their_place(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_limit, "_PLACES", 8)
    limit = CallerLimit(2, now_ns=clock)
    for round_ in range(20):
        names = [f"{round_}-{index}" for index in range(8)]
        assert [admitted(limit, name, 5) for name in names] == [2] * 8
        clock.ns += S


@pytest.fixture
def limited(clock: Clock) -> Iterator[Desk]:
    desk = Desk(active=an_active(caller_limit=CallerLimit(2, now_ns=clock)), admit=lambda *_: "shop")
    yield desk
    desk.close()


def test_what_is_too_much_is_429_with_retry_after_and_is_not_answered(limited: Desk, clock: Clock) -> None:
    assert [limited.predict(ROW).status_code for _ in range(2)] == [200, 200]
    answer = limited.predict(ROW)
    error = error_of(answer, 429)
    assert error["code"] == "TooMany"
    assert error["what"] == "shop has sent more requests than a caller may here."
    assert "2 requests a second" in error["why"]
    assert answer.headers["retry-after"] == "1"
    assert limited.counters.total(request_counter("predict", 429)) == 1
    clock.ns += S
    assert limited.predict(ROW).status_code == 200
    limited.log.close()
    assert len(limited.logged) == 3, "what was refused is not logged"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/endpoints/delays/predict", {"rows": [ROW]}),
        ("/invocations", {"instances": [ROW]}),
        ("/v2/models/delays/infer", {"inputs": []}),
        ("/endpoints/delays/labels", {"labels": [{"prediction": "x", "value": 1}]}),
        ("/endpoints/delays/events", {"source": "flights", "rows": [{}]}),
    ],
)
def test_every_way_to_send_counts(limited: Desk, path: str, body: Any) -> None:
    limited.predict(ROW)
    limited.predict(ROW)
    answer = limited.ask("POST", path, json=body)
    assert answer.status_code == 429
    assert "retry-after" in answer.headers


def test_who_reads_what_it_says_of_itself_is_never_limited(limited: Desk) -> None:
    limited.predict(ROW)
    limited.predict(ROW)
    for path in ("/endpoints/delays", "/metrics", "/health"):
        assert limited.ask("GET", path).status_code == 200


def test_the_metrics_say_who_was_refused(limited: Desk) -> None:
    for _ in range(5):
        limited.predict(ROW)
    text = limited.ask("GET", "/metrics").text
    assert 'slipway_requests_total{endpoint="delays",route="predict",status="429"} 3' in text
    assert 'slipway_caller_limited_total{endpoint="delays",caller="shop"} 3' in text
    assert 'slipway_caller_requests_total{endpoint="delays",caller="shop",route="predict"} 5' in text


def test_where_nobody_is_known_all_count_as_one(clock: Clock) -> None:
    desk = Desk(active=an_active(caller_limit=CallerLimit(1, now_ns=clock)))
    assert desk.predict(ROW).status_code == 200
    error = error_of(desk.predict(ROW), 429)
    assert "all who are not known by a token count as one" in error["why"]
    assert "slipway_caller_limited_total" not in desk.ask("GET", "/metrics").text
    desk.close()
