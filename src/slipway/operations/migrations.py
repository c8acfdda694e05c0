"""Migrations: how the models that a team has elsewhere move here, from a pilot to the last wave, by evidence."""

from datetime import date, datetime
from typing import Literal

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.migrations import Activation, Comparison, OldModel, Phase, Pilot

__all__ = [
    "ActivateModel",
    "Criterion",
    "FindWay",
    "KeepGap",
    "MigrationPlan",
    "Moving",
    "PhaseState",
    "PlanMigration",
    "UserWay",
    "Wave",
    "operations",
]


class PlanMigration(Struct, frozen=True, kw_only=True):
    """The inventory, and the names of the pilots where a person chose them.

    Args:
        models: All old models.
        pilots: Their names; those that were chosen before where nothing is said.
        number: The number of the plan that the inventory was written over, 0 for none yet: another one in the meantime is
            not written over. None for whatever there is.
    """

    models: tuple[OldModel, ...]
    pilots: tuple[str, ...] = ()
    number: int | None = None


class KeepGap(Struct, frozen=True, kw_only=True):
    """Who brings what is missing until when; or, with `close`, why it is taken without."""

    model: str
    criterion: str
    owner: str = ""
    due: date | None = None
    close: str = ""


class ActivateModel(Struct, frozen=True, kw_only=True):
    """Who is answered by the new endpoint from now on: see `records.migrations.Activation`."""

    model: str
    to: Literal["chosen", "all", "nobody"]
    users: tuple[str, ...] = ()
    share: float = 0.0
    why: str = ""


class FindWay(Struct, frozen=True, kw_only=True):
    """Of which old model, and of which user."""

    model: str
    user: str


class UserWay(Struct, frozen=True, kw_only=True):
    """Where a user's requests belong: to the endpoint here, or to the old system; and where that answers, "" if unknown."""

    to: Literal["here", "old system"]
    url: str
    endpoint: str


class Criterion(Struct, frozen=True, kw_only=True):
    """One criterion of a phase.

    Args:
        name: In a word or two: "compared".
        side: Whether the phase begins or ends with it.
        asked: What is looked for.
        state: "shown" by a record, "said" by a person who gave a reason, or "missing".
        found: What is known, in words.
        evidence: Which record says so, as a node, "" for none.
        at: When that was.
        next: The command that brings it, "" where it is not missing.
        owner: Who brings it.
        due: Until when.
        is_late: Whether that is over.
    """

    name: str
    side: Literal["entry", "exit"]
    asked: str
    state: Literal["shown", "said", "missing"]
    found: str = ""
    evidence: str = ""
    at: datetime | None = None
    next: str = ""
    owner: str = ""
    due: date | None = None
    is_late: bool = False

    @property
    def is_met(self) -> bool:
        """Whether it is no gap."""
        return self.state != "missing"


class PhaseState(Struct, frozen=True, kw_only=True):
    """How far one phase of a model has come: "done", "under way", or "not yet": its entry criteria are not met."""

    name: Phase
    state: Literal["done", "under way", "not yet"]
    criteria: tuple[Criterion, ...]


class Moving(Struct, frozen=True, kw_only=True):
    """One old model on its way.

    Args:
        old: What the inventory says of it.
        wave: 0 for a pilot, else which wave.
        state: The phase that it is in, "moved" after the last one, "waits" before the first.
        phases: All three.
        comparison: The newest comparison with the old system, None for none.
        served: What is opened to whom now, None before the first step.
        version: Its newest version here, 0 for none.
    """

    old: OldModel
    wave: int
    state: Literal["waits", "Development", "Test/Release", "Activation", "moved"]
    phases: tuple[PhaseState, ...]
    comparison: Comparison | None = None
    served: Activation | None = None
    version: int = 0

    @property
    def gaps(self) -> tuple[Criterion, ...]:
        """What is missing in the phase that it is in."""
        for phase in self.phases:
            if phase.state != "done":
                return tuple(one for one in phase.criteria if not one.is_met)
        return ()


class Wave(Struct, frozen=True, kw_only=True):
    """The pilots (0) or a wave: "moved", "under way", or "waits" for the one before."""

    number: int
    state: Literal["waits", "under way", "moved"]
    models: tuple[str, ...]
    due: date


class MigrationPlan(Struct, frozen=True, kw_only=True):
    """The whole plan as it stands.

    Args:
        pilots: Those that move first, with reasons.
        waves: The pilots, then each wave.
        models: All models in that order.
        sentence: How far it has come, in words.
        markdown: The plan as a document; "" before there is one.
        number: Counts its changes; 0 before there is a plan.
        by: Who changed it last.
        updated_at: When.
    """

    pilots: tuple[Pilot, ...] = ()
    waves: tuple[Wave, ...] = ()
    models: tuple[Moving, ...] = ()
    sentence: str
    markdown: str = ""
    number: int = 0
    by: str = ""
    updated_at: datetime | None = None


operations = (
    Operation(
        name="migrations.get",
        summary="Show how far the models that were elsewhere have moved, and what is missing.",
        permission="migrations.read",
        request=Empty,
        response=MigrationPlan,
        body="slipway.flows.migrate:get_plan",
    ),
    Operation(
        name="migrations.plan",
        summary="Plan a migration: from an inventory to pilots and waves.",
        permission="migrations.write",
        request=PlanMigration,
        response=MigrationPlan,
        body="slipway.flows.migrate:plan",
        changes=True,
    ),
    Operation(
        name="migrations.gap",
        summary="Say who brings what is missing until when, or why a criterion counts without a record.",
        permission="migrations.write",
        request=KeepGap,
        response=MigrationPlan,
        body="slipway.flows.migrate:keep_gap",
        changes=True,
    ),
    Operation(
        name="migrations.activate",
        summary="Open a model that moves to chosen users, to all, or to nobody: the way back.",
        permission="endpoints.deploy",
        request=ActivateModel,
        response=MigrationPlan,
        body="slipway.flows.migrate:activate",
        changes=True,
    ),
    Operation(
        name="migrations.way",
        summary="Say whether a user's requests belong to the endpoint here or to the old system.",
        permission="migrations.read",
        request=FindWay,
        response=UserWay,
        body="slipway.flows.migrate:way",
    ),
)
