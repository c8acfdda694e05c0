"""Score: a batch endpoint's scorings are begun, gone on with and ended here; `hosts.score_run` carries them out.

What decides a scoring's result is written down before its process starts. Of an endpoint there is one at a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from slipway.errors import Conflict, Corrupt, NotFound, Unavailable
from slipway.flows.endpoints import folder_of, next_scoring, revision_of, stop
from slipway.flows.feed import from_tables
from slipway.flows.incidents import close
from slipway.governance.telling import assigned
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.models import registry
from slipway.operations.endpoints import Stop, Stopped
from slipway.operations.scorings import GetScoring, ListScorings, ScoringDetail, Scorings, StartScoring
from slipway.pipelines import staging
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import BatchSpec, Revision
from slipway.records.features import View, Windows
from slipway.records.monitors import Incident
from slipway.records.people import Actor
from slipway.records.rollouts import Rollout
from slipway.records.scorings import Scoring
from slipway.records.tables import TableVersion
from slipway.tables import versions
from slipway.tables.catalog import find_head, record_id
from slipway.tables.log_compaction import compact
from slipway.tables.log_rolling import roll
from slipway.tables.personal import check_readable

__all__ = [
    "BY_HAND", "PREFIX", "ROWS_FILE", "begin", "check_stands", "ended", "fail", "get_scoring", "is_again", "launch", "list_scorings",
    "newest", "parts_folder", "revision_with", "settle", "spec_of", "start_scoring", "stop_scoring", "taken_back", "task_folder",
]  # fmt: skip

BY_HAND = "by hand"
PREFIX = "part-"
"""How the name of a finished part's folder begins."""

ROWS_FILE = "rows.arrow"
"""The file of a part's folder that holds its scores."""

_SCORER = Actor("scoring", kind="service", roles=("ml engineer",))
"""Who writes the table of scores: whoever may begin a scoring need not have the right to write tables."""

_REF = "scoring"
_OWNER = "data engineer"
_ALL = 100_000


def spec_of(revision: Revision) -> BatchSpec:
    """What a revision scores.

    Raises:
        Conflict: It answers requests.
    """
    if revision.batch is None:
        raise Conflict(
            f"The endpoint {revision.name!r} answers requests, and scores no table.",
            fix="Declare sw.BatchEndpoint(...) in the project's module, and deploy a model to it.",
        )
    return revision.batch


def parts_folder(workspace: Workspace, scoring: Scoring) -> Path:
    """Where a scoring keeps the parts that are done, until its result is published."""
    return folder_of(workspace, scoring.name) / "scorings" / str(scoring.number)


def task_folder(workspace: Workspace, scoring: Scoring) -> Path:
    """The folder of the process that carries a scoring out."""
    name = scoring.id if not scoring.tries else f"{scoring.id}-{scoring.tries}"
    return workspace.root.resolve() / "tasks" / name


def newest(tx: ReadTransaction, project: str, endpoint: str) -> Scoring | None:
    """The newest scoring of an endpoint."""
    found = tx.ref(project, _REF, endpoint)
    return entries.get(tx, Scoring, found) if found else None


def list_scorings(workspace: Workspace, request: ListScorings) -> Scorings:
    """What a batch endpoint has scored, newest first; nothing, of one that answers requests.

    Raises:
        NotFound: Nothing was ever deployed there.
    """
    revision = revision_of(workspace, request.name)
    parent = f"{workspace.project}/{request.name}"
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Scoring, parent=parent, limit=max(1, min(request.limit, _ALL)))
    return Scorings(
        scorings=tuple(sorted(found, key=lambda one: -one.number)),
        next_at=next_scoring(revision, workspace.clock.now()),
    )


def get_scoring(workspace: Workspace, request: GetScoring) -> ScoringDetail:
    """One scoring.

    Raises:
        NotFound: There is none.
    """
    with workspace.ledger.read() as tx:
        present = newest(tx, workspace.project, request.name)
        if request.number and present is not None:
            parent = f"{workspace.project}/{request.name}"
            present = next(iter(entries.find(tx, Scoring, parent=parent, number=request.number, limit=1)), None)
    if present is None:
        raise NotFound(
            f"{request.name!r} has no scoring{f' {request.number}' if request.number else ''}.",
            fix=f"Begin one: slipway score {request.name}",
        )
    done = len(list(parts_folder(workspace, present).glob(f"{PREFIX}*")))
    state = workspace.runner.state(task_folder(workspace, present))
    return ScoringDetail(
        scoring=present,
        parts_done=done if present.state in ("running", "failed") else present.parts,
        is_alive=state == "running",
        problem=_problem(workspace, present) if present.state == "running" and state == "ended" else "",
    )


def _problem(workspace: Workspace, present: Scoring) -> str:
    try:
        answered = staging.answer(task_folder(workspace, present))
    except Corrupt as problem:
        return str(problem)
    return answered.error.message if answered is not None and answered.error is not None else ""


def start_scoring(workspace: Workspace, request: StartScoring) -> Scoring:
    """Begin to score, in a process of its own; what is left of one that failed or was killed is gone on with.

    Returns:
        The scoring: "running", or "unchanged" where there is nothing to do.

    Raises:
        NotFound: Nothing was ever deployed there, or there is no such table or version.
        Conflict: The endpoint answers requests or is another environment's, a scoring is under way, there is none to be
            gone on with, or the table of scores was written by somebody else.
    """
    revision = revision_of(workspace, request.name)
    spec = spec_of(revision)
    settle(workspace, request.name)
    with workspace.ledger.read() as tx:
        last = newest(tx, workspace.project, request.name)
    if (
        last is not None
        and last.state == "running"
        and workspace.runner.state(task_folder(workspace, last)) == "running"
    ):
        raise Conflict(
            f"Scoring {last.number} of {last.name!r} is under way.",
            fix=f"See how far it is: slipway endpoints show {last.name}",
        )
    if last is not None and last.state in ("running", "failed"):
        source = versions.resolve(workspace, spec.table, request.table_version or None)
        asked = (revision.number, source.version, len(source.erased), request.every)
        if request.resume or (last.revision, last.source_version, last.erased, last.every) == asked:
            return launch(workspace, _reopened(workspace, last))
        if last.state == "running":
            fail(workspace, last.id, "its process was killed, and another scoring was begun")
    elif request.resume:
        raise Conflict(
            f"{request.name!r} has no scoring that was left unfinished.", fix=f"Begin one: slipway score {request.name}"
        )
    begun = begin(workspace, request.name, table_version=request.table_version, every=request.every)
    return launch(workspace, begun) if begun.state == "running" else begun


def begin(
    workspace: Workspace,
    name: str,
    *,
    trigger: str = BY_HAND,
    table_version: str = "",
    every: bool = False,
    id: str = "",
) -> Scoring:
    """Write a scoring down; nothing runs yet.

    Args:
        workspace: Whose.
        name: The batch endpoint.
        trigger: What asks, in words.
        table_version: Which version of its table, "" for the current one.
        every: Whether rows that have a score are scored again.
        id: The id, where an occasion has but one; "" for a new one.

    Raises:
        NotFound: There is no such table or version.
        Conflict: One is under way or known under that id, the endpoint is another environment's, or somebody else wrote
            the table of scores.
        Denied: The table names its readers, and the actor is none.
    """
    draft = _draft(workspace, name, trigger, table_version, every=every, id=id or new_id())
    with workspace.ledger.write() as tx:
        last = newest(tx, workspace.project, name)
        if last is not None and last.state == "running":
            raise Conflict(f"Scoring {last.number} of {name!r} is under way.", fix="Wait until it has ended.")
        begun = msgspec.structs.replace(draft, number=last.number + 1 if last else 1)
        entries.put(tx, begun, expect=0)
        tx.set_ref(workspace.project, _REF, name, begun.id, expect=last.id if last else None)
        more = {"state": begun.state, "number": begun.number, "table": f"{draft.table}@{draft.source_version}"}
        events.record(tx, workspace, "scorings.start", f"scoring:{begun.id}", **more, trigger=trigger)
    if last is not None:
        _tidy(workspace, last)
    return begun


def _draft(workspace: Workspace, name: str, trigger: str, table_version: str, *, every: bool, id: str) -> Scoring:
    """A scoring with all that decides its result, without its number."""
    revision = revision_of(workspace, name)
    spec = spec_of(revision)
    _check_environment(workspace, revision)
    check_readable(workspace, spec.table)
    source = versions.resolve(workspace, spec.table, table_version or None)
    pins = _pins(workspace, revision)
    former = _former(workspace, name, spec)
    parent = f"{workspace.project}/{name}"
    draft = Scoring(
        id=id,
        project=workspace.project,
        name=name,
        created_at=workspace.clock.now(),
        parent_id=parent,
        number=1,
        environment=revision.environment,
        revision=revision.number,
        served=revision.served,
        trigger=trigger,
        actor=workspace.actor,
        table=spec.table,
        source_version=source.version,
        source_number=source.number,
        erased=len(source.erased),
        into=spec.into,
        every=every,
        former="" if former is None or every else former.id,
        former_source="" if former is None or every else former.source_version,
        is_whole=every or former is None or (former.is_whole and former.revision == revision.number),
        pins=pins,
        challenger=revision.challenger,
    )
    told = _nothing_to_do(draft, former, revision) if former is not None else ""
    return (
        msgspec.structs.replace(draft, state="unchanged", ended_at=draft.created_at, sentence=told) if told else draft
    )


def _tidy(workspace: Workspace, last: Scoring) -> None:
    """Remove what no start will go on with: a schedule of minutes would fill the disk. Logs of what failed are kept."""
    if last.state == "failed":
        shutil.rmtree(parts_folder(workspace, last), ignore_errors=True)
        return
    for folder in (workspace.root / "tasks").glob(f"{last.id}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _check_environment(workspace: Workspace, revision: Revision) -> None:
    if revision.environment != workspace.environment:
        raise Conflict(
            f"The endpoint {revision.name!r} is deployed in {revision.environment}, and this is {workspace.environment}.",
            fix=f"Add --env {revision.environment}.",
        )


def _nothing_to_do(draft: Scoring, former: Scoring, revision: Revision) -> str:
    """Why nothing is to be scored, "" where something may be."""
    if draft.source_version != former.source_version:
        return ""
    stands = f"Version {draft.source_number} of {draft.table!r} was scored by revision {former.revision}"
    is_done = former.is_whole and former.revision == revision.number
    if draft.every and not is_done:
        return ""
    if is_done:
        return f"{stands}, and stands in version {former.result_number} of {draft.into!r}."
    return f"{stands}; revision {revision.number} scores new rows, and those again with --all."


def _pins(workspace: Workspace, revision: Revision) -> dict[str, str]:
    """The versions that features look back on now."""
    names: set[str] = set()
    for one in revision.versions:
        spec = registry.bundle_of(workspace, registry.get(workspace, one.model, str(one.number))).features
        if spec is not None:
            kept, _ = from_tables(spec)
            names |= {part.source for part in kept.parts if isinstance(part, Windows)}
            names |= {source for part in kept.parts if isinstance(part, View) for source in part.sources}
    found = {}
    for name in sorted(names):
        owner, _, table = name.rpartition("/")
        owner = owner or workspace.project
        found[f"{owner}/{table}"] = versions.current(workspace, table, project=owner).version
    return found


def _former(workspace: Workspace, name: str, spec: BatchSpec) -> Scoring | None:
    """The scoring whose result the table of scores holds now, None where there is no such table.

    Raises:
        Conflict: The table was made by somebody else, or holds scores of another table.
    """
    with workspace.ledger.read() as tx:
        head = find_head(tx, workspace.project, spec.into)
        if head is None:
            return None
        known: dict[str, Scoring] = {}
        for one in entries.every(tx, Scoring, parent=f"{workspace.project}/{name}", state="finished"):
            known.setdefault(one.result_version, one)
        at: TableVersion | None = head
        while at is not None:
            if at.version in known and known[at.version].into == spec.into and known[at.version].table == spec.table:
                return known[at.version]
            id = record_id(workspace.project, spec.into, at.parent)
            at = entries.get(tx, TableVersion, id) if at.parent else None
    raise Conflict(
        f"The table {spec.into!r} does not hold scores that {name!r} made of {spec.table!r}.",
        why="A scoring adds to what scorings wrote, and would replace anything else.",
        fix="Give the endpoint another table in into=..., and deploy it again.",
    )


def launch(workspace: Workspace, scoring: Scoring) -> Scoring:
    """Start the process of a scoring that is written down."""
    task = staging.task(replace(workspace, actor=_SCORER), snapshot="", scoring=scoring.id)
    workspace.runner.start(staging.stage(workspace, task_folder(workspace, scoring).name, task))
    return scoring


def _reopened(workspace: Workspace, last: Scoring) -> Scoring:
    """The scoring as it goes on: in a new process, with the parts that were done."""
    with workspace.ledger.write() as tx:
        present = entries.get(tx, Scoring, last.id)
        again = msgspec.structs.replace(
            present, state="running", attempts=1, tries=present.tries + 1, ended_at=None, sentence=""
        )
        entries.put(tx, again)
        events.record(tx, workspace, "scorings.start", f"scoring:{again.id}", state="running", number=again.number)
    return again


def ended(tx: WriteTransaction, workspace: Workspace, scoring: Scoring) -> Scoring:
    """Write the end of a scoring, with the incident that it opens or closes; gives it as it is written.

    Raises:
        Conflict: It has ended already.
    """
    if entries.get(tx, Scoring, scoring.id).state != "running":
        raise Conflict(f"Scoring {scoring.number} of {scoring.name!r} was ended by another process.")
    done = msgspec.structs.replace(scoring, ended_at=workspace.clock.now())
    entries.put(tx, done)
    more = {"state": done.state, "rows": done.rows, "refused": done.refused, "version": done.result_version}
    events.record(tx, workspace, "scorings.end", f"scoring:{done.id}", **more)
    parent = f"{done.project}/{done.name}"
    found = entries.find(tx, Incident, parent=parent, name=_REF, state="open", limit=1)
    if done.state == "failed" and not found and not done.is_void:  # what is void begins anew by itself
        incident = Incident(
            id=new_id(),
            project=done.project,
            name=_REF,
            created_at=workspace.clock.now(),
            parent_id=parent,
            sentence=f"Scoring {done.number} of {done.name!r} failed. {done.sentence}",
            owner=_OWNER,
            cause="scoring",
        )
        entries.put(tx, assigned(tx, workspace, incident))
    elif done.state != "failed" and found:
        why = f"scoring {done.number} ended well"
        close(tx, workspace, found[0], why, workspace.clock.now())
    return done


def fail(
    workspace: Workspace, id: str, why: str, *, keeps: bool = True, more: Mapping[str, object] | None = None
) -> Scoring:
    """End a scoring without a result, unless it has ended; what was done is kept for the next start, or is not."""
    with workspace.ledger.write() as tx:
        present = entries.get(tx, Scoring, id)
        if present.state != "running":
            return present
        failed = msgspec.structs.replace(present, state="failed", sentence=f"Failed: {why}", **(more or {}))
        failed = ended(tx, workspace, failed)
    if not keeps:
        shutil.rmtree(parts_folder(workspace, failed), ignore_errors=True)
    return failed


def taken_back(tx: ReadTransaction, scoring: Scoring) -> str:
    """Why a scoring's answers are nobody's any more: the roll-out ended whose challenger gave some of them; "" else."""
    beside = scoring.challenger
    if beside is None:
        return ""
    found = entries.get(tx, Rollout, beside.rollout_id)
    is_theirs = beside.fraction > 0.0 or scoring.served == found.challenger
    return found.reason if found.ended_at is not None and found.state != "promoted" and is_theirs else ""


def check_stands(tx: ReadTransaction, scoring: Scoring) -> None:
    """Refuse to go on with a scoring whose challenger was taken back.

    Raises:
        Conflict: It was.
    """
    if why := taken_back(tx, scoring):
        raise Conflict(
            f"The roll-out ended while scoring {scoring.number} of {scoring.name!r} was under way: {why}",
            why="Some of its scores are the challenger's, which answers nobody any more. Nothing of it is published.",
            fix=f"The server begins it anew; by hand: slipway score {scoring.name}",
        )


def is_again(workspace: Workspace, last: Scoring) -> bool:
    """Whether the newest scoring came to nothing because of a challenger that was taken back since."""
    if last.state != "failed" or last.challenger is None:
        return False
    with workspace.ledger.read() as tx:
        ended = entries.get(tx, Rollout, last.challenger.rollout_id)
    return last.is_void or (last.is_crash and ended.ended_at is not None and ended.state != "promoted")


def settle(workspace: Workspace, name: str) -> None:
    """Bring the log rows of a finished scoring into the endpoint's log, where its process was killed before it did.

    A part's segment is renamed into the log, so that however often this is done each row is there once.
    """
    with workspace.ledger.read() as tx:
        last = newest(tx, workspace.project, name)
    if last is None or last.state != "finished" or not (folder := parts_folder(workspace, last)).is_dir():
        return
    log = folder_of(workspace, name) / "log"
    log.mkdir(parents=True, exist_ok=True)
    for segment in sorted(folder.glob(f"{PREFIX}*/*.seg")):
        with suppress(FileNotFoundError):  # the loop and the scoring's own process may both be at it
            segment.rename(log / segment.name)
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(Unavailable):  # somebody erases in it: the next scoring does it
        roll(log)
        compact(log)


def stop_scoring(workspace: Workspace, request: Stop) -> Stopped:
    """Stop an endpoint's processes; of a batch endpoint the scoring under way, of which what is done is kept.

    Raises:
        NotFound: Nothing was ever deployed there.
    """
    revision = revision_of(workspace, request.name)
    if revision.batch is None:
        return stop(workspace, request)
    with workspace.ledger.read() as tx:
        last = newest(tx, workspace.project, request.name)
    was_running = last is not None and last.state == "running"
    if last is not None and was_running:
        workspace.runner.stop(task_folder(workspace, last))
        fail(workspace, last.id, f"{workspace.actor} stopped it.")
    with workspace.ledger.write() as tx:
        about = f"scoring:{last.id}" if last is not None else f"endpoint:{revision.id.rpartition('/')[0]}"
        events.record(tx, workspace, "endpoints.stop", about, was_running=was_running)
    return Stopped(was_running=was_running)


def revision_with(workspace: Workspace, scoring: Scoring) -> Revision:
    """The revision that a scoring is for."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Revision, project=scoring.project, name=scoring.name, number=scoring.revision, limit=1)
    if not found:
        raise NotFound(f"{scoring.name!r} has no revision {scoring.revision}.", fix="Restore the ledger.")
    return found[0]
