"""How scorings of batch endpoints are told on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from slipway.cli.layout import age, columns, count, instant
from slipway.records.endpoints import BatchSpec
from slipway.records.scorings import Scoring
from slipway.schema.schedules import trigger_in_words

__all__ = ["batch_facts", "scoring_line", "scoring_rows"]

_NEWEST = 12


def scoring_line(one: Scoring) -> str:
    """A scoring in a sentence."""
    if one.state == "running":
        return f"Scoring {one.number} of {one.name} is under way ({one.trigger})."
    lines = [one.sentence]
    if one.reasons:
        lines += [f"  {count(rows, 'row')}: {why}" for why, rows in list(one.reasons.items())[:5]]
    return "\n".join(lines)


def scoring_rows(scorings: Sequence[Scoring]) -> str:
    """Scorings as rows, newest first."""
    rows = [
        (
            str(one.number),
            one.state,
            instant(one.created_at),
            one.trigger,
            f"{one.table} {one.source_number}",
            f"{one.rows:,}",
            f"{one.refused:,}",
            age(one.seconds) if one.seconds else "",
            f"{one.into} {one.result_number}" if one.result_number else "",
            str(one.revision),
        )
        for one in scorings[:_NEWEST]
    ]
    head = ("scoring", "state", "began (UTC)", "asked by", "scored", "rows", "refused", "took", "result", "revision")
    return columns(head, rows, empty="")


def batch_facts(spec: BatchSpec, next_at: datetime | None) -> list[tuple[str, str]]:
    """What a batch endpoint does, as facts."""
    return [
        ("scores", f"new rows of {spec.table}" + (f", as of {spec.time}" if spec.time else "")),
        ("into", spec.into),
        ("when", ", ".join(trigger_in_words(one) for one in spec.when) or "by hand only"),
        ("next (UTC)", instant(next_at) if next_at else ""),
    ]
