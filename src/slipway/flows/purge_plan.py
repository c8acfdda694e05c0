"""Which things a purge removes, and which it must leave because something holds them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from slipway.errors import InvalidInput, NotFound
from slipway.flows.trashed import (
    DELETED,
    Item,
    deleted_experiments,
    deleted_logged,
    deleted_models,
    deleted_runs,
    deleted_versions,
    ended_runs,
    find_item,
    item_of,
    logged_in,
    runs_in,
    trashed_at,
)
from slipway.ledger import entries
from slipway.ledger.experiments import get_experiment
from slipway.ledger.naming import naming
from slipway.ledger.provenance import host, is_host_gone
from slipway.models import logged, registered
from slipway.models.holding import HISTORY, holder, holders
from slipway.operations.trash import Kept
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import LoggedModel, ModelVersion
from slipway.records.runs import Run
from slipway.records.search import IsNull, Not

__all__ = ["Plan", "hold_around", "inside", "is_at_work", "plan_all", "plan_ended", "plan_named"]

_MANY = 1_000_000


@dataclass
class Plan:
    """What goes, by ids (experiments by number, models by name), and what was asked for and does not.

    Args:
        versions: Versions of models: id to full name.
        models: Models as a whole: name to full name.
        logged: Logged models.
        runs: Runs.
        experiments: Experiments: number to full name.
        gone: What was purged before.
        kept: What is held.
    """

    versions: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    logged: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    experiments: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)

    @property
    def words(self) -> tuple[str, ...]:
        """The full names of all that goes."""
        sorts = (self.experiments, self.runs, self.logged, self.models, self.versions)
        return tuple(words for sort in sorts for words in sort.values())

    def keep(self, sort: dict[str, str], id: str, why: str) -> None:
        """Leave something where it is."""
        self.kept.append(Kept(item=sort.pop(id), why=why))


def plan_all(workspace: Workspace, until: datetime) -> Plan:
    """All that was in the trash by a moment."""
    plan = Plan()
    with workspace.ledger.read() as tx:
        for item in (
            *(item_of(one) for one in deleted_experiments(tx, workspace) if _is_due(trashed_at(one), until)),
            *(item_of(one) for one in deleted_models(tx, workspace) if _is_due(trashed_at(one), until)),
            *(item_of(one) for one in deleted_versions(tx, workspace) if _is_due(trashed_at(one), until)),
            *(item_of(one) for one in deleted_logged(tx, workspace) if _is_due(trashed_at(one), until)),
        ):
            _add(plan, item)
        for run in deleted_runs(tx, workspace, until=until):
            _add(plan, item_of(run))
        _hold(tx, workspace, plan)
    return plan


def plan_ended(workspace: Workspace, before: datetime) -> Plan:
    """The runs, not in the trash, that ended before a moment and that nothing holds."""
    plan = Plan()
    with workspace.ledger.read() as tx:
        ended = {run.id: run for run in ended_runs(tx, workspace, before)}
        for run in ended.values():
            _add(plan, item_of(run))
        _hold(tx, workspace, plan, old=ended)
        for one in entries.every(tx, LoggedModel, project=workspace.project):
            if one.run_id in plan.runs and one.deleted_at is None:
                plan.keep(plan.runs, one.run_id, f"the model {one.id} was logged in it")
        hold_around(tx, workspace, plan, old=ended)
    return plan


def hold_around(tx: ReadTransaction, workspace: Workspace, plan: Plan, *, old: Collection[str] | None = None) -> None:
    """Take out of the plan each run in which a run stays, at any depth, and experiments of which something stays.

    What goes is left in the order in which it must: inner runs before those around them.

    Args:
        tx: Of the ledger.
        workspace: The project.
        plan: What goes.
        old: The runs that are old enough to go, where age decides.
    """
    around: dict[str, str] = {}
    held: list[tuple[str, str]] = []
    for id in plan.runs:
        for run in inside(tx, workspace, id):
            around[run.id] = id
            if run.id not in plan.runs:
                is_young = old is not None and run.id not in old and run.deleted_at is None
                held.append((id, f"the run {run.id} inside it {'is not as old' if is_young else 'stays'}"))
    while held:
        id, why = held.pop()
        if id in plan.runs:
            plan.keep(plan.runs, id, why)
            if id in around:
                held.append((around[id], f"the run {id} inside it stays"))
    plan.runs = dict(sorted(plan.runs.items(), key=lambda one: -_depth(one[0], around)))
    for number in list(plan.experiments):
        if why := _staying(tx, workspace, plan, number):
            plan.keep(plan.experiments, number, why)


def inside(tx: ReadTransaction, workspace: Workspace, id: str) -> list[Run]:
    """The project's runs inside a run, in the trash or not, one level down."""
    return [one for one in entries.find(tx, Run, parent=id, limit=_MANY) if one.project == workspace.project]


def _depth(id: str, around: dict[str, str]) -> int:
    seen = {id}
    while (id := around.get(id, "")) and id not in seen:  # tags of tracking clients may name each other
        seen.add(id)
    return len(seen)


def plan_named(workspace: Workspace, items: Iterable[str]) -> Plan:
    """What is named, with what it consists of.

    Raises:
        InvalidInput: Something is not in the trash, or a name cannot be read.
        NotFound: There is nothing of a name, and never was.
    """
    plan = Plan()
    for words in items:
        try:
            item = find_item(workspace, words)
        except NotFound:
            if not _was_purged(workspace, words):
                raise
            plan.gone.append(words)
            continue
        with workspace.ledger.read() as tx:
            if not _is_there(tx, workspace, item):
                raise InvalidInput(
                    f"{item.words} is not in the trash.",
                    why="Only what is there is purged.",
                    fix=f"Put it there first: slipway trash put {item.words}",
                    field="items",
                )
            _add(plan, item)
            if item.sort == "experiment":
                for run in runs_in(tx, workspace, item.id, Not(IsNull(DELETED))):
                    _add(plan, item_of(run))
                for one in logged_in(tx, workspace, item.id):
                    if one.deleted_at is not None:
                        _add(plan, item_of(one))
            elif item.sort == "model":
                for version in entries.every(
                    tx, ModelVersion, project=workspace.project, name=item.id, state="deleted"
                ):
                    _add(plan, item_of(version))
    with workspace.ledger.read() as tx:
        _hold(tx, workspace, plan)
    return plan


def is_at_work(run: Run) -> bool:
    """Whether a process of this machine still logs to a run; of other machines' nobody here can tell."""
    here = run.host.rpartition("@")[2] == host().rpartition("@")[2]
    return run.state == "running" and bool(run.host) and here and not is_host_gone(run.host)


def _add(plan: Plan, item: Item) -> None:
    sorts = {
        "run": plan.runs,
        "experiment": plan.experiments,
        "model": plan.models,
        "version": plan.versions,
        "logged": plan.logged,
    }
    sorts[item.sort][item.id] = item.words


def _is_due(at: datetime | None, until: datetime) -> bool:
    return at is not None and at <= until


def _is_there(tx: ReadTransaction, workspace: Workspace, item: Item) -> bool:
    match item.sort:
        case "run":
            return entries.get(tx, Run, item.id).deleted_at is not None
        case "experiment":
            return get_experiment(tx, workspace, item.id).state == "deleted"
        case "version":
            return entries.get(tx, ModelVersion, item.id).state == "deleted"
        case "logged":
            return logged.get(tx, workspace, item.id, deleted=True).deleted_at is not None
        case "model":
            return registered.in_trash(tx, workspace, item.id) is not None


def _was_purged(workspace: Workspace, words: str) -> bool:
    """Whether the audit log tells of the purge of something that is not there any more."""
    sort, _, name = words.partition(":")
    model, _, number = name.partition(":")
    subjects = {"run": words, "logged": words, "model": f"registered:{workspace.project}/{model}"}
    seq = 0
    with workspace.ledger.read() as tx:
        while page := tx.events(after=seq, project=workspace.project, subject=subjects.get(sort)):
            for event in page:
                is_purge = event.verb.endswith(".purge")
                if is_purge and sort in ("run", "logged"):
                    return True
                if is_purge and sort == "model" and str(event.body.get("number", "")) == number:
                    return True
                told = (event.subject, f"experiment:{event.body.get('name', '')}")
                if event.verb == "experiments.purge" and words in told:
                    return True
            seq = page[-1].seq
    return False


def _hold(tx: ReadTransaction, workspace: Workspace, plan: Plan, *, old: Collection[str] | None = None) -> None:
    """Take out of the plan what something names that stays, and what is around that; see `hold_around`."""
    versions = [entries.get(tx, ModelVersion, id) for id in plan.versions]
    for id, why in holders(tx, workspace, versions).items():
        plan.keep(plan.versions, id, why)
    for name in list(plan.models):
        if any(one.item.startswith(f"model:{name}:") for one in plan.kept):
            plan.keep(plan.models, name, "one of its versions is held")
    wanted = {id.removeprefix("m-").encode() for id in (*plan.runs, *plan.logged)}
    for entry, found in naming(tx, workspace.project, wanted, apart=HISTORY):
        said = "" if entry.kind == entries.kind_of(ModelVersion) and entry.id in plan.versions else holder(entry)
        for word in found if said else ():
            id = word.decode()
            if id in plan.runs:
                plan.keep(plan.runs, id, f"{said} names it")
            elif f"m-{id}" in plan.logged:
                plan.keep(plan.logged, f"m-{id}", f"{said} names it")
    hold_around(tx, workspace, plan, old=old)


def _staying(tx: ReadTransaction, workspace: Workspace, plan: Plan, number: str) -> str:
    """What an experiment has that stays, in words."""
    for run in runs_in(tx, workspace, number, IsNull(DELETED)):
        return f"its run {run.id} is not in the trash"
    for run in runs_in(tx, workspace, number, Not(IsNull(DELETED))):
        if run.id not in plan.runs:
            return f"its run {run.id} stays"
    for one in logged_in(tx, workspace, number):
        if one.id not in plan.logged:
            return f"its logged model {one.id} stays"
    return ""
