"""What `slipway endpoints health` prints: does it answer, and what is left of the budget."""

from __future__ import annotations

from slipway.cli.layout import columns, facts, instant
from slipway.records.health import Burn, Health

__all__ = ["health_text"]

_OF = {
    "requests": "requests without a result",
    "time": "time without a process",
    "latency": "slow answers",
    "model": "rows answered by the fallback",
}


def health_text(answer: Health) -> str:
    """One endpoint's health for a terminal."""
    probe, hour = answer.probe, answer.hour
    parts = [
        facts(
            [
                ("endpoint", answer.endpoint),
                ("does it answer", f"{answer.state}: {answer.sentence}"),
                ("process", answer.process),
                ("last hour", _hour(hour.requests, max(hour.bad, 0), hour.down_s)),
                ("last probe", "" if probe is None else f"{instant(probe.at)} UTC: {probe.sentence}"),
                ("looked last", "" if answer.looked_at is None else f"{instant(answer.looked_at)} UTC"),
                ("is it good", "another question: slipway endpoints watch " + answer.endpoint),
            ]
        ),
        columns(("trouble", "what"), list(answer.troubles.items()), empty=""),
        columns(
            ("30 days: budget of", "may", "went wrong", "left", "used in the last hour"),
            [_budget(one) for one in answer.burns],
            empty="",
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def _hour(requests: int, bad: int, down_s: float) -> str:
    told = f"{requests:,} requests, {bad:,} without a result"
    return f"{told}, {down_s:.0f} seconds without a process" if down_s >= 1 else told


def _budget(one: Burn) -> tuple[str, ...]:
    unit = " s" if one.of == "time" else ""
    return (
        _OF[one.of],
        f"{one.budget:.3%}",
        f"{one.bad:,.0f}{unit} of {one.total:,.0f}{unit}",
        "cannot tell" if one.left is None else f"{one.left:.0%}",
        "cannot tell" if one.rate is None else f"{one.rate:.1f} times as fast as allowed",
    )
