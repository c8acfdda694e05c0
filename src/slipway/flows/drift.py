"""Drift over time of an endpoint: its traffic counted on, judged by window, and hard breaks of its feeds by the hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec import structs

from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.traffic import KEPT, count_traffic
from slipway.ledger import entries
from slipway.models import bundle as bundles
from slipway.monitoring.drift_found import with_time
from slipway.monitoring.drift_watch import Looks, OverTime, Windows, judge_over_time
from slipway.monitoring.feeds import DAY, Span, feed_by_input
from slipway.monitoring.hard_breaks import HardBreak, hard_breaks
from slipway.monitoring.judge import Found
from slipway.operations.drift import AskDrift, DriftTable
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import MonitorSpec, Revision
from slipway.records.models import Bundle
from slipway.records.monitors import Incident
from slipway.stats.flat_profiles import Counts, Flat
from slipway.stats.profiles import Profile, from_bytes
from slipway.tables.traffic_profiles import HourKey

__all__ = ["Watched", "drift", "faulty_spans", "found_by_hour", "looked_over_time", "looks_of", "watched"]

_USED = 0.01
_SCORE = "score"


class _Traffic(NamedTuple):
    flat: Flat
    hours: Windows


class Watched(NamedTuple):
    """An endpoint's traffic as its drift is looked at.

    Args:
        revision: What serves.
        bundle: Its model.
        monitor: The drift monitor, a plain one where none is declared.
        flat: The layout of the profiles over the model's reference.
        hours: The traffic by hour.
        faulty: When feeds were broken.
        now: Business time.
    """

    revision: Revision
    bundle: Bundle
    monitor: MonitorSpec
    flat: Flat
    hours: Windows
    faulty: Sequence[Span]
    now: datetime

    @property
    def model(self) -> str:
        """What serves, in words."""
        return f"{self.revision.served.model} {self.revision.served.number}"


def looked_over_time(
    workspace: Workspace,
    revision: Revision,
    bundle: Bundle,
    reference: Profile,
    monitor: MonitorSpec,
    found: Found,
    now: datetime,
    faulty: Sequence[Span],
) -> Found:
    """A drift monitor's finding with what its traffic shows over time.

    Args:
        workspace: Where the endpoint's folder lies.
        revision: What serves.
        bundle: Its model.
        reference: The profile that its bundle keeps.
        monitor: The monitor.
        found: What the last day and training say.
        now: Business time.
        faulty: When feeds were broken.
    """
    traffic = _traffic(workspace, revision, bundle, reference, monitor, now)
    over = _judged(traffic, revision, bundle, monitor, now, faulty)
    breaks = _breaks(traffic, revision, bundle, now, faulty)
    return with_time(found, monitor, over, breaks, feed_by_input(bundle.features))


def found_by_hour(
    workspace: Workspace, revision: Revision, bundle: Bundle, home: Path, monitor: MonitorSpec, now: datetime
) -> Found | None:
    """What needs no day to be told: a hard break, and drift where it is looked for every hour; None for nothing.

    Args:
        workspace: Where the endpoint's folder lies.
        revision: What serves.
        bundle: Its model.
        home: The folder of its unpacked bundle.
        monitor: The drift monitor.
        now: Business time.
    """
    path = home / "profile.bin"
    if not path.exists():
        return None
    faulty = faulty_spans(workspace, revision, monitor)
    traffic = _traffic(workspace, revision, bundle, from_bytes(path.read_bytes()), monitor, now)
    breaks = _breaks(traffic, revision, bundle, now, faulty)
    is_hourly = timedelta(microseconds=monitor.every_us) < DAY
    over = _judged(traffic, revision, bundle, monitor, now, faulty) if is_hourly else OverTime()
    rows = int(traffic.hours.counts.shape[0])
    quiet = Found(state="ok", sentence="", rows=over.rows or rows, values={}, first=over.window_from, last=now)
    found = with_time(quiet, monitor, over, breaks, feed_by_input(bundle.features))
    return found if found.state == "alert" else None


def faulty_spans(workspace: Workspace, revision: Revision, monitor: MonitorSpec) -> list[Span]:
    """When feeds were broken, by the incidents of a drift monitor; each began up to a day before it was seen."""
    if monitor.kind != "drift":
        return []
    parent = f"{workspace.project}/{revision.name}"
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Incident, parent=parent, limit=1000)
    theirs = [one for one in found if monitor.name == one.name or monitor.name in one.monitors]
    return [(incident.created_at - DAY, incident.closed_at) for incident in theirs if incident.cause != "drift"]


def watched(workspace: Workspace, name: str) -> Watched | str:
    """An endpoint's traffic as its drift is looked at, without what its log does not keep; a sentence where there is none.

    An endpoint without a drift monitor is looked at as by a plain `sw.Drift()`.

    Raises:
        NotFound: Nothing was ever deployed there.
    """
    revision = revision_of(workspace, name)
    home = folder_of(workspace, name) / "bundles" / revision.served.bundle
    if not (home / "profile.bin").exists():
        model = f"{revision.served.model} {revision.served.number}"
        return f"{model} keeps no reference profile here: release a model with features, and deploy it."
    monitor = drift_monitor(revision)
    bundle = bundles.verify(home, expect=revision.served.bundle, signer=workspace.signer)
    reference, now = from_bytes((home / "profile.bin").read_bytes()), workspace.clock.now()
    traffic = _traffic(workspace, revision, bundle, reference, monitor, now)
    return Watched(
        revision, bundle, monitor, traffic.flat, traffic.hours, faulty_spans(workspace, revision, monitor), now
    )


def drift_monitor(revision: Revision) -> MonitorSpec:
    """What watches for drift at an endpoint: as declared, else as by a plain `sw.Drift()`."""
    return next((one for one in revision.monitors if one.kind == "drift"), MonitorSpec(kind="drift", name="drift"))


def drift(workspace: Workspace, request: AskDrift) -> DriftTable:
    """How each input and the answers of an endpoint stand against like windows before, as of now; nothing is kept of it.

    Raises:
        NotFound: Nothing was ever deployed there.
    """
    found = watched(workspace, request.name)
    if isinstance(found, str):
        revision = revision_of(workspace, request.name)
        return DriftTable(
            endpoint=request.name,
            model=f"{revision.served.model} {revision.served.number}",
            window_from=None,
            window_until=None,
            rows=0,
            season="",
            pages_a_month=drift_monitor(revision).pages_a_month,
            broken=(),
            columns=(),
            note=found,
        )
    traffic = _Traffic(found.flat, found.hours)
    over = _judged(traffic, found.revision, found.bundle, found.monitor, found.now, found.faulty)
    feeds = feed_by_input(found.bundle.features)
    breaks = _breaks(traffic, found.revision, found.bundle, found.now, found.faulty)
    return DriftTable(
        endpoint=request.name,
        model=found.model,
        window_from=over.window_from,
        window_until=over.window_until,
        rows=over.rows,
        season=over.season,
        pages_a_month=found.monitor.pages_a_month,
        broken=tuple(one.sentence for one in breaks),
        columns=tuple(structs.replace(one, feed=feeds.get(one.column, "request")) for one in over.columns),
    )


def _traffic(
    workspace: Workspace, revision: Revision, bundle: Bundle, reference: Profile, monitor: MonitorSpec, now: datetime
) -> _Traffic:
    known = {column.name: column for column in reference.columns}
    segment = monitor.segment if monitor.segment in known and not known[monitor.segment].is_numeric else ""
    profiles = count_traffic(workspace, revision, bundle, reference, now, segment)
    since = int((now - KEPT).astimezone(UTC).timestamp()) // 3600
    flat = Flat(reference)
    return _Traffic(flat, _hours(flat, profiles.hours(since), revision.served.bundle[:16]))


def _hours(flat: Flat, counted: Mapping[HourKey, Counts], own: str) -> Windows:
    """The hours of all models with the same inputs; answers are of the present model alone."""
    starts = np.array(sorted({key.hour for key in counted}), dtype=np.int64)
    parts = {part: place for place, part in enumerate(sorted({key.part for key in counted}) or [""])}
    counts = np.zeros((starts.size, len(parts), flat.width), dtype=np.int64)
    at = {int(hour): place for place, hour in enumerate(starts)}
    names = [column.name for column in flat.reference.columns]
    answers = [i for (column, _), span in flat.places.items() if names[column] == _SCORE for i in span]
    for key, more in counted.items():
        kept = more
        if key.bundle != own and answers:
            kept = more.copy()
            kept[answers] = 0
        counts[at[key.hour], parts[key.part]] += kept
    return Windows(starts, counts)


def _judged(
    traffic: _Traffic, revision: Revision, bundle: Bundle, monitor: MonitorSpec, now: datetime, faulty: Sequence[Span]
) -> OverTime:
    looks = looks_of(bundle, monitor, traffic.hours)
    over = judge_over_time(traffic.flat, traffic.hours, looks, now, faulty=faulty)
    hidden = set(revision.log.redacted)
    kept = tuple(one for one in over.columns if not hidden & {one.column, one.other})
    return OverTime(
        columns=kept,
        window_from=over.window_from,
        window_until=over.window_until,
        rows=over.rows,
        season=over.season,
    )


def looks_of(bundle: Bundle, monitor: MonitorSpec, hours: Windows, window: timedelta | None = None) -> Looks:
    """How drift is looked for.

    Args:
        bundle: The model.
        monitor: The drift monitor.
        hours: The traffic.
        window: An hour or a day, None for that of the monitor.
    """
    return Looks(
        window=window or timedelta(microseconds=monitor.every_us),
        pages_a_month=1.0 if monitor.pages_a_month is None else monitor.pages_a_month,
        holidays=tuple(date.fromisoformat(day) for day in monitor.holidays),
        used=_used(bundle),
        segment=monitor.segment if hours.counts.shape[1] > 1 else "",
    )


def _breaks(
    traffic: _Traffic, revision: Revision, bundle: Bundle, now: datetime, faulty: Sequence[Span]
) -> list[HardBreak]:
    found = hard_breaks(traffic.flat, traffic.hours, now, feeds=feed_by_input(bundle.features), faulty=faulty)
    hidden = {*revision.log.redacted, _SCORE}  # what models answer is another monitor's business
    return [one for one in found if one.column not in hidden]


def _used(bundle: Bundle) -> dict[str, float]:
    """How much the model's answers rest on each input that it uses; {} where nobody asked, and all count."""
    if bundle.explained is None:
        return {}
    shares = {one.input: max(one.permuted, one.contribution) for one in bundle.explained.importances}
    return {name: share for name, share in shares.items() if share >= _USED}
