"""The way back: does the version that served before answer the present one's rows better? Then it serves again.

Asked once a day while labels say that the model is worse, and right before a retraining that this would begin, as long as
the takeover is within the window that this is judged by. What the present version answered is in the log; the older one is
asked again for the very inputs that were served. Bounds hold however often one looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct

from slipway.errors import Conflict, GateRefused, NotFound, SlipwayError
from slipway.flows import rollout_watch, rollouts
from slipway.flows.abtest_state import running_abtest
from slipway.flows.deploy import go_back
from slipway.flows.endpoints import folder_of
from slipway.flows.incidents import close
from slipway.ledger import entries
from slipway.loop.actions import act, put_action
from slipway.loop.evidence import scores_by, takes
from slipway.loop.policy import Row, Signals, decide
from slipway.loop.retrain import running
from slipway.loop.signals import signals_of
from slipway.loop.triggers import DEGRADED
from slipway.models import registry
from slipway.operations.endpoints import Rollback
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.loop import Action
from slipway.records.models import Bundle
from slipway.records.monitors import Finding, Incident
from slipway.records.rollouts import Look, Rollout
from slipway.stats.evidence import mean_sequence
from slipway.stats.intervals import LOSSES
from slipway.tables.log_reader import LogReader
from slipway.tables.prediction_log import by_models

__all__ = ["Beside", "beside_former", "close_degraded", "former_of", "take_way_back"]

_ALPHA = 0.05
_MENDS = 0.5
"""Which part of what was lost since before release going back has to mend: a world that changed is worse for both."""
_MOST_ROWS = 20_000
_MANY = 100_000
_DIGITS = 16


class Beside(Struct, frozen=True, kw_only=True):
    """What a comparison with the version that served before came to.

    Args:
        former: The last revision under which that one served; None where there is none to go back to.
        verdict: Whether it is better, shown at every number of looks, by half of what was lost; "unknown" where that cannot be told.
        sentence: In words, with the figures.
    """

    former: Revision | None = None
    verdict: Literal["better", "not better", "unknown"] = "unknown"
    sentence: str = ""


def take_way_back(workspace: Workspace, revision: Revision, reader: LogReader, now: datetime) -> list[Action]:
    """Let the version that served before serve again where the policy says so. The endpoint's turn must be held.

    Args:
        workspace: Whose endpoint.
        revision: What serves.
        reader: Its log, as read by now.
        now: Business time.

    Raises:
        BackendError: The endpoint's process did not take the revision.
    """
    parent = f"{workspace.project}/{revision.name}"
    with workspace.ledger.read() as tx:
        incidents = entries.find(tx, Incident, parent=parent, state="open", limit=1000)
        judges = [one.name for one in revision.monitors if one.kind == "quality"]
        newest = [one for name in judges for one in entries.find(tx, Finding, parent=parent, name=name, limit=1)]
    if all(one.state != "alert" for one in newest):  # what is open stays so while too few labels are in to judge by
        return []
    bundle = registry.bundle_of(workspace, registry.get(workspace, revision.served.model, str(revision.served.number)))
    known = signals_of(workspace, revision, incidents, bundle)
    if not decide(known).do.startswith("retrain") or known.realised != "down":
        return []
    under_way = (rollouts.under_way, running_abtest, running)
    if any(one(workspace, revision.name) for one in under_way):
        return []
    found = beside_former(workspace, revision, bundle, reader, now)
    known = msgspec.structs.replace(known, former=found.verdict)
    row = decide(known)
    if row.do != "roll back" or found.former is None:
        return []
    return _back(workspace, revision, found.former, found, row, known, incidents, now)


def former_of(workspace: Workspace, revision: Revision) -> tuple[Revision, datetime] | None:
    """The revision to go back to, and since when the present version serves; None where there is none.

    Only an older version of the same model is gone back to: so what was taken back never comes again by itself.
    """
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=revision.name, limit=_MANY)
    took_over = revision.created_at
    for one in sorted(known, key=lambda one: -one.number):
        if one.number > revision.number:
            continue
        if one.served == revision.served:
            took_over = one.created_at
            continue
        is_older = one.served.model == revision.served.model and one.served.number < revision.served.number
        is_alike = (one.environment, one.contract, one.batch) == (revision.environment, revision.contract, None)
        return (one, took_over) if is_older and is_alike and revision.batch is None else None
    return None


def beside_former(workspace: Workspace, revision: Revision, bundle: Bundle, reader: LogReader, now: datetime) -> Beside:
    """Compare what serves with the version before, on its own labelled rows whose labels have had their time.

    Args:
        workspace: Whose endpoint.
        revision: What serves.
        bundle: Its model.
        reader: Its log.
        now: Business time.
    """
    found = former_of(workspace, revision)
    if found is None:
        return Beside()
    former, took_over = found
    until = now - rollouts.label_delay(revision)
    since = until - timedelta(microseconds=max(one.window_us for one in revision.monitors if one.kind == "quality"))
    if took_over < since:
        return Beside(former=former, sentence="It took over so long ago that this is no matter of the deployment.")
    name = f"{former.served.model} {former.served.number}"
    other = registry.bundle_of(workspace, registry.get(workspace, former.served.model, str(former.served.number)))
    home = folder_of(workspace, revision.name) / "bundles"
    if takes(other) != takes(bundle) or not (home / former.served.bundle).exists():
        return Beside(former=former, sentence=f"{name} takes other inputs, or its files are gone.")
    rows = _rows(revision, bundle, reader, since, until + timedelta(microseconds=1))
    try:
        theirs = scores_by(workspace, home, former.served, rows)
    except SlipwayError as problem:  # its files are damaged: there is no way back to it, and training goes on
        return Beside(former=former, sentence=f"{name} cannot be asked: {problem}")
    return _compared(former, rows.with_columns(former=pl.Series(theirs, dtype=pl.Float64)), bundle)


def _rows(revision: Revision, bundle: Bundle, reader: LogReader, since: datetime, until: datetime) -> pl.DataFrame:
    """The present version's labelled rows, those of its canary too, as its monitors judge by; evenly taken where many."""
    rows = by_models(reader.answered(since, until))
    rows = rows.filter((pl.col("bundle") == revision.served.bundle[:_DIGITS]) & pl.col("label").is_finite())
    if bundle.task == "classification":
        rows = rows.filter(pl.col("label").is_in([0.0, 1.0]))
    return rows.gather_every(math.ceil(rows.height / _MOST_ROWS)) if rows.height > _MOST_ROWS else rows


def _compared(former: Revision, rows: pl.DataFrame, bundle: Bundle) -> Beside:
    name = f"{former.served.model} {former.served.number}"
    metric = "log_loss" if bundle.task == "classification" else "mae"
    known = (one.value for one in bundle.metrics if (one.metric, one.slice) == (metric, ""))
    before = next((value for value in known if math.isfinite(value)), math.inf)
    rows = rows.filter(pl.col("former").is_finite() & pl.col("score").is_finite())
    truth, own, theirs = (rows[column].cast(pl.Float64).to_numpy() for column in ("label", "score", "former"))
    more = pl.Series("more", np.asarray(LOSSES[metric](truth, own) - LOSSES[metric](truth, theirs), dtype=np.float64))
    days = rows.select(pl.col("at").dt.date()).with_columns(more).group_by("at").agg(pl.col("more").sum(), pl.len())
    days = days.sort("at")
    bounds = mean_sequence(days["more"].to_numpy(), days["len"].to_numpy(), alpha=_ALPHA)
    if bounds.note:
        return Beside(former=former, sentence=f"Whether {name} would be better cannot be told: {bounds.note}.")
    is_shown, mends = bounds.low > 0, bounds.value >= _MENDS * (float(LOSSES[metric](truth, own).mean()) - before)
    verdict: Literal["better", "not better"] = "better" if is_shown and mends else "not better"
    said = "answers them better" if is_shown else "is not shown to answer them better"
    said += "" if mends or not is_shown else ", which mends less than half of what was lost"
    told = (
        f"{name} {said}: the {metric.replace('_', ' ')} of what serves is {bounds.value:+.4g} ({bounds.low:+.4g} to "
        f"{bounds.high:+.4g}) beside its own on {rows.height:,} labelled rows of {days.height} days."
    )
    return Beside(former=former, verdict=verdict, sentence=told)


def _back(
    workspace: Workspace,
    revision: Revision,
    former: Revision,
    found: Beside,
    row: Row,
    known: Signals,
    incidents: Sequence[Incident],
    now: datetime,
) -> list[Action]:
    """Serve the former version again; the action and the end of the incidents are written with the revision."""
    name, back = (f"{one.served.model} {one.served.number}" for one in (revision, former))
    over = [one for one in incidents if one.cause in DEGRADED]
    promoted = _promoted(workspace, revision)
    subjects = (*(f"incident:{one.id}" for one in over), *([f"rollout:{promoted.id}"] if promoted else []))
    actions: list[Action] = []

    def written(tx: WriteTransaction) -> None:
        close_degraded(tx, workspace, revision.name, f"{back} serves again: {found.sentence}", now)
        told = f"{name} was taken back; {back} serves again. {row.why} {found.sentence}"
        figures = {"policy": row.name, "signals": msgspec.to_builtins(known)}
        actions.append(
            put_action(tx, workspace, revision.name, "stop", told, owner=row.owner, evidence=figures, subjects=subjects)
        )

    watched = rollout_watch.watched(workspace, revision.name)
    try:
        if watched is not None and watched.champion == former.served:  # it is loaded still
            look = Look(at=now, phase="canary", step=watched.step, verdict="worse", sentence=found.sentence)
            rollout_watch.take_back(workspace, watched, look, also=lambda tx, _: written(tx))
        else:
            asked = Rollback(name=revision.name, to=former.number, reason=found.sentence)
            go_back(workspace, asked, also=lambda tx, _: written(tx))
    except (Conflict, GateRefused, NotFound) as problem:
        return _refused(workspace, revision.name, f"{found.sentence} It cannot serve again: {problem}", subjects)
    return actions


def close_degraded(tx: WriteTransaction, workspace: Workspace, name: str, why: str, now: datetime) -> None:
    """Close what was open about a version that was taken back: what serves again is judged by its own rows.

    Args:
        tx: The transaction that takes it back.
        workspace: Whose endpoint.
        name: The endpoint's.
        why: In words.
        now: Business time.
    """
    for one in entries.find(tx, Incident, parent=f"{workspace.project}/{name}", state="open", limit=1000):
        if one.cause in DEGRADED:
            close(tx, workspace, one, why, now)


def _refused(workspace: Workspace, name: str, told: str, subjects: tuple[str, ...]) -> list[Action]:
    """Tell once that the way back is closed; a retraining follows then."""
    with workspace.ledger.read() as tx:
        held = entries.find(tx, Action, parent=f"{workspace.project}/{name}", name="hold", limit=20)
    if any(one.evidence.get("trigger") == "way back" and one.subjects == subjects for one in held):
        return []
    evidence = {"trigger": "way back"}
    return [act(workspace, name, "hold", told, owner="data scientist", evidence=evidence, subjects=subjects)]


def _promoted(workspace: Workspace, revision: Revision) -> Rollout | None:
    """The roll-out that brought what serves, None where none did."""
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Rollout, project=workspace.project, name=revision.name, limit=100)
    return next((one for one in known if one.state == "promoted" and one.challenger == revision.served), None)
