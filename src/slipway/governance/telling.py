"""Who hears of what, by the RACI of a project: verdicts, what serves, and incidents. Without a RACI nobody is named.

Each function writes into the transaction of what happened.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping

import msgspec

from slipway.governance.absences import deputies, stand_in
from slipway.governance.asked import asked
from slipway.governance.notices import tell
from slipway.governance.outbox import announce
from slipway.governance.raci import ACCOUNTABLE, named
from slipway.operations.permissions import ROLES
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.contracts import KeptContract
from slipway.records.endpoints import Revision
from slipway.records.gates import Verdict
from slipway.records.models import ModelVersion
from slipway.records.monitors import Incident
from slipway.records.responsibility import Letter, NoticeKind, Stage, Words

__all__ = [
    "WHOSE",
    "assigned",
    "assigned_owner",
    "owned",
    "place_of",
    "stage_of",
    "tell_inside",
    "tell_of_contract",
    "tell_of_revision",
    "tell_of_verdict",
]

WHOSE: dict[str, tuple[Stage, Letter]] = {
    "broken feed": ("data", "responsible"),
    "labels": ("data", "responsible"),
    "sync": ("data", "responsible"),
    "skew": ("feature", "responsible"),
    "schedule": ("train", "responsible"),
    "retraining": ("train", "responsible"),
    "service": ("deploy", "responsible"),
    "no results": ("deploy", "responsible"),
    "fallback": ("deploy", "responsible"),
    "drift": ("monitor", "responsible"),
    "quality": ("monitor", "responsible"),
    "estimated quality": ("monitor", "responsible"),
    "kpi": ("monitor", "responsible"),
    "kpi against metric": ("scope", "accountable"),  # the model is not to blame: product or policy are
    "rollout": ("deploy", "accountable"),  # they decide what the evidence leaves open
    "break-glass": ("approve", "accountable"),  # whose word was gone round; who is responsible may have done it
}
"""Whose an incident is, by its cause."""


def place_of(incident: Incident) -> tuple[str, ...]:
    """The parts of the address of the page that shows an incident, within the project."""
    where = incident.parent_id.partition("/")[2]
    sort, colon, name = where.partition(":")
    return ({"schedule": "schedules", "table": "tables"}[sort], name) if colon else ("endpoints", where)


def stage_of(cause: str) -> tuple[Stage, Letter]:
    """In which stage, and by which letter, an incident of a cause is whose it is."""
    return WHOSE.get(cause, ("monitor", "responsible"))


def assigned(tx: WriteTransaction, workspace: Workspace, incident: Incident) -> Incident:
    """An incident that is about to be opened, owned by whose it is by its cause; they and the informed are told.

    Args:
        tx: The transaction that opens it.
        workspace: The project's.
        incident: Owned by a role, as it stays where no RACI says who.
    """
    opened = tell_inside(tx, workspace, owned(tx, workspace, incident))
    announce(tx, workspace, opened, "opened", people=opened.people)
    return opened


def owned(tx: WriteTransaction, workspace: Workspace, incident: Incident) -> Incident:
    """An incident with who must look at it; nobody is told yet.

    Args:
        tx: The transaction that opens it.
        workspace: The project's.
        incident: Owned by a role, as it stays where no RACI says who.
    """
    people = named(tx, workspace, *stage_of(incident.cause))
    away = deputies(tx, workspace.clock.now())
    acting = dict.fromkeys(stand_in(away, name) or name for name in people)
    return msgspec.structs.replace(incident, owner=", ".join(acting) or incident.owner, people=people)


def tell_inside(tx: WriteTransaction, workspace: Workspace, incident: Incident) -> Incident:
    """An incident whose people, and the informed of its stage, are told in their inboxes.

    Args:
        tx: The transaction that opens it, or that finds that nothing explains it any more.
        workspace: The project's.
        incident: Owned; see `owned`.
    """
    stage, _ = stage_of(incident.cause)
    about, place = f"incident:{incident.id}", place_of(incident)
    tell(tx, workspace, incident.people, "incident", about=about, sentence=incident.sentence, place=place)
    informed = [name for name in named(tx, workspace, stage, "informed") if name not in incident.people]
    tell(tx, workspace, informed, "told", about=about, sentence=f"Incident: {incident.sentence}", place=place)
    return msgspec.structs.replace(incident, told_at=workspace.clock.now())


def assigned_owner(tx: ReadTransaction, workspace: Workspace, owner: str) -> tuple[str, ...]:
    """The people behind an owner: those who hold the role, or the person."""
    return tuple(asked(tx, workspace).holders(owner)) if owner in ROLES else (owner,)


def tell_of_contract(
    tx: WriteTransaction,
    workspace: Workspace,
    people: Collection[str],
    contract: KeptContract,
    sentence: str,
    what: NoticeKind,
    occasion: str,
) -> None:
    """Tell people of a metric contract: that it waits for their name, or what came of it.

    Args:
        tx: The transaction of what happened.
        workspace: The project's.
        people: By name.
        contract: Which one.
        sentence: In words.
        what: See `Notice`.
        occasion: What makes it the same notice when it happens again.
    """
    about, place = f"contract:{contract.id}", ("contracts", contract.name)
    tell(tx, workspace, people, what, about=about, sentence=sentence, place=place, occasion=f"{about} {occasion}")


def tell_of_verdict(
    tx: WriteTransaction,
    workspace: Workspace,
    version: ModelVersion,
    ruling: Verdict,
    *,
    waits_for: Mapping[str, int],
    authors: Collection[str],
) -> None:
    """Tell the informed of a verdict; where nothing but words is missing, ask who gives them and who is consulted.

    Args:
        tx: The transaction that keeps the verdict.
        workspace: The project's.
        version: What was judged.
        ruling: The verdict.
        waits_for: The roles whose approval is all that is missing, and of how many people; none where something else is, or
            nothing.
        authors: Who made it: they are not asked.
    """
    name, where = f"{version.name} {version.number}", ruling.environment
    place = ("models", version.name, str(version.number))
    word = "passed" if ruling.passed else "was refused"
    against = [one.check for one in ruling.outcomes if one.result in ("refused", "cannot tell")]
    told = f"{name} {word} for {where}" + (f": {'; '.join(against)}." if against else ".")
    informed = named(tx, workspace, "validate", "informed")
    tell(tx, workspace, informed, "told", about=f"verdict:{ruling.id}", sentence=told, place=place)
    if not waits_for:
        return
    about, occasion = f"bundle:{version.bundle}", f"bundle:{version.bundle} in {where}"
    holders = asked(tx, workspace)
    there = "" if where == "dev" else f" --env {where}"
    for role, count in waits_for.items():
        is_named = role == ACCOUNTABLE
        people = (
            named(tx, workspace, "approve", "accountable")
            if is_named
            else holders.holders(role)
            if role in ROLES
            else ()
        )
        speaks = "" if is_named else f" --role {shlex.quote(role)}"
        sentence = f"{name} waits for your approval for {where}: "
        sentence += f"slipway approve {version.name} --version {version.number}{speaks}{there}"
        tell(
            tx,
            workspace,
            [one for one in people if one not in authors],
            "approve",
            about=about,
            sentence=sentence,
            place=place,
            occasion=occasion + ("" if is_named else f" as {role}"),
            waits_for=Words(role=role, count=count),
        )
    say = f'slipway comment model:{version.name}:{version.number} "..."{there}'
    question = f"{name} waits for approval for {where}, and you are consulted: {say}"
    consulted = named(tx, workspace, "approve", "consulted")
    tell(tx, workspace, consulted, "asked", about=about, sentence=question, place=place, occasion=occasion)


def tell_of_revision(tx: WriteTransaction, workspace: Workspace, revision: Revision) -> None:
    """Tell the informed of what serves from now on: deployments, roll-outs, rollbacks.

    Args:
        tx: The transaction that keeps the revision.
        workspace: The project's.
        revision: The revision.
    """
    beside = ", ".join(f"{one.served.model} {one.served.number}" for one in revision.challengers)
    told = (
        f"{revision.name} in {revision.environment}: {revision.served.model} {revision.served.number} serves"
        + (f", {beside} beside it" if beside else "")
        + f" ({revision.reason})."
    )
    informed = named(tx, workspace, "deploy", "informed")
    place = ("endpoints", revision.name)
    tell(tx, workspace, informed, "told", about=f"revision:{revision.id}", sentence=told, place=place)
