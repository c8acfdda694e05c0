"""Checks in words, for verdicts, pages and errors."""

from __future__ import annotations

from slipway.records.gates import CheckSpec

__all__ = ["describe"]


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
    if check.allowed:
        return f"{_LISTS[check.kind]} {', '.join(check.allowed[:-1])}{' or ' if check.allowed[1:] else ''}{check.allowed[-1]}"
    return _PLAIN[check.kind].format(limit=check.limit, role=check.role)


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
}
