"""Evidence as the judge reads it: one maker for each kind, so that flows and judge agree on the values' names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from slipway.gates.wording import describe
from slipway.records.gates import CheckKind, CheckSpec, Evidence
from slipway.records.models import MetricValue

__all__ = [
    "against_champion",
    "behaviour",
    "consistency",
    "environment",
    "figures",
    "figures_of",
    "latency",
    "load",
    "named",
    "proof",
    "replayed",
    "reproduction",
    "untold",
    "size",
]


def figures(subject: str, at: datetime, metrics: Iterable[MetricValue]) -> Evidence:
    """The figures of a bundle's evaluation: for `metric` and `calibrated`.

    Args:
        subject: The bundle's digest.
        at: Business time.
        metrics: Overall and by slice.
    """
    rows = [
        {
            "metric": found.metric, "slice": found.slice, "n": found.n, "note": found.note,
            "value": _plain(found.value), "low": _plain(found.low), "high": _plain(found.high),
        }
        for found in metrics
    ]  # fmt: skip
    return Evidence(kind="metric", subject=subject, at=at, values={"metrics": rows})


def figures_of(evidence: Evidence) -> list[MetricValue]:
    """The figures that `figures` took; what could not be told is NaN again."""
    nan = float("nan")
    return [
        MetricValue(
            metric=row["metric"], slice=row["slice"], n=row["n"], note=row["note"],
            value=nan if row["value"] is None else row["value"],
            low=nan if row["low"] is None else row["low"],
            high=nan if row["high"] is None else row["high"],
        )
        for row in evidence.values.get("metrics", [])
    ]  # fmt: skip


def against_champion(
    subject: str, at: datetime, *, metric: str, difference: float, low: float, high: float, n: int, champion: str
) -> Evidence:
    """A metric's difference from the champion's on the same rows: for `champion`; one record a metric.

    Args:
        subject: The bundle's digest.
        at: Business time.
        metric: Which metric.
        difference: The candidate's value minus the champion's.
        low: Lower bound of the paired interval, NaN where unknown.
        high: Upper bound, NaN where unknown.
        n: Rows that both scored.
        champion: Which version it was compared with: "flight-delays 3".
    """
    values = {"metric": metric, "n": n, "champion": champion}
    values |= {"difference": _plain(difference), "low": _plain(low), "high": _plain(high)}
    return Evidence(kind="champion", subject=subject, at=at, values=values)


def proof(
    kind: Literal["signature", "parity", "loads", "no_skew", "no_finding"],
    subject: str,
    at: datetime,
    *,
    holds: bool,
    note: str,
) -> Evidence:
    """Something that was proven or refuted.

    Args:
        kind: Which.
        subject: The bundle's digest.
        at: Business time.
        holds: Whether it was proven.
        note: The sentence that says how, or what stood against it.
    """
    return Evidence(kind=kind, subject=subject, at=at, values={"holds": holds}, note=note)


def named(kind: CheckKind, subject: str, at: datetime, name: str) -> Evidence:
    """Which one of a floor's list it is: for `format`, `target` and `template`."""
    return Evidence(kind=kind, subject=subject, at=at, values={"name": name})


def consistency(
    subject: str, at: datetime, *, endpoint: str, model: str, share: float, compared: int, note: str
) -> Evidence:
    """The newest report on what an endpoint serves beside offline: for `consistent`.

    Args:
        subject: The bundle's digest.
        at: Business time of the report.
        endpoint: The endpoint.
        model: What answered there: "flight-delays 3".
        share: The greatest share of a feature's values that differ.
        compared: How many values were compared.
        note: The report in words.
    """
    values = {"endpoint": endpoint, "model": model, "share": share, "compared": compared}
    return Evidence(kind="consistent", subject=subject, at=at, values=values, note=note)


def reproduction(subject: str, at: datetime, *, verdict: str, id: str, note: str, fix: str = "") -> Evidence:
    """What came of repeating the run that made the model: for `reproduced`; one record a repetition, newest first.

    Args:
        subject: The bundle's digest.
        at: Business time of the repetition.
        verdict: As read back: "altered" where it is not what was signed.
        id: The reproduction's.
        note: It in words.
        fix: Where nothing could be compared: the next step.
    """
    values = {"verdict": verdict, "id": id} | ({"next_step": fix} if fix else {})
    return Evidence(kind="reproduced", subject=subject, at=at, values=values, note=note)


def latency(subject: str, at: datetime, *, candidate_ms: float, champion_ms: float) -> Evidence:
    """How long one answer takes, measured side by side: for `latency`."""
    values = {"candidate_ms": candidate_ms, "champion_ms": champion_ms}
    return Evidence(kind="latency", subject=subject, at=at, values=values)


def load(
    subject: str,
    at: datetime,
    *,
    here: bool,
    machine: str,
    rate: float,
    rows: int,
    sent: int,
    failed: int,
    failure: str,
    figures: Mapping[str, float | None],
) -> Evidence:
    """A load test: for `load`; one record a test.

    Args:
        subject: The bundle's digest.
        at: Business time.
        here: Whether it was made on this machine.
        machine: The machine's name.
        rate: Requests a second that were asked for.
        rows: Rows a request.
        sent: Requests that were sent.
        failed: How many were not answered.
        failure: What the first of them said.
        figures: By name, in milliseconds, bytes and requests a second; None where nobody knows.
    """
    values = {"here": here, "machine": machine, "rate": rate, "rows": rows, "sent": sent, "failed": failed}
    return Evidence(
        kind="load", subject=subject, at=at, values={**values, "failure": failure, "figures": dict(figures)}
    )


def size(subject: str, at: datetime, bundle_bytes: int) -> Evidence:
    """How large the bundle's files are: for `load`, like a test at any rate."""
    return load(
        subject, at, here=True, machine="", rate=math.inf, rows=1 << 40, sent=0, failed=0, failure="",
        figures={"size": float(bundle_bytes)},
    )  # fmt: skip


def replayed(
    subject: str, at: datetime, *, verdict: str, rows: int, of: int, share: float, note: str, fix: str = ""
) -> Evidence:
    """What a replay of stored training rows through HTTP found: for `replayed`.

    Args:
        subject: The bundle's digest.
        at: Business time.
        verdict: "equal", "differs" or "cannot".
        rows: How many rows were asked.
        of: How many there are.
        share: The greatest share of them that differ in one column.
        note: It in words.
        fix: Where nothing could be compared: the next step.
    """
    values = {"verdict": verdict, "rows": rows, "of": of, "share": share, "fix": fix}
    return Evidence(kind="replayed", subject=subject, at=at, values=values, note=note)


def environment(
    subject: str, at: datetime, *, differing: Sequence[str], checked: int, where: str = "", unknown: str = ""
) -> Evidence:
    """The bundle's lock beside what is installed where it will serve: for `environment`.

    Args:
        subject: The bundle's digest.
        at: Business time.
        differing: What differs, in words: "numpy 2.4.6 in the lock, 2.3.1 installed".
        checked: How many distributions were looked at.
        where: The target, "" for this machine.
        unknown: Why nobody can tell, "" where somebody can.
    """
    values = {"differing": list(differing), "checked": checked, "where": where, "unknown": unknown}
    return Evidence(kind="environment", subject=subject, at=at, values=values)


def behaviour(check: CheckSpec, subject: str, at: datetime, **values: Any) -> Evidence:
    """What one of the checks of behaviour reads: found by that very check, whose words it carries.

    Args:
        check: For which check.
        subject: The bundle's digest.
        at: Business time.
        **values: What its judge reads; see `judge_behaviour`. What is not finite is kept as null.
    """
    kept = {"check": describe(check), **_finite(values)}
    return Evidence(kind=check.kind, subject=subject, at=at, values=kept)


def untold(
    kind: CheckKind, subject: str, at: datetime, *, why: str, fix: str, check: CheckSpec | None = None
) -> Evidence:
    """That evidence could not be collected: the checks that read it cannot tell.

    Args:
        kind: The kind of check that would have read it.
        subject: The bundle's digest.
        at: Business time.
        why: What stood in the way, in words.
        fix: What to do next.
        check: The one check that it concerns; None for all of the kind.
    """
    values = {"untold": why, "fix": fix} | ({} if check is None else {"check": describe(check)})
    return Evidence(kind=kind, subject=subject, at=at, values=values, note=why)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return _plain(value)
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def _plain(value: float) -> Any:
    # The ledger keeps JSON, which has no NaN.
    return float(value) if math.isfinite(value) else None
