"""How an endpoint's traffic ran, out of its log: by arm and by span, with what failed and what the fallback answered."""

from datetime import timedelta
from typing import Any

import pytest

from filled_store import fill
from log_desk import AT_US, DAY_US, B, answer, write
from slipway.backends.clocks import SimulatedClock
from slipway.errors import InvalidInput, NotFound
from slipway.flows.endpoint_traffic import traffic
from slipway.flows.endpoints import folder_of
from slipway.operations.asking import AskTraffic, Traffic
from slipway.ports.workspace import Workspace
from slipway.records.predictions import FailureRow


@pytest.fixture
def logged(workspace: Workspace, clock: SimulatedClock) -> Workspace:
    fill(workspace)
    clock.advance_to(clock.now() + timedelta(days=5))
    log = folder_of(workspace, "flight-delays") / "log"
    log.mkdir(parents=True, exist_ok=True)
    rows = [answer(n, took_us=1000 * (n + 1)) for n in range(8)]
    rows += [answer(8, arm="challenger", fallback="timeout", log_share=0.5), answer(9, at_us=AT_US - 400 * DAY_US)]
    write(log, "predictions", rows)
    write(log, "failures", [FailureRow(AT_US, 1, 1, "challenger", B, 3, "predict")])
    return workspace


def asked(workspace: Workspace, **more: Any) -> Traffic:
    return traffic(workspace, AskTraffic(name="flight-delays", **more))


def test_rows_are_told_by_day_and_arm(logged: Workspace) -> None:
    found = asked(logged)
    assert (found.unit, found.rows) == ("day", 10)
    told = {(span.since.day, span.arm): (span.rows, span.fallback, span.failed) for span in found.spans}
    assert told == {
        (1, "champion"): (2, 0, 0),
        (1, "challenger"): (0, 0, 3),
        (2, "champion"): (4, 0, 0),
        (3, "champion"): (2, 0, 0),
        (3, "challenger"): (2, 2, 0),  # half of such rows are logged
    }
    first = next(span for span in found.spans if span.rows)
    assert (first.p50_ms, first.p99_ms) == (1.5, pytest.approx(1.99))
    assert next(span for span in found.spans if span.fallback).p50_ms is None  # nobody measured


def test_few_days_are_told_by_hour(logged: Workspace) -> None:
    found = asked(logged, days=3)
    assert found.unit == "hour"
    assert all(span.since.minute == 0 for span in found.spans)


def test_nothing_logged_is_no_traffic(workspace: Workspace) -> None:
    fill(workspace)
    assert asked(workspace) == Traffic(unit="day", spans=())


def test_what_does_not_fit_is_refused(logged: Workspace) -> None:
    with pytest.raises(InvalidInput, match="93 days"):
        asked(logged, days=93)
    with pytest.raises(NotFound):
        traffic(logged, AskTraffic(name="nowhere"))
