"""Watch: read what an endpoint answered and which labels came, judge by its monitors, open and close incidents."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from slipway.errors import SlipwayError
from slipway.flows import break_glass
from slipway.flows.consistency import measure
from slipway.flows.drift import faulty_spans, found_by_hour, looked_over_time
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.estimated import estimated_quality
from slipway.flows.health import Probes, look, service_found, service_monitor
from slipway.flows.hypotheses import look_at_hypothesis
from slipway.flows.incidents import close_unwatched, follow, shown_by
from slipway.flows.kpi_rows import business_rows
from slipway.flows.logged_rows import HELD, MOST_HELD, layout_of
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.models import bundle as bundles
from slipway.monitoring import consistency, feeds, judge
from slipway.monitoring import fallback as standing_in
from slipway.monitoring.freshness import freshness
from slipway.monitoring.judge import Found
from slipway.monitoring.judge_custom import judged_by_plugin
from slipway.monitoring.kpi_contract import judge_contract
from slipway.operations.endpoints import Watch, Watched
from slipway.ports.workspace import Workspace
from slipway.records.consistency import ConsistencyReport
from slipway.records.endpoints import MonitorSpec, Revision
from slipway.records.models import Bundle
from slipway.records.monitors import Finding, Incident
from slipway.serving.feed_counters import read_feeds
from slipway.stats.profiles import Profile, from_bytes, without
from slipway.tables.log_reader import LogReader
from slipway.tables.log_sampling import is_logged
from slipway.tables.prediction_log import answers_frame, by_models
from slipway.tables.strays import stray_labels

__all__ = [
    "fallback_monitor",
    "looks_back_to",
    "rows_to_watch",
    "watch",
    "watch_fallback",
    "watch_inputs",
    "watch_rows",
    "watch_service",
]

_LOOKED_BACK = 50


def watch(workspace: Workspace, request: Watch) -> Watched:
    """Judge what an endpoint's present model has answered in the last 70 days.

    Raises:
        NotFound: Nothing was ever deployed there.
        Corrupt: The log or the bundle is damaged.
    """
    folder = folder_of(workspace, request.name)
    revision = _serving(workspace, request.name, folder)
    home = folder / "bundles" / revision.served.bundle
    bundle = bundles.verify(home, expect=revision.served.bundle, signer=workspace.signer)
    now = workspace.clock.now()
    reader = LogReader(folder / "log", MOST_HELD)
    reader.refresh(layout_of(workspace, request.name), now - HELD)
    watched = watch_rows(workspace, revision, bundle, home, rows_to_watch(reader, revision, bundle), now)
    strays = stray_labels(folder / "log", _least_share(workspace, request.name))
    return msgspec.structs.replace(
        watched,
        predictions=round(watched.predictions / reader.share()),
        labels=round(watched.labels / reader.share()),
        unmatched=strays.labels,
        unmatched_example=strays.example,
    )


def looks_back_to(workspace: Workspace, revision: Revision, now: datetime) -> datetime:
    """From which decision time on `watch_rows` wants an endpoint's rows.

    Args:
        workspace: Where its incidents are kept: a feed that is still broken is compared with the weeks before it broke.
        revision: What serves, with its monitors.
        now: Business time.
    """
    spans = [feeds.looks_back_to(now, faulty_spans(workspace, revision, monitor)) for monitor in revision.monitors]
    # A contract is compared with the window before, where there is no figure of before release.
    spans_us = [(1 if one.contract is None else 2) * one.window_us + one.label_delay_us for one in revision.monitors]
    reach = [timedelta(microseconds=span) for span in spans_us]
    return min([now, *spans, *(now - back for back in reach)])


def rows_to_watch(reader: LogReader, revision: Revision, bundle: Bundle, since: datetime | None = None) -> pl.DataFrame:
    """What an endpoint answered, of all its models, with the columns of the one that serves, for `watch_rows`.

    Args:
        reader: Has read its log.
        revision: What serves.
        bundle: Its model.
        since: Decisions before this are left out, None for none.
    """
    rows, own = reader.answered(since), answers_frame([], revision.contract, bundle.signature)
    if not set(own.columns) <= set(rows.columns):  # it has answered nothing yet, or only models with other inputs have
        rows = pl.concat([rows, own], how="diagonal_relaxed")
    return rows


def watch_rows(
    workspace: Workspace, revision: Revision, bundle: Bundle, home: Path, rows: pl.DataFrame, now: datetime
) -> Watched:
    """Judge rows that have been read already, keep the findings, open and close incidents.

    Args:
        workspace: Where findings and incidents go.
        revision: What serves, with its monitors.
        bundle: Its model.
        home: The folder of its unpacked bundle, which holds the reference profile.
        rows: Answered rows with their labels: see `prediction_log.joined`, from `looks_back_to` on. Quality, cost and
            drift are judged by those of this bundle; feeds by all, so those that other models with the same inputs
            answered belong to them.
        now: Business time.
    """
    rows = _evenly(rows)
    asked, rows = rows.filter(pl.col("bundle") == _log_name(revision)), by_models(rows)
    own = by_models(asked)
    reference = _without(_reference(home), revision.log.redacted)
    reports: list[ConsistencyReport] = []

    def looked(monitor: MonitorSpec) -> Found:
        if monitor.kind == "consistency":
            recent = own.filter(pl.col("at") > now - timedelta(microseconds=monitor.window_us))
            one, report = _recomputed(workspace, revision, bundle, home, recent, monitor)
            reports.extend([report] if report else [])
        elif monitor.kind == "drift":
            faulty = faulty_spans(workspace, revision, monitor)
            one = _inputs(monitor, rows, reference, bundle, now, faulty=faulty, key=_log_name(revision))
            if (whole := _reference(home)) is not None:
                one = looked_over_time(workspace, revision, bundle, whole, monitor, one, now, faulty)
        elif monitor.kind == "freshness":
            counted, before = read_feeds(home.parents[1]), _last_values(workspace, revision, monitor)
            one = freshness(monitor, counted, before, bundle.features)
        elif monitor.kind == "fallback":
            one = _share_of_fallback(asked, monitor, now)
        elif monitor.kind == "estimated":
            one = estimated_quality(workspace, bundle, own, reference, monitor, now)
        elif monitor.kind == "service":
            one = service_found(home.parents[1], monitor, revision, now)
        elif monitor.custom is not None:
            one = judged_by_plugin(monitor, monitor.custom, own, now)
        elif monitor.contract is not None:
            one = _of_contract(workspace, revision, own, monitor, bundle, now)
        else:
            one = judge.quality(own, monitor, now=now, evaluation=bundle.metrics, decision=bundle.decision)
            one = standing_in.counted_apart(one, asked, monitor, bundle.decision, now)
        return one

    found = [_finding(workspace, revision, one, _guarded(workspace, one, looked), now) for one in revision.monitors]
    incidents = _kept(workspace, revision, found, reports, now)
    return Watched(
        predictions=own.height,
        labels=own.height - own["label"].null_count(),
        findings=tuple(found),
        incidents=tuple(incidents),
    )


def _guarded(workspace: Workspace, monitor: MonitorSpec, looked: Callable[[MonitorSpec], Found]) -> Found:
    """What a monitor finds; one whose own code fails cannot tell, and keeps neither the others nor the loop from their turn."""
    try:
        return looked(monitor)
    except SlipwayError:
        raise
    except Exception as problem:  # a bug, or rows that no monitor was made for
        workspace.say(f"The monitor {monitor.name!r} failed:\n{traceback.format_exc()}")
        told = f"its own code failed, which is a fault of Slipway's: {type(problem).__name__}: {problem}"
        return Found(state="cannot tell", sentence=told, rows=0, values={"failed": type(problem).__name__})


def _kept(
    workspace: Workspace, revision: Revision, found: list[Finding], reports: list[ConsistencyReport], now: datetime
) -> list[Incident]:
    """Keep what one look found, and what follows of it, in one write; the incidents that are open then."""
    parent = f"{workspace.project}/{revision.name}"
    with workspace.ledger.write() as tx:
        for record in (*reports, *found):
            entries.put(tx, record, expect=0)
        names = {monitor.name for monitor in revision.monitors}
        close_unwatched(tx, workspace, parent, names, now)
        follow(tx, workspace, list(zip(revision.monitors, found, strict=True)))
        break_glass.look_after(tx, workspace, revision, now)
        states = {finding.name: finding.state for finding in found}
        events.record(tx, workspace, "endpoints.watch", f"revision:{revision.id}", findings=states)
        return entries.find(tx, Incident, parent=parent, state="open", limit=1000)


def _of_contract(
    workspace: Workspace, revision: Revision, own: pl.DataFrame, monitor: MonitorSpec, bundle: Bundle, now: datetime
) -> Found:
    terms = monitor.contract
    assert terms is not None  # it is a contract's monitor
    look_at_hypothesis(workspace, revision, terms, now)
    try:
        rows = business_rows(workspace, terms, own)
    except SlipwayError as problem:  # a table that is gone must not keep the other monitors from their look
        told = f"{terms.kpi} cannot be told: {problem}"
        return Found(state="cannot tell", sentence=told, rows=own.height, values={"owner": terms.owner})
    return judge_contract(rows, terms, monitor, now=now, evaluation=bundle.metrics)


def _recomputed(
    workspace: Workspace, revision: Revision, bundle: Bundle, home: Path, recent: pl.DataFrame, monitor: MonitorSpec
) -> tuple[Found, ConsistencyReport | None]:
    try:
        report = measure(workspace, revision, bundle, home, recent)
    except SlipwayError as problem:  # a table that is gone must not keep the other monitors from their look
        return Found(state="cannot tell", sentence=str(problem), rows=recent.height, values={}), None
    return consistency.found(report, monitor), report


def _share_of_fallback(asked: pl.DataFrame, monitor: MonitorSpec, now: datetime) -> Found:
    recent = asked.filter(pl.col("at") > standing_in.spans(monitor, now))
    return standing_in.fallback(recent.group_by("fallback").len("rows"), monitor)


def watch_fallback(workspace: Workspace, revision: Revision, counted: pl.DataFrame, now: datetime) -> bool:
    """Open or close the incident of an endpoint's fallback as soon as it is due: a day would be long.

    Args:
        workspace: Where findings and incidents go.
        revision: What serves, with its monitors.
        counted: Answers since `monitoring.fallback.spans`, see `LogReader.answers_by`.
        now: Business time.

    Returns:
        Whether one was opened or closed; otherwise nothing is written.
    """
    monitor = fallback_monitor(revision)
    if monitor is None:
        return False
    found = standing_in.fallback(counted.filter(pl.col("bundle") == _log_name(revision)), monitor)
    parent = f"{workspace.project}/{revision.name}"
    with workspace.ledger.read() as tx:
        present = entries.find(tx, Incident, parent=parent, state="open", limit=1000)
    is_open = any(monitor.name in shown_by(one) for one in present)
    if found.state == "cannot tell" or (found.state == "alert") == is_open:
        return False
    finding = _finding(workspace, revision, monitor, found, now)
    with workspace.ledger.write() as tx:
        entries.put(tx, finding, expect=0)
        follow(tx, workspace, [(monitor, finding)])
    return True


def watch_service(
    workspace: Workspace, revision: Revision, probes: Probes, reader: LogReader, *, settle: bool = False
) -> bool:
    """Look whether an endpoint answers; says whether that was news.

    Args:
        workspace: Where findings and incidents go.
        revision: What serves.
        probes: The endpoint's probe under way.
        reader: What was read of its log.
        settle: Wait for the probe's answer.
    """
    monitor, kept = service_monitor(revision), []
    if monitor is None:
        return False

    def keep(found: Found) -> None:
        finding = _finding(workspace, revision, monitor, found, workspace.clock.now())
        with workspace.ledger.write() as tx:
            entries.put(tx, finding, expect=0)
            follow(tx, workspace, [(monitor, finding)])
        kept.append(finding)

    try:
        look(workspace, revision, probes, reader, keep=keep, settle=settle)
    except OSError as problem:  # a full disk: what is not kept now is counted at the next look
        workspace.say(f"The health of {revision.name!r} could not be kept: {problem}")
    return bool(kept)


def watch_inputs(workspace: Workspace, revision: Revision, bundle: Bundle, home: Path, now: datetime) -> bool:
    """Open the incident of broken or drifted inputs as soon as it is due; whether it is over is the daily look's to say.

    Args:
        workspace: Where findings and incidents go.
        revision: What serves, with its monitors.
        bundle: Its model.
        home: The folder of its unpacked bundle.
        now: Business time.

    Returns:
        Whether anything new was found; otherwise nothing is written.
    """
    monitor = next((one for one in revision.monitors if one.kind == "drift"), None)
    found = None if monitor is None else found_by_hour(workspace, revision, bundle, home, monitor, now)
    if monitor is None or found is None:
        return False
    parent = f"{workspace.project}/{revision.name}"
    with workspace.ledger.read() as tx:
        is_open = any(
            monitor.name == one.name or monitor.name in one.monitors
            for one in entries.find(tx, Incident, parent=parent, state="open", limit=1000)
        )
        last = entries.find(tx, Finding, parent=parent, name=monitor.name, limit=1) if is_open else []
    known = last[0].causes if last and last[0].state == "alert" else ()
    is_known = {(cause.kind, cause.about) for cause in known}
    if is_open and is_known >= {(cause.kind, cause.about) for cause in found.causes}:
        return False
    fresh = tuple(cause for cause in found.causes if (cause.kind, cause.about) not in is_known)
    finding = _finding(workspace, revision, monitor, msgspec.structs.replace(found, causes=(*known, *fresh)), now)
    with workspace.ledger.write() as tx:
        entries.put(tx, finding, expect=0)
        follow(tx, workspace, [(monitor, finding)])
    return True


def fallback_monitor(revision: Revision) -> MonitorSpec | None:
    """What watches how often a revision's fallback answers."""
    return next((monitor for monitor in revision.monitors if monitor.kind == "fallback"), None)


def _last_values(workspace: Workspace, revision: Revision, monitor: MonitorSpec) -> list[dict[str, Any]]:
    """The values of a monitor's last findings, the newest first."""
    parent = f"{workspace.project}/{revision.name}"
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Finding, parent=parent, name=monitor.name, limit=_LOOKED_BACK)
    return [finding.values for finding in found]


def _without(reference: Profile | None, redacted: Collection[str]) -> Profile | None:
    """A profile of what the log has in clear: a hash cannot be compared with what training saw."""
    return reference if reference is None else without(reference, redacted)


def _evenly(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of which each stands for as many: where a greater share was logged at times, those that the least share has.

    Shares and means are those of all traffic then.
    """
    if "log_share" not in rows.columns or rows["log_share"].n_unique() < 2:
        return rows
    least = float(rows["log_share"].min())  # type: ignore[arg-type]  # a column of numbers
    names = pl.when(pl.col("key") != "").then("key").otherwise("id")
    return rows.filter(pl.Series([is_logged(name, least) for name in rows.select(names).to_series()]))


def _least_share(workspace: Workspace, name: str) -> float:
    """The least share of its rows that an endpoint ever logged."""
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=name, limit=100_000)
    return min((one.log.sample for one in known), default=1.0)


def _log_name(revision: Revision) -> str:
    """How the log names the bundle that a revision serves."""
    return revision.served.bundle[:16]


def _serving(workspace: Workspace, name: str, folder: Path) -> Revision:
    """The revision that answers; the newest where the process does not run. A refused one has answered nothing."""
    newest = revision_of(workspace, name)
    status = workspace.launcher.status(folder)
    if status is None or status.revision in (0, newest.number):
        return newest
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Revision, project=workspace.project, name=name, number=status.revision, limit=1)
    return found[0] if found else newest


def _reference(home: Path) -> Profile | None:
    path = home / "profile.bin"
    return from_bytes(path.read_bytes()) if path.exists() else None


def _inputs(
    monitor: MonitorSpec,
    rows: pl.DataFrame,
    reference: Profile | None,
    bundle: Bundle,
    now: datetime,
    *,
    faulty: Sequence[feeds.Span],
    key: str,
) -> Found:
    if reference is None:
        told = "the bundle has no reference profile"
        return Found(state="cannot tell", sentence=told, rows=rows.height, values={})
    return judge.inputs(rows, monitor, reference, now=now, bundle=key, features=bundle.features, faulty=faulty)


def _finding(workspace: Workspace, revision: Revision, monitor: MonitorSpec, found: Found, now: datetime) -> Finding:
    return Finding(
        id=new_id(),
        project=workspace.project,
        name=monitor.name,
        created_at=now,
        parent_id=f"{workspace.project}/{revision.name}",
        state=found.state,
        window_from=found.first or now,
        window_until=found.last + timedelta(microseconds=1) if found.last else now,
        rows=found.rows,
        sentence=found.sentence,
        values={**found.values, "model": f"{revision.served.model} {revision.served.number}"},
        causes=found.causes,
    )
