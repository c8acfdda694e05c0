"""Checks in words, for verdicts, pages and errors."""

from __future__ import annotations

from collections.abc import Callable

from slipway.records.gates import CheckSpec

__all__ = ["describe", "load_figure"]


def describe(check: CheckSpec) -> str:
    """One check as a sentence without its full stop: "auc at least 0.7"."""
    if check.kind == "metric":
        on = f" on every {check.slice}" if check.slice else ""
        return f"{check.metric} {'at least' if check.op == '>=' else 'at most'} {check.limit:g}{on}"
    if check.kind == "champion":
        return f"{check.metric} not worse than the champion's by more than {check.margin:g}"
    if check.kind == "reproduced":
        return "the run that made it was repeated, and came to the same" + ("" if check.limit else " exactly")
    if check.kind == "approval":
        return f"approved as {check.role}" + (f" by {check.count} people" if check.count > 1 else "")
    if check.kind in _BEHAVIOUR:
        return _BEHAVIOUR[check.kind](check)
    if check.kind == "load":
        at = f" at {check.rate:g} requests a second" if check.rate else ""
        of = f" of {check.count:,} rows" if check.count > 1 else ""
        return f"{_LOAD[check.metric]} {'at least' if check.op == '>=' else 'at most'} {load_figure(check.metric, check.limit)}{at}{of}"
    if check.kind == "replayed":
        told = f"{check.count:,} training rows, asked over HTTP, are served as they were trained on"
        return told + (f", all but {check.limit:g} of them" if check.limit else "")
    if check.kind == "environment" and check.where:
        return f"the lock resolves on {check.where}"
    if check.allowed:
        return f"{_LISTS[check.kind]} {', '.join(check.allowed[:-1])}{' or ' if check.allowed[1:] else ''}{check.allowed[-1]}"
    return _PLAIN[check.kind].format(limit=check.limit, role=check.role)


def _fair(check: CheckSpec) -> str:
    among = f", groups of fewer than {check.count:,} rows aside" if check.count > 1 else ""
    return f"{check.metric} apart by at most {check.margin:g} between any two of {check.slice}{among}"


def _robust(check: CheckSpec) -> str:
    missing, noise = check.amounts
    figure = check.metric or "auc or r2"
    return f"{figure} falls by at most {check.margin:g} with {missing:g} of the values missing, or noise of {noise:g} spreads"


def _invariant(check: CheckSpec) -> str:
    return f"answers stay within {check.margin:g} whatever {check.column} is{_but(check)}"


def _monotonic(check: CheckSpec) -> str:
    way = "fall" if check.op == ">=" else "rise"
    by = f" by more than {check.margin:g}" if check.margin else ""
    return f"answers do not {way}{by} as {check.column} grows{_but(check)}"


def _but(check: CheckSpec) -> str:
    return f", but for {check.limit:g} of the rows" if check.limit else ""


def _kpi(check: CheckSpec) -> str:
    what, side = ("gain", "at least") if check.op == ">=" else ("cost", "at most")
    return f"{check.metric}: expected {what} a decision {side} {check.limit:g}"


def _contract(check: CheckSpec) -> str:
    terms = check.contract
    if terms is None:
        return f"{check.metric} holds"
    side, unit = ("at least" if terms.better == "higher" else "at most"), f" {terms.unit}" if terms.unit else ""
    limit = "" if terms.limit is None else f"{side} {terms.limit:g}{unit}, and "
    return f"{check.metric}: {limit}not worse than the champion's by more than {terms.guard:g}{unit}"


def _signed(check: CheckSpec) -> str:
    return f"the metric contract{f' on {check.metric}' if check.metric else ''} is signed by its owner"


_BEHAVIOUR: dict[str, Callable[[CheckSpec], str]] = {
    "fair": _fair,
    "robust": _robust,
    "invariant": _invariant,
    "monotonic": _monotonic,
    "kpi": _kpi,
    "contract": _contract,
    "contract_signed": _signed,
    "documented": lambda check: f"written down: {', '.join(check.columns)}",
}


def load_figure(name: str, value: float) -> str:
    """A figure of a load test with its unit."""
    if name in ("memory", "size"):
        return f"{value / 1e6:,.4g} MB"
    return f"{value:,.4g} a second" if name == "throughput" else f"{value:,.3g} ms"


_LOAD = {
    "p50_ms": "the median answer takes",
    "p95_ms": "95 of 100 answers take",
    "p99_ms": "99 of 100 answers take",
    "cpu_ms": "the CPU time of an answer is",
    "throughput": "requests answered are",
    "memory": "the memory of its processes is",
    "size": "the bundle's size is",
}
_LISTS = {"format": "saved as", "target": "goes to", "template": "made from the template"}
_PLAIN = {
    "calibrated": "mean prediction within {limit:g} of the rate",
    "no_finding": "nothing bad was found while it trained",
    "no_skew": "served features proven equal to those of training",
    "consistent": "at most {limit:g} of what is served differs from offline",
    "latency": "answers within {limit:g} times the champion's time",
    "environment": "the lock agrees with what is installed",
    "signature": "the bundle is signed by a trusted key",
    "parity": "the package answers as the trained model",
    "loads": "the bundle loads and answers its sample",
    "no_leakage": "nothing tells the model its answer: no input alone predicts it above {limit:g}, no row was learnt",
    "real_data": "no table that it was trained on is simulated",
    "data_checks": "the tables that it was trained on passed their checks",
}
