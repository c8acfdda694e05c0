"""Do callers get a result? A pure judge of what was counted, what the process is like, and what probes found.

It never looks at whether results are good: that is the matter of drift, quality and cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct

from slipway.monitoring.burning import Burning, burn, burning, span
from slipway.monitoring.judge import Found
from slipway.records.health import Burn, Counted, HealthState, Outcome, ServiceSpec, Trouble
from slipway.records.monitors import Cause

__all__ = ["OF_OUTCOME", "burns", "causes_of", "health", "signature"]

_HOUR = timedelta(hours=1)
_FAILING = 3
_NO_HURRY = "Ticket, no hurry: "
_WORDS: dict[Trouble, str] = {
    "time-outs": "took too long",
    "errors": "failed",
    "saturation": "were turned away for want of room or of a worker",
    "invalid answers": "had no valid score",
    "features": "lacked their features",
}
_FIELDS: dict[Trouble, str] = {
    "time-outs": "time_outs",
    "errors": "errors",
    "saturation": "saturated",
    "invalid answers": "invalid",
    "features": "features",
}
OF_OUTCOME: Mapping[Outcome, Trouble] = {
    "wrong": "wrong answers",
    "down": "process down",
    "timeout": "time-outs",
    "error": "errors",
    "invalid": "invalid answers",
    "busy": "saturation",
}
"""Which trouble a probe's outcome is."""


class _Trouble(Struct, frozen=True, kw_only=True):
    """One thing that is wrong."""

    kind: Trouble
    sentence: str
    urgency: Literal["page", "ticket"] = "page"
    since: datetime | None = None
    rows: int = 0
    value: float | None = None
    low: float | None = None
    unit: str = ""
    before: float | None = None


def health(state: HealthState, spec: ServiceSpec, now: datetime, *, has_own_limit: bool = False) -> Found:
    """Judge an endpoint's health: an alert with a cause for each kind of trouble, or that all is well.

    Args:
        state: What was counted and seen.
        spec: What is promised.
        now: Machine time.
        has_own_limit: Whether the endpoint's fallback has an `alert_above` of its own, which then counts.
    """
    hour = span(state.minutes, state.hours, now, _HOUR)
    found = _troubles(state, spec, now, has_own_limit=has_own_limit)
    values: dict[str, Any] = {
        "requests": hour.requests,
        "without_result": hour.bad,
        "down_s": round(hour.down_s, 1),
        "process": state.state,
        "probe": state.probe.outcome if state.probe else "",
        "left": {one.of: one.left for one in burns(state, spec, now)},
    }
    if found:
        urgency = "page" if any(one.urgency == "page" for one in found) else "ticket"
        told = " ".join(f"{one.sentence}." for one in found)
        told = f"{_NO_HURRY}{told}" if urgency == "ticket" else told
        return Found(
            state="alert",
            sentence=told,
            rows=hour.requests,
            values={**values, "urgency": urgency, "troubles": [one.kind for one in found]},
            causes=causes_of(found),
        )
    if state.state == "stopped":
        told = "it was stopped in order, and answers nobody"
        return Found(state="cannot tell", sentence=told, rows=hour.requests, values=values)
    if state.down_since is not None:
        seconds = (now - state.down_since).total_seconds()
        told = f"nothing has answered for {seconds:.0f} seconds; somebody is called after {spec.down_us / 1e6:g}"
        return Found(state="note", sentence=told, rows=hour.requests, values=values)
    return Found(state="ok", sentence=_well(state, hour), rows=hour.requests, values=values)


def burns(state: HealthState, spec: ServiceSpec, now: datetime) -> tuple[Burn, ...]:
    """The budgets of what is promised, and what is left of each."""
    kept = (state.minutes, state.hours, now)
    budget = 1.0 - spec.availability
    found = [burn(*kept, "requests", budget, _requests), burn(*kept, "time", budget, _time)]
    if spec.latency_us:
        found.append(burn(*kept, "latency", 1.0 - spec.fast, _latency))
    if spec.by_model and any(one.fallen for one in state.hours.values()):
        found.append(burn(*kept, "model", 1.0 - spec.by_model, _model))
    return tuple(found)


def causes_of(found: list[_Trouble]) -> tuple[Cause, ...]:
    """One cause for each kind of trouble."""
    return tuple(
        Cause(
            kind="service",
            about=one.kind,
            sentence=f"{_NO_HURRY}{one.sentence}" if one.urgency == "ticket" else one.sentence,
            since=one.since,
            rows=one.rows,
            value=one.value,
            low=one.low,
            unit=one.unit,
            before=one.before,
            urgency=one.urgency,
        )
        for one in found
    )


def signature(found: Found) -> list[str]:
    """What a finding says, as far as it is news when it changes."""
    urgency = found.values.get("urgency", "")
    causes = (f"{one.about}, ticket" if one.urgency == "ticket" else one.about for one in found.causes)
    return [found.state, *([urgency] if urgency else []), *sorted(causes)]


def _requests(counted: Counted) -> tuple[float, float]:
    return max(counted.bad, 0), max(counted.requests, 0)


def _time(counted: Counted) -> tuple[float, float]:
    return counted.down_s, counted.watched_s


def _latency(counted: Counted) -> tuple[float, float]:
    return counted.slow, counted.timed


def _model(counted: Counted) -> tuple[float, float]:
    return min(counted.fallen, counted.rows), counted.rows


def _troubles(state: HealthState, spec: ServiceSpec, now: datetime, *, has_own_limit: bool) -> list[_Trouble]:
    kept, budget = (state.minutes, state.hours, now), 1.0 - spec.availability
    found = _down(state, spec, now)
    if (by_probe := _probed(state, found)) is not None:
        found.append(by_probe)
    known = {one.kind for one in found}
    if (lost := burning(*kept, budget, _requests)) is not None:
        found += [one for one in _lost(lost, budget) if one.kind not in known]
    if spec.latency_us and (slow := burning(*kept, 1.0 - spec.fast, _latency)) is not None:
        what = f"{slow.share:.1%} of {slow.counted.timed:,} answers of {_span(slow)} took longer than"
        told = f"{what} {spec.latency_us / 1000:g} ms, where {1.0 - spec.fast:.1%} may"
        found.append(_burnt("slow answers", told, slow, slow.counted.slow, 1.0 - spec.fast))
    if spec.by_model and not has_own_limit and (fell := burning(*kept, 1.0 - spec.by_model, _model)) is not None:
        what = f"the fallback gave {fell.share:.1%} of {fell.counted.rows:,} answers of {_span(fell)}"
        told = f"{what}, where {1.0 - spec.by_model:.1%} may be its; front.log says what failed"
        found.append(_burnt("fallback", told, fell, fell.counted.fallen, 1.0 - spec.by_model))
    if state.constant:
        found.append(
            _Trouble(
                kind="constant answers", sentence=state.constant, since=state.constant_at, rows=state.constant_rows
            )
        )
    return found


def _down(state: HealthState, spec: ServiceSpec, now: datetime) -> list[_Trouble]:
    since = state.down_since
    if since is not None and now - since >= timedelta(microseconds=spec.down_us):
        told = f"nothing has answered since {since:%Y-%m-%d %H:%M:%S} UTC: its process is down; front.log may say why"
        return [_Trouble(kind="process down", sentence=told, since=since)]
    lost = burning(state.minutes, state.hours, now, 1.0 - spec.availability, _time, is_counted=False)
    if lost is None:
        return []
    times = f", in {lost.counted.ended} of its ends" if lost.counted.ended else ""
    told = f"no process answered for {lost.counted.down_s:.0f} seconds of {_span(lost)}{times}"
    return [
        _Trouble(
            kind="process down",
            sentence=told,
            urgency=lost.rule.urgency,
            since=now - lost.rule.long,
            value=lost.share,
            unit="share of time",
            before=1.0 - spec.availability,
        )
    ]


def _probed(state: HealthState, known: list[_Trouble]) -> _Trouble | None:
    """What probes in a row found; one alone may be bad luck. Where the process is known to be down they add nothing."""
    probe = state.probe
    kind = None if probe is None else OF_OUTCOME.get(probe.outcome)
    if probe is None or kind is None or state.failing < _FAILING or known or state.state != "up":
        return None
    told = f"{state.failing} probes in a row: {probe.sentence}"
    return _Trouble(kind=kind, sentence=told, since=probe.at, rows=state.failing)


def _lost(lost: Burning, budget: float) -> list[_Trouble]:
    """The kinds of trouble that make up what callers lost, each that has a tenth of it."""
    counted, found = lost.counted, []
    for kind, field in _FIELDS.items():
        n = getattr(counted, field)
        if n <= 0 or 10 * n < counted.bad:
            continue
        told = f"{n:,} of {counted.requests:,} requests of {_span(lost)} {_WORDS[kind]}"
        told += f": the budget of {budget:.3%} is used up more than {lost.rule.rate:g} times too fast"
        found.append(_burnt(kind, told, lost, n, budget, share=n / counted.requests))
    return found


def _burnt(kind: Trouble, told: str, lost: Burning, rows: int, budget: float, share: float | None = None) -> _Trouble:
    return _Trouble(
        kind=kind,
        sentence=told,
        urgency=lost.rule.urgency,
        rows=rows,
        value=lost.share if share is None else share,
        low=lost.low if share is None else None,
        unit="share",
        before=budget,
    )


def _span(lost: Burning) -> str:
    hours = round(lost.rule.long / _HOUR)
    return (
        "the last hour" if hours == 1 else f"the last {hours} hours" if hours < 48 else f"the last {hours // 24} days"
    )


def _well(state: HealthState, hour: Counted) -> str:
    told = f"{hour.requests:,} requests of the last hour"
    told += (
        f", {max(hour.bad, 0):,} without a result" if hour.bad > 0 else ", all with a result" if hour.requests else ""
    )
    if hour.down_s >= 1.0:
        told += f"; no process for {hour.down_s:.0f} seconds"
    if state.state == "asleep":
        return f"{told}; it sleeps, and the next request wakes it"
    return f"{told}; the last probe: {state.probe.sentence}" if state.probe else told
