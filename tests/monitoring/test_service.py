"""Whether users get results: what is promised, what few requests can tell, and each kind of trouble by its name."""

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from slipway.errors import InvalidDeclaration
from slipway.monitoring.burning import burning
from slipway.monitoring.constant import constant
from slipway.monitoring.health import burns, health
from slipway.monitoring.service import Service
from slipway.records.health import Counted, HealthState, Probed, ServiceSpec
from slipway.stats.binomial import least_share, most_share, upper_tail

NOW = datetime(2013, 4, 1, 12, 30, 30, tzinfo=UTC)
SPEC = ServiceSpec()


def state(*at: tuple[float, Counted], process: str = "up", **changes: object) -> HealthState:
    """What was counted so many minutes ago."""
    found = HealthState(looked_at=NOW, state=process, **changes)  # type: ignore[arg-type]
    for ago, counted in at:
        then = (NOW - timedelta(minutes=ago)).timestamp()
        found.minutes.setdefault(int(then // 60), Counted()).add(counted)
        found.hours.setdefault(int(then // 3600), Counted()).add(counted)
    return found


def troubles(found: HealthState, spec: ServiceSpec = SPEC) -> list[str]:
    return [cause.about for cause in health(found, spec, NOW).causes]


@pytest.mark.parametrize(
    "given",
    [
        {"availability": 1.0},
        {"availability": 0.4},
        {"availability": float("nan")},
        {"availability": True},
        {"latency": "210ms"},
        {"latency": 0.2},
        {"fast": 1},
        {"by_model": 1.0},
        {"probe": "1d"},
        {"probe": "10ms"},
        {"down_after": "0s"},
    ],
)
def test_what_cannot_be_promised_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(InvalidDeclaration):
        Service(**given)  # type: ignore[arg-type]


def test_a_latency_that_is_not_counted_names_those_that_are() -> None:
    with pytest.raises(InvalidDeclaration, match="Promise 200ms or 250ms"):
        Service(latency="230ms")
    assert Service(latency="200ms").spec().service == ServiceSpec(latency_us=200_000)


@pytest.mark.parametrize(
    ("hits", "n", "share"), [(1, 3, 0.1), (0, 5, 0.5), (7, 7, 0.3), (40, 1000, 0.05), (3, 10, 0.9)]
)
def test_the_tail_is_that_of_a_plain_sum(hits: int, n: int, share: float) -> None:
    from math import comb

    plain = sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(hits, n + 1))
    assert upper_tail(hits, n, share) == pytest.approx(plain, rel=1e-9)


def test_the_bounds_are_those_of_clopper_and_pearson() -> None:
    assert least_share(1, 3, 0.025) == pytest.approx(0.00840376, rel=1e-5)
    assert most_share(1, 3, 0.025) == pytest.approx(0.905701, rel=1e-5)
    assert (least_share(0, 9, 0.025), most_share(9, 9, 0.025)) == (0.0, 1.0)


def test_one_error_in_three_requests_calls_nobody_and_five_in_five_do() -> None:
    one_of_three = state((20, Counted(requests=2)), (1, Counted(requests=1, errors=1)))
    assert health(one_of_three, SPEC, NOW).state == "ok"
    all_of_five = state(*((5.0 * i, Counted(requests=1, errors=1)) for i in range(5)))
    assert troubles(all_of_five) == ["errors"]


def test_what_is_over_is_over_and_what_goes_on_slowly_is_a_ticket() -> None:
    burst = Counted(requests=1000, errors=300)
    assert troubles(state((2, burst))) == ["errors"]
    over = health(state((50, burst), *((float(i), Counted(requests=100)) for i in range(32))), SPEC, NOW)
    assert over.values["urgency"] == "ticket", "nobody is called for what is over; what it took of the budget is told"
    slowly = state(*((60.0 * i, Counted(requests=2000, errors=8)) for i in range(60)))
    found = health(slowly, SPEC, NOW)
    assert (found.state, found.values["urgency"]) == ("alert", "ticket")
    assert found.sentence.startswith("Ticket, no hurry: ")


@pytest.mark.parametrize(
    ("counted", "kinds"),
    [
        (Counted(requests=100, time_outs=50), ["time-outs"]),
        (Counted(requests=100, errors=50), ["errors"]),
        (Counted(requests=100, saturated=50), ["saturation"]),
        (Counted(requests=100, invalid=50), ["invalid answers"]),
        (Counted(requests=100, features=50), ["features"]),
        (Counted(requests=100, errors=40, time_outs=40, saturated=1), ["time-outs", "errors"]),
        (Counted(requests=100, rows=100, fallen=60), ["fallback"]),
        (Counted(requests=100, timed=100, slow=60), ["slow answers"]),
        (Counted(watched_s=240.0, down_s=120.0, ended=3), ["process down"]),
    ],
)
def test_each_kind_of_trouble_has_its_name(counted: Counted, kinds: list[str]) -> None:
    spec = ServiceSpec(latency_us=200_000)
    found = health(state((1, counted)), spec, NOW)
    assert (found.state, [cause.about for cause in found.causes]) == ("alert", kinds)
    assert {cause.kind for cause in found.causes} == {"service"}


def test_a_fallback_with_a_limit_of_its_own_is_judged_by_that() -> None:
    found = state((1, Counted(requests=100, rows=100, fallen=60)))
    assert health(found, SPEC, NOW, has_own_limit=True).state == "ok"


def test_what_does_not_answer_for_long_enough_is_down_whatever_the_budget() -> None:
    for seconds, wanted in ((10, "note"), (31, "alert")):
        found = health(state(process="down", down_since=NOW - timedelta(seconds=seconds)), SPEC, NOW)
        assert found.state == wanted
    assert health(state(process="stopped"), SPEC, NOW).state == "cannot tell"


def test_one_bad_probe_is_bad_luck_and_three_are_trouble() -> None:
    probe = Probed(at=NOW, outcome="wrong", sentence="5 of 5 are answered otherwise")
    assert troubles(state(probe=probe, failing=2)) == []
    assert troubles(state(probe=probe, failing=3)) == ["wrong answers"]
    assert troubles(state(probe=probe, failing=3, process="asleep")) == []


def test_what_is_left_of_a_budget() -> None:
    found = {one.of: one for one in burns(state((90, Counted(requests=10_000, errors=4, watched_s=1.0))), SPEC, NOW)}
    assert found["requests"].left == pytest.approx(0.6)
    assert found["requests"].rate is None, "nothing was asked in the last hour"
    assert found["time"].left == 1.0


def test_an_endpoint_that_uses_half_its_budget_calls_nobody_for_a_month() -> None:
    draws, calls = random.Random(7), 0
    minutes: dict[int, Counted] = {}
    hours: dict[int, Counted] = {}
    for minute in range(30 * 24 * 60):
        n = 3 if minute % 7 == 0 else 0
        counted = Counted(requests=n, errors=sum(draws.random() < 0.0005 for _ in range(n)))
        at = NOW + timedelta(minutes=minute)
        if n:
            minutes.setdefault(int(at.timestamp() // 60), Counted()).add(counted)
            hours.setdefault(int(at.timestamp() // 3600), Counted()).add(counted)
        if counted.errors:  # only then a rule can begin to hold
            calls += burning(minutes, hours, at, 0.001, lambda one: (one.bad, one.requests)) is not None
    assert calls == 0


def frame(scores: list[float]) -> pl.DataFrame:
    return pl.DataFrame(
        {"inputs": range(len(scores)), "score": scores}, schema={"inputs": pl.UInt64, "score": pl.Float64}
    )


def test_one_answer_to_different_inputs_is_none() -> None:
    draws = random.Random(3)
    before = [draws.random() for _ in range(100)]
    found = constant(frame([0.5] * 60), before)
    assert found is not None
    assert "60 of 60 different inputs got the same answer, 0.5" in found.sentence
    assert constant(frame([draws.random() for _ in range(60)]), before) is None
    assert constant(frame([0.5] * 20), before) is None, "too few"
    assert constant(frame([0.5] * 60), [0.5] * 95 + before[:5]) is None, "it always answered so"
    same = frame([0.5] * 60).with_columns(inputs=pl.lit(1, pl.UInt64))
    assert constant(same, before) is None, "one input, asked again and again"
