"""A migration in the ledger: planned, looked at, opened step by step; what it has reached is judged by evidence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Literal

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound, near
from slipway.flows.endpoints import folder_of
from slipway.flows.journey_evidence import Known, known_of
from slipway.flows.migrate_markdown import markdown
from slipway.flows.migrate_order import pilots_of, waves_of
from slipway.flows.migrate_phases import CRITERIA, Case, Opened, phases_of
from slipway.flows.old_system import agreement
from slipway.ledger import entries, events
from slipway.models import registry
from slipway.operations.declare import Empty
from slipway.operations.migrations import (
    ActivateModel,
    FindWay,
    KeepGap,
    MigrationPlan,
    Moving,
    PlanMigration,
    UserWay,
    Wave,
)
from slipway.operations.old_systems import Agreement, GetAgreement
from slipway.ports.workspace import Workspace
from slipway.records.migrations import Activation, Comparison, Gap, Migration, OldModel, Phase, Pilot
from slipway.records.predictions import PredictionRow
from slipway.schema.inventory import checked
from slipway.serving.arms import share_of
from slipway.tables.log_rows import read_rows
from slipway.tables.prediction_log import PREDICTIONS

__all__ = ["activate", "get_plan", "keep_gap", "kept_plan", "old_model", "plan", "way"]

_PHASES: tuple[tuple[Phase, timedelta], ...] = (
    ("Development", timedelta(days=14)), ("Test/Release", timedelta(days=28)), ("Activation", timedelta(days=42)),
)  # fmt: skip
_WAVE = timedelta(days=42)
_NONE = (
    "Nothing is planned yet. Begin: slipway migrate scan FOLDER --out models.csv, then slipway migrate plan models.csv"
)


def get_plan(workspace: Workspace, request: Empty) -> MigrationPlan:
    """The plan as it stands, each criterion judged by what the ledger knows now."""
    with workspace.ledger.read() as tx:
        is_there = entries.etag(tx, Migration, workspace.project)
    return _shown(workspace, kept_plan(workspace)) if is_there else MigrationPlan(sentence=_NONE)


def kept_plan(workspace: Workspace) -> Migration:
    """The plan in the ledger.

    Raises:
        NotFound: There is none.
    """
    with workspace.ledger.read() as tx:
        if not entries.etag(tx, Migration, workspace.project):
            raise NotFound(
                f"{workspace.project!r} has no plan of a migration.", fix="Make one: slipway migrate plan INVENTORY.csv"
            )
        return entries.get(tx, Migration, workspace.project)


def old_model(found: Migration, name: str) -> OldModel:
    """A model of the plan, by its name there or here.

    Raises:
        NotFound: There is none.
    """
    for one in found.models:
        if name in (one.name, one.model):
            return one
    known = [one.name for one in found.models]
    raise NotFound(f"The plan has no model {name!r}.", fix=near(name, known, what="models"))


def plan(workspace: Workspace, request: PlanMigration) -> MigrationPlan:
    """Plan a migration out of an inventory, or again: pilots that moved or were chosen stay, what people said of gaps stays.

    Raises:
        InvalidInput: The inventory cannot be; see `schema.inventory`.
        NotFound: It has no model of a pilot's name.
        Conflict: The plan is not the one that the request says it was written over.
    """
    models, now = checked(request.models), workspace.clock.now()
    with workspace.ledger.write() as tx:
        former = (
            entries.get(tx, Migration, workspace.project) if entries.etag(tx, Migration, workspace.project) else None
        )
        _check_number(request, former)
        names = {one.name for one in models}
        left = sorted({one.model for one in former.steps} - names) if former else []
        if left:
            raise InvalidInput(
                f"The inventory lacks {left[0]!r}, which was opened to users already.", fix="Leave it in the inventory."
            )
        pilots = _pilots(models, request.pilots, former)
        found = Migration(
            id=workspace.project,
            project=workspace.project,
            created_at=former.created_at if former else now,
            number=former.number + 1 if former else 1,
            models=models,
            pilots=pilots,
            waves=waves_of(models, pilots),
            gaps=tuple(one for one in former.gaps if one.model in names) if former else (),
            steps=former.steps if former else (),
            actor=workspace.actor,
            updated_at=now,
        )
        entries.put(tx, found)
        events.record(
            tx, workspace, "migrations.plan", f"migration:{found.id}", models=len(models), number=found.number,
            pilots=[one.name for one in pilots],
        )  # fmt: skip
    return _shown(workspace, found)


def _check_number(request: PlanMigration, former: Migration | None) -> None:
    if request.number is not None and request.number != (former.number if former else 0):
        raise Conflict(
            f"The plan changed meanwhile, by {former.actor}." if former else "The plan is gone.",
            why="An inventory without what was added since would delete it.",
            fix="Copy what you wrote, load the page Migration again, and change what it shows.",
        )


def _pilots(models: tuple[OldModel, ...], named: tuple[str, ...], former: Migration | None) -> tuple[Pilot, ...]:
    """Those that are named now; else former ones that the inventory still has and that stay; else those with most points."""
    if former is None or named:
        return pilots_of(models, named)
    known = {one.name for one in models}
    there = [one for one in former.pilots if one.name in known]
    chosen = tuple(one.name for one in there if one.is_chosen)
    if chosen:
        return pilots_of(models, chosen)  # a person's word holds until another is named
    if former.steps and there:
        return tuple(there)  # points that change must not exchange a pilot that is under way
    return pilots_of(models)


def keep_gap(workspace: Workspace, request: KeepGap) -> MigrationPlan:
    """Say who brings a criterion until when, or why it counts without a record.

    Raises:
        NotFound: No such model or criterion.
        InvalidInput: Nothing is said of it.
    """
    known = [one.name for one in CRITERIA]
    if request.criterion not in known:
        raise NotFound(
            f"There is no criterion {request.criterion!r}.", fix=near(request.criterion, known, what="criteria")
        )
    if not (request.owner or request.due or request.close.strip()):
        raise InvalidInput("Nothing is said of the gap.", fix='Give --owner NAME, --due DATE or --close "WHY".')

    def change(found: Migration) -> tuple[Migration, dict[str, object]]:
        model = old_model(found, request.model).name
        former = next((one for one in found.gaps if (one.model, one.criterion) == (model, request.criterion)), None)
        gap = Gap(
            model=model,
            criterion=request.criterion,
            owner=request.owner or (former.owner if former else ""),
            due=request.due or (former.due if former else None),
            closed=request.close.strip(),
            actor=workspace.actor,
            at=workspace.clock.now(),
        )
        gaps = (*(one for one in found.gaps if one is not former), gap)
        said: dict[str, object] = {"model": model, "criterion": gap.criterion, "owner": gap.owner, "closed": gap.closed}
        return msgspec.structs.replace(found, gaps=gaps), said

    return _changed(workspace, "migrations.gap", change)


def activate(workspace: Workspace, request: ActivateModel) -> MigrationPlan:
    """Open a model to chosen users, to all, or to nobody. Before chosen users were served it is opened to no one else.

    Raises:
        NotFound: No plan or no such model.
        InvalidInput: Chosen users without a name or share, a share that is none, a way back without a reason.
        Conflict: The phase before it is not done.
    """
    if request.to == "chosen" and not request.users and not request.share:
        raise InvalidInput("Nobody is chosen.", fix="Name them: --users ADA,GRACE; or a share: --share 0.1")
    if not 0 <= request.share < 1 or (request.share and request.to != "chosen"):
        raise InvalidInput(
            f"{request.share:g} is no share of the users.", fix="From 0 to below 1, with --users or alone."
        )
    if request.to == "nobody" and not request.why.strip():
        raise InvalidInput("The way back needs a reason.", fix='Say it: --why "to try the way back"', field="why")

    def change(found: Migration) -> tuple[Migration, dict[str, object]]:
        old = old_model(found, request.model)
        _check_ready(workspace, found, old, request.to)
        step = Activation(
            model=old.name, to=request.to, users=request.users, share=request.share, why=request.why.strip(),
            actor=workspace.actor, at=workspace.clock.now(),
        )  # fmt: skip
        said: dict[str, object] = {
            "model": old.name,
            "to": step.to,
            "users": len(step.users),
            "share": step.share,
            "why": step.why,
        }
        return msgspec.structs.replace(found, steps=(*found.steps, step)), said

    return _changed(workspace, "migrations.activate", change)


def _check_ready(workspace: Workspace, found: Migration, old: OldModel, to: str) -> None:
    """Refuse what would come too early; the way back is never refused."""
    if to == "nobody":
        return
    moving = next(one for one in _models(workspace, found) if one.old.name == old.name)
    *before, last = moving.phases
    missing = [one for phase in before for one in phase.criteria if not one.is_met]
    if to == "all":
        missing += [one for one in last.criteria if one.name != "all users" and not one.is_met]
    if missing:
        raise Conflict(
            f"{old.name!r} cannot be opened to {'all' if to == 'all' else 'chosen users'} yet: {missing[0].name} is missing.",
            why=f"{missing[0].asked}: {missing[0].found}.",
            fix=missing[0].next,
        )


def way(workspace: Workspace, request: FindWay) -> UserWay:
    """Where a user's requests belong now: the same answer as long as no step is taken, and a greater share keeps everybody.

    Raises:
        NotFound: No plan or no such model.
    """
    found = kept_plan(workspace)
    old = old_model(found, request.model)
    step = _step(found, old)
    endpoint = known_of(workspace, old.model).endpoint
    if step is None or not _is_chosen(workspace, step, request.user):
        return UserWay(to="old system", url=old.url, endpoint=endpoint)
    status = workspace.launcher.status(folder_of(workspace, endpoint))
    return UserWay(to="here", url=status.url if status is not None else "", endpoint=endpoint)


def _step(found: Migration, old: OldModel) -> Activation | None:
    return next((one for one in reversed(found.steps) if one.model == old.name), None)


def _is_chosen(workspace: Workspace, step: Activation, user: str) -> bool:
    if step.to == "all":
        return True
    return step.to == "chosen" and (
        user in step.users or share_of(f"{workspace.project}/{step.model}", user) < step.share
    )


def _changed(
    workspace: Workspace, verb: str, change: Callable[[Migration], tuple[Migration, dict[str, object]]]
) -> MigrationPlan:
    former = kept_plan(workspace)
    found, said = change(former)
    found = msgspec.structs.replace(
        found, number=former.number + 1, actor=workspace.actor, updated_at=workspace.clock.now()
    )
    with workspace.ledger.write() as tx:
        if entries.get(tx, Migration, workspace.project).number != former.number:
            raise Conflict("The plan changed meanwhile.", fix="Say the same command again.")
        entries.put(tx, found)
        events.record(tx, workspace, verb, f"migration:{found.id}", **said)
    return _shown(workspace, found)


def _shown(workspace: Workspace, found: Migration) -> MigrationPlan:
    models = _models(workspace, found)
    waves = tuple(
        Wave(
            number=number,
            state=_state([one for one in models if one.wave == number]),
            models=names,
            due=_due(found, number, 2),
        )
        for number, names in enumerate(_order(found))
    )
    moved = sum(one.state == "moved" for one in models)
    sentence = f"{moved} of {len(models)} models moved"
    under_way = next((one for one in waves if one.state == "under way"), None)
    if under_way is not None:
        sentence += "; the pilots are under way" if not under_way.number else f"; wave {under_way.number} is under way"
    gaps = sum(len(one.gaps) for one in models if one.state != "waits")
    sentence += f", {gaps} gap{'' if gaps == 1 else 's'} now."
    answer = MigrationPlan(
        pilots=found.pilots, waves=waves, models=models, sentence=sentence, number=found.number, by=str(found.actor),
        updated_at=found.updated_at,
    )  # fmt: skip
    return msgspec.structs.replace(answer, markdown=markdown(workspace.project, answer))


def _order(found: Migration) -> tuple[tuple[str, ...], ...]:
    return (tuple(one.name for one in found.pilots), *found.waves)


def _due(found: Migration, wave: int, phase: int) -> date:
    return (found.created_at + wave * _WAVE + _PHASES[phase][1]).date()


def _state(models: list[Moving]) -> Literal["waits", "under way", "moved"]:
    if all(one.state == "moved" for one in models):
        return "moved"
    return "waits" if all(one.state == "waits" for one in models) else "under way"


def _models(workspace: Workspace, found: Migration) -> tuple[Moving, ...]:
    """Every model, in the order of the waves; each wave begins when the one before it has moved."""
    answer: list[Moving] = []
    names, today = set(registry.names(workspace)), workspace.clock.now().date()
    by_name = {one.name: one for one in found.models}
    for number, wave in enumerate(_order(found)):
        late = [one.old.name for one in answer if one.state != "moved"]
        before = f"{late[0]!r} has not moved yet" if late else ""
        dues: dict[Phase, date] = {phase: _due(found, number, place) for place, (phase, _) in enumerate(_PHASES)}
        for name in wave:
            old = by_name[name]
            case = _case(workspace, found, old, known_of(workspace, old.model) if old.model in names else None, before)
            gaps = {one.criterion: one for one in found.gaps if one.model == name}
            phases = phases_of(case, gaps, dues, today)
            begun = next((one for one in phases if one.state != "done"), None)
            waits = begun is phases[0] and bool(before)
            answer.append(
                Moving(
                    old=old,
                    wave=number,
                    state="moved" if begun is None else "waits" if waits else begun.name,
                    phases=phases,
                    comparison=case.comparison,
                    served=_step(found, old),
                    version=case.known.version.number if case.known is not None and case.known.version else 0,
                )
            )
    return tuple(answer)


def _case(workspace: Workspace, found: Migration, old: OldModel, known: Known | None, before: str) -> Case:
    if known is None:
        return Case(old=old, before=before, opened=tuple(Opened(one) for one in found.steps if one.model == old.name))
    bundle = known.version.bundle if known.version is not None else ""
    with workspace.ledger.read() as tx:
        made = entries.find(tx, Comparison, project=workspace.project, name=old.name)
    return Case(
        old=old,
        known=known,
        comparison=next((one for one in made if one.bundle == bundle), None),
        agreement=_agreement(workspace, known),
        opened=_opened(workspace, found, old, known),
        before=before,
    )


def _agreement(workspace: Workspace, known: Known) -> Agreement | None:
    for one in known.live:
        if one.old_system is not None and one.environment == workspace.environment:
            return agreement(workspace, GetAgreement(endpoint=one.name))
    return None


def _opened(workspace: Workspace, found: Migration, old: OldModel, known: Known) -> tuple[Opened, ...]:
    steps = [one for one in found.steps if one.model == old.name]
    answer = []
    for place, step in enumerate(steps):
        if step.to != "chosen":
            answer.append(Opened(step))
            continue
        until = steps[place + 1].at if place + 1 < len(steps) else None
        log = folder_of(workspace, known.endpoint) / "log"
        rows = read_rows(log, PREDICTIONS, PredictionRow, since=step.at, until=until)[0]
        since_us = entries.microseconds(step.at)
        until_us = entries.microseconds(until) if until is not None else None
        rows = [one for one in rows if one.at_us >= since_us and (until_us is None or one.at_us < until_us)]
        chosen = sum(any(_is_chosen(workspace, step, who) for who in (one.caller, one.key) if who) for one in rows)
        answer.append(Opened(step, chosen, len(rows) - chosen))
    return tuple(answer)
