"""Judging needs of latency, throughput, memory and size by what was measured of the bundle; and a replay of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from slipway.gates.wording import describe, load_figure
from slipway.records.gates import CheckSpec, Evidence, Outcome

__all__ = ["judge_load", "judge_replayed"]

_RECENT = timedelta(days=30)
"""How old a measurement may be: what else runs on a machine changes."""


def judge_load(
    check: CheckSpec, found: Sequence[Evidence], at: datetime, *, model: str = "MODEL", number: int = 0
) -> Outcome:
    """Judge one need of load by the newest measurement that was made here, at this rate or a greater one.

    Args:
        check: The need.
        found: Evidence of the kind "load", newest first.
        at: Business time.
        model: The model's name, for the next step.
        number: The version's number, for the next step.
    """
    ask = _ask(check, model, number)
    measured = [one for one in found if check.metric in one.values.get("figures", {})]
    if not measured:
        return _outcome(check, "cannot tell", "nobody measured these bytes under load", ask)
    here = [one for one in measured if one.values["here"]]
    if not here:
        elsewhere = measured[0].values["machine"]
        return _outcome(check, "cannot tell", f"it was measured on {elsewhere} only, and this is another machine", ask)
    enough = [one for one in here if one.values["rate"] >= check.rate and one.values["rows"] >= check.count]
    if not enough:
        told = (
            f"it was measured at {here[0].values['rate']:g} requests a second of {here[0].values['rows']:,} rows only"
        )
        return _outcome(check, "cannot tell", told, ask)
    newest = max(enough, key=lambda one: one.at)
    if at - newest.at > _RECENT:
        return _outcome(check, "cannot tell", f"the newest measurement is of {newest.at:%Y-%m-%d}", ask)
    return _judged(check, newest, ask)


def _judged(check: CheckSpec, one: Evidence, ask: str) -> Outcome:
    values = {name: value for name, value in one.values.items() if name != "here"}
    if one.values["failed"]:
        told = f"{one.values['failed']:,} of {one.values['sent']:,} requests were not answered, first {one.values['failure']}"
        return _outcome(
            check, "refused", told, "Mend what it says, or ask for less: it does not hold this load.", values
        )
    value = one.values["figures"][check.metric]
    if value is None:
        return _outcome(check, "cannot tell", "the system that measured it does not say", ask, values)
    at = f" at {one.values['rate']:g} requests a second, {one.values['sent']:,} requests" if one.values["sent"] else ""
    told = (
        f"{load_figure(check.metric, value)}{at}, on {one.values['machine']}"
        if at
        else load_figure(check.metric, value)
    )
    held = value <= check.limit if check.op == "<=" else value >= check.limit
    return _outcome(check, "passed" if held else "refused", told, "" if held else _FIXES[check.metric], values)


def judge_replayed(check: CheckSpec, found: Sequence[Evidence], *, model: str = "MODEL", number: int = 0) -> Outcome:
    """Judge the replay of stored training rows.

    Args:
        check: How many rows, and which share of them may differ.
        found: Evidence of the kind "replayed".
        model: The model's name, for the next step.
        number: The version's number, for the next step.
    """
    ask = f"slipway replay {model}" + (f" --version {number}" if number else "")
    if not found:
        return _outcome(check, "cannot tell", "nobody replayed its training rows", ask)
    one = found[0]
    verdict, rows, of = one.values["verdict"], one.values["rows"], one.values["of"]
    if verdict == "cannot" or not rows:
        fix = one.values.get("fix") or "Release it from a pipeline whose rows come from features.training_set(...)."
        return _outcome(check, "cannot tell", one.note, fix, one.values)
    if rows < min(check.count, of):
        told = f"{rows:,} of {of:,} rows were replayed, {check.count:,} are asked for"
        return _outcome(check, "cannot tell", told, f"{ask} --rows {check.count}", one.values)
    if one.values["share"] > check.limit or (verdict == "differs" and not one.values["share"]):
        return _outcome(check, "refused", one.note, f"Mend what differs; see all columns: {ask}", one.values)
    return _outcome(check, "passed", one.note, "", one.values)


def _ask(check: CheckSpec, model: str, number: int) -> str:
    target = f"{model}:{number}" if number else model
    rate = f" --rate {check.rate:g}" if check.rate else ""
    rows = f" --rows {check.count}" if check.count > 1 else ""
    return f"slipway check-load {target}{rate}{rows}"


def _outcome(
    check: CheckSpec,
    result: Literal["passed", "refused", "cannot tell"],
    found: str,
    fix: str,
    values: dict[str, Any] | None = None,
) -> Outcome:
    return Outcome(check=describe(check), kind=check.kind, result=result, found=found, fix=fix, values=values or {})


_FIXES = {
    "p50_ms": "More workers on the endpoint, a faster model, or fewer features that look back.",
    "p95_ms": "More workers on the endpoint, a faster model, or fewer features that look back.",
    "p99_ms": "More workers on the endpoint, a faster model, or fewer features that look back.",
    "cpu_ms": "Fewer or shallower trees, or fewer features, take less.",
    "throughput": "More workers on the endpoint, where the machine has cores left, or a faster model.",
    "memory": "Fewer workers, or a smaller model.",
    "size": "A smaller model: fewer trees, fewer categories.",
}
