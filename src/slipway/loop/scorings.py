"""Scorings of batch endpoints: what is due is begun, what was killed begins again, what failed waits for its next time."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from slipway.errors import Conflict
from slipway.flows import score
from slipway.ledger import entries
from slipway.loop.firings import firing_id
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.schedules import ScheduleTrigger
from slipway.records.scorings import Scoring
from slipway.schema.schedules import last_time, trigger_in_words
from slipway.tables.catalog import find_head

__all__ = ["is_scoring", "pass_over_scorings", "settle_scoring"]

_ATTEMPTS = 3
_SETTLES_WITHIN_S = 1800.0
_ALL = 100_000


def pass_over_scorings(workspace: Workspace, revision: Revision) -> list[str]:
    """Bring a batch endpoint one step further; returns what was done, a sentence each.

    A time that was missed is caught up once. One that comes while a scoring runs has its turn when that has ended.

    Raises:
        BackendError: No process can be started.
    """
    spec = revision.batch
    if spec is None:
        return []
    score.settle(workspace, revision.name)
    with workspace.ledger.read() as tx:
        last = score.newest(tx, workspace.project, revision.name)
    done: list[str] = []
    if last is not None and last.state == "running":
        told = _looked_after(workspace, last)
        if not told:
            return done
        done.append(told)
    elif last is not None and score.is_again(workspace, last):
        return _again(workspace, last)
    for trigger in spec.when:
        found = _due(workspace, revision, trigger)
        if found:
            return done + _begun(workspace, revision, trigger, found)
    return done


def is_scoring(workspace: Workspace, endpoint: str) -> bool:
    """Whether a scoring of an endpoint is under way."""
    with workspace.ledger.read() as tx:
        last = score.newest(tx, workspace.project, endpoint)
    return last is not None and last.state == "running"


def settle_scoring(workspace: Workspace, endpoint: str) -> None:
    """Wait until the scoring under way has ended, so that machine time decides nothing."""
    with workspace.ledger.read() as tx:
        last = score.newest(tx, workspace.project, endpoint)
    if last is not None and last.state == "running":
        workspace.runner.wait(score.task_folder(workspace, last), timeout_s=_SETTLES_WITHIN_S)


def _looked_after(workspace: Workspace, last: Scoring) -> str:
    """What has become of a scoring that is written down as running; "" while it does run."""
    state = workspace.runner.state(score.task_folder(workspace, last))
    if state == "running":
        return ""
    with workspace.ledger.write() as tx:
        present = entries.get(tx, Scoring, last.id)
        if present.state != "running":  # it has ended between the two looks
            return f"{present.name}: scoring {present.number} {present.state}"
        if state == "absent" and present.attempts < _ATTEMPTS:
            present = msgspec.structs.replace(present, attempts=present.attempts + 1)
            entries.put(tx, present)
    if state == "absent" and present.attempts > last.attempts:
        score.launch(workspace, present)
        return ""
    why = (
        f"its process ended {present.attempts} times without an answer." if state == "absent" else "it left no result."
    )
    ended = score.fail(workspace, present.id, why, more={"is_crash": state == "absent"})
    return f"{ended.name}: scoring {ended.number} {ended.state}"


def _again(workspace: Workspace, last: Scoring) -> list[str]:
    """Begin anew, once, what came to nothing because its challenger was taken back."""
    id = firing_id(last.parent_id, "again", last.id)
    trigger = f"again, without the challenger of scoring {last.number}"
    begun = score.begin(
        workspace, last.name, trigger=trigger, table_version=last.source_version, every=last.every, id=id
    )
    if begun.state == "running":
        score.launch(workspace, begun)
    return [f"{begun.name}: scoring {begun.number} {'began' if begun.state == 'running' else begun.state} ({trigger})"]


def _due(workspace: Workspace, revision: Revision, trigger: ScheduleTrigger) -> str:
    """The id of the scoring that a trigger asks for now, "" where it asks for none that is not known yet."""
    words = trigger_in_words(trigger)
    with workspace.ledger.read() as tx:
        since = _declared_since(tx, workspace, revision, trigger)
        if trigger.kind == "table":
            head = find_head(tx, workspace.project, trigger.table)
            if head is None or head.created_at <= since:
                return ""
            occasion = head.version
        else:
            found = last_time(trigger.cron, trigger.timezone, workspace.clock.now())
            if found is None or found <= since:
                return ""
            occasion = found.astimezone(UTC).isoformat()
        id = firing_id(f"{workspace.project}/{revision.name} {since.isoformat()}", words, occasion)
        return "" if tx.get(entries.kind_of(Scoring), id) is not None else id


def _declared_since(
    tx: ReadTransaction, workspace: Workspace, revision: Revision, trigger: ScheduleTrigger
) -> datetime:
    """When a revision first came with a trigger that each one after it has: earlier times of it are not caught up."""
    since = revision.created_at
    known = entries.find(tx, Revision, project=workspace.project, name=revision.name, limit=_ALL)
    for one in sorted(known, key=lambda one: -one.number):
        if one.batch is None or trigger not in one.batch.when:
            break
        since = one.created_at
    return since


def _begun(workspace: Workspace, revision: Revision, trigger: ScheduleTrigger, id: str) -> list[str]:
    words = trigger_in_words(trigger)
    try:
        begun = score.begin(workspace, revision.name, trigger=words, id=id)
    except Conflict:
        with workspace.ledger.read() as tx:
            last = score.newest(tx, workspace.project, revision.name)
        if last is not None and last.state == "running":  # somebody else was faster
            return []
        raise
    if begun.state == "running":
        score.launch(workspace, begun)
    return [f"{begun.name}: scoring {begun.number} {'began' if begun.state == 'running' else begun.state} ({words})"]
