"""`sw.Service`: what an endpoint promises its callers, as a project declares it."""

import math
import re
from dataclasses import dataclass

from slipway.errors import InvalidDeclaration
from slipway.records.endpoints import MonitorSpec
from slipway.records.health import LATENCY_BUCKETS_S, ServiceSpec

__all__ = ["Service"]

_TIME = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s|m)", re.ASCII)
_UNITS_US = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000}
_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Service:
    """Watches whether callers get a result at all: apart from whether the results are good.

    What may go wrong is a budget: 0.001 of the requests, and of the time, where 0.999 is promised. Somebody is called when
    the budget is used up much too fast, over a long and a short window, and when nothing answers for `down_after`. A probe
    asks the endpoint rows that the model answered when it was packaged, and compares.

    Args:
        availability: The share of requests, and of time, that gets a result; over 30 days.
        latency: A slower answer counts as slow: one of the times that endpoints count by, "100ms", "200ms", "250ms", ...
            None for no promise.
        fast: The share of answers that are not slow.
        by_model: The share of rows that the model itself answers where there is a fallback; None for no promise. Where the
            fallback's own `alert_above` says so, that counts instead.
        probe: How often a probe asks: "1m", "30s"; None for never.
        down_after: For how long nothing must answer until somebody is called, whatever the budget says.

    Raises:
        InvalidDeclaration: A share that leaves no budget, or an unreadable time.

    Example:
        `monitors=[sw.Service(availability=0.999, latency="200ms"), sw.Drift()]`
    """

    availability: float = 0.999
    latency: str | None = None
    fast: float = 0.99
    by_model: float | None = 0.95
    probe: str | None = "1m"
    down_after: str = "30s"

    def __post_init__(self) -> None:
        self._spec()  # refused here, and not when it is deployed

    def spec(self) -> MonitorSpec:
        """The monitor as data."""
        return MonitorSpec(kind="service", name="service", window_us=_HOUR_US, service=self._spec())

    def _spec(self) -> ServiceSpec:
        return ServiceSpec(
            availability=_share(self.availability, "availability"),
            latency_us=0 if self.latency is None else _counted(self.latency),
            fast=_share(self.fast, "fast"),
            by_model=0.0 if self.by_model is None else _share(self.by_model, "by_model"),
            probe_us=0 if self.probe is None else _time(self.probe, "probe", least_us=1_000_000),
            down_us=_time(self.down_after, "down_after", least_us=1_000_000),
        )


def _share(given: object, what: str) -> float:
    is_number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    if not is_number or not 0.5 <= given < 1.0:  # type: ignore[operator]  # a number
        raise InvalidDeclaration(
            f"{given!r} is no {what} of a service.",
            why="It is the share that must go well; what is missing to 1 is the budget of what may go wrong.",
            fix=f"Give a share from 0.5 to below 1: {what}=0.999.",
        )
    return float(given)  # type: ignore[arg-type]


def _time(given: object, what: str, *, least_us: int) -> int:
    match = _TIME.fullmatch(given) if isinstance(given, str) else None
    found = round(float(match[1]) * _UNITS_US[match[2]]) if match else 0
    if found < least_us:
        raise InvalidDeclaration(
            f"{given!r} is no {what} of a service.", fix=f"Write it as '30s' or '1m'; the least is {least_us / 1e6:g}s."
        )
    return found


def _counted(given: object) -> int:
    found = _time(given, "latency", least_us=1)
    bounds = [round(bound * 1_000_000) for bound in LATENCY_BUCKETS_S]
    if found not in bounds:
        near = sorted(sorted(bounds, key=lambda bound: abs(bound - found))[:2])
        words = " or ".join(f"{bound / 1000:g}ms" for bound in near)
        raise InvalidDeclaration(
            f"No endpoint counts answers by {given!r}.",
            why="How long answers took is counted between fixed bounds, so that workers can add up what they counted.",
            fix=f"Promise {words}.",
        )
    return found
