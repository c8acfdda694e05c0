"""Monitors as declared: what cannot work is refused where it is written."""

import math
from datetime import date
from typing import Any

import pytest

from slipway.errors import InvalidDeclaration
from slipway.monitoring.declare import KPI, Drift, Quality

DAY_US = 86_400_000_000


def test_a_monitor_becomes_plain_data() -> None:
    quality = Quality("log_loss", label_delay="36h", limit=0.7).spec()
    assert (quality.kind, quality.metric, quality.limit) == ("quality", "log_loss", 0.7)
    assert quality.label_delay_us == 1.5 * DAY_US
    assert KPI("cost of errors", label_delay="2d").spec().label_delay_us == 2 * DAY_US
    assert Drift().spec().kind == "drift"


def test_a_window_of_four_weeks_unless_another_is_declared() -> None:
    for monitor in (Drift(), Quality("auc"), KPI()):
        assert monitor.spec().window_us == 28 * DAY_US
    for monitor in (Drift(window="7d"), Quality("auc", window="7d"), KPI(window="7d")):
        assert monitor.spec().window_us == 7 * DAY_US
    assert Drift(window="6h").spec().window_us == DAY_US / 4


@pytest.mark.parametrize("monitor", [lambda window: Quality("auc", window=window), lambda window: KPI(window=window)])
def test_a_window_without_days_enough_would_never_tell(monitor: Any) -> None:
    with pytest.raises(InvalidDeclaration, match="'6d' is too short a window; the least is a week"):
        monitor("6d")
    with pytest.raises(InvalidDeclaration, match="too short"):
        Drift(window="0d")


def test_calibration_has_a_limit_of_its_own() -> None:
    assert Quality("calibration").spec().limit == 0.05
    assert Quality("calibration", limit=0.1).spec().limit == 0.1
    with pytest.raises(InvalidDeclaration, match="limit of calibration"):
        Quality("calibration", limit=0.0)


def test_two_metrics_of_one_endpoint_have_two_names() -> None:
    assert Quality("auc").spec().name != Quality("brier").spec().name


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(InvalidDeclaration, match="log_loss"):
        Quality("logloss")


@pytest.mark.parametrize("delay", ["1 day", "", "-1d", "1.5d", "d", 86400, None, "999999d", "٣d"])
@pytest.mark.parametrize("monitor", [lambda delay: Quality("auc", label_delay=delay), lambda d: KPI(label_delay=d)])
def test_an_unreadable_delay_says_how_to_write_one(monitor: Any, delay: Any) -> None:
    with pytest.raises(InvalidDeclaration, match="'6h'"):
        monitor(delay)


@pytest.mark.parametrize("limit", [math.nan, math.inf, "0.5", True])
@pytest.mark.parametrize("monitor", [lambda limit: Quality("auc", limit=limit), lambda limit: KPI(limit=limit)])
def test_a_limit_that_would_never_alert_is_refused(monitor: Any, limit: Any) -> None:
    with pytest.raises(InvalidDeclaration, match="limit"):
        monitor(limit)


def test_a_kpi_has_a_name() -> None:
    with pytest.raises(InvalidDeclaration, match="name"):
        KPI(" ")


def test_drift_takes_a_budget_holidays_and_a_segment() -> None:
    spec = Drift(every="1h", pages_a_month=1, segment="carrier", holidays=["2026-12-25", date(2026, 1, 1)]).spec()
    assert (spec.every_us, spec.pages_a_month, spec.segment) == (3_600_000_000, 1.0, "carrier")
    assert spec.holidays == ("2026-01-01", "2026-12-25")
    plain = Drift().spec()
    assert (plain.every_us, plain.pages_a_month, plain.holidays, plain.segment) == (86_400_000_000, None, (), "")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"every": "2h"}, "no window of drift"),
        ({"pages_a_month": 0}, "no budget"),
        ({"pages_a_month": float("nan")}, "no budget"),
        ({"pages_a_month": True}, "no budget"),
        ({"segment": ""}, "names no input"),
        ({"holidays": "2026-12-25"}, "no holiday|is no"),
        ({"holidays": ["Christmas"]}, "'Christmas' is no holiday"),
    ],
)
def test_what_is_no_declaration_of_drift_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidDeclaration, match=told):
        Drift(**given)
