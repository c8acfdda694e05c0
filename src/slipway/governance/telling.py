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
from slipway.governance.raci import ACCOUNTABLE, named
from slipway.operations.permissions import ROLES
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.gates import Verdict
from slipway.records.models import ModelVersion
from slipway.records.monitors import Incident
from slipway.records.responsibility import Letter, Stage, Words

__all__ = ["WHOSE", "assigned", "place_of", "tell_of_revision", "tell_of_verdict"]

WHOSE: dict[str, tuple[Stage, Letter]] = {
    "broken feed": ("data", "responsible"),
    "sync": ("data", "responsible"),
    "skew": ("feature", "responsible"),
    "schedule": ("train", "responsible"),
    "quality": ("monitor", "responsible"),
    "kpi": ("monitor", "responsible"),
    "rollout": ("deploy", "accountable"),  # they decide what the evidence leaves open
    "break-glass": ("approve", "accountable"),  # whose word was gone round; who is responsible may have done it
}
"""Whose an incident is, by its cause."""


def place_of(incident: Incident) -> tuple[str, ...]:
    """The parts of the address of the page that shows an incident, within the project."""
    where = incident.parent_id.partition("/")[2]
    sort, colon, name = where.partition(":")
    return ({"schedule": "schedules", "table": "tables"}[sort], name) if colon else ("endpoints", where)


def assigned(tx: WriteTransaction, workspace: Workspace, incident: Incident) -> Incident:
    """An incident that is about to be opened, owned by whose it is by its cause; they and the informed are told.

    Args:
        tx: The transaction that opens it.
        workspace: The project's.
        incident: Owned by a role, as it stays where no RACI says who.
    """
    stage, letter = WHOSE.get(incident.cause, ("monitor", "responsible"))
    people = named(tx, workspace, stage, letter)
    place = place_of(incident)
    about, away = f"incident:{incident.id}", deputies(tx, workspace.clock.now())
    tell(tx, workspace, people, "incident", about=about, sentence=incident.sentence, place=place)
    informed = [name for name in named(tx, workspace, stage, "informed") if name not in people]
    tell(tx, workspace, informed, "told", about=about, sentence=f"Incident: {incident.sentence}", place=place)
    acting = dict.fromkeys(stand_in(away, name) or name for name in people)
    return msgspec.structs.replace(incident, owner=", ".join(acting) or incident.owner, people=people)


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
