"""What a drift monitor says in the end: broken feeds by the day and by the hour, and drift over time, as one finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import structs

from slipway.monitoring.drift_watch import OverTime
from slipway.monitoring.hard_breaks import HardBreak
from slipway.monitoring.judge import Found
from slipway.operations.drift import DriftRow
from slipway.records.endpoints import MonitorSpec
from slipway.records.monitors import Cause

__all__ = ["with_time"]

_TOLD = 3
_BROKEN, _DRIFT = "broken feed", "drift"


def with_time(
    found: Found, monitor: MonitorSpec, over: OverTime, breaks: Sequence[HardBreak], feeds: Mapping[str, str]
) -> Found:
    """A finding with what windows over time and the last hours show.

    Args:
        found: What the last day and training say.
        monitor: Without a budget of pages, drift is a note.
        over: Drift over time.
        breaks: Hard breaks.
        feeds: Which feed an input comes from.
    """
    causes = [*found.causes, *_of_breaks(breaks, {cause.about for cause in found.causes})]
    broken = {cause.about for cause in causes}
    # Drift of a broken feed is the break again.
    drifted = [one for one in over.drifted if feeds.get(one.column, "request") not in broken]
    if monitor.pages_a_month is not None:
        causes += _of_drift(drifted, feeds)
    values: dict[str, Any] = {**found.values, "over_time": _values(over)}
    sentences = [cause.sentence for cause in causes if cause not in found.causes]
    if causes:
        told = [found.sentence] if found.state == "alert" else []
        told += [f"{sentence}." for sentence in sentences]
        if any(cause.kind == _BROKEN and cause not in found.causes for cause in causes):
            told.append("That is no season: mend the feed; do not retrain on it.")
        if any(cause.kind == _DRIFT for cause in causes):
            told.append("Drift alone is no reason to retrain: quality by labels decides.")
        return structs.replace(found, state="alert", sentence=" ".join(told), values=values, causes=tuple(causes))
    moved = [one for one in over.columns if one.verdict == "drifted"]
    if not moved or found.state == "cannot tell":
        return structs.replace(found, values=values)
    told_of = "; ".join(one.sentence + ("" if one.is_used else " (not used by the model)") for one in moved[:_TOLD])
    names = len({one.column for one in moved})
    sentence = f"{found.sentence} Over time {names} drifted ({over.season}): {told_of}."
    return structs.replace(found, state="note", sentence=sentence, values=values)


def _of_breaks(breaks: Sequence[HardBreak], known: set[str]) -> list[Cause]:
    by_feed: dict[str, list[HardBreak]] = {}
    for one in breaks:
        if one.feed not in known:
            by_feed.setdefault(one.feed, []).append(one)
    return [
        Cause(
            kind=_BROKEN,
            about=feed,
            sentence="; ".join(one.sentence for one in ones[:_TOLD]),
            since=min(one.since for one in ones),
            columns=tuple(dict.fromkeys(one.column for one in ones)),
            rows=max(one.rows for one in ones),
            value=1.0,
            unit="share",
            before=max(one.usual for one in ones),
        )
        for feed, ones in by_feed.items()
    ]


def _of_drift(drifted: Sequence[DriftRow], feeds: Mapping[str, str]) -> list[Cause]:
    by_feed: dict[str, list[DriftRow]] = {}
    for one in drifted:
        by_feed.setdefault(feeds.get(one.column, "request"), []).append(one)
    causes = []
    for feed, ones in by_feed.items():
        first = ones[0]
        since = min(one.since for one in ones if one.since is not None)
        told = "; ".join(one.sentence for one in ones[:_TOLD])
        causes.append(
            Cause(
                kind=_DRIFT,
                about=feed,
                sentence=f"{feed} drifted since {since:%Y-%m-%d %H:%M} UTC ({first.season}): {told}",
                since=since,
                columns=tuple(dict.fromkeys(name for one in ones for name in (one.column, one.other) if name)),
                rows=first.rows,
                value=first.effect,
                low=first.low,
                high=first.high,
                unit="correlation" if first.question == "dependence" else "share",
                before=first.before,
            )
        )
    return causes


def _values(over: OverTime) -> dict[str, Any]:
    verdicts = [one.verdict for one in over.columns]
    return {
        "season": over.season,
        "window": over.window_from.isoformat() if over.window_from else "",
        "steady": verdicts.count("steady"),
        "cannot_tell": verdicts.count("cannot tell"),
        "drifted": [
            [one.column, one.question, round(one.effect, 4), round(one.low, 4), round(one.high, 4)]
            for one in over.columns
            if one.verdict == "drifted"
        ],
    }
